//! A control-plane node's host that was reached without an apiserver: over ssh, or the one on which this runs.

use std::path::{Path, PathBuf};

use etcd_operations::failure::{Answer, Failure};
use etcd_operations::host::{answer, copy};
use etcd_operations::logs::{ComponentLog, LogQuery};
use etcd_operations::look::{Look, LookOptions, Since};
use etcd_operations::manifest::Selection;
use etcd_operations::operation::Operation;
use etcd_operations::plan::{HostRef, PlanId, Plans};
use etcd_operations::report::Report;
use etcd_operations::request::{Request, answer_to};
use etcd_operations::wire::answer::{Hello, HostAnswer, PlanOnHost};
use etcd_operations::wire::ask::{self, HostRequest};
use etcd_operations::wire::{Ask, Detached, Progress};
use etcd_operations::work::Events;
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::error::Error;
use crate::outcome::{Notice, NoticeSink, RunError};
use crate::ssh::{SshError, SshHost};

/// A host that is reached.
pub struct Host {
    /// Its name, and where it is.
    pub host: HostRef,
    /// Which manifests are meant there.
    selection: Selection,
    /// How it is asked.
    way: Box<dyn HostWay>,
    notices: NoticeSink,
}

/// How a host is asked: in this process, over ssh, or in a test in memory.
pub(crate) trait HostWay: Send + Sync {
    /// Asks it, and tells how far it is.
    fn ask<'a>(
        &'a self,
        ask: &'a Ask,
        events: &'a mut Events<'_>,
    ) -> BoxFuture<'a, Result<HostAnswer, Trouble>>;

    /// Puts a file of this host there, 0600, and tells how many bytes are there.
    fn put<'a>(
        &'a self,
        local: &'a Path,
        path: &'a Path,
        sent: &'a mut (dyn FnMut(u64) + Send),
    ) -> BoxFuture<'a, Result<(), Trouble>>;

    /// Whether it is the host on which this runs.
    fn is_here(&self) -> bool {
        false
    }
}

/// In this process.
struct Here;

impl HostWay for Here {
    fn ask<'a>(
        &'a self,
        ask: &'a Ask,
        events: &'a mut Events<'_>,
    ) -> BoxFuture<'a, Result<HostAnswer, Trouble>> {
        Box::pin(async move { answer(ask, events).await.map_err(Trouble::Failure) })
    }

    fn put<'a>(
        &'a self,
        local: &'a Path,
        path: &'a Path,
        _sent: &'a mut (dyn FnMut(u64) + Send),
    ) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(async move { copy(local, path).map_err(Trouble::Failure) })
    }

    fn is_here(&self) -> bool {
        true
    }
}

/// By the program that was brought there.
impl HostWay for SshHost {
    fn ask<'a>(
        &'a self,
        ask: &'a Ask,
        events: &'a mut Events<'_>,
    ) -> BoxFuture<'a, Result<HostAnswer, Trouble>> {
        Box::pin(async move { SshHost::ask(self, ask, events).await.map_err(Trouble::Ssh) })
    }

    fn put<'a>(
        &'a self,
        local: &'a Path,
        path: &'a Path,
        sent: &'a mut (dyn FnMut(u64) + Send),
    ) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(async move {
            let there = SshHost::put(self, local, path, sent).await;
            there.map(drop).map_err(Trouble::Ssh)
        })
    }
}

/// Why a host gave no answer.
pub enum Trouble {
    /// Its own code failed.
    Failure(Failure),
    /// It failed there, or the way there did.
    Ssh(SshError),
}

impl Host {
    /// This host.
    ///
    /// `address` is where others reach it.
    pub fn here(node: String, address: Option<String>, notices: NoticeSink) -> Self {
        Self {
            host: host_ref(node, address),
            selection: Selection::default(),
            way: Box::new(Here),
            notices,
        }
    }

    /// The same, where these manifests are meant.
    #[must_use]
    pub fn meaning(mut self, selection: Selection) -> Self {
        self.selection = selection;
        self
    }

    /// Names files from which components are started that have no manifest in kubelet's folder.
    pub fn naming(&mut self, manifests: Vec<PathBuf>) {
        self.selection.manifests = manifests;
    }

    /// A host that is connected.
    pub fn over_ssh(
        node: String,
        address: Option<String>,
        host: SshHost,
        notices: NoticeSink,
    ) -> Self {
        Self {
            host: host_ref(node, address),
            selection: Selection::default(),
            way: Box::new(host),
            notices,
        }
    }

    /// A host in memory.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn in_memory(node: &str, way: impl HostWay + 'static) -> Self {
        Self {
            host: host_ref(node.to_owned(), None),
            selection: Selection::default(),
            way: Box::new(way),
            notices: std::sync::Arc::new(|_| {}),
        }
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.host.node
    }

    /// Whether it is the host on which this runs.
    pub fn is_here(&self) -> bool {
        self.way.is_here()
    }

    /// Asks it. Progress is told as the host's.
    pub async fn ask<R: Request<Wire = HostRequest>>(
        &self,
        request: &R,
    ) -> Result<R::Answer, Error> {
        let answered = self.answered(request).await;
        answered.map_err(|trouble| self.error(trouble))
    }

    fn error(&self, trouble: Trouble) -> Error {
        match trouble {
            Trouble::Failure(failure) => Error::of_failure(self.node(), &failure),
            Trouble::Ssh(error) => Error::from(error),
        }
    }

    /// Does there what a Job would do on its node.
    ///
    /// # Errors
    /// Why there is no report.
    pub(crate) async fn operate(&self, operation: &Operation) -> Result<Report, RunError> {
        let request = ask::Operate {
            operation: operation.clone(),
            target: None,
        };
        self.answered(&request)
            .await
            .map_err(|trouble| match trouble {
                Trouble::Failure(failure) => RunError::from(failure),
                Trouble::Ssh(error) => RunError::from(error),
            })
    }

    /// What it says of itself.
    pub(crate) async fn hello(&self) -> Result<Hello, Error> {
        self.ask(&ask::Hello).await
    }

    async fn answered<R: Request<Wire = HostRequest>>(
        &self,
        request: &R,
    ) -> Result<R::Answer, Trouble> {
        let mut tell = |progress: Progress| {
            (self.notices)(Notice::Progress {
                node: self.host.node.clone(),
                progress,
            });
        };
        let ask = asked(request.to_wire()).of(self.selection.clone());
        let reply = self.way.ask(&ask, &mut tell).await?;
        answer_to::<R>(reply).map_err(Trouble::Failure)
    }

    /// Puts a file of this host there, 0600.
    pub async fn put(&self, local: &Path, path: &Path, bytes: u64) -> Result<(), Error> {
        let mut sent = |done_bytes| {
            (self.notices)(Notice::Progress {
                node: self.host.node.clone(),
                progress: Progress {
                    step: "sending the snapshot".to_owned(),
                    done_bytes,
                    total_bytes: Some(bytes),
                },
            });
        };
        let there = self.way.put(local, path, &mut sent).await;
        there.map_err(|trouble| self.error(trouble))
    }

    /// Looks at it.
    pub async fn look(&self, options: LookOptions) -> Result<Look, Error> {
        self.ask(&ask::Look { options }).await
    }

    /// What its control plane logged.
    ///
    /// # Errors
    /// When it gives no answer.
    pub async fn logs(&self, query: LogQuery) -> Result<Vec<ComponentLog>, Error> {
        self.ask(&ask::Logs { query }).await
    }

    /// What its database has beyond a snapshot's revision, or why that is not known: nothing depends on it.
    pub async fn since(&self, revision: u64) -> Answer<Since> {
        let found = self.ask(&ask::Since { revision }).await;
        found.map_err(|error| Failure::other(error.message)).into()
    }

    /// The text of a component's manifest.
    pub async fn manifest(&self, component: &str) -> Result<String, Error> {
        let request = ask::Manifest {
            component: component.to_owned(),
        };
        self.ask(&request).await
    }

    /// Its plans, or one of them.
    pub async fn plans(&self, plan: Option<PlanId>) -> Result<Vec<PlanOnHost>, Error> {
        let found = self.ask(&ask::Plans { plan }).await?;
        for one in found.unreadable {
            let (node, id, failure) = (self.node(), one.id, one.failure);
            let text = format!("{node}: {id} cannot be read: {failure}");
            (self.notices)(Notice::Warning(text));
        }
        Ok(found.plans)
    }
}

fn host_ref(node: String, address: Option<String>) -> HostRef {
    HostRef {
        node,
        address,
        etcd: None,
    }
}

/// A step is done by a process of its own, which the end of the connection does not end. Each time it is asked for by
/// somebody new is another attempt; what is done already is not done again.
fn asked(request: HostRequest) -> Ask {
    let detached = match &request {
        HostRequest::Step(step) => Some(on_record(step)),
        _ => None,
    };
    Ask {
        detached,
        ..Ask::new(request)
    }
}

/// Where a step is on record.
fn on_record(step: &ask::Step) -> Detached {
    let attempt = Timestamp::now().as_second();
    Detached {
        folder: Plans::default().step_folder(&step.plan, step.number, step.direction),
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
    }
}
