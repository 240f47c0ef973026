//! Which TCP ports of this host somebody listens on, from the kernel (`/proc/net/tcp`, `proc_pid_net(5)`).

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state of a socket that listens.
const LISTEN: &str = "0A";

/// The addresses that are listened on in this network namespace, the host's where the host's programs run.
///
/// # Errors
/// When the kernel does not tell.
pub(crate) fn listening() -> io::Result<BTreeSet<SocketAddr>> {
    let mut found = read(&std::fs::read_to_string("/proc/net/tcp")?);
    // A kernel without IPv6 has no such file.
    if let Ok(text) = std::fs::read_to_string("/proc/net/tcp6") {
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

    proptest! {
        #[test]
        fn any_text_is_read(text in "([0-9A-Fa-f: \n]|é){0,80}") {
            let _ = read(&format!("head\n{text}"));
        }
    }
}
