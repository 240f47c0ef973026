//! What is created in the cluster to run one operation on one node: a Job, or its Pod alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_operations::operation::{
    Assignment, Operation, SnapshotDelete, SnapshotList, SnapshotPrune, SnapshotSend,
    SnapshotVerify,
};
use etcd_operations::pack::Packing;
use etcd_operations::stored::FOLDER;
use etcd_operations::target::Target;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, LocalObjectReference, Pod, PodSpec, PodTemplateSpec, SELinuxOptions,
    SeccompProfile, SecurityContext, Toleration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::mounts::{Files, Needed};
use super::program::Program;
use crate::owner::{OWNER_ANNOTATION, Owner, PROCESS_ANNOTATION};

/// The value of `app.kubernetes.io/name` on everything of ours.
pub(crate) const APP: &str = "kubectl-etcd";
/// Label: the run an object belongs to.
pub(crate) const RUN_LABEL: &str = "kubectl-etcd/run";
/// Label: what it does.
pub(crate) const OPERATION_LABEL: &str = "kubectl-etcd/operation";
/// Annotation: the seconds after its creation at which nobody can need it any more.
pub(crate) const DEADLINE_ANNOTATION: &str = "kubectl-etcd/deadline-seconds";
/// The labels that everything of ours has.
pub(crate) const LABELS: [&str; 4] = [
    "app.kubernetes.io/name",
    "app.kubernetes.io/managed-by",
    OPERATION_LABEL,
    RUN_LABEL,
];
/// The annotations that it may have.
pub(crate) const ANNOTATIONS: [&str; 3] =
    [OWNER_ANNOTATION, PROCESS_ANNOTATION, DEADLINE_ANNOTATION];
/// The container's name.
pub(crate) const CONTAINER: &str = "etcd-job";
/// Where a snapshot that is to be fetched lies inside the pod: on a volume that goes with it.
pub(crate) const SCRATCH: &str = "/kubectl-etcd";

/// Where kubelet and the runtime keep containers' output: the last words of an etcd that does not start.
const LOG_FOLDERS: [&str; 2] = ["/var/log/pods", "/var/log/containers"];
/// How long what finished is kept if nobody removed it: the report has been read by then.
const KEPT_SECONDS: i32 = 60;

/// Who runs what, for labels and names.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Unique to one attempt to run one operation.
    pub id: String,
    /// Who it is.
    pub owner: Owner,
    /// After which the cluster itself ends it.
    pub(crate) deadline: Duration,
}

/// The object's name: what it does, where, and the run; at most 63 characters, as it becomes a label's value.
pub(crate) fn name(run: &Run, operation: &Operation, node: &str) -> String {
    let node: String = node
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(24)
        .collect();
    let node = node.trim_matches('-');
    format!(
        "{APP}-{}-{node}-{}",
        operation.name().replace(' ', "-"),
        run.id
    )
}

/// The Job.
pub(crate) fn job(run: &Run, assignment: &Assignment, program: &Program) -> Job {
    let name = name(run, &assignment.operation, &assignment.target.node);
    let deadline = i64::try_from(run.deadline.as_secs()).unwrap_or(i64::MAX);
    let mut spec = pod_spec(assignment, program);
    // The Job has the deadline: it also counts while no node takes the Pod.
    spec.active_deadline_seconds = None;
    Job {
        metadata: metadata(run, &assignment.operation, name),
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            completions: Some(1),
            parallelism: Some(1),
            active_deadline_seconds: Some(deadline),
            ttl_seconds_after_finished: Some(KEPT_SECONDS),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels(run, &assignment.operation)),
                    annotations: Some(annotations(run)),
                    ..ObjectMeta::default()
                }),
                spec: Some(spec),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}

/// The same as a bare Pod.
pub(crate) fn pod(run: &Run, assignment: &Assignment, program: &Program) -> Pod {
    let name = name(run, &assignment.operation, &assignment.target.node);
    let mut spec = pod_spec(assignment, program);
    spec.active_deadline_seconds = Some(i64::try_from(run.deadline.as_secs()).unwrap_or(i64::MAX));
    Pod {
        metadata: metadata(run, &assignment.operation, name),
        spec: Some(spec),
        ..Pod::default()
    }
}

fn metadata(run: &Run, operation: &Operation, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        labels: Some(labels(run, operation)),
        annotations: Some(annotations(run)),
        ..ObjectMeta::default()
    }
}

fn labels(run: &Run, operation: &Operation) -> BTreeMap<String, String> {
    let values = [
        APP.to_owned(),
        APP.to_owned(),
        operation.name().replace(' ', "-"),
        run.id.clone(),
    ];
    LABELS.map(str::to_owned).into_iter().zip(values).collect()
}

fn annotations(run: &Run) -> BTreeMap<String, String> {
    let pairs = [
        (OWNER_ANNOTATION, run.owner.name.clone()),
        (DEADLINE_ANNOTATION, run.deadline.as_secs().to_string()),
    ];
    let pairs = pairs.map(|(key, value)| (key.to_owned(), value));
    let process = run.owner.process_annotation();
    pairs.into_iter().chain(process).collect()
}

fn pod_spec(assignment: &Assignment, program: &Program) -> PodSpec {
    let target = &assignment.target;
    let needed = needed(&assignment.operation, target);
    let arguments = serde_json::to_string(assignment).unwrap_or_default();
    let spec = on_host_network(
        program,
        program.image(target),
        needed,
        ["run".into(), arguments],
    );
    PodSpec {
        // Bound here and not by the scheduler, which may be as ill as everything else, and which would mind taints.
        node_name: Some(target.node.clone()),
        tolerations: Some(vec![anything()]),
        ..spec
    }
}

/// Tolerates every taint.
pub(crate) fn anything() -> Toleration {
    Toleration {
        operator: Some("Exists".into()),
        ..Toleration::default()
    }
}

/// A pod that runs the program as root on the network of its node, wherever that is, with no more rights than reading
/// what belongs to others.
pub(crate) fn on_host_network(
    program: &Program,
    image: Option<String>,
    needed: Vec<Needed>,
    arguments: [String; 2],
) -> PodSpec {
    let mut files = Files::default();
    for needed in needed {
        files.add(&needed);
    }
    program.mount(&mut files);
    PodSpec {
        host_network: Some(true),
        dns_policy: Some("Default".into()),
        restart_policy: Some("Never".into()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        // Long enough to end at a signal, short enough for nobody to wait for it.
        termination_grace_period_seconds: Some(2),
        // Taken by the node under disk and memory pressure too: that is when etcd needs looking after.
        priority_class_name: Some("system-node-critical".into()),
        image_pull_secrets: program.pull_secrets().map(|names| {
            names
                .iter()
                .map(|name| LocalObjectReference { name: name.clone() })
                .collect()
        }),
        containers: vec![Container {
            name: CONTAINER.into(),
            image,
            image_pull_policy: Some(program.pull_policy().into()),
            command: program.command(),
            args: Some(arguments.into()),
            security_context: Some(security_context()),
            termination_message_policy: Some("FallbackToLogsOnError".into()),
            volume_mounts: Some(files.mounts),
            ..Container::default()
        }],
        volumes: Some(files.volumes),
        ..PodSpec::default()
    }
}

/// The one capability that is left: an etcd may run as another user than root, and its keys and data are that one's.
pub(crate) const CAPABILITY: &str = "DAC_READ_SEARCH";
/// The SELinux type of containers that may read what is mounted from their node: nodes that enforce SELinux label etcd's
/// keys as no other container may read them. Without SELinux it means nothing.
pub(crate) const SELINUX_TYPE: &str = "spc_t";

/// No operation needs a privileged container: etcd is spoken to over the network, and what is read or written of the node
/// is mounted.
fn security_context() -> SecurityContext {
    SecurityContext {
        privileged: Some(false),
        allow_privilege_escalation: Some(false),
        // etcd's keys are root's.
        run_as_user: Some(0),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".into()]),
            add: Some(vec![CAPABILITY.into()]),
        }),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".into(),
            ..SeccompProfile::default()
        }),
        se_linux_options: Some(SELinuxOptions {
            type_: Some(SELINUX_TYPE.into()),
            ..SELinuxOptions::default()
        }),
        ..SecurityContext::default()
    }
}

/// The files and folders of the node that an operation mounts, with the kind each must be of there.
pub(crate) fn node_files(operation: &Operation, target: &Target) -> Vec<(PathBuf, &'static str)> {
    let needed = needed(operation, target);
    needed.iter().filter_map(Needed::on_node).collect()
}

fn needed(operation: &Operation, target: &Target) -> Vec<Needed> {
    let with_etcd = |mut more: Vec<Needed>| {
        let tls = target
            .tls
            .iter()
            .flat_map(|tls| [&tls.ca, &tls.cert, &tls.key]);
        let mut needed: Vec<_> = tls.cloned().map(Needed::File).collect();
        needed.append(&mut more);
        needed
    };
    let data = || Needed::Folder(target.data_dir.clone());
    match operation {
        Operation::Status => {
            let logs = LOG_FOLDERS.map(|folder| Needed::FolderOrNone(folder.into()));
            let kept = Needed::FolderOrNone(around(Path::new(FOLDER)));
            with_etcd([data(), kept].into_iter().chain(logs).collect())
        }
        Operation::SnapshotSave(save) => {
            let mut more = vec![if save.folder.starts_with(SCRATCH) {
                Needed::Scratch(SCRATCH.into())
            } else {
                Needed::Writable(around(&save.folder))
            }];
            if let Packing::Bundle { .. } = save.packing {
                more.push(Needed::Host);
            }
            with_etcd(more)
        }
        // Wherever its manifests and certificates are.
        Operation::NodeFiles { .. } => vec![Needed::Scratch(SCRATCH.into()), Needed::Host],
        // It looks whether the disk has room for the copy etcd writes, and how far that is.
        Operation::Defrag => with_etcd(vec![data()]),
        Operation::Usage { .. }
        | Operation::Members
        | Operation::MemberAdd { .. }
        | Operation::MemberRemove { .. }
        | Operation::MemberPromote { .. }
        | Operation::MoveLeader { .. }
        | Operation::Health { .. }
        | Operation::HashKv { .. }
        | Operation::Compact { .. }
        | Operation::AlarmList
        | Operation::AlarmDisarm { .. } => with_etcd(Vec::new()),
        // What lies on the node already: neither etcd nor its certificates have to be there.
        Operation::SnapshotList(SnapshotList { folder })
        | Operation::SnapshotSend(SnapshotSend { folder, .. }) => {
            vec![Needed::FolderOrNone(around(folder))]
        }
        Operation::SnapshotVerify(SnapshotVerify { folder, .. })
        | Operation::SnapshotDelete(SnapshotDelete { folder, .. })
        | Operation::SnapshotPrune(SnapshotPrune { folder, .. }) => {
            vec![Needed::Writable(around(folder))]
        }
    }
}

/// What to mount for a folder that the operation makes itself, 0700, when it is missing: kubelet would make it open to all.
pub(crate) fn around(folder: &Path) -> PathBuf {
    match folder.parent() {
        Some(parent) if parent != Path::new("/") => parent.to_owned(),
        // The node's root would hide the program.
        _ => folder.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd_operations::operation::{AlarmDisarm, Health, SnapshotSave};
    use etcd_operations::target::TlsFiles;

    fn assignment(operation: Operation) -> Assignment {
        Assignment {
            version: 1,
            operation,
            target: Target {
                node: "cp-1.example.com".into(),
                pod: "etcd-cp-1".into(),
                member_name: "cp-1".into(),
                client_urls: vec!["https://127.0.0.1:2379".into()],
                peer_urls: Vec::new(),
                tls: Some(TlsFiles {
                    ca: "/pki/ca.crt".into(),
                    cert: "/pki/both.pem".into(),
                    key: "/pki/both.pem".into(),
                }),
                data_dir: "/var/lib/etcd".into(),
                wal_dir: None,
                quota_bytes: None,
                image: Some("registry.k8s.io/etcd:3.6.6-0".into()),
            },
        }
    }

    fn run() -> Run {
        Run {
            id: "1a2b3c4d".into(),
            owner: Owner::named("me@here/7"),
            deadline: Duration::from_secs(90),
        }
    }

    fn mounts(operation: Operation) -> Vec<(String, bool)> {
        let pod = pod(
            &run(),
            &assignment(operation),
            &Program::Image {
                reference: "x".into(),
                pull_secrets: Vec::new(),
            },
        );
        let container = pod.spec.unwrap().containers.remove(0);
        let mounts = container.volume_mounts.unwrap();
        mounts
            .into_iter()
            .map(|mount| (mount.mount_path, mount.read_only.unwrap()))
            .collect()
    }

    #[test]
    fn only_what_is_needed_is_mounted_and_only_for_reading() {
        let tls = [
            ("/pki/ca.crt".to_owned(), true),
            ("/pki/both.pem".to_owned(), true),
        ];
        assert_eq!(mounts(Operation::Members), tls);
        assert_eq!(mounts(Operation::Health(Health { timeout_ms: 1 })), tls);
        assert_eq!(
            mounts(Operation::Defrag).last(),
            Some(&("/var/lib/etcd".into(), true))
        );
        let status = mounts(Operation::Status);
        assert!(status.contains(&("/var/lib/etcd".into(), true)));
        assert!(status.iter().all(|(_, read_only)| *read_only), "{status:?}");
        let kept = mounts(Operation::SnapshotSave(SnapshotSave {
            folder: "/var/backups/etcd".into(),
            name: "s.db".into(),
            packing: Packing::Plain,
            numbered: false,
            hold_seconds: 0,
        }));
        assert_eq!(kept.last(), Some(&("/var/backups".into(), false)));
        assert_eq!(around(Path::new("/backups")), Path::new("/backups"));
        assert!(!kept.iter().any(|(path, _)| path == "/var/lib/etcd"));
    }

    #[test]
    fn a_fetched_snapshot_goes_with_its_pod() {
        let operation = Operation::SnapshotSave(SnapshotSave {
            folder: format!("{SCRATCH}/snapshot").into(),
            name: "s.db".into(),
            packing: Packing::Plain,
            numbered: false,
            hold_seconds: 60,
        });
        let pod = pod(
            &run(),
            &assignment(operation),
            &Program::Image {
                reference: "x".into(),
                pull_secrets: Vec::new(),
            },
        );
        let volumes = pod.spec.unwrap().volumes.unwrap();
        assert!(volumes.last().unwrap().empty_dir.is_some());
    }

    #[test]
    fn names_fit_a_label() {
        let name = name(
            &run(),
            &Operation::AlarmDisarm(AlarmDisarm {
                alarm: etcd_operations::report::AlarmKind::NoSpace,
                member: None,
            }),
            "a-very-long-node-name.with.dots.example.com",
        );
        assert!(name.len() <= 63, "{name}");
        assert_eq!(
            name,
            "kubectl-etcd-alarm-disarm-a-very-long-node-name-wi-1a2b3c4d"
        );
    }

    #[test]
    fn the_job_is_pinned_bounded_and_may_only_read() {
        let job = job(
            &run(),
            &assignment(Operation::Status),
            &Program::Image {
                reference: "example.com/etcd-job:1".into(),
                pull_secrets: vec!["pull".into()],
            },
        );
        let job = serde_json::to_value(&job).unwrap();
        let at = |path: &str| job.pointer(path).cloned().unwrap_or_default();
        assert_eq!(
            at("/metadata/labels/app.kubernetes.io~1name"),
            "kubectl-etcd"
        );
        assert_eq!(at("/metadata/labels/kubectl-etcd~1run"), "1a2b3c4d");
        assert_eq!(at("/spec/backoffLimit"), 0);
        assert_eq!(at("/spec/activeDeadlineSeconds"), 90);
        assert_eq!(at("/spec/ttlSecondsAfterFinished"), 60);
        let pod = |path: &str| at(&format!("/spec/template/spec{path}"));
        assert_eq!(pod("/nodeName"), "cp-1.example.com");
        assert_eq!(pod("/hostNetwork"), true);
        assert_eq!(pod("/automountServiceAccountToken"), false);
        assert_eq!(pod("/tolerations/0/operator"), "Exists");
        assert_eq!(pod("/restartPolicy"), "Never");
        assert_eq!(pod("/imagePullSecrets/0/name"), "pull");
        assert_eq!(pod("/containers/0/image"), "example.com/etcd-job:1");
        let security = pod("/containers/0/securityContext");
        assert_eq!(security["privileged"], false);
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["capabilities"]["drop"][0], "ALL");
        assert_eq!(
            security["capabilities"]["add"],
            serde_json::json!(["DAC_READ_SEARCH"])
        );
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(pod("/containers/0/args/0"), "run");
    }
}
