//! What kubelets and apiservers do to a job's output.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use etcd_operations::operation::Operation;
use etcd_operations::report::AlarmReport;
use etcd_operations::wire::{self, Event as WireEvent, Line};
use serde_json::{Value, json};

use tokio::time::Instant;

use super::*;
use crate::assess::fixtures::{Cluster, target};
use crate::fake::{self, Reply};
use crate::runners::watching::PodWatch;

/// What kubelet says in place of a log it cannot find (yet, or any more).
const EXCUSE: &str =
    "failed to try resolving symlinks in path \"/var/log/pods/x/etcd-job/0.log\": no such file\n";

fn alarms() -> Report {
    Report::AlarmList(AlarmReport {
        cluster_id: etcd_operations::ids::ClusterId(7),
        alarms: Vec::new(),
        still_raised: Vec::new(),
    })
}

fn report() -> String {
    let report = alarms();
    let line = serde_json::to_string(&Line::new(WireEvent::Report { report }));
    format!("{}\n", line.unwrap())
}

/// How an apiserver and a kubelet behave.
struct Script {
    /// After so long the Pod appears.
    pod_after: Duration,
    /// After so long the kubelet has told the API of the Pod; it says that it has it before.
    word_after: Duration,
    /// What an Event complains of while there is no Pod.
    complaint: Option<&'static str>,
    /// Whether a bare Pod may be tried instead.
    replaceable: bool,
    /// Whether another node's job reports meanwhile.
    others: bool,
    /// Whose the Pod is that appears.
    job: &'static str,
    state: Value,
    /// The log, by how often it was asked for.
    log: fn(u32) -> String,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            pod_after: Duration::ZERO,
            word_after: Duration::ZERO,
            complaint: None,
            replaceable: true,
            others: false,
            job: "kubectl-etcd-alarm-list-cp-1-run",
            state: json!({"terminated": {"exitCode": 0, "message": report()}}),
            log: |_| report(),
        }
    }
}

/// Runs a job whose pod is in this state and whose log is this, by how often it was asked for.
async fn run(state: Value, log: fn(u32) -> String) -> Result<Report, RunError> {
    let script = Script {
        state,
        log,
        ..Script::default()
    };
    script.run().await
}

impl Script {
    fn reply(&self, path: &str, passed: Duration, asked: &AtomicU32) -> Reply {
        let spoken = passed >= self.word_after;
        if path.contains("/log?") && !spoken {
            return fake::refused(
                400,
                "container \"etcd-job\" in pod \"pod\" is waiting to start",
            );
        }
        if path.contains("/log?") {
            return Reply::Json(200, (self.log)(asked.fetch_add(1, Ordering::Relaxed)));
        }
        if path.contains("/jobs") {
            let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {}});
            return Reply::Json(201, job.to_string());
        }
        if path.contains("/events") {
            let event = |message| json!({"metadata": {}, "involvedObject": {}, "message": message});
            let events: Vec<Value> = self.complaint.map(event).into_iter().collect();
            let list =
                json!({"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": events});
            return Reply::Json(200, list.to_string());
        }
        if passed < self.pod_after {
            return Reply::Json(200, String::new());
        }
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {
                "name": "pod", "labels": {"batch.kubernetes.io/job-name": self.job}},
            "spec": {"nodeName": "cp-1", "containers": []},
            "status": {"phase": "Pending"},
        });
        if spoken {
            pod["status"]["containerStatuses"] = json!([{
                "name": CONTAINER_NAME, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": self.state,
            }]);
        }
        Reply::Json(200, json!({"type": "ADDED", "object": pod}).to_string())
    }

    async fn run(self) -> Result<Report, RunError> {
        let begun = Instant::now();
        let asked = AtomicU32::new(0);
        let (replaceable, others) = (self.replaceable, self.others);
        let server = fake::serve(move |path| self.reply(path, begun.elapsed(), &asked)).await;
        launched(server, replaceable, others).await
    }
}

async fn launched(server: SocketAddr, replaceable: bool, others: bool) -> Result<Report, RunError> {
    let connection = Connection::prepare(&fake::flags(server)).await.unwrap();
    let (created, heard) = (Created::default(), Heard::default());
    let program = Program::Image {
        reference: "x".into(),
        pull_secrets: Vec::new(),
    };
    let run = Run {
        id: "run".into(),
        owner: crate::owner::Owner::named("test"),
        deadline: Duration::from_secs(60),
    };
    let client = connection.stream.clone();
    let watched = [(
        "cp-1".to_owned(),
        podspec::name(&run, &Operation::AlarmList, "cp-1"),
    )];
    let watch = PodWatch::begin(client, "kube-system", "run", watched.into_iter());
    let launch = Launch {
        connection: &connection,
        created: &created,
        program: &program,
        run: &run,
        heard: &heard,
        kind: Kind::Job,
        replaceable,
    };
    let assignment = Assignment {
        version: wire::VERSION,
        operation: Operation::AlarmList,
        target: target(1),
    };
    let seen = watch.of("cp-1").unwrap();
    let other = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if others {
            heard.reported(&alarms());
        }
    };
    let task = Task {
        operation: &assignment.operation,
        limit: Duration::from_secs(20),
        progress: &|_, _| {},
        receiver: None,
    };
    let (ended, ()) = tokio::join!(launch.to_report(&assignment, seen, task), other);
    ended
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
    let of_job = |replaceable| Script {
        pod_after: limits::POD_APPEARS + Duration::from_millis(500),
        replaceable,
        ..Script::default()
    };
    let given_up = of_job(true).run().await.unwrap_err();
    assert_eq!(given_up.kind, RunErrorKind::NoController, "{given_up}");
    let ended = of_job(false).run().await;
    assert!(matches!(ended, Ok(Report::AlarmList(_))), "{ended:?}");
}

#[tokio::test]
async fn a_pod_that_is_refused_is_not_waited_for() {
    let begun = Instant::now();
    let refused = Script {
        pod_after: Duration::from_secs(3600),
        complaint: Some("Error creating: pods \"x\" is forbidden: violates PodSecurity"),
        replaceable: false,
        ..Script::default()
    };
    let refused = refused.run().await.unwrap_err();
    assert!(refused.message.contains("PodSecurity"), "{refused}");
    // Without the complaint it would be waited for 15 s.
    let took = begun.elapsed();
    assert!(took < 3 * limits::POD_APPEARS, "{took:?}");
}

#[tokio::test]
async fn a_kubelet_that_has_the_pod_and_is_slow_to_tell_is_waited_for() {
    let slow = Script {
        word_after: Duration::from_secs(7),
        others: true,
        ..Script::default()
    };
    let ended = slow.run().await;
    assert!(matches!(ended, Ok(Report::AlarmList(_))), "{ended:?}");
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
    heard.reported(&Report::Status(
        cluster.outcomes().remove(0).result.unwrap(),
    ));
    assert!(heard.etcd_answers(&target(2)) && heard.etcd_answers(&target(3)));
    assert!(!heard.etcd_answers(&target(1)), "nobody has told of it");
}

#[test]
fn a_kubelet_is_overdue_when_another_node_has_reported_and_not_before() {
    let heard = Heard::default();
    let status = Report::Status(Cluster::of(3).outcomes().remove(0).result.unwrap());
    heard.taken();
    heard.reported(&status);
    let begun = Instant::now();
    let long_ago = begun.checked_sub(limits::KUBELET_AFTER_OTHERS).unwrap();
    assert!(!heard.all_are_slow(begun), "nobody has taken a pod since");
    assert!(!heard.overdue(begun, long_ago), "nor has anybody reported");
    heard.taken();
    assert!(heard.all_are_slow(begun) && !heard.overdue(begun, long_ago));
    heard.reported(&status);
    assert!(heard.overdue(begun, long_ago) && !heard.all_are_slow(begun));
    assert!(!heard.overdue(begun, begun), "its pod is new");
}

/// Whoever may create Jobs may give them the label of another's run.
#[tokio::test]
async fn a_pod_of_another_job_is_not_taken_for_the_own_one() {
    let script = Script {
        job: "kubectl-etcd-alarm-list-cp-1-other",
        ..Script::default()
    };
    let ended = script.run().await;
    assert_eq!(ended.unwrap_err().kind, RunErrorKind::NoController);
}
