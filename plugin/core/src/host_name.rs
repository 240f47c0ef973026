//! Names of hosts and nodes: which texts of others are taken for one.

use std::fmt;
use std::net::IpAddr;

use etcd_operations::target::host;
use rustls::pki_types::ServerName;

/// The longest text of something that is no host name that a message repeats, in characters.
const SHOWN_CHARS: usize = 80;

/// The longest name of a node.
const MAX_CHARS: usize = 253;

/// An IP address or a DNS name, and nothing that ssh or a shell takes for more: no user, no scheme, no port, no zone.
///
/// Names of nodes and members, addresses that the API or another host tells, and everything out of a file is text of
/// somebody else. Only as this type it becomes a [`crate::ssh::Destination`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);

/// A text that is no [`HostName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not an IP address or a DNS name", shown(.0))]
pub struct NotAHostName(pub String);

impl HostName {
    /// Takes a text for a host name.
    ///
    /// # Errors
    /// When it is neither an IP address nor a DNS name of letters, digits, dots and hyphens.
    pub fn parse(text: &str) -> Result<Self, NotAHostName> {
        // rustls takes names with an underscore too, and refuses those that could be read as a number.
        match ServerName::try_from(text) {
            Ok(_) if !text.contains('_') => Ok(Self(text.to_owned())),
            Ok(_) | Err(_) => Err(NotAHostName(text.to_owned())),
        }
    }

    /// The host of a URL.
    ///
    /// # Errors
    /// When the URL has none.
    pub fn of_url(url: &str) -> Result<Self, NotAHostName> {
        Self::parse(host(url)).map_err(|_| NotAHostName(url.to_owned()))
    }

    /// As ssh and everybody else takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both are the same host by their text: IP addresses by value, names without regard to case.
    pub fn is_same(&self, other: &str) -> bool {
        match (self.0.parse::<IpAddr>(), other.parse::<IpAddr>()) {
            (Ok(own), Ok(other)) => own == other,
            _ => self.0.eq_ignore_ascii_case(other),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether Kubernetes would take it for the name of a node: a DNS subdomain in small letters.
pub(crate) fn is_node_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= MAX_CHARS
        && text.chars().all(plain)
        && text.starts_with(ends)
        && text.ends_with(ends)
}

fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let mut shown: String = chars.by_ref().take(SHOWN_CHARS).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_and_dns_names_are_host_names() {
        for text in [
            "m1",
            "M1",
            "10.0.0.1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "ip-10-0-0-1.ec2.internal",
            "api.example.com.",
            "xn--bcher-kva.example",
            "3com.example",
        ] {
            let host = HostName::parse(text).unwrap();
            assert_eq!(host.as_str(), text);
        }
    }

    #[test]
    fn what_ssh_or_a_shell_takes_for_more_is_no_host_name() {
        for text in [
            "",
            "-oProxyCommand=x",
            "root@evil.example",
            "ssh://x@evil:2222",
            "evil:22",
            "[fd00::1]",
            "fe80::1%eth0",
            "a b",
            "a\nb",
            "a;b",
            "$(x)",
            "`x`",
            "a'b",
            "a/b",
            "a_b",
            "a..b",
            ".a",
            "a-",
            "2130706433",
            "0x7f.1",
            "bücher.example",
            "m1\u{202e}",
        ] {
            assert_eq!(HostName::parse(text), Err(NotAHostName(text.into())));
        }
        let long = format!("{}\u{a0}", "a".repeat(200));
        let said = HostName::parse(&long).unwrap_err().to_string();
        assert!(said.contains("a…`") && said.len() < 150, "{said}");
    }

    #[test]
    fn hosts_of_urls_are_as_ssh_takes_them() {
        let host = |url| HostName::of_url(url).map(|host| host.to_string());
        assert_eq!(host("https://10.0.0.1:2380").unwrap(), "10.0.0.1");
        assert_eq!(host("https://[fd00::1]:2380").unwrap(), "fd00::1");
        assert_eq!(host("https://m1.example:2380").unwrap(), "m1.example");
        for url in [
            "nonsense url",
            "/x",
            "https://a;b:2380",
            "https://$(x):2380",
            "https://a'b",
            "https://x(y)",
        ] {
            assert!(host(url).is_err(), "{url}");
        }
        // The user of a URL is none of its host.
        assert_eq!(host("https://root@10.0.0.1:2380").unwrap(), "10.0.0.1");
    }

    #[test]
    fn the_same_host_is_known_by_other_letters() {
        let same = |one: &str, other| HostName::parse(one).unwrap().is_same(other);
        assert!(same("M1.example", "m1.EXAMPLE") && same("fd00:0::1", "fd00::1"));
        assert!(!same("m1", "m2") && !same("10.0.0.1", "10.0.0.10"));
    }

    proptest! {
        #[test]
        fn a_host_name_has_no_character_with_a_meaning(text in ".{0,30}|[-a-z0-9.:@_%\\[\\]/]{0,20}") {
            if let Ok(host) = HostName::parse(&text) {
                let plain = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
                prop_assert!(host.as_str().chars().all(plain) && !host.as_str().starts_with('-'));
                let colons = host.as_str().contains(':');
                prop_assert!(!colons || host.as_str().parse::<IpAddr>().is_ok());
            }
        }
    }
}
