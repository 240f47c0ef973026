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

/// Whether the process of such an identity has certainly ended: it ran on this host and its number is free now.
/// A host that only has the same name, or a process in another namespace of this one, is taken for a living one.
pub(crate) fn has_ended(identity: &str) -> bool {
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
        && !Path::new("/proc").join(pid).exists()
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
        assert!(!has_ended(&identity()));
        assert!(has_ended(&format!("me@{}/4194999", host())));
        assert!(!has_ended("me@another-host/4194999"));
        assert!(!has_ended("nonsense"));
        assert!(!has_ended(&format!("me@{}/self", host())));
    }

    #[test]
    fn run_ids_differ() {
        let ids: std::collections::BTreeSet<_> = (0..100).map(|_| run_id()).collect();
        assert_eq!(ids.len(), 100);
        assert!(ids.iter().all(|id| id.len() == 8));
    }
}
