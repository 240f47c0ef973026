//! How an operation fails: a kind a caller can act on, a message, and what would help.

use serde::{Deserialize, Serialize};

use crate::advice::Advice;

/// What sort of trouble it was. New kinds may be added: a reader takes one it does not know as [`FailureKind::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Nothing listens there, or nothing answers within the time limit.
    Unreachable,
    /// It answers but the certificates do not fit, or etcd's own authentication refuses.
    Unauthorized,
    /// It answers that the cluster has no leader, or a request that needs the quorum ran out of time.
    NoQuorum,
    /// A NOSPACE alarm or a full disk refuses it.
    NoSpace,
    /// Data that should be whole is not.
    Corrupt,
    /// A file, folder or program needed on the node is not there or not accessible.
    Missing,
    /// A safety check refused; the hint says what would lift it.
    Refused,
    /// It was stopped from outside before it was done.
    Interrupted,
    /// Anything else.
    #[serde(other)]
    Other,
}

/// Why something was not done. The message is a lower-case fragment that reads well after `failed: `.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What sort of trouble it was.
    pub kind: FailureKind,
    /// What happened, with the whole chain of causes.
    pub message: String,
    /// What would help, if that is known: a command or a flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<Advice>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    /// A safety check that refused.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Refused, message)
    }

    /// Something that is needed on the node and is not there.
    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Missing, message)
    }

    /// Data that should be whole and is not.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Corrupt, message)
    }

    /// Something that does not answer.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Unreachable, message)
    }

    /// A failure of no kind of its own.
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Other, message)
    }

    /// The same failure, saying what would help.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Advice>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Something that was asked for: the answer, or why there is none. One failed part does not fail a whole report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer<T> {
    /// What was answered.
    Ok(T),
    /// Why there is no answer.
    Failed(Failure),
}

impl<T> Answer<T> {
    /// The answer, if there is one.
    pub fn ok(&self) -> Option<&T> {
        match self {
            Self::Ok(value) => Some(value),
            Self::Failed(_) => None,
        }
    }

    /// Why there is none.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Ok(_) => None,
            Self::Failed(failure) => Some(failure),
        }
    }
}

impl<T, E: Into<Failure>> From<Result<T, E>> for Answer<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => Self::Ok(value),
            Err(error) => Self::Failed(error.into()),
        }
    }
}
