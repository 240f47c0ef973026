//! Manifests of a control plane where kubelet does not look: in a folder that was renamed, or where somebody moved one.
//!
//! They are named to people as what may be missing. Nothing is started from them unasked.

use std::fmt::Display;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::file::ManifestFile;
use crate::failure::Failure;
use crate::limits::STAND_IN_BYTES;
use crate::root;
use crate::shell::CommandLine;

/// The components of a control plane, in the order in which they need each other.
const COMPONENTS: [&str; 4] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

/// Renames a folder; never moves it into an existing one.
const MOVE: &str = "mv -T";

/// So many entries of a folder are looked at.
const MOST_ENTRIES: usize = 500;

/// A manifest where kubelet does not look.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    /// Where it is, and what it says.
    pub file: ManifestFile,
    /// When it was last written to.
    pub modified: Option<Timestamp>,
}

impl Elsewhere {
    /// The components that it runs.
    fn components(&self) -> impl Iterator<Item = &'static str> {
        let has = |component: &&'static str| self.file.manifest.has(component);
        COMPONENTS.into_iter().filter(has)
    }
}

/// The manifests of a control plane beside the folder of the static pods, in folders with a name like its own, and where
/// `root` has its files; the newest first. Only files that nobody but root can have written.
pub fn elsewhere(root: &Path, folder: &Path) -> Vec<Elsewhere> {
    let mut found: Vec<Elsewhere> = places(root, folder)
        .iter()
        .flat_map(|place| files(root, place))
        .filter(|found| found.components().next().is_some())
        .collect();
    found.sort_by(|one, other| {
        let order = other.modified.cmp(&one.modified);
        order.then_with(|| one.file.path.cmp(&other.file.path))
    });
    found
}

/// Why the folder of the static pods cannot be read that is not there, and what leads out.
pub(super) fn lost_folder(root: &Path, folder: &Path) -> Failure {
    let shown = folder.display();
    let found = elsewhere(root, folder);
    let Some(best) = fullest(&found) else {
        let message = format!("kubelet's folder {shown} is not there");
        return Failure::missing(message).hint(format!(
            "if this is a control-plane node and the folder was moved, move it back; else {} writes the manifests anew; {ANEW}",
            anew(folder)
        ));
    };
    let names: Vec<String> = found
        .iter()
        .filter(|one| one.file.path.parent() == Some(best))
        .filter_map(|one| one.file.path.file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let (best, names) = (best.display(), names.join(", "));
    let message = format!("kubelet's folder {shown} is not there; {best} has {names}");
    Failure::missing(message).hint(back(best, shown))
}

/// What FILE is in [`anew`].
pub(crate) const ANEW: &str = "FILE is the configuration that kubeadm init was given: kubectl -n kube-system get cm kubeadm-config shows \
     it, and the newest bundle has it as kubeadm-config.yaml";

/// What makes the folder and the manifests of a control plane anew. Without a configuration kubeadm takes its own defaults:
/// other addresses, folders and flags than the cluster has.
pub(crate) fn anew(folder: &Path) -> CommandLine {
    let phases = "kubeadm init phase control-plane all --config FILE && \
         kubeadm init phase etcd local --config FILE";
    CommandLine::new("mkdir -p")
        .operand(folder.display())
        .and(&phases.into())
}

/// What moves a folder back to where kubelet looks.
pub(crate) fn back(from: impl Display, to: impl Display) -> CommandLine {
    CommandLine::new(MOVE).operand(from).operand(to)
}

/// The folder that stands in for that of the static pods, if one of these does.
pub(crate) fn stand_in(root: &Path, folder: &Path) -> Option<PathBuf> {
    fullest(&elsewhere(root, folder)).map(Path::to_owned)
}

/// Whether the folder of the static pods is not there and another one, named like it, has manifests of a control plane: it was
/// renamed.
pub(crate) fn is_renamed(root: &Path, folder: &Path) -> bool {
    let is_there = root::below(root, folder).is_ok_and(|path| path.exists());
    !is_there && stand_in(root, folder).is_some_and(|other| is_named_so(&other))
}

/// The folder with the most components; of several the one with the newest file.
fn fullest(found: &[Elsewhere]) -> Option<&Path> {
    let folders = found.iter().filter_map(|one| one.file.path.parent());
    let count = |folder: &Path| {
        let inside = found
            .iter()
            .filter(|one| one.file.path.parent() == Some(folder));
        let mut components: Vec<&str> = inside.flat_map(Elsewhere::components).collect();
        components.sort_unstable();
        components.dedup();
        components.len()
    };
    // Of equal ones the last is taken: the newest is the first of all.
    folders.rev().max_by_key(|folder| count(folder))
}

/// The folders in which is looked: what stands beside the folder, `/root`, and folders named after manifests in and beside
/// these.
fn places(root: &Path, folder: &Path) -> Vec<PathBuf> {
    let beside = folder.parent().unwrap_or(Path::new("/"));
    let home = Path::new("/root");
    let mut places = vec![beside.to_owned(), home.to_owned()];
    let above = beside.parent();
    for place in [Some(beside), above, Some(home), Some(&beside.join("tmp"))] {
        let Some(place) = place else { continue };
        let inside = entries(root, place).into_iter();
        places.extend(inside.filter(|path| is_named_so(path) && path != folder));
    }
    let mut seen = std::collections::BTreeSet::new();
    places.retain(|place| seen.insert(place.clone()));
    places
}

fn is_named_so(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.to_lowercase().contains("manifest")
}

fn files(root: &Path, place: &Path) -> Vec<Elsewhere> {
    let entries = entries(root, place).into_iter();
    entries.filter_map(|path| file(root, &path)).collect()
}

fn file(root: &Path, path: &Path) -> Option<Elsewhere> {
    let below = root::below(root, path).ok()?;
    let found = below.symlink_metadata().ok()?;
    if !found.is_file() || found.len() > STAND_IN_BYTES || !is_roots(&found) {
        return None;
    }
    Some(Elsewhere {
        modified: found
            .modified()
            .ok()
            .and_then(|time| Timestamp::try_from(time).ok()),
        file: ManifestFile::read_below(root, path).ok()?,
    })
}

/// Whether nobody but the user as whom this runs, which is root, can have written it.
fn is_roots(found: &Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o022 == 0
}

/// What is in a folder of the host, by its paths there.
fn entries(root: &Path, folder: &Path) -> Vec<PathBuf> {
    let read = root::below(root, folder).and_then(std::fs::read_dir);
    let entries = read.into_iter().flatten().flatten().take(MOST_ENTRIES);
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| folder.join(entry.file_name()))
        .collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::failure::FailureKind;

    const ETCD: &str = include_str!("../../tests/manifests/kubeadm-1.36-etcd.yaml");
    const APISERVER: &str = include_str!("../../tests/manifests/kubeadm-1.36-kube-apiserver.yaml");
    const FOLDER: &str = "/etc/kubernetes/manifests";

    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path.trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        }
        root
    }

    #[test]
    fn a_folder_that_was_renamed_is_found_wherever_it_is() {
        for renamed in [
            "/etc/kubernetes/manifests.bak",
            "/etc/kubernetes/manifests-old",
            "/root/manifests",
            "/etc/manifests.bak",
            "/etc/kubernetes/old-manifests",
        ] {
            let root = host(&[
                (&format!("{renamed}/etcd.yaml"), ETCD),
                (&format!("{renamed}/kube-apiserver.yaml"), APISERVER),
                (&format!("{renamed}/notes.txt"), "text"),
                ("/root/etcd.yaml", ETCD),
            ]);
            let failure = lost_folder(root.path(), Path::new(FOLDER));
            let message = format!("kubelet's folder {FOLDER} is not there; {renamed} has ");
            assert!(failure.message.starts_with(&message), "{failure}");
            assert!(failure.message.contains("kube-apiserver.yaml"), "{failure}");
            assert_eq!(
                failure.hint.unwrap().written(),
                format!("mv -T {renamed} {FOLDER}")
            );
            assert!(is_renamed(root.path(), Path::new(FOLDER)));
        }
    }

    #[test]
    fn a_manifest_that_lies_around_is_no_renamed_folder() {
        let root = host(&[("/root/etcd.yaml", ETCD)]);
        assert!(!is_renamed(root.path(), Path::new(FOLDER)));
        let root = host(&[
            ("/etc/kubernetes/manifests/kube-proxy.yaml", "kind: Pod\n"),
            ("/etc/kubernetes/manifests.old/etcd.yaml", ETCD),
        ]);
        assert!(!is_renamed(root.path(), Path::new(FOLDER)));
    }

    #[test]
    fn a_folder_that_is_nowhere_is_told_with_what_makes_it_anew() {
        let root = host(&[("/etc/kubernetes/pki/ca.key", "x")]);
        let failure = lost_folder(root.path(), Path::new(FOLDER));
        assert_eq!(failure.kind, FailureKind::Missing);
        let hint = failure.hint.unwrap().written();
        for phase in ["control-plane all", "etcd local"] {
            let phase = format!("kubeadm init phase {phase} --config FILE");
            assert!(hint.contains(&phase), "{hint}");
        }
        assert!(hint.ends_with("kubeadm-config.yaml"), "{hint}");
    }

    #[test]
    fn what_somebody_else_may_have_written_is_not_named() {
        let root = host(&[("/root/etcd.yaml", ETCD), ("/root/link-target", ETCD)]);
        let path = root.path().join("root/etcd.yaml");
        assert_eq!(elsewhere(root.path(), Path::new(FOLDER)).len(), 2);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
        assert_eq!(elsewhere(root.path(), Path::new(FOLDER)).len(), 1);
        std::os::unix::fs::symlink("/root/link-target", root.path().join("root/a.yaml")).unwrap();
        assert_eq!(elsewhere(root.path(), Path::new(FOLDER)).len(), 2);
    }

    #[test]
    fn kubeadms_own_copies_are_found_and_other_files_are_not() {
        let kubeadm = "/etc/kubernetes/tmp/kubeadm-backup-manifests-2026-11-20-21-00-00";
        let root = host(&[
            (&format!("{kubeadm}/etcd.yaml"), ETCD),
            ("/etc/kubernetes/pki/etcd.yaml", ETCD),
            (
                "/root/deployment.yaml",
                "kind: Pod\nspec: {containers: [{name: web}]}\n",
            ),
        ]);
        let found = elsewhere(root.path(), Path::new(FOLDER));
        let paths: Vec<_> = found.iter().map(|one| one.file.path.clone()).collect();
        assert_eq!(paths, [Path::new(kubeadm).join("etcd.yaml")]);
    }
}
