//! Manifests that would be brought back, compared with what ran last.

use std::path::Path;

use super::archived::{ArchivedManifest, Doubt, LastRan};
use super::read::{Read, read};
use super::{PodContainers, RuntimeLook};
use crate::control_plane::ControlPlane;
use crate::failure::{Answer, FailureKind};
use crate::manifest::{Place, PodId, Selection};
use crate::runtime::Launch;

const ETCD: &str = include_str!("../../tests/manifests/kubeadm-1.36-etcd.yaml");
const APISERVER: &str = include_str!("../../tests/manifests/kubeadm-1.36-kube-apiserver.yaml");
const PODS: &str = "/etc/kubernetes/manifests";
const KEPT: &str = "/var/lib/kubectl-etcd/manifests/etcd.yaml-2026-11-20T210000Z";

/// A host in a folder.
struct Host(tempfile::TempDir);

impl Host {
    fn new(files: &[(&str, &str)]) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        host.write(&format!("{PODS}/.keep"), "");
        for (path, text) in files {
            host.write(path, text);
        }
        host
    }

    fn write(&self, path: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// Data of an etcd that was written to at this time.
    fn data(&self, path: &str, at: &str) {
        let database = format!("{path}/member/snap/db");
        self.write(&database, "x");
        let at: jiff::Timestamp = at.parse().unwrap();
        let path = self.0.path().join(database.trim_start_matches('/'));
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(at.into()).unwrap();
    }

    fn read(&self, selection: &Selection) -> Read {
        read(self.0.path(), Path::new(PODS), selection).unwrap()
    }

    /// What would be brought back as etcd, after this container.
    fn archived(&self, ran: Option<LastRan>) -> ArchivedManifest {
        let mut read = self.read(&Selection::default());
        let runtime = runtime(ran);
        read.compare(self.0.path(), |component| runtime.last_ran(component));
        let archived = read.told.archived(ControlPlane::Etcd);
        archived.unwrap().clone()
    }
}

fn runtime(last_ran: Option<LastRan>) -> RuntimeLook {
    RuntimeLook {
        socket: "/run/containerd/containerd.sock".into(),
        pods: vec![PodContainers {
            component: ControlPlane::Etcd,
            pod: PodId {
                namespace: "kube-system".into(),
                name: "etcd-cp-1".into(),
            },
            containers: Answer::Ok(Vec::new()),
            last_ran,
        }],
        images: Vec::new(),
    }
}

/// A container of etcd with the flags of this manifest, made at this time.
fn ran(text: &str, data_dir: &str, at: &str) -> LastRan {
    let manifest = crate::manifest::Manifest::parse(text.as_bytes()).unwrap();
    let component = manifest.component("etcd").unwrap();
    let launch = Launch {
        words: component.words_expanded(),
        env: Vec::new(),
        mounts: vec![("/var/lib/etcd".into(), data_dir.into())],
    };
    let image = component.image().map(str::to_owned);
    LastRan::new(
        ControlPlane::Etcd,
        Some(at.parse().unwrap()),
        image,
        &launch,
    )
}

const BEFORE: &str = "2026-11-19T00:00:00Z";
const LATER: &str = "2026-12-20T00:00:00Z";

fn told(archived: &ArchivedManifest) -> Vec<String> {
    archived.doubts.iter().map(ToString::to_string).collect()
}

#[test]
fn a_manifest_that_ran_last_is_brought_back_without_doubt() {
    let host = Host::new(&[(&format!("{KEPT}.stopped"), ETCD)]);
    let archived = host.archived(Some(ran(ETCD, "/var/lib/etcd", BEFORE)));
    assert_eq!(told(&archived), Vec::<String>::new());
    assert_eq!(archived.at.unwrap().to_string(), "2026-11-20T21:00:00Z");
    assert_eq!(
        archived.data_dir.as_deref(),
        Some(Path::new("/var/lib/etcd"))
    );
    // Nothing is known of what ran: that is told, and nothing is made up.
    let archived = host.archived(None);
    assert_eq!((told(&archived).len(), archived.last_ran), (0, None));
}

#[test]
fn what_ran_after_a_manifest_was_taken_out_speaks_against_it() {
    let host = Host::new(&[(&format!("{KEPT}.stopped"), ETCD)]);
    let archived = host.archived(Some(ran(ETCD, "/var/lib/etcd", LATER)));
    assert!(matches!(archived.doubts[..], [Doubt::RanLater { .. }]));
    // kubelet may make one until it lets go of the pod.
    let soon = ran(ETCD, "/var/lib/etcd", "2026-11-20T21:00:09Z");
    assert_eq!(host.archived(Some(soon)).doubts, []);
}

#[test]
fn another_image_name_or_data_directory_bars_and_another_flag_is_shown() {
    let host = Host::new(&[(&format!("{KEPT}.stopped"), ETCD)]);
    let newer = ETCD
        .replace("etcd:3.6.16-0", "etcd:3.7.3-0")
        .replace("--name=m2", "--name=cp-9")
        .replace("--snapshot-count=10000", "--snapshot-count=25000")
        .replace(
            "    - --watch-progress",
            "    - --quota-backend-bytes=6\n    - --watch-progress",
        );
    let archived = host.archived(Some(ran(&newer, "/srv/etcd2", BEFORE)));
    insta::assert_snapshot!(told(&archived).join("\n"), @r"
    image registry.k8s.io/etcd:3.6.16-0, and what ran last had registry.k8s.io/etcd:3.7.3-0
    data directory /var/lib/etcd, and what ran last had /srv/etcd2
    member m2, and what ran last was cp-9
    --quota-backend-bytes: not given, and what ran last: 6
    --snapshot-count: 10000, and what ran last: 25000
    ");
    assert_eq!(archived.bars().count(), 3);
}

#[test]
fn a_data_directory_that_is_a_link_is_the_one_it_leads_to() {
    let host = Host::new(&[(&format!("{KEPT}.stopped"), ETCD), ("/data/etcd/x", "")]);
    let lib = host.0.path().join("var/lib/etcd");
    std::os::unix::fs::symlink("/data/etcd", lib).unwrap();
    let archived = host.archived(Some(ran(ETCD, "/data/etcd", BEFORE)));
    assert_eq!(told(&archived), Vec::<String>::new());
    let archived = host.archived(Some(ran(ETCD, "/data/etcd2", BEFORE)));
    assert!(matches!(archived.doubts[..], [Doubt::DataDir { .. }]));
}

#[test]
fn another_wal_directory_and_a_new_cluster_bar() {
    let host = Host::new(&[(&format!("{KEPT}.stopped"), ETCD)]);
    let with = |flags: &str| ETCD.replace("    - etcd\n", &format!("    - etcd\n{flags}"));
    let other = with("    - --wal-dir=/var/lib/etcd/wal2\n    - --force-new-cluster\n");
    let archived = host.archived(Some(ran(&other, "/var/lib/etcd", BEFORE)));
    assert_eq!(
        told(&archived),
        [
            "WAL directory /var/lib/etcd/member/wal, and what ran last had /var/lib/etcd/wal2",
            "--force-new-cluster is not given, and what ran last had it",
        ]
    );
    assert_eq!(archived.bars().count(), 2);
    // The usual place, spelled out.
    let same = with("    - --wal-dir=/var/lib/etcd/member/wal\n");
    let archived = host.archived(Some(ran(&same, "/var/lib/etcd", BEFORE)));
    assert_eq!(archived.doubts, []);
    // The other way round.
    let host = Host::new(&[(&format!("{KEPT}.stopped"), &other)]);
    let archived = host.archived(Some(ran(ETCD, "/var/lib/etcd", BEFORE)));
    assert_eq!(archived.bars().count(), 2);
    assert!(
        archived
            .doubts
            .contains(&Doubt::ForceNewCluster { manifest: true })
    );
}

#[test]
fn data_that_was_written_after_a_manifest_was_taken_out_speaks_against_it() {
    let host = Host::new(&[(&format!("{KEPT}.stopped"), ETCD)]);
    // etcd writes until it has ended.
    host.data("/var/lib/etcd", "2026-11-20T21:00:30Z");
    assert_eq!(host.archived(None).doubts, []);
    host.data("/var/lib/etcd", "2026-11-25T12:00:00Z");
    let archived = host.archived(None);
    assert_eq!(
        told(&archived),
        [
            "/var/lib/etcd was written to later, 2026-11-25T12:00:00Z, so another manifest ran since, or data was restored"
        ]
    );
    assert_eq!(archived.bars().count(), 1);
}

#[test]
fn newer_data_beside_is_told_and_bars_only_what_it_plainly_outruns() {
    let kept = format!("{KEPT}.stopped");
    let host = Host::new(&[(&kept, ETCD)]);
    host.data("/var/lib/etcd", "2026-11-20T20:59:00Z");
    host.data("/var/lib/old", "2026-11-10T00:00:00Z");
    // What a plan put there is not meant.
    host.data(
        "/var/lib/etcd-recover-2026-11-20T210000Z.new",
        "2026-11-28T00:00:00Z",
    );
    assert_eq!(host.archived(None).doubts, []);
    // A copy that somebody made, for all that is known.
    host.data("/var/lib/etcd2", "2026-11-22T00:00:00Z");
    let archived = host.archived(None);
    assert_eq!(
        told(&archived),
        ["newer data of an etcd is in /var/lib/etcd2, last written 2026-11-22T00:00:00Z"]
    );
    assert_eq!(archived.bars().count(), 0);
    // Another etcd's is its own affair, whether it runs or was stopped.
    let events = ETCD
        .replace(
            "  name: etcd\n  namespace",
            "  name: etcd-events\n  namespace",
        )
        .replace(":2379", ":2383")
        .replace("/var/lib/etcd", "/var/lib/etcd2");
    host.write(&format!("{PODS}/etcd-events.yaml"), &events);
    assert_eq!(host.archived(None).doubts, []);
    let stopped = Host::new(&[
        (&kept, ETCD),
        (
            "/var/lib/kubectl-etcd/manifests/etcd-events.yaml-2026-11-22T000000Z.stopped",
            &events,
        ),
    ]);
    stopped.data("/var/lib/etcd", "2026-11-20T20:59:00Z");
    stopped.data("/var/lib/etcd2", "2026-11-22T00:00:00Z");
    assert_eq!(stopped.archived(None).doubts, []);
}

#[test]
fn a_copy_that_came_back_is_never_brought_back_again() {
    let none = |files: &[(&str, &str)]| {
        let host = Host::new(files);
        let read = host.read(&Selection::default());
        let failure = read.etcd("cp-1").unwrap_err();
        assert_eq!(failure.kind, FailureKind::Missing);
        assert!(read.told.archived(ControlPlane::Etcd).is_none());
        (failure, read.told)
    };
    let (failure, told) = none(&[
        (&format!("{KEPT}.returned"), ETCD),
        ("/var/lib/etcd-new/member/snap/db", "x"),
    ]);
    assert_eq!(
        failure.message,
        format!(
            "no manifest of etcd: /etc/kubernetes/manifests has none, and the archived {KEPT}.returned is older than what ran last"
        )
    );
    let outdated = told.outdated(ControlPlane::Etcd).unwrap();
    assert_eq!(outdated.path, Path::new(&format!("{KEPT}.returned")));
    let data: Vec<&Path> = told
        .etcd_data
        .iter()
        .map(|one| one.path.as_path())
        .collect();
    assert_eq!(data, [Path::new("/var/lib/etcd-new")]);
    // An earlier one neither: what came back after it ran later.
    let earlier = "/var/lib/kubectl-etcd/manifests/etcd.yaml-2026-10-01T000000Z.stopped";
    none(&[(earlier, ETCD), (&format!("{KEPT}.returned"), ETCD)]);
    none(&[(earlier, ETCD), (&format!("{KEPT}.changed"), ETCD)]);
}

#[test]
fn a_copy_that_an_earlier_version_brought_back_is_known_by_its_journal() {
    let kept = format!("{KEPT}.stopped");
    let plan = "/var/lib/kubectl-etcd/plans/manifest-2026-11-20T210000Z";
    let entry = |step: u32, event: &str| {
        format!(r#"{{"at":"2026-11-20T21:00:00Z","step":{step},"event":{event}}}"#) + "\n"
    };
    let of = r#"{"component":"etcd","node":"cp-1","text":""}"#;
    let stop = format!(
        r#"{{"event":"begun","record":{{"record":"stop","manifest":{{"manifest":"{PODS}/etcd.yaml","kept":"{kept}","sha256":"0"}},"of":{of},"answered":true}}}}"#
    );
    let start = format!(
        r#"{{"event":"begun","record":{{"record":"start","manifest":{{"manifest":"{PODS}/etcd.yaml","like":"{kept}","kept":"/k","after":"0"}},"of":{of},"changed":true,"until":"ready"}}}}"#
    );
    let done = r#"{"event":"done","done":{"done":"plain"}}"#;
    let undone = r#"{"event":"undone","undone":{}}"#;
    let place = |journal: &[String]| {
        let host = Host::new(&[
            (&kept, ETCD),
            (&format!("{plan}/plan.json"), "{}"),
            (&format!("{plan}/journal.jsonl"), &journal.concat()),
        ]);
        host.read(&Selection::default())
            .etcd("cp-1")
            .map(|etcd| etcd.place)
    };
    let stopped = [entry(1, &stop), entry(1, done)];
    assert_eq!(place(&stopped).unwrap(), Place::Aside);
    let started = [stopped.concat(), entry(2, &start), entry(2, done)];
    assert_eq!(place(&started).unwrap_err().kind, FailureKind::Missing);
    // Its start was rolled back: it is stopped again.
    let back = [started.concat(), entry(2, undone)];
    assert_eq!(place(&back).unwrap(), Place::Aside);
    let all_back = [back.concat(), entry(1, undone)];
    assert_eq!(place(&all_back).unwrap_err().kind, FailureKind::Missing);
}

#[test]
fn a_file_that_somebody_has_named_stands_for_the_one_that_is_missing() {
    let host = Host::new(&[
        ("/root/etcd.yaml", ETCD),
        (&format!("{KEPT}.returned"), ETCD),
        (&format!("{PODS}/kube-apiserver.yaml"), APISERVER),
    ]);
    let read = host.read(&Selection::default());
    let etcd = read.etcd("cp-1").unwrap();
    assert_eq!(etcd.place, Place::Elsewhere);
    let elsewhere: Vec<_> = read.told.elsewhere(ControlPlane::Etcd).collect();
    assert_eq!(elsewhere[0].path, Path::new("/root/etcd.yaml"));
    for named in ["/root/etcd.yaml".to_owned(), format!("{KEPT}.returned")] {
        let selection = Selection {
            manifests: vec![named.clone().into()],
            ..Selection::default()
        };
        let read = host.read(&selection);
        let etcd = read.etcd("cp-1").unwrap();
        assert_eq!((etcd.place, &etcd.manifest), (Place::Named, &named.into()));
        assert!(read.told.archived(ControlPlane::Etcd).unwrap().named);
    }
    // Where kubelet has one, that is meant.
    host.write(&format!("{PODS}/etcd.yaml"), ETCD);
    let selection = Selection {
        manifests: vec!["/root/etcd.yaml".into()],
        ..Selection::default()
    };
    let etcd = host.read(&selection).etcd("cp-1").unwrap();
    assert_eq!(etcd.place, Place::Folder);
}
