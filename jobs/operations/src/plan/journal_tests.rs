//! What a journal tells of the files of its plan.

use std::path::{Path, PathBuf};

use super::act::{OfText, Record, Started, Stopped, Undone};
use super::action::{Done, Until};
use super::journal::{Event, Journal};
use crate::failure::{Failure, FailureKind};
use crate::manifest::{Start, Stop, sha256};

fn of() -> OfText {
    OfText {
        component: "etcd".into(),
        node: "cp-1".into(),
        text: "kind: Pod\n".into(),
    }
}

/// A component that is stopped: its manifest has the bytes `before`.
fn stop(manifest: &Path) -> Record {
    Record::Stop(Stopped {
        manifest: Stop {
            manifest: manifest.to_owned(),
            kept: manifest.with_file_name("aside"),
            sha256: sha256(b"before"),
        },
        of: of(),
        answered: true,
    })
}

/// The same component, started with other bytes.
fn start(manifest: &Path, like: Option<PathBuf>) -> Record {
    Record::Start(Started {
        manifest: Start {
            manifest: manifest.to_owned(),
            like,
            kept: manifest.with_file_name("undone"),
            after: sha256(b"after"),
            also_out: Vec::new(),
        },
        of: of(),
        changed: true,
        until: Until::Ready,
    })
}

/// A component stopped and started with other bytes, in the journal.
fn stopped_and_started(journal: &mut Journal, manifest: &Path) {
    for (step, record) in [(1, stop(manifest)), (2, start(manifest, None))] {
        journal.add(step, Event::Begun { record }).unwrap();
        let done = Done::Plain;
        journal.add(step, Event::Done { done }).unwrap();
    }
}

#[test]
fn a_manifest_that_somebody_has_edited_since_is_told_before_an_undo_begins() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("etcd.yaml");
    let mut journal = Journal::open(&dir.path().join("journal.jsonl")).unwrap();
    stopped_and_started(&mut journal, &manifest);
    let none: [PathBuf; 0] = [];
    assert_eq!(journal.changed().unwrap(), none, "it is out");
    std::fs::write(&manifest, "after").unwrap();
    assert_eq!(journal.changed().unwrap(), none, "as the plan left it");
    std::fs::write(&manifest, "edited").unwrap();
    assert_eq!(journal.changed().unwrap(), [manifest.as_path()]);
    // Its start was undone: now it is the stop that counts.
    let undone = Undone::default();
    journal.add(2, Event::Undone { undone }).unwrap();
    assert_eq!(journal.changed().unwrap(), [manifest.as_path()]);
    std::fs::write(&manifest, "before").unwrap();
    assert_eq!(journal.changed().unwrap(), none, "as it was before");
}

/// A step that failed.
fn failed(journal: &mut Journal, step: u32, record: Record) {
    journal.add(step, Event::Begun { record }).unwrap();
    let failure = Failure::new(FailureKind::Refused, "it is a link");
    journal.add(step, Event::Failed { failure }).unwrap();
}

#[test]
fn a_stop_that_moved_nothing_is_nothing_that_somebody_could_have_changed() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("etcd.yaml");
    let mut journal = Journal::open(&dir.path().join("journal.jsonl")).unwrap();
    failed(&mut journal, 1, stop(&manifest));
    let none: [PathBuf; 0] = [];
    // Edited after it was prepared, and a link.
    std::fs::write(&manifest, "edited").unwrap();
    assert_eq!(journal.changed().unwrap(), none);
    std::fs::rename(&manifest, dir.path().join("real.yaml")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("real.yaml"), &manifest).unwrap();
    assert_eq!(journal.changed().unwrap(), none);
    // It was moved before it failed: what is there now is not what an undo brings back.
    std::fs::write(manifest.with_file_name("aside"), "before").unwrap();
    assert_eq!(journal.changed().unwrap(), [manifest.as_path()]);
}

#[test]
fn a_manifest_that_somebody_brought_back_by_hand_is_what_an_undo_brings_back() {
    let dir = tempfile::tempdir().unwrap();
    let (manifest, aside) = (dir.path().join("etcd.yaml"), dir.path().join("aside"));
    let mut journal = Journal::open(&dir.path().join("journal.jsonl")).unwrap();
    let event = Event::Begun {
        record: stop(&manifest),
    };
    journal.add(1, event).unwrap();
    let done = Done::Plain;
    journal.add(1, Event::Done { done }).unwrap();
    failed(&mut journal, 2, start(&manifest, Some(aside.clone())));
    std::fs::write(&aside, "before").unwrap();
    let none: [PathBuf; 0] = [];
    for own in ["before", "after"] {
        std::fs::write(&manifest, own).unwrap();
        assert_eq!(journal.changed().unwrap(), none, "{own}");
    }
    std::fs::write(&manifest, "edited").unwrap();
    assert_eq!(journal.changed().unwrap(), [manifest.as_path()]);
}
