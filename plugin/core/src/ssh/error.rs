//! Why a host could not be worked on over ssh.

use std::error::Error as StdError;

use etcd_operations::advice;
use etcd_operations::advice::{Advice, Choice};
use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::shell::CommandLine;

use super::destination::Destination;
use crate::error::{Cause, Error, ErrorKind};
use crate::outcome::{RunError, RunErrorKind};

/// What sort of trouble it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SshErrorKind {
    /// There is no ssh on this host.
    NoSsh,
    /// Nobody answers there, or the name is not known.
    Unreachable,
    /// The host's key is not known, or another one.
    HostKey,
    /// ssh does not let this user in.
    NotAllowed,
    /// The user gets in and is not root, and sudo wants a password or does not allow it.
    NeedsRoot,
    /// The carried program does not run there: another system or processor.
    OtherSystem,
    /// The program could not be brought there or started.
    Program,
    /// The connection was there, and broke.
    ConnectionLost,
    /// What was asked for failed.
    Failed(FailureKind),
}

impl SshErrorKind {
    /// Whether it may be over by itself.
    pub(super) fn passes(self) -> bool {
        matches!(self, Self::ConnectionLost | Self::Unreachable)
    }
}

/// Why a host could not be worked on. The message is a lower-case fragment that names the host.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct SshError {
    /// What sort of trouble it was.
    pub kind: SshErrorKind,
    /// What happened.
    pub message: String,
    /// What would help, if that is known.
    pub hint: Option<Advice>,
    /// What caused it.
    pub source: Option<Cause>,
}

impl SshError {
    /// An error without a hint.
    pub fn new(kind: SshErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// The same error with its cause, which its message has told.
    pub(super) fn caused_by(mut self, cause: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Cause::new(cause));
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<Advice>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What a host says of itself.
    pub(crate) fn failed(host: &str, failure: Failure) -> Self {
        Self {
            hint: failure.hint,
            ..Self::new(
                SshErrorKind::Failed(failure.kind),
                format!("{host}: {}", failure.message),
            )
        }
    }

    pub(crate) fn lost(host: &str) -> Self {
        Self::new(
            SshErrorKind::ConnectionLost,
            format!("{host}: the ssh connection was lost"),
        )
    }
}

impl From<SshError> for Error {
    fn from(error: SshError) -> Self {
        let kind = match error.kind {
            SshErrorKind::Unreachable | SshErrorKind::ConnectionLost => ErrorKind::NothingReached,
            SshErrorKind::HostKey | SshErrorKind::NotAllowed | SshErrorKind::NeedsRoot => {
                ErrorKind::NotAllowed
            }
            SshErrorKind::NoSsh | SshErrorKind::OtherSystem | SshErrorKind::Program => {
                ErrorKind::Failed
            }
            SshErrorKind::Failed(kind) => kind.into(),
        };
        let mut out = Self::new(kind, error.message);
        out.hints.extend(error.hint);
        out.source = error.source.map(Into::into);
        out
    }
}

impl From<SshError> for RunError {
    fn from(error: SshError) -> Self {
        Self {
            kind: match error.kind {
                SshErrorKind::Failed(kind) => RunErrorKind::OperationFailed(kind),
                _ => RunErrorKind::NotReached,
            },
            message: error.message,
            hint: error.hint,
            source: error.source,
        }
    }
}

/// What ssh's own last words mean when it could not connect.
pub(super) fn of_connecting(host: &str, destination: &Destination, said: &str) -> SshError {
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let words = lines.clone().next_back().unwrap_or("ssh says nothing");
    let words = words.strip_prefix("ssh: ").unwrap_or(words);
    let says = |text: &str| said.contains(text);
    let ssh = CommandLine::new("ssh").operand(destination);
    if says("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        let message = format!("{host}: its host key is not the one that is known");
        let host = destination.host();
        let known = host.map_or_else(|| destination.to_string(), |host| host.to_string());
        let forget = CommandLine::new("ssh-keygen -R").operand(known);
        return SshError::new(SshErrorKind::HostKey, message).hint(format!(
            "if the host was reinstalled: {forget}, then {ssh} once and compare the new key's fingerprint; otherwise somebody is \
             in between"
        ));
    }
    if says("Host key verification failed") || says("host key is known") {
        let message = format!("{host}: its host key is not known here");
        return SshError::new(SshErrorKind::HostKey, message).hint(format!(
            "connect once by hand and compare the key's fingerprint: {ssh}"
        ));
    }
    if says("Permission denied") || says("Too many authentication failures") {
        return SshError::new(SshErrorKind::NotAllowed, format!("{host}: {words}")).hint(advice![
            format!("`{ssh}` must work without a password: "),
            Choice::SshUser,
            ", ",
            Choice::SshIdentity,
            ", or ssh-add your key"
        ]);
    }
    if says("Bad configuration option") || says("Can't open user config file") {
        return SshError::new(SshErrorKind::Program, format!("{host}: {words}"));
    }
    SshError::new(
        SshErrorKind::Unreachable,
        format!("{host} cannot be reached over ssh: {words}"),
    )
    .hint(advice![
        format!("does `{ssh}` work? "),
        Choice::Ssh.with("NODE=ADDRESS"),
        " says where a node is"
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_is_told_with_what_to_do() {
        for (said, kind, hint) in [
            (
                "No ED25519 host key is known for 10.0.0.1 and you have requested strict checking.\r\nHost key verification failed.\r\n",
                SshErrorKind::HostKey,
                "compare the key's fingerprint: ssh root@10.0.0.1",
            ),
            (
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.\n",
                SshErrorKind::HostKey,
                "ssh-keygen -R 10.0.0.1, then ssh root@10.0.0.1 once",
            ),
            (
                "jane@10.0.0.1: Permission denied (publickey).\r\n",
                SshErrorKind::NotAllowed,
                "{+ssh-user}",
            ),
            (
                "ssh: connect to host 10.0.0.1 port 22: Connection refused\r\n",
                SshErrorKind::Unreachable,
                "{+ssh=NODE=ADDRESS}",
            ),
            (
                "ssh: Could not resolve hostname m9: Name or service not known\r\n",
                SshErrorKind::Unreachable,
                "{+ssh=NODE=ADDRESS}",
            ),
            ("", SshErrorKind::Unreachable, "{+ssh=NODE=ADDRESS}"),
        ] {
            let root = Destination::typed("root@10.0.0.1").unwrap();
            let error = of_connecting("m1", &root, said);
            assert_eq!(error.kind, kind, "{said}");
            assert!(error.message.starts_with("m1"), "{error}");
            assert!(
                error.hint.as_ref().unwrap().written().contains(hint),
                "{error:?}"
            );
        }
        let refused = of_connecting(
            "m1",
            &Destination::typed("m1").unwrap(),
            "ssh: connect to host m1 port 22: Connection refused",
        );
        assert_eq!(
            refused.message,
            "m1 cannot be reached over ssh: connect to host m1 port 22: Connection refused"
        );
    }
}
