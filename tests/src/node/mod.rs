//! One node: a machine of its own as far as Kubernetes can tell.

mod boot;
pub(crate) mod disk;
mod etcd_disk;

use std::ffi::OsStr;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::cgroup::Groups;
use crate::limits;
use crate::network::{self, Slot};
use crate::parts::NodeParts;
use crate::process::{self, Output, ProcessId};
use crate::wait;

/// The search path of programs on a node.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One control-plane node of a cluster.
#[derive(Debug, Clone)]
pub struct Node {
    name: String,
    index: u8,
    slot: Slot,
    /// The cluster's namespaces and groups begin with this; the switch is called so.
    prefix: String,
    folder: PathBuf,
    groups: Groups,
    parts: NodeParts,
}

/// A process on a node, as this machine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number on this machine (not the one it has on the node).
    pub pid: u32,
    /// Its arguments, the program first.
    pub args: Vec<String>,
}

impl Process {
    /// The program's name without its folder.
    #[must_use]
    pub fn program(&self) -> &str {
        self.args
            .first()
            .map_or("", |a| a.rsplit('/').next().unwrap_or(a))
    }
}

impl Node {
    pub(crate) fn new(
        cluster: &Path,
        prefix: &str,
        slot: Slot,
        index: u8,
        parts: &NodeParts,
    ) -> Result<Self> {
        let name = format!("m{index}");
        Ok(Self {
            groups: Groups::named(&format!("{prefix}-{name}"))?,
            folder: cluster.join(&name),
            name,
            index,
            slot,
            prefix: prefix.to_owned(),
            parts: parts.clone(),
        })
    }

    /// Its name in Kubernetes: m1, m2, …
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number: 1 for m1.
    #[must_use]
    pub fn index(&self) -> u8 {
        self.index
    }

    /// Its address.
    #[must_use]
    pub fn ip(&self) -> Ipv4Addr {
        self.slot.master(self.index)
    }

    /// The name of its network namespace, as in `ip netns`.
    #[must_use]
    pub fn network(&self) -> String {
        format!("{}-{}", self.prefix, self.name)
    }

    /// The name of the namespace its cable leads to.
    pub(crate) fn switch(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.folder.join("disk")
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a file of the node is on this machine, whether the node is on or off: `/etc/kubernetes/manifests`, say.
    ///
    /// Only `/etc`, `/opt`, `/root`, `/tmp` and `/var` are a node's own. While `/var/lib/etcd` has a disk of its own
    /// (see [`Node::limit_etcd_disk`]) and the node is on, the path leads there.
    ///
    /// # Panics
    /// When the path is not in one of these folders.
    #[must_use]
    pub fn path(&self, on_node: &str) -> PathBuf {
        let inside = on_node.trim_start_matches('/');
        let own = inside
            .split('/')
            .next()
            .is_some_and(|first| disk::OWN.contains(&first));
        assert!(
            on_node.starts_with('/') && own,
            "{on_node} is not on a disk of the node's own"
        );
        let own_disk = inside.starts_with("var/lib/etcd") && self.etcd_disk_limit().is_some();
        if let Some(init) = own_disk.then(|| self.init().ok()).flatten() {
            return PathBuf::from(format!("/proc/{init}/root")).join(inside);
        }
        self.disk().join(inside)
    }

    /// Makes its disk and network; it is off then.
    pub(crate) fn create(&self) -> Result<()> {
        let disk = self.disk();
        fs::create_dir_all(&disk)?;
        disk::create(&disk, &self.name, self.ip())?;
        self.create_around_disk()
    }

    /// What a node needs beside a disk that is there: images, a place for programs, a network.
    pub(crate) fn create_around_disk(&self) -> Result<()> {
        disk::add_images(&self.disk(), &self.parts)?;
        for folder in ["programs", "programs.work"] {
            fs::create_dir_all(self.folder.join(folder))?;
        }
        network::plug_in(
            &self.prefix,
            &self.network(),
            &self.name,
            self.slot,
            self.ip(),
        )
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("process.json")
    }

    fn holder(&self) -> Option<ProcessId> {
        let text = fs::read(self.pid_file()).ok()?;
        serde_json::from_slice::<ProcessId>(&text)
            .ok()
            .filter(ProcessId::alive)
    }

    /// The number, on this machine, of the node's first process.
    pub(crate) fn init(&self) -> Result<u32> {
        let holder = self
            .holder()
            .with_context(|| format!("{} is off", self.name))?
            .pid;
        let children = fs::read_to_string(format!("/proc/{holder}/task/{holder}/children"));
        let first = children
            .ok()
            .and_then(|c| c.split_whitespace().next().and_then(|p| p.parse().ok()));
        first.with_context(|| format!("{} is off", self.name))
    }

    /// Whether the power is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.init().is_ok()
    }

    /// When it was last powered on, in seconds since 1970; `None` when it never was.
    pub(crate) fn powered_on(&self) -> Option<i64> {
        let time = fs::metadata(self.pid_file()).ok()?.modified().ok()?;
        i64::try_from(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs()).ok()
    }

    /// Powers it on; returns when systemd and containerd are up. Kubelet and the pods follow (see
    /// [`Cluster::wait_ready`](crate::Cluster::wait_ready)).
    ///
    /// # Errors
    /// When it is on already or does not come up within 60 s, with what it said.
    pub fn power_on(&self) -> Result<()> {
        if self.is_on() {
            bail!("{} is on already", self.name);
        }
        limits::ensure()?;
        self.groups.destroy()?;
        let holder = boot::start(&boot::Boot {
            name: &self.name,
            folder: &self.folder,
            network: &self.network(),
            parts: &self.parts,
            groups: &self.groups,
            extra: &self.mounting_etcd_disk(),
        })?;
        fs::write(self.pid_file(), serde_json::to_vec(&holder)?)?;
        wait::until(
            &format!("{} powered on", self.name),
            Duration::from_secs(60),
            || {
                if !holder.alive() {
                    return Err(format!("it ended: {}", boot::log(&self.folder)));
                }
                let state = self
                    .run(["systemctl", "is-active", "containerd", "sshd"])
                    .map_err(|e| format!("{e:#}"))?;
                // Its exit code is 0 when one of them is active.
                if state.stdout == "active\nactive\n" {
                    Ok(())
                } else {
                    Err(format!(
                        "containerd, sshd: {}; {}",
                        state.stdout,
                        boot::log(&self.folder)
                    ))
                }
            },
        )
    }

    /// Cuts its power: everything in it dies at once, its disk stays. Nothing is done when it is off.
    ///
    /// What was written stays written, as this machine's page cache survives; torn writes have to be made by
    /// [`Node::damage`] and [`Node::cut`].
    ///
    /// # Errors
    /// When something of it is still there after 30 s.
    pub fn power_off(&self) -> Result<()> {
        if self.etcd_disk_limit().is_some() && self.is_on() {
            self.keep_etcd_disk()?;
        }
        if let Some(init) = self
            .init()
            .ok()
            .and_then(|p| i32::try_from(p).ok())
            .and_then(Pid::from_raw)
        {
            // With a namespace's first process die all others in it.
            let _ = kill_process(init, Signal::KILL);
        }
        self.groups.destroy()
    }

    /// Stops every process where it stands; the node's addresses go on taking packets that nobody answers.
    ///
    /// # Errors
    /// When it is off or does not stop within 10 s.
    pub fn freeze(&self) -> Result<()> {
        self.groups.freeze(true)
    }

    /// Lets a frozen node go on.
    ///
    /// # Errors
    /// When it is off or does not go on within 10 s.
    pub fn thaw(&self) -> Result<()> {
        self.groups.freeze(false)
    }

    /// A command to be run on the node as root, in `/root`, with a clean environment; it is in the node's groups.
    ///
    /// # Errors
    /// When the node is off.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<Command> {
        let init = self.init()?.to_string();
        let enter = format!(
            "{}exec nsenter -t \"$0\" -n -m -p -u -i -C env -i -C /root \"$@\"",
            self.groups.entering()
        );
        let mut command = Command::new("sh");
        command.args([
            "-ec",
            &enter,
            &init,
            "HOME=/root",
            "USER=root",
            &format!("PATH={PATH}"),
            "LANG=C.UTF-8",
        ]);
        if let Some(term) = std::env::var_os("TERM") {
            command.arg(format!("TERM={}", term.display()));
        }
        command.args(args);
        Ok(command)
    }

    /// Runs a command on the node to its end.
    ///
    /// # Errors
    /// When the node is off; a failing exit code is no error here.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<Output> {
        process::output(&mut self.command(args)?)
    }

    /// Puts a program of this machine into the node's `/usr/local/bin`; it stays there over reboots.
    ///
    /// # Errors
    /// When the node is off or the program cannot be read.
    pub fn install(&self, program: &Path, name: &str) -> Result<()> {
        let file = fs::File::open(program)
            .with_context(|| format!("cannot read {}", program.display()))?;
        let script = "cat > \"$1.new\" && chmod 755 \"$1.new\" && mv \"$1.new\" \"$1\"";
        let status = self
            .command(["sh", "-c", script, "sh", &format!("/usr/local/bin/{name}")])?
            .stdin(Stdio::from(file))
            .status()?;
        if !status.success() {
            bail!("cannot install {name} on {}", self.name);
        }
        Ok(())
    }

    /// Loads an image archive (docker or OCI) into its containerd, for kubelet's pods.
    ///
    /// # Errors
    /// When the node is off or containerd refuses the archive.
    pub fn load_image(&self, archive: &Path) -> Result<()> {
        let copy = self.path("/tmp/image.tar");
        fs::copy(archive, &copy).with_context(|| format!("cannot copy {}", archive.display()))?;
        let done = self.run(["ctr", "-n", "k8s.io", "images", "import", "/tmp/image.tar"]);
        drop(fs::remove_file(&copy));
        done?.success().map(drop)
    }

    /// Every process on the node, containers' too.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        let args = |pid: u32| {
            let text = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let text = String::from_utf8_lossy(&text).into_owned();
            let args: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
            (!args.is_empty()).then_some(Process { pid, args })
        };
        self.groups
            .processes()
            .into_iter()
            .filter_map(args)
            .collect()
    }
}
