//! The flags for ssh, and what is meant by them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use etcd_operations::advice::{Choice, Command};

use kubectl_etcd_core::ssh::{Destination, SshOptions, SshTargets};

/// The help's heading for these flags.
const OVER_SSH: &str = "Other control-plane nodes, over ssh";

/// How the other control-plane nodes are reached.
#[derive(Debug, Clone, Default, Args)]
pub struct SshArgs {
    /// Work on the other control-plane nodes over ssh; NODE=ADDRESS says where one is, may be given several times
    #[arg(long, help_heading = OVER_SSH, value_name = "NODE=ADDRESS", num_args = 0..=1, default_missing_value = "")]
    pub ssh: Vec<NodeAddress>,
    /// A control-plane node's address; these and no others are asked. May be given several times
    #[arg(long, help_heading = OVER_SSH, value_name = "HOST", value_parser = Destination::typed)]
    pub master: Vec<Destination>,
    /// Log in as this user; one who is not root needs sudo without a password
    #[arg(long, help_heading = OVER_SSH, value_name = "USER", value_parser = user)]
    pub ssh_user: Option<String>,
    /// Log in with this private key alone
    #[arg(long, help_heading = OVER_SSH, value_name = "FILE", hide_short_help = true)]
    pub ssh_identity: Option<PathBuf>,
    /// Configuration for ssh to use instead of your own
    #[arg(long, help_heading = OVER_SSH, value_name = "FILE", hide_short_help = true)]
    pub ssh_config: Option<PathBuf>,
}

/// What can be said after `--ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeAddress {
    /// Nothing: ssh is wanted, and the addresses are looked for.
    Wanted,
    /// Where a node is.
    At {
        /// The node's name.
        node: String,
        /// Its address, as ssh takes it: a name of its configuration, or `USER@HOST`, or `ssh://USER@HOST:PORT`.
        address: Destination,
    },
}

impl SshArgs {
    /// Whether other hosts are to be worked on over ssh.
    pub fn wanted(&self) -> bool {
        !self.ssh.is_empty() || !self.master.is_empty()
    }

    /// What is meant by them.
    pub fn targets(&self) -> SshTargets {
        SshTargets {
            wanted: self.wanted(),
            addresses: self.addresses(),
            masters: self.master.clone(),
            options: self.options(),
            flags: self.words(),
        }
    }

    /// The same flags again, for a command to be typed next. None: nobody is reached over ssh.
    pub(crate) fn words(&self) -> Command {
        let mut words = Command::default();
        if !self.wanted() {
            return words;
        }
        let given = self.addresses();
        if given.is_empty() {
            words = words.choosing(Choice::Ssh);
        }
        for (node, address) in given {
            words = words.with(Choice::Ssh, format_args!("{node}={address}"));
        }
        for host in &self.master {
            words = words.with(Choice::Master, host);
        }
        if let Some(user) = &self.ssh_user {
            words = words.with(Choice::SshUser, user);
        }
        for (flag, path) in [
            (Choice::SshIdentity, &self.ssh_identity),
            (Choice::SshConfig, &self.ssh_config),
        ] {
            if let Some(path) = path {
                words = words.with(flag, path.display());
            }
        }
        words
    }

    /// How to log in.
    fn options(&self) -> SshOptions {
        SshOptions {
            user: self.ssh_user.clone(),
            identity: self.ssh_identity.clone(),
            config: self.ssh_config.clone(),
        }
    }

    /// The nodes whose addresses were given; of several for a node, the last.
    fn addresses(&self) -> BTreeMap<String, Destination> {
        let given = self.ssh.iter().filter_map(|one| match one {
            NodeAddress::Wanted => None,
            NodeAddress::At { node, address } => Some((node.clone(), address.clone())),
        });
        given.collect()
    }
}

impl FromStr for NodeAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Wanted);
        }
        match text.split_once('=') {
            Some((node, at)) if !node.is_empty() => Ok(Self::At {
                node: node.to_owned(),
                address: Destination::typed(at)?,
            }),
            _ => Err(format!(
                "`{text}` is not NODE=ADDRESS; what is not --ssh's comes before it"
            )),
        }
    }
}

fn user(text: &str) -> Result<String, String> {
    match Destination::typed(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("`{text}` is not the name of a user")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        ssh: SshArgs,
        file: Option<String>,
    }

    fn parsed(words: &[&str]) -> Result<Line, clap::Error> {
        Line::try_parse_from(["x"].iter().chain(words))
    }

    #[test]
    fn ssh_is_wanted_with_and_without_addresses() {
        assert!(!parsed(&[]).unwrap().ssh.wanted());
        let bare = parsed(&["snapshot.db", "--ssh"]).unwrap();
        assert!(bare.ssh.wanted() && bare.ssh.addresses().is_empty());
        assert_eq!(bare.file.as_deref(), Some("snapshot.db"));
        let words = [
            "--ssh",
            "m1=10.0.0.1",
            "--ssh=m2=root@b:x",
            "--ssh",
            "--ssh-user",
            "jane",
        ];
        let line = parsed(&words).unwrap();
        let addresses = line.ssh.addresses();
        assert_eq!(addresses["m1"].as_str(), "10.0.0.1");
        assert_eq!(addresses["m2"].as_str(), "root@b:x");
        assert_eq!(line.ssh.options().user.as_deref(), Some("jane"));
        assert!(parsed(&["--master", "10.0.0.1"]).unwrap().ssh.wanted());
    }

    #[test]
    fn the_flags_are_typed_again_as_they_were() {
        let again =
            |words: &[&str]| crate::advice::typed(&parsed(words).unwrap().ssh.words()).to_string();
        assert_eq!(again(&[]), "");
        assert_eq!(again(&["--ssh"]), "--ssh");
        let words = [
            "--ssh=m1=root@10.0.0.1",
            "--master",
            "m2",
            "--ssh-user",
            "jane",
        ];
        assert_eq!(
            again(&words),
            "--ssh m1=root@10.0.0.1 --master m2 --ssh-user jane"
        );
        let words = [
            "--ssh=m1;id=a$(x)",
            "--ssh-config",
            "/my config",
            "--ssh-user",
            "a'b",
        ];
        assert_eq!(
            again(&words),
            "--ssh 'm1;id=a$(x)' --ssh-user \"a'b\" --ssh-config '/my config'"
        );
    }

    #[test]
    fn what_ssh_would_misread_is_refused() {
        for bad in [
            &["--ssh", "snapshot.db"][..],
            &["--ssh", "m1="],
            &["--ssh", "=10.0.0.1"],
            &["--ssh=m1=-oProxyCommand=x"],
            &["--master=-oProxyCommand=x"],
            &["--master", "a b"],
            &["--ssh-user=-x"],
        ] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
        let said = parsed(&["--ssh", "snapshot.db"]).unwrap_err().to_string();
        assert!(said.contains("comes before it"), "{said}");
    }

    proptest! {
        #[test]
        fn an_address_is_never_a_flag(text in ".{0,60}") {
            if let Ok(NodeAddress::At { node, address }) = text.parse() {
                let address = address.as_str();
                prop_assert!(!node.is_empty() && !address.is_empty() && !address.starts_with('-'));
            }
        }
    }
}
