//! From what the client library says to a [`Failure`]: the whole chain of causes, its kind, and what would help.

use std::error::Error as StdError;

use crate::advice::Fixed::{self, Words};
use crate::advice::{Advice, Task};
use crate::failure::{Failure, FailureKind};

/// An error with all its causes, each part once: hyper's own text stops at `client error (Connect)`.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        if !text.is_empty() {
            // A text that repeats its cause, as many libraries write theirs, is replaced by what it repeats.
            parts.push(text);
        }
        next = cause.source();
    }
    let mut kept: Vec<String> = Vec::new();
    for (position, part) in parts.iter().enumerate() {
        let below = parts.get(position + 1);
        let own = below.map_or(part.as_str(), |below| {
            part.strip_suffix(below.as_str())
                .map_or(part.as_str(), |own| own.trim_end_matches([' ', ':']))
        });
        let own = own
            .trim_start_matches("ServiceError")
            .trim_matches([' ', ':']);
        if !own.is_empty() && !kept.iter().any(|earlier| earlier.contains(own)) {
            kept.push(own.to_owned());
        }
    }
    kept.join(": ")
}

/// What a failed call to `url` means.
pub fn failure_of(error: &etcd_client::Error, url: &str) -> Failure {
    failure_saying(&words(error), url)
}

/// The failure of what was said by or about `url`.
pub(super) fn failure_saying(said: &str, url: &str) -> Failure {
    let (kind, hint) = meaning(said);
    let failure = Failure::new(kind, format!("{url}: {said}"));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Whether the connection was closed without a word why.
pub(super) fn is_unclear(failure: &Failure) -> bool {
    let closed = [
        "broken pipe",
        "onnection closed",
        "Connection reset",
        "stream closed",
        "canceled",
    ];
    failure.kind == FailureKind::Unreachable
        && closed.iter().any(|text| failure.message.contains(text))
}

/// The library's error has no `source()`: what is inside has.
fn words(error: &etcd_client::Error) -> String {
    let text = match error {
        etcd_client::Error::GRpcStatus(status) => {
            let text = match status.message() {
                "" => format!("{:?}", status.code()),
                text => text.to_owned(),
            };
            match status.source().map(chain) {
                Some(causes) if causes.contains(&text) => causes,
                Some(causes) if !text.contains(&causes) => format!("{text}: {causes}"),
                _ => text,
            }
        }
        etcd_client::Error::TransportError(error) => chain(error),
        etcd_client::Error::IoError(error) => chain(error),
        other => other.to_string(),
    };
    // What comes after it says more.
    text.trim_start_matches("transport error: ").to_owned()
}

/// Texts of rustls, of the system and of etcd (`api/v3rpc/rpctypes/error.go`), in the order in which they are looked for.
#[rustfmt::skip]
const MEANINGS: &[(&[&str], FailureKind, &[Fixed])] = &[
    (&["UnknownIssuer", "BadSignature"], FailureKind::Unauthorized,
        &[Words("the CA file does not belong to the certificate etcd shows: was one of them renewed without the other?")]),
    (&["CertExpired", "certificate expired", "CertificateExpired", "Expired"], FailureKind::Unauthorized,
        &[Words("a certificate has expired: see `kubeadm certs check-expiration`")]),
    (&["NotValidForName"], FailureKind::Unauthorized,
        &[Words("etcd's certificate does not name this address")]),
    (&["CertificateRequired", "BadCertificate", "CertificateUnknown", "UnknownCA", "DecryptError", "HandshakeFailure", "AccessDenied"],
        FailureKind::Unauthorized, &[Words("etcd rejects this client certificate: it must be signed by the CA in its --trusted-ca-file")]),
    (&["InvalidContentType", "corrupt message"], FailureKind::Unauthorized,
        &[Words("one side speaks TLS and the other plain HTTP")]),
    (&["invalid peer certificate", "received fatal alert"], FailureKind::Unauthorized, &[]),
    (&["database space exceeded"], FailureKind::NoSpace,
        &[Words("free space with compaction and `"), Fixed::Task(Task::Defragment, &[]), Words("`, then `"),
            Fixed::Task(Task::DisarmAlarms, &[]), Words("`")]),
    (&["corrupt"], FailureKind::Corrupt, &[]),
    (&["rpc not supported for learner"], FailureKind::Refused,
        &[Words("a learner does this only after it was promoted; ask a voting member")]),
    (&["not enough started members"], FailureKind::Refused,
        &[Words("of the members there would be, too few have ever started: start those that were added, or remove them")]),
    (&["which is in sync with leader"], FailureKind::Refused,
        &[Words("wait until it has caught up")]),
    (&["too many learner members"], FailureKind::Refused,
        &[Words("promote or remove the learner there is: etcd takes one at a time, or as many as its --max-learners says")]),
    (&["given member URLs are invalid"], FailureKind::Refused, &[Words("a peer URL is like https://10.0.0.4:2380")]),
    (&["Peer URLs already exists", "member not found", "can only promote a learner member", "bad leader transferee"],
        FailureKind::Refused, &[Fixed::Task(Task::ListMembers, &[])]),
    (&["not leader"], FailureKind::Refused, &[Words("only the leader can be asked for this")]),
    (&["no leader", "leader changed", "request timed out", "deadline exceeded", "unhealthy cluster"], FailureKind::NoQuorum, &[]),
    (&["permission denied", "user name is empty", "authentication", "invalid auth token", "is not supported for auth", "PermissionDenied", "Unauthenticated"],
        FailureKind::Unauthorized, &[Words("etcd's own authentication is on; the client certificate's name must be a user with the role root")]),
    (&["Connection refused"], FailureKind::Unreachable, &[Words("nothing listens there: etcd is not running")]),
    (&["tcp connect error", "No route to host", "Network is unreachable", "timed out", "Connection reset", "connection closed",
        "transport error", "broken pipe", "not connected", "connection error", "h2 protocol error", "dns error", "operation was canceled"],
        FailureKind::Unreachable, &[]),
];

/// Whether etcd changes no members because a voting one is not connected to the others (`ErrUnhealthy`).
pub(crate) fn says_not_connected(said: &str) -> bool {
    said.contains("unhealthy cluster")
}

/// Whether etcd promotes no learner that has less than nine tenths of the leader's log (`ErrLearnerNotReady`).
pub(crate) fn says_behind(said: &str) -> bool {
    said.contains("can only promote a learner member which is in sync with leader")
}

/// What sort of trouble a text of etcd's tells of, and what would help.
pub(crate) fn meaning(said: &str) -> (FailureKind, Option<Advice>) {
    MEANINGS
        .iter()
        .find(|(texts, ..)| texts.iter().any(|text| said.contains(text)))
        .map_or((FailureKind::Other, None), |(_, kind, hint)| {
            (*kind, (!hint.is_empty()).then(|| Advice::from(*hint)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(
        &'static str,
        #[source] Option<Box<dyn StdError + Send + Sync>>,
    );

    fn layer(text: &'static str, source: Layer) -> Layer {
        Layer(text, Some(Box::new(source)))
    }

    #[test]
    fn a_chain_says_everything_once() {
        let error = layer(
            "transport error",
            layer("tcp connect error", Layer("Connection refused", None)),
        );
        assert_eq!(
            chain(&error),
            "transport error: tcp connect error: Connection refused"
        );
        assert_eq!(chain(&layer("a: b", Layer("b", None))), "a: b");
    }

    #[test]
    fn what_etcd_says_gets_its_kind() {
        for (text, kind) in [
            (
                "etcdserver: mvcc: database space exceeded",
                FailureKind::NoSpace,
            ),
            ("etcdserver: no leader", FailureKind::NoQuorum),
            ("context deadline exceeded", FailureKind::NoQuorum),
            ("etcdserver: corrupt cluster", FailureKind::Corrupt),
            ("etcdserver: user name is empty", FailureKind::Unauthorized),
            (
                "transport error: tcp connect error: Connection refused (os error 111)",
                FailureKind::Unreachable,
            ),
            (
                "transport error: invalid peer certificate: UnknownIssuer",
                FailureKind::Unauthorized,
            ),
            (
                "etcdserver: rpc not supported for learner",
                FailureKind::Refused,
            ),
            (
                "etcdserver: re-configuration failed due to not enough started members",
                FailureKind::Refused,
            ),
            (
                "etcdserver: can only promote a learner member which is in sync with leader",
                FailureKind::Refused,
            ),
            ("etcdserver: not leader", FailureKind::Refused),
            ("etcdserver: something new", FailureKind::Other),
        ] {
            assert_eq!(meaning(text).0, kind, "{text}");
        }
    }

    #[test]
    fn what_would_help_is_typed() {
        let hint = |said: &str| meaning(said).1;
        assert_eq!(hint("member not found"), Some(Task::ListMembers.into()));
        let space = advice![
            "free space with compaction and `",
            Task::Defragment,
            "`, then `",
            Task::DisarmAlarms,
            "`"
        ];
        assert_eq!(hint("database space exceeded"), Some(space));
        assert_eq!(hint("corrupt"), None);
    }
}
