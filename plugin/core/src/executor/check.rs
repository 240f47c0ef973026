//! What is looked at when a plan is done: nothing is claimed that was not seen.

use std::time::Duration;

use etcd_operations::wire::ask;
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};

use super::Hosts;
use crate::connection::Connection;
use crate::connection::ConnectionOptions;
use crate::error::Verdict;
use crate::format::{counted, revision};
use crate::limits;
use crate::runners::host::Host;
use crate::runners::trouble::{NOT_ACCEPTED, is_denied_by_kubelet};

/// Where kubelets report.
const LEASES: &str = "kube-node-lease";

/// What was seen, and whether anything is not as it should be.
#[derive(Debug, Default)]
pub struct Checked {
    /// A sentence each.
    pub seen: Vec<String>,
    /// What is not as it should be, or could not be looked at.
    pub problems: Vec<String>,
}

impl Checked {
    /// What that means for the cluster.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(self.problems.is_empty())
    }
}

/// Looks at a cluster whose plan is done: the members, the nodes, the pods. Its revision must not be lower than this.
pub async fn check(
    hosts: &Hosts,
    connection: &ConnectionOptions,
    at_least: Option<u64>,
) -> Checked {
    let since = Timestamp::now();
    let mut checked = Checked::default();
    members(hosts, at_least, &mut checked).await;
    kubernetes(hosts, connection, since, &mut checked).await;
    checked
}

async fn members(hosts: &Hosts, at_least: Option<u64>, checked: &mut Checked) {
    let Some(host) = hosts.iter().next() else {
        return;
    };
    let agreement = match host.ask(&ask::Agreement).await {
        Ok(agreement) => agreement,
        Err(error) => {
            let problem = format!("the members could not be compared: {}", error.message);
            return checked.problems.push(problem);
        }
    };
    let members = counted(agreement.members.len(), "member");
    if agreement.is_complete() {
        checked.seen.push(format!(
            "{members} with the same data (hash of everything up to revision {}), cluster {}",
            revision(agreement.revision),
            agreement.cluster_id
        ));
    }
    for member in &agreement.members {
        match &member.hash {
            etcd_operations::failure::Answer::Failed(failure) => checked.problems.push(format!(
                "the member {} was not compared: {failure}",
                member.name
            )),
            etcd_operations::failure::Answer::Ok(hash) if !agreement.is_complete() => checked
                .problems
                .push(format!("the member {} has the hash {hash}", member.name)),
            etcd_operations::failure::Answer::Ok(_) => {}
        }
    }
    let now = u64::try_from(agreement.revision).unwrap_or(0);
    if let Some(before) = at_least.filter(|before| now < *before) {
        checked.problems.push(format!(
            "the revision is {now}, which is lower than {before} before"
        ));
    }
}

async fn kubernetes(
    hosts: &Hosts,
    connection: &ConnectionOptions,
    since: Timestamp,
    checked: &mut Checked,
) {
    let not = |why: String| format!("nodes and pods were not looked at: {why}");
    let client = match client(connection).await {
        Ok(client) => client,
        Err(why) => return checked.problems.push(not(why)),
    };
    let nodes: Vec<&str> = hosts.iter().map(Host::node).collect();
    match silent(&client, &nodes, since).await {
        Ok(silent) if silent.is_empty() => {
            let kubelets = counted(nodes.len(), "kubelet");
            checked
                .seen
                .push(format!("{kubelets} reported to the apiserver since"));
        }
        Ok(silent) => checked.problems.push(format!(
            "no report of kubelet on {} within {} s",
            silent.join(", "),
            limits::KUBELETS_REPORT.as_secs()
        )),
        Err(why) => return checked.problems.push(not(why)),
    }
    for node in denying(&client, &nodes, limits::KUBELETS_ACCEPT).await {
        let problem = format!("{node}: {NOT_ACCEPTED}");
        checked.problems.push(problem);
    }
    match pods(&client).await {
        Ok((ready, others)) if others.is_empty() => {
            checked
                .seen
                .push(format!("{}, all ready", counted(ready, "pod")));
        }
        Ok((ready, others)) => checked.seen.push(format!(
            "{} ready, not yet: {}",
            counted(ready, "pod"),
            shortened(&others)
        )),
        Err(why) => checked.problems.push(not(why)),
    }
}

async fn client(connection: &ConnectionOptions) -> Result<Client, String> {
    let prepared = Connection::prepare(connection).await;
    prepared
        .map(|prepared| prepared.control)
        .map_err(|error| error.chain())
}

/// The nodes whose kubelet has not renewed its lease since.
async fn silent(client: &Client, nodes: &[&str], since: Timestamp) -> Result<Vec<String>, String> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), LEASES);
    let until = Instant::now() + limits::KUBELETS_REPORT;
    loop {
        let found = asked(leases.list(&ListParams::default())).await;
        let silent = found.map(|found| {
            let renewed = |node: &&str| {
                found.items.iter().any(|lease| {
                    let spec = lease.spec.as_ref();
                    let time = spec.and_then(|spec| spec.renew_time.as_ref());
                    lease.metadata.name.as_deref() == Some(node)
                        && time.is_some_and(|at| at.0 >= since)
                })
            };
            let silent = nodes.iter().filter(|node| !renewed(node));
            silent.map(|node| (*node).to_owned()).collect::<Vec<_>>()
        });
        match silent {
            Ok(silent) if silent.is_empty() => return Ok(silent),
            silent if Instant::now() >= until => return silent,
            _ => sleep(limits::CHECK_AGAIN).await,
        }
    }
}

/// The nodes whose kubelet denies the apiserver to read a log. What else keeps a log from being read says nothing of it.
async fn denying(client: &Client, nodes: &[&str], limit: Duration) -> Vec<String> {
    let until = Instant::now() + limit;
    let mut left: Vec<String> = nodes.iter().map(|node| (*node).to_owned()).collect();
    loop {
        let asked = join_all(left.iter().map(|node| denies(client, node))).await;
        let mut asked = asked.into_iter();
        left.retain(|_| asked.next() == Some(true));
        if left.is_empty() || Instant::now() >= until {
            return left;
        }
        sleep(limits::CHECK_AGAIN).await;
    }
}

/// Whether the kubelet of a node denies it: told by the log of a pod that runs there, of which nothing is taken.
async fn denies(client: &Client, node: &str) -> bool {
    let pods: Api<Pod> = Api::all(client.clone());
    let of_node = format!("spec.nodeName={node},status.phase=Running");
    let params = ListParams::default().fields(&of_node).limit(1);
    let Ok(found) = asked(pods.list(&params)).await else {
        return false;
    };
    let Some(pod) = found.items.into_iter().next() else {
        return false;
    };
    let container = pod
        .spec
        .and_then(|spec| Some(spec.containers.into_iter().next()?.name));
    let (Some(name), Some(namespace)) = (pod.metadata.name, pod.metadata.namespace) else {
        return false;
    };
    let params = LogParams {
        container,
        limit_bytes: Some(1),
        ..LogParams::default()
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let log = timeout(limits::CHECK, pods.logs(&name, &params)).await;
    matches!(log, Ok(Err(kube::Error::Api(status))) if is_denied_by_kubelet(&status.message))
}

/// How many pods are ready, and which are not.
async fn pods(client: &Client) -> Result<(usize, Vec<String>), String> {
    let pods: Api<Pod> = Api::all(client.clone());
    let found = asked(pods.list(&ListParams::default())).await?;
    let (mut ready, mut others) = (0, Vec::new());
    for pod in found.items {
        let status = pod.status.unwrap_or_default();
        let is_ready = status
            .conditions
            .unwrap_or_default()
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True");
        if is_ready {
            ready += 1;
        } else if status.phase.as_deref() != Some("Succeeded") {
            others.push(pod.metadata.name.unwrap_or_default());
        }
    }
    Ok((ready, others))
}

async fn asked<T>(question: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
    match timeout(limits::CHECK, question).await {
        Ok(answer) => answer.map_err(|error| crate::connection::chain(&error)),
        Err(_) => Err("the apiserver does not answer".to_owned()),
    }
}

fn shortened(names: &[String]) -> String {
    const MOST: usize = 8;
    let shown = names
        .iter()
        .take(MOST)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().checked_sub(MOST).filter(|more| *more > 0) {
        Some(more) => format!("{shown} and {more} more"),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::fake::{Reply, flags, refused, serve};

    #[tokio::test]
    async fn a_kubelet_that_denies_the_apiserver_is_waited_for_and_else_named() {
        const POD: &str = r#"{"apiVersion":"v1","kind":"PodList","metadata":{},"items":[{"metadata":
            {"name":"etcd-m3","namespace":"kube-system"},"spec":{"containers":[{"name":"etcd"}]}}]}"#;
        const DENIED: &str = "Forbidden (user=kube-apiserver-kubelet-client, verb=get, resource=nodes, subresource(s)=[proxy])";
        let denied = async |times: usize, limit: Duration| {
            let reads = AtomicUsize::new(0);
            let address = serve(move |path| match path.contains("/log") {
                false => Reply::Json(200, POD.to_owned()),
                true if reads.fetch_add(1, Ordering::SeqCst) < times => refused(403, DENIED),
                true => Reply::Json(200, "x".to_owned()),
            })
            .await;
            let client = client(&flags(address)).await.unwrap();
            denying(&client, &["m3"], limit).await
        };
        let long = Duration::from_secs(30);
        assert!(denied(1, long).await.is_empty());
        assert_eq!(denied(usize::MAX, Duration::ZERO).await, ["m3"]);
    }
}
