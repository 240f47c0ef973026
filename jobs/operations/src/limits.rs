//! Limits of what operations ask others for: how long an answer may take, and how much of a file or an answer is read. Each
//! with its reason. Limits of the plans' steps are beside their actions.

use std::time::Duration;

// What etcd is asked.

/// A call that needs no quorum, connecting included: a member answers it from memory.
pub const OWN_LIMIT: Duration = Duration::from_secs(2);

/// A call that needs the quorum: etcd itself gives up after 5 s and more.
pub const QUORUM_LIMIT: Duration = Duration::from_secs(5);

/// The handshake that asks why a server closed the connection: it may take no more of an answer that has failed already.
pub(crate) const PROBE_LIMIT: Duration = Duration::from_millis(700);

/// All of a status, counted from its beginning: also where a member hangs, the answer is there within 3 s.
pub(crate) const STATUS_LIMIT: Duration = Duration::from_millis(2800);

/// The list of alarms in a status: it needs the quorum, and a status does not wait for that.
pub(crate) const ALARMS_LIMIT: Duration = Duration::from_millis(1500);

/// The node's own files in a status: a disk that hangs must not hold up the answer.
pub(crate) const EVIDENCE_LIMIT: Duration = Duration::from_millis(800);

/// A hash of a member's data: the member reads all of it.
pub(crate) const HASH_LIMIT: Duration = Duration::from_secs(120);

/// A compaction: the member removes all old revisions before it answers, some 10,000 in a second on a slow disk.
pub(crate) const COMPACT_LIMIT: Duration = Duration::from_secs(600);

/// A look at the data directory of a member that does not answer: its whole log is read.
pub(crate) const DATA_LIMIT: Duration = Duration::from_secs(60);

/// How long a member may take to tell its size after a defragmentation.
pub(crate) const AFTER_DEFRAG_LIMIT: Duration = Duration::from_secs(15);

/// The next piece of a snapshot: etcd reads its disk for it.
pub(crate) const MESSAGE_LIMIT: Duration = Duration::from_secs(30);

// What other programs of the host are asked.

/// Any answer of the container runtime but to a pull, whatever it does for it.
pub(crate) const RUNTIME_LIMIT: Duration = Duration::from_secs(10);

/// A pull of one image: a registry may be slow, and CRI tells nothing of how far it is.
pub(crate) const PULL_LIMIT: Duration = Duration::from_secs(600);

/// A question to a health endpoint: one that is not answered is asked again.
pub(crate) const HEALTH_LIMIT: Duration = Duration::from_secs(2);

/// What systemd is asked to do: it waits 90 s for a service that does not end.
pub(crate) const SYSTEMCTL_LIMIT: Duration = Duration::from_secs(100);

/// What systemd is asked about kubelet in a look: it answers from memory, or it hangs.
pub(crate) const KUBELET_LOOK_LIMIT: Duration = Duration::from_secs(5);

/// The apiserver's `/readyz`: the check of etcd behind `/readyz` takes 2 s, twice (4.0 s were measured).
pub(crate) const APISERVER_LIMIT: Duration = Duration::from_secs(5);

/// All questions to the container runtime in a look, of which each has [`RUNTIME_LIMIT`].
pub(crate) const RUNTIME_LOOK_LIMIT: Duration = Duration::from_secs(15);

/// All questions to the own apiserver in a look: one with [`APISERVER_LIMIT`], and its connection.
pub(crate) const APISERVER_LOOK_LIMIT: Duration = Duration::from_secs(6);

/// All other members in a look, in the two rounds in which they are asked.
pub(crate) const PEERS_LOOK_LIMIT: Duration = Duration::from_secs(10);

// Files that are read whole.

/// kubelet's own limit for a manifest, in bytes (`maxConfigLength`).
pub(crate) const MANIFEST_BYTES: u64 = 10 << 20;

/// The largest file that may be a manifest in another folder, in bytes: kubeadm's have some thousand.
pub(crate) const STAND_IN_BYTES: u64 = 1 << 20;

/// A file with logins for registries, in bytes: kubelet's own limit.
pub(crate) const LOGINS_BYTES: u64 = 10 << 20;

/// A systemd unit with its files, in bytes, and a command line that is expanded from them: real ones have a few thousand.
pub(crate) const UNIT_BYTES: usize = 1 << 20;

/// A file with certificates, in bytes: bundles of all public authorities have some 200,000.
pub(crate) const CERTIFICATE_BYTES: u64 = 1 << 20;

/// An answer over HTTP, in bytes: a list of members has some thousand.
pub(crate) const ANSWER_BYTES: usize = 64 << 10;

/// The end of a container's log, in bytes: the last lines are wanted, and kubelet's lines have up to 16 KiB.
pub(crate) const LOG_END_BYTES: u64 = 64 << 10;

/// The end of etcd's log as evidence, in bytes: a panic's stacks stand behind its message.
pub(crate) const LOG_TAIL_BYTES: u64 = 128 << 10;

/// The end of a log that somebody wants to see, in bytes: some ten thousand lines, of which few matter.
pub(crate) const LOG_READ_BYTES: u64 = 4 << 20;

/// How much of one of its lines is told.
pub(crate) const LOG_LINE_CHARS: usize = 4096;

/// The description of a stored snapshot, in bytes: it has about one thousand, that of a bundle some ten thousand.
pub(crate) const DESCRIPTION_BYTES: u64 = 4 << 20;
