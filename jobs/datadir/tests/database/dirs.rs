//! Data directories made of databases made by hand.

use std::ops::ControlFlow;
use std::path::Path;

use etcd_datadir::Error;
use etcd_datadir::datadir::{Finding, InspectOptions, Refusal, Verdict, inspect, rank};
use etcd_datadir::progress::ignore;

use crate::damage::database;
use crate::support::bolt::{Shape, build};

/// A data directory with a database and no WAL.
fn without_wal() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("member/snap")).unwrap();
    std::fs::write(db(dir.path()), database()).unwrap();
    dir
}

fn db(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("member/snap/db")
}

#[test]
fn an_unchecked_database_can_be_restored_from() {
    let dir = without_wal();
    for skip_database_check in [false, true] {
        let options = InspectOptions {
            skip_database_check,
            ..InspectOptions::default()
        };
        let found = inspect(dir.path(), &options, &mut ignore).unwrap();
        assert!(
            matches!(found.verdict, Verdict::RestoreFrom(Refusal::NoWal { .. })),
            "{:?}",
            found.verdict
        );
        assert_eq!(
            found.findings.contains(&Finding::DatabaseNotChecked),
            skip_database_check
        );
        let ranking = rank(&[found]);
        assert!(ranking.best().is_some());
        assert_eq!(ranking.of_unknown_cluster, [0]);
    }
}

#[test]
fn a_member_that_never_joined_is_new_and_not_damaged() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("member/snap")).unwrap();
    // As etcd leaves it that could not reach the cluster: 3.6 has no bucket for keys yet.
    for buckets in [&["meta"][..], &["key", "lease", "meta"]] {
        let buckets: Vec<_> = buckets
            .iter()
            .map(|name| ((*name).to_owned(), Vec::new()))
            .collect();
        std::fs::write(db(dir.path()), build(&buckets, &Shape::default())).unwrap();
        for skip_database_check in [false, true] {
            let options = InspectOptions {
                skip_database_check,
                ..InspectOptions::default()
            };
            let found = inspect(dir.path(), &options, &mut ignore).unwrap();
            assert_eq!(found.verdict, Verdict::BeyondUse(Refusal::NeverJoined));
            assert_eq!(found.reach(), None);
        }
    }
}

#[test]
fn what_changes_while_it_is_read_is_taken_for_in_use() {
    let dir = without_wal();
    let mut touch = |_| {
        let file = std::fs::File::options().write(true).open(db(dir.path()));
        file.unwrap()
            .set_modified(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
        ControlFlow::Continue(())
    };
    let found = inspect(dir.path(), &InspectOptions::default(), &mut touch).unwrap();
    assert_eq!(found.verdict, Verdict::Running);
}

#[test]
fn a_file_that_cannot_be_opened_is_not_called_damaged() {
    let dir = without_wal();
    std::fs::remove_file(db(dir.path())).unwrap();
    std::os::unix::fs::symlink("db", db(dir.path())).unwrap();
    let found = inspect(dir.path(), &InspectOptions::default(), &mut ignore);
    assert!(matches!(found, Err(Error::Io { .. })), "{found:?}");
}
