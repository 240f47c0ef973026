//! The operations that are calls to etcd, each over both backends: gRPC and etcdctl. Behind both is one cluster in
//! memory, so that answers get lost and members fall silent just when they shall.

#![expect(
    clippy::unwrap_used,
    reason = "tests: the helpers of tests panic as tests do"
)]

mod etcdctl;
mod grpc;
#[path = "../shared/kv.rs"]
mod kv;
mod memory;

use std::time::Duration;

use etcd_operations::client::etcdctl::Etcdctl;
use etcd_operations::client::{CallError, EtcdApi, EtcdEndpoint};
use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::ids::MemberId;
use etcd_operations::operation::{
    AlarmDisarm, Compact, Health, MemberAdd, MemberPromote, MemberRemove, MoveLeader, Operation,
};
use etcd_operations::report::{
    Alarm, AlarmKind, AlarmReport, Consistency, HealthReport, MemberList, MembershipReport, Report,
};
use etcd_operations::run::run_calls;
use etcd_operations::target::{Target, TlsFiles};

use etcdctl::{MemoryEtcdctl, OverEtcdctl};
use grpc::OverGrpc;
use memory::{Call, Fault, MemoryCluster, peer_url};

/// One of the two ways to the cluster in memory.
trait Backend: Sized {
    type Api: EtcdApi;

    async fn start(count: u64) -> Self;
    fn cluster(&self) -> &MemoryCluster;
    fn api(&self) -> &Self::Api;
    fn target(&self) -> Target;
    /// Starts a member that was added.
    async fn start_member(&mut self, id: MemberId);

    async fn run(&self, operation: &Operation) -> Result<Report, Failure> {
        let done = run_calls(self.api(), &self.target(), operation, &mut |_| {}).await;
        done.map_err(Into::into)
    }

    async fn change(&self, operation: &Operation) -> MembershipReport {
        match self.run(operation).await.unwrap() {
            Report::MemberAdd(report)
            | Report::MemberRemove(report)
            | Report::MemberPromote(report) => report,
            other => panic!("{other:?}"),
        }
    }

    async fn refusal(&self, operation: &Operation, says: &str) {
        let failure = self.run(operation).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
        assert!(failure.message.contains(says), "{failure}");
        assert!(failure.hint.is_some(), "{failure}");
    }
}

fn target_at(url: &str) -> Target {
    Target {
        node: "cp-1".into(),
        pod: "etcd-cp-1".into(),
        member_name: "cp-1".into(),
        client_urls: vec![url.into()],
        peer_urls: vec![peer_url(1)],
        tls: None,
        data_dir: std::env::temp_dir(),
        wal_dir: None,
        quota_bytes: Some(1 << 30),
        image: None,
    }
}

fn add(number: u64) -> Operation {
    Operation::MemberAdd(MemberAdd {
        name: Some(format!("cp-{number}")),
        peer_urls: vec![peer_url(number)],
        learner: true,
    })
}

fn remove(number: u64) -> Operation {
    Operation::MemberRemove(MemberRemove {
        member: MemberId(number),
    })
}

fn promote(number: u64, wait_ms: u64) -> Operation {
    Operation::MemberPromote(MemberPromote {
        member: MemberId(number),
        wait_ms,
    })
}

fn move_leader(number: u64) -> Operation {
    Operation::MoveLeader(MoveLeader {
        to: MemberId(number),
    })
}

fn alarm(number: u64, alarm: AlarmKind) -> Alarm {
    Alarm {
        member_id: MemberId(number),
        alarm,
    }
}

/// Each of these is a test of both backends.
macro_rules! over_both {
    ($($name:ident),* $(,)?) => {
        mod over_grpc {
            $(#[tokio::test] async fn $name() { super::$name::<super::OverGrpc>().await })*
        }
        mod over_etcdctl {
            $(#[tokio::test] async fn $name() { super::$name::<super::OverEtcdctl>().await })*
        }
    };
}

over_both![
    a_change_whose_answer_is_lost_is_found_in_the_list,
    a_change_that_is_lost_may_have_been_done,
    what_is_done_already_is_not_done_again,
    a_change_waits_until_the_voters_are_connected,
    missing_rights_are_told_from_a_member_that_is_down,
    what_must_not_be_changed_is_refused,
    a_learner_is_promoted_once_it_answers_and_has_caught_up,
    without_a_leader_the_own_view_is_listed_and_nothing_is_changed,
    a_lead_is_handed_over_even_when_the_answer_is_lost,
    a_silent_member_is_unhealthy_and_so_is_one_without_the_quorum,
    only_the_alarms_that_are_meant_are_taken_back,
    a_compaction_goes_to_a_revision_and_etcd_refuses_one_that_is_gone,
    a_defragmentation_tells_the_sizes_before_and_after,
];

async fn a_change_whose_answer_is_lost_is_found_in_the_list<B: Backend>() {
    let b = B::start(2).await;
    b.cluster().fail(Call::Add, [Fault::AnswerLost]);
    let added = b.change(&add(3)).await;
    assert!(added.changed && added.member_id == MemberId(3), "{added:?}");
    assert_eq!((b.cluster().count(Call::Add), added.members.len()), (1, 3));
    b.cluster().fail(Call::Remove, [Fault::AnswerLost]);
    let removed = b.change(&remove(3)).await;
    assert!(removed.changed && removed.members.len() == 2, "{removed:?}");
    assert_eq!(b.cluster().count(Call::Remove), 1);
}

async fn a_change_that_is_lost_may_have_been_done<B: Backend>() {
    let b = B::start(2).await;
    for (call, change) in [(Call::Add, add(3)), (Call::Remove, remove(2))] {
        b.cluster().fail(call, [Fault::CallLost]);
        let failure = b.run(&change).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unreachable, "{failure}");
        assert!(
            failure
                .hint
                .unwrap()
                .written()
                .contains("may have been done")
        );
    }
}

async fn what_is_done_already_is_not_done_again<B: Backend>() {
    let mut b = B::start(2).await;
    assert!(b.change(&add(3)).await.changed);
    assert!(!b.change(&add(3)).await.changed);
    b.start_member(MemberId(3)).await;
    assert!(
        !b.change(&add(3)).await.changed,
        "a member that has started"
    );
    assert!(b.change(&promote(3, 0)).await.changed);
    assert!(!b.change(&promote(3, 0)).await.changed);
    assert!(!b.change(&remove(9)).await.changed);
    let Report::MoveLeader(lead) = b.run(&move_leader(1)).await.unwrap() else {
        panic!("no report of a leader")
    };
    assert!(!lead.changed(), "{lead:?}");
    let cluster = b.cluster();
    let made = [Call::Add, Call::Promote, Call::Remove, Call::MoveLeader];
    assert_eq!(made.map(|call| cluster.count(call)), [1, 1, 0, 0]);
}

async fn a_change_waits_until_the_voters_are_connected<B: Backend>() {
    let b = B::start(2).await;
    let unhealthy = Fault::Refused("etcdserver: unhealthy cluster");
    b.cluster().fail(Call::Add, [unhealthy, unhealthy]);
    assert!(b.change(&add(3)).await.changed);
    assert_eq!(b.cluster().count(Call::Add), 3);
    b.cluster().fail(Call::Remove, [unhealthy]);
    assert!(b.change(&remove(3)).await.changed);
}

async fn missing_rights_are_told_from_a_member_that_is_down<B: Backend>() {
    let b = B::start(2).await;
    let denied = Fault::Refused("etcdserver: permission denied");
    b.cluster().fail(Call::Add, [denied]);
    let failure = b.run(&add(3)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unauthorized, "{failure}");
    assert!(
        failure
            .hint
            .unwrap()
            .written()
            .contains("a user with the role root")
    );
    b.cluster().fail(Call::Alarms, [denied]);
    let failure = b.run(&Operation::AlarmList).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unauthorized, "{failure}");
}

async fn what_must_not_be_changed_is_refused<B: Backend>() {
    let b = B::start(2).await;
    b.refusal(&remove(1), "own member").await;
    b.refusal(&promote(9, 0), "no member").await;
    b.refusal(&move_leader(9), "no member").await;
    let taken = Operation::MemberAdd(MemberAdd {
        name: Some("cp-2".to_owned()),
        peer_urls: vec![peer_url(3)],
        learner: true,
    });
    b.refusal(&taken, "a member named cp-2").await;
    b.cluster().fail(
        Call::Add,
        [Fault::Refused(
            "etcdserver: too many learner members in cluster",
        )],
    );
    b.refusal(&add(3), "too many learner members").await;
    assert!(b.change(&add(3)).await.changed);
    b.refusal(&move_leader(3), "is a learner").await;
    b.cluster().state().leader = Some(MemberId(2));
    b.refusal(&move_leader(1), "cp-1 does not lead").await;
    assert_eq!(b.cluster().count(Call::Remove), 0);
    assert_eq!(b.cluster().count(Call::MoveLeader), 0);
}

async fn a_learner_is_promoted_once_it_answers_and_has_caught_up<B: Backend>() {
    let mut b = B::start(2).await;
    b.change(&add(3)).await;
    b.refusal(&promote(3, 0), "has never started").await;
    assert_eq!(b.cluster().count(Call::Promote), 0, "etcd would do it");
    b.start_member(MemberId(3)).await;
    let behind = "etcdserver: can only promote a learner member which is in sync with leader";
    b.cluster().fail(Call::Promote, [Fault::Refused(behind)]);
    b.refusal(&promote(3, 0), "is 0 log entries behind").await;
    b.cluster().fail(
        Call::Promote,
        [
            Fault::Refused(behind),
            Fault::Refused("etcdserver: leader changed"),
        ],
    );
    let promoted = b.change(&promote(3, 20_000)).await;
    assert!(promoted.changed && !promoted.member().unwrap().is_learner);
    assert_eq!(b.cluster().count(Call::Promote), 4);
}

async fn without_a_leader_the_own_view_is_listed_and_nothing_is_changed<B: Backend>() {
    let b = B::start(3).await;
    let listed = async || match b.run(&Operation::Members).await.unwrap() {
        Report::Members(list) => (list.consistency, list.members.len()),
        other => panic!("{other:?}"),
    };
    assert_eq!(listed().await, (Consistency::Linearizable, 3));
    b.cluster().state().leader = None;
    assert_eq!(listed().await, (Consistency::Serializable, 3));
    for change in [add(4), remove(2), promote(2, 0), move_leader(2)] {
        let failure = b.run(&change).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::NoQuorum, "{failure}");
        assert!(failure.message.contains("knows of no leader"), "{failure}");
    }
    for call in [Call::Add, Call::Remove, Call::Promote, Call::MoveLeader] {
        assert_eq!(b.cluster().count(call), 0, "{call:?}");
    }
}

async fn a_lead_is_handed_over_even_when_the_answer_is_lost<B: Backend>() {
    let b = B::start(2).await;
    b.cluster()
        .fail(Call::MoveLeader, [Fault::CallLost, Fault::AnswerLost]);
    let failure = b.run(&move_leader(2)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable, "{failure}");
    let Report::MoveLeader(lead) = b.run(&move_leader(2)).await.unwrap() else {
        panic!("no report of a leader")
    };
    assert!(lead.changed() && lead.from == MemberId(1), "{lead:?}");
}

async fn health<B: Backend>(b: &B) -> HealthReport {
    match b
        .run(&Operation::Health(Health { timeout_ms: 700 }))
        .await
        .unwrap()
    {
        Report::Health(health) => health,
        other => panic!("{other:?}"),
    }
}

async fn a_silent_member_is_unhealthy_and_so_is_one_without_the_quorum<B: Backend>() {
    let b = B::start(3).await;
    let healthy = health(&b).await;
    assert_eq!(healthy.member_id, Some(MemberId(1)));
    assert!(healthy.read_us.ok().is_some() && healthy.members.len() == 3);
    assert_eq!(healthy.alarms.ok(), Some(&Vec::new()));

    b.cluster().fail(Call::Read, [Fault::Silence]);
    let read = health(&b).await.read_us;
    let failure = read.failure().unwrap();
    assert_eq!(failure.kind, FailureKind::NoQuorum, "{failure}");

    b.cluster().fail(Call::Status, [Fault::Silence]);
    let silent = health(&b).await;
    assert_eq!(silent.member_id, None);
    let failure = silent.alarms.failure().unwrap();
    assert_eq!(failure.kind, FailureKind::Unreachable, "{failure}");
    assert_eq!(silent.read_us.failure(), Some(failure));
}

async fn only_the_alarms_that_are_meant_are_taken_back<B: Backend>() {
    let b = B::start(2).await;
    let disarm = |member| {
        Operation::AlarmDisarm(AlarmDisarm {
            alarm: AlarmKind::NoSpace,
            member,
        })
    };
    let full = alarm(2, AlarmKind::NoSpace);
    let run = async |operation: &Operation| -> AlarmReport {
        match b.run(operation).await.unwrap() {
            Report::AlarmDisarm(report) | Report::AlarmList(report) => report,
            other => panic!("{other:?}"),
        }
    };
    assert!(run(&disarm(None)).await.alarms.is_empty());
    b.cluster().state().alarms = vec![full];
    assert_eq!(run(&Operation::AlarmList).await.alarms, [full]);
    assert!(run(&disarm(Some(MemberId(1)))).await.alarms.is_empty());
    assert_eq!(b.cluster().count(Call::Disarm), 0);
    let disarmed = run(&disarm(None)).await;
    assert_eq!(disarmed.alarms, [full]);
    assert!(disarmed.still_raised.is_empty());

    let corrupt = alarm(1, AlarmKind::Corrupt);
    b.cluster().state().alarms = vec![full, corrupt];
    // etcdctl can disarm all alarms or none.
    match b.run(&disarm(None)).await {
        Ok(_) => assert_eq!(b.cluster().state().alarms, [corrupt]),
        Err(failure) => {
            assert!(!B::Api::SEES_FILES, "{failure}");
            assert_eq!(failure.kind, FailureKind::Refused);
            assert_eq!(b.cluster().state().alarms, [full, corrupt]);
        }
    }
}

async fn a_defragmentation_tells_the_sizes_before_and_after<B: Backend>() {
    let b = B::start(1).await;
    let Report::Defrag(report) = b.run(&Operation::Defrag).await.unwrap() else {
        panic!("no report of a defragmentation")
    };
    assert_eq!(
        (report.before_bytes, report.after_bytes),
        (40 << 20, 20 << 20)
    );
    b.cluster()
        .fail(Call::Defragment, [Fault::Refused("etcdserver: not now")]);
    assert!(b.run(&Operation::Defrag).await.is_err());
}

async fn a_compaction_goes_to_a_revision_and_etcd_refuses_one_that_is_gone<B: Backend>() {
    let b = B::start(3).await;
    let compact = |revision| Operation::Compact(Compact { revision });
    let Report::Compact(report) = b.run(&compact(7)).await.unwrap() else {
        panic!("no report of a compaction")
    };
    assert_eq!((report.revision, b.cluster().state().compacted), (7, 7));
    let refused = b.run(&compact(7)).await.unwrap_err();
    assert!(refused.message.contains("has been compacted"), "{refused}");
    b.cluster().state().leader = None;
    let lost = b.run(&compact(8)).await.unwrap_err();
    assert_eq!(lost.kind, FailureKind::NoQuorum, "{lost}");
}

fn etcdctl_of(cluster: &MemoryCluster, image: &str) -> Etcdctl<MemoryEtcdctl> {
    Etcdctl::new(MemoryEtcdctl::new(cluster), None, Some(image))
}

#[tokio::test]
async fn what_an_old_etcdctl_cannot_ask_is_said_by_the_list() {
    let cluster = MemoryCluster::new(3);
    let target = target_at("http://10.0.0.1:2379");
    let list = async |image: &str| -> Result<MemberList, Failure> {
        let etcdctl = etcdctl_of(&cluster, image);
        match run_calls(&etcdctl, &target, &Operation::Members, &mut |_| {}).await {
            Ok(Report::Members(list)) => Ok(list),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.into()),
        }
    };
    let image = |version| format!("registry.k8s.io/etcd:{version}");
    let old = list(&image("3.4.13-0")).await.unwrap();
    assert_eq!(old.consistency, Consistency::Serializable);
    for version in ["3.5.9-0", "v3.6.1", "latest"] {
        let new = list(&image(version)).await.unwrap();
        assert_eq!(new.consistency, Consistency::Linearizable, "{version}");
    }
    // 3.5 asks the quorum and nothing else.
    cluster.state().leader = None;
    let failure = list(&image("3.5.9-0")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::NoQuorum, "{failure}");
    let own = list(&image("3.6.1-0")).await.unwrap();
    assert_eq!(own.consistency, Consistency::Serializable);
}

#[tokio::test]
async fn an_etcdctl_that_cannot_be_run_is_no_unhealthy_member() {
    let cluster = MemoryCluster::new(1);
    let mut runner = MemoryEtcdctl::new(&cluster);
    runner.broken = true;
    let lines = runner.lines.clone();
    let etcdctl = Etcdctl::new(runner, None, None);
    let mut target = target_at("http://10.0.0.1:2379");
    target.client_urls.push("http://10.0.0.1:2380".to_owned());
    let health = Operation::Health(Health { timeout_ms: 2000 });
    let error = run_calls(&etcdctl, &target, &health, &mut |_| {}).await;
    assert!(error.unwrap_err().is_transport());
    assert_eq!(lines.lock().unwrap().len(), 1, "another URL was tried");
}

#[tokio::test]
async fn etcdctl_is_given_certificates_and_ends_before_it_is_given_up() {
    let cluster = MemoryCluster::new(1);
    let runner = MemoryEtcdctl::new(&cluster);
    let lines = runner.lines.clone();
    let tls = TlsFiles {
        ca: "/pki/ca.crt".into(),
        cert: "/pki/server.crt".into(),
        key: "/pki/server.key".into(),
    };
    let etcdctl = Etcdctl::new(runner, Some(tls), None);
    let endpoint = etcdctl.endpoint("http://10.0.0.1:2379").await.unwrap();
    for (limit, whole) in [(300, 2), (2000, 2), (4100, 5)] {
        endpoint.status(Duration::from_millis(limit)).await.unwrap();
        let (line, given_up) = lines.lock().unwrap().pop().unwrap();
        assert_eq!(
            line,
            format!(
                "--endpoints=http://10.0.0.1:2379 --dial-timeout=2s --command-timeout={whole}s \
                 --cacert=/pki/ca.crt --cert=/pki/server.crt --key=/pki/server.key \
                 endpoint status -w json"
            )
        );
        assert_eq!(given_up, Duration::from_secs(whole + 3));
    }
}
