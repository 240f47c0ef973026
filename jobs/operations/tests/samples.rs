//! What each released version wrote is still read, field by field.

#![expect(
    clippy::unwrap_used,
    reason = "tests: the helpers of tests panic as tests do"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use etcd_operations::operation::Assignment;
use etcd_operations::wire::{Event, Line, LineError, VERSION};
use serde_json::Value;

fn samples(version: &str) -> Vec<(PathBuf, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/samples")
        .join(version);
    let mut samples: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            (path, value)
        })
        .collect();
    samples.sort_by(|(a, _), (b, _)| a.cmp(b));
    samples
}

#[test]
fn lines_of_version_1_are_read_and_written_the_same() {
    let mut kinds = BTreeSet::new();
    for (path, value) in samples("v1") {
        if path.ends_with("assignments.json") {
            continue;
        }
        let line = Line::parse(&value.to_string())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(
            serde_json::to_value(&line).unwrap(),
            value,
            "{}",
            path.display()
        );
        assert!(!matches!(line.event, Event::Unknown), "{}", path.display());
        let kind = value
            .pointer("/event/report/report")
            .or(value.pointer("/event/type"));
        kinds.insert(kind.and_then(Value::as_str).unwrap().to_owned());
    }
    let all = [
        "alarm-disarm",
        "alarm-list",
        "defrag",
        "failed",
        "hash-kv",
        "health",
        "member-add",
        "member-promote",
        "member-remove",
        "members",
        "move-leader",
        "progress",
        "snapshot",
        "status",
        "usage",
    ];
    assert_eq!(
        kinds,
        all.map(str::to_owned).into(),
        "a sample of everything"
    );
}

#[test]
fn assignments_of_version_1_are_read_and_written_the_same() {
    let (_, value) = samples("v1")
        .into_iter()
        .find(|(path, _)| path.ends_with("assignments.json"))
        .unwrap();
    let assignments: Vec<Assignment> = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&assignments).unwrap(), value);
    let names: BTreeSet<_> = assignments
        .iter()
        .map(|assignment| assignment.operation.name())
        .collect();
    assert_eq!(names.len(), 13, "one of each operation: {names:?}");
}

#[test]
fn what_a_later_version_adds_is_ignored() {
    let line = r#"{"version":1,"new":true,"event":{"type":"report","report":{"report":"defrag","memberId":"1","beforeBytes":2,"afterBytes":1,"tookMs":3,"new":{}}}}"#;
    assert!(matches!(
        Line::parse(line).unwrap().event,
        Event::Report { .. }
    ));
    let line = r#"{"version":1,"event":{"type":"something-new","x":1}}"#;
    assert!(matches!(Line::parse(line).unwrap().event, Event::Unknown));
}

#[test]
fn another_version_and_foreign_text_are_refused_in_a_sentence() {
    let newer = Line::parse(r#"{"version":2,"event":{"type":"report","report":{"report":"x"}}}"#)
        .unwrap_err();
    assert_eq!(
        newer.to_string(),
        format!(
            "the job's program speaks version 2 of the report format, this plugin version {VERSION}: update the plugin"
        )
    );
    let older = Line::parse(r#"{"version":0}"#).unwrap_err().to_string();
    assert!(older.ends_with("use a newer job image"), "{older}");
    for text in [
        "",
        "exec /etcd-job: no such file",
        "[]",
        "{\"level\":\"info\"}",
    ] {
        assert!(
            matches!(Line::parse(text), Err(LineError::Foreign { .. })),
            "{text}"
        );
    }
    let malformed =
        Line::parse(r#"{"version":1,"event":{"type":"report","report":{"report":"nothing"}}}"#);
    assert!(matches!(malformed, Err(LineError::Malformed(_))));
}
