//! One operation on several nodes by Jobs or Pods of one kind: one watch for all of them.

use std::sync::Arc;
use std::time::Duration;

use etcd_operations::operation::{Assignment, Operation};
use etcd_operations::report::Report;
use etcd_operations::wire::{self, Progress};

use super::{Cluster, Node};
use crate::cleanup;
use crate::cli::Via;
use crate::outcome::{Notice, NoticeSink, RunError, RunErrorKind};
use crate::owner;
use crate::runners::launch::{Kind, Launch, Launched};
use crate::runners::podspec::Run;
use crate::runners::program::Program;
use crate::runners::watching::PodWatch;
use crate::runners::{carry, deadline};
use crate::schedule;

/// When leftovers are looked for.
const SWEEP_AFTER: Duration = Duration::from_millis(250);

/// A round that has begun: the program is in the cluster and the Pods are watched.
pub(crate) struct Round<'a> {
    cluster: &'a Cluster,
    kind: Kind,
    run: Run,
    watch: PodWatch,
    operation: &'a Operation,
    limit: Duration,
}

impl<'a> Round<'a> {
    /// Begins a round.
    ///
    /// # Errors
    /// When the program cannot be brought into the cluster.
    pub(crate) async fn begin(
        cluster: &'a Cluster,
        via: Via,
        nodes: &[&Node],
        operation: &'a Operation,
        limit: Duration,
    ) -> Result<Self, RunError> {
        let run = Run {
            id: owner::run_id(),
            owner: cluster.owner.clone(),
            deadline: deadline(operation, limit),
        };
        let watch = PodWatch::begin(
            cluster.connection.stream.clone(),
            &cluster.connection.namespace,
            &run.id,
            nodes.iter().map(|node| node.name.clone()),
        );
        cluster.bring_program().await?;
        cluster.sweep_once();
        Ok(Self {
            cluster,
            kind: if via == Via::Pod {
                Kind::Pod
            } else {
                Kind::Job
            },
            run,
            watch,
            operation,
            limit,
        })
    }

    /// Runs it on one node and has what was created removed beside what comes next.
    pub(crate) async fn run(&self, node: &Node, notices: &NoticeSink) -> Result<Report, RunError> {
        let launched = self.launch(node, notices).await?;
        self.cluster.created.remove_soon(launched.object);
        Ok(launched.report)
    }

    /// Runs it on one node and leaves the pod there.
    pub(crate) async fn launch(
        &self,
        node: &Node,
        notices: &NoticeSink,
    ) -> Result<Launched, RunError> {
        let (assignment, seen) = self.prepare(node)?;
        let notices = Arc::clone(notices);
        let name = node.name.clone();
        let mut progress = move |progress: Progress| {
            notices(Notice::Progress {
                node: name.clone(),
                progress,
            });
        };
        self.launcher()
            .to_report(&assignment, seen, &mut progress)
            .await
    }

    /// What a launch on this node starts with.
    pub(crate) fn prepare(
        &self,
        node: &Node,
    ) -> Result<
        (
            Assignment,
            tokio::sync::watch::Receiver<crate::runners::watching::Seen>,
        ),
        RunError,
    > {
        let target = node
            .target()
            .ok_or_else(|| RunError::new(RunErrorKind::NoEtcd, "no etcd on this node"))?;
        let seen = self
            .watch
            .of(&node.name)
            .ok_or_else(|| RunError::new(RunErrorKind::Lost, "the node is not watched"))?;
        let assignment = Assignment {
            version: wire::VERSION,
            operation: self.operation.clone(),
            target: target.clone(),
        };
        Ok((assignment, seen))
    }

    /// The launcher of this round.
    pub(crate) fn launcher(&self) -> Launch<'_> {
        Launch {
            connection: &self.cluster.connection,
            created: &self.cluster.created,
            program: &self.cluster.program,
            run: &self.run,
            heard: &self.cluster.heard,
            kind: self.kind,
            replaceable: self.cluster.replaceable,
            limit: self.limit,
        }
    }
}

impl Cluster {
    /// Brings the carried program in, once for a session.
    pub(crate) async fn bring_program(&self) -> Result<(), RunError> {
        if let Program::Image { .. } = self.program {
            return Ok(());
        }
        let bring = || async {
            let carried = crate::carried::carried();
            let namespace = &self.connection.namespace;
            let present = self.present.clone().unwrap_or_default();
            let brought =
                carry::bring(&self.connection.control, namespace, &carried, &present).await;
            if self.present.is_none()
                && matches!(&brought, Err(error) if error.kind == RunErrorKind::NoRights)
            {
                // It could not be seen whether the parts are there: they may be, and what is missing more is then said.
                return Ok(());
            }
            if brought? {
                // A new version: schedules move to it, and the parts of older ones may go, beside the work.
                let client = self.connection.control.clone();
                let (namespace, keep) = (namespace.clone(), carry::program(&carried).config_maps);
                let notices = Arc::clone(&self.notices);
                self.created.chore(tokio::spawn(async move {
                    schedule::move_known(&client, &namespace, &notices).await;
                    let removed = cleanup::remove_old_parts(&client, &namespace, &keep).await;
                    tracing::debug!(?removed, "parts of older versions");
                }));
            }
            Ok(())
        };
        self.brought.get_or_try_init(bring).await.copied()
    }

    /// Removes what dead runs left, while this one waits for its pods anyway.
    fn sweep_once(&self) {
        self.swept.call_once(|| {
            let client = self.connection.control.clone();
            let namespace = self.connection.namespace.clone();
            self.created.chore(tokio::spawn(async move {
                // After the Jobs of this run have been created: they matter more.
                tokio::time::sleep(SWEEP_AFTER).await;
                let removed = cleanup::remove_dead_runs(&client, &namespace).await;
                tracing::debug!(?removed, "left by dead runs");
            }));
        });
    }

    /// The program the Jobs run.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }
}
