//! Finding the control-plane nodes without an apiserver: as they are named on the command line, as they were when the
//! cluster last answered, or by the address in the kubeconfig.

mod cache;
pub(crate) mod claim;
pub mod reach;
pub(crate) mod seen;

use crate::connection::ConnectionOptions;
use crate::connection::identity;
use crate::error::Error;
use crate::host_name::HostName;
use crate::ssh::{Candidate, Origin, SshTargets};
use etcd_operations::advice;
use etcd_operations::advice::{Advice, Choice};

pub(crate) use cache::remember;
use cache::{Remembered, recall};

/// The candidates, and where they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The hosts; never none.
    pub candidates: Vec<Candidate>,
    /// Where they come from, as a sentence for standard error.
    pub told: Advice,
    /// Whether these are all there are, as far as anybody knows: a kubeconfig's server is only one of them.
    pub complete: bool,
}

/// Looks for the control-plane nodes, without asking any.
///
/// # Errors
/// When there is nothing to go by: no flag, no kubeconfig.
pub async fn find(ssh: &SshTargets, connection: &ConnectionOptions) -> Result<Found, Error> {
    let named: Vec<Candidate> = named(ssh);
    // Who names control-plane nodes means these and no others.
    if !ssh.masters.is_empty() {
        return Ok(found(named, from(Choice::Master), true));
    }
    let cluster = match identity(connection) {
        Ok(cluster) => cluster,
        Err(_) if !named.is_empty() => return Ok(found(named, from(Choice::Ssh), false)),
        Err(error) => {
            return Err(error.hint(advice![
                Choice::Master.with("HOST"),
                " names a control-plane node, without a kubeconfig"
            ]));
        }
    };
    if let Some(known) = recall(&cluster) {
        let told = format!(
            "as they were when the cluster last answered, {}",
            known.when()
        );
        return Ok(found(merged(named, known), told, true));
    }
    if !named.is_empty() {
        // Where one is says nothing of how many there are.
        return Ok(found(named, from(Choice::Ssh), false));
    }
    let server = Candidate::told(None, [cluster.host()], Origin::Kubeconfig);
    Ok(found(vec![server], "the kubeconfig's server", false))
}

/// That somebody named them so.
fn from(choice: Choice) -> Advice {
    advice!["from ", choice]
}

/// Those of the command line.
fn named(ssh: &SshTargets) -> Vec<Candidate> {
    let at = ssh
        .addresses
        .iter()
        .map(|(node, address)| Candidate::typed(Some(node.clone()), address.clone(), Origin::Ssh));
    let masters = ssh.masters.iter();
    let masters = masters.map(|address| Candidate::typed(None, address.clone(), Origin::Master));
    at.chain(masters).collect()
}

/// Those that are known, where the command line has not said better.
fn merged(mut named: Vec<Candidate>, known: Remembered) -> Vec<Candidate> {
    for (node, addresses) in known.nodes {
        if !named.iter().any(|one| one.node.as_ref() == Some(&node)) {
            let addresses = addresses.iter().map(|address| HostName::parse(address));
            named.push(Candidate::told(Some(node), addresses, Origin::Cache));
        }
    }
    named.sort_by(|one, other| one.node.cmp(&other.node));
    named
}

fn found(candidates: Vec<Candidate>, whence: impl Into<Advice>, complete: bool) -> Found {
    Found {
        told: told(&candidates, whence),
        candidates,
        complete,
    }
}

/// Who is meant and who says so, as a sentence for standard error.
pub fn told(candidates: &[Candidate], whence: impl Into<Advice>) -> Advice {
    let names = candidates
        .iter()
        .map(|one| match (&one.node, one.addresses.first()) {
            (Some(node), Some(address)) => format!("{node} ({address})"),
            _ => one.name().to_owned(),
        });
    let names = names.collect::<Vec<_>>().join(", ");
    advice!["control-plane nodes, ", whence, format!(": {names}")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::Destination;

    fn known() -> Remembered {
        let nodes = [("m1", "10.0.0.1"), ("m2", "10.0.0.2")];
        let nodes = nodes.map(|(node, address)| (node.to_owned(), vec![address.to_owned()]));
        Remembered::new("https://10.0.0.9:6443", nodes.into())
    }

    fn ssh(at: &[(&str, &str)], masters: &[&str]) -> SshTargets {
        SshTargets {
            wanted: true,
            addresses: at
                .iter()
                .map(|(node, address)| ((*node).into(), Destination::typed(address).unwrap()))
                .collect(),
            masters: masters
                .iter()
                .map(|one| Destination::typed(one).unwrap())
                .collect(),
            ..SshTargets::default()
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
            Remembered::new("https://10.0.0.9:6443", nodes.into()),
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
        let nowhere = ConnectionOptions {
            kubeconfig: Some("/nowhere".into()),
            ..ConnectionOptions::default()
        };
        let found = find(&args, &nowhere).await.unwrap();
        assert_eq!(found.candidates.len(), 2);
        assert_eq!(
            found.told,
            "control-plane nodes, from {+master}: m1 (10.0.0.1), 10.0.0.2"
        );
        let only_ssh = find(&ssh(&[("m1", "10.0.0.1")], &[]), &nowhere)
            .await
            .unwrap();
        assert!(
            only_ssh.told.written().contains("from {+ssh}"),
            "{:?}",
            only_ssh.told
        );
        assert!(found.complete && !only_ssh.complete);
        let error = find(&SshTargets::default(), &nowhere).await.unwrap_err();
        assert!(
            error
                .hints
                .iter()
                .any(|hint| hint.written().contains("{+master")),
            "{error:?}"
        );
    }
}
