//! What a journal tells of the files of its plan.

use std::path::{Path, PathBuf};

use super::act::{OfText, Record, Started, Stopped, Undone};
use super::action::{Done, Until};
use super::journal::{Event, Journal};
use crate::manifest::{Start, Stop, sha256};

/// A component stopped and started with other bytes, in the journal.
fn stopped_and_started(journal: &mut Journal, manifest: &Path) {
    let of = OfText {
        component: "etcd".into(),
        node: "cp-1".into(),
        text: "kind: Pod\n".into(),
    };
    let aside = manifest.with_file_name("aside");
    let stop = Stop {
        manifest: manifest.to_owned(),
        kept: aside.clone(),
        sha256: sha256(b"before"),
    };
    let start = Start {
        manifest: manifest.to_owned(),
        like: None,
        kept: aside,
        after: sha256(b"after"),
        outdated: Vec::new(),
    };
    let stop = Record::Stop(Stopped {
        manifest: stop,
        of: of.clone(),
        answered: true,
    });
    let start = Record::Start(Started {
        manifest: start,
        of,
        changed: true,
        until: Until::Ready,
    });
    for (step, record) in [(1, stop), (2, start)] {
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
