//! What kubelets and apiservers do to a job's output.

use std::sync::atomic::{AtomicU32, Ordering};

use etcd_operations::operation::Operation;
use etcd_operations::report::AlarmReport;
use etcd_operations::wire::{self, Event as WireEvent, Line};
use serde_json::{Value, json};

use super::*;
use crate::assess::fixtures::{Cluster, target};
use crate::fake::{self, Reply};
use crate::runners::watching::PodWatch;

/// What kubelet says in place of a log it cannot find (yet, or any more).
const EXCUSE: &str =
    "failed to try resolving symlinks in path \"/var/log/pods/x/etcd-job/0.log\": no such file\n";

fn report() -> String {
    let report = Report::AlarmList(AlarmReport {
        cluster_id: etcd_operations::ids::ClusterId(7),
        alarms: Vec::new(),
        still_raised: Vec::new(),
    });
    let line = serde_json::to_string(&Line::new(WireEvent::Report { report }));
    format!("{}\n", line.unwrap())
}

/// Runs a job whose pod is in this state and whose log is this, by how often it was asked for.
async fn run(state: Value, log: fn(u32) -> String) -> Result<Report, RunError> {
    run_late(Duration::ZERO, true, state, log).await
}

/// The same where controllers are slow: the pod appears this long after it was first looked for.
async fn run_late(
    late: Duration,
    replaceable: bool,
    state: Value,
    log: fn(u32) -> String,
) -> Result<Report, RunError> {
    let begun = Instant::now();
    let asked = AtomicU32::new(0);
    let server = fake::serve(move |path| {
        if path.contains("/log?") {
            return Reply::Json(200, log(asked.fetch_add(1, Ordering::Relaxed)));
        }
        if path.contains("/jobs") {
            let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {}});
            return Reply::Json(201, job.to_string());
        }
        if begun.elapsed() < late {
            return Reply::Json(200, String::new());
        }
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"},
            "spec": {"nodeName": "cp-1", "containers": []},
            "status": {"containerStatuses": [{
                "name": CONTAINER_NAME, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state,
            }]},
        });
        Reply::Json(200, json!({"type": "ADDED", "object": pod}).to_string())
    })
    .await;
    let connection = Connection::prepare(&fake::flags(server)).await.unwrap();
    let (created, heard) = (Created::default(), Heard::default());
    let program = Program::Image {
        reference: "x".into(),
        pull_secrets: Vec::new(),
    };
    let run = Run {
        id: "run".into(),
        owner: "test".into(),
        deadline: Duration::from_secs(60),
    };
    let client = connection.stream.clone();
    let watch = PodWatch::begin(client, "kube-system", "run", ["cp-1".into()].into_iter());
    let launch = Launch {
        connection: &connection,
        created: &created,
        program: &program,
        run: &run,
        heard: &heard,
        kind: Kind::Job,
        replaceable,
        limit: Duration::from_secs(20),
    };
    let assignment = Assignment {
        version: wire::VERSION,
        operation: Operation::AlarmList,
        target: target(1),
    };
    let seen = watch.of("cp-1").unwrap();
    let launched = launch.to_report(&assignment, seen, &mut |_| {}).await;
    launched.map(|launched| launched.report)
}

const CONTAINER_NAME: &str = crate::runners::podspec::CONTAINER;

#[tokio::test]
async fn a_log_that_ends_before_its_program_is_asked_for_again() {
    let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    let log = |asked| match asked {
        0 => EXCUSE.to_owned(),
        _ => report(),
    };
    assert!(matches!(run(running, log).await, Ok(Report::AlarmList(_))));
}

#[tokio::test]
async fn a_slow_controller_is_waited_for_where_nothing_else_may_be_tried() {
    let late = POD_LIMIT + Duration::from_millis(500);
    let of_job = |replaceable| {
        let ended = json!({"terminated": {"exitCode": 0, "message": report()}});
        run_late(late, replaceable, ended, |_| report())
    };
    let given_up = of_job(true).await.unwrap_err();
    assert_eq!(given_up.kind, RunErrorKind::NoController, "{given_up}");
    assert!(matches!(of_job(false).await, Ok(Report::AlarmList(_))));
}

#[tokio::test]
async fn a_report_whose_log_is_gone_is_taken_from_the_last_words() {
    let ended = json!({"terminated": {"exitCode": 0, "reason": "Completed", "message": report()}});
    let log = |_| EXCUSE.to_owned();
    assert!(matches!(run(ended, log).await, Ok(Report::AlarmList(_))));
}

#[tokio::test]
async fn a_program_that_ended_without_a_report_is_told_with_how_it_ended() {
    let ended = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    let error = run(ended, |_| String::new()).await.unwrap_err();
    assert_eq!(error.kind, RunErrorKind::Lost);
    assert!(
        error.message.contains("OOMKilled, exit code 137"),
        "{error}"
    );
}

#[test]
fn a_node_whose_etcd_answers_its_peers_is_on() {
    let heard = Heard::default();
    let cluster = Cluster::of(3);
    for outcome in cluster.outcomes().iter().take(1) {
        heard.reported(outcome.result.as_ref().unwrap());
    }
    assert!(heard.etcd_answers(&target(2)) && heard.etcd_answers(&target(3)));
    assert!(!heard.etcd_answers(&target(1)), "nobody has told of it");
}

#[test]
fn a_kubelet_is_overdue_when_another_node_has_reported_and_not_before() {
    let heard = Heard::default();
    let status = Cluster::of(3).outcomes().remove(0).result.unwrap();
    heard.taken();
    heard.reported(&status);
    let begun = Instant::now();
    let long_ago = begun.checked_sub(HEARD_AFTER_OTHERS).unwrap();
    assert!(!heard.all_are_slow(begun), "nobody has taken a pod since");
    assert!(!heard.overdue(begun, long_ago), "nor has anybody reported");
    heard.taken();
    assert!(heard.all_are_slow(begun) && !heard.overdue(begun, long_ago));
    heard.reported(&status);
    assert!(heard.overdue(begun, long_ago) && !heard.all_are_slow(begun));
    assert!(!heard.overdue(begun, begun), "its pod is new");
}
