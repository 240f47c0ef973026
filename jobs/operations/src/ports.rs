//! Which TCP ports of this host somebody listens on, and which addresses it has, from the kernel (`/proc/net/tcp`,
//! `/proc/net/fib_trie`, `/proc/net/if_inet6`, `proc_pid_net(5)`).

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::root;

/// The state of a socket that listens.
const LISTEN: &str = "0A";

/// The addresses that are listened on in this network namespace, the host's where the host's programs run.
///
/// # Errors
/// When the kernel does not tell.
pub(crate) fn listening() -> io::Result<BTreeSet<SocketAddr>> {
    listening_below(Path::new("/"))
}

/// The same of a host whose file system is found at `root`.
///
/// # Errors
/// As [`listening`].
pub(crate) fn listening_below(root: &Path) -> io::Result<BTreeSet<SocketAddr>> {
    let mut found = read(&root::read_text(root, "/proc/net/tcp")?);
    // A kernel without IPv6 has no such file.
    if let Ok(text) = root::read_text(root, "/proc/net/tcp6") {
        found.extend(read(&text));
    }
    Ok(found)
}

/// Whether somebody listens where a program that is told this address would: there, or on all addresses.
pub(crate) fn is_taken(listening: &BTreeSet<SocketAddr>, wanted: SocketAddr) -> bool {
    let same = |one: &&SocketAddr| {
        one.port() == wanted.port()
            && (one.ip() == wanted.ip()
                || one.ip().is_unspecified()
                || wanted.ip().is_unspecified())
    };
    listening.iter().any(|one| same(&one))
}

/// The addresses of a host whose file system is found at `root`, as text. Where the kernel does not tell, there are none.
pub(crate) fn own_addresses(root: &Path) -> Vec<String> {
    let text = |path| root::read_text(root, path).unwrap_or_default();
    let mut own = addresses_v4(&text("/proc/net/fib_trie"));
    own.extend(addresses_v6(&text("/proc/net/if_inet6")));
    own.iter().map(ToString::to_string).collect()
}

/// The addresses in the kernel's routing table that are local: a line with the address, and one below it that says so.
fn addresses_v4(text: &str) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    let mut last = None;
    for line in text.lines() {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.trim().parse().ok();
        } else if line.starts_with("/32 host LOCAL") {
            found.extend(last.map(IpAddr::V4));
        }
    }
    found
}

/// Each line begins with an address of 32 digits.
fn addresses_v6(text: &str) -> BTreeSet<IpAddr> {
    let address = |line: &str| {
        let digits = line.split_ascii_whitespace().next()?;
        let fits = digits.len() == 32;
        let number = u128::from_str_radix(digits, 16).ok().filter(|_| fits)?;
        Some(IpAddr::V6(number.into()))
    };
    text.lines().filter_map(address).collect()
}

fn read(text: &str) -> BTreeSet<SocketAddr> {
    text.lines().skip(1).filter_map(line).collect()
}

fn line(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_ascii_whitespace();
    let (local, state) = (fields.nth(1)?, fields.nth(1)?);
    let (address, port) = local.split_once(':').filter(|_| state == LISTEN)?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddr::new(ip(address)?, port))
}

/// Words of 32 bits in the order of this machine's bytes.
fn ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (number, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(8 * number)?);
            }
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_bound_is_seen_and_what_is_not_is_not() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let bound = listener.local_addr().unwrap();
            assert!(is_taken(&listening().unwrap(), bound), "{bound}");
            drop(listener);
            assert!(!is_taken(&listening().unwrap(), bound), "{bound}");
        }
    }

    #[test]
    fn all_addresses_are_every_address() {
        let listening = BTreeSet::from(["0.0.0.0:2379".parse().unwrap()]);
        assert!(is_taken(&listening, "127.0.0.1:2379".parse().unwrap()));
        assert!(!is_taken(&listening, "127.0.0.1:2380".parse().unwrap()));
        let listening = BTreeSet::from(["10.0.0.1:2379".parse().unwrap()]);
        assert!(!is_taken(&listening, "127.0.0.1:2379".parse().unwrap()));
        assert!(is_taken(&listening, "[::]:2379".parse().unwrap()));
    }

    #[test]
    fn both_families_are_read() {
        let text = "  sl  local_address rem_address   st\n   0: 0100007F:0CEA 00000000:0000 0A 0\n   1: 0100007F:0CEB 0100007F:0CEA 01 0\n   2: 00000000000000000000000001000000:1A0B 0:0 0A\n";
        let expected = ["127.0.0.1:3306", "[::1]:6667"].map(|one| one.parse().unwrap());
        assert_eq!(read(text), BTreeSet::from(expected));
    }

    #[test]
    fn the_addresses_of_all_interfaces_are_read() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/net")).unwrap();
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 10.0.0.0/24 2 0 2\n        |-- 10.0.0.0\n           /24 link UNICAST\n        |-- 10.0.0.11\n           /32 host LOCAL\n        |-- 10.0.0.255\n           /32 link BROADCAST\nLocal:\n        |-- 10.0.0.11\n           /32 host LOCAL\n        |-- 127.0.0.1\n           /32 host LOCAL\n";
        std::fs::write(root.path().join("proc/net/fib_trie"), trie).unwrap();
        let v6 = "fd000000000000000000000000000001 02 40 00 80     eth0\nshort 01\n";
        std::fs::write(root.path().join("proc/net/if_inet6"), v6).unwrap();
        assert_eq!(
            own_addresses(root.path()),
            ["10.0.0.11", "127.0.0.1", "fd00::1"]
        );
        assert!(own_addresses(Path::new("/no/such")).is_empty());
    }

    #[test]
    fn this_host_has_its_loopback_address() {
        assert!(own_addresses(Path::new("/")).contains(&"127.0.0.1".to_owned()));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "([0-9A-Fa-f: \n]|é){0,80}") {
            let _ = read(&format!("head\n{text}"));
            let _ = (addresses_v4(&text), addresses_v6(&text));
        }
    }
}
