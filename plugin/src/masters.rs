//! Finding the control-plane nodes without an apiserver: as they are named on the command line, as they were when the
//! cluster last answered, or by the address in the kubeconfig.

mod cache;
pub(crate) mod claim;
pub(crate) mod reach;

use crate::cli::ConnectionArgs;
use crate::connection::identity;
use crate::error::Error;
use crate::ssh::{Destination, HostName, NotAHostName, SshArgs};

pub(crate) use cache::remember;
use cache::{Known, recall};

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

/// The candidates, and where they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The hosts; never none.
    pub candidates: Vec<Candidate>,
    /// Where they come from, as a sentence for standard error.
    pub told: String,
    /// Whether these are all there are, as far as anybody knows: a kubeconfig's server is only one of them.
    pub complete: bool,
}

impl Candidate {
    /// A host of which the user typed the address.
    pub(crate) fn typed(node: Option<String>, address: Destination, origin: Origin) -> Self {
        Self {
            node,
            addresses: vec![address],
            left_out: Vec::new(),
            origin,
        }
    }

    /// A host that somebody else tells of. What is no host name is left out and kept for the message.
    pub(crate) fn told(
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
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        let addresses = self.addresses.iter().map(Destination::as_str);
        self.node.iter().map(String::as_str).chain(addresses)
    }

    /// Whether both are of one node, by its name or an address.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        self.words()
            .any(|word| other.words().any(|one| one == word))
    }
}

/// Looks for the control-plane nodes, without asking any.
///
/// # Errors
/// When there is nothing to go by: no flag, no kubeconfig.
pub async fn find(ssh: &SshArgs, connection: &ConnectionArgs) -> Result<Found, Error> {
    let named: Vec<Candidate> = named(ssh);
    // Who names masters means these and no others.
    if !ssh.master.is_empty() {
        return Ok(found(named, "from --master", true));
    }
    let cluster = match identity(connection) {
        Ok(cluster) => cluster,
        Err(_) if !named.is_empty() => return Ok(found(named, "from --ssh", false)),
        Err(error) => {
            return Err(
                error.hint("--master HOST names a control-plane node, without a kubeconfig")
            );
        }
    };
    if let Some(known) = recall(&cluster) {
        let told = format!(
            "as they were when the cluster last answered, {}",
            known.when()
        );
        return Ok(found(merged(named, known), &told, true));
    }
    if !named.is_empty() {
        // Where one is says nothing of how many there are.
        return Ok(found(named, "from --ssh", false));
    }
    let server = Candidate::told(None, [cluster.host()], Origin::Kubeconfig);
    Ok(found(vec![server], "the kubeconfig's server", false))
}

/// Those of the command line.
fn named(ssh: &SshArgs) -> Vec<Candidate> {
    let at = ssh
        .addresses()
        .into_iter()
        .map(|(node, address)| Candidate::typed(Some(node), address, Origin::Ssh));
    let masters = ssh.master.iter();
    let masters = masters.map(|address| Candidate::typed(None, address.clone(), Origin::Master));
    at.chain(masters).collect()
}

/// Those that are known, where the command line has not said better.
fn merged(mut named: Vec<Candidate>, known: Known) -> Vec<Candidate> {
    for (node, addresses) in known.nodes {
        if !named.iter().any(|one| one.node.as_ref() == Some(&node)) {
            let addresses = addresses.iter().map(|address| HostName::parse(address));
            named.push(Candidate::told(Some(node), addresses, Origin::Cache));
        }
    }
    named.sort_by(|one, other| one.node.cmp(&other.node));
    named
}

fn found(candidates: Vec<Candidate>, whence: &str, complete: bool) -> Found {
    Found {
        told: told(&candidates, whence),
        candidates,
        complete,
    }
}

/// Who is meant and who says so, as a sentence for standard error.
pub(crate) fn told(candidates: &[Candidate], whence: &str) -> String {
    let names = candidates
        .iter()
        .map(|one| match (&one.node, one.addresses.first()) {
            (Some(node), Some(address)) => format!("{node} ({address})"),
            _ => one.name().to_owned(),
        });
    let names = names.collect::<Vec<_>>().join(", ");
    format!("control-plane nodes, {whence}: {names}")
}

/// The host of a URL, if it has one.
pub(crate) fn host_of(url: &str) -> Option<HostName> {
    HostName::of_url(url).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::NodeAddress;

    fn known() -> Known {
        let nodes = [("m1", "10.0.0.1"), ("m2", "10.0.0.2")];
        let nodes = nodes.map(|(node, address)| (node.to_owned(), vec![address.to_owned()]));
        Known::new("https://10.0.0.9:6443", nodes.into())
    }

    fn ssh(at: &[(&str, &str)], masters: &[&str]) -> SshArgs {
        SshArgs {
            ssh: at
                .iter()
                .map(|(node, address)| NodeAddress::At {
                    node: (*node).into(),
                    address: Destination::typed(address).unwrap(),
                })
                .collect(),
            master: masters
                .iter()
                .map(|one| Destination::typed(one).unwrap())
                .collect(),
            ..SshArgs::default()
        }
    }

    #[test]
    fn what_is_typed_wins_over_what_is_remembered() {
        let all = merged(named(&ssh(&[("m2", "jump-m2")], &[])), known());
        let told: Vec<_> = all
            .iter()
            .map(|one| (one.name(), one.addresses[0].as_str(), one.origin))
            .collect();
        assert_eq!(
            told,
            [
                ("m1", "10.0.0.1", Origin::Cache),
                ("m2", "jump-m2", Origin::Ssh)
            ]
        );
    }

    #[test]
    fn what_ssh_would_misread_is_left_out_of_what_is_remembered() {
        let nodes = [
            ("m1", "-oProxyCommand=x"),
            ("m2", "10.0.0.2"),
            ("ssh://evil", "a b"),
        ];
        let nodes = nodes.map(|(node, address)| (node.to_owned(), vec![address.to_owned()]));
        let all = merged(
            Vec::new(),
            Known::new("https://10.0.0.9:6443", nodes.into()),
        );
        let known = all
            .iter()
            .map(|one| (one.addresses.len(), one.left_out.len()));
        let known: Vec<_> = known.collect();
        assert_eq!(known, [(0, 1), (1, 0), (0, 2)]);
        assert!(all[2].alias().is_none() && all[1].alias().is_some());
    }

    #[tokio::test]
    async fn masters_that_are_named_are_all_there_are() {
        let args = ssh(&[("m1", "10.0.0.1")], &["10.0.0.2"]);
        let nowhere = ConnectionArgs {
            kubeconfig: Some("/nowhere".into()),
            ..ConnectionArgs::default()
        };
        let found = find(&args, &nowhere).await.unwrap();
        assert_eq!(found.candidates.len(), 2);
        assert_eq!(
            found.told,
            "control-plane nodes, from --master: m1 (10.0.0.1), 10.0.0.2"
        );
        let only_ssh = find(&ssh(&[("m1", "10.0.0.1")], &[]), &nowhere)
            .await
            .unwrap();
        assert!(only_ssh.told.contains("from --ssh"), "{}", only_ssh.told);
        assert!(found.complete && !only_ssh.complete);
        let error = find(&SshArgs::default(), &nowhere).await.unwrap_err();
        assert!(
            error.hints.iter().any(|hint| hint.contains("--master")),
            "{error:?}"
        );
    }
}
