//! Rankings of directories made up.

use super::*;
use crate::datadir::{DatabaseState, Refusal, Start};
use crate::membership::{Membership, Source, View, ViewMember};

/// A directory of a member of cluster 7 whose voters are 1, 2 and 3, and whose learner is 4.
fn dir(member: u64, verdict: Verdict) -> DataDir {
    let mut view = View::default();
    for id in 1..=4 {
        let described = ViewMember {
            is_learner: id == 4,
            ..ViewMember::default()
        };
        view.members.insert(MemberId(id), described);
    }
    DataDir {
        path: format!("dir-{member}").into(),
        wal_dir: "wal".into(),
        database_path: "db".into(),
        member_id: Some(MemberId(member)),
        cluster_id: Some(ClusterId(7)),
        wal: None,
        snaps: Vec::new(),
        database: DatabaseState::Missing,
        received: Vec::new(),
        membership: Membership {
            views: vec![(Source::Wal, view)],
            differences: Vec::new(),
        },
        verdict,
        findings: Vec::new(),
    }
}

fn start(index: u64) -> Start {
    Start {
        snapshot: LogPosition { term: 2, index },
        rebuilds_database: false,
        takes_received: false,
    }
}

fn starts(member: u64, index: u64) -> DataDir {
    dir(member, Verdict::Starts(start(index)))
}

fn with_loss(member: u64, loss: Loss) -> DataDir {
    dir(member, Verdict::StartsWithLoss(start(5), vec![loss]))
}

fn torn() -> Loss {
    Loss::TornRecord {
        file: "wal".into(),
        offset: 8,
    }
}

fn hole() -> Loss {
    Loss::BehindHole {
        file: "wal".into(),
        offset: 8,
        resumes_at: 16,
    }
}

#[test]
fn only_whole_logs_of_different_voters_make_a_majority() {
    let removed = Verdict::RestoreFrom(Refusal::Removed(MemberId(2)));
    let cases = [
        (vec![starts(1, 9), starts(2, 5)], true),
        (vec![starts(1, 9), with_loss(2, torn())], true),
        (vec![starts(1, 9), starts(1, 5)], false),
        (vec![starts(1, 9), with_loss(2, hole())], false),
        (vec![starts(1, 9), dir(2, removed)], false),
        (vec![starts(1, 9), starts(4, 5)], false),
        (vec![starts(1, 9), starts(8, 5)], false),
        (vec![starts(4, 9), starts(1, 5), starts(2, 5)], true),
    ];
    for (dirs, majority) in cases {
        let found = rank(&dirs);
        assert_eq!((found.majority, found.voters), (majority, 3), "{found:?}");
        assert_eq!(found.best().map(|best| best.which), Some(0));
    }
}

#[test]
fn a_member_given_twice_is_told() {
    let found = rank(&[starts(1, 9), starts(1, 5), starts(2, 5)]);
    assert_eq!(found.given_twice, [MemberId(1)]);
    assert!(found.majority);
}

#[test]
fn a_directory_that_tells_no_cluster_is_never_better_than_one_that_does() {
    let unknown = DataDir {
        cluster_id: None,
        member_id: None,
        ..starts(2, 100)
    };
    let found = rank(&[unknown, starts(1, 5), dir(3, Verdict::Empty)]);
    let order: Vec<usize> = found.order.iter().map(|ranked| ranked.which).collect();
    assert_eq!(order, [1, 0, 2]);
    assert_eq!(found.of_unknown_cluster, [0]);
}
