//! Tests: what is printed as JSON is what the schemas in `plugin/schemas` promise.
//!
//! The schemas are made from the types; `UPDATE_SCHEMAS=1` writes them anew, so that a change of the interface is seen in
//! review.

use std::path::PathBuf;

use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use serde_json::{Value, json};

use crate::advice::Worded;
use crate::views::{API_VERSION, Format, View, render};
use kubectl_etcd_core::assess::fixtures::{Cluster, alarm};
use kubectl_etcd_core::assess::same::Comparison;
use kubectl_etcd_core::assess::{Scope, health, model::Status};
use kubectl_etcd_core::outcome::{RunError, RunErrorKind};

fn schema<T: JsonSchema>(kind: &str) -> Value {
    let mut schema = schema_for!(T).to_value();
    let properties = schema["properties"].as_object_mut().unwrap();
    properties["apiVersion"] = json!({"const": API_VERSION});
    if properties["kind"].get("const").is_none() && properties["kind"].get("$ref").is_none() {
        properties["kind"] = json!({"const": kind});
    }
    schema
}

fn check_file<T: JsonSchema>(kind: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("schemas")
        .join(format!("{kind}.json"));
    let now = schema::<T>(kind);
    let text = serde_json::to_string_pretty(&now).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        kept,
        text,
        "{} is not what the types say; UPDATE_SCHEMAS=1 writes it anew",
        path.display()
    );
    now
}

fn check<T: JsonSchema + Serialize + View>(kind: &str, samples: &[T]) {
    let validator = jsonschema::validator_for(&check_file::<T>(kind)).unwrap();
    for sample in samples {
        for format in [Format::Json, Format::Yaml] {
            let text = render(sample, format, crate::views::grid::Paint::PLAIN).unwrap();
            let value: Value = match format {
                Format::Json => serde_json::from_str(&text).unwrap(),
                _ => serde_yaml::from_str(&text).unwrap(),
            };
            let errors: Vec<String> = validator
                .iter_errors(&value)
                .map(|error| error.to_string())
                .collect();
            assert!(errors.is_empty(), "{errors:?} in {text}");
        }
    }
}

fn down() -> RunError {
    RunError::new(RunErrorKind::NodeDown, "off").hint("switch it on")
}

#[test]
fn status() {
    let mut degraded = Cluster::of(3);
    degraded.lost(2, down());
    degraded.alarms = vec![alarm(1, etcd_operations::report::AlarmKind::NoSpace)];
    let mut lost = Cluster::of(3);
    lost.without_quorum();
    let samples = [
        Cluster::of(3).assess(),
        degraded.assess(),
        lost.assess(),
        Cluster::of(0).assess(),
    ];
    check("Status", &samples.map(Worded::new));
}

#[test]
fn a_schema_refuses_what_it_should() {
    let validator = jsonschema::validator_for(&schema::<Status>("Status")).unwrap();
    let mut value = serde_json::to_value(Cluster::of(1).assess()).unwrap();
    assert!(validator.is_valid(&value));
    value["rows"][0]["dbSizeBytes"] = json!("412 MiB");
    assert!(!validator.is_valid(&value));
    value = serde_json::to_value(Cluster::of(1).assess()).unwrap();
    value["apiVersion"] = json!("v2");
    assert!(!validator.is_valid(&value));
}

#[test]
fn health() {
    let cluster = Cluster::of(2);
    let compared = [
        Comparison::NothingToCompare,
        Comparison::Same {
            revision: 7,
            nodes: vec!["cp-1".to_owned()],
        },
        Comparison::Differs {
            revision: 7,
            groups: Vec::new(),
        },
        Comparison::NotCompared {
            why: "too large".to_owned(),
        },
    ];
    let judged = |data| health::judge(&cluster.nodes, &[], Scope::All, data);
    check("Health", &compared.map(judged).map(Worded::new));
}

#[test]
fn members() {
    let list = etcd_operations::report::MemberList {
        cluster_id: kubectl_etcd_core::assess::fixtures::CLUSTER,
        answered_by: kubectl_etcd_core::assess::fixtures::id(1),
        consistency: etcd_operations::report::Consistency::Serializable,
        members: Cluster::of(3).members,
    };
    check(
        "Members",
        &[crate::commands::members::view(&list, &Cluster::of(2).nodes)],
    );
}

#[test]
fn member_changes() {
    let all = crate::commands::member::samples();
    assert!(all.iter().any(|view| view.changed) && all.iter().any(|view| !view.changed));
    check("MemberChange", &all);
}

#[test]
fn alarms() {
    use crate::views::alarms::{AlarmRow, Alarms, AlarmsKind};
    let row = AlarmRow {
        alarm: "NOSPACE".into(),
        node: Some("cp-1".into()),
        member: None,
        member_id: "1f".into(),
    };
    let both = [AlarmsKind::Raised, AlarmsKind::Disarmed];
    check(
        "Alarms",
        &both.map(|kind| Alarms::new(kind, "e9".into(), vec![row.clone()])),
    );
    let mut back = Alarms::new(AlarmsKind::Disarmed, "e9".into(), Vec::new());
    back.still_raised.push(row);
    let text = render(&back, Format::Table, crate::views::grid::Paint::PLAIN).unwrap();
    assert!(text.contains("raised again at once"), "{text}");
    check("Alarms", &[back]);
}

#[test]
fn defrag() {
    let steps = kubectl_etcd_core::assess::order::defragmentation(&Cluster::of(3).assess());
    check(
        "Defrag",
        &[crate::views::defrag::Defrag::planned(
            true,
            &steps[1..],
            &steps[..1],
        )],
    );
}

#[test]
fn compaction() {
    check("Compaction", &crate::views::compaction::tests::samples());
}

#[test]
fn logs() {
    check("Logs", &[crate::views::logs::tests::sample()]);
}

#[test]
fn snapshot() {
    let report = etcd_operations::report::SnapshotReport {
        path: "/var/lib/etcd-snapshots/x.db".into(),
        size_bytes: 20_512,
        sha256: "12a5".into(),
        cluster_id: kubectl_etcd_core::assess::fixtures::CLUSTER,
        member_id: kubectl_etcd_core::assess::fixtures::id(2),
        revision: 11,
        raft_term: 2,
        etcd_version: "3.6.16".into(),
        storage_version: None,
        hash: 7,
        total_keys: 5,
        has_objects: None,
        taken_at: "2026-11-20T21:00:00Z".parse().unwrap(),
        took_ms: 12,
        packed: None,
    };
    let mut saved =
        kubectl_etcd_core::session::Saved::from(etcd_operations::report::SavedSnapshot {
            snapshot: report,
            contents: None,
        });
    let took = std::time::Duration::from_millis(900);
    let view =
        |saved: &_, local| crate::views::snapshot::Snapshot::saved(saved, "cp-2", local, took);
    let on_node = view(&saved, None);
    assert_eq!(on_node.hash, "00000007");
    assert!(on_node.in_words().ends_with("every page checked"));
    saved.checked = kubectl_etcd_core::session::Checked::Here;
    saved.compared = kubectl_etcd_core::session::Compared::Same {
        node: "cp-1".to_owned(),
        hash: 0x1a2b,
    };
    let here = view(&saved, Some(std::path::Path::new("/b/x.db")));
    let said = here.in_words();
    assert!(
        said.ends_with("every page checked; same data as cp-1 (hash 00001a2b)"),
        "{said}"
    );
    saved.checked = kubectl_etcd_core::session::Checked::HereButPages {
        why: "no room".to_owned(),
    };
    let in_part = view(&saved, Some(std::path::Path::new("/b/x.db")));
    assert!(in_part.in_words().contains("on its node only"));
    check("Snapshot", &[on_node, here, in_part]);
}

#[test]
fn kept() {
    use crate::views::prune::{Deleted, tests::prune};
    use crate::views::stored::tests::list;
    check("SnapshotList", &[list()]);
    check("SnapshotPrune", &[prune()]);
    let mut deleted = Deleted::new();
    deleted.add("cp-1", &["a.db".parse().unwrap()]);
    check("SnapshotDeletion", &[deleted]);
}

#[test]
fn version() {
    check(
        "Version",
        &[crate::views::version::Version::new(
            &kubectl_etcd_core::carried::carried(),
        )],
    );
}

#[test]
fn cleanup() {
    check("Cleanup", &[crate::views::cleanup::tests::sample()]);
}

/// What the commands on files make, of the snapshot the transcripts use.
#[test]
fn files() {
    use etcd_datadir::progress::ignore;
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cmd/offline.in/small.snapshot");
    let source = etcd_datadir::source::FileSource::open(&path).unwrap();

    let verified = etcd_datadir::verify::verify(
        &source,
        &etcd_datadir::verify::VerifyOptions::default(),
        None,
        &mut ignore,
    )
    .unwrap();
    let mut verification = crate::views::verification::Verification::new();
    verification
        .files
        .push(crate::views::verification::VerifiedFile::checked(
            "x".into(),
            &verified,
        ));
    verification
        .files
        .push(crate::views::verification::VerifiedFile::unreadable(
            "y".into(),
            "gone".into(),
        ));
    let bundle = path.with_file_name("small.tar.zst");
    let spool = etcd_operations::pack::unpack::Spool::new(std::env::temp_dir());
    let opened = etcd_operations::pack::unpack::open(&bundle, &spool, &mut ignore).unwrap();
    verification
        .files
        .push(crate::views::verification::VerifiedFile::opened(
            "z".into(),
            &opened,
            &verified,
        ));
    check("SnapshotVerification", &[verification]);

    let inspected = etcd_datadir::inspect::inspect(&source, "/registry", &mut ignore).unwrap();
    check(
        "SnapshotContents",
        &[crate::views::inspection::Inspection::new(
            "x".into(),
            &inspected,
        )],
    );

    let options = etcd_datadir::usage::UsageOptions::default();
    let used = etcd_datadir::usage::usage(&source, &options, &mut ignore).unwrap();
    let by = crate::views::usage::By::Object;
    check(
        "Usage",
        &[crate::views::usage::Usage::of_file(
            "x".into(),
            &used,
            by,
            3,
        )],
    );

    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("restored");
    let members = etcd_datadir::restore::NewMember::parse_list("m=http://localhost:2380").unwrap();
    let options = etcd_datadir::restore::RestoreOptions::new(members);
    let targets = [etcd_datadir::restore::RestoreTarget::new("m", &dir)];
    let report = etcd_datadir::restore::restore(&path, &targets, &options, &mut ignore).unwrap();
    check(
        "Restore",
        &[crate::views::restore::Restored::new(
            "x".into(),
            &report,
            None,
        )],
    );

    let found = [etcd_datadir::datadir::inspect(&dir, &Default::default(), &mut ignore).unwrap()];
    let compared =
        crate::views::datadirs::DataDirs::compared(&found, &etcd_datadir::datadir::rank(&found));
    check(
        "DataDirs",
        &[
            crate::views::datadirs::DataDirs::inspected(&found),
            compared,
        ],
    );
}

#[test]
fn schedules() {
    use crate::views::schedule::{Change, ScheduleChange, ScheduleList, ScheduledRuns};
    let mut change = ScheduleChange::new(true, "kube-system".into());
    for one in [
        Change::Created,
        Change::Updated,
        Change::Unchanged,
        Change::Removed,
    ] {
        change.add("etcd-snapshot", one);
    }
    change.next = "2026-11-22T03:00:00Z".parse().ok();
    check(
        "ScheduleChange",
        &[ScheduleChange::new(false, "x".into()), change],
    );
    let now = "2026-11-21T12:00:00Z".parse().unwrap();
    let mut list = ScheduleList::new("kube-system".into(), now);
    let judgement = kubectl_etcd_core::schedule::Judgement::default();
    list.add(
        &kubectl_etcd_core::schedule::fixtures::sample(),
        &[],
        judgement,
    );
    check("ScheduleList", &[ScheduleList::new("x".into(), now), list]);
    let mut runs = ScheduledRuns::new();
    runs.add(
        "etcd-snapshot",
        &kubectl_etcd_core::schedule::fixtures::sample_report(),
    );
    check("ScheduledRuns", &[ScheduledRuns::new(), runs]);
}

#[test]
fn manifests() {
    use crate::views::manifest_diff::ManifestDiff;
    use crate::views::manifests::{Component, KeptManifest, KeptWhy, Manifests, Stray};
    use etcd_operations::manifest::{Folder, ManifestFile};
    let node = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cmd/manifest.in/node");
    let folder = std::path::Path::new("/etc/kubernetes/manifests");
    let found = Folder::read_below(&node, folder).unwrap();
    let kept = KeptManifest {
        path: "/aside/etcd.yaml-2026-11-20T210000Z.undone".into(),
        why: KeptWhy::Undone,
        at: None,
    };
    let mut view = Manifests::new(&found.path, folder);
    let file = &found.pods[0];
    for file in [Some(file), None] {
        let manifest = &found.pods[0].manifest;
        let etcd = manifest.component("etcd").unwrap();
        let kept = std::slice::from_ref(&kept);
        let component = Component::new(&manifest.pod(), &etcd, file, kept);
        view.components.push(component);
    }
    view.strays = found.strays.iter().map(Stray::new).collect();
    view.unfinished = vec!["/x".into()];
    check("Manifests", &[Manifests::new(folder, folder), view]);
    let old = "var/lib/kubectl-etcd/manifests/etcd.yaml-2026-11-20T210000Z.changed";
    let old = ManifestFile::read(&node.join(old)).unwrap();
    let diff = ManifestDiff::new("etcd", &old, file);
    assert_eq!(diff.hunks.len(), 1);
    check(
        "ManifestDiff",
        &[ManifestDiff::new("etcd", file, file), diff],
    );
}

#[test]
fn doctor() {
    use kubectl_etcd_core::assess::doctor::{Doctor, Unseen};
    let mut degraded = Cluster::of(3);
    degraded.lost(2, down());
    let mut local = Doctor::of_status(&Cluster::of(1).assess());
    local.looked_at.push("cp-1".to_owned());
    local.unseen.push(Unseen {
        node: Some("cp-1".to_owned()),
        what: "whether kubelet runs".to_owned(),
        why: "no systemd".to_owned(),
    });
    let all = [Doctor::of_status(&degraded.assess()), local];
    check("Doctor", &all.map(Worded::new));
}

#[test]
fn plans() {
    use crate::views::plan::PlanList;
    use crate::views::plan::samples::samples;
    let (views, now) = (samples(), "2026-11-22T09:00:00Z".parse().unwrap());
    check("Plan", &views);
    check("PlanList", &[PlanList::new(&[], now)]);
}

#[test]
fn errors() {
    check("Error", &crate::views::error::tests::samples());
}

#[test]
fn images() {
    check("Images", &[crate::views::images::tests::samples()]);
}
