use std::path::Path;

use serde_json::json;

use super::super::action::{Action, Done, Readiness, StartComponent, StopComponent};
use super::super::{Stages, Undone};
use super::*;
use crate::manifest::sha256;
use crate::plan::journal::Event;
use crate::plan::tests::plan_of;

/// Step 1 stops a component, step 2 starts it.
fn plan() -> Plan {
    let component = || "etcd".to_owned();
    let mut stages = Stages::default();
    stages
        .stage(
            "stop",
            [(
                "cp-1".to_owned(),
                Action::Stop(StopComponent {
                    component: component(),
                }),
            )],
        )
        .stage(
            "start",
            [(
                "cp-1".to_owned(),
                Action::Start(StartComponent {
                    component: component(),
                    manifest: None,
                    edits: Vec::new(),
                    until: Readiness::Ready,
                }),
            )],
        );
    plan_of(stages)
}

fn changed(journal: &Journal) -> Vec<PathBuf> {
    changed_manifests(&plan(), journal).unwrap()
}

fn record(fields: serde_json::Value) -> Record {
    serde_json::from_value(fields).unwrap()
}

/// A component that is stopped: its manifest has the bytes `before`.
fn stop(manifest: &Path) -> Record {
    record(json!({
        "record": "stop",
        "manifest": {
            "manifest": manifest,
            "kept": manifest.with_file_name("aside"),
            "sha256": sha256(b"before"),
        },
        "of": {"component": "etcd", "node": "cp-1", "text": "kind: Pod\n"},
        "answered": true,
    }))
}

/// The same component, started with other bytes.
fn start(manifest: &Path, like: Option<&Path>) -> Record {
    record(json!({
        "record": "start",
        "manifest": {
            "manifest": manifest,
            "like": like,
            "kept": manifest.with_file_name("undone"),
            "after": sha256(b"after"),
        },
        "of": {"component": "etcd", "node": "cp-1", "text": "kind: Pod\n"},
        "changed": true,
        "until": "ready",
    }))
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
    assert_eq!(changed(&journal), none, "it is out");
    std::fs::write(&manifest, "after").unwrap();
    assert_eq!(changed(&journal), none, "as the plan left it");
    std::fs::write(&manifest, "edited").unwrap();
    assert_eq!(changed(&journal), [manifest.as_path()]);
    // Its start was undone: now it is the stop that counts.
    let undone = Undone::default();
    journal.add(2, Event::Undone { undone }).unwrap();
    assert_eq!(changed(&journal), [manifest.as_path()]);
    std::fs::write(&manifest, "before").unwrap();
    assert_eq!(changed(&journal), none, "as it was before");
}

/// A step that failed.
fn failed(journal: &mut Journal, step: u32, record: Record) {
    journal.add(step, Event::Begun { record }).unwrap();
    let failure = Failure::refused("it is a link");
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
    assert_eq!(changed(&journal), none);
    std::fs::rename(&manifest, dir.path().join("real.yaml")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("real.yaml"), &manifest).unwrap();
    assert_eq!(changed(&journal), none);
    // It was moved before it failed: what is there now is not what an undo brings back.
    std::fs::write(manifest.with_file_name("aside"), "before").unwrap();
    assert_eq!(changed(&journal), [manifest.as_path()]);
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
    failed(&mut journal, 2, start(&manifest, Some(&aside)));
    std::fs::write(&aside, "before").unwrap();
    let none: [PathBuf; 0] = [];
    for own in ["before", "after"] {
        std::fs::write(&manifest, own).unwrap();
        assert_eq!(changed(&journal), none, "{own}");
    }
    std::fs::write(&manifest, "edited").unwrap();
    assert_eq!(changed(&journal), [manifest.as_path()]);
}
