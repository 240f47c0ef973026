//! A plan executed to its end, or rolled back to its beginning.

use std::time::{Duration, Instant};

use etcd_operations::plan::{Action, Direction, Done, Plan, Stage, Step, StepRun};
use etcd_operations::wire::ask;

use super::{Hosts, staggered};
use crate::error::Error;
use crate::format::counted;
use crate::outcome::{Notice, NoticeSink};
use crate::runners::host::Host;

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Executed {
    /// What each step did, or what could not be rolled back.
    pub runs: Vec<(u32, StepRun)>,
    /// How long each stage took, by its place in the plan.
    pub took: Vec<(usize, Duration)>,
}

impl Executed {
    /// Whether everything that was to be rolled back was.
    pub fn leaves_nothing(&self) -> bool {
        self.runs.iter().all(|(_, run)| match run {
            StepRun::Done { .. } => true,
            StepRun::Undone { undone, .. } => undone.left.is_empty(),
        })
    }

    /// The revision with which restored data begins, which is above all that was found on any host: afterwards there is no
    /// lower one. None: nothing was restored.
    pub fn least_revision(&self) -> Option<u64> {
        let restored = self.runs.iter().filter_map(|(_, run)| match run {
            StepRun::Done {
                done: Done::Restored { revision_after, .. },
            } => Some(*revision_after),
            StepRun::Done { .. } | StepRun::Undone { .. } => None,
        });
        restored.max()
    }
}

/// Brings what a plan needs to a host before a step that wants it.
#[expect(async_fn_in_trait, reason = "nobody spawns it")]
pub trait Bring {
    /// Has the plan's snapshot in its folder on this host.
    async fn snapshot(&self, host: &Host, plan: &Plan) -> Result<(), Error>;
}

/// Does what is left to do of a plan that has begun on all of its hosts.
///
/// # Errors
/// The first step's that failed, after all of its stage have ended. What was done stays done.
pub async fn execute(
    notices: &NoticeSink,
    hosts: &Hosts,
    plan: &Plan,
    bring: &impl Bring,
) -> Result<Executed, Error> {
    let mut executed = Executed::default();
    for (at, stage) in plan.stages.iter().enumerate() {
        let begun = Instant::now();
        let ended = staggered::all(stage, Direction::Do, async |step| {
            if let Action::Receive(_) = step.action {
                bring.snapshot(hosts.of(&step.node)?, plan).await?;
            }
            perform(hosts, plan, step, Direction::Do).await
        })
        .await;
        told(
            notices,
            at + 1,
            plan.stages.len(),
            stage,
            begun.elapsed(),
            &ended,
        );
        executed.took.push((at, begun.elapsed()));
        collect(&mut executed, stage, ended)?;
    }
    hosts.end(plan).await?;
    Ok(executed)
}

/// Rolls back what was done of a plan, the last step first.
///
/// # Errors
/// As [`execute`].
pub async fn roll_back(
    notices: &NoticeSink,
    hosts: &Hosts,
    plan: &Plan,
) -> Result<Executed, Error> {
    let mut executed = Executed::default();
    for (at, stage) in plan.stages.iter().enumerate().rev() {
        let begun = Instant::now();
        let ended = staggered::all(stage, Direction::Undo, async |step| {
            perform(hosts, plan, step, Direction::Undo).await
        })
        .await;
        let nothing = |run: &StepRun| {
            matches!(
                run,
                StepRun::Undone {
                    never_begun: true,
                    ..
                }
            )
        };
        if !ended.iter().all(|ended| ended.as_ref().is_ok_and(nothing)) {
            let title = format!("undo: {}", stage.title);
            let shown = Stage {
                title,
                ..stage.clone()
            };
            told(
                notices,
                at + 1,
                plan.stages.len(),
                &shown,
                begun.elapsed(),
                &ended,
            );
        }
        collect(&mut executed, stage, ended)?;
    }
    hosts.end(plan).await?;
    Ok(executed)
}

async fn perform(
    hosts: &Hosts,
    plan: &Plan,
    step: &Step,
    direction: Direction,
) -> Result<StepRun, Error> {
    let host = hosts.of(&step.node)?;
    let request = ask::Step {
        plan: plan.id.clone(),
        number: step.number,
        direction,
    };
    host.ask(&request).await
}

fn told(
    notices: &NoticeSink,
    number: usize,
    of: usize,
    stage: &Stage,
    took: Duration,
    ended: &[Result<StepRun, Error>],
) {
    let nodes: Vec<&str> = stage.steps.iter().map(|step| step.node.as_str()).collect();
    let failed = ended.iter().filter(|ended| ended.is_err()).count();
    let ending = match failed {
        0 => format!("{:.1} s", took.as_secs_f64()),
        failed => format!("{} failed", counted(failed, "step")),
    };
    let (title, nodes) = (&stage.title, nodes.join(", "));
    let told = format!("[{number}/{of}] {title} ({nodes}): {ending}");
    notices(Notice::Told(told.into()));
}

fn collect(
    executed: &mut Executed,
    stage: &Stage,
    ended: Vec<Result<StepRun, Error>>,
) -> Result<(), Error> {
    let mut failed = Vec::new();
    for (step, ended) in stage.steps.iter().zip(ended) {
        match ended {
            Ok(run) => executed.runs.push((step.number, run)),
            Err(error) => failed.push(error),
        }
    }
    Error::all(failed).map_or(Ok(()), Err)
}
