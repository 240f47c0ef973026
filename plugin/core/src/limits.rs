//! Every time limit of this library, with its reason. The sums that have to hold between them are a test below.
//!
//! A limit is named by what has to happen within it.

use std::time::Duration;

use etcd_operations::operation::{Health, MemberPromote, Operation};

use crate::patience::Retries;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

// === Somebody watches ===

/// After this time something is on the screen, and after this one there is a word of who is waited for.
pub(crate) const WAITING: Duration = millis(900);
pub(crate) const WAITING_LONG: Duration = seconds(3);

// === Connecting to an apiserver, and asking whether it is in order ===

/// A TCP and TLS handshake.
pub(crate) const CONNECT: Duration = seconds(4);
/// The answer to one request: longer than a busy apiserver needs, far shorter than the 60 s it keeps requests when it has lost
/// its etcd.
pub(crate) const ANSWER: Duration = seconds(10);
/// The first answers, unless `--request-timeout` says otherwise: a connection that is refused or held is known by then.
pub(crate) const FIRST_ANSWER: Duration = seconds(5);
/// `/readyz`: its own check of etcd gives up after 2 s.
pub(crate) const READYZ: Duration = seconds(5);
/// How long a discovery that succeeded waits for `/readyz` to say that etcd fails: its check of etcd takes 2 s then. An apiserver
/// in order answers at once.
pub(crate) const READYZ_AFTER: Duration = millis(3000);
/// After this time without a usable answer the rest of the control plane is looked at too.
pub(crate) const LOOK_AROUND_AFTER: Duration = millis(1000);
/// Another apiserver's `/readyz`.
pub(crate) const LOOK_AROUND: Duration = millis(2500);
/// A port takes a connection: many round trips of any network, and two of them fit into what a look may take.
pub(crate) const PORT_FROM_AFAR: Duration = millis(1500);
/// The pause before `/readyz` is asked again.
pub(crate) const READYZ_AGAIN: Duration = millis(250);
/// How long etcd may fail while the cache still answers: an election is over by then.
pub(crate) const ELECTION: Duration = seconds(4);
/// An apiserver that was lost and is in order again says so.
pub(crate) const READY_AGAIN: Duration = millis(1500);
/// How long a refusal is doubted when `/readyz` does not say whether the apiserver is ready.
pub(crate) const REFUSAL_DOUBTED: Duration = seconds(20);
/// The clock of the apiserver.
pub(crate) const CLOCK: Duration = seconds(3);
/// A login plugin: somebody may have to find a browser window and type there.
pub(crate) const LOGIN: Duration = seconds(300);
/// How long the token of a file is taken for current: as client-go, a minute less ten seconds.
pub(crate) const TOKEN_CURRENT: Duration = seconds(50);

// === From a Job or Pod to its report ===

/// The request to create. An apiserver that has lost its etcd keeps it for longer; one whose etcd is being defragmented or has
/// a slow disk answers after some seconds.
pub(crate) const CREATE: Duration = seconds(12);
/// After this time the request is sent again: one that was on its way while etcd lost its leader is never answered.
pub(crate) const CREATE_TRY: Duration = seconds(2);
/// How often it is sent, while it is not answered or etcd elects a leader, and the pause before.
pub(crate) const CREATE_TRIES: usize = 6;
pub(crate) const CREATE_PAUSE: Duration = millis(400);
/// After a Job its Pod, before a bare Pod is tried, and how often is looked whether the Pod is refused. A controller-manager
/// needs 0.1 s.
pub(crate) const POD_APPEARS: Duration = millis(2500);
/// The same where nothing else is tried, so that only giving up would be faster.
pub(crate) const POD_APPEARS_ALONE: Duration = seconds(15);
/// A kubelet's first word about a pod bound to its node.
pub(crate) const KUBELET: Duration = seconds(6);
/// The same when the node's etcd answers the others, so that the node is on and only its kubelet is slow; and while none of
/// those that have taken their pods gets as far as a report, so that everything is.
pub(crate) const KUBELET_ALIVE: Duration = seconds(12);
/// The same once another node has even reported: kubelets need about the same.
pub(crate) const KUBELET_AFTER_OTHERS: Duration = seconds(4);
/// After this time the kubelet is asked itself: one that is not slow has said its word by then.
pub(crate) const KUBELET_ASKED_AFTER: Duration = millis(500);
/// The pause before it is asked again.
pub(crate) const KUBELET_ASKED_AGAIN: Duration = millis(500);
/// Its answer: the first request may be held by an election, or by a connection that is half open.
pub(crate) const KUBELET_ANSWER: Duration = seconds(2);
/// How often is looked at what the API does not tell by itself.
pub(crate) const LOOK: Duration = millis(250);
/// From a kubelet's first word until the container runs.
pub(crate) const CONTAINER_STARTS: Duration = seconds(20);
/// The same where an image may have to be pulled.
pub(crate) const IMAGE_PULLED: Duration = seconds(180);
/// The last state of a pod that was deleted or has ended: it is told in order.
pub(crate) const LAST_STATE: Duration = seconds(2);
/// The pause before a watch that ended is opened again.
pub(crate) const WATCH_AGAIN: Duration = millis(200);
/// How long a log may be out of reach: an apiserver that was killed is back after a minute.
pub(crate) const LOG: Retries = Retries {
    pause: (millis(60), seconds(1)),
    patience: seconds(90),
    held: seconds(5),
};
/// How long after its operation's own limit the cluster ends what is left of a run, whatever became of the plugin.
const DEADLINE_AFTER: Duration = seconds(60);
/// When leftovers of dead runs are looked for: after the Jobs of this run, which matter more.
pub(crate) const SWEEP_AFTER: Duration = millis(250);

// === etcdctl in an etcd pod ===

/// The apiserver reaches the node's kubelet, and that starts the program.
pub(crate) const EXEC_STARTS: Duration = seconds(5);
/// The same for a look, which may be had in another way: 0.1 s are usual.
pub(crate) const EXEC_LOOKS: Duration = seconds(3);
/// Silence for so long means the stream is dead. The apiserver pings more often than that.
pub(crate) const EXEC_IDLE: Duration = seconds(30);
/// One etcdctl hears all members. A healthy cluster's are heard in a fraction of it; with one that is silent no more time is
/// lost.
pub(crate) const EXEC_TOGETHER: Duration = millis(800);
/// The quorum's list of members, before the member's own view is asked for.
pub(crate) const EXEC_QUORUM: Duration = seconds(3);

/// The log of a container, through its kubelet: a node that is off must not hold up the others'.
pub(crate) const POD_LOG: Duration = seconds(6);
/// So many lines of it are read for those of them that matter.
pub(crate) const POD_LOG_LINES: i64 = 5_000;

// === Fetching a file ===

/// How long a pod stays after its report, for a fetch that has to begin again.
pub(crate) const HOLD: Duration = seconds(600);
/// How long nothing new may come, over however many connections: an apiserver that was killed is back after a minute.
pub(crate) const FETCH: Retries = Retries {
    pause: (millis(300), seconds(3)),
    patience: seconds(90),
    // Only new bytes are a success, and the fetch counts these itself: a connection may be held and bring nothing.
    held: Duration::MAX,
};
/// The apiserver starts the reader.
pub(crate) const READER_STARTS: Duration = seconds(10);
/// The reader ends after its acknowledgement. Everything has been checked by then.
pub(crate) const READER_ENDS: Duration = seconds(5);
/// How often progress is told.
pub(crate) const TELL: Duration = millis(200);
/// Another member says what it has at a snapshot's revision, for a comparison: at least, and at most. It reads all of its data,
/// and nobody waits for long for what is only a comparison.
pub(crate) const COMPARED: (Duration, Duration) = (seconds(20), seconds(140));
/// For each so many bytes it gets a second more.
pub(crate) const COMPARED_BYTES_A_SECOND: u64 = 20 << 20;

// === Hosts, over ssh ===

/// How long a connection that was lost is tried to be made anew: a host that lost its power is often back by then. One that
/// held for a minute was one: the next break is another matter.
pub(crate) const SSH: Retries = Retries {
    pause: (millis(300), seconds(8)),
    patience: seconds(120),
    held: seconds(60),
};
/// Connecting, jump hosts and all.
pub(crate) const SSH_CONNECT: Duration = seconds(40);
/// After this time without a word another address of the same host is tried too.
pub(crate) const SSH_SILENT: Duration = millis(500);
/// A port of a host that takes no part answers.
pub(crate) const PORT: Duration = seconds(2);
/// How long one question may be alone in starting, then the next one begins all the same: with a large database the question
/// takes its time too, and it is read by all of them together then.
pub(crate) const AHEAD: Duration = seconds(5);

// === After a plan ===

/// All kubelets report: they do it every ten seconds.
pub(crate) const KUBELETS_REPORT: Duration = seconds(60);
/// All kubelets accept the apiserver: they remember a denial for 30 seconds (`cacheUnauthorizedTTL`).
pub(crate) const KUBELETS_ACCEPT: Duration = seconds(40);
/// One question to the apiserver meanwhile, and the pause before the next one.
pub(crate) const CHECK: Duration = seconds(5);
pub(crate) const CHECK_AGAIN: Duration = millis(500);

// === Lock and leftovers ===

/// A Lease that was not renewed for so long is nobody's.
pub(crate) const LEASE_VALID: Duration = seconds(60);
/// How often it is renewed.
pub(crate) const LEASE_RENEW: Duration = seconds(15);
/// A look at who holds the lock. It only explains something.
pub(crate) const LEASE_LOOK: Duration = seconds(3);
/// One of several apiservers gives the lock.
pub(crate) const LEASE_OF_PLAN: Duration = seconds(4);
/// One request that removes an object of ours.
pub(crate) const REMOVE: Duration = seconds(3);
/// How often it is sent: a request to create that was cut off may still take effect just after a deletion. And the pause before.
pub(crate) const REMOVE_TRIES: usize = 3;
pub(crate) const REMOVE_PAUSE: Duration = millis(300);
/// How long a command waits at its end for what it tidies up after others.
pub(crate) const CHORES: Duration = seconds(2);

/// How long an operation may take on a node, unless the user says otherwise.
pub(crate) fn of_operation(operation: &Operation, wanted: Option<Duration>) -> Duration {
    const MINUTE: Duration = seconds(60);
    let usual = match operation {
        Operation::Status => seconds(9),
        Operation::Members | Operation::AlarmList => seconds(15),
        Operation::AlarmDisarm { .. } => seconds(20),
        // It may wait for all members to be connected.
        Operation::MemberAdd { .. } | Operation::MemberRemove { .. } => seconds(40),
        Operation::MoveLeader { .. } => seconds(25),
        Operation::MemberPromote(MemberPromote { wait_ms, .. }) => millis(*wait_ms) + seconds(30),
        // Hashing alone has two minutes.
        Operation::HashKv { .. } => seconds(140),
        Operation::SnapshotList { .. } => seconds(15),
        Operation::SnapshotDelete { .. } | Operation::SnapshotPrune { .. } => MINUTE,
        // Some hundred KiB: a disk that hangs must not keep the others' waiting.
        Operation::NodeFiles { .. } => 2 * MINUTE,
        Operation::Health(Health { timeout_ms }) => millis(*timeout_ms) + seconds(8),
        // Ten minutes for etcd itself.
        Operation::Compact { .. } => 11 * MINUTE,
        // The job itself gives a large database on a slow disk up to 45 minutes.
        Operation::Defrag
        | Operation::SnapshotSave { .. }
        | Operation::SnapshotVerify { .. }
        | Operation::SnapshotSend { .. }
        | Operation::Usage { .. } => 60 * MINUTE,
    };
    wanted.filter(|wanted| !wanted.is_zero()).unwrap_or(usual)
}

/// After how long the cluster itself ends a run, whatever became of the plugin.
pub(crate) fn deadline(operation: &Operation, limit: Duration) -> Duration {
    limit + seconds(operation.hold_seconds()) + DEADLINE_AFTER
}

#[cfg(test)]
mod tests {
    use etcd_operations::operation::HashKv;

    use super::*;

    /// `/readyz` gives up on a check of etcd after this time.
    const CHECK_OF_ETCD: Duration = seconds(2);
    /// An apiserver that was killed is back after this time.
    const APISERVER_BACK: Duration = seconds(60);

    #[test]
    fn an_apiserver_without_etcd_is_known_before_anybody_gives_up_on_it() {
        assert!(CONNECT < FIRST_ANSWER);
        assert!(CHECK_OF_ETCD < READYZ_AFTER && READYZ_AFTER < READYZ);
        assert!(CHECK_OF_ETCD < LOOK_AROUND && PORT_FROM_AFAR < LOOK_AROUND);
        // Where so many are off that an election cannot help, that is the end.
        assert!(LOOK_AROUND_AFTER + LOOK_AROUND + PORT_FROM_AFAR < seconds(6));
        assert!(READYZ <= FIRST_ANSWER && FIRST_ANSWER < ANSWER);
        let status = of_operation(&Operation::Status, None);
        assert!(FIRST_ANSWER < status && status < ANSWER);
        assert!(READY_AGAIN < CHECK_OF_ETCD, "it is asked in passing");
        // All of it before the session falls back to this host, as the tests of a held apiserver measure it.
        assert!(READYZ_AFTER + ELECTION < seconds(10));
        assert!(ELECTION >= 2 * READYZ_AGAIN);
        assert!(TOKEN_CURRENT < seconds(60));
    }

    #[test]
    fn requests_to_create_outlast_an_election() {
        let tries = u32::try_from(CREATE_TRIES).unwrap();
        assert!(
            ELECTION + CREATE_TRY < CREATE,
            "a held try and the election"
        );
        assert!(
            (CREATE_TRY + CREATE_PAUSE) * tries > CREATE,
            "tries that nobody answers are ended by the limit, not by their number"
        );
        assert!(
            CREATE_PAUSE * tries > CHECK_OF_ETCD,
            "refusals last as long as an election"
        );
        assert!(
            CREATE < KUBELET_ALIVE + POD_APPEARS,
            "no longer than a dead node takes"
        );
    }

    #[test]
    fn a_runner_that_gets_nowhere_is_given_up_before_the_next_patience_ends() {
        assert!(LOOK < POD_APPEARS && POD_APPEARS < KUBELET && KUBELET < KUBELET_ALIVE);
        assert!(KUBELET_AFTER_OTHERS < KUBELET);
        assert!(
            POD_APPEARS < POD_APPEARS_ALONE,
            "nothing else is tried then"
        );
        let asked = KUBELET_ASKED_AFTER + KUBELET_ANSWER + KUBELET_ASKED_AGAIN;
        assert!(
            asked < KUBELET_AFTER_OTHERS,
            "the kubelet is asked at least once"
        );
        assert!(KUBELET_ALIVE < CONTAINER_STARTS && CONTAINER_STARTS < IMAGE_PULLED);
    }

    #[test]
    fn an_apiserver_that_comes_back_is_waited_for() {
        for retries in [LOG, FETCH] {
            assert!(retries.patience > APISERVER_BACK + retries.pause.1);
            assert!(
                retries.held > CONNECT,
                "a try that only failed to connect does not count"
            );
        }
        assert!(FETCH.held > READER_STARTS);
        assert!(REFUSAL_DOUBTED < LOG.patience && REFUSAL_DOUBTED > READYZ);
        assert!(SSH.held > SSH_CONNECT && SSH.patience > SSH_CONNECT * 2);
    }

    #[test]
    fn etcdctl_has_time_for_a_status_without_quorum() {
        let status = of_operation(&Operation::Status, None);
        assert!(EXEC_TOGETHER + EXEC_STARTS + EXEC_QUORUM < status);
        assert!(status < EXEC_IDLE && EXEC_IDLE < FETCH.patience);
        assert!(EXEC_TOGETHER < EXEC_QUORUM);
    }

    #[test]
    fn a_pod_holds_its_file_for_as_long_as_a_fetch_may_go_on() {
        assert!(HOLD > FETCH.patience * 2 && HOLD > REFUSAL_DOUBTED + READER_STARTS);
        let hash = of_operation(
            &Operation::HashKv(HashKv {
                revision: 1,
                has_it: false,
            }),
            None,
        );
        assert!(COMPARED.0 < COMPARED.1 && COMPARED.1 <= hash);
        assert!(TELL < READER_ENDS);
    }

    #[test]
    fn the_cluster_ends_a_run_only_after_the_plugin_has() {
        let limit = of_operation(&Operation::Status, None);
        let waits = POD_APPEARS + KUBELET_ALIVE + CONTAINER_STARTS + LAST_STATE;
        assert!(deadline(&Operation::Status, limit) > waits + limit);
        assert!(SWEEP_AFTER < POD_APPEARS);
    }

    #[test]
    fn a_lease_outlives_a_renewal_that_fails() {
        assert!(LEASE_RENEW * 3 < LEASE_VALID, "two may fail");
        assert!(LEASE_LOOK < LEASE_RENEW && LEASE_OF_PLAN < LEASE_RENEW && CLOCK < LEASE_VALID);
    }

    #[test]
    fn a_command_ends_soon_after_its_work() {
        let tries = u32::try_from(REMOVE_TRIES).unwrap();
        assert!((REMOVE + REMOVE_PAUSE) * tries < ANSWER);
        assert!(CHORES < REMOVE, "what is done for others waits least");
    }

    #[test]
    fn the_users_own_limit_counts_but_for_none() {
        let status = Operation::Status;
        assert_eq!(of_operation(&status, Some(seconds(3))), seconds(3));
        let usual = of_operation(&status, None);
        assert_eq!(of_operation(&status, Some(Duration::ZERO)), usual);
        assert!(CHECK_AGAIN < CHECK && CHECK < KUBELETS_REPORT && PORT < CHECK);
        assert!(AHEAD < SSH_CONNECT && LOGIN > SSH_CONNECT);
    }
}
