//! The program as it is started in a pod: what it prints, what it waits for, how it ends.

#![expect(
    clippy::unwrap_used,
    reason = "tests: the helpers of tests panic as tests do"
)]

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use etcd_operations::failure::FailureKind;
use etcd_operations::report::Report;
use etcd_operations::transfer::{ACKNOWLEDGEMENT, Receiver};
use etcd_operations::wire::{Event, Line};

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etcd-job"));
    command.args(args);
    command
}

fn lines(output: &Output) -> Vec<Event> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| Line::parse(line).unwrap().event)
        .collect()
}

#[test]
fn it_tells_its_versions() {
    let output = program(&["version"]).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["program"], "etcd-job");
    assert_eq!(told["reportFormat"], 1);
    assert_eq!(told["transferFormat"], "KETCDX2");
}

#[test]
fn an_assignment_that_is_none_fails_in_one_line() {
    let output = program(&["run", "{}"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let events = lines(&output);
    let [Event::Failed { failure }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(failure.kind, FailureKind::Refused);
}

#[test]
fn a_status_of_nothing_is_a_report_all_the_same() {
    let assignment = r#"{"version":1,"operation":{"operation":"status"},"target":{"node":"a","pod":"etcd-a",
        "memberName":"a","clientUrls":["http://127.0.0.1:1"],"peerUrls":[],"dataDir":"/nowhere"}}"#;
    let output = program(&["run", assignment]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let events = lines(&output);
    let [
        Event::Report {
            report: Report::Status(status),
        },
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!(status.own.failure().unwrap().kind, FailureKind::Unreachable);
}

#[test]
fn a_routine_on_a_host_without_an_etcd_says_so() {
    for (routine, said) in [
        ("{}", "the routine is not understood"),
        (
            r#"{"version":9,"folder":"/b","prefix":"etcd","root":"/nowhere"}"#,
            "of version 9",
        ),
        (
            r#"{"version":1,"folder":"/b","prefix":"etcd","root":"/nowhere"}"#,
            "could not read",
        ),
    ] {
        let output = program(&["scheduled", routine]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let events = lines(&output);
        let [Event::Failed { failure }] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert!(failure.message.contains(said), "{failure}");
    }
}

struct Reading {
    child: Child,
    stdin: ChildStdin,
}

fn read(path: &Path) -> Reading {
    let mut child = program(&[
        "read",
        "--wait-seconds",
        "0",
        "--path",
        path.to_str().unwrap(),
    ])
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let stdin = child.stdin.take().unwrap();
    Reading { child, stdin }
}

#[test]
fn a_file_is_read_to_its_end_and_then_the_acknowledgement_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    std::fs::write(&path, vec![9; 2_500_000]).unwrap();
    let mut reading = read(&path);
    let mut out = reading.child.stdout.take().unwrap();
    let (mut receiver, mut stored, mut buffer) = (Receiver::new(), Vec::new(), vec![0; 70_000]);
    loop {
        let n = out.read(&mut buffer).unwrap();
        assert_ne!(n, 0, "it ended before it was acknowledged");
        let mut sink = |part: &[u8]| {
            stored.extend_from_slice(part);
            Ok(())
        };
        if receiver.push(&buffer[..n], &mut sink).unwrap() {
            break;
        }
    }
    receiver.finish().unwrap();
    assert_eq!(stored, vec![9; 2_500_000]);
    assert!(
        reading.child.try_wait().unwrap().is_none(),
        "it did not wait"
    );
    writeln!(reading.stdin, "{ACKNOWLEDGEMENT}").unwrap();
    assert_eq!(reading.child.wait().unwrap().code(), Some(0));
}

#[test]
fn without_an_acknowledgement_it_does_not_end_well() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    std::fs::write(&path, b"abc").unwrap();
    let reading = read(&path);
    drop(reading.stdin);
    let output = reading.child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_file_that_is_not_there_is_told_in_the_stream() {
    let Reading { child, stdin } = read(Path::new("/nowhere/s.db"));
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = Receiver::new()
        .push(&output.stdout, |_| Ok(()))
        .unwrap_err();
    assert_eq!(error.to_string(), "/nowhere/s.db is not there");
}
