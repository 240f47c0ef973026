//! Tests: how schedules and their runs are shown and printed.

use k8s_openapi::api::batch::v1::CronJob;

use kubectl_etcd_core::schedule::fixtures::{any_master, example, image_of, sample, sample_report};
use kubectl_etcd_core::schedule::{Outcome, Run, Schedule, judge, pod_spec_of, render};

#[test]
fn schedules_are_shown_with_what_is_wrong() {
    use crate::views::grid::Paint;
    use crate::views::schedule::{ScheduleList, ScheduledRuns};
    use crate::views::{Format, render as text};
    let done = Run {
        begun: "2026-11-21T03:00:00Z".parse().ok(),
        node: Some("cp-1".into()),
        outcome: Outcome::Done,
        report: Some(Box::new(sample_report())),
    };
    let failed = Run {
        begun: "2026-11-22T03:00:00Z".parse().ok(),
        node: Some("cp-2".into()),
        outcome: Outcome::Failed("no member is healthy".into()),
        report: None,
    };
    let shown = |now: &str, runs: &[Run]| {
        let now = now.parse().unwrap();
        let mut list = ScheduleList::new("kube-system".into(), now);
        list.add(&sample(), runs, judge(&sample(), runs, now));
        (
            list.problems.is_empty(),
            text(&list, Format::Table, Paint::PLAIN).unwrap(),
        )
    };
    let (in_order, fine) = shown("2026-11-21T12:00:00Z", std::slice::from_ref(&done));
    assert!(in_order, "{fine}");
    insta::assert_snapshot!("schedule_in_order", fine);
    let (in_order, wrong) = shown("2026-11-23T12:00:00Z", &[failed, done]);
    assert!(!in_order, "{wrong}");
    insta::assert_snapshot!("schedule_in_trouble", wrong);
    let mut runs = ScheduledRuns::new();
    runs.add("etcd-snapshot", &sample_report());
    insta::assert_snapshot!(
        "scheduled_run",
        text(&runs, Format::Table, Paint::PLAIN).unwrap()
    );
}

/// What is printed for a cluster of which nothing is known, to be kept with other manifests and applied from there.
#[test]
fn what_is_printed_without_a_cluster_mounts_only_what_a_run_needs() {
    let schedule = example();
    let rendered = render(
        &schedule,
        &any_master(),
        &image_of(&schedule),
        "kubectl-etcd",
    );
    let printed =
        crate::views::schedule::manifests(&[rendered], crate::views::Format::Yaml).unwrap();
    let applied: CronJob = serde_saphyr::from_str(&printed).unwrap();
    assert_eq!(Schedule::of(&applied), Some(schedule));
    let volumes = pod_spec_of(&applied).unwrap().volumes.clone().unwrap();
    let on_node: Vec<String> = volumes
        .into_iter()
        .filter_map(|volume| Some(volume.host_path?.path))
        .collect();
    let pki = "/etc/kubernetes/pki/etcd";
    assert_eq!(
        on_node,
        [
            format!("{pki}/ca.crt"),
            format!("{pki}/server.crt"),
            format!("{pki}/server.key"),
            "/var/lib".to_owned()
        ]
    );
    insta::assert_snapshot!(printed.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}
