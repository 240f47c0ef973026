//! What running an operation on the nodes gives back, and what is told meanwhile.

use std::sync::Arc;
use std::time::Duration;

use etcd_operations::advice::Advice;
use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::operation::Operation;
use etcd_operations::report::Report;
use etcd_operations::request::{Request, answer_to};
use etcd_operations::wire::Progress;

use crate::error::{Error, ErrorKind};
use crate::via::Via;

/// How one operation ended on one node. Its report is of a type of its own where the operation's is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome<T = Report> {
    /// The node.
    pub node: String,
    /// The runner that was used last; none when there was nothing to run it on.
    pub via: Option<Via>,
    /// How long it took, from its beginning to the report.
    pub took: Duration,
    /// The report, or why there is none.
    pub result: Result<T, RunError>,
}

impl Outcome {
    /// The outcome of this request, with the type of its report.
    pub fn of<R: Request<Wire = Operation>>(self) -> Outcome<R::Answer> {
        let report = |report| Ok(answer_to::<R>(report)?);
        Outcome {
            node: self.node,
            via: self.via,
            took: self.took,
            result: self.result.and_then(report),
        }
    }
}

/// The report of the one node that was asked.
///
/// # Errors
/// Why there is none.
pub fn only<T>(node: &str, outcomes: Vec<Outcome<T>>) -> Result<T, Error> {
    only_result(outcomes).map_err(|error| run_error(node, &error))
}

/// As [`only`], with the error of the runner.
pub(crate) fn only_result<T>(outcomes: Vec<Outcome<T>>) -> Result<T, RunError> {
    let lost = || RunError::new(RunErrorKind::Lost, "the operation has no outcome");
    let first = outcomes.into_iter().next();
    first.map_or_else(|| Err(lost()), |outcome| outcome.result)
}

/// What sort of trouble kept an operation from being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunErrorKind {
    /// The node's kubelet takes no pod, or the apiserver does not reach it: the node is off, frozen or cut off, or only its
    /// kubelet is.
    NodeDown,
    /// The node's kubelet takes no pod, though the node is on: its etcd answers.
    KubeletSilent,
    /// The node took the pod, but its container does not start.
    PodNotStarted,
    /// The image is not on the node and cannot be pulled.
    ImageMissing,
    /// Admission refused the pod: pod security, or another admission check.
    AdmissionRefused,
    /// A quota of the namespace refused it.
    QuotaExceeded,
    /// The user may not do what is needed.
    NoRights,
    /// etcd refuses writes (NOSPACE), so nothing can be created.
    WritesRefused,
    /// No controller turns Jobs into Pods.
    NoController,
    /// The etcd container is not running, so nothing can be run inside it.
    EtcdNotRunning,
    /// This runner cannot do this operation.
    NotSupportedByRunner,
    /// It was not done within its time limit.
    TimedOut,
    /// It ran, and failed.
    OperationFailed(FailureKind),
    /// The job's program speaks another version of the report format.
    OtherVersion,
    /// The host could not be reached over ssh, or not worked on.
    NotReached,
    /// There is no etcd on this node to do it with.
    NoEtcd,
    /// The apiserver does not answer any more.
    ApiserverLost,
    /// The apiserver takes requests, and has no etcd that does them.
    EtcdLost,
    /// The job's pod vanished, or ended without a report.
    Lost,
    /// Anything else the apiserver said.
    Other,
}

impl RunErrorKind {
    /// Whether nothing more can be done through the apiserver, be it gone itself or its etcd.
    pub(crate) fn is_without_apiserver(self) -> bool {
        matches!(self, Self::ApiserverLost | Self::EtcdLost)
    }

    /// Whether no way through the apiserver gets an answer from the node.
    pub(crate) fn is_out_of_reach(self) -> bool {
        self.is_without_apiserver() || matches!(self, Self::NodeDown | Self::TimedOut)
    }
}

/// Why an operation was not done on a node. The message is a lower-case fragment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RunError {
    /// What sort of trouble it was.
    pub kind: RunErrorKind,
    /// What happened, with its causes.
    pub message: String,
    /// What would help, if that is known.
    pub hint: Option<Advice>,
}

impl RunError {
    /// An error without a hint.
    pub fn new(kind: RunErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    /// The same error, saying what would help.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Advice>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<etcd_operations::failure::Failure> for RunError {
    fn from(failure: etcd_operations::failure::Failure) -> Self {
        Self {
            kind: RunErrorKind::OperationFailed(failure.kind),
            message: failure.message,
            hint: failure.hint,
        }
    }
}

/// Something worth telling while it runs. Whether and how it is shown is the view's business.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// Another runner than the first choice is used.
    RunnerChosen {
        /// Which.
        via: Via,
        /// Why, as a lower-case fragment.
        why: String,
    },
    /// How far an operation is on a node.
    Progress {
        /// The node.
        node: String,
        /// How far.
        progress: Progress,
    },
    /// No more progress comes for now.
    ProgressEnded,
    /// Something that was done beside the work.
    Told(String),
    /// Something that does not stop the work but should be known.
    Warning(String),
}

/// Where notices go.
pub type NoticeSink = Arc<dyn Fn(Notice) + Send + Sync>;

/// What kept an operation from being done, as the command's own error.
pub fn run_error(node: &str, error: &RunError) -> Error {
    error_saying(format!("{node}: {}", error.message), error)
}

fn error_saying(message: String, error: &RunError) -> Error {
    let kind = match error.kind {
        RunErrorKind::NodeDown
        | RunErrorKind::KubeletSilent
        | RunErrorKind::EtcdNotRunning
        | RunErrorKind::ApiserverLost
        | RunErrorKind::EtcdLost
        | RunErrorKind::NotReached
        | RunErrorKind::OperationFailed(FailureKind::Unreachable) => ErrorKind::NothingReached,
        RunErrorKind::OperationFailed(FailureKind::NoQuorum | FailureKind::Corrupt) => {
            ErrorKind::QuorumLostOrDamaged
        }
        RunErrorKind::OperationFailed(FailureKind::Refused) | RunErrorKind::AdmissionRefused => {
            ErrorKind::Refused
        }
        RunErrorKind::OperationFailed(FailureKind::Interrupted) => ErrorKind::Interrupted,
        RunErrorKind::NoRights => ErrorKind::NotAllowed,
        RunErrorKind::PodNotStarted
        | RunErrorKind::ImageMissing
        | RunErrorKind::QuotaExceeded
        | RunErrorKind::WritesRefused
        | RunErrorKind::NoController
        | RunErrorKind::NotSupportedByRunner
        | RunErrorKind::TimedOut
        | RunErrorKind::OtherVersion
        | RunErrorKind::NoEtcd
        | RunErrorKind::Lost
        | RunErrorKind::Other
        | RunErrorKind::OperationFailed(
            FailureKind::Unauthorized
            | FailureKind::NoSpace
            | FailureKind::Missing
            | FailureKind::Other,
        ) => ErrorKind::Failed,
    };
    let mut out = Error::new(kind, message);
    out.hints.extend(error.hint.clone());
    out
}

impl Error {
    /// What this host's own code failed with, which says itself where it was.
    pub fn of_own(failure: &Failure) -> Self {
        error_saying(failure.message.clone(), &RunError::from(failure.clone()))
    }

    /// What a host's own code failed with.
    pub fn of_failure(node: &str, failure: &Failure) -> Self {
        run_error(node, &RunError::from(failure.clone()))
    }
}
