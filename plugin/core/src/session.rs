//! A command's way to the nodes: the apiserver or this host, the control-plane nodes, and the runner that works.

mod chores;
mod fetch;
mod namespace;
mod open;
mod options;
mod round;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use etcd_operations::failure::FailureKind;
use etcd_operations::manifest::Selection;
use etcd_operations::operation::Operation;
use etcd_operations::report::Report;
use etcd_operations::request::Request;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::connection::{Connection, Readiness, readiness};
use crate::created::Created;
pub use crate::discovery::{ApiView, Etcd, LeftAlone, Node};
use crate::error::Error;
use crate::outcome::only;
pub use crate::outcome::{Notice, NoticeSink, Outcome, RunError, RunErrorKind};
use crate::owner::Owner;
use crate::runners::host::Host;
use crate::runners::program::Program;
use crate::runners::{self, exec, local};
use crate::user_cache::UserCache;
use crate::via::Via;
pub use fetch::{Checked, Compared, Destination, MemberOn, Saved};
pub use options::FleetOptions;
use round::Round;

/// How long an apiserver that is in order again may take to say so.
const READY_AGAIN_LIMIT: Duration = Duration::from_millis(1500);

/// The way to the nodes, found once for a command.
pub struct Session {
    nodes: Vec<Node>,
    left_alone: Vec<LeftAlone>,
    ground: Ground,
    forced: Option<Via>,
    /// The runner that took over: used from the beginning by what comes later.
    chosen: Mutex<Option<Via>>,
    limit: Option<Duration>,
    notices: NoticeSink,
}

/// Where operations are sent from.
enum Ground {
    Cluster(Box<Cluster>),
    /// This host, without an apiserver.
    Host,
    /// The hosts that were reached over ssh, this one among them where it is a control-plane node.
    Hosts {
        hosts: Vec<Host>,
        /// Whether these and those that were not reached are all there are.
        complete: bool,
    },
}

/// What is needed to work through the apiserver.
pub struct Cluster {
    /// The connection to it.
    pub connection: Connection,
    /// What is made there.
    pub created: Created,
    /// Who makes it.
    pub owner: Owner,
    /// The job image, where one is used instead of the carried program.
    image: Option<Program>,
    /// What was found in the namespace at the beginning.
    located: namespace::Located,
    /// The user's note of which parts of programs were compared.
    compared: UserCache,
    /// The program, once it is in the cluster and was compared.
    program: tokio::sync::OnceCell<Program>,
    swept: std::sync::Once,
    notices: NoticeSink,
    heard: runners::launch::Heard,
    /// Whether another runner may be tried: none was asked for.
    replaceable: bool,
}

/// A runner's future result on one node, and who gave it.
type Ended = (Via, Result<Report, RunError>);

impl Session {
    /// The control-plane nodes, those named by `--node` only if there are any.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The pods that say they are an etcd and are not believed.
    pub fn left_alone(&self) -> &[LeftAlone] {
        &self.left_alone
    }

    /// The nodes of these names; all of them, when none is named.
    ///
    /// # Errors
    /// When there is none of a name.
    pub fn named(&self, names: &[String]) -> Result<Vec<&Node>, Error> {
        open::narrowed(&self.nodes, names)
    }

    /// The runner that is used, as far as it is known by now.
    pub fn via(&self) -> Via {
        match self.ground {
            Ground::Host => Via::Local,
            Ground::Hosts { .. } => Via::Ssh,
            // Once the apiserver was lost it is tried again all the same: the other nodes are behind it.
            Ground::Cluster(_) => {
                let chosen = self.chosen().filter(|via| *via != Via::Local);
                self.forced.or(chosen).unwrap_or(Via::Job)
            }
        }
    }

    /// The runner for an operation: what took over for another one may not be able to do this.
    fn via_for(&self, operation: &Operation) -> Via {
        match self.via() {
            Via::Exec if self.forced.is_none() && !exec::supports(operation) => Via::Job,
            via => via,
        }
    }

    /// Runs an operation on these nodes, all at once. The outcomes are in the nodes' order.
    ///
    /// Dropping the future leaves what was created to [`Created::remove_all`].
    pub async fn run<R: Request<Wire = Operation>>(
        &self,
        nodes: &[&Node],
        request: &R,
    ) -> Vec<Outcome<R::Answer>> {
        let outcomes = self.run_operation(nodes, &request.to_wire()).await;
        outcomes.into_iter().map(Outcome::of::<R>).collect()
    }

    /// As [`Session::run`], of any operation.
    pub async fn run_operation(&self, nodes: &[&Node], operation: &Operation) -> Vec<Outcome> {
        let ended = self.run_once(nodes, operation).await;
        if operation.only_looks() && self.is_back(&ended).await {
            return self.run_once(nodes, operation).await;
        }
        ended
    }

    /// Does one operation on one node.
    ///
    /// # Errors
    /// Why there is no report.
    pub async fn ask<R: Request<Wire = Operation>>(
        &self,
        node: &Node,
        request: &R,
    ) -> Result<R::Answer, Error> {
        only(&node.name, self.run(&[node], request).await)
    }

    /// Whether the apiserver was lost for every node and is in order again: etcd has elected another leader, say.
    async fn is_back(&self, ended: &[Outcome]) -> bool {
        let lost = Outcome::is_without_apiserver;
        match self.cluster() {
            Ok(cluster) if !ended.is_empty() && ended.iter().all(lost) => {
                let ready = readiness(&cluster.connection.control);
                let ready = tokio::time::timeout(READY_AGAIN_LIMIT, ready).await;
                ready == Ok(Readiness::Ready)
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// One try of it.
    async fn run_once(&self, nodes: &[&Node], operation: &Operation) -> Vec<Outcome> {
        let begun = Instant::now();
        let mut ended: Vec<Option<Outcome>> = nodes.iter().map(|_| None).collect();
        let mut work: Vec<(usize, &Node)> = Vec::new();
        for (number, node) in nodes.iter().enumerate() {
            match without_etcd(node) {
                None => work.push((number, node)),
                Some(error) => {
                    let outcome = Outcome {
                        node: node.name.clone(),
                        via: None,
                        took: begun.elapsed(),
                        result: Err(error),
                    };
                    ended[number] = Some(outcome);
                }
            }
        }
        let running: Vec<&Node> = work.iter().map(|(_, node)| *node).collect();
        let mut results = self.begin(&running, operation).await;
        while let Some((position, (via, result))) = results.next().await {
            let Some((number, node)) = work.get(position) else {
                continue;
            };
            let outcome = Outcome {
                node: node.name.clone(),
                via: Some(via),
                took: begun.elapsed(),
                result,
            };
            ended[*number] = Some(outcome);
        }
        let mut ended: Vec<Outcome> = ended.into_iter().flatten().collect();
        self.rescue_here(&mut ended, operation).await;
        ended
    }

    /// The apiserver was lost in between, and this host is one of the nodes: then it is asked directly.
    async fn rescue_here(&self, ended: &mut [Outcome], operation: &Operation) {
        let lost = |outcome: &Outcome| outcome.via.is_none() || outcome.is_without_apiserver();
        if !matches!(self.ground, Ground::Cluster(_))
            || self.forced.is_some()
            || !ended.iter().all(lost)
        {
            return;
        }
        let Some(here) = local::is_control_plane()
            .then(|| local::host(&Selection::default(), &self.notices))
            .and_then(Result::ok)
        else {
            return;
        };
        if let Some(outcome) = ended
            .iter_mut()
            .find(|outcome| outcome.node == here.name && outcome.via.is_some())
        {
            let why = outcome
                .result
                .as_ref()
                .err()
                .map(|error| error.message.clone())
                .unwrap_or_default();
            self.choose(Via::Local, &why);
            let begun = Instant::now();
            outcome.result = self
                .run_here(&here, operation, runners::limit(operation, self.limit))
                .await;
            outcome.via = Some(Via::Local);
            outcome.took += begun.elapsed();
        }
    }

    /// The results of all nodes, by position, in the order in which they come.
    async fn begin<'a>(
        &'a self,
        nodes: &'a [&'a Node],
        operation: &'a Operation,
    ) -> FuturesUnordered<Pin<Box<dyn Future<Output = (usize, Ended)> + Send + 'a>>> {
        let results = FuturesUnordered::new();
        let limit = runners::limit(operation, self.limit);
        match (&self.ground, self.via_for(operation)) {
            (Ground::Host, _) => {
                for (position, node) in nodes.iter().enumerate() {
                    results.push(boxed(async move {
                        let result = self.run_here(node, operation, limit).await;
                        (position, (Via::Local, result))
                    }));
                }
            }
            (Ground::Hosts { hosts, .. }, _) => {
                for (position, node) in nodes.iter().enumerate() {
                    let host = hosts.iter().find(|host| host.node() == node.name);
                    results.push(boxed(async move {
                        let work = Box::pin(runners::host::operate(host, operation));
                        let via = runners::host::via(host);
                        (position, (via, within(limit, work).await))
                    }));
                }
            }
            (Ground::Cluster(cluster), Via::Exec) => {
                let all = exec::run_all(&cluster.connection, nodes, operation, limit).await;
                for (position, result) in all.into_iter().enumerate() {
                    results.push(boxed(async move { (position, (Via::Exec, result)) }));
                }
            }
            (Ground::Cluster(cluster), via) => {
                let round = Round::begin(cluster, via, nodes, operation, limit).await;
                match round {
                    Ok(round) => {
                        let round = std::sync::Arc::new(round);
                        for (position, node) in nodes.iter().enumerate() {
                            let round = std::sync::Arc::clone(&round);
                            results.push(boxed(async move {
                                let first = round.run(node, &self.notices).await;
                                (
                                    position,
                                    self.or_successor(cluster, node, operation, limit, via, first)
                                        .await,
                                )
                            }));
                        }
                    }
                    Err(error) => {
                        for (position, node) in nodes.iter().enumerate() {
                            let first = Err(error.clone());
                            results.push(boxed(async move {
                                (
                                    position,
                                    self.or_successor(cluster, node, operation, limit, via, first)
                                        .await,
                                )
                            }));
                        }
                    }
                }
            }
        }
        results
    }

    /// The result, or, where another runner may do better, that one's.
    async fn or_successor(
        &self,
        cluster: &Cluster,
        node: &Node,
        operation: &Operation,
        limit: Duration,
        mut via: Via,
        mut result: Result<Report, RunError>,
    ) -> Ended {
        let stopped = RunErrorKind::OperationFailed(FailureKind::Interrupted);
        if operation.only_looks() && matches!(&result, Err(error) if error.kind == stopped) {
            // Not by us: while two controller-managers take turns a Job may get two Pods, of which one is ended.
            result = match Round::begin(cluster, via, &[node], operation, limit).await {
                Ok(round) => round.run(node, &self.notices).await,
                Err(error) => Err(error),
            };
        }
        while self.forced.is_none()
            && let Err(error) = &result
            && let Some(next) = runners::successor(via, error, operation)
        {
            let why = error.clone();
            self.choose(next, &why.message);
            let second = match next {
                Via::Pod => match Round::begin(cluster, next, &[node], operation, limit).await {
                    Ok(round) => round.run(node, &self.notices).await,
                    Err(error) => Err(error),
                },
                Via::Exec => exec::run_one(&cluster.connection, node, operation, limit).await,
                Via::Job | Via::Local | Via::Ssh => return (via, result),
            };
            // When neither can, the first reason is what has to be put right.
            result = second.map_err(|error| match error.kind {
                RunErrorKind::OperationFailed(_) => error,
                _ => RunError {
                    message: format!("{}; through {next}: {}", why.message, error.message),
                    hint: why.hint.clone().or(error.hint),
                    kind: if next == Via::Pod {
                        error.kind
                    } else {
                        why.kind
                    },
                },
            });
            if result.is_err() && next == Via::Exec {
                return (next, result);
            }
            via = next;
        }
        (via, result)
    }

    async fn run_here(
        &self,
        node: &Node,
        operation: &Operation,
        limit: Duration,
    ) -> Result<Report, RunError> {
        let mut progress = |progress| {
            (self.notices)(Notice::Progress {
                node: node.name.clone(),
                progress,
            });
        };
        within(limit, local::operate(node, operation, &mut progress)).await
    }

    /// Remembers that another runner is used from here on, and says so once.
    fn choose(&self, via: Via, why: &str) {
        let before = self.chosen().replace(via);
        if before != Some(via) {
            (self.notices)(Notice::RunnerChosen {
                via,
                why: why.to_owned(),
            });
        }
    }

    fn chosen(&self) -> std::sync::MutexGuard<'_, Option<Via>> {
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is needed to work through the apiserver.
    ///
    /// # Errors
    /// When this session works on this host instead.
    pub fn cluster(&self) -> Result<&Cluster, Error> {
        match &self.ground {
            Ground::Cluster(cluster) => Ok(cluster),
            Ground::Host | Ground::Hosts { .. } => {
                Err(Error::failed("there is no apiserver to do this through"))
            }
        }
    }

    /// Whether these nodes are all there are, as far as anybody knows.
    pub fn knows_all(&self) -> bool {
        match self.ground {
            Ground::Cluster(_) => true,
            Ground::Host => false,
            Ground::Hosts { complete, .. } => complete,
        }
    }

    /// Where is told what goes on.
    pub fn notices(&self) -> &NoticeSink {
        &self.notices
    }
}

/// What comes of it within the limit.
async fn within(
    limit: Duration,
    work: impl Future<Output = Result<Report, RunError>>,
) -> Result<Report, RunError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(RunError::new(
            RunErrorKind::TimedOut,
            format!("not done within {} s", limit.as_secs()),
        )
        .hint("give it longer with --timeout")),
    }
}

fn boxed<'a, T>(
    future: impl Future<Output = T> + Send + 'a,
) -> Pin<Box<dyn Future<Output = T> + Send + 'a>> {
    Box::pin(future)
}

fn without_etcd(node: &Node) -> Option<RunError> {
    match &node.etcd {
        Etcd::Found(_) => None,
        Etcd::Absent { why } => Some(RunError::new(RunErrorKind::NoEtcd, why.clone())),
        Etcd::Unknown { why, hint, .. } => Some(RunError {
            kind: RunErrorKind::NotReached,
            message: why.clone(),
            hint: hint.clone(),
        }),
        Etcd::External { servers } => Some(
            RunError::new(
                RunErrorKind::NoEtcd,
                format!(
                    "its apiserver uses an etcd outside the cluster: {}",
                    servers.join(", ")
                ),
            )
            .hint("kubectl etcd works on etcd that runs as static pods on the control-plane nodes"),
        ),
    }
}
