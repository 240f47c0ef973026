//! The hosts that were reached without an apiserver, as a runner.

use etcd_operations::operation::Operation;
use etcd_operations::report::Report;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::host::Host;
use super::{Results, Runner, Task, within};
use crate::discovery::Node;
use crate::outcome::{RunError, RunErrorKind};
use crate::via::Via;

/// The hosts that were reached over ssh, this one among them where it is a control-plane node.
pub(crate) struct Hosts(pub(crate) Vec<Host>);

impl Hosts {
    fn of(&self, node: &Node) -> Option<&Host> {
        self.0.iter().find(|host| host.node() == node.name)
    }

    async fn ask(&self, node: &Node, operation: &Operation) -> Result<Report, RunError> {
        let lost = || RunError::new(RunErrorKind::Lost, "the host is not connected");
        self.of(node).ok_or_else(lost)?.operate(operation).await
    }
}

impl Runner for Hosts {
    fn via(&self) -> Via {
        Via::Ssh
    }

    fn via_on(&self, node: &Node) -> Via {
        match self.of(node).is_some_and(Host::is_here) {
            true => Via::Local,
            false => Via::Ssh,
        }
    }

    fn can_run(&self, task: &Task<'_>, _node: &Node) -> bool {
        task.receiver.is_none()
    }

    fn run<'a>(&'a self, nodes: &'a [&'a Node], task: Task<'a>) -> Results<'a> {
        let work = nodes
            .iter()
            .enumerate()
            .map(move |(position, node)| async move {
                let work = Box::pin(self.ask(node, task.operation));
                (position, within(task.limit, work).await)
            });
        work.collect::<FuturesUnordered<_>>().boxed()
    }
}
