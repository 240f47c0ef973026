//! The files of a control-plane node that a rebuild needs.

mod tree;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::BundleParts;
use super::segment::Segment;
use crate::kubelet;
use crate::local;
use crate::manifest::Selection;
use crate::report::MASTERS;
use tree::Tree;

/// kubelet's configuration and how it is started, as kubeadm and the distributions' packages lay it down. None of these has
/// to be there.
const KUBELET: [&str; 9] = [
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/instance-config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
    "/etc/default/kubelet",
    "/etc/sysconfig/kubelet",
    "/etc/systemd/system/kubelet.service",
    "/etc/systemd/system/kubelet.service.d",
    "/usr/lib/systemd/system/kubelet.service",
    "/usr/lib/systemd/system/kubelet.service.d",
];

/// Where kubeadm puts certificates, keys and kubeconfigs, and kubelet its own.
const PKI: [&str; 2] = ["/etc/kubernetes", "/var/lib/kubelet/pki"];

/// kubeadm's backups of whole etcd data directories: nothing of that size belongs into a bundle.
const NOT_PKI: &str = "/etc/kubernetes/tmp";

/// The largest file that is taken. Manifests and certificates have a few KiB.
pub(crate) const LARGEST: u64 = 1 << 20;

/// What is taken of one node: as readers take at most 10,000 files and 256 MiB beside the database, five nodes have room.
pub(crate) const MOST_FILES: usize = 1900;
pub(crate) const MOST_BYTES: u64 = 48 << 20;

/// Puts the node's files into a segment. What cannot be read is noted there, and is no error.
///
/// # Errors
/// As writing.
pub(crate) fn pack<W: Write>(
    segment: Segment<W>,
    node: &str,
    parts: &BundleParts,
) -> io::Result<Segment<W>> {
    let mut segment = segment;
    let inside = |path: &Path| {
        let below = path.strip_prefix("/").unwrap_or(path);
        format!("{MASTERS}/{node}/{}", below.display())
    };
    let tree = match Tree::open(&parts.root) {
        Ok(tree) => tree,
        Err(error) => {
            let contents = segment.contents();
            contents.leave_out(inside(Path::new("/")), error.to_string());
            return Ok(segment);
        }
    };
    let (wanted, problems) = wanted(&tree, parts);
    for (path, why) in problems {
        segment.contents().leave_out(text(&inside(&path)), why);
    }
    let mut bytes = 0;
    for (number, path) in wanted.iter().enumerate() {
        // Whoever reads a bundle refuses such names, and all of the bundle with them.
        if path
            .to_str()
            .is_none_or(|path| path.contains(char::is_control))
        {
            let contents = segment.contents();
            contents.leave_out(text(&inside(path)), "its name is not text");
            continue;
        }
        if number >= MOST_FILES || bytes > MOST_BYTES {
            let why = format!("with it there are too many files: {} in all", wanted.len());
            segment.contents().leave_out(inside(path), why);
            break;
        }
        match tree.read(path, LARGEST) {
            Ok(Some(file)) => {
                bytes += file.bytes.len() as u64;
                segment = segment.small(&inside(path), &file.bytes, file.attributes)?;
            }
            Ok(None) => segment.contents().leave_out(inside(path), "it is no file"),
            Err(error) => segment
                .contents()
                .leave_out(inside(path), error.to_string()),
        }
    }
    Ok(segment)
}

/// A path as it can be shown.
fn text(path: &str) -> String {
    path.replace(char::is_control, "?")
}

/// The paths on the node, and what could not be looked for.
fn wanted(tree: &Tree, parts: &BundleParts) -> (BTreeSet<PathBuf>, Vec<(PathBuf, String)>) {
    let mut wanted = BTreeSet::new();
    let mut problems = Vec::new();
    let mut add = |path: &Path, needed: bool| match tree.files_below(path, Path::new(NOT_PKI)) {
        Ok(files) => wanted.extend(files),
        Err(error) if !needed && error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => problems.push((path.to_owned(), error.to_string())),
    };
    add(&kubelet::manifests_folder(&parts.root), true);
    for path in KUBELET {
        add(Path::new(path), false);
    }
    if parts.pki {
        for path in PKI {
            add(Path::new(path), false);
        }
        match local::host_at(&parts.root, &Selection::default()) {
            // The apiserver's encryption configuration and audit policy among them.
            Ok(host) => host.named_paths.iter().for_each(|path| add(path, true)),
            Err(failure) => problems.push((PathBuf::from("/etc/kubernetes"), failure.message)),
        }
    }
    (wanted, problems)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::pack::Level;
    use crate::report::Contents;

    const APISERVER: &str = "
kind: Pod
metadata: {name: kube-apiserver}
spec:
  containers:
  - name: kube-apiserver
    command: [kube-apiserver, --encryption-provider-config=/keys/enc.yaml, --etcd-cafile=/etc/kubernetes/pki/ca.crt]
    volumeMounts: [{name: k, mountPath: /keys}, {name: p, mountPath: /etc/kubernetes/pki}]
  volumes:
  - {name: k, hostPath: {path: /srv/keys}}
  - {name: p, hostPath: {path: /etc/kubernetes/pki}}
";

    fn host() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("proc/sys/kernel/hostname", "cp-1"),
            ("etc/kubernetes/manifests/kube-apiserver.yaml", APISERVER),
            ("etc/kubernetes/manifests/.hidden", "x"),
            ("etc/kubernetes/pki/ca.crt", "ca"),
            ("etc/kubernetes/pki/ca.key", "key"),
            ("etc/kubernetes/admin.conf", "conf"),
            (
                "etc/kubernetes/tmp/kubeadm-backup-etcd-1/etcd/member/snap/db",
                "large",
            ),
            ("var/lib/kubelet/config.yaml", "kind: KubeletConfiguration"),
            ("var/lib/kubelet/pki/kubelet-1.pem", "pem"),
            (
                "etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
                "unit",
            ),
            ("srv/keys/enc.yaml", "keys"),
            ("secret/of/nobody", "outside"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let pki = root.path().join("var/lib/kubelet/pki");
        symlink(
            "/var/lib/kubelet/pki/kubelet-1.pem",
            pki.join("kubelet-client-current.pem"),
        )
        .unwrap();
        fs::set_permissions(
            root.path().join("etc/kubernetes/pki/ca.key"),
            fs::Permissions::from_mode(0o600),
        )
        .unwrap();
        root
    }

    fn contents(root: &Path, pki: bool) -> Contents {
        let parts = BundleParts {
            top: "b".into(),
            level: Level::default(),
            pki,
            root: root.to_owned(),
        };
        let segment = Segment::begin(io::sink(), "b", parts.level).unwrap();
        pack(segment, "cp-1", &parts).unwrap().finish().unwrap().1
    }

    fn paths(contents: &Contents) -> Vec<&str> {
        contents
            .files
            .iter()
            .map(|file| file.path.as_str())
            .collect()
    }

    #[test]
    fn without_keys_there_are_manifests_and_kubelets_configuration() {
        let root = host();
        let contents = contents(root.path(), false);
        assert_eq!(
            paths(&contents),
            [
                "masters/cp-1/etc/kubernetes/manifests/kube-apiserver.yaml",
                "masters/cp-1/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
                "masters/cp-1/var/lib/kubelet/config.yaml",
            ]
        );
        assert_eq!(contents.left_out, []);
        assert!(!contents.summary().pki);
    }

    #[test]
    fn a_folder_that_is_a_link_is_taken_and_circles_end() {
        let root = host();
        fs::rename(
            root.path().join("etc/kubernetes/pki"),
            root.path().join("srv/pki"),
        )
        .unwrap();
        symlink("/srv/pki", root.path().join("etc/kubernetes/pki")).unwrap();
        symlink("/etc/kubernetes", root.path().join("srv/pki/circle")).unwrap();
        symlink("/nowhere", root.path().join("srv/pki/gone")).unwrap();
        let contents = contents(root.path(), true);
        assert!(paths(&contents).contains(&"masters/cp-1/etc/kubernetes/pki/ca.key"));
        let left: Vec<_> = contents
            .left_out
            .iter()
            .map(|one| one.path.as_str())
            .collect();
        assert_eq!(left, ["masters/cp-1/etc/kubernetes/pki/gone"]);
        let summary = contents.summary();
        assert!(summary.pki && summary.nodes == ["cp-1"]);
    }

    #[test]
    fn what_a_flag_names_and_is_not_there_is_said() {
        let root = host();
        fs::remove_file(root.path().join("srv/keys/enc.yaml")).unwrap();
        let contents = contents(root.path(), true);
        assert_eq!(contents.left_out[0].path, "masters/cp-1/srv/keys/enc.yaml");
    }

    #[test]
    fn with_keys_there_is_what_flags_name_wherever_it_lies() {
        let root = host();
        let contents = contents(root.path(), true);
        assert_eq!(
            paths(&contents),
            [
                "masters/cp-1/etc/kubernetes/admin.conf",
                "masters/cp-1/etc/kubernetes/manifests/kube-apiserver.yaml",
                "masters/cp-1/etc/kubernetes/pki/ca.crt",
                "masters/cp-1/etc/kubernetes/pki/ca.key",
                "masters/cp-1/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
                "masters/cp-1/srv/keys/enc.yaml",
                "masters/cp-1/var/lib/kubelet/config.yaml",
                "masters/cp-1/var/lib/kubelet/pki/kubelet-1.pem",
                "masters/cp-1/var/lib/kubelet/pki/kubelet-client-current.pem",
            ]
        );
    }

    #[test]
    fn what_cannot_be_taken_is_said() {
        let root = host();
        let pki = root.path().join("etc/kubernetes/pki");
        fs::write(pki.join("huge"), vec![0; 2 << 20]).unwrap();
        fs::write(pki.join("a\nb"), "x").unwrap();
        fs::write(pki.join(OsStr::from_bytes(b"\xff")), "x").unwrap();
        symlink("../../../../../../secret/of/nobody", pki.join("up")).unwrap();
        let contents = contents(root.path(), true);
        let left: Vec<_> = contents
            .left_out
            .iter()
            .map(|one| one.path.as_str())
            .collect();
        let pki = "masters/cp-1/etc/kubernetes/pki";
        assert_eq!(
            left,
            [
                format!("{pki}/a?b"),
                format!("{pki}/huge"),
                format!("{pki}/\u{fffd}")
            ]
        );
        // A link is followed inside the node's root, wherever it points to.
        assert!(paths(&contents).contains(&"masters/cp-1/etc/kubernetes/pki/up"));
        fs::remove_dir_all(root.path().join("etc/kubernetes/manifests")).unwrap();
        assert!(
            !super::tests::contents(root.path(), false)
                .left_out
                .is_empty()
        );
    }
}
