//! A schedule as CronJobs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use etcd_operations::routine::{NODE_VARIABLE, NOT_PRUNED, Routine};
use etcd_operations::target::{Target, TlsFiles};
use etcd_operations::transfer::hex;
use etcd_operations::wire;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{
    CronJob, CronJobSpec, JobSpec, JobTemplateSpec, PodFailurePolicy,
    PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Affinity, EnvVar, EnvVarSource, NodeAffinity, NodeSelector, NodeSelectorRequirement,
    NodeSelectorTerm, ObjectFieldSelector, PodSpec, PodTemplateSpec, Toleration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest, Sha256};

use super::cron::interval;
use super::{Masters, OWN_VERSION, SCHEDULE, SNAPSHOTS, Schedule, VERSION};
use crate::discovery::Node;
use crate::runners::mounts::{HOST, Needed};
use crate::runners::podspec::{APP, anything, around, on_host_network};
use crate::runners::program::Program;

/// The CronJob of a schedule on one control-plane node; what others are called begins with it.
const NAME: &str = "etcd-snapshot";
/// The longest name of a CronJob: 11 characters follow in its Jobs' names, which have 63.
const LONGEST_NAME: usize = 52;
/// The label of control-plane nodes.
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
/// Taints of a control-plane node that is up and may well take a snapshot. One that is down is not among them.
const TOLERATED: [&str; 6] = [
    CONTROL_PLANE,
    "node-role.kubernetes.io/master",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/unschedulable",
];
/// Taints of a control-plane node that went down; Kubernetes itself adds a wait of 300 s for these.
const DOWN: [&str; 2] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
];
/// For so long a run stays on a control-plane node that went down before another one takes it over.
const DOWN_SECONDS: i64 = 20;
/// How often a run that failed is tried again, on another control-plane node perhaps.
const RETRIES: i32 = 2;
/// How many Jobs are kept for who looks at what happened, of each kind.
const KEPT_JOBS: i32 = 3;
/// How long a run may take at most, and at least, when nothing is said.
const RUN_LIMITS: (u64, u64) = (600, 3600);
/// How late a run may begin, at least and at most.
const START_LIMITS: (u64, u64) = (600, 12 * 3600);

/// What of a node goes into a bundle, besides what flags of its static pods name: these folders are on every node.
const BUNDLED: [&str; 3] = ["/etc", "/usr/lib/systemd", "/var/lib/kubelet"];

/// Where a CronJob's runs go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The node it is bound to; none: any control-plane node that is up.
    pub node: Option<String>,
    /// The etcds there.
    pub(super) targets: Vec<Target>,
    /// The volumes of the static pods there with what their flags name, for bundles with keys.
    pub(super) named: BTreeSet<PathBuf>,
}

impl Place {
    /// Any control-plane node of a cluster of which nothing is known but that kubeadm made it.
    pub fn of_kubeadm() -> Self {
        let pki = |name: &str| PathBuf::from("/etc/kubernetes/pki/etcd").join(name);
        Self {
            node: None,
            targets: vec![Target {
                node: String::new(),
                pod: String::new(),
                member_name: String::new(),
                client_urls: vec!["https://127.0.0.1:2379".into()],
                peer_urls: Vec::new(),
                tls: Some(TlsFiles {
                    ca: pki("ca.crt"),
                    cert: pki("server.crt"),
                    key: pki("server.key"),
                }),
                data_dir: "/var/lib/etcd".into(),
                wal_dir: None,
                quota_bytes: None,
                image: None,
            }],
            named: BTreeSet::new(),
        }
    }

    /// The images of etcd there.
    pub fn images(&self) -> impl Iterator<Item = &String> {
        let images = self.targets.iter();
        images.filter_map(|target| target.image.as_ref())
    }

    /// The image of etcd there: the one that most have.
    pub fn image(&self) -> Option<String> {
        most_common(&self.images().collect::<Vec<_>>())
    }

    /// The CronJob's name.
    pub fn cron_job(&self) -> String {
        match &self.node {
            None => NAME.to_owned(),
            Some(node) => shortened(&format!("{NAME}-{node}")),
        }
    }

    /// Whether a run finds etcd's certificates at the same paths wherever it comes to: only what is on each node can be
    /// mounted.
    pub fn is_uniform(&self) -> bool {
        let mut layouts = self.targets.iter().map(|target| &target.tls);
        let first = layouts.next();
        layouts.all(|layout| Some(layout) == first)
    }
}

/// The volumes of static pods with what their flags name, by node: paths on the node.
pub type NamedPaths = BTreeMap<String, BTreeSet<PathBuf>>;

/// Where the CronJobs of a schedule go in a cluster with these control-plane nodes.
pub fn places(masters: Masters, nodes: &[Node], named: &NamedPaths) -> Vec<Place> {
    let targets = nodes.iter().filter_map(Node::target).cloned();
    match masters {
        Masters::One => {
            let mut of_all = named.values().cloned();
            let first = of_all.next().unwrap_or_default();
            vec![Place {
                node: None,
                targets: targets.collect(),
                // What is not everywhere cannot be mounted.
                named: of_all.fold(first, |all, more| &all & &more),
            }]
        }
        Masters::All => targets
            .map(|target| Place {
                node: Some(target.node.clone()),
                named: named.get(&target.node).cloned().unwrap_or_default(),
                targets: vec![target],
            })
            .collect(),
    }
}

/// The one that is there most often: on most control-plane nodes it can be started.
fn most_common(images: &[&String]) -> Option<String> {
    let count = |image: &String| images.iter().filter(|other| **other == image).count();
    images
        .iter()
        .max_by_key(|image| (count(image), std::cmp::Reverse(*image)))
        .map(|image| (*image).clone())
}

/// A name of a CronJob that fits; one that had to be cut ends in a digest of the whole, so that no two are the same.
fn shortened(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let digest = hex(&Sha256::digest(name.as_bytes())[..4]);
    let kept: String = name.chars().take(LONGEST_NAME - digest.len() - 1).collect();
    format!("{}-{digest}", kept.trim_end_matches(['-', '.']))
}

/// The CronJob for one place.
pub fn render(schedule: &Schedule, place: &Place, program: &Program, namespace: &str) -> CronJob {
    let times = Times::of(schedule);
    let metadata = |annotations: Option<BTreeMap<String, String>>| ObjectMeta {
        labels: Some(labels()),
        annotations,
        ..ObjectMeta::default()
    };
    let wanted = serde_json::to_string(schedule).unwrap_or_default();
    let annotations = [(SCHEDULE, wanted), (VERSION, OWN_VERSION.to_owned())];
    CronJob {
        metadata: ObjectMeta {
            name: Some(place.cron_job()),
            namespace: Some(namespace.to_owned()),
            ..metadata(Some(owned(annotations)))
        },
        spec: Some(CronJobSpec {
            schedule: schedule.cron.clone(),
            time_zone: Some(schedule.time_zone.clone()),
            concurrency_policy: Some(times.concurrency_policy().to_owned()),
            starting_deadline_seconds: Some(times.start_seconds),
            successful_jobs_history_limit: Some(KEPT_JOBS),
            failed_jobs_history_limit: Some(KEPT_JOBS),
            job_template: JobTemplateSpec {
                metadata: Some(metadata(None)),
                spec: Some(JobSpec {
                    backoff_limit: Some(RETRIES),
                    pod_failure_policy: Some(no_second_snapshot()),
                    active_deadline_seconds: Some(times.run_seconds),
                    template: PodTemplateSpec {
                        metadata: Some(metadata(None)),
                        spec: Some(pod_spec(schedule, place, program)),
                    },
                    ..JobSpec::default()
                }),
            },
            ..CronJobSpec::default()
        }),
        ..CronJob::default()
    }
}

/// A run that took its snapshot is not tried again.
fn no_second_snapshot() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![PodFailurePolicyRule {
            action: "FailJob".into(),
            on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                operator: "In".into(),
                values: vec![NOT_PRUNED.into()],
                ..PodFailurePolicyOnExitCodesRequirement::default()
            }),
            ..PodFailurePolicyRule::default()
        }],
    }
}

fn labels() -> BTreeMap<String, String> {
    owned([
        ("app.kubernetes.io/name", APP.to_owned()),
        ("app.kubernetes.io/managed-by", APP.to_owned()),
        (SCHEDULE, SNAPSHOTS.to_owned()),
    ])
}

fn owned<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value)).into()
}

/// How long things may take, by how often a schedule runs.
struct Times {
    interval: Option<Duration>,
    run_seconds: i64,
    start_seconds: i64,
}

impl Times {
    fn of(schedule: &Schedule) -> Self {
        // Of a fixed time, so that the same schedule is always rendered the same.
        let interval = interval(&schedule.cron, &schedule.time_zone, Timestamp::UNIX_EPOCH);
        let share = |part: u64, (least, most): (u64, u64)| match interval {
            Some(interval) => (interval.as_secs() * part / 4).clamp(least, most),
            None => most,
        };
        let run = schedule.timeout_seconds.filter(|seconds| *seconds > 0);
        let run = run.unwrap_or_else(|| share(3, RUN_LIMITS));
        let seconds = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        Self {
            interval,
            run_seconds: seconds(run),
            start_seconds: seconds(share(2, START_LIMITS)),
        }
    }

    /// A Job counts as running until all its Pods are gone, and a Pod on a control-plane node that lost its power is there until the
    /// control-plane node is back, whatever deadline the Job had. `Forbid` would let no other run begin until then. So where each run
    /// is over before the next one is due, what is still there then is replaced; it can only be such a rest.
    fn concurrency_policy(&self) -> &'static str {
        let run = u64::try_from(self.run_seconds).unwrap_or_default();
        match self.interval {
            Some(interval) if interval.as_secs() > run => "Replace",
            Some(_) | None => "Forbid",
        }
    }
}

fn pod_spec(schedule: &Schedule, place: &Place, program: &Program) -> PodSpec {
    let image = match program {
        Program::Image { reference, .. } => Some(reference.clone()),
        Program::Carried(_) => place.image(),
    };
    let routine = serde_json::to_string(&routine(schedule, place)).unwrap_or_default();
    let needed = needed(schedule, place);
    let mut spec = on_host_network(program, image, needed, ["scheduled".into(), routine]);
    for container in &mut spec.containers {
        container.env = Some(vec![node_variable()]);
    }
    match &place.node {
        None => PodSpec {
            affinity: Some(on_masters()),
            tolerations: Some(of_any_master(&schedule.taints)),
            ..spec
        },
        Some(node) => PodSpec {
            node_name: Some(node.clone()),
            tolerations: Some(vec![anything()]),
            ..spec
        },
    }
}

/// What each run does.
pub(super) fn routine(schedule: &Schedule, place: &Place) -> Routine {
    Routine {
        version: wire::VERSION,
        folder: schedule.folder.clone(),
        prefix: schedule.prefix.clone(),
        packing: schedule.packing,
        rules: schedule.rules,
        root: HOST.into(),
        etcd: place.targets.clone(),
    }
}

/// What of the node a run needs: the certificates, the folder, and for a bundle what goes into it.
fn needed(schedule: &Schedule, place: &Place) -> Vec<Needed> {
    let tls = place
        .targets
        .iter()
        .filter_map(|target| target.tls.as_ref());
    let files = tls.flat_map(|tls| [&tls.ca, &tls.cert, &tls.key]);
    let mut needed: Vec<Needed> = files.cloned().map(Needed::File).collect();
    needed.push(Needed::Writable(around(&schedule.folder)));
    if !schedule.packing.is_bundle() {
        return needed;
    }
    needed.extend(BUNDLED.map(|folder| Needed::HostFolder(folder.into())));
    let elsewhere = |path: &&PathBuf| !BUNDLED.iter().any(|folder| path.starts_with(folder));
    needed.extend(
        place
            .named
            .iter()
            .filter(elsewhere)
            .cloned()
            .map(Needed::HostPath),
    );
    needed
}

/// Tells a run which node it has come to.
fn node_variable() -> EnvVar {
    EnvVar {
        name: NODE_VARIABLE.into(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: "spec.nodeName".into(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

fn on_masters() -> Affinity {
    Affinity {
        node_affinity: Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector {
                node_selector_terms: vec![NodeSelectorTerm {
                    match_expressions: Some(vec![NodeSelectorRequirement {
                        key: CONTROL_PLANE.into(),
                        operator: "Exists".into(),
                        values: None,
                    }]),
                    ..NodeSelectorTerm::default()
                }],
            }),
            ..NodeAffinity::default()
        }),
        ..Affinity::default()
    }
}

/// Whether a taint is one that Kubernetes gives nodes, which is dealt with above.
pub fn is_kubernetes_own(taint: &str) -> bool {
    let domain = taint.split_once('/').map_or("", |(domain, _)| domain);
    matches!(
        domain,
        "node.kubernetes.io" | "node-role.kubernetes.io" | "node.cloudprovider.kubernetes.io"
    )
}

fn of_any_master(taints: &[String]) -> Vec<Toleration> {
    let keys = TOLERATED
        .into_iter()
        .chain(taints.iter().map(String::as_str));
    let tolerated = keys.map(|taint| Toleration {
        key: Some(taint.into()),
        operator: Some("Exists".into()),
        ..Toleration::default()
    });
    let down = DOWN.map(|taint| Toleration {
        key: Some(taint.into()),
        operator: Some("Exists".into()),
        effect: Some("NoExecute".into()),
        toleration_seconds: Some(DOWN_SECONDS),
        ..Toleration::default()
    });
    tolerated.chain(down).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_name_stays_and_a_long_one_ends_in_a_digest() {
        assert_eq!(
            shortened("etcd-snapshot-cp-1.example"),
            "etcd-snapshot-cp-1.example"
        );
        let long = |end: &str| shortened(&format!("etcd-snapshot-{}{end}", "master.".repeat(9)));
        assert_ne!(long("a"), long("b"));
        assert!(
            long("a").starts_with("etcd-snapshot-master.master."),
            "{}",
            long("a")
        );
    }

    #[test]
    fn taints_of_the_masters_own_are_tolerated_and_those_of_dead_nodes_are_not() {
        let tolerated = of_any_master(&["dedicated".to_owned()]);
        assert!(
            tolerated
                .iter()
                .any(|one| one.key.as_deref() == Some("dedicated"))
        );
        assert!(is_kubernetes_own("node.kubernetes.io/unreachable"));
        assert!(!is_kubernetes_own("dedicated") && !is_kubernetes_own("example.com/etcd"));
    }

    #[test]
    fn most_masters_decide_on_the_image() {
        let (new, old) = ("etcd:3.6.6".to_owned(), "etcd:3.5.9".to_owned());
        assert_eq!(most_common(&[&old, &new, &new]), Some(new.clone()));
        assert_eq!(most_common(&[&new, &old]), most_common(&[&old, &new]));
        assert_eq!(most_common(&[]), None);
    }

    proptest! {
        #[test]
        fn every_nodes_cron_job_has_a_name_that_fits(node in "[a-z0-9]([-a-z0-9.]{0,240}[a-z0-9])?") {
            let place = Place { node: Some(node), ..Place::of_kubeadm() };
            let name = place.cron_job();
            prop_assert!(name.len() <= LONGEST_NAME, "{}", name);
            prop_assert!(name.ends_with(|c: char| c.is_ascii_alphanumeric()), "{}", name);
        }
    }
}
