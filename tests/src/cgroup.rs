//! The control groups of one node.
//!
//! Every node needs a subtree of its own in every hierarchy. Without that each kubelet reads and cleans up the
//! others' groups. A node's groups are also what its processes are found by, from outside.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// One mounted hierarchy of this machine: version 1 has several, version 2 one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    mounted_at: PathBuf,
    version_2: bool,
    /// What `mount -o` needs to mount the same hierarchy again.
    options: String,
}

/// The groups of one node, in every hierarchy.
#[derive(Debug, Clone)]
pub struct Groups {
    hierarchies: Vec<Hierarchy>,
    name: String,
}

impl Groups {
    /// The groups with this name on this machine; makes nothing.
    ///
    /// # Errors
    /// When this machine's mounts cannot be read or hold no control groups.
    pub fn named(name: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")
            .context("cannot read /proc/self/mountinfo")?;
        let hierarchies = parse(&mounts);
        if hierarchies.is_empty() {
            bail!("no control groups are mounted on this machine");
        }
        Ok(Self {
            hierarchies,
            name: name.to_owned(),
        })
    }

    fn folders(&self) -> impl Iterator<Item = PathBuf> {
        self.hierarchies
            .iter()
            .map(|h| h.mounted_at.join(&self.name))
    }

    /// Makes the groups.
    ///
    /// # Errors
    /// When a group cannot be made.
    pub fn create(&self) -> Result<()> {
        for hierarchy in &self.hierarchies {
            if hierarchy.version_2 {
                enable_controllers(&hierarchy.mounted_at);
            }
            let folder = hierarchy.mounted_at.join(&self.name);
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
            // A group weighs as much as one process beside it, however many are in it: a node beside a build would
            // stand still, and its cluster fall apart.
            for (file, weight) in [("cpu.shares", "4096"), ("cpu.weight", "400")] {
                let file = folder.join(file);
                if file.exists() {
                    fs::write(&file, weight)
                        .with_context(|| format!("cannot write {}", file.display()))?;
                }
            }
            // A cpuset group of version 1 takes no process before it has processors and memory.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let (from, to) = (hierarchy.mounted_at.join(file), folder.join(file));
                if !hierarchy.version_2 && from.exists() {
                    let value = fs::read_to_string(&from)?;
                    fs::write(&to, value)
                        .with_context(|| format!("cannot write {}", to.display()))?;
                }
            }
        }
        Ok(())
    }

    /// Limits the memory of what runs in the groups, pages of files it reads among it.
    ///
    /// # Errors
    /// When this machine has no control group for memory.
    pub fn limit_memory(&self, bytes: u64) -> Result<()> {
        let file = self
            .folders()
            .flat_map(|folder| {
                ["memory.max", "memory.limit_in_bytes"].map(|file| folder.join(file))
            })
            .find(|file| file.exists())
            .context("no control group limits memory on this machine")?;
        fs::write(&file, bytes.to_string())
            .with_context(|| format!("cannot write {}", file.display()))
    }

    /// Shell lines by which the shell that runs them enters the groups.
    #[must_use]
    pub fn entering(&self) -> String {
        self.folders().fold(String::new(), |mut script, folder| {
            let _ = writeln!(script, "echo $$ > '{}/cgroup.procs'", folder.display());
            script
        })
    }

    /// Shell lines that mount the hierarchies afresh, for a process in a cgroup namespace: it then sees its own
    /// groups as the root, as on a machine of its own.
    #[must_use]
    pub fn mounting(&self) -> String {
        let mut script = "umount -R /sys/fs/cgroup\n".to_owned();
        if let [
            Hierarchy {
                version_2: true, ..
            },
        ] = self.hierarchies.as_slice()
        {
            script.push_str("mount -t cgroup2 cgroup2 /sys/fs/cgroup\n");
            return script;
        }
        script.push_str("mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup\n");
        for h in &self.hierarchies {
            let at = h.mounted_at.display();
            let kind = if h.version_2 {
                "cgroup2 cgroup2".to_owned()
            } else {
                format!("cgroup -o {} cgroup", h.options)
            };
            let _ = writeln!(script, "mkdir -p {at} && mount -t {kind} {at}");
            // Hosts that mount several controllers together have a link for each of them.
            for single in h
                .options
                .split(',')
                .filter(|_| !h.version_2 && h.options.contains(','))
            {
                let _ = writeln!(script, "ln -sfn {at} /sys/fs/cgroup/{single}");
            }
        }
        script
    }

    /// All processes in the groups, as this machine numbers them.
    #[must_use]
    pub fn processes(&self) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        for folder in self.folders() {
            collect_processes(&folder, &mut found);
        }
        found
    }

    /// Stops every process where it stands, or lets all go on.
    ///
    /// # Errors
    /// When the groups do not exist or do not get there within 10 s.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let limit = Duration::from_secs(10);
        let folders: Vec<PathBuf> = self.folders().collect();
        if let Some(file) = folders
            .iter()
            .map(|f| f.join("freezer.state"))
            .find(|f| f.exists())
        {
            let wanted = if frozen { "FROZEN" } else { "THAWED" };
            return wait::until("node frozen or thawed", limit, || {
                // A process that forks meanwhile can slip through: the state is asked for again until it is reached.
                fs::write(&file, wanted).map_err(|e| e.to_string())?;
                let state = fs::read_to_string(&file).map_err(|e| e.to_string())?;
                if state.trim() == wanted {
                    Ok(())
                } else {
                    Err(state)
                }
            });
        }
        let Some(folder) = folders.iter().find(|f| f.join("cgroup.freeze").exists()) else {
            bail!("{} has no freezer: is the node on?", self.name);
        };
        fs::write(folder.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
        let wanted = if frozen { "frozen 1" } else { "frozen 0" };
        wait::until("node frozen or thawed", limit, || {
            let events =
                fs::read_to_string(folder.join("cgroup.events")).map_err(|e| e.to_string())?;
            if events.lines().any(|l| l == wanted) {
                Ok(())
            } else {
                Err(events)
            }
        })
    }

    /// Kills every process in the groups and removes them. Nothing is done where there is nothing.
    ///
    /// # Errors
    /// When processes or groups are still there after 30 s.
    pub fn destroy(&self) -> Result<()> {
        if !self.folders().any(|f| f.exists()) {
            return Ok(());
        }
        // A frozen process of version 1 does not die.
        if self
            .folders()
            .any(|f| f.join("freezer.state").exists() || f.join("cgroup.freeze").exists())
        {
            drop(self.freeze(false));
        }
        wait::until("control groups removed", Duration::from_secs(30), || {
            let left = self.processes();
            for pid in &left {
                if let Some(pid) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            for folder in self.folders() {
                remove_groups(&folder);
            }
            if self.folders().any(|f| f.exists()) {
                Err(format!("processes left: {left:?}"))
            } else {
                Ok(())
            }
        })
    }
}

fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some((mount, file_system)) = line.split_once(" - ") else {
            continue;
        };
        let Some(at) = mount.split(' ').nth(4) else {
            continue;
        };
        let mut fields = file_system.split(' ');
        let version_2 = match fields.next() {
            Some("cgroup") => false,
            Some("cgroup2") => true,
            _ => continue,
        };
        let controllers: Vec<&str> = fields
            .nth(1)
            .unwrap_or_default()
            .split(',')
            .filter(|o| {
                !["rw", "ro", "xattr", "clone_children"].contains(o)
                    && !o.starts_with("release_agent")
            })
            .collect();
        let options = match controllers.iter().find(|o| o.starts_with("name=")) {
            Some(name) => format!("none,{name}"),
            None => controllers.join(","),
        };
        let at = PathBuf::from(at);
        if at.starts_with("/sys/fs/cgroup") && !found.iter().any(|h| h.mounted_at == at) {
            found.push(Hierarchy {
                mounted_at: at,
                version_2,
                options,
            });
        }
    }
    found
}

/// Version 2 gives a group only the controllers its parent passes on. Each by itself: one may be missing.
fn enable_controllers(root: &Path) {
    let available = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    for controller in available.split_whitespace() {
        drop(fs::write(
            root.join("cgroup.subtree_control"),
            format!("+{controller}"),
        ));
    }
}

fn collect_processes(folder: &Path, found: &mut BTreeSet<u32>) {
    if let Ok(file) = fs::File::open(folder.join("cgroup.procs")) {
        found.extend(
            BufReader::new(file)
                .lines()
                .map_while(Result::ok)
                .filter_map(|l| l.parse::<u32>().ok()),
        );
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            collect_processes(&entry.path(), found);
        }
    }
}

fn remove_groups(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    drop(fs::remove_dir(folder));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_version_1_keep_their_options() {
        let found = parse(
            "30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
             32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n\
             33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
        );
        let options: Vec<&str> = found.iter().map(|h| h.options.as_str()).collect();
        assert_eq!(options, ["cpu,cpuacct", "none,name=systemd", ""]);
        assert!(found[2].version_2);
    }

    #[test]
    fn version_2_alone_is_mounted_at_the_usual_place() {
        let hierarchies =
            parse("30 25 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate");
        let groups = Groups {
            hierarchies,
            name: "x".to_owned(),
        };
        assert_eq!(
            groups.mounting(),
            "umount -R /sys/fs/cgroup\nmount -t cgroup2 cgroup2 /sys/fs/cgroup\n"
        );
    }
}
