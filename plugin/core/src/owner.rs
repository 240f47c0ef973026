//! Who this process is, for labels and the Lease, and whether another one that was such a process has ended.
//!
//! The name `user@host/pid` is for people. It decides nothing: hosts and containers share names, and numbers of processes
//! come again. What decides is a [`Process`], which is beside it as an annotation.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use etcd_operations::transfer::hex;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Who made an object, for people.
pub(crate) const OWNER_ANNOTATION: &str = "kubectl-etcd/owner";
/// Which process that was: a [`Process`] as JSON.
pub(crate) const PROCESS_ANNOTATION: &str = "kubectl-etcd/process";

/// The kernel's number for the namespace of processes that a machine starts with (`PROC_PID_INIT_INO`).
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// A run of this program: its name, and which process it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// `user@host/pid`.
    pub name: String,
    process: Option<Process>,
}

/// What tells a process from every other one, on this machine and on others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Process {
    /// Random.
    token: String,
    pid: u32,
    /// Where its number means something; none where there is no `/proc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<Whereabouts>,
}

/// Where a number of a process means something, and since when it is this one's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whereabouts {
    /// Of `/etc/machine-id`, which is not told itself: man machine-id asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
    host: String,
    /// Random, made by the kernel at each boot.
    boot: String,
    /// The inode of `/proc/self/ns/pid`: containers of one machine differ in it.
    pid_namespace: u64,
    /// `/proc/PID/stat`, field 22.
    started: u64,
}

/// What this machine's kernel says of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    /// No process has it.
    Free,
    /// A process that was started then has it.
    Started(u64),
    /// A process has it, and more is not told.
    Taken,
}

// === impl Owner ===

impl Owner {
    /// This process.
    pub(crate) fn this() -> Self {
        let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
        let user = user.unwrap_or_else(|_| "somebody".to_owned());
        Self {
            name: format!("{user}@{}/{}", host(), std::process::id()),
            process: Some(Process::this()),
        }
    }

    /// Somebody of a test.
    #[cfg(test)]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            process: None,
        }
    }

    /// Which process it is, as an object's annotation.
    pub(crate) fn process_annotation(&self) -> Option<(String, String)> {
        let process = serde_json::to_string(self.process.as_ref()?).ok()?;
        Some((PROCESS_ANNOTATION.to_owned(), process))
    }
}

// === impl Process ===

impl Process {
    /// This one.
    pub(crate) fn this() -> Self {
        static THIS: OnceLock<Process> = OnceLock::new();
        let this = THIS.get_or_init(|| Self {
            token: format!("{:016x}", random()),
            pid: std::process::id(),
            place: Whereabouts::here(),
        });
        this.clone()
    }

    /// The process that an object's annotations tell. None: of nobody, or of a release that told it in other words; then it
    /// is not known to have ended.
    pub(crate) fn of(annotations: Option<&BTreeMap<String, String>>) -> Option<Self> {
        serde_json::from_str(annotations?.get(PROCESS_ANNOTATION)?).ok()
    }

    /// Whether it is this one.
    pub(crate) fn is_this(&self) -> bool {
        self.token == Self::this().token
    }

    /// Whether it has certainly ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended_for(&Self::this(), now)
    }

    /// The same for a process that looks, which is told by `now` of the numbers where it is itself.
    fn ended_for(&self, looks: &Self, now: impl Fn(u32) -> Now) -> bool {
        let (Some(then), Some(here)) = (&self.place, &looks.place) else {
            return false;
        };
        if self.token == looks.token {
            return false;
        }
        if then.boot != here.boot {
            return here.was_switched_off_since(then);
        }
        // A number of another namespace is not seen from here.
        then.pid_namespace == here.pid_namespace
            && match now(self.pid) {
                Now::Free => true,
                Now::Started(started) => started != then.started,
                Now::Taken => false,
            }
    }
}

// === impl Whereabouts ===

impl Whereabouts {
    fn here() -> Option<Self> {
        // A /proc of another namespace has other numbers.
        let own = std::process::id().to_string();
        if std::fs::read_link("/proc/self").ok()? != Path::new(&own) {
            return None;
        }
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let machine = std::fs::read_to_string("/etc/machine-id").ok();
        Some(Self {
            machine: machine.as_deref().map(str::trim).and_then(veiled),
            host: host(),
            boot: boot.trim().to_owned(),
            pid_namespace: std::fs::metadata("/proc/self/ns/pid").ok()?.ino(),
            started: started(&own)?,
        })
    }

    /// Whether `then` is this machine at an earlier boot.
    ///
    /// A machine's id alone does not tell: images for containers have one in them, the same on all hosts, and so have
    /// virtual machines that were copied. No container is taken for a machine, and the copies have other names.
    fn was_switched_off_since(&self, then: &Self) -> bool {
        let first = |place: &Self| place.pid_namespace == FIRST_PID_NAMESPACE;
        self.machine.is_some()
            && self.machine == then.machine
            && self.host == then.host
            && first(self)
            && first(then)
    }
}

/// A machine's id as it may be told; none of one that has none.
fn veiled(id: &str) -> Option<String> {
    let usable = !id.is_empty() && id != "uninitialized";
    usable.then(|| {
        let digest = Sha256::new_with_prefix(b"kubectl-etcd machine ").chain_update(id);
        hex(&digest.finalize()[..16])
    })
}

/// This host's name.
fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown-host".to_owned())
}

/// What this machine's kernel says of a number, in this process's namespace. Others' processes may be hidden in `/proc`,
/// but not from a signal.
fn now(pid: u32) -> Now {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Now::Taken;
    };
    match test_kill_process(raw) {
        Err(rustix::io::Errno::SRCH) => Now::Free,
        Ok(()) | Err(_) => started(&pid.to_string()).map_or(Now::Taken, Now::Started),
    }
}

/// When a process was started, in the kernel's own clock.
fn started(pid: &str) -> Option<u64> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).ok()?;
    // The second field is the program's name, which may have spaces and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// Eight hex digits that no other run has at the same time.
pub(crate) fn run_id() -> String {
    format!("{:08x}", random() & 0xffff_ffff)
}

fn random() -> u64 {
    // The standard library's hash keys are random in each process and differ at each call.
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(token: &str, pid: u32) -> Process {
        Process {
            token: token.to_owned(),
            pid,
            place: Some(Whereabouts {
                machine: Some("aa".into()),
                host: "admin-1".into(),
                boot: "boot-1".into(),
                pid_namespace: FIRST_PID_NAMESPACE,
                started: 100,
            }),
        }
    }

    fn elsewhere(change: impl FnOnce(&mut Whereabouts)) -> Process {
        let mut there = process("other", 7);
        change(there.place.as_mut().unwrap());
        there
    }

    /// Whether it has ended for somebody on whose machine nothing has its number.
    fn gone(then: &Process) -> bool {
        then.ended_for(&process("me", 1), |_| Now::Free)
    }

    #[test]
    fn one_on_this_machine_has_ended_when_its_number_is_free_or_anothers() {
        let then = process("other", 7);
        let ended = |now| {
            then.ended_for(&process("me", 1), |pid| {
                assert_eq!(pid, 7);
                now
            })
        };
        assert!(ended(Now::Free) && ended(Now::Started(101)));
        assert!(!ended(Now::Started(100)) && !ended(Now::Taken));
        assert!(
            !then.ended_for(&process("other", 7), |_| Now::Free),
            "itself"
        );
    }

    #[test]
    fn one_on_another_machine_of_the_same_name_is_alive() {
        let other = elsewhere(|place| {
            place.boot = "boot-2".into();
            place.machine = Some("bb".into());
        });
        assert!(!gone(&other));
        let nameless = elsewhere(|place| {
            place.boot = "boot-2".into();
            place.machine = None;
        });
        assert!(!gone(&nameless));
    }

    #[test]
    fn one_in_another_container_of_the_same_name_is_alive() {
        assert!(!gone(&elsewhere(
            |place| place.pid_namespace = 4_026_532_500
        )));
        // An image with a machine's id in it, on another machine.
        let baked = elsewhere(|place| {
            place.boot = "boot-2".into();
            place.pid_namespace = 4_026_532_500;
        });
        let looks = elsewhere(|place| place.pid_namespace = 4_026_532_501);
        assert!(!baked.ended_for(&looks, |_| Now::Free) && !gone(&baked));
    }

    #[test]
    fn one_of_an_earlier_boot_has_ended() {
        assert!(gone(&elsewhere(|place| place.boot = "boot-0".into())));
        assert!(!gone(&elsewhere(|place| {
            place.boot = "boot-0".into();
            place.host = "a-copy".into();
        })));
    }

    #[test]
    fn what_another_release_wrote_is_of_nobody() {
        let of = |text: &str| {
            Process::of(Some(
                &[(PROCESS_ANNOTATION.to_owned(), text.to_owned())].into(),
            ))
        };
        for text in ["", "0b5f…/4711", "{}", "[]", "{\"token\":1}"] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(Process::of(None), None);
        let (key, own) = Owner::this().process_annotation().unwrap();
        assert_eq!(key, PROCESS_ANNOTATION);
        assert_eq!(of(&own), Some(Process::this()));
        assert!(
            !own.contains(
                std::fs::read_to_string("/etc/machine-id")
                    .map_or("no id".into(), |id| id.trim().to_owned())
                    .as_str()
            )
        );
    }

    #[test]
    fn the_kernel_tells_the_living_from_the_dead() {
        let me = Process::this();
        assert!(me.is_this() && !me.has_ended());
        let place = me.place.clone().unwrap();
        assert_eq!(now(me.pid), Now::Started(place.started));
        let mut child = std::process::Command::new("sleep")
            .arg("100")
            .spawn()
            .unwrap();
        let pid = child.id();
        let started = started(&pid.to_string()).unwrap();
        let other = Process {
            token: "other".into(),
            pid,
            place: Some(Whereabouts { started, ..place }),
        };
        assert!(!other.has_ended());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(other.has_ended());
    }

    #[test]
    fn run_ids_differ() {
        let ids: std::collections::BTreeSet<_> = (0..100).map(|_| run_id()).collect();
        assert_eq!(ids.len(), 100);
        assert!(ids.iter().all(|id| id.len() == 8));
    }
}
