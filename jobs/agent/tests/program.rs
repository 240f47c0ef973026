//! The program as it is started in a pod: what it prints, what it waits for, how it ends.

#![expect(
    clippy::unwrap_used,
    reason = "tests: the helpers of tests panic as tests do"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use etcd_operations::failure::FailureKind;
use etcd_operations::host;
use etcd_operations::report::Report;
use etcd_operations::transfer::{ACKNOWLEDGEMENT, Receiver};
use etcd_operations::wire::answer::HostAnswer;
use etcd_operations::wire::ask::{Digest, HostRequest};
use etcd_operations::wire::{Ask, Detached, Event, Line};

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

fn host_line(line: &str) -> Event {
    Line::parse(line).unwrap().event
}

/// Asks the program as ssh does, and gives back its lines as they come.
fn asking(ask: &Ask) -> (Child, impl Iterator<Item = Event> + use<>) {
    let mut child = program(&["host"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = serde_json::to_vec(ask).unwrap();
    child.stdin.take().unwrap().write_all(&text).unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out.lines().map(|line| host_line(&line.unwrap())))
}

#[test]
fn a_host_answers_who_it_is_and_refuses_what_it_does_not_know() {
    let (mut child, lines) = asking(&Ask::new(HostRequest::Hello));
    let lines: Vec<Event> = lines.collect();
    let [
        Event::Done {
            answer: HostAnswer::Hello(hello),
        },
    ] = lines.as_slice()
    else {
        panic!("{lines:?}")
    };
    assert!(!hello.node.is_empty() && child.wait().unwrap().success());
    let output = program(&["host"]).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let Event::Failed { failure } = host_line(text.trim_end()) else {
        panic!("{text}")
    };
    assert_eq!(failure.kind, FailureKind::Refused);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_request_longer_than_the_limit_is_refused() {
    let mut child = program(&["host"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sender = std::thread::spawn(move || {
        // Until it reads no more.
        while stdin.write_all(&[b' '; 64 << 10]).is_ok() {}
    });
    let output = child.wait_with_output().unwrap();
    sender.join().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let Event::Failed { failure } = host_line(text.trim_end()) else {
        panic!("{text}")
    };
    assert_eq!(failure.message, "the request is longer than 16 MiB");
    assert_eq!(failure.kind, FailureKind::Refused);
}

/// A file that takes seconds to read and no room.
fn long_file(folder: &Path) -> PathBuf {
    let path = folder.join("long");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(1 << 30).unwrap();
    path
}

fn detached(folder: &Path, path: PathBuf) -> Ask {
    let detached = Detached {
        folder: folder.join("work"),
        attempt: 1,
    };
    Ask {
        detached: Some(detached),
        ..Ask::new(HostRequest::Digest(Digest { path }))
    }
}

#[test]
fn work_goes_on_when_who_asked_is_killed_and_who_asks_again_gets_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let ask = detached(folder.path(), long_file(folder.path()));
    let (mut first, mut lines) = asking(&ask);
    let Event::Progress(told) = lines.next().unwrap() else {
        panic!("it ended at once")
    };
    assert_eq!(told.total_bytes, Some(1 << 30));
    // SIGKILL.
    first.kill().unwrap();
    first.wait().unwrap();
    let (mut second, mut lines) = asking(&ask);
    assert_eq!(
        lines.next(),
        Some(Event::Progress(told)),
        "from the first line on"
    );
    let last = lines.last().unwrap();
    let Event::Done {
        answer: HostAnswer::Digest { file: Some(file) },
    } = last
    else {
        panic!("{last:?}")
    };
    assert_eq!(file.size_bytes, 1 << 30);
    assert!(second.wait().unwrap().success());
}

#[test]
fn a_worker_that_is_killed_is_told_to_who_follows() {
    let folder = tempfile::tempdir().unwrap();
    let ask = detached(folder.path(), long_file(folder.path()));
    let (mut child, mut lines) = asking(&ask);
    lines.next().unwrap();
    let work = folder.path().join("work");
    let workers: Vec<u32> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let args = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            args.contains("host-work") && args.contains(work.to_str().unwrap())
        })
        .collect();
    let [worker] = workers[..] else {
        panic!("{workers:?}")
    };
    let killed = Command::new("kill")
        .args(["-KILL", &worker.to_string()])
        .status();
    assert!(killed.unwrap().success());
    let last = lines.last().unwrap();
    let Event::Failed { failure } = last else {
        panic!("{last:?}")
    };
    assert_eq!(failure.kind, FailureKind::Interrupted, "{failure}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_file_is_taken_in_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    std::fs::write(&from, vec![3; 2_000_000]).unwrap();
    let mut child = program(&["receive", "--size-bytes", "2000000", "--path"])
        .arg(&to)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    host::send(&from, child.stdin.take().unwrap(), &mut |_| ()).unwrap();
    let output = child.wait_with_output().unwrap();
    let line = host_line(String::from_utf8(output.stdout).unwrap().trim_end());
    assert!(
        matches!(
            line,
            Event::Done {
                answer: HostAnswer::Received { .. }
            }
        ),
        "{line:?}"
    );
    assert_eq!(std::fs::read(to).unwrap(), std::fs::read(from).unwrap());
}

/// A member that takes a connection and says nothing: the work would take seconds.
#[test]
fn work_that_is_asked_to_stop_says_so_and_ends() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let assignment = format!(
        r#"{{"version":1,"operation":{{"operation":"members"}},"target":{{"node":"a","pod":"etcd-a",
        "memberName":"a","clientUrls":["{url}"],"peerUrls":[],"dataDir":"/nowhere"}}}}"#
    );
    let mut command = program(&["run", &assignment]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let (_connection, _) = silent.accept().unwrap();
    let killed = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let events = lines(&output);
    let [Event::Failed { failure }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(failure.message, "members was stopped");
    assert_eq!(failure.kind, FailureKind::Interrupted);
    assert_eq!(output.status.code(), Some(1));
}
