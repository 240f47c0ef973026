//! Hosts that may be worked on over ssh, and who says where they are.

use super::destination::Destination;
use crate::host_name::{HostName, NotAHostName};

/// A host that is a control-plane node, or may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The node's name, where it is known: a label, which ssh gets only as [`Candidate::alias`].
    pub node: Option<String>,
    /// Where it is, as ssh takes it: to be tried in this order.
    pub addresses: Vec<Destination>,
    /// What was told as its name or address and is not given to ssh.
    pub left_out: Vec<NotAHostName>,
    /// Who says so.
    pub origin: Origin,
}

/// Who says where a control-plane node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `--ssh NODE=ADDRESS`.
    Ssh,
    /// `--master HOST`.
    Master,
    /// The last time the cluster answered.
    Cache,
    /// The etcd of another control-plane node, which has it as a member.
    Member,
    /// A plan that was begun there.
    Plan,
    /// The server in the kubeconfig.
    Kubeconfig,
}

impl Candidate {
    /// A host of which the user typed the address.
    pub fn typed(node: Option<String>, address: Destination, origin: Origin) -> Self {
        Self {
            node,
            addresses: vec![address],
            left_out: Vec::new(),
            origin,
        }
    }

    /// A host that somebody else tells of. What is no host name is left out and kept for the message.
    pub fn told(
        node: Option<String>,
        addresses: impl IntoIterator<Item = Result<HostName, NotAHostName>>,
        origin: Origin,
    ) -> Self {
        let mut left_out: Vec<NotAHostName> = Vec::new();
        let mut known = Vec::new();
        for address in addresses {
            match address {
                Ok(host) => known.push(Destination::from(host)),
                Err(error) => left_out.push(error),
            }
        }
        let name = node.as_deref().map(HostName::parse);
        left_out.extend(name.and_then(Result::err));
        Self {
            node,
            addresses: known,
            left_out,
            origin,
        }
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        let address = self.addresses.first().map(Destination::as_str);
        self.node.as_deref().or(address).unwrap_or("a host")
    }

    /// Whether its address was given on the command line.
    pub(crate) fn is_given(&self) -> bool {
        match self.origin {
            Origin::Ssh | Origin::Master => true,
            Origin::Cache | Origin::Member | Origin::Plan | Origin::Kubeconfig => false,
        }
    }

    /// Its name, where the user's configuration of ssh may know it: never for an address that was given.
    pub(crate) fn alias(&self) -> Option<HostName> {
        let name = self.node.as_deref().filter(|_| !self.is_given())?;
        HostName::parse(name).ok()
    }

    /// Whether its name may stand for it where ssh's configuration has it lead to this host.
    ///
    /// A node's name is the apiserver's word. A member's is whatever its etcd was started with: it counts only where it
    /// leads to where the member is, so that it cannot point at another host of the user's.
    pub(crate) fn may_be_called(&self, leads_to: &str) -> bool {
        match self.origin {
            Origin::Cache => true,
            Origin::Member | Origin::Plan => {
                let mut hosts = self.addresses.iter().filter_map(Destination::host);
                hosts.any(|host| host.is_same(leads_to))
            }
            Origin::Ssh | Origin::Master | Origin::Kubeconfig => false,
        }
    }

    /// The words by which it is known: its name and its addresses.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        let addresses = self.addresses.iter().map(Destination::as_str);
        self.node.iter().map(String::as_str).chain(addresses)
    }

    /// Whether both are of one node, by its name or an address.
    pub fn is_of(&self, other: &Self) -> bool {
        self.words()
            .any(|word| other.words().any(|one| one == word))
    }
}
