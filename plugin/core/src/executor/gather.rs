//! Who takes part in a plan: this host, and the other control-plane nodes over ssh.

use std::collections::BTreeSet;

use etcd_operations::advice;
use etcd_operations::manifest::Selection;
use etcd_operations::plan::make::HostView;
use etcd_operations::plan::{HostRef, Plan};
use futures::future::join_all;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Hosts;
use crate::connection::ConnectionOptions;
use crate::error::{Error, ErrorKind};
use crate::host_name::HostName;
use crate::inventory::reach::{ReachedHost, connect, here, reach};
use crate::limits;
use crate::outcome::NoticeSink;
use crate::runners::host::Host;
use crate::runners::local;
use crate::ssh::{Candidate, Destination, Origin, SshTargets, at_address};

/// The hosts that could be reached, and those that could not.
pub struct Gathered {
    /// Those that take part.
    pub hosts: Hosts,
    /// Who could not be reached, and why.
    pub unreachable: Vec<(String, String)>,
}

/// Finds everybody who is to take part: control-plane nodes with an etcd. This host does when it is one and we are root.
///
/// # Errors
/// When there is nobody.
pub async fn gather(
    notices: &NoticeSink,
    ssh: &SshTargets,
    connection: &ConnectionOptions,
) -> Result<Gathered, Error> {
    let reached = reach(notices, ssh, connection).await?;
    let unreached = reached.unreached.into_iter();
    let mut unreachable: Vec<(String, String)> = unreached.map(|one| (one.name, one.why)).collect();
    let mut hosts = Vec::new();
    for one in reached.hosts {
        match without_etcd(&one) {
            None => hosts.push(one.host),
            Some(why) => unreachable.push((one.node().to_owned(), why)),
        }
    }
    if hosts.is_empty() {
        let message = "no control-plane node with an etcd of its own could be reached";
        let error = Error::new(ErrorKind::NothingReached, message);
        return Err(unreachable
            .into_iter()
            .fold(error, |error, (_, why)| error.hint(why)));
    }
    Ok(Gathered {
        hosts: Hosts::reached(hosts, ssh),
        unreachable,
    })
}

/// Why a host takes no part in a plan, if it does not. This one says so itself when it is asked for its manifest.
fn without_etcd(one: &ReachedHost) -> Option<String> {
    let node = one.node();
    let takes_part = one.hello.etcd || one.host.is_here();
    (!takes_part).then(|| format!("{node} is no control-plane node with an etcd of its own"))
}

/// This host alone.
///
/// # Errors
/// When it is no control-plane node, or we are not root.
pub fn this_host(notices: &NoticeSink, connection: &ConnectionOptions) -> Result<Host, Error> {
    Ok(here(notices, local::node_name()?, &connection.selection()))
}

/// Who takes part in a plan that was begun: whoever is there already, and the others where the plan knows them.
///
/// # Errors
/// Who cannot be reached, and why.
pub async fn gather_for(
    notices: &NoticeSink,
    ssh: &SshTargets,
    mut hosts: Hosts,
    plan: &Plan,
) -> Result<Hosts, Error> {
    let addresses = &ssh.addresses;
    for of_plan in &plan.hosts {
        if hosts.of(&of_plan.node).is_ok() {
            continue;
        }
        let candidate = candidate(of_plan, addresses.get(&of_plan.node)).ok_or_else(|| {
            let (node, id) = (&of_plan.node, &plan.id);
            let message = format!("{node} takes part in {id}, and nobody knows where it is");
            Error::new(ErrorKind::NothingReached, message).hint(at_address(node))
        })?;
        // The plan knows that it is one, whatever it has stopped there, and which etcd is meant.
        let reached = connect(notices, &candidate, ssh, &Selection::default()).await?;
        if reached.node() != of_plan.node {
            let (node, other) = (&of_plan.node, reached.node());
            let message = format!(
                "{node} takes part in {}, and its host calls itself {other}",
                plan.id
            );
            return Err(Error::refused(message).hint(advice![
                at_address(node),
                " says where ",
                node.as_str(),
                " is"
            ]));
        }
        hosts.push(reached.host);
    }
    Ok(hosts)
}

/// A host of a plan: where the user says it is, else where the plan says it was.
fn candidate(of_plan: &HostRef, typed: Option<&Destination>) -> Option<Candidate> {
    let node = Some(of_plan.node.clone());
    if let Some(typed) = typed {
        return Some(Candidate::typed(node, typed.clone(), Origin::Ssh));
    }
    let told = HostName::parse(of_plan.address.as_ref()?);
    Some(Candidate::told(node, [told], Origin::Plan))
}

/// Members and apiservers of the cluster that answer and take no part: what they are, and where.
pub async fn alive_elsewhere(hosts: &[HostView]) -> Vec<String> {
    let others = elsewhere(hosts).into_iter();
    let ports = others.flat_map(|other| {
        let named = |what: &str| format!("{}: {what}", other.name);
        let etcd = (named("etcd"), other.host.clone(), other.peer_port);
        [
            etcd,
            (named("an apiserver"), other.host, apiserver_port(hosts)),
        ]
    });
    let asked = ports.map(async |(what, host, port)| {
        answers(&host, port)
            .await
            .then(|| format!("{what} answers at {host}:{port}"))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// The apiservers of the cluster on hosts that take no part and whose port answers.
pub(crate) async fn apiservers_elsewhere(hosts: &[HostView]) -> Vec<String> {
    let port = apiserver_port(hosts);
    let asked = elsewhere(hosts).into_iter().map(async |other| {
        answers(&other.host, port)
            .await
            .then(|| url_of(&other.host, port))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// A host of a member that takes no part.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Elsewhere {
    /// The member's name; of one that never had any, its host.
    name: String,
    host: String,
    peer_port: u16,
}

/// The hosts of the members that take no part, as those know them that do.
fn elsewhere(hosts: &[HostView]) -> BTreeSet<Elsewhere> {
    let own: BTreeSet<HostName> = hosts
        .iter()
        .filter_map(|host| host.look.etcd.ok())
        .flat_map(|etcd| &etcd.target.peer_urls)
        .filter_map(|url| HostName::of_url(url).ok())
        .collect();
    let mut others = BTreeSet::new();
    for (name, urls) in hosts.iter().flat_map(|host| host.look.known_members()) {
        for url in urls {
            let Some(host) = HostName::of_url(&url)
                .ok()
                .filter(|host| !own.contains(host))
            else {
                continue;
            };
            let host = host.to_string();
            let name = match name.is_empty() {
                true => host.clone(),
                false => name.clone(),
            };
            let port = url.parse::<http::Uri>().ok().and_then(|uri| uri.port_u16());
            others.insert(Elsewhere {
                name,
                host,
                peer_port: port.unwrap_or(2380),
            });
        }
    }
    others
}

/// Whether somebody listens there.
async fn answers(host: &str, port: u16) -> bool {
    let connected = timeout(limits::PORT, TcpStream::connect((host, port))).await;
    matches!(connected, Ok(Ok(_)))
}

/// Where a host's own apiserver is reached, under a name that its certificate has: that of kubeadm has no loopback address.
pub fn own_apiserver(host: &HostView) -> Option<String> {
    let address = host.host.address.as_deref()?;
    let port = apiserver_port(std::slice::from_ref(host));
    Some(url_of(address, port))
}

fn url_of(address: &str, port: u16) -> String {
    match address.contains(':') {
        true => format!("https://[{address}]:{port}"),
        false => format!("https://{address}:{port}"),
    }
}

/// The port of this cluster's apiservers, taken to be the same on all.
fn apiserver_port(hosts: &[HostView]) -> u16 {
    let urls = hosts.iter().filter_map(|host| host.look.apiserver.ok());
    let mut ports = urls.filter_map(|one| one.url.parse::<http::Uri>().ok()?.port_u16());
    ports.next().unwrap_or(6443)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_in_a_plan_is_no_way_for_more_than_a_host_name() {
        let of = |address: &str, typed: Option<&Destination>| {
            let host = HostRef {
                node: "m2".into(),
                address: Some(address.into()),
                etcd: None,
            };
            let found = candidate(&host, typed).unwrap();
            let addresses = found.addresses.iter().map(ToString::to_string);
            addresses.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of("10.0.0.2", None), "10.0.0.2");
        for address in [
            "root@evil.example",
            "ssh://evil:22",
            "-oProxyCommand=x",
            "a;b",
        ] {
            assert_eq!(of(address, None), "");
        }
        let typed = Destination::typed("root@10.0.0.2").unwrap();
        assert_eq!(of("ssh://evil:22", Some(&typed)), "root@10.0.0.2");
    }
}
