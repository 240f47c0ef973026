//! Why a container ended, by its last words.

use crate::control_plane::ControlPlane;
use crate::evidence::REMOVED;
use crate::look::{ContainerLook, Look};
use crate::runtime::State;

/// Why an etcd ended, by its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Database,
    Wal,
    /// The member has lost entries of the log that it had confirmed to the leader.
    Behind,
    DataMissing,
    Removed,
    /// A member that the log removes is gone from the database already. etcd before 3.6 does not get over that.
    RemovedTwice,
    InitialCluster,
    PortTaken,
    DiskFull,
    Certificate,
    Flags,
}

/// Texts of etcd 3.4 to 3.7 and of Go, in the order in which they are looked for.
const MEANINGS: &[(Cause, &[&str])] = &[
    (Cause::DiskFull, &["no space left on device"]),
    (Cause::PortTaken, &["address already in use"]),
    (Cause::Removed, &[REMOVED]),
    (
        Cause::RemovedTwice,
        &["unexpected removal of unknown remote peer"],
    ),
    (
        Cause::Flags,
        &[
            "unknown flag:",
            "flag provided but not defined",
            "invalid value \"",
            "unknown shorthand flag",
        ],
    ),
    (
        Cause::DataMissing,
        &[
            "failed to find database snapshot file",
            "snapshot file doesn't exist",
            "has already been bootstrapped",
        ],
    ),
    (
        Cause::Database,
        &[
            "Page expected to be",
            "invalid database",
            "page: ",
            "freelist: ",
            "invalid freelist",
            "file size too small",
            "version mismatch",
        ],
    ),
    (Cause::Behind, &["tocommit("]),
    (
        Cause::Wal,
        &[
            "cannot use none as id",
            "crc mismatch",
            "wal: ",
            "failed to read WAL",
            "WAL",
            "slice bounds out of range",
        ],
    ),
    (
        Cause::InitialCluster,
        &[
            "member count is unequal",
            "couldn't find local name",
            "error validating peerURLs",
            "unmatched member while checking PeerURLs",
            "missing from --initial-advertise-peer-urls",
            "cluster ID mismatch",
            "error validating existing cluster",
        ],
    ),
    (
        Cause::Certificate,
        &[
            "x509: ",
            "certificate has expired",
            "tls: ",
            "failed to find any PEM data",
        ],
    ),
];

/// What a text means, if that is known.
fn cause(text: &str) -> Option<Cause> {
    let meaning = MEANINGS
        .iter()
        .find(|(_, texts)| texts.iter().any(|one| text.contains(one)));
    meaning.map(|(cause, _)| *cause)
}

/// The last container of a component that has ended: its words are of an ending.
pub(crate) fn ended(look: &Look, component: ControlPlane) -> Option<&ContainerLook> {
    let runtime = look.runtime.ok()?;
    let pod = runtime.pods.iter().find(|pod| pod.component == component)?;
    let mut containers = pod.containers.ok()?.iter();
    containers.find(|one| one.state == State::Exited)
}

/// Whether a host's etcd does not start for a log that it does not get over, alone or not: it removes a member twice. The
/// database is whole.
pub(crate) fn stumbles_over_log(look: &Look) -> bool {
    let cause = ended(look, ControlPlane::Etcd).and_then(cause_of);
    look.live.ok().is_none() && cause == Some(Cause::RemovedTwice)
}

/// Why a container ended: by its last words, else by the last of its lines that means something.
pub(crate) fn cause_of(container: &ContainerLook) -> Option<Cause> {
    let by_words = container.last_words.as_deref().and_then(cause);
    by_words.or_else(|| {
        // Lines of JSON below the level of an error tell of what goes on, such as files of the WAL.
        let mut lines = container.last_lines.iter().rev();
        lines.find_map(|line| if is_plain(line) { cause(line) } else { None })
    })
}

/// Whether a line is an error, or no JSON.
pub(crate) fn is_plain(line: &str) -> bool {
    !line.starts_with('{') || line.contains("\"level\":\"error\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_real_etcds_are_understood() {
        for (text, expected) in [
            (
                "panic: assertion failed: Page expected to be: 65, but self identifies as 0",
                Cause::Database,
            ),
            (
                "panic: tocommit(506) is out of range [lastIndex(44)]. Was the raft log corrupted, truncated, or lost?",
                Cause::Behind,
            ),
            ("panic: cannot use none as id", Cause::Wal),
            (
                "failed to recover v3 backend from snapshot: failed to find database snapshot file (snap: snapshot file doesn't exist)",
                Cause::DataMissing,
            ),
            (
                "server error: the member has been permanently removed from the cluster",
                Cause::Removed,
            ),
            (
                "panic: unexpected removal of unknown remote peer",
                Cause::RemovedTwice,
            ),
            (
                "listen failed: listen tcp 127.0.0.1:2379: bind: address already in use",
                Cause::PortTaken,
            ),
            (
                "discovery failed: error validating peerURLs {ClusterID:1}: member count is unequal",
                Cause::InitialCluster,
            ),
            (
                "discovery failed: open /etc/x.crt: tls: failed to find any PEM data",
                Cause::Certificate,
            ),
            ("failed to write: no space left on device", Cause::DiskFull),
        ] {
            assert_eq!(cause(text), Some(expected), "{text}");
        }
        assert_eq!(cause("something new"), None);
    }
}
