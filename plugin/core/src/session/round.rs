//! One operation on several nodes by Jobs or Pods of one kind: one watch for all of them.

use std::sync::Arc;
use std::time::Duration;

use etcd_operations::operation::{Assignment, Operation};
use etcd_operations::report::Report;
use etcd_operations::wire::{self, Progress};

use super::{Cluster, Node, namespace};
use crate::carried::carried;
use crate::cleanup;
use crate::outcome::{Notice, NoticeSink, RunError, RunErrorKind};
use crate::owner;
use crate::runners::launch::{Kind, Launch, Launched};
use crate::runners::podspec::{self, Run};
use crate::runners::program::{CarriedProgram, Program};
use crate::runners::trouble::api_error;
use crate::runners::watching::PodWatch;
use crate::runners::{deadline, payload};
use crate::schedule;
use crate::via::Via;

/// When leftovers are looked for.
const SWEEP_AFTER: Duration = Duration::from_millis(250);

/// A round that has begun: the program is in the cluster and was compared, and the Pods are watched.
pub(crate) struct Round<'a> {
    cluster: &'a Cluster,
    program: &'a Program,
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
    /// When the program cannot be had in the cluster.
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
            nodes.iter().map(|node| {
                let object = podspec::name(&run, operation, &node.name);
                (node.name.clone(), object)
            }),
        );
        let program = cluster.program().await?;
        cluster.sweep_once();
        Ok(Self {
            cluster,
            program,
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
            program: self.program,
            run: &self.run,
            heard: &self.cluster.heard,
            kind: self.kind,
            replaceable: self.cluster.replaceable,
            limit: self.limit,
        }
    }
}

impl Cluster {
    /// The program that Jobs run. The carried one is in the cluster then, and was compared with what the plugin carries;
    /// that is done once for a session.
    ///
    /// # Errors
    /// Why it is not there and cannot be uploaded.
    pub async fn program(&self) -> Result<&Program, RunError> {
        self.program.get_or_try_init(|| self.provide()).await
    }

    /// What Jobs would run: the program if it is there, else the names that it would have. Nothing is created.
    pub fn program_preview(&self) -> Program {
        let found = self.located.programs.as_ref();
        let found = found.and_then(|found| found.program.clone());
        let carried = || Program::Carried(found.unwrap_or_else(|| payload::preview(&carried())));
        self.image.clone().unwrap_or_else(carried)
    }

    async fn provide(&self) -> Result<Program, RunError> {
        if self.located.missing {
            namespace::create(&self.connection.control, &self.connection.namespace).await?;
        }
        if let Some(image) = &self.image {
            return Ok(image.clone());
        }
        let place = self.place();
        let found = match &self.located.programs {
            Some(found) => found.clone(),
            None => payload::find(place, &carried()).await.map_err(|error| {
                api_error("looking for the job's program in the cluster", &error)
            })?,
        };
        if let Some(warning) = payload::warning(place.namespace, &found.deviations) {
            (self.notices)(Notice::Warning(warning));
        }
        if let Some(program) = found.program {
            return Ok(Program::Carried(program));
        }
        let program = payload::upload(place, &carried()).await?;
        self.follow_up(&program);
        Ok(Program::Carried(program))
    }

    /// After the upload of a new version: schedules move to it, and the parts of older ones may go, beside the work.
    fn follow_up(&self, program: &CarriedProgram) {
        let client = self.connection.control.clone();
        let namespace = self.connection.namespace.clone();
        let (program, notices) = (program.clone(), Arc::clone(&self.notices));
        self.created.chore(tokio::spawn(async move {
            schedule::move_known(&client, &namespace, &program, &notices).await;
            let removed =
                cleanup::remove_old_parts(&client, &namespace, &program.config_maps).await;
            tracing::debug!(?removed, "parts of older versions");
        }));
    }

    /// Where the carried program is.
    pub fn place(&self) -> payload::Place<'_> {
        payload::Place {
            client: &self.connection.control,
            cluster: &self.connection.cluster,
            namespace: &self.connection.namespace,
            compared: &self.compared,
        }
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
}
