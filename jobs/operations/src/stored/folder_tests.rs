//! Tests of [`super`].

use super::super::description::tests::snapshot;
use super::*;
use crate::disk::files::Replace;
use crate::failure::FailureKind;
use crate::ids::ClusterId;
use crate::report::{Checked, Fate, SnapshotReport};
use crate::stored::description::Check;
use std::fs;

fn name(text: &str) -> SnapshotName {
    text.parse().unwrap()
}

/// A file of three bytes, described.
fn keep(folder: &Path, file: &str, taken_at: &str) -> SnapshotReport {
    let path = folder.join(file);
    fs::write(&path, b"abc").unwrap();
    let report = snapshot(taken_at);
    let description = Description::new(&report, &path);
    description.store(&path, Replace::Nothing).unwrap();
    report
}

#[test]
fn a_folder_that_is_not_there_has_none() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(list(&dir.path().join("none")).unwrap(), []);
}

#[test]
fn only_snapshots_are_listed_and_only_described_ones_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    keep(folder, "b.db", "2026-11-20T21:00:00Z");
    keep(folder, "cut.db", "2026-11-20T22:00:00Z");
    fs::write(folder.join("cut.db"), b"ab").unwrap();
    fs::write(folder.join("alone.db"), b"abc").unwrap();
    fs::write(folder.join("odd.db"), b"abc").unwrap();
    fs::write(folder.join("odd.db.json"), b"{}").unwrap();
    for other in ["notes.txt", "x.db.part", "a b.db", ".hidden.db"] {
        fs::write(folder.join(other), b"theirs").unwrap();
    }
    fs::create_dir(folder.join("folder.db")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.join("link.db")).unwrap();
    let kept = list(folder).unwrap();
    let states: Vec<_> = kept
        .iter()
        .map(|one| (one.name.as_str(), &one.state))
        .collect();
    assert!(
        matches!(
            states[..],
            [
                ("alone.db", KeptState::Unknown { .. }),
                (
                    "b.db",
                    KeptState::Verified {
                        how: Checked::WhileSaving,
                        ..
                    }
                ),
                ("cut.db", KeptState::Damaged { .. }),
                ("odd.db", KeptState::Unknown { .. }),
            ]
        ),
        "{states:?}"
    );
}

#[test]
fn what_was_found_the_last_time_counts() {
    let dir = tempfile::tempdir().unwrap();
    let report = keep(dir.path(), "a.db", "2026-11-20T21:00:00Z");
    let path = dir.path().join("a.db");
    let at = "2026-11-21T00:00:00Z".parse().unwrap();
    for (damage, verified) in [(None, true), (Some("page 7".to_owned()), false)] {
        let described = Description::new(&report, &path).checked_again(Check { at, damage });
        described.store(&path, Replace::OwnFile).unwrap();
        let found = find(dir.path(), &name("a.db")).unwrap();
        assert_eq!(
            matches!(
                found.state,
                KeptState::Verified {
                    how: Checked::Again,
                    ..
                }
            ),
            verified
        );
        assert_eq!(matches!(found.state, KeptState::Damaged { .. }), !verified);
    }
}

#[test]
fn packed_snapshots_are_listed_by_their_endings() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["a.db", "b.db.zst", "c.tar.zst", "d.zst", "e.tar"] {
        fs::write(dir.path().join(file), b"abc").unwrap();
    }
    let kept = list(dir.path()).unwrap();
    let names: Vec<_> = kept.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["a.db", "b.db.zst", "c.tar.zst"]);
}

#[test]
fn only_what_is_described_is_removed_and_nothing_stays_of_it() {
    let dir = tempfile::tempdir().unwrap();
    keep(dir.path(), "a.db", "2026-11-20T21:00:00Z");
    fs::write(dir.path().join("theirs.db"), b"abc").unwrap();
    remove(dir.path(), &name("a.db")).unwrap();
    let refused = remove(dir.path(), &name("theirs.db")).unwrap_err();
    assert_eq!(refused.kind, FailureKind::Refused);
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["theirs.db"]);
    // A removal that was stopped between the two files is finished by the next.
    let path = dir.path().join("b.db");
    let described = Description::new(&snapshot("2026-11-20T21:00:00Z"), &path);
    described.store(&path, Replace::Nothing).unwrap();
    remove(dir.path(), &name("b.db")).unwrap();
    assert!(!Description::path_of(&path).exists());
}

#[test]
fn rules_are_asked_for_each_cluster_and_only_about_whole_ones() {
    let dir = tempfile::tempdir().unwrap();
    let now = "2026-11-21T12:00:00Z".parse().unwrap();
    for (day, file) in [(18, "1.db"), (19, "2.db"), (20, "3.db"), (21, "damaged.db")] {
        keep(dir.path(), file, &format!("2026-11-{day}T03:00:00Z"));
    }
    fs::write(dir.path().join("damaged.db"), b"").unwrap();
    fs::write(dir.path().join("theirs.db"), b"abc").unwrap();
    let path = dir.path().join("old.db");
    fs::write(&path, b"abc").unwrap();
    let old = SnapshotReport {
        cluster_id: ClusterId(1),
        ..snapshot("2025-01-01T00:00:00Z")
    };
    Description::new(&old, &path)
        .store(&path, Replace::Nothing)
        .unwrap();

    let rules = Rules {
        last: 2,
        ..Rules::default()
    };
    let planned = plan(&list(dir.path()).unwrap(), &rules, now);
    let with = |fate: fn(&Fate) -> bool| -> Vec<&str> {
        planned
            .iter()
            .filter(|one| fate(&one.fate))
            .map(|one| one.name.as_str())
            .collect()
    };
    assert_eq!(with(|f| *f == Fate::Goes), ["1.db"]);
    assert_eq!(
        with(|f| matches!(f, Fate::Untouched { .. })),
        ["damaged.db", "theirs.db"]
    );
    assert_eq!(
        with(|f| matches!(f, Fate::Stays { .. })),
        ["old.db", "3.db", "2.db"]
    );
}

#[test]
fn a_snapshot_without_an_object_of_kubernetes_counts_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let now = "2026-11-21T12:00:00Z".parse().unwrap();
    keep(dir.path(), "good.db", "2026-11-19T03:00:00Z");
    for (day, file) in [(20, "empty.db"), (21, "again.db")] {
        let path = dir.path().join(file);
        fs::write(&path, b"abc").unwrap();
        let empty = SnapshotReport {
            has_objects: Some(false),
            ..snapshot(&format!("2026-11-{day}T03:00:00Z"))
        };
        let described = Description::new(&empty, &path);
        let damage = None;
        let again = described.clone().checked_again(Check { at: now, damage });
        let described = if file == "again.db" { again } else { described };
        described.store(&path, Replace::Nothing).unwrap();
        let KeptState::Unknown { why } = find(dir.path(), &name(file)).unwrap().state else {
            panic!("{file}")
        };
        assert_eq!(why, NO_OBJECTS);
    }
    // The last good one does not make room for them.
    let rules = Rules {
        last: 1,
        ..Rules::default()
    };
    let planned = plan(&list(dir.path()).unwrap(), &rules, now);
    assert!(
        planned
            .iter()
            .all(|one| one.fate != crate::report::Fate::Goes)
    );
}
