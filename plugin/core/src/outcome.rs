//! What running an operation on the nodes gives back, and what is told meanwhile.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use etcd_operations::advice::Advice;
use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::operation::Operation;
use etcd_operations::report::Report;
use etcd_operations::request::{Request, answer_to};
use etcd_operations::wire::Progress;

use crate::error::{Cause, Error, ErrorKind};
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
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct RunError {
    /// What sort of trouble it was.
    pub kind: RunErrorKind,
    /// What happened, with its causes.
    pub message: String,
    /// What would help, if that is known.
    pub hint: Option<Advice>,
    /// What caused it.
    pub source: Option<Cause>,
}

impl RunError {
    /// An error without a hint.
    pub fn new(kind: RunErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// The same error with its cause, which its message has told.
    #[must_use]
    pub(crate) fn caused_by(mut self, cause: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Cause::new(cause));
        self
    }

    /// The same error, saying what would help where that is known.
    #[must_use]
    pub(crate) fn maybe_hint(mut self, hint: Option<Advice>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// The same error, saying what would help.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Advice>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Failure> for RunError {
    fn from(failure: Failure) -> Self {
        Self::new(RunErrorKind::OperationFailed(failure.kind), failure.message)
            .maybe_hint(failure.hint)
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
    /// Nobody has answered yet.
    Waiting {
        /// Who is waited for.
        whom: String,
        /// Whether it takes longer than anybody expects.
        long: bool,
    },
    /// No more progress comes for now.
    ProgressEnded,
    /// Something that was done beside the work.
    Told(Advice),
    /// Something that does not stop the work but should be known.
    Warning(String),
}

/// Where notices go.
pub type NoticeSink = Arc<dyn Fn(Notice) + Send + Sync>;

/// What kept an operation from being done, as the command's own error.
pub fn run_error(node: &str, error: &RunError) -> Error {
    let mut out = Error::new(error.kind.into(), format!("{node}: {}", error.message));
    out.hints.extend(error.hint.clone());
    out.source = error.source.clone().map(Into::into);
    out
}

impl From<RunErrorKind> for ErrorKind {
    fn from(kind: RunErrorKind) -> Self {
        match kind {
            RunErrorKind::OperationFailed(kind) => kind.into(),
            RunErrorKind::NodeDown
            | RunErrorKind::KubeletSilent
            | RunErrorKind::EtcdNotRunning
            | RunErrorKind::ApiserverLost
            | RunErrorKind::EtcdLost
            | RunErrorKind::NotReached => Self::NothingReached,
            RunErrorKind::AdmissionRefused => Self::Refused,
            RunErrorKind::NoRights => Self::NotAllowed,
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
            | RunErrorKind::Other => Self::Failed,
        }
    }
}

impl Error {
    /// What a host's own code failed with.
    pub fn of_failure(node: &str, failure: &Failure) -> Self {
        Self::from(failure.clone()).ending(node)
    }
}
