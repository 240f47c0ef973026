//! Finding the control-plane nodes without an apiserver: as they are named on the command line, as they were when the
//! cluster last answered, or by the address in the kubeconfig.

mod cache;
pub(crate) mod reach;

use std::collections::BTreeMap;

use crate::cli::ConnectionArgs;
use crate::connection::identity;
use crate::discovery::Node;
use crate::error::Error;
use crate::ssh::SshArgs;

pub(crate) use cache::remember;
use cache::{Known, recall};

/// A host that is a control-plane node, or may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The node's name, where it is known.
    pub node: Option<String>,
    /// Where it is, as ssh takes it: to be tried in this order.
    pub addresses: Vec<String>,
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
    /// What it is called in messages.
    pub fn name(&self) -> &str {
        let address = self.addresses.first().map(String::as_str);
        self.node.as_deref().or(address).unwrap_or("a host")
    }

    /// Whether its address was given on the command line.
    pub(crate) fn is_given(&self) -> bool {
        match self.origin {
            Origin::Ssh | Origin::Master => true,
            Origin::Cache | Origin::Member | Origin::Kubeconfig => false,
        }
    }

    /// The words by which it is known: its name and its addresses.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        let words = self.node.iter().chain(&self.addresses);
        words.map(String::as_str)
    }

    /// Whether both are of one node, by its name or an address.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        self.words()
            .any(|word| other.words().any(|one| one == word))
    }

    /// The same, where the command line may say another address.
    #[must_use]
    pub(crate) fn at_given(self, given: &BTreeMap<String, String>) -> Self {
        match self.node.as_ref().and_then(|node| given.get(node)) {
            Some(address) => Self {
                addresses: vec![address.clone()],
                origin: Origin::Ssh,
                ..self
            },
            None => self,
        }
    }

    /// A node that the apiserver tells of, where `--ssh` may say another address.
    pub fn of_node(node: &Node, ssh: &SshArgs) -> Self {
        let given = ssh.addresses().remove(&node.name);
        let origin = match given {
            Some(_) => Origin::Ssh,
            None => Origin::Cache,
        };
        Self {
            node: Some(node.name.clone()),
            addresses: given.map_or_else(|| node.api.addresses.clone(), |given| vec![given]),
            origin,
        }
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
    let server = Candidate {
        node: None,
        addresses: vec![cluster.host()],
        origin: Origin::Kubeconfig,
    };
    Ok(found(vec![server], "the kubeconfig's server", false))
}

/// Those of the command line.
fn named(ssh: &SshArgs) -> Vec<Candidate> {
    let at = ssh
        .addresses()
        .into_iter()
        .map(|(node, address)| Candidate {
            node: Some(node),
            addresses: vec![address],
            origin: Origin::Ssh,
        });
    let masters = ssh.master.iter().map(|address| Candidate {
        node: None,
        addresses: vec![address.clone()],
        origin: Origin::Master,
    });
    at.chain(masters).collect()
}

/// Those that are known, where the command line has not said better.
fn merged(mut named: Vec<Candidate>, known: Known) -> Vec<Candidate> {
    for (node, addresses) in known.nodes {
        if !named.iter().any(|one| one.node.as_ref() == Some(&node)) {
            named.push(Candidate {
                node: Some(node),
                addresses,
                origin: Origin::Cache,
            });
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

/// The host of a URL, as ssh takes it.
pub(crate) fn host_of(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let host = uri.host()?;
    Some(host.trim_matches(['[', ']']).to_owned())
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
                    address: (*address).into(),
                })
                .collect(),
            master: masters.iter().map(|&one| one.into()).collect(),
            ..SshArgs::default()
        }
    }

    #[test]
    fn hosts_of_urls_are_as_ssh_takes_them() {
        assert_eq!(
            host_of("https://10.0.0.1:2380").as_deref(),
            Some("10.0.0.1")
        );
        assert_eq!(
            host_of("https://[fd00::1]:2380").as_deref(),
            Some("fd00::1")
        );
        assert_eq!(host_of("nonsense url"), None);
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
