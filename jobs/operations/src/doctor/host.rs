//! What is wrong with a host, whatever its etcd does: plans, disk, runtime, kubelet, files in the static pods' folder,
//! certificates, images.

use std::path::Path;

use jiff::SignedDuration;

use super::cluster::working_elsewhere;
use super::{Next, Notes, Severity, SituationKind as Kind};
use crate::advice;
use crate::advice::{Choice, Task};
use crate::amounts::bytes;
use crate::control_plane::ControlPlane;
use crate::failure::{Answer, FailureKind};
use crate::kubelet::STATIC_PODS;
use crate::look::{CertificateLook, DiskSpace, Look, StrayKind};
use crate::manifest::{ANEW, anew, back};
use crate::shell::CommandLine;
use crate::state::{ARCHIVE, CURRENT_PLAN};

/// Below this a disk counts as full: etcd makes WAL files of 64 MB ahead of time.
const FULL_BYTES: u64 = 128 << 20;

/// Below this it is spoken of: putting data aside and making it anew takes its size once more.
const LOW_BYTES: u64 = 2 << 30;

/// Below this part of all inodes they are spoken of.
const LOW_PERCENT: u64 = 5;

/// So long before its end a certificate is spoken of.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Who renews their own certificates in time.
const KUBELET: &str = "kubelet";

pub(super) fn judge(notes: &mut Notes<'_>, looks: &[Look]) {
    plan(notes, looks);
    disks(notes);
    runtime(notes);
    kubelet(notes);
    folder(notes, looks);
    strays(notes);
    keys_twice(notes);
    etcds(notes);
    certificates(notes);
    images(notes);
}

fn plan(notes: &mut Notes<'_>, looks: &[Look]) {
    let look = notes.look;
    if let Some(Some(plan)) = notes.answered("whether a plan was not ended", &look.plan) {
        let node = notes.node();
        let next = match looks.len() > 1 {
            // Who looks at several reaches them over ssh, and goes on from the same place.
            true => {
                let of = |task: Task| task.of(&plan.id).choosing(Choice::Ssh);
                let undo = advice!["or back to what was before: ", of(Task::UndoPlan)];
                Next::anywhere(of(Task::ResumePlan)).note(undo)
            }
            false => {
                let undo = advice!["or back to what was before: ", Task::UndoPlan];
                Next::on(node, Task::ResumePlan).note(undo)
            }
        };
        notes.degraded(
            Kind::UnfinishedPlan,
            format!("the plan {} was begun on {node} and not ended", plan.id),
            vec![format!("{CURRENT_PLAN} names it")],
            next,
        );
    }
}

fn disks(notes: &mut Notes<'_>) {
    let look = notes.look;
    for disk in &look.disks {
        let path = disk.path.display();
        let Some(space) = notes.answered(&format!("the disk of {path}"), &disk.space) else {
            continue;
        };
        let node = notes.node();
        let seen = format!("{path}: {}", told(*space));
        let largest = CommandLine::new("du -xh --max-depth=2").operand(&path);
        let next = Next::on(node, largest.then("| sort -h | tail -20"))
            .note("it shows what fills the disk; what etcd's data directory needs must stay");
        let no_files = space.inodes > 0 && space.free_inodes < 100;
        if space.free_bytes < FULL_BYTES || no_files {
            let summary = format!("the disk of {path} on {node} is full");
            notes.degraded(Kind::DiskFull, summary, vec![seen], next);
        } else if space.free_bytes < LOW_BYTES || is_low(space.free_inodes, space.inodes) {
            let summary = format!("the disk of {path} on {node} is nearly full");
            notes.degraded(Kind::DiskLow, summary, vec![seen], next);
        } else {
            notes.in_order(seen);
        }
    }
}

fn is_low(free: u64, all: u64) -> bool {
    all > 0 && u128::from(free) * 100 < u128::from(all) * u128::from(LOW_PERCENT)
}

fn told(space: DiskSpace) -> String {
    let (free, size) = (bytes(space.free_bytes), bytes(space.size_bytes));
    let mut text = format!("{free} of {size} are free");
    if is_low(space.free_inodes, space.inodes) {
        let (free, all) = (space.free_inodes, space.inodes);
        text.push_str(&format!(", {free} of {all} inodes"));
    }
    text
}

fn runtime(notes: &mut Notes<'_>) {
    let (look, node) = (notes.look, notes.node());
    let failure = match &look.runtime {
        Answer::Ok(runtime) => {
            notes.in_order(format!(
                "the container runtime answers at {}",
                runtime.socket.display()
            ));
            return;
        }
        Answer::Failed(failure) => failure,
    };
    // Without manifests it was not asked.
    if look.manifests.failure().is_some() {
        return;
    }
    match failure.kind {
        FailureKind::Unreachable | FailureKind::Missing => {
            notes.degraded(
                Kind::RuntimeDown,
                format!("the container runtime of {node} does not answer"),
                vec![failure.to_string()],
                Next::on(node, look.runtime_kind.restart()),
            );
        }
        _ => notes.unseen("the container runtime", failure),
    }
}

fn kubelet(notes: &mut Notes<'_>) {
    let (look, node) = (notes.look, notes.node());
    match notes.answered("whether kubelet runs", &look.kubelet.active) {
        Some(true) => notes.in_order("kubelet runs"),
        Some(false) => {
            let mut evidence = vec!["systemd says that kubelet is not active".to_owned()];
            evidence.extend(kubelet_errors(notes));
            notes.degraded(
                Kind::KubeletDown,
                format!(
                    "kubelet on {node} does not run: nothing starts or restarts its static pods"
                ),
                evidence,
                Next::on(node, "systemctl restart kubelet"),
            );
        }
        None => {}
    }
}

/// The last of what kubelet complains of.
pub(super) fn kubelet_errors(notes: &Notes<'_>) -> Option<String> {
    let errors = notes.look.kubelet.last_errors.ok()?;
    Some(format!("kubelet's last error: {}", errors.last()?))
}

/// The folder of the static pods is not there although this is a control-plane node.
fn folder(notes: &mut Notes<'_>, looks: &[Look]) {
    let (look, node) = (notes.look, notes.node());
    let Some(failure) = look.manifests.failure() else {
        return;
    };
    if failure.kind != FailureKind::Missing || !look.is_control_plane() {
        notes.unseen("the static pods' folder", failure);
        return;
    }
    let (folder, stand_in) = match &look.lost_folder {
        Some(lost) => (lost.folder.as_path(), lost.stand_in.as_deref()),
        None => (Path::new(STATIC_PODS), None),
    };
    let next = match stand_in {
        Some(stand_in) => Next::on(node, back(stand_in.display(), folder.display())),
        None => Next::on(node, anew(folder)).note(format!(
            "if the folder was moved somewhere, move it back instead; {ANEW}"
        )),
    };
    let severity = match working_elsewhere(look, looks) {
        Some(_) => Severity::Degraded,
        None => Severity::Lost,
    };
    let evidence = look.etcd.ok().map(|etcd| {
        let (path, data) = (etcd.manifest.display(), etcd.target.data_dir.display());
        format!("{path} is a manifest of etcd, with its data in {data}")
    });
    notes.situation(
        Kind::FolderMissing,
        severity,
        format!("{node}: {}", failure.message),
        evidence.into_iter().collect(),
        next,
    );
}

fn strays(notes: &mut Notes<'_>) {
    let (look, node) = (notes.look, notes.node());
    let Some(manifests) = look.manifests.ok() else {
        return;
    };
    if manifests.strays.is_empty() {
        let pods = manifests.pods.len();
        notes.in_order(format!(
            "{} has {pods} manifests and nothing else",
            manifests.folder.display()
        ));
    }
    for stray in &manifests.strays {
        let path = stray.path.display();
        let matters = stray.kind != StrayKind::NoManifest;
        let which = stray.component.map(ControlPlane::name).unwrap_or("a pod");
        let summary = match matters {
            true => {
                format!("{path} on {node} is a second manifest that gets in the way of {which}")
            }
            false => format!("{path} on {node} is no manifest, and kubelet reads it"),
        };
        let note = match matters {
            true => {
                "kubelet drops the pod when the second file goes, though its own is still there; restarted, it runs it again"
            }
            false => "every file there that does not begin with a dot is read",
        };
        let aside = CommandLine::new("mkdir -p -m 700").operand(ARCHIVE);
        let moved = CommandLine::new("mv -n").operand(&path);
        let moved = aside.and(&moved.operand(format_args!("{ARCHIVE}/")));
        let command = match matters {
            true => moved.and(&"systemctl restart kubelet".into()),
            false => moved,
        };
        notes.degraded(
            Kind::StrayManifest,
            summary,
            vec![format!("{path}: {}", stray.problem)],
            Next::on(node, command).note(note),
        );
    }
}

/// Manifests that give a key twice. kubelet runs them, and whoever reads the first of the two is misled.
fn keys_twice(notes: &mut Notes<'_>) {
    let (look, node) = (notes.look, notes.node());
    let pods = look.manifests.ok().map(|found| found.pods.as_slice());
    for pod in pods.unwrap_or_default() {
        let Some(first) = pod.keys_twice.first() else {
            continue;
        };
        let (path, keys) = (pod.path.display(), pod.keys_twice.join(", "));
        let last = first.rsplit('.').next().unwrap_or(first);
        notes.degraded(
            Kind::KeyTwice,
            format!("{path} on {node} gives {keys} twice"),
            vec!["kubelet takes the last one".to_owned()],
            Next::on(
                node,
                CommandLine::new("grep -nF")
                    .operand(format!("{last}:"))
                    .operand(path),
            )
            .note("remove the wrong one"),
        );
    }
}

/// Pods that run another etcd than the cluster's own.
fn etcds(notes: &mut Notes<'_>) {
    let (look, node) = (notes.look, notes.node());
    let Some(manifests) = look.manifests.ok() else {
        return;
    };
    let others = manifests.pods.iter().filter(|pod| pod.other_etcd);
    let others: Vec<(String, &str)> = others
        .map(|pod| (pod.path.display().to_string(), pod.pod.name.as_str()))
        .collect();
    match look
        .etcd
        .failure()
        .filter(|failure| failure.kind == FailureKind::Refused)
    {
        Some(failure) if !others.is_empty() => {
            let first = others.first().map_or("NAME", |(_, pod)| *pod);
            let next = Next::on(node, Task::Diagnose.with(Choice::Etcd, first));
            let evidence = others
                .iter()
                .map(|(path, pod)| format!("{path} runs {pod}"));
            let evidence = evidence.collect();
            notes.degraded(
                Kind::WhichEtcd,
                format!("{node}: {}", failure.message),
                evidence,
                next.note(advice![
                    Choice::Etcd,
                    " names the pod that is the cluster's own; the others are left alone"
                ]),
            );
        }
        _ => {
            for (path, pod) in others {
                notes.in_order(format!(
                    "{path} runs another etcd ({pod}): it is left alone"
                ));
            }
        }
    }
}

fn certificates(notes: &mut Notes<'_>) {
    let look = notes.look;
    let (mut expired, mut soon, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    let mut first_end = None;
    for certificate in &look.certificates {
        let path = certificate.path.display();
        let by = certificate.named_by.join(", ");
        match &certificate.dates {
            Answer::Failed(failure) => missing.push(format!("{failure} (named by {by})")),
            Answer::Ok(dates) if dates.not_after < notes.now => {
                let at = day(dates.not_after);
                expired.push((
                    certificate,
                    format!("{path} expired on {at} (used by {by})"),
                ));
            }
            Answer::Ok(dates) if dates.not_before > notes.now => {
                let at = day(dates.not_before);
                let seen =
                    format!("{path} is not good before {at} (used by {by}): is the clock right?");
                expired.push((certificate, seen));
            }
            Answer::Ok(dates) => {
                let renews_itself = certificate.named_by == [KUBELET];
                if dates.not_after.duration_since(notes.now) < SOON && !renews_itself {
                    let at = day(dates.not_after);
                    soon.push(format!("{path} expires on {at} (used by {by})"));
                }
                let end = (dates.not_after, &certificate.path);
                first_end = first_end.filter(|first| *first <= end).or(Some(end));
            }
        }
    }
    if let (Some((end, path)), true) = (first_end, expired.is_empty() && soon.is_empty()) {
        notes.in_order(format!(
            "the first certificate to expire is {}, on {}",
            path.display(),
            day(end)
        ));
    }
    let node = notes.node();
    if !expired.is_empty() {
        let next = renewal(
            node,
            &expired.iter().map(|(one, _)| *one).collect::<Vec<_>>(),
        );
        let evidence = expired.into_iter().map(|(_, seen)| seen).collect();
        let summary = format!("certificates of {node} are not good today");
        notes.degraded(Kind::CertificateExpired, summary, evidence, next);
    }
    if !missing.is_empty() {
        let next = Next::on(node, "kubeadm init phase certs all")
            .note("it makes those that are missing and keeps the others; a CA that is gone has to come from another control-plane node");
        let summary = format!("certificates that manifests of {node} name cannot be read");
        notes.degraded(Kind::CertificateMissing, summary, missing, next);
    }
    if !soon.is_empty() {
        let summary = format!("certificates of {node} expire soon");
        let next = Next::on(node, "kubeadm certs renew all");
        notes.degraded(Kind::CertificateSoon, summary, soon, next);
    }
}

fn renewal(node: &str, expired: &[&CertificateLook]) -> Next {
    if expired.iter().all(|one| one.named_by == [KUBELET]) {
        let command = CommandLine::new("kubeadm kubeconfig user --org system:nodes")
            .option("--client-name", format_args!("system:node:{node}"))
            .then("> /etc/kubernetes/kubelet.conf && systemctl restart kubelet");
        return Next::on(node, command).note("kubelet renews it by itself only while it is good");
    }
    Next::on(node, "kubeadm certs renew all")
        .note("it says afterwards which components have to be restarted")
}

fn day(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

fn images(notes: &mut Notes<'_>) {
    let look = notes.look;
    let Some(runtime) = look.runtime.ok() else {
        return;
    };
    let mut missing = Vec::new();
    for image in &runtime.images {
        let there = notes.answered(&format!("the image {}", image.name), &image.present);
        if there == Some(&false) {
            let by = image.wanted_by.join(", ");
            missing.push(format!(
                "the runtime does not have {} (for {by})",
                image.name
            ));
        }
    }
    if missing.is_empty() {
        return;
    }
    let node = notes.node();
    let summary = format!("images that manifests of {node} name are not there");
    let next = Next::on(node, Task::PullImages);
    notes.degraded(Kind::ImageMissing, summary, missing, next);
}
