//! A command's way to the nodes: the apiserver or this host, the control-plane nodes, and the runner that works.

mod compare;
mod fetch;
mod lost;
mod maintenance;
mod namespace;
mod open;
mod options;
mod round;

use std::sync::Arc;
use std::time::Duration;

use etcd_operations::operation::Operation;
use etcd_operations::request::Request;
use etcd_operations::wire::Progress;

use crate::connection::Connection;
use crate::created::Created;
pub use crate::discovery::{ApiView, Etcd, LeftAlone, Node};
use crate::error::Error;
use crate::limits;
use crate::outcome::only;
pub use crate::outcome::{Notice, NoticeSink, Outcome, RunError, RunErrorKind};
use crate::owner::Owner;
use crate::runners::Task;
use crate::runners::ladder::Ladder;
use crate::runners::launch::Heard;
use crate::runners::program::Program;
use crate::user_cache::UserCache;
use crate::via::Via;
pub use fetch::{Checked, Compared, Destination, MemberOn, Saved};
pub use options::FleetOptions;

/// The way to the nodes, found once for a command.
pub struct Session {
    nodes: Vec<Node>,
    left_alone: Vec<LeftAlone>,
    /// What is needed to work through the apiserver, where it is used.
    cluster: Option<Arc<Cluster>>,
    /// Whether these nodes are all there are, as far as anybody knows.
    complete: bool,
    ladder: Ladder,
    limit: Option<Duration>,
}

/// What is needed to work through the apiserver.
pub struct Cluster {
    /// The connection to it.
    pub connection: Connection,
    /// What is made there.
    pub created: Created,
    /// Who makes it.
    pub owner: Owner,
    /// The job image, where one is used instead of the carried program.
    image: Option<Program>,
    /// What was found in the namespace at the beginning.
    located: namespace::Located,
    /// The user's note of which parts of programs were compared.
    compared: UserCache,
    /// The program, once it is in the cluster and was compared.
    program: tokio::sync::OnceCell<Program>,
    swept: std::sync::Once,
    notices: NoticeSink,
    heard: Heard,
}

impl Session {
    /// The control-plane nodes, those named by `--node` only if there are any.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The pods that say they are an etcd and are not believed.
    pub fn left_alone(&self) -> &[LeftAlone] {
        &self.left_alone
    }

    /// The nodes of these names; all of them, when none is named.
    ///
    /// # Errors
    /// When there is none of a name.
    pub fn named(&self, names: &[String]) -> Result<Vec<&Node>, Error> {
        open::narrowed(&self.nodes, names)
    }

    /// The runner that is used, as far as it is known by now.
    pub fn via(&self) -> Via {
        self.ladder.via().unwrap_or(Via::Job)
    }

    /// Runs an operation on these nodes, all at once. The outcomes are in the nodes' order.
    ///
    /// Dropping the future leaves what was created to [`Created::remove_all`].
    pub async fn run<R: Request<Wire = Operation>>(
        &self,
        nodes: &[&Node],
        request: &R,
    ) -> Vec<Outcome<R::Answer>> {
        let operation = request.to_wire();
        let tell = |node: &str, progress| self.tell(node, progress);
        let outcomes = self.ladder.run(nodes, self.task(&operation, &tell)).await;
        outcomes.into_iter().map(Outcome::of::<R>).collect()
    }

    /// As [`Session::run`], where that writes nothing into the cluster; none: only a Job could do it.
    async fn glance<R: Request<Wire = Operation>>(
        &self,
        nodes: &[&Node],
        request: &R,
    ) -> Option<Vec<Outcome<R::Answer>>> {
        let operation = request.to_wire();
        let tell = |node: &str, progress| self.tell(node, progress);
        let outcomes = self
            .ladder
            .glance(nodes, self.task(&operation, &tell))
            .await?;
        Some(outcomes.into_iter().map(Outcome::of::<R>).collect())
    }

    /// The task of a runner for one operation.
    fn task<'a>(
        &self,
        operation: &'a Operation,
        progress: &'a (dyn Fn(&str, Progress) + Send + Sync),
    ) -> Task<'a> {
        Task {
            operation,
            limit: limits::of_operation(operation, self.limit),
            progress,
            receiver: None,
        }
    }

    fn tell(&self, node: &str, progress: Progress) {
        (self.notices())(Notice::Progress {
            node: node.to_owned(),
            progress,
        });
    }

    /// Does one operation on one node.
    ///
    /// # Errors
    /// Why there is no report.
    pub async fn ask<R: Request<Wire = Operation>>(
        &self,
        node: &Node,
        request: &R,
    ) -> Result<R::Answer, Error> {
        only(&node.name, self.run(&[node], request).await)
    }

    /// What is needed to work through the apiserver.
    ///
    /// # Errors
    /// When this session works on this host instead.
    pub fn cluster(&self) -> Result<&Cluster, Error> {
        let missing = || Error::failed("there is no apiserver to do this through");
        self.cluster.as_deref().ok_or_else(missing)
    }

    /// Whether these nodes are all there are, as far as anybody knows.
    pub fn knows_all(&self) -> bool {
        self.complete
    }

    /// Where is told what goes on.
    pub fn notices(&self) -> &NoticeSink {
        self.ladder.notices()
    }
}
