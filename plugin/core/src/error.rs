//! The one error of the plugin, and what every ending is as an exit code.

use std::error::Error as StdError;
use std::fmt;

use etcd_operations::failure::{Failure, FailureKind};

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
    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Degraded => 3,
            Self::QuorumLostOrDamaged => 4,
            Self::NothingReached => 6,
        }
    }
}

/// What sort of ending an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// It was tried and failed.
    Failed,
    /// The user's rights, or who the kubeconfig says the user is, do not suffice: trying again changes nothing.
    NotAllowed,
    /// What was typed cannot be meant.
    Usage,
    /// It could not be done because the cluster is degraded.
    Degraded,
    /// The quorum is lost, or data is damaged.
    QuorumLostOrDamaged,
    /// A safety check refused; a hint says what would lift it.
    Refused,
    /// Neither the apiserver nor any etcd could be reached.
    NothingReached,
    /// Ctrl-C or a signal ended it.
    Interrupted,
}

impl ErrorKind {
    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed | Self::NotAllowed => 1,
            Self::Usage => 2,
            Self::Degraded => 3,
            Self::QuorumLostOrDamaged => 4,
            Self::Refused => 5,
            Self::NothingReached => 6,
            Self::Interrupted => 130,
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
    pub hints: Vec<String>,
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
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same error with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The message and every cause below it, each part once: many libraries repeat their cause in their own text.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut next = self.source();
        while let Some(cause) = next {
            let part = cause.to_string();
            if !part.is_empty() && !text.contains(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            next = cause.source();
        }
        text
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

/// What an operation on files failed with.
impl From<FailureKind> for ErrorKind {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Corrupt => Self::QuorumLostOrDamaged,
            FailureKind::Refused => Self::Refused,
            FailureKind::Interrupted => Self::Interrupted,
            FailureKind::Unreachable
            | FailureKind::Unauthorized
            | FailureKind::NoQuorum
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
    fn exit_codes_are_those_of_the_readme() {
        let verdicts = [
            Verdict::Healthy,
            Verdict::Degraded,
            Verdict::QuorumLostOrDamaged,
            Verdict::NothingReached,
        ];
        assert_eq!(verdicts.map(Verdict::exit_code), [0, 3, 4, 6]);
        let kinds = [
            ErrorKind::Failed,
            ErrorKind::Usage,
            ErrorKind::Degraded,
            ErrorKind::QuorumLostOrDamaged,
            ErrorKind::Refused,
            ErrorKind::NothingReached,
            ErrorKind::Interrupted,
        ];
        assert_eq!(kinds.map(ErrorKind::exit_code), [1, 2, 3, 4, 5, 6, 130]);
    }
}
