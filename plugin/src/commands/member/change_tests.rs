//! Changes of the members of a cluster in memory.

use super::change::Changing;
use super::{add, move_leader, remove};
use crate::commands::life::fakes::{FakeTerminal, Reply};
use crate::commands::life::{Consent, carry_out};
use crate::commands::operated::memory::MemoryCluster;
use crate::views::Format;
use kubectl_etcd_core::assess::fixtures::{Cluster, id, member};
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};
use kubectl_etcd_core::outcome::{RunError, RunErrorKind};

const ASKED: Consent = Consent {
    dry_run: false,
    yes: false,
    output: Format::Table,
};

fn three() -> MemoryCluster {
    MemoryCluster::new(Cluster::of(3))
}

/// Removes the member that leads: the lead is moved first.
async fn remove_leader(
    cluster: &MemoryCluster,
    terminal: &FakeTerminal,
    consent: Consent,
) -> Result<Verdict, Error> {
    remove_member(cluster, "cp-1", terminal, consent).await
}

async fn remove_member(
    cluster: &MemoryCluster,
    name: &str,
    terminal: &FakeTerminal,
    consent: Consent,
) -> Result<Verdict, Error> {
    let changing = Changing::new(cluster, |look| remove::plan(look, name, false));
    carry_out(&changing, terminal, consent).await
}

fn yes() -> FakeTerminal {
    FakeTerminal::new(Reply::Yes)
}

#[tokio::test]
async fn what_is_done_is_said_asked_for_and_shown() {
    let (cluster, terminal) = (three(), yes());
    let verdict = remove_member(&cluster, "cp-3", &terminal, ASKED)
        .await
        .unwrap();
    assert_eq!(verdict, Verdict::Healthy);
    assert_eq!(cluster.asked(), ["cp-1: member remove"]);
    assert_eq!(*cluster.locks.borrow(), ["member remove"]);
    let lines = terminal.lines();
    assert!(lines[0].starts_with("says: remove cp-3 ("), "{lines:?}");
    assert!(lines[1].starts_with("says: before: 3 of 3"), "{lines:?}");
    assert!(lines[2].starts_with("says: after:  2 of 2"), "{lines:?}");
    assert!(
        lines[3].starts_with("warns: etcd on cp-3 stops"),
        "{lines:?}"
    );
    assert_eq!(lines[4], "asks: Go on?");
    assert!(lines[5].contains("was removed: 2 of 2"), "{lines:?}");
    assert_eq!(lines.len(), 6);
}

#[tokio::test]
async fn a_dry_run_or_a_no_changes_nothing() {
    let dry_run = Consent {
        dry_run: true,
        ..ASKED
    };
    let (cluster, terminal) = (three(), yes());
    remove_leader(&cluster, &terminal, dry_run).await.unwrap();
    assert!(terminal.lines()[0].contains("dry run: nothing was done"));
    assert_eq!(terminal.lines().len(), 1);
    for reply in [Reply::No, Reply::CtrlC] {
        remove_leader(&cluster, &FakeTerminal::new(reply), ASKED)
            .await
            .unwrap_err();
    }
    assert!(cluster.asked().is_empty() && cluster.locks.borrow().is_empty());
}

#[tokio::test]
async fn what_is_so_already_is_shown_and_nobody_is_asked() {
    let (cluster, terminal) = (three(), FakeTerminal::new(Reply::No));
    let changing = Changing::new(&cluster, |look| move_leader::plan(look, Some("cp-1")));
    let verdict = carry_out(&changing, &terminal, ASKED).await.unwrap();
    assert_eq!(verdict, Verdict::Healthy);
    assert!(terminal.lines()[0].contains("nothing to do: cp-1 leads already"));
    assert_eq!((terminal.lines().len(), cluster.asked().len()), (1, 0));
}

#[tokio::test]
async fn while_somebody_else_is_at_work_nothing_is_changed() {
    let cluster = three();
    cluster.held_by.set(Some("jane"));
    let error = remove_leader(&cluster, &yes(), ASKED).await.unwrap_err();
    assert!(error.message.starts_with("jane"), "{error}");
    assert!(cluster.asked().is_empty());
}

#[tokio::test]
async fn a_cluster_that_changes_while_the_question_stands_is_left_alone() {
    let cluster = three();
    // Another one leads: the lead would be moved on by a plan that nobody has seen.
    cluster.meanwhile(|cluster| {
        for account in cluster.accounts.iter_mut().flatten() {
            account.leader = Some(id(2));
        }
    });
    let error = remove_leader(&cluster, &yes(), ASKED).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(
        error.message.starts_with("the cluster has changed"),
        "{error}"
    );
    assert!(cluster.asked().is_empty());

    let cluster = three();
    // Now it would cost the quorum.
    let down = || RunError::new(RunErrorKind::NodeDown, "off");
    cluster.meanwhile(move |cluster| cluster.lost(3, down()));
    let error = remove_member(&cluster, "cp-2", &yes(), ASKED)
        .await
        .unwrap_err();
    assert!(
        error.message.starts_with("the quorum would be lost"),
        "{error}"
    );
    assert!(cluster.asked().is_empty());
}

#[tokio::test]
async fn a_step_that_fails_says_how_many_are_done() {
    for (from, ending) in [(1, "timed out"), (2, "timed out, after 1 of 2 steps")] {
        let cluster = three();
        cluster.fails_from(from);
        let terminal = yes();
        let error = remove_leader(&cluster, &terminal, ASKED).await.unwrap_err();
        assert!(error.message.ends_with(ending), "{error}");
        assert_eq!(cluster.asked().len(), from);
        assert!(terminal.starting("shows").is_empty());
    }
}

#[tokio::test]
async fn nothing_more_is_begun_once_the_lock_is_lost() {
    let cluster = three();
    cluster.lock_lost_at.set(1);
    let error = remove_leader(&cluster, &yes(), ASKED).await.unwrap_err();
    assert!(
        error
            .message
            .starts_with("the lock was taken by somebody else"),
        "{error}"
    );
    assert!(error.message.ends_with("after 1 of 2 steps"), "{error}");
    assert_eq!(cluster.asked(), ["cp-1: member move-leader"]);
}

#[tokio::test]
async fn who_was_shown_to_lead_then_leads_although_another_one_is_ahead_by_now() {
    let cluster = three();
    // cp-2 is shown, and falls behind cp-3 while the question stands.
    cluster.meanwhile(|cluster| cluster.account(2).raft_applied_index -= 5_000);
    remove_leader(&cluster, &yes(), ASKED).await.unwrap();
    assert_eq!(cluster.asked().len(), 2);

    let cluster = three();
    let down = || RunError::new(RunErrorKind::NodeDown, "off");
    cluster.meanwhile(move |cluster| cluster.lost(2, down()));
    let changing = Changing::new(&cluster, |look| move_leader::plan(look, None));
    let error = carry_out(&changing, &yes(), ASKED).await.unwrap_err();
    assert!(
        error.message.starts_with("the cluster has changed"),
        "{error}"
    );
}

#[tokio::test]
async fn a_dry_run_says_that_etcd_takes_no_second_learner() {
    let mut made = Cluster::of(3);
    let mut fourth = member(4);
    fourth.name.clear();
    fourth.is_learner = true;
    made.members.push(fourth);
    made.accounts.push(None);
    let (cluster, terminal) = (MemoryCluster::new(made), yes());
    let url = ["https://10.0.0.5:2380".to_owned()];
    let changing = Changing::new(&cluster, |look| add::plan(look, "m5", &url, false, false));
    let dry_run = Consent {
        dry_run: true,
        ..ASKED
    };
    let error = carry_out(&changing, &terminal, dry_run).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.message.contains(&id(4).to_string()), "{error}");
    assert!(terminal.starting("shows")[0].contains("nothing was done"));
}
