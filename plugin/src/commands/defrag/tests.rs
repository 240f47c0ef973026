//! Defragmentations of a cluster in memory.

use super::*;
use crate::commands::life::fakes::{FakeTerminal, Reply};
use crate::commands::operated::memory::MemoryCluster;
use crate::views::Format;
use kubectl_etcd_core::assess::fixtures::Cluster;
use kubectl_etcd_core::outcome::{RunError, RunErrorKind};

const ASKED: Consent = Consent {
    dry_run: false,
    yes: false,
    output: Format::Table,
};

fn down() -> RunError {
    RunError::new(RunErrorKind::NodeDown, "off")
}

async fn run_on(
    cluster: &MemoryCluster,
    terminal: &FakeTerminal,
    consent: Consent,
) -> Result<Verdict, Error> {
    let defragmenting = Defragmenting {
        cluster,
        allow_stall: false,
        all: false,
    };
    carry_out(&defragmenting, terminal, consent).await
}

fn three() -> MemoryCluster {
    MemoryCluster::new(Cluster::of(3))
}

fn yes() -> FakeTerminal {
    FakeTerminal::new(Reply::Yes)
}

#[tokio::test]
async fn members_are_defragmented_one_after_another_and_the_leader_last() {
    let (cluster, terminal) = (three(), yes());
    assert_eq!(
        run_on(&cluster, &terminal, ASKED).await.unwrap(),
        Verdict::Healthy
    );
    assert_eq!(
        cluster.asked(),
        ["cp-2: defrag", "cp-3: defrag", "cp-1: defrag"]
    );
    assert_eq!(
        terminal.starting("asks"),
        ["asks: Defragment 3 members, one after another?"]
    );
    assert_eq!(*cluster.locks.borrow(), ["defrag"]);
    // Unasked nothing is said of what is going to be.
    let (cluster, terminal) = (three(), yes());
    let unasked = Consent { yes: true, ..ASKED };
    run_on(&cluster, &terminal, unasked).await.unwrap();
    assert!(terminal.lines()[0].starts_with("says: defragmenting cp-2"));
}

#[tokio::test]
async fn a_dry_run_shows_the_plan_and_refuses_what_the_run_would_refuse() {
    let mut cluster = Cluster::of(3);
    cluster.lost(2, down());
    let (cluster, terminal) = (MemoryCluster::new(cluster), yes());
    let dry_run = Consent {
        dry_run: true,
        ..ASKED
    };
    let would_be = run_on(&cluster, &terminal, dry_run).await.unwrap_err();
    assert_eq!(terminal.lines().len(), 1);
    let refused = run_on(&cluster, &terminal, ASKED).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Refused);
    assert_eq!(would_be.message, refused.message);
    assert!(cluster.asked().is_empty() && cluster.locks.borrow().is_empty());
}

#[tokio::test]
async fn a_member_with_nothing_to_gain_is_skipped_unless_that_is_asked_for() {
    let mut cluster = Cluster::of(3);
    cluster.account(2).db_in_use_bytes = Some(cluster.account(2).db_size_bytes - 90_000);
    let (cluster, terminal) = (MemoryCluster::new(cluster), yes());
    let verdict = run_on(&cluster, &terminal, ASKED).await.unwrap();
    assert_eq!(verdict, Verdict::Healthy);
    assert_eq!(cluster.asked(), ["cp-3: defrag", "cp-1: defrag"]);
    let said = terminal.starting("says");
    assert!(said[0].contains("126 MiB of them free"), "{said:?}");
    assert!(said[2].contains("cp-2: nothing to gain"), "{said:?}");
    let shown = terminal.starting("shows").join("");
    assert!(shown.contains("nothing to gain on cp-2: --all"), "{shown}");
    let all = Defragmenting {
        cluster: &cluster,
        allow_stall: false,
        all: true,
    };
    carry_out(&all, &yes(), ASKED).await.unwrap();
    assert_eq!(cluster.asked().len(), 5);
}

#[tokio::test]
async fn where_no_member_has_anything_to_gain_nobody_is_asked() {
    let mut cluster = Cluster::of(1);
    cluster.account(1).db_in_use_bytes = Some(cluster.account(1).db_size_bytes);
    let (cluster, terminal) = (MemoryCluster::new(cluster), FakeTerminal::new(Reply::No));
    let verdict = run_on(&cluster, &terminal, ASKED).await.unwrap();
    assert_eq!((verdict, cluster.asked().len()), (Verdict::Healthy, 0));
    assert!(terminal.lines()[0].contains("0 of 1 member defragmented"));
}

#[tokio::test]
async fn the_first_trouble_ends_it_and_what_was_done_is_shown() {
    let (cluster, terminal) = (three(), yes());
    cluster.fails_from(2);
    let error = run_on(&cluster, &terminal, ASKED).await.unwrap_err();
    assert!(
        error
            .message
            .starts_with("stopped at the first trouble: cp-3: "),
        "{error}"
    );
    assert_eq!(
        crate::advice::hints(&error),
        ["kubectl etcd status shows how the cluster is"]
    );
    assert_eq!(cluster.asked().len(), 2);
    let shown = terminal.starting("shows").join("");
    assert!(
        shown.contains("failed") && shown.contains("1 of 3 members defragmented"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_lock_that_is_lost_ends_it_too() {
    let (cluster, terminal) = (three(), yes());
    cluster.lock_lost_at.set(1);
    let error = run_on(&cluster, &terminal, ASKED).await.unwrap_err();
    assert!(error.message.contains("the lock was taken"), "{error}");
    assert_eq!(
        (cluster.asked().len(), terminal.starting("shows").len()),
        (1, 1)
    );
}

#[tokio::test]
async fn without_a_yes_the_lock_or_the_same_members_nothing_is_done() {
    let cluster = three();
    let no = FakeTerminal::new(Reply::No);
    run_on(&cluster, &no, ASKED).await.unwrap_err();
    cluster.held_by.set(Some("jane"));
    run_on(&cluster, &yes(), ASKED).await.unwrap_err();
    cluster.held_by.set(None);
    cluster.meanwhile(|cluster| cluster.account(2).is_learner = true);
    let error = run_on(&cluster, &yes(), ASKED).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(cluster.asked().is_empty());
}

#[test]
fn the_gate_opens_when_the_cluster_is_as_before() {
    let before = Cluster::of(3).assess();
    assert_eq!(not_yet(&before, &before, "cp-2"), None);
    let mut behind = Cluster::of(3);
    behind.account(2).raft_applied_index -= 2_000;
    assert!(
        not_yet(&behind.assess(), &before, "cp-2")
            .unwrap()
            .contains("behind")
    );
    let mut gone = Cluster::of(3);
    gone.lost(2, RunError::new(RunErrorKind::NodeDown, "off"));
    assert_eq!(
        not_yet(&gone.assess(), &before, "cp-2").unwrap(),
        "it is down"
    );
    assert!(
        not_yet(&gone.assess(), &before, "cp-3")
            .unwrap()
            .contains("2 of 3")
    );
}

#[test]
fn a_plan_holds_for_the_members_it_was_shown_for() {
    let cluster = Cluster::of(3);
    let asked = defragmentation(&cluster.assess());
    assert!(of_the_same_members(&asked, &asked));
    let mut changed = Cluster::of(3);
    changed.lost(2, RunError::new(RunErrorKind::NodeDown, "off"));
    let now = defragmentation(&changed.assess());
    assert!(!of_the_same_members(&now, &asked));
}

#[test]
fn a_cluster_that_bears_no_failure_is_not_stalled_unasked() {
    let mut cluster = Cluster::of(3);
    assert!(refuse_stall(&cluster.assess(), false).is_ok());
    cluster.lost(2, RunError::new(RunErrorKind::NodeDown, "off"));
    let error = refuse_stall(&cluster.assess(), false).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(
        crate::advice::hints(&error)
            .iter()
            .any(|hint| hint.contains("--allow-stall"))
    );
    assert!(refuse_stall(&cluster.assess(), true).is_ok());
    assert!(refuse_stall(&Cluster::of(1).assess(), false).is_ok());
}
