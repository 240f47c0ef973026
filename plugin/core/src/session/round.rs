//! Jobs and bare Pods as runners: one operation on several nodes at once, and one watch for all of its Pods.

use std::sync::Arc;

use etcd_operations::operation::Assignment;
use etcd_operations::report::Report;
use etcd_operations::wire;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

use super::{Cluster, Node, namespace};
use crate::carried::carried;
use crate::cleanup;
use crate::connection::is_ready_again;
use crate::limits;
use crate::outcome::{Notice, RunError, RunErrorKind};
use crate::owner;
use crate::runners::launch::{Kind, Launch};
use crate::runners::podspec::{self, Run};
use crate::runners::program::{CarriedProgram, Program};
use crate::runners::trouble::api_error;
use crate::runners::watching::PodWatch;
use crate::runners::{Results, Runner, Task, payload};
use crate::schedule;
use crate::via::Via;

/// Jobs, or bare Pods, on the nodes of a cluster.
pub(super) struct Pods {
    pub(super) cluster: Arc<Cluster>,
    pub(super) kind: Kind,
    /// Whether another runner may be tried: none is forced.
    pub(super) replaceable: bool,
}

impl Runner for Pods {
    fn via(&self) -> Via {
        match self.kind {
            Kind::Job => Via::Job,
            Kind::Pod => Via::Pod,
        }
    }

    fn run<'a>(&'a self, nodes: &'a [&'a Node], task: Task<'a>) -> Results<'a> {
        let results = async move {
            let round = self.begin(nodes, task).await.map(Arc::new);
            let work = nodes.iter().enumerate().map(move |(position, node)| {
                let round = round.clone();
                async move {
                    match round {
                        Ok(round) => (position, round.run(node).await),
                        Err(error) => (position, Err(error)),
                    }
                }
            });
            work.collect::<FuturesUnordered<_>>()
        };
        results.flatten_stream().boxed()
    }

    fn is_back(&self) -> BoxFuture<'_, bool> {
        is_ready_again(&self.cluster.connection.control).boxed()
    }
}

impl Pods {
    /// Begins a round.
    ///
    /// # Errors
    /// When the program cannot be had in the cluster.
    async fn begin<'a>(&'a self, nodes: &[&Node], task: Task<'a>) -> Result<Round<'a>, RunError> {
        let cluster = &*self.cluster;
        let run = Run {
            id: owner::run_id(),
            owner: cluster.owner.clone(),
            deadline: limits::deadline(task.operation, task.limit),
        };
        let watch = PodWatch::begin(
            cluster.connection.stream.clone(),
            &cluster.connection.namespace,
            &run.id,
            nodes.iter().map(|node| {
                let object = podspec::name(&run, task.operation, &node.name);
                (node.name.clone(), object)
            }),
        );
        let program = cluster.program().await?;
        cluster.sweep_once();
        Ok(Round {
            pods: self,
            program,
            run,
            watch,
            task,
        })
    }
}

/// One operation on several nodes, begun: the program is in the cluster and was compared, and one watch sees all Pods.
struct Round<'a> {
    pods: &'a Pods,
    program: &'a Program,
    run: Run,
    watch: PodWatch,
    task: Task<'a>,
}

impl Round<'_> {
    /// Runs it on one node.
    async fn run(&self, node: &Node) -> Result<Report, RunError> {
        let target = node
            .target()
            .ok_or_else(|| RunError::new(RunErrorKind::NoEtcd, "no etcd on this node"))?;
        let seen = self
            .watch
            .of(&node.name)
            .ok_or_else(|| RunError::new(RunErrorKind::Lost, "the node is not watched"))?;
        let assignment = Assignment {
            version: wire::VERSION,
            operation: self.task.operation.clone(),
            target: target.clone(),
        };
        let Pods {
            cluster,
            kind,
            replaceable,
        } = self.pods;
        let launch = Launch {
            connection: &cluster.connection,
            created: &cluster.created,
            program: self.program,
            run: &self.run,
            heard: &cluster.heard,
            kind: *kind,
            replaceable: *replaceable,
        };
        launch.to_report(&assignment, seen, self.task).await
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
                api_error("looking for the job's program in the cluster", error)
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
                tokio::time::sleep(limits::SWEEP_AFTER).await;
                let removed = cleanup::remove_dead_runs(&client, &namespace).await;
                tracing::debug!(?removed, "left by dead runs");
            }));
        });
    }
}
