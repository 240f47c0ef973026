//! The one list of what each kind of work needs.

use super::Work;
use super::debian::{KnownBy, Package};
use super::permissions::Permission;

/// One thing that has to be there, beside Linux on x86-64 and root.
#[derive(Debug, Clone, Copy)]
pub(super) enum Need {
    /// A Debian package, or what another distribution has in its place.
    Package(&'static Package),
    /// Go, of a version that builds Kubernetes.
    Go,
    /// Go modules, when a part of a cluster has to be built.
    ModuleProxy,
    /// The crates of the workspace, fetched when they are not here.
    Crates,
    /// Memory for clusters and builds.
    Memory,
    /// Room for what has to be built.
    Disk,
    /// Something that the kernel, or the container around this command, has to permit.
    Permission(Permission),
}

/// What the work needs, in the order in which it is told.
pub(super) fn needs(work: Work) -> Vec<Need> {
    let packages = PACKAGES.iter().filter(|package| package.from <= work);
    let mut needs: Vec<Need> = packages.map(Need::Package).collect();
    needs.extend([Need::Go, Need::Memory, Need::Disk]);
    needs.extend(Permission::ALL.map(Need::Permission));
    needs.push(Need::ModuleProxy);
    if work >= Work::Plugin {
        needs.push(Need::Crates);
    }
    needs
}

const fn program(name: &'static str, known_by: &'static str, from: Work) -> Package {
    Package {
        name,
        known_by: KnownBy::Program(known_by),
        from,
    }
}

const fn file(name: &'static str, known_by: &'static str, from: Work) -> Package {
    Package {
        name,
        known_by: KnownBy::File(known_by),
        from,
    }
}

/// Packages by their Debian names. Go and Rust are not among them: Debian's are too old, and the README asks for both.
const PACKAGES: [Package; 21] = [
    // The pause container is C, and so are parts of crates. Who has Rust has these, as its linker.
    program("gcc", "cc", Work::Cluster),
    file("libc6-dev", "/usr/include/stdio.h", Work::Cluster),
    file(
        "ca-certificates",
        "/etc/ssl/certs/ca-certificates.crt",
        Work::Cluster,
    ),
    // Nodes share this machine's programs.
    program("runc", "runc", Work::Cluster),
    program("systemd", "systemd", Work::Cluster),
    program("openssh-server", "sshd", Work::Cluster),
    program("openssh-client", "ssh", Work::Cluster),
    program("sudo", "sudo", Work::Cluster),
    program("iproute2", "ip", Work::Cluster),
    program("util-linux", "nsenter", Work::Cluster),
    program("mount", "mount", Work::Cluster),
    program("procps", "pkill", Work::Cluster),
    // The build script of the crate `etcd-client` compiles etcd's own definitions, which include standard files.
    program("protobuf-compiler", "protoc", Work::Plugin),
    file(
        "libprotobuf-dev",
        "/usr/include/google/protobuf/descriptor.proto",
        Work::Plugin,
    ),
    // Bundles of snapshots are opened as people open them.
    program("tar", "tar", Work::Tests),
    program("zstd", "zstd", Work::Tests),
    // libFuzzer, for what runs beside the tests.
    program("g++", "g++", Work::Tests),
    // The job image, and programs that are made smaller before they are packed.
    program("buildah", "buildah", Work::Tests),
    program("binutils", "strip", Work::Tests),
    // Programs that are taken out of packages which are not installed: a registry for images, etcd 3.4.
    program("apt", "apt-get", Work::Tests),
    // The root of a machine that has nothing.
    program("debootstrap", "debootstrap", Work::Tests),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn packages(work: Work) -> BTreeSet<&'static str> {
        let name = |need| match need {
            Need::Package(package) => Some(package.name),
            _ => None,
        };
        needs(work).into_iter().filter_map(name).collect()
    }

    #[test]
    fn each_kind_of_work_needs_what_the_smaller_ones_need() {
        let [cluster, plugin, tests] = [Work::Cluster, Work::Plugin, Work::Tests].map(packages);
        assert!(cluster.is_subset(&plugin) && plugin.is_subset(&tests));
        assert!(cluster.contains("runc") && !cluster.contains("protobuf-compiler"));
        assert!(plugin.contains("protobuf-compiler") && plugin.contains("libprotobuf-dev"));
        assert!(tests.contains("debootstrap") && !plugin.contains("debootstrap"));
    }
}
