//! containerd's folder with every image of a cluster unpacked in it, made once.
//!
//! Nodes get it by hard links: containerd never writes into a blob or a layer once it is there, only its databases
//! are copied. That makes a node's images free of time and space, and all nodes run the same pages of memory.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::image::{self, Member};
use super::versions::{Etcd, Kubernetes, PAUSE_IMAGE};
use super::{CONTROL_PLANE, containerd, etcd_line, kubernetes, store_part};
use crate::process::{run, success};
use crate::wait;

/// The folder for nodes of these versions, made when missing.
pub(super) fn store(kubernetes_line: Kubernetes, etcd: Etcd) -> Result<PathBuf> {
    let programs = kubernetes(kubernetes_line)?;
    let etcd_programs = etcd_line(etcd)?;
    let containerd = containerd()?;
    let folder = store_part(kubernetes_line, etcd).built(|out| {
        let pause = out.join("pause");
        fs::write(out.join("pause.c"), include_str!("pause.c"))?;
        success(
            Command::new("cc")
                .args(["-O2", "-static", "-o"])
                .arg(&pause)
                .arg(out.join("pause.c")),
        )?;
        let mut archives = vec![out.join("pause.tar")];
        image::write(
            &archives[0],
            PAUSE_IMAGE,
            "/pause",
            &[Member {
                source: &pause,
                destination: "/pause",
            }],
        )?;
        for component in CONTROL_PLANE {
            let archive = out.join(format!("{component}.tar"));
            let destination = format!("/usr/local/bin/{component}");
            let reference = format!("registry.k8s.io/{component}:{}", kubernetes_line.version());
            let source = programs.images.join(component);
            image::write(
                &archive,
                &reference,
                &destination,
                &[Member {
                    source: &source,
                    destination: &destination,
                }],
            )?;
            archives.push(archive);
        }
        let archive = out.join("etcd.tar");
        let members = [
            Member {
                source: &etcd_programs.etcd,
                destination: "/usr/local/bin/etcd",
            },
            Member {
                source: &etcd_programs.etcdctl,
                destination: "/usr/local/bin/etcdctl",
            },
            Member {
                source: &etcd_programs.etcdutl,
                destination: "/usr/local/bin/etcdutl",
            },
        ];
        let reference = format!("registry.k8s.io/etcd:{}", etcd.image_tag());
        image::write(&archive, &reference, "/usr/local/bin/etcd", &members)?;
        archives.push(archive);
        import(&containerd, out, &archives)?;
        for file in archives.iter().chain([&pause, &out.join("pause.c")]) {
            fs::remove_file(file)?;
        }
        Ok(())
    })?;
    Ok(folder.join("containerd"))
}

/// Runs a containerd of its own over the folder, for as long as it takes to import the archives.
fn import(containerd: &Path, out: &Path, archives: &[PathBuf]) -> Result<()> {
    let state = out.join("state");
    fs::create_dir_all(&state)?;
    let socket = state.join("socket");
    let mut config = format!(
        "version = 3\nroot = '{}'\nstate = '{}'\n",
        out.join("containerd").display(),
        state.display()
    );
    config.push_str("disabled_plugins = ['io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime', 'io.containerd.grpc.v1.cri']\n");
    let _ = writeln!(config, "[grpc]\n  address = '{}'", socket.display());
    fs::write(state.join("config.toml"), config)?;
    let log = fs::File::create(state.join("log"))?;
    let child = Command::new("unshare")
        .args(["--mount", "--"])
        .arg(containerd.join("containerd"))
        .arg("--config")
        .arg(state.join("config.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("cannot start unshare")?;
    let mut importer = Importer { child };
    let ctr = |args: &[&std::ffi::OsStr]| {
        let mut command = Command::new(containerd.join("ctr"));
        command
            .arg("--address")
            .arg(&socket)
            .args(["-n", "k8s.io"])
            .args(args);
        success(&mut command)
    };
    wait::until("containerd started", Duration::from_secs(30), || {
        ctr(&["version".as_ref()]).map_err(|e| {
            format!(
                "{e:#}; {}",
                fs::read_to_string(state.join("log")).unwrap_or_default()
            )
        })
    })?;
    for archive in archives {
        ctr(&["images".as_ref(), "import".as_ref(), archive.as_os_str()])?;
    }
    importer.stop()?;
    // The lock of what was mounted in its namespace is gone with the process.
    run("rm", ["-rf".as_ref(), state.as_os_str()])?;
    Ok(())
}

/// A containerd that does not outlive its import.
struct Importer {
    child: Child,
}

impl Importer {
    /// Ends it in the ordinary way, so that its databases are whole.
    fn stop(&mut self) -> Result<()> {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        wait::until_true("containerd ended", Duration::from_secs(20), || {
            matches!(self.child.try_wait(), Ok(Some(_)))
        })
    }
}

impl Drop for Importer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Copies such a folder for a node: hard links for everything but containerd's databases.
///
/// # Errors
/// When a file cannot be linked or copied.
pub(crate) fn clone_for_node(from: &Path, to: &Path) -> Result<()> {
    let mode = fs::metadata(from)?.permissions().mode();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            clone_for_node(&source, &target)?;
        } else if kind.is_file() && source.extension().is_some_and(|e| e == "db") {
            fs::copy(&source, &target)
                .with_context(|| format!("cannot copy {}", source.display()))?;
        } else {
            fs::hard_link(&source, &target)
                .with_context(|| format!("cannot link {}", source.display()))?;
        }
    }
    let meta = fs::metadata(from)?;
    std::os::unix::fs::chown(to, Some(meta.uid()), Some(meta.gid()))?;
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(mode))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_databases_are_its_own_and_the_rest_is_shared() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("blobs")).unwrap();
        fs::write(from.join("meta.db"), "db").unwrap();
        fs::write(from.join("blobs/one"), "blob").unwrap();
        clone_for_node(&from, &to).unwrap();
        let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
        assert_eq!(inode(from.join("blobs/one")), inode(to.join("blobs/one")));
        assert_ne!(inode(from.join("meta.db")), inode(to.join("meta.db")));
    }
}
