//! Where ssh may go. What the user typed goes to ssh as it is; everything else is a host name or it is left out.

use std::fmt;

use crate::host_name::HostName;

/// What ssh gets as its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// By the user: `HOST`, `USER@HOST`, `ssh://USER@HOST:PORT`, or a name of ssh's configuration.
    Typed(String),
    /// By anybody else.
    Told(HostName),
}

impl Destination {
    /// What the user typed.
    ///
    /// # Errors
    /// When ssh would take it for one of its own flags, or it has spaces or control characters.
    pub fn typed(text: &str) -> Result<Self, String> {
        let fits = !text.is_empty()
            && !text.starts_with('-')
            && !text.contains(|c: char| c.is_whitespace() || c.is_control());
        match fits {
            true => Ok(Self(Kind::Typed(text.to_owned()))),
            false => Err(format!("`{text}` is not the address of a host")),
        }
    }

    /// As ssh gets it.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Kind::Typed(text) => text,
            Kind::Told(host) => host.as_str(),
        }
    }

    /// The host alone, without user and port; none where a name cannot be told apart.
    pub fn host(&self) -> Option<HostName> {
        match &self.0 {
            Kind::Told(host) => Some(host.clone()),
            Kind::Typed(text) if text.contains("://") => HostName::of_url(text).ok(),
            Kind::Typed(text) => {
                let host = text
                    .rsplit_once('@')
                    .map_or(text.as_str(), |(_, host)| host);
                HostName::parse(host).ok()
            }
        }
    }
}

impl From<HostName> for Destination {
    fn from(host: HostName) -> Self {
        Self(Kind::Told(host))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_told_to_ssh_as_they_are() {
        for text in ["M1", "::ffff:10.0.0.1", "api.example.com."] {
            let host = HostName::parse(text).unwrap();
            assert_eq!(Destination::from(host).as_str(), text);
        }
    }

    #[test]
    fn the_host_of_what_was_typed_is_without_user_and_port() {
        let host = |text| {
            Destination::typed(text)
                .unwrap()
                .host()
                .map(|host| host.to_string())
        };
        assert_eq!(host("10.0.0.1").as_deref(), Some("10.0.0.1"));
        assert_eq!(host("root@m1.example").as_deref(), Some("m1.example"));
        assert_eq!(
            host("ssh://root@10.0.0.1:2222").as_deref(),
            Some("10.0.0.1")
        );
        assert_eq!(host("jump_host"), None);
        assert!(Destination::typed("-oProxyCommand=x").is_err());
    }
}
