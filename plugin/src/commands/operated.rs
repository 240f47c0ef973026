//! A cluster as a change of its etcd asks for it: surveyed, operated on node by node, and locked.

#[cfg(test)]
pub(crate) mod memory;

use etcd_operations::operation::Operation;
use etcd_operations::report::StatusReport;
use etcd_operations::request::Request;

use super::{Context, answered_survey, survey};
use crate::args::FleetArgs;
use kubectl_etcd_core::assess::model::Status;
use kubectl_etcd_core::discovery::{LeftAlone, Node};
use kubectl_etcd_core::error::Error;
use kubectl_etcd_core::lease::LeaseGuard;
use kubectl_etcd_core::outcome::{Outcome, only};
use kubectl_etcd_core::session::Session;

/// A cluster whose etcd is changed.
pub(crate) trait OperatedCluster {
    /// What keeps others out.
    type Lock: ClusterLock;

    /// The control-plane nodes.
    fn nodes(&self) -> &[Node];

    /// The pods that say they are an etcd and are not believed.
    fn left_alone(&self) -> &[LeftAlone];

    /// Does an operation on these nodes, on all at once.
    async fn run<R: Request<Wire = Operation>>(
        &self,
        nodes: &[&Node],
        request: &R,
    ) -> Vec<Outcome<R::Answer>>;

    /// Asks all nodes for their status and puts the answers together.
    async fn survey(&self) -> (Vec<Outcome<StatusReport>>, Status);

    /// Takes the cluster's lock.
    ///
    /// # Errors
    /// When somebody else holds it.
    async fn lock(&self, what: &str) -> Result<Self::Lock, Error>;

    /// Why something was refused: who else is at work, where that is the reason.
    async fn refused_because(&self, refused: Error) -> Error;

    /// As [`OperatedCluster::survey`], where nothing can be done unless a node gives an answer.
    ///
    /// # Errors
    /// Why none does.
    async fn answered_survey(&self) -> Result<(Vec<Outcome<StatusReport>>, Status), Error>;

    /// Does one operation on the node of this name.
    ///
    /// # Errors
    /// Why there is no report.
    async fn ask<R: Request<Wire = Operation>>(
        &self,
        name: &str,
        request: &R,
    ) -> Result<R::Answer, Error> {
        let mut nodes = self.nodes().iter();
        let node = nodes
            .find(|node| node.name == name)
            .ok_or_else(|| Error::failed(format!("{name} is no longer a node of this cluster")))?;
        only(name, self.run(&[node], request).await)
    }
}

/// A lock that somebody else may take over.
pub(crate) trait ClusterLock {
    /// Whether somebody else has it by now.
    fn is_lost(&self) -> bool;

    /// Nothing more may be begun once somebody else has it.
    ///
    /// # Errors
    /// When somebody else has it.
    fn check(&self) -> Result<(), Error> {
        match self.is_lost() {
            false => Ok(()),
            true => Err(Error::failed(
                "the lock was taken by somebody else, who may be at work on this etcd",
            )),
        }
    }
}

impl ClusterLock for LeaseGuard {
    fn is_lost(&self) -> bool {
        LeaseGuard::is_lost(self)
    }
}

/// A cluster in a session.
pub(crate) struct InSession {
    session: Session,
    fleet: FleetArgs,
}

impl InSession {
    /// Finds the cluster.
    ///
    /// # Errors
    /// As [`Context::open`].
    pub(crate) async fn open(context: &Context<'_>, fleet: FleetArgs) -> Result<Self, Error> {
        let session = context.open(&fleet).await?;
        Ok(Self { session, fleet })
    }
}

impl OperatedCluster for InSession {
    type Lock = LeaseGuard;

    fn nodes(&self) -> &[Node] {
        self.session.nodes()
    }

    fn left_alone(&self) -> &[LeftAlone] {
        self.session.left_alone()
    }

    async fn run<R: Request<Wire = Operation>>(
        &self,
        nodes: &[&Node],
        request: &R,
    ) -> Vec<Outcome<R::Answer>> {
        self.session.run(nodes, request).await
    }

    async fn survey(&self) -> (Vec<Outcome<StatusReport>>, Status) {
        survey(&self.session, &self.fleet).await
    }

    async fn answered_survey(&self) -> Result<(Vec<Outcome<StatusReport>>, Status), Error> {
        answered_survey(&self.session, &self.fleet).await
    }

    async fn lock(&self, what: &str) -> Result<LeaseGuard, Error> {
        self.session.lock(what).await
    }

    async fn refused_because(&self, refused: Error) -> Error {
        self.session.refused_because(refused).await
    }
}
