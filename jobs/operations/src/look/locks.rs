//! Who holds a lock, from the kernel (`/proc/locks`, `proc_locks(5)`).

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

/// A process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Its number on this host.
    pub pid: u32,
    /// Its program's name, where that is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// The process with an exclusive `flock` on a file; none: the kernel does not tell, as of a process in another container's
/// namespace.
pub(super) fn holder(file: &File) -> Option<Holder> {
    let found = file.metadata().ok()?;
    let device = (
        rustix::fs::major(found.dev()),
        rustix::fs::minor(found.dev()),
    );
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let pid = locks
        .lines()
        .filter_map(line)
        .find(|lock| (lock.device, lock.inode) == (device, found.ino()))?
        .pid;
    let program = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    Some(Holder {
        pid,
        program: program.map(|name| name.trim_end().to_owned()),
    })
}

/// A line of the file, such as `6: FLOCK  ADVISORY  WRITE 4711 fd:01:1836301 0 EOF`, of an exclusive `flock`.
#[derive(Debug, PartialEq, Eq)]
struct Lock {
    pid: u32,
    device: (u32, u32),
    inode: u64,
}

fn line(line: &str) -> Option<Lock> {
    let mut words = line.split_ascii_whitespace().skip(1);
    // A process that waits for the lock is on a line with an arrow.
    let (kind, _, access) = (words.next()?, words.next()?, words.next()?);
    if kind != "FLOCK" || access != "WRITE" {
        return None;
    }
    // 0 or -1: of a process that is not seen from here.
    let pid = words.next()?.parse().ok().filter(|pid| *pid > 0)?;
    let mut file = words.next()?.splitn(3, ':');
    let hex = |part: Option<&str>| u32::from_str_radix(part?, 16).ok();
    Some(Lock {
        pid,
        device: (hex(file.next())?, hex(file.next())?),
        inode: file.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_told() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(holder(&file), None);
        file.try_lock().unwrap();
        // Some sandboxes' kernels tell of no locks.
        if let Some(found) = holder(&file) {
            assert_eq!(found.pid, std::process::id());
            assert!(found.program.is_some());
        }
    }

    #[test]
    fn lines_of_other_locks_are_passed_by() {
        let found = line("6: FLOCK  ADVISORY  WRITE 4711 fd:01:1836301 0 EOF").unwrap();
        assert_eq!(
            found,
            Lock {
                pid: 4711,
                device: (0xfd, 1),
                inode: 1_836_301
            }
        );
        for other in [
            "",
            "6: POSIX  ADVISORY  WRITE 4711 fd:01:1836301 0 EOF",
            "6: FLOCK  ADVISORY  READ 4711 fd:01:1836301 0 EOF",
            "6: -> FLOCK  ADVISORY  WRITE 4711 fd:01:1836301 0 EOF",
            "6: FLOCK  ADVISORY  WRITE -1 fd:01:1836301 0 EOF",
            "6: FLOCK  ADVISORY  WRITE 0 fd:01:1836301 0 EOF",
        ] {
            assert_eq!(line(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[0-9a-fFLOCKWRITE:> -]{0,60}") {
            let _ = line(&text);
        }
    }
}
