//! What the plugin asks of a control-plane node on which it does not run itself: the words of `etcd-job host`, and the answers.
//!
//! One [`Ask`] goes in as JSON, [`Line`]s come back, one a line: progress, then one answer or one failure. On the plugin's
//! own host the same is done by [`answer`] in its own process. Work that must not stop when the connection does is done by
//! a process of its own, and asked for again it is followed ([`detached`]).
//!
//! Both sides are of one build, as the plugin brings the program; a version is in all of it for those who read later what
//! an earlier build left on a host. The rules for change are those of [`crate::wire`].

pub mod detached;
mod file;
mod plans;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::advice;
use crate::advice::Choice;
use crate::agree::{Agreement, agreement};
use crate::failure::{Failure, FailureKind};
use crate::kubelet;
use crate::local;
use crate::look::{Look, LookOptions, Since, etcd_manifest, is_control_plane, look, since};
use crate::manifest::Selection;
use crate::operation::{Assignment, Operation};
use crate::plan::{Direction, Plan, PlanId, Plans, StepRun};
use crate::report::Report;
use crate::run::{Cancel, run};
use crate::target::Target;
use crate::transfer::Whole;
use crate::wire::{self, LineError, Progress};
use crate::work::{Events, Flow, hash_file, work};

pub use detached::Detached;
pub use file::{Impatient, copy, receive, send};
pub use plans::{PlanOnHost, StepOnHost, UnreadablePlan};

/// The version of [`Ask`], [`Line`] and everything in them.
pub const VERSION: u32 = 1;

/// What is asked of a host, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ask {
    /// [`VERSION`] of who asks.
    pub version: u32,
    /// What is to be done.
    pub request: HostRequest,
    /// Which manifests are meant.
    #[serde(default, skip_serializing_if = "Selection::is_empty")]
    pub selection: Selection,
    /// Where it is on record when it must not stop with the connection; none: it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detached: Option<Detached>,
}

/// What can be asked of a host. Each is safe to ask again when the answer was lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "request",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum HostRequest {
    /// Who answers there.
    Hello,
    /// What a file is: its size and its SHA-256.
    Digest {
        /// The file.
        path: PathBuf,
    },
    /// What can be known of it while nothing is changed.
    Look {
        /// How far to look.
        options: LookOptions,
    },
    /// What its database has that a snapshot has not, and which cluster it is of. Nothing is changed.
    Since {
        /// The snapshot's revision.
        revision: u64,
    },
    /// What a Job does on a node, with this host's own etcd. Only what looks: an answer that is lost is asked for again.
    Operate {
        /// What.
        operation: Operation,
    },
    /// Whether the members of its cluster have the same.
    Agreement,
    /// The text of a component's manifest, in the static pods' folder or taken out of it.
    Manifest {
        /// The component.
        component: String,
    },
    /// Begins a plan there; one that has begun is gone on with.
    BeginPlan {
        /// The plan.
        plan: Box<Plan>,
    },
    /// Does a step of a plan that has begun there, or takes it back.
    Step {
        /// The plan.
        plan: PlanId,
        /// The step's number.
        number: u32,
        /// Which way.
        direction: Direction,
    },
    /// A plan has ended there.
    EndPlan {
        /// The plan.
        plan: PlanId,
    },
    /// The plans there are, and how far they are.
    Plans {
        /// This one only; else all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan: Option<PlanId>,
    },
}

/// What a host answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum HostAnswer {
    /// To [`HostRequest::Hello`].
    Hello(Hello),
    /// To [`HostRequest::Digest`].
    Digest {
        /// What the file is; none: there is no such file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<Whole>,
    },
    /// A file that was sent has its name now.
    Received {
        /// What it is.
        file: Whole,
    },
    /// To [`HostRequest::Look`].
    Look {
        /// What was found.
        look: Box<Look>,
    },
    /// To [`HostRequest::Since`].
    Since(Since),
    /// To [`HostRequest::Operate`].
    Report {
        /// What was found.
        report: Box<Report>,
    },
    /// To [`HostRequest::Agreement`].
    Agreement(Agreement),
    /// To [`HostRequest::Manifest`].
    Manifest {
        /// The manifest's text.
        text: String,
    },
    /// It is done: to [`HostRequest::BeginPlan`] and [`HostRequest::EndPlan`].
    Plain,
    /// To [`HostRequest::Step`].
    Step {
        /// What came of it.
        run: StepRun,
    },
    /// To [`HostRequest::Plans`].
    Plans {
        /// The plans, in the order of their names.
        plans: Vec<PlanOnHost>,
        /// Those that cannot be read.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unreadable: Vec<UnreadablePlan>,
    },
}

/// A host that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// The program's version.
    pub version: String,
    /// The node's name, as kubelet registers it.
    pub node: String,
    /// Whether a static pod there runs etcd, or did until it was stopped.
    pub etcd: bool,
    /// Whether a static pod there is of a control plane, or was until it was stopped.
    #[serde(default)]
    pub control_plane: bool,
    /// Its etcd, as far as its manifest tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Box<Target>>,
    /// Why that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_target: Option<Failure>,
    /// Who the program runs as; 0 is root.
    pub uid: u32,
    /// The processor's architecture, in Rust's words.
    pub architecture: String,
}

/// One line of output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// [`VERSION`] of who wrote it.
    pub version: u32,
    /// What it says.
    pub event: HostEvent,
}

/// What happens while a request is worked on, and how that ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum HostEvent {
    /// It goes on.
    Progress(Progress),
    /// It is done: the last line.
    Done {
        /// What was asked for.
        answer: HostAnswer,
    },
    /// It failed: the last line.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Something this version does not know; to be ignored.
    #[serde(other)]
    Unknown,
}

impl Ask {
    /// A request of this version that ends with the connection.
    pub fn new(request: HostRequest) -> Self {
        Self {
            version: VERSION,
            request,
            selection: Selection::default(),
            detached: None,
        }
    }

    /// The same of these manifests.
    #[must_use]
    pub fn of(mut self, selection: Selection) -> Self {
        self.selection = selection;
        self
    }

    /// The same, done by a process of its own that is on record there.
    #[must_use]
    pub fn detached(mut self, detached: Detached) -> Self {
        self.detached = Some(detached);
        self
    }

    /// Refuses what another version asks.
    ///
    /// # Errors
    /// [`FailureKind::Refused`].
    pub fn check_version(&self) -> Result<(), Failure> {
        let theirs = self.version;
        if theirs == VERSION {
            return Ok(());
        }
        let message = format!("the request is of version {theirs}, this program of {VERSION}");
        Err(Failure::new(FailureKind::Refused, message)
            .hint("go on with the plugin that began this"))
    }
}

impl Line {
    /// A line of this version.
    pub fn new(event: HostEvent) -> Self {
        Self {
            version: VERSION,
            event,
        }
    }

    /// Reads one line.
    ///
    /// # Errors
    /// When it is not one of ours, or not of this version: the version is looked at before anything else is.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        wire::parse(text, VERSION, |_| "go on with the plugin that began this")
    }

    /// The line as it is written, with its end.
    ///
    /// # Errors
    /// When an answer cannot be written as JSON: a path that is no text.
    pub fn text(&self) -> io::Result<String> {
        let mut text = serde_json::to_string(self)?;
        text.push('\n');
        Ok(text)
    }
}

impl From<Result<HostAnswer, Failure>> for HostEvent {
    fn from(ended: Result<HostAnswer, Failure>) -> Self {
        match ended {
            Ok(answer) => Self::Done { answer },
            Err(failure) => Self::Failed { failure },
        }
    }
}

/// Does what is asked, in this process.
///
/// # Errors
/// What was in the way.
pub async fn answer(ask: &Ask, events: &mut Events<'_>) -> Result<HostAnswer, Failure> {
    let (root, selection) = (Path::new("/"), &ask.selection);
    match &ask.request {
        HostRequest::Hello => hello(root, selection).map(HostAnswer::Hello),
        HostRequest::Digest { path } => {
            let file = digest(path, events).await?;
            Ok(HostAnswer::Digest { file })
        }
        HostRequest::Look { options } => {
            let look = Box::pin(look(root, selection, options, events)).await;
            Ok(HostAnswer::Look {
                look: Box::new(look),
            })
        }
        HostRequest::Since { revision } => {
            let found = Box::pin(since(root, selection, *revision, events)).await;
            found.map(HostAnswer::Since)
        }
        HostRequest::Operate { operation } => {
            let report = Box::pin(operate(operation, selection, events)).await?;
            Ok(HostAnswer::Report {
                report: Box::new(report),
            })
        }
        HostRequest::Agreement => {
            let etcd = local::host(selection)?.etcd?.ok_or_else(no_etcd)?;
            let target = etcd
                .target
                .map_err(|error| Failure::new(FailureKind::Refused, error.to_string()))?;
            agreement(&target).await.map(HostAnswer::Agreement)
        }
        HostRequest::Manifest { component } => plans::manifest(component, selection),
        HostRequest::BeginPlan { plan } => {
            Plans::default().begin(plan)?;
            Ok(HostAnswer::Plain)
        }
        HostRequest::Step {
            plan,
            number,
            direction,
        } => plans::step(plan, *number, *direction, events).await,
        HostRequest::EndPlan { plan } => {
            Plans::default().end(plan)?;
            Ok(HostAnswer::Plain)
        }
        HostRequest::Plans { plan } => plans::plans(plan.as_ref()),
    }
}

fn no_etcd() -> Failure {
    Failure::new(FailureKind::Missing, "no manifest here runs etcd")
}

async fn operate(
    operation: &Operation,
    selection: &Selection,
    events: &mut Events<'_>,
) -> Result<Report, Failure> {
    if !operation.only_looks() {
        let message = format!("{} is not done in this way", operation.name());
        return Err(Failure::new(FailureKind::Refused, message).hint(advice![
            "run it through the apiserver, or on the host with ",
            Choice::Via.with("local")
        ]));
    }
    let assignment = Assignment {
        version: wire::VERSION,
        operation: operation.clone(),
        target: etcd_manifest(Path::new("/"), selection)?.target,
    };
    run(&assignment, events, &Cancel::never()).await
}

fn hello(root: &Path, selection: &Selection) -> Result<Hello, Failure> {
    // A host without manifests answers as well: it says that it is none to work on.
    let found = etcd_manifest(root, selection);
    let host = local::host_at(root, selection).ok();
    let in_folder = host.is_some_and(|host| !matches!(host.etcd, Ok(None)));
    Ok(Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: kubelet::node_name(root)?,
        etcd: found.is_ok() || in_folder,
        control_plane: is_control_plane(root),
        no_target: found.as_ref().err().cloned(),
        target: found.ok().map(|found| Box::new(found.target)),
        uid: rustix::process::geteuid().as_raw(),
        architecture: std::env::consts::ARCH.to_owned(),
    })
}

async fn digest(path: &Path, events: &mut Events<'_>) -> Result<Option<Whole>, Failure> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    let (path, flow) = (path.to_owned(), Arc::new(Flow::new("reading")));
    work(flow, events, move |flow| hash(file, &path, flow).map(Some)).await
}

fn hash(mut file: File, path: &Path, flow: &Flow) -> Result<Whole, Failure> {
    let unreadable = |error| unreadable(path, &error);
    flow.of(file.metadata().map_err(unreadable)?.len());
    hash_file(&mut file, flow, unreadable)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("could not read {}: {error}", path.display());
    Failure::new(FailureKind::Missing, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_says_who_it_is() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        assert_eq!(
            hello(root.path(), &Selection::default()).unwrap_err().kind,
            FailureKind::Missing
        );
        std::fs::write(root.path().join("proc/sys/kernel/hostname"), "CP-1\n").unwrap();
        let hello = hello(root.path(), &Selection::default()).unwrap();
        assert_eq!((hello.node.as_str(), hello.etcd), ("cp-1", false));
        assert_eq!(hello.architecture, std::env::consts::ARCH);
    }

    #[test]
    fn a_host_whose_etcd_was_stopped_is_one_to_work_on() {
        const ETCD: &str = include_str!("../tests/manifests/kubeadm-1.36-etcd.yaml");
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/sys/kernel/hostname", "cp-1\n");
        write("etc/kubernetes/manifests/.keep", "");
        let none = hello(root.path(), &Selection::default()).unwrap();
        assert!(!none.etcd && !none.control_plane && none.target.is_none());
        write(
            "var/lib/kubectl-etcd/manifests/etcd.yaml-2026-11-20T210000Z.stopped",
            ETCD,
        );
        let stopped = hello(root.path(), &Selection::default()).unwrap();
        assert!(stopped.etcd && stopped.control_plane);
        assert_eq!(stopped.target.unwrap().pod, "etcd-cp-1");
    }

    #[tokio::test]
    async fn what_changes_something_is_not_done_on_request() {
        let request = HostRequest::Operate {
            operation: Operation::Defrag,
        };
        let refused = answer(&Ask::new(request), &mut |_| ()).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused);
        assert!(
            refused
                .hint
                .is_some_and(|hint| hint.to_string().contains("{+via=local}"))
        );
    }

    #[tokio::test]
    async fn a_file_is_told_by_size_and_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let ask = Ask::new(HostRequest::Digest { path: path.clone() });
        let none = answer(&ask, &mut |_| ()).await.unwrap();
        assert_eq!(none, HostAnswer::Digest { file: None });
        std::fs::write(&path, "abc").unwrap();
        let told = answer(&ask, &mut |_| ()).await.unwrap();
        let HostAnswer::Digest { file: Some(file) } = told else {
            panic!("{told:?}")
        };
        assert_eq!(file.size_bytes, 3);
        assert!(file.sha256.starts_with("ba7816bf8f01cfea"), "{file:?}");
    }

    #[test]
    fn the_words_stay_what_they_are() {
        let ask = r#"{"version":1,"request":{"request":"hello"}}"#;
        assert_eq!(
            serde_json::to_string(&Ask::new(HostRequest::Hello)).unwrap(),
            ask
        );
        let line = r#"{"version":1,"event":{"type":"done","answer":{"answer":"digest"}}}"#;
        let event = HostEvent::Done {
            answer: HostAnswer::Digest { file: None },
        };
        assert_eq!(Line::parse(line).unwrap(), Line::new(event));
        let later = r#"{"version":1,"event":{"type":"sings","song":[1]}}"#;
        assert_eq!(Line::parse(later).unwrap().event, HostEvent::Unknown);
        let newer = line.replacen('1', "2", 1);
        assert!(matches!(
            Line::parse(&newer),
            Err(LineError::OtherVersion { theirs: 2, .. })
        ));
        let ask: Ask = serde_json::from_str(&ask.replacen('1', "9", 1)).unwrap();
        assert_eq!(ask.check_version().unwrap_err().kind, FailureKind::Refused);
    }

    proptest! {
        #[test]
        fn foreign_lines_are_refused_and_nothing_else_happens(text in ".{0,200}") {
            prop_assert!(Line::parse(&text).is_err());
        }
    }
}
