//! Who this process is, for labels and the Lease: `user@host/pid`.

use std::hash::{BuildHasher, Hasher};
use std::path::Path;

/// `user@host/pid`.
pub(crate) fn identity() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let user = user.unwrap_or_else(|_| "somebody".to_owned());
    format!("{user}@{}/{}", host(), std::process::id())
}

/// This host's name.
pub(crate) fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown-host".to_owned())
}

/// By what a process differs from every other one that has or had its number: the boot, and when it was started in that
/// (`/proc/PID/stat`, field 22). None: there is no such process, or this is no Linux.
pub(crate) fn incarnation(pid: &str) -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).ok()?;
    // The second field is the program's name, which may have spaces and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let started = fields.split_whitespace().nth(19)?;
    Some(format!("{}/{started}", boot.trim()))
}

/// Whether the process of such an identity has certainly ended: it ran on this host, and its number is free now or, by the
/// [`incarnation`] it had, another one's.
/// A host that only has the same name, or a process in another namespace of this one, is taken for a living one.
pub(crate) fn has_ended(identity: &str, as_it_was: Option<&str>) -> bool {
    let Some((on, pid)) = identity.rsplit_once('/') else {
        return false;
    };
    let Some((_, host_name)) = on.rsplit_once('@') else {
        return false;
    };
    let numeric = !pid.is_empty() && pid.bytes().all(|digit| digit.is_ascii_digit());
    host_name == host()
        && numeric
        && Path::new("/proc/self").exists()
        && (!Path::new("/proc").join(pid).exists()
            || as_it_was.is_some_and(|then| incarnation(pid).is_some_and(|now| now != then)))
}

/// Eight hex digits that no other run has at the same time.
pub(crate) fn run_id() -> String {
    // The standard library's hash keys are random in each process and differ at each call.
    let random = std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish();
    format!("{:08x}", random & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_are_told_from_the_living_and_from_strangers() {
        let me = identity();
        assert!(!has_ended(&me, None));
        assert!(has_ended(&format!("me@{}/4194999", host()), None));
        assert!(!has_ended("me@another-host/4194999", None));
        assert!(!has_ended("nonsense", None));
        assert!(!has_ended(&format!("me@{}/self", host()), None));
        // Of a process that had the same number before, or was there before this machine was switched on.
        let now = incarnation(&std::process::id().to_string()).unwrap();
        assert!(!has_ended(&me, Some(&now)));
        assert!(has_ended(&me, Some("another-boot/1")));
        assert!(!has_ended("me@another-host/1", Some("another-boot/1")));
    }

    #[test]
    fn run_ids_differ() {
        let ids: std::collections::BTreeSet<_> = (0..100).map(|_| run_id()).collect();
        assert_eq!(ids.len(), 100);
        assert!(ids.iter().all(|id| id.len() == 8));
    }
}
