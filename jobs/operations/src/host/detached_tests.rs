use super::*;
use crate::wire::answer::HostAnswer;
use crate::wire::ask::{Digest, HostRequest};

const DONE: &str = r#"{"version":1,"event":{"type":"done","answer":{"answer":"digest"}}}"#;

fn progress(step: &str) -> String {
    format!(r#"{{"version":1,"event":{{"type":"progress","step":"{step}"}}}}"#)
}

fn detached(folder: &Path) -> Detached {
    Detached {
        folder: folder.join("step"),
        attempt: 1,
    }
}

fn ask() -> Ask {
    Ask::new(HostRequest::Digest(Digest { path: "/x".into() }))
}

/// A worker that writes some lines, says that it was begun, waits until it may go on, and does the rest.
fn worker(at: &Detached, then: &str) -> Command {
    let (folder, attempt) = (at.folder.display(), at.attempt);
    let script = format!(
        "echo begun >>{folder}/count; exec >{folder}/{attempt}.events.jsonl; echo '{}'\n\
         while [ ! -e {folder}/go ]; do sleep 0.01; done\n{then}",
        progress("first"),
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]);
    command
}

fn lines_then(lines: &[&str]) -> String {
    lines
        .iter()
        .map(|line| format!("echo '{line}'\n"))
        .collect()
}

fn begun(at: &Detached) -> usize {
    let count = std::fs::read_to_string(at.folder.join("count"));
    count.unwrap_or_default().lines().count()
}

fn go(at: &Detached) {
    std::fs::write(at.folder.join("go"), "").unwrap();
}

/// Follows and gives back the steps that were told.
async fn followed(at: &Detached, then: &str) -> (Vec<String>, Result<HostAnswer, Failure>) {
    let mut steps = Vec::new();
    let mut tell = |progress: Progress| steps.push(progress.step);
    let ended = start_or_follow(&ask(), at, worker(at, then), &mut tell).await;
    (steps, ended.map(|line| answer_in(&line)))
}

/// The answer as the plugin reads it.
fn answer_in(line: &str) -> HostAnswer {
    let event = Line::parse(line.trim_end()).unwrap().event;
    event.ended().unwrap().unwrap()
}

#[tokio::test]
async fn who_is_gone_in_the_middle_follows_again_from_the_first_line_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = detached(folder.path());
    let then = lines_then(&[&progress("second"), DONE]);
    let (told, mut first) = tokio::sync::oneshot::channel();
    let mut told = Some(told);
    let mut tell = |_| {
        if let Some(told) = told.take() {
            let _ = told.send(());
        }
    };
    let one = ask();
    let following = start_or_follow(&one, &at, worker(&at, &then), &mut tell);
    // Dropped as soon as it has told something: as good as killed.
    tokio::select! {
        ended = following => panic!("{ended:?}"),
        _ = &mut first => {}
    }
    go(&at);
    for _ in 0..2 {
        let (steps, ended) = followed(&at, "echo never").await;
        assert_eq!(steps, ["first", "second"]);
        assert_eq!(ended, Ok(HostAnswer::Digest { file: None }));
    }
    assert_eq!(begun(&at), 1);
}

#[tokio::test]
async fn several_who_ask_at_once_get_one_worker() {
    let folder = tempfile::tempdir().unwrap();
    let at = detached(folder.path());
    std::fs::create_dir_all(&at.folder).unwrap();
    go(&at);
    let then = lines_then(&[&progress("second"), DONE]);
    let all = futures::future::join_all((0..8).map(|_| followed(&at, &then))).await;
    for (steps, ended) in all {
        assert_eq!(steps, ["first", "second"]);
        assert!(ended.is_ok(), "{ended:?}");
    }
    assert_eq!(begun(&at), 1);
}

#[tokio::test]
async fn a_worker_that_died_is_told_and_only_another_attempt_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut at = detached(folder.path());
    std::fs::create_dir_all(&at.folder).unwrap();
    go(&at);
    let dies = format!("printf '%s' '{}'; echo oh >&2; kill -9 $$", &DONE[..20]);
    for _ in 0..2 {
        let (steps, ended) = followed(&at, &dies).await;
        assert_eq!(steps, ["first"]);
        let failure = ended.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Interrupted);
        assert!(failure.message.ends_with("its last words: oh"), "{failure}");
    }
    assert_eq!(begun(&at), 1);
    at.attempt = 2;
    let (_, ended) = followed(&at, &lines_then(&[DONE])).await;
    assert!(ended.is_ok() && begun(&at) == 2, "{ended:?}");
}

#[tokio::test]
async fn another_attempt_waits_for_nobody_and_begins_nothing_beside() {
    let folder = tempfile::tempdir().unwrap();
    let at = detached(folder.path());
    let mut tell = |_| ();
    let one = ask();
    let first = start_or_follow(&one, &at, worker(&at, &lines_then(&[DONE])), &mut tell);
    let second = async {
        while begun(&at) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        let second = Detached {
            attempt: 2,
            ..at.clone()
        };
        let (_, ended) = followed(&second, "").await;
        assert_eq!(ended.unwrap_err().kind, FailureKind::Refused);
        go(&at);
    };
    let (first, ()) = tokio::join!(first, second);
    assert!(first.is_ok(), "{first:?}");
}

#[tokio::test]
async fn the_record_of_another_request_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = detached(folder.path());
    std::fs::create_dir_all(&at.folder).unwrap();
    go(&at);
    followed(&at, &lines_then(&[DONE])).await.1.unwrap();
    let other = Ask::new(HostRequest::Hello);
    let ended = start_or_follow(&other, &at, Command::new("true"), &mut |_| ()).await;
    assert_eq!(ended.unwrap_err().kind, FailureKind::Refused);
}

#[tokio::test]
async fn the_worker_does_what_is_on_record_and_leaves_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let at = detached(folder.path());
    std::fs::create_dir_all(&at.folder).unwrap();
    let text = serde_json::to_vec(&ask()).unwrap();
    std::fs::write(at.path("request.json"), text).unwrap();
    work(&at).await.unwrap();
    let ended = start_or_follow(&ask(), &at, Command::new("false"), &mut |_| ()).await;
    assert_eq!(
        answer_in(&ended.unwrap()),
        HostAnswer::Digest { file: None }
    );
    // Never over the record of what was done.
    assert!(work(&at).await.is_err());
}

#[tokio::test]
async fn an_answer_is_passed_on_as_the_worker_wrote_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = detached(folder.path());
    std::fs::create_dir_all(&at.folder).unwrap();
    go(&at);
    // Of a kind that is not known here.
    let line = r#"{"version":1,"event":{"type":"report","report":{"report":"later"},"more":[1]}}"#;
    let worker = worker(&at, &lines_then(&[line]));
    let ended = start_or_follow(&ask(), &at, worker, &mut |_| ()).await;
    assert_eq!(ended, Ok(format!("{line}\n")));
}
