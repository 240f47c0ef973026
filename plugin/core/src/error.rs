//! The one error of the plugin, and what every ending is as an exit code.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use etcd_operations::advice::Advice;
use etcd_operations::failure::{Failure, FailureKind};
use schemars::JsonSchema;
use serde::Serialize;

use crate::exit_code::ExitCode;

/// How a command that could do its work judges what it saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Done, and nothing is wrong.
    Healthy,
    /// Done, but the cluster is degraded or a check warns.
    Degraded,
    /// The quorum is lost or data is damaged.
    QuorumLostOrDamaged,
    /// No etcd could be reached.
    NothingReached,
}

impl Verdict {
    /// Healthy where all is well, else degraded.
    pub fn of(is_well: bool) -> Self {
        match is_well {
            true => Self::Healthy,
            false => Self::Degraded,
        }
    }

    /// The process's exit code.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Healthy => ExitCode::Healthy,
            Self::Degraded => ExitCode::Degraded,
            Self::QuorumLostOrDamaged => ExitCode::QuorumLostOrDamaged,
            Self::NothingReached => ExitCode::NothingReached,
        }
    }
}

/// What sort of ending an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum ErrorKind {
    /// It was tried and failed.
    Failed,
    /// The user's rights, or who the kubeconfig says the user is, do not suffice: trying again changes nothing.
    NotAllowed,
    /// What was typed cannot be meant, or the kubeconfig cannot be used.
    Usage,
    /// It could not be done because the cluster is degraded.
    Degraded,
    /// The quorum is lost, or data is damaged.
    QuorumLostOrDamaged,
    /// A safety check refused, or it was not confirmed; a hint says what would lift the refusal.
    Refused,
    /// Nothing could be reached: no apiserver and no etcd.
    NothingReached,
    /// Ctrl-C or a signal ended it.
    Interrupted,
}

impl ErrorKind {
    /// The process's exit code.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Failed | Self::NotAllowed => ExitCode::Failed,
            Self::Usage => ExitCode::Usage,
            Self::Degraded => ExitCode::Degraded,
            Self::QuorumLostOrDamaged => ExitCode::QuorumLostOrDamaged,
            Self::Refused => ExitCode::Refused,
            Self::NothingReached => ExitCode::NothingReached,
            Self::Interrupted => ExitCode::Interrupted,
        }
    }
}

/// Why a command was not done: what happened, what to type next, and the causes below it.
///
/// The message is a lower-case fragment without a final period that reads well after `error: `.
#[derive(Debug)]
pub struct Error {
    /// What sort of ending it is: decides the exit code.
    pub kind: ErrorKind,
    /// What happened.
    pub message: String,
    /// The next command to type, or the flag that lifts a refusal; one a line.
    pub hints: Vec<Advice>,
    /// What caused it.
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without hints or cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: Vec::new(),
            source: None,
        }
    }

    /// [`ErrorKind::Failed`].
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    /// [`ErrorKind::Usage`].
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// [`ErrorKind::Refused`].
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    /// The same error with one more hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Advice>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same error with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error, which ended this.
    #[must_use]
    pub fn ending(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The same error, which came this far.
    #[must_use]
    pub fn after(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{}, {what}", self.message);
        self
    }

    /// Several errors as one, of the first one's kind: all messages, and each hint once. None: there are none.
    pub fn all(errors: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut errors = errors.into_iter();
        let mut all = errors.next()?;
        for error in errors {
            all.message = format!("{}; {}", all.message, error.message);
            for hint in error.hints {
                if !all.hints.contains(&hint) {
                    all.hints.push(hint);
                }
            }
        }
        Some(all)
    }

    /// The message and every cause below it, each part once: many libraries repeat their cause in their own text.
    pub fn chain(&self) -> String {
        let parts = self.causes();
        parts
            .iter()
            .fold(self.message.clone(), |text, part| format!("{text}: {part}"))
    }

    /// What caused it, and what caused that: what is said above already is left out, and what is below a [`Cause`].
    pub fn causes(&self) -> Vec<String> {
        let mut said = self.message.clone();
        let mut parts = Vec::new();
        let mut next = self.source();
        while let Some(cause) = next.filter(|cause| !cause.is::<Cause>()) {
            let part = cause.to_string();
            if !part.is_empty() && !said.contains(&part) {
                said.push_str(&part);
                parts.push(part);
            }
            next = cause.source();
        }
        parts
    }
}

/// What caused an error whose message has said it: kept for programs, and not said again.
#[derive(Debug, Clone)]
pub struct Cause(Arc<dyn StdError + Send + Sync>);

impl Cause {
    /// This cause.
    pub fn new(error: impl StdError + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }

    /// The error itself, to ask it for its type.
    pub fn get(&self) -> &(dyn StdError + 'static) {
        &*self.0
    }
}

/// By what they say: errors cannot be compared.
impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// What work failed with, wherever it was done: here, in a Job or over ssh.
impl From<FailureKind> for ErrorKind {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Unreachable => Self::NothingReached,
            FailureKind::NoQuorum | FailureKind::Corrupt => Self::QuorumLostOrDamaged,
            FailureKind::Refused => Self::Refused,
            FailureKind::Interrupted => Self::Interrupted,
            // That etcd refuses a certificate is not about the rights of who runs this: the node's own certificate is used.
            FailureKind::Unauthorized
            | FailureKind::NoSpace
            | FailureKind::Missing
            | FailureKind::Other => Self::Failed,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let mut error = Self::new(failure.kind.into(), failure.message);
        error.hints.extend(failure.hint);
        error
    }
}

/// What is damaged is not what could not be read.
impl From<etcd_datadir::Error> for Error {
    fn from(error: etcd_datadir::Error) -> Self {
        let kind = match &error {
            etcd_datadir::Error::Damaged { .. } => ErrorKind::QuorumLostOrDamaged,
            etcd_datadir::Error::Refused { .. } => ErrorKind::Refused,
            etcd_datadir::Error::Cancelled => ErrorKind::Interrupted,
            // The disk, the path, a limit of the library, and what later versions of it may add.
            _ => ErrorKind::Failed,
        };
        // The message is the library's own; its causes stay below it.
        let message = error.to_string();
        Self::new(kind, message).caused_by(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("client error (Connect)")]
    struct Connect(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("service error: client error (Connect)")]
    struct Service(#[source] Connect);

    #[test]
    fn each_part_of_the_chain_is_said_once() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error =
            Error::failed("the apiserver does not answer").caused_by(Service(Connect(refused)));
        assert_eq!(
            error.chain(),
            "the apiserver does not answer: service error: client error (Connect): connection refused"
        );
    }

    #[test]
    fn each_kind_of_failure_ends_in_one_way_wherever_it_was_done() {
        use crate::outcome::{RunError, run_error};
        use crate::ssh::SshError;
        for (kind, ending) in [
            (FailureKind::Unreachable, ErrorKind::NothingReached),
            (FailureKind::Unauthorized, ErrorKind::Failed),
            (FailureKind::NoQuorum, ErrorKind::QuorumLostOrDamaged),
            (FailureKind::NoSpace, ErrorKind::Failed),
            (FailureKind::Corrupt, ErrorKind::QuorumLostOrDamaged),
            (FailureKind::Missing, ErrorKind::Failed),
            (FailureKind::Refused, ErrorKind::Refused),
            (FailureKind::Interrupted, ErrorKind::Interrupted),
            (FailureKind::Other, ErrorKind::Failed),
        ] {
            let failure = Failure::new(kind, "it failed").hint("do that");
            let over_ssh = SshError::failed("m1", failure.clone());
            let in_job = RunError::from(failure.clone());
            for error in [
                Error::from(failure.clone()),
                Error::of_failure("m1", &failure),
                Error::from(over_ssh.clone()),
                run_error("m1", &in_job),
                run_error("m1", &RunError::from(over_ssh)),
            ] {
                assert_eq!(error.kind, ending, "{kind:?}: {error}");
                assert_eq!(error.hints, ["do that"]);
            }
        }
    }

    #[test]
    fn what_a_message_has_said_is_kept_and_not_said_again() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = Error::failed("m1: it cannot be reached")
            .caused_by(Cause::new(Service(Connect(refused))));
        assert_eq!(error.chain(), "m1: it cannot be reached");
        let below = error.source().unwrap();
        assert!(below.is::<Cause>() && below.source().unwrap().is::<Connect>());
        let io = below.source().unwrap().source().unwrap();
        assert!(io.is::<std::io::Error>());
    }

    #[test]
    fn of_several_errors_all_is_told_and_each_hint_once() {
        assert!(Error::all([]).is_none());
        let error = |what: &str, hint: &str| Error::failed(what).hint(hint);
        let all = Error::all([error("a", "x"), error("b", "x"), error("c", "y")]).unwrap();
        assert_eq!(all.message, "a; b; c");
        assert_eq!(all.hints, ["x", "y"]);
    }
}
