//! Made-up schedules for tests.

use etcd_operations::pack::Wanted;
use etcd_operations::stored::retention::Rules;
use k8s_openapi::api::batch::v1::CronJob;
use serde_json::json;

use super::{Masters, OWN_VERSION, Place, Schedule, render};
use crate::runners::program::Program;

/// What was wanted, once.
pub fn example() -> Schedule {
    Schedule {
        cron: "0 3 * * *".into(),
        time_zone: "Etc/UTC".into(),
        masters: Masters::One,
        folder: etcd_operations::stored::FOLDER.into(),
        prefix: "etcd".into(),
        packing: Wanted::Plain,
        rules: Some(Rules {
            last: 7,
            daily: 14,
            weekly: 8,
            within_seconds: 0,
        }),
        image: Some(format!("ghcr.io/kubectl-etcd/etcd-job:v{OWN_VERSION}")),
        image_pull_secrets: Vec::new(),
        taints: Vec::new(),
        timeout_seconds: None,
    }
}

/// The image of that.
pub fn image_of(schedule: &Schedule) -> Program {
    Program::Image {
        reference: schedule.image.clone().unwrap(),
        pull_secrets: schedule.image_pull_secrets.clone(),
    }
}

/// Whichever control-plane node.
pub fn any_master() -> Place {
    Place::of_kubeadm()
}

/// A CronJob as it comes back from a cluster.
pub fn sample() -> CronJob {
    let schedule = example();
    let mut rendered = render(
        &schedule,
        &any_master(),
        &image_of(&schedule),
        "kube-system",
    );
    rendered.metadata.creation_timestamp =
        serde_json::from_value(json!("2026-11-01T00:00:00Z")).unwrap();
    rendered.status =
        serde_json::from_value(json!({"lastSuccessfulTime": "2026-11-21T03:00:08Z"})).unwrap();
    rendered
}

/// What a run told.
pub fn sample_report() -> etcd_operations::report::ScheduledReport {
    serde_json::from_value(json!({
        "node": "cp-1", "source": "https://10.0.0.2:2379", "insteadOfOwn": "https://10.0.0.1:2379 knows of no leader",
        "pruned": {"ok": {"removed": 1, "kept": 7}}, "snapshot": {
            "path": "/var/lib/etcd-snapshots/etcd-2026-11-21T030000Z.db", "sizeBytes": 10_485_760, "sha256": "ab",
            "clusterId": "7", "memberId": "8", "revision": 9_118_204, "raftTerm": 2, "etcdVersion": "3.6.16",
            "hash": 1, "totalKeys": 2, "takenAt": "2026-11-21T03:00:00Z", "tookMs": 1900},
    }))
    .unwrap()
}
