//! What clusters are made of: built once by version, kept outside the source tree, shared by all clusters.
//!
//! Each part is built in a folder beside its final one and renamed when it is whole. So a part that is there is
//! whole, and an interrupted build is finished by the next run (Go's own cache keeps what was compiled). A lock
//! keeps two builders of one part apart.

mod bare;
mod cargo;
mod go;
mod image;
mod part;
mod plugin;
mod progress;
mod store;
pub mod versions;

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

pub use bare::bare_machine;
pub(crate) use cargo::{cargo_command, in_workspace, script, target_folder};
pub(crate) use go::GO;
pub use part::{Part, rounded};
pub use plugin::{
    PLUGIN_VARIABLE, datadir_example, plugin, plugin_example, quick_plugin, shipped_plugin,
};
pub(crate) use store::clone_for_node;
use versions::{CNI, CONTAINERD, Etcd, Kubernetes};

use crate::debian_archive;

fn kubernetes_part(kubernetes: Kubernetes) -> Part {
    let name = format!("kubernetes-{}", kubernetes.version());
    Part::new(name, 360, 480).of_go(2500, 1000)
}

fn containerd_part() -> Part {
    Part::new(format!("containerd-{CONTAINERD}"), 90, 80).of_go(350, 150)
}

fn cni_part() -> Part {
    Part::new(format!("cni-{CNI}"), 10, 10).of_go(50, 50)
}

fn etcd_part(etcd: Etcd) -> Part {
    Part::new(format!("etcd-{}", etcd.version()), 45, 70).of_go(200, 80)
}

fn etcd_3_5_0_part() -> Part {
    Part::new("etcd-v3.5.0", 60, 50).of_go(200, 80)
}

fn store_part(kubernetes: Kubernetes, etcd: Etcd) -> Part {
    let (kubernetes, etcd) = (kubernetes.version(), etcd.version());
    Part::new(
        format!("store-kubernetes-{kubernetes}-etcd-{etcd}"),
        20,
        700,
    )
}

fn debian_part(package: &str) -> Part {
    Part::new(package, 5, 50)
}

/// The parts that nodes of these versions are made of, in the order in which they are built.
#[must_use]
pub fn of_nodes(kubernetes: Kubernetes, etcd: Etcd) -> Vec<Part> {
    vec![
        kubernetes_part(kubernetes),
        containerd_part(),
        cni_part(),
        etcd_part(etcd),
        store_part(kubernetes, etcd),
    ]
}

/// What of the test bed's packages is used without being installed.
const UNPACKED: [&str; 3] = ["docker-registry", "etcd-server", "etcd-client"];

/// The versions that tests run.
const TESTED: [(Kubernetes, Etcd); 3] = [
    (Kubernetes::V1_36, Etcd::V3_6),
    (Kubernetes::V1_33, Etcd::V3_5),
    (Kubernetes::V1_36, Etcd::V3_7),
];

/// The parts that all tests together need, each once.
#[must_use]
pub fn of_tests() -> Vec<Part> {
    let mut all: Vec<Part> = Vec::new();
    let of_lines = TESTED
        .into_iter()
        .flat_map(|(kubernetes, etcd)| of_nodes(kubernetes, etcd));
    let others = UNPACKED.into_iter().map(debian_part);
    for part in of_lines
        .chain([etcd_3_5_0_part(), bare::part()])
        .chain(others)
    {
        if !all.contains(&part) {
            all.push(part);
        }
    }
    all
}

/// Builds all parts that tests need and that are missing.
///
/// # Errors
/// When one cannot be built.
pub fn build_for_tests() -> Result<()> {
    for (kubernetes, etcd) in TESTED {
        for_nodes(kubernetes, etcd)?;
    }
    etcd_3_5_0()?;
    bare_machine()?;
    UNPACKED
        .into_iter()
        .try_for_each(|package| of_debian(package, "").map(drop))
}

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
    let folder = etcd_part(etcd).built(|out| {
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
    let folder = etcd_3_5_0_part().built(|out| {
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

/// What runs on nodes and workstations themselves.
const HOST: [&str; 3] = ["kubelet", "kubeadm", "kubectl"];

/// The programs of a Kubernetes line, built when missing (6 minutes).
///
/// # Errors
/// When Go is missing or the build fails.
pub fn kubernetes(kubernetes: Kubernetes) -> Result<KubernetesBinaries> {
    let version = kubernetes.version();
    let folder = kubernetes_part(kubernetes).built(|out| {
        let module = go::Module::kubernetes(out, version)?;
        let minor = kubernetes.line().trim_start_matches("1.");
        // kubeadm refuses to work without a version.
        let v = "-X k8s.io/component-base/version";
        let flags = format!(
            "-s -w {v}.gitVersion={version} {v}.gitMajor=1 {v}.gitMinor={minor} {v}.gitTreeState=clean {v}.gitCommit=testbed"
        );
        // All at once: what one has to wait for, as its linker, the others go on beside.
        let all = CONTROL_PLANE.iter().chain(&HOST);
        let packages: Vec<String> = all.map(|n| format!("k8s.io/kubernetes/cmd/{n}")).collect();
        let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
        module.build(&flags, "", &out.join("image/"), &packages)?;
        let (image, host) = (out.join("image"), out.join("host"));
        fs::create_dir(&host)?;
        for name in HOST {
            fs::rename(image.join(name), host.join(name))?;
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
    let folder = containerd_part().built(|out| {
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
    })?;
    Ok(folder.join("bin"))
}

/// A folder with the CNI plugins, built when missing (5 s).
///
/// # Errors
/// When Go is missing or the build fails.
pub fn cni() -> Result<PathBuf> {
    const PATH: &str = "github.com/containernetworking/plugins";
    let folder = cni_part().built(|out| {
        let packages = ["main/bridge", "main/loopback", "ipam/host-local"]
            .map(|p| format!("{PATH}/plugins/{p}"));
        let module = go::Module::requiring(out, [(PATH, CNI)])?;
        module.build(
            "-s -w",
            "",
            &out.join("bin/"),
            &packages.each_ref().map(String::as_str),
        )
    })?;
    Ok(folder.join("bin"))
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
    let unpacked = debian_part(package).built(|out| debian_archive::unpack(package, out));
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

/// Everything for nodes of these versions, built when missing. What the builds need has to be there (see [`ensure`](crate::needs::ensure)).
///
/// # Errors
/// When something is missing and cannot be had.
pub fn for_nodes(kubernetes_line: Kubernetes, etcd_line: Etcd) -> Result<NodeParts> {
    Ok(NodeParts {
        kubernetes: kubernetes(kubernetes_line)?.host,
        containerd: containerd()?,
        cni: cni()?,
        store: store::store(kubernetes_line, etcd_line)?,
    })
}
