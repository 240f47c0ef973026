//! What each released version wrote is still read, field by field.

#![expect(
    clippy::unwrap_used,
    reason = "tests: the helpers of tests panic as tests do"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use etcd_operations::operation::Assignment;
use etcd_operations::wire::ask::HostRequest;
use etcd_operations::wire::{Ask, Event, Line, LineError, VERSION, request};
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
        "compact",
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
    assert_eq!(names.len(), 14, "one of each operation: {names:?}");
}

/// What is asked over ssh, and what a host has on record of steps that an earlier build began there.
fn lines_of(file: &str) -> impl Iterator<Item = Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/v1-host");
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    lines.into_iter()
}

#[test]
fn requests_of_version_1_to_a_host_are_read_and_written_the_same() {
    let mut kinds = BTreeSet::new();
    for value in lines_of("requests.jsonl") {
        let ask = Ask::parse(&value.to_string()).unwrap_or_else(|error| panic!("{value}: {error}"));
        assert_eq!(serde_json::to_value(&ask).unwrap(), value);
        let kind = value.pointer("/request/request").and_then(Value::as_str);
        kinds.insert(kind.unwrap().to_owned());
    }
    assert_eq!(kinds.len(), 12, "a sample of everything: {kinds:?}");
}

#[test]
fn answers_of_version_1_of_a_host_are_read_and_written_the_same() {
    for value in lines_of("lines.jsonl") {
        let line = Line::parse(&value.to_string());
        let line = line.unwrap_or_else(|error| panic!("{value}: {error}"));
        assert_eq!(serde_json::to_value(&line).unwrap(), value);
        assert!(!matches!(line.event, Event::Unknown), "{value}");
    }
}

#[test]
fn an_assignment_is_the_request_for_its_operation() {
    let (_, value) = samples("v1")
        .into_iter()
        .find(|(path, _)| path.ends_with("assignments.json"))
        .unwrap();
    let one = value.get(0).unwrap();
    let assignment: Assignment = request(&one.to_string(), "the assignment").unwrap();
    let HostRequest::Operate(operate) = Ask::from(assignment.clone()).request else {
        panic!("{assignment:?}")
    };
    assert_eq!(operate.operation, assignment.operation);
    assert_eq!(operate.target, Some(assignment.target));
    let mut newer = one.clone();
    newer["version"] = 9.into();
    let refused = request::<Assignment>(&newer.to_string(), "the assignment").unwrap_err();
    assert_eq!(
        refused.message,
        "the assignment is of version 9, this program of 1"
    );
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
        format!("speaks version 2 of the report format, this plugin version {VERSION}")
    );
    let older = Line::parse(r#"{"version":0}"#).unwrap_err();
    assert!(matches!(older, LineError::OtherVersion { theirs: 0 }));
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
