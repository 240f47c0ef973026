//! Tests: what is rendered, read back, moved and told of runs.

use std::path::PathBuf;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::json;

use super::fixtures::{any_master, example, image_of, sample, sample_report};
use super::*;
use crate::runners::program::{CarriedProgram, Program};

/// A node whose etcd is laid out in its own way.
fn pinned() -> Place {
    let node: crate::discovery::Node = crate::discovery::Node {
        name: "cp-1.example".into(),
        etcd: crate::discovery::Etcd::Found(
            serde_json::from_value(json!({
                "node": "cp-1.example", "pod": "etcd-cp-1.example", "memberName": "cp-1",
                "clientUrls": ["https://127.0.0.1:2379"], "peerUrls": ["https://10.0.0.1:2380"],
                "tls": {"ca": "/srv/pki/ca.crt", "cert": "/srv/pki/both.pem", "key": "/srv/pki/both.pem"},
                "dataDir": "/srv/etcd", "image": "registry.k8s.io/etcd:3.6.6-0",
            }))
            .unwrap(),
        ),
        api: crate::discovery::ApiView::default(),
        exec: None,
    };
    let named = ["/etc/kubernetes/pki", "/srv/keys"]
        .map(PathBuf::from)
        .into();
    let named = NamedPaths::from([(node.name.clone(), named)]);
    places(Masters::All, &[node], &named).remove(0)
}

#[test]
fn a_master_without_its_cron_job_is_named() {
    let place = |name: &str| Place {
        node: Some(name.into()),
        ..Place::of_kubeadm()
    };
    let mut there = sample();
    there.metadata.name = Some(place("cp-1").cron_job());
    let there = [there];
    assert_eq!(lacking(&place("cp-1"), &there), None);
    assert!(lacking(&place("cp-2"), &there).is_some_and(|what| what.starts_with("cp-2 has no")));
    assert_eq!(lacking(&any_master(), &there), None);
}

#[test]
fn a_schedule_for_any_node_wants_the_same_paths_on_all() {
    let pinned = pinned();
    let mut any = any_master();
    assert!(any.is_uniform() && pinned.is_uniform());
    any.targets.extend(pinned.targets);
    assert!(!any.is_uniform());
}

#[test]
fn a_pinned_one_goes_to_its_node_whatever_its_taints() {
    let schedule = Schedule {
        masters: Masters::All,
        image: None,
        packing: Wanted::Bundle {
            level: etcd_operations::pack::Level::default(),
            pki: true,
        },
        cron: "* * * * *".into(),
        ..example()
    };
    let program = Program::Carried(CarriedProgram {
        config_maps: vec!["kubectl-etcd-program-ab-0".into()],
    });
    let place = pinned();
    let rendered = render(&schedule, &place, &program, "kube-system");
    let text = serde_saphyr::to_string(&serde_json::to_value(&rendered).unwrap()).unwrap();
    let text = text.replace(OWN_VERSION, "VERSION");
    insta::assert_snapshot!(text);
}

#[test]
fn a_program_that_cannot_be_compared_is_unchecked() {
    let schedule = Schedule {
        image: None,
        ..example()
    };
    let program = Program::Carried(CarriedProgram {
        config_maps: vec!["kubectl-etcd-program-ab-0".into()],
    });
    let mut rendered = render(&schedule, &any_master(), &program, "x");
    assert!(!is_unchecked(&rendered), "that is for the comparison");
    let spec = rendered.spec.as_mut().unwrap().job_template.spec.as_mut();
    spec.unwrap().template.spec.as_mut().unwrap().volumes = None;
    assert!(is_unchecked(&rendered));
    // One of an image is somebody's own choice.
    let schedule = example();
    let rendered = render(&schedule, &any_master(), &image_of(&schedule), "x");
    assert!(!is_unchecked(&rendered));
}

#[test]
fn what_is_scheduled_is_no_leftover_of_a_run() {
    use crate::runners::podspec::RUN_LABEL;
    let schedule = example();
    let rendered = render(&schedule, &any_master(), &image_of(&schedule), "x");
    let text = serde_json::to_string(&rendered).unwrap();
    assert!(!text.contains(RUN_LABEL), "{text}");
}

#[test]
fn runs_that_are_over_before_the_next_one_replace_what_a_dead_master_left() {
    let policy = |cron: &str, timeout_seconds| {
        let schedule = Schedule {
            cron: cron.into(),
            timeout_seconds,
            ..example()
        };
        let rendered = render(&schedule, &any_master(), &image_of(&schedule), "x");
        let spec = rendered.spec.unwrap();
        let job = spec.job_template.spec.unwrap();
        let run = job.active_deadline_seconds.unwrap();
        (
            spec.concurrency_policy.unwrap(),
            run,
            spec.starting_deadline_seconds.unwrap(),
        )
    };
    let is = |policy: &str, run, start| (policy.to_owned(), run, start);
    assert_eq!(policy("0 3 * * *", None), is("Replace", 3600, 43_200));
    assert_eq!(policy("0 * * * *", None), is("Replace", 2700, 1800));
    assert_eq!(policy("0 * * * *", Some(7200)), is("Forbid", 7200, 1800));
    assert_eq!(policy("* * * * *", None), is("Forbid", 600, 600));
    assert_eq!(policy("* * * * *", Some(50)), is("Replace", 50, 600));
    assert_eq!(policy("@every 1h", None), is("Forbid", 3600, 43_200));
}

#[test]
fn only_older_versions_move() {
    assert!(is_older("0.0.9"));
    assert!(is_older(&format!("{OWN_VERSION}-rc.1")));
    for stays in [OWN_VERSION, "99.0.0", "", "new"] {
        assert!(!is_older(stays), "{stays}");
    }
}

fn runs_of(pods: serde_json::Value, conditions: &serde_json::Value) -> Run {
    let job: Job = serde_json::from_value(json!({
        "metadata": {"name": "a-1", "uid": "job-1", "creationTimestamp": "2026-11-21T03:00:00Z",
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "a", "uid": "cron-1"}]},
        "status": {"conditions": conditions},
    }))
    .unwrap();
    let pods: Vec<Pod> = serde_json::from_value(pods).unwrap();
    let cron_job = |name: &str, uid: &str| ObjectMeta {
        name: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectMeta::default()
    };
    for other in [cron_job("b", "cron-1"), cron_job("a", "cron-2")] {
        assert!(newest_runs(&other, std::slice::from_ref(&job), &pods).is_empty());
    }
    newest_runs(&cron_job("a", "cron-1"), &[job], &pods).remove(0)
}

fn pod(created: &str, phase: &str, words: &str) -> serde_json::Value {
    json!({
        "metadata": {"creationTimestamp": created,
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "a-1", "uid": "job-1"}]},
        "spec": {"nodeName": "cp-1", "containers": []},
        "status": {"phase": phase, "startTime": created, "containerStatuses": [{
            "name": "etcd-job", "ready": false, "restartCount": 0, "image": "", "imageID": "",
            "state": {"terminated": {"exitCode": 1, "message": words}}}]},
    })
}

fn failed(message: &str) -> String {
    use etcd_operations::failure::Failure;
    use etcd_operations::wire::{Event, Line};
    let failure = Failure::other(message);
    serde_json::to_string(&Line::new(Event::Failed { failure })).unwrap()
}

#[test]
fn a_failed_run_says_what_its_program_said() {
    let pods = json!([
        pod("2026-11-21T03:01:00Z", "Failed", &failed("no leader")),
        pod("2026-11-21T03:00:00Z", "Failed", "a panic"),
    ]);
    let over = json!([{"type": "Failed", "status": "True", "message": "Job has reached the specified backoff limit"}]);
    let run = runs_of(pods, &over);
    assert_eq!(run.outcome, Outcome::Failed("no leader".into()));
    assert_eq!(run.node.as_deref(), Some("cp-1"));
    // Nothing but the Job is left.
    let run = runs_of(json!([]), &over);
    let Outcome::Failed(why) = run.outcome else {
        panic!("{run:?}")
    };
    assert!(why.contains("backoff limit"), "{why}");
}

#[test]
fn a_run_that_could_not_remove_older_ones_has_failed_and_says_what_it_saved() {
    use etcd_operations::failure::{Answer, Failure};
    use etcd_operations::report::{Report, ScheduledReport};
    use etcd_operations::wire::{Event, Line};
    let report = Report::Scheduled(ScheduledReport {
        pruned: Answer::Failed(Failure::missing("it is read-only")),
        ..sample_report()
    });
    let words = serde_json::to_string(&Line::new(Event::Report { report })).unwrap();
    let pods = json!([pod("2026-11-21T03:00:00Z", "Failed", &words)]);
    let over = json!([{"type": "Failed", "status": "True", "reason": "PodFailurePolicy"}]);
    let run = runs_of(pods, &over);
    assert!(run.report.is_some(), "what it took is not known");
    let Outcome::Failed(why) = run.outcome else {
        panic!("it has not failed")
    };
    let path = "/var/lib/etcd-snapshots/etcd-2026-11-21T030000Z.db";
    assert_eq!(
        why,
        format!("the snapshot {path} was saved, but older ones were not removed: it is read-only")
    );
}

#[test]
fn a_run_that_succeeded_counts_before_all_its_pods_are_gone() {
    let pods = json!([
        pod("2026-11-21T03:01:00Z", "Succeeded", ""),
        pod("2026-11-21T03:02:00Z", "Pending", ""),
    ]);
    assert_eq!(runs_of(pods, &json!([])).outcome, Outcome::Done);
}

#[test]
fn a_pod_of_a_job_of_the_same_name_is_not_of_this_one() {
    let mut other = pod("2026-11-21T03:00:00Z", "Succeeded", "");
    other["metadata"]["ownerReferences"][0]["uid"] = json!("job-0");
    let run = runs_of(json!([other]), &json!([]));
    assert_eq!(run.outcome, Outcome::Running(None));
}

#[test]
fn a_run_that_failed_once_and_is_tried_again_is_running() {
    let pods = json!([pod("2026-11-21T03:00:00Z", "Failed", &failed("no leader"))]);
    let run = runs_of(pods, &json!([]));
    assert_eq!(run.outcome, Outcome::Running(Some("no leader".into())));
}

proptest! {
    #[test]
    fn what_was_wanted_is_read_back_from_a_cron_job(
        cron in "[-0-9*/, ]{1,20}", last in 1u32.., timeout in proptest::option::of(any::<u64>()), all: bool, pki: bool,
    ) {
        let level = etcd_operations::pack::Level::default();
        let schedule = Schedule {
            cron,
            masters: if all { Masters::All } else { Masters::One },
            rules: Some(Rules { last, ..Rules::default() }),
            packing: Wanted::Bundle { level, pki },
            timeout_seconds: timeout,
            ..example()
        };
        let rendered = render(&schedule, &any_master(), &image_of(&schedule), "x");
        prop_assert_eq!(Schedule::of(&rendered), Some(schedule));
    }

    #[test]
    fn any_annotation_is_read_or_not(text in ".{0,80}") {
        let cron_job: CronJob = serde_json::from_value(json!({"metadata": {"annotations": {SCHEDULE: text}}})).unwrap();
        let _ = Schedule::of(&cron_job);
    }
}
