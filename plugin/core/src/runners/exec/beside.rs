//! A member on a node that the apiserver does not reach, asked over the network from a node that it reaches: only a kubelet may
//! be down there, or a port closed.

use etcd_operations::client::etcdctl::Etcdctl;
use etcd_operations::ids::MemberId;
use etcd_operations::operation::Operation;
use etcd_operations::report::Report;
use etcd_operations::run::run_calls;
use etcd_operations::target::Target;
use futures::future::join_all;

use super::{PodExec, etcdctl, status};
use crate::connection::Connection;
use crate::discovery::Node;
use crate::outcome::{RunError, RunErrorKind};

/// The same reports, with those of members that answer a neighbour.
pub(super) async fn completed(
    connection: &Connection,
    nodes: &[&Node],
    operation: &Operation,
    reports: Vec<Result<Report, RunError>>,
) -> Vec<Result<Report, RunError>> {
    let Some(neighbour) = reports.iter().position(Result::is_ok) else {
        return reports;
    };
    let neighbour = nodes[neighbour];
    let known: Vec<MemberId> = reports.iter().flatten().filter_map(member).collect();
    let known = &known;
    let asked = nodes.iter().zip(reports).map(|(node, report)| async move {
        let error = match report {
            Err(error) if error.kind == RunErrorKind::NodeDown => error,
            report => return report,
        };
        let heard = heard_from(connection, neighbour, node, operation).await;
        // Where a member answers that is another node's, the address is a balancer's.
        let of_its_own = |report: &Report| member(report).is_some_and(|id| !known.contains(&id));
        heard.filter(of_its_own).ok_or_else(|| RunError {
            message: format!(
                "{}, and its etcd does not answer {} either",
                error.message, neighbour.name
            ),
            ..error
        })
    });
    join_all(asked).await
}

/// What this node's member answers to etcdctl on its neighbour.
async fn heard_from(
    connection: &Connection,
    neighbour: &Node,
    node: &Node,
    operation: &Operation,
) -> Option<Report> {
    let (etcdctl, _) = etcdctl(connection, neighbour, operation).ok()?;
    let target = node.target()?;
    let target = Target {
        client_urls: vec![target.url_beyond_the_node()?.to_owned()],
        ..target.clone()
    };
    report(&etcdctl, &target, operation).await
}

async fn report(
    etcdctl: &Etcdctl<PodExec<'_>>,
    target: &Target,
    operation: &Operation,
) -> Option<Report> {
    match operation {
        Operation::Status => status::of_other(etcdctl, target).await.ok(),
        _ => run_calls(etcdctl, target, operation, &mut |_| {})
            .await
            .ok(),
    }
}

/// The member that a report is of; none: it did not answer.
fn member(report: &Report) -> Option<MemberId> {
    match report {
        Report::Status(status) => Some(status.own.ok()?.member_id),
        Report::Health(health) => health.member_id,
        _ => None,
    }
}
