//! Tests: what is over, what is used, and what a cleanup leaves.

use super::*;
use crate::connection::Connection;
use crate::fake::{self, Reply, flags};
use crate::owner::{Owner, PROCESS_ANNOTATION};
use serde_json::json;

/// An object of this process.
fn own(deadline: &str, created: &str) -> ObjectMeta {
    let (_, process) = Owner::this().process_annotation().unwrap();
    meta(Some(&process), deadline, created)
}

fn meta(process: Option<&str>, deadline: &str, created: &str) -> ObjectMeta {
    let mut annotations = json!({
        OWNER_ANNOTATION: Owner::this().name, DEADLINE_ANNOTATION: deadline,
    });
    if let Some(process) = process {
        annotations[PROCESS_ANNOTATION] = process.into();
    }
    let meta = json!({"annotations": annotations, "creationTimestamp": created});
    serde_json::from_value(meta).unwrap()
}

#[test]
fn a_run_is_dead_when_its_process_or_its_time_is_over() {
    let now: Option<Timestamp> = "2026-11-21T15:00:00Z".parse().ok();
    let (old, young) = ("2026-11-21T10:00:00Z", "2026-11-21T14:59:00Z");
    assert!(
        !is_dead(&own("50", old), now),
        "whatever the clocks say, this run goes on"
    );
    let (_, process) = Owner::this().process_annotation().unwrap();
    let mut dead: serde_json::Value = serde_json::from_str(&process).unwrap();
    (dead["token"], dead["pid"]) = ("other".into(), 4_194_999.into());
    assert!(is_dead(&meta(Some(&dead.to_string()), "90", young), now));
    assert!(!is_dead(&ObjectMeta::default(), now), "unknown is not dead");
}

#[test]
fn a_run_of_a_machine_of_the_same_name_ends_with_its_time() {
    let now: Option<Timestamp> = "2026-11-21T15:00:00Z".parse().ok();
    let (old, young) = ("2026-11-21T10:00:00Z", "2026-11-21T14:59:00Z");
    let (_, process) = Owner::this().process_annotation().unwrap();
    let mut other: serde_json::Value = serde_json::from_str(&process).unwrap();
    (other["token"], other["pid"]) = ("other".into(), 4_194_999.into());
    other["place"]["boot"] = "another".into();
    other["place"]["machine"] = "another".into();
    // The last is of a release that told no process, or told it in other words.
    for process in [Some(other.to_string()), None, Some("another/1".to_owned())] {
        let meta = |deadline, created| meta(process.as_deref(), deadline, created);
        assert!(!is_dead(&meta("50", old), None), "{process:?}");
        assert!(!is_dead(&meta("70", young), now), "{process:?}");
        assert!(is_dead(&meta("50", young), now), "{process:?}");
    }
}

#[test]
fn what_somebody_may_be_about_to_use_is_young() {
    let at = |time: &str| time.parse::<Timestamp>().ok();
    let now = at("2026-11-21T15:00:00Z");
    assert!(is_young(at("2026-11-21T14:59:00Z"), now));
    assert!(!is_young(at("2026-11-21T14:40:00Z"), now));
    assert!(
        is_young(at("2026-11-21T14:40:00Z"), None),
        "without a clock nobody knows"
    );
}

#[test]
fn parts_that_a_pod_mounts_are_seen() {
    let spec: PodSpec = serde_json::from_value(json!({"containers": [], "volumes": [
        {"name": "a", "configMap": {"name": "one"}},
        {"name": "b", "projected": {"sources": [{"configMap": {"name": "two"}}, {"secret": {"name": "no"}}]}},
    ]}))
    .unwrap();
    assert_eq!(referred(&spec), ["one", "two"]);
}

#[tokio::test]
async fn a_program_that_a_schedule_refers_to_is_kept_and_told() {
    let part = |name: &str| {
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": name, "namespace": "kube-system"}})
    };
    let address = fake::serve(move |path| {
        let list = |kind: &str, items: serde_json::Value| {
            let list = json!({"kind": kind, "apiVersion": "v1", "metadata": {}, "items": items});
            Reply::Json(200, list.to_string())
        };
        if path.contains("/configmaps") {
            let parts = [
                part("kubectl-etcd-program-a-0"),
                part("kubectl-etcd-program-b-0"),
            ];
            list("PartialObjectMetadataList", json!(parts))
        } else if path.contains("/cronjobs") {
            let pod = json!({"containers": [], "volumes": [
                {"name": "p", "configMap": {"name": "kubectl-etcd-program-a-0"}}]});
            let spec =
                json!({"schedule": "@daily", "jobTemplate": {"spec": {"template": {"spec": pod}}}});
            list(
                "CronJobList",
                json!([{"metadata": {"name": "etcd-snapshot"}, "spec": spec}]),
            )
        } else if path.contains("/jobs") || path.contains("/pods") {
            list("List", json!([]))
        } else {
            fake::refused(404, "not here")
        }
    })
    .await;
    let connection = Connection::prepare(&flags(address)).await.unwrap();
    let cleaned = clean_up(&connection.control, "kube-system", true)
        .await
        .unwrap();
    assert_eq!(cleaned.kept, ["configmap/kubectl-etcd-program-a-0"]);
    assert_eq!(cleaned.programs, ["configmap/kubectl-etcd-program-b-0"]);
    let all = namespaces(&connection.control).await.unwrap();
    assert_eq!(all.into_iter().collect::<Vec<_>>(), ["kube-system"]);
}
