//! What clusters are made of: built once by version, kept outside the source tree, shared by all clusters.
//!
//! Each part is built in a folder beside its final one and renamed when it is whole. So a part that is there is
//! whole, and an interrupted build is finished by the next run (Go's own cache keeps what was compiled). A lock
//! keeps two builders of one part apart.

mod debian;
mod go;
mod image;
mod plugin;
mod store;
pub mod versions;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use debian::ensure as system_packages;
pub use plugin::{
    JobImage, PLUGIN_VARIABLE, datadir_example, job_image, plugin, plugin_example, shipped_plugin,
};
pub(crate) use store::clone_for_node;
use versions::{CNI, CONTAINERD, Etcd, Kubernetes};

use crate::process::say;
use crate::{lock, paths};

/// The three programs of one etcd version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdBinaries {
    /// The server.
    pub etcd: PathBuf,
    /// The client.
    pub etcdctl: PathBuf,
    /// The tool for files.
    pub etcdutl: PathBuf,
}

/// The programs of an etcd line (`3.5`, `3.6`, `3.7`, or an exact version); builds only these when missing (30 s).
///
/// # Errors
/// When there is no such line, Go is missing or the build fails.
pub fn etcd(line: &str) -> Result<EtcdBinaries> {
    etcd_line(line.parse()?)
}

/// Like [`etcd`], for a line that is known.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn etcd_line(etcd: Etcd) -> Result<EtcdBinaries> {
    let version = etcd.version();
    let folder = part(&format!("etcd-{version}"), "30 s", |out| {
        let path = |name: &str| format!("go.etcd.io/etcd/{name}/v3");
        let modules = ["server", "etcdctl", "etcdutl"].map(path);
        let module = go::Module::requiring(out, modules.iter().map(|m| (m.as_str(), version)))?;
        module.build("-s -w", "", &out.join("etcd"), &[&modules[0]])?;
        module.build(
            "-s -w",
            "",
            &out.join("tools/"),
            &[&modules[1], &modules[2]],
        )?;
        for tool in ["etcdctl", "etcdutl"] {
            fs::rename(out.join("tools").join(tool), out.join(tool))?;
        }
        Ok(fs::remove_dir(out.join("tools"))?)
    })?;
    Ok(EtcdBinaries {
        etcd: folder.join("etcd"),
        etcdctl: folder.join("etcdctl"),
        etcdutl: folder.join("etcdutl"),
    })
}

/// The image that [`etcd_3_5_0`] is an archive of.
pub const ETCD_3_5_0: &str = "registry.k8s.io/etcd:3.5.0-0";

/// An image's archive with the server of etcd 3.5.0 alone, built when missing (1 minute). It does not get over logs that later
/// ones of its line do.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn etcd_3_5_0() -> Result<PathBuf> {
    let folder = part("etcd-v3.5.0", "1 minute", |out| {
        let (server, program) = ("go.etcd.io/etcd/server/v3", out.join("etcd"));
        let module = go::Module::requiring(out, [(server, "v3.5.0")])?;
        module.build("-s -w", "", &program, &[server])?;
        let member = image::Member {
            source: &program,
            destination: "/usr/local/bin/etcd",
        };
        image::write(
            &out.join("etcd.tar"),
            ETCD_3_5_0,
            member.destination,
            &[member],
        )
    })?;
    Ok(folder.join("etcd.tar"))
}

/// The programs of a Kubernetes line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesBinaries {
    /// A folder with kubeadm, kubectl and kubelet.
    pub host: PathBuf,
    /// A folder with what runs in containers.
    pub images: PathBuf,
}

/// The control plane's programs that run in containers.
pub const CONTROL_PLANE: [&str; 3] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

/// The programs of a Kubernetes line, built when missing (6 minutes).
///
/// # Errors
/// When Go is missing or the build fails.
pub fn kubernetes(kubernetes: Kubernetes) -> Result<KubernetesBinaries> {
    let version = kubernetes.version();
    let folder = part(&format!("kubernetes-{version}"), "6 minutes", |out| {
        let module = go::Module::kubernetes(out, version)?;
        let minor = kubernetes.line().trim_start_matches("1.");
        // kubeadm refuses to work without a version.
        let v = "-X k8s.io/component-base/version";
        let flags = format!(
            "-s -w {v}.gitVersion={version} {v}.gitMajor=1 {v}.gitMinor={minor} {v}.gitTreeState=clean {v}.gitCommit=testbed"
        );
        let commands = |names: &[&str]| {
            names
                .iter()
                .map(|n| format!("k8s.io/kubernetes/cmd/{n}"))
                .collect::<Vec<_>>()
        };
        for (place, names) in [
            ("image/", CONTROL_PLANE),
            ("host/", ["kubelet", "kubeadm", "kubectl"]),
        ] {
            let packages = commands(&names);
            module.build(
                &flags,
                "",
                &out.join(place),
                &packages.iter().map(String::as_str).collect::<Vec<_>>(),
            )?;
        }
        Ok(())
    })?;
    Ok(KubernetesBinaries {
        host: folder.join("host"),
        images: folder.join("image"),
    })
}

/// kubectl of the default Kubernetes line.
///
/// # Errors
/// When Kubernetes has to be built and that fails.
pub fn kubectl() -> Result<PathBuf> {
    Ok(kubernetes(Kubernetes::V1_36)?.host.join("kubectl"))
}

/// A folder with containerd, its shim and ctr, built when missing (1 minute).
///
/// # Errors
/// When Go is missing or the build fails.
pub fn containerd() -> Result<PathBuf> {
    const PATH: &str = "github.com/containerd/containerd/v2";
    part(&format!("containerd-{CONTAINERD}"), "1 minute", |out| {
        let packages =
            ["containerd", "containerd-shim-runc-v2", "ctr"].map(|c| format!("{PATH}/cmd/{c}"));
        let module = go::Module::requiring(out, [(PATH, CONTAINERD)])?;
        let tags = "no_btrfs no_zfs no_devmapper";
        module.build(
            "-s -w",
            tags,
            &out.join("bin/"),
            &packages.each_ref().map(String::as_str),
        )
    })
    .map(|folder| folder.join("bin"))
}

/// A folder with the CNI plugins, built when missing (5 s).
///
/// # Errors
/// When Go is missing or the build fails.
pub fn cni() -> Result<PathBuf> {
    const PATH: &str = "github.com/containernetworking/plugins";
    part(&format!("cni-{CNI}"), "5 s", |out| {
        let packages = ["main/bridge", "main/loopback", "ipam/host-local"]
            .map(|p| format!("{PATH}/plugins/{p}"));
        let module = go::Module::requiring(out, [(PATH, CNI)])?;
        module.build(
            "-s -w",
            "",
            &out.join("bin/"),
            &packages.each_ref().map(String::as_str),
        )
    })
    .map(|folder| folder.join("bin"))
}

/// Debian's registry for images, fetched when missing (5 MB).
///
/// # Errors
/// When it cannot be fetched.
pub fn registry() -> Result<PathBuf> {
    of_debian("docker-registry", "docker-registry")
}

/// Debian's etcd, of line 3.4, fetched when missing (8 MB).
///
/// # Errors
/// When it cannot be fetched.
pub fn etcd_of_debian() -> Result<PathBuf> {
    of_debian("etcd-server", "etcd")
}

/// Debian's etcdctl, of line 3.4, fetched when missing (5 MB).
///
/// # Errors
/// When it cannot be fetched.
pub fn etcdctl_of_debian() -> Result<PathBuf> {
    of_debian("etcd-client", "etcdctl")
}

fn of_debian(package: &str, program: &str) -> Result<PathBuf> {
    let unpacked = part(package, "10 s", |out| debian::unpack(package, out));
    Ok(unpacked?.join("usr/bin").join(program))
}

/// What a node of these versions needs of parts.
#[derive(Debug, Clone)]
pub struct NodeParts {
    /// kubeadm, kubectl, kubelet.
    pub kubernetes: PathBuf,
    /// containerd, its shim, ctr.
    pub containerd: PathBuf,
    /// CNI plugins.
    pub cni: PathBuf,
    /// containerd's folder with the images in it, to be copied.
    pub store: PathBuf,
}

/// Everything for nodes of these versions, built when missing; missing Debian packages too.
///
/// # Errors
/// When something is missing and cannot be had.
pub fn for_nodes(kubernetes_line: Kubernetes, etcd_line: Etcd) -> Result<NodeParts> {
    system_packages()?;
    Ok(NodeParts {
        kubernetes: kubernetes(kubernetes_line)?.host,
        containerd: containerd()?,
        cni: cni()?,
        store: store::store(kubernetes_line, etcd_line)?,
    })
}

/// The folder of a part, built by the closure (in a folder of another name) when it is not there.
fn part(name: &str, takes: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let parts = paths::parts()?;
    let done = parts.join(name);
    if done.exists() {
        return Ok(done);
    }
    let _lock = lock::take(
        &format!("part-{name}"),
        &format!("waiting for another run that builds {name}"),
    )?;
    if done.exists() {
        return Ok(done);
    }
    let unfinished = parts.join(format!(".{name}.part"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)
            .with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    fs::create_dir_all(&unfinished)
        .with_context(|| format!("cannot create {}", unfinished.display()))?;
    say(&format!("building {name} (once; about {takes} on 2 cores)"));
    build(&unfinished).with_context(|| format!("cannot build {name}"))?;
    fs::rename(&unfinished, &done).with_context(|| format!("cannot create {}", done.display()))?;
    Ok(done)
}
