//! `kubectl etcd plan resume`: a plan that has begun and not ended is done to its end, and ends as it would have at once.

use etcd_operations::advice;
use std::path::PathBuf;

use clap::Args;
use etcd_operations::look::LookOptions;
use etcd_operations::plan::{Action, Direction, Plan, PlanId, PlanKind, StepState};

use super::idle::found_idle;
use super::outage::refuse_outage;
use super::{WhichArgs, find};
use crate::commands::Context;
use crate::commands::life::{Change, Consent, Ending, Terminal, carry_out};
use crate::commands::making::{DonePlan, with_ways_on};
use crate::commands::planned::Nothing;
use crate::commands::restore;
use crate::views::plan::PlanView;
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::executor::gather::gather_for;
use kubectl_etcd_core::executor::lock::Locked;
use kubectl_etcd_core::executor::run::Bring;
use kubectl_etcd_core::executor::surroundings::Surroundings;
use kubectl_etcd_core::executor::{Executed, Hosts, PlanState, execute};
use kubectl_etcd_core::runners::host::Host;

const RESUME: &str = "\
Examples:
  # After a crash, a Ctrl-C or a loss of power: go on where it ended
  kubectl etcd plan resume

  # From anywhere, with the snapshot that not every host had got
  kubectl etcd plan resume --ssh --file etcd.db

Exit codes: 0 done, 1 a step failed, 3 done and something is not as it should be, 5 refused.";

#[derive(Debug, Args)]
#[command(after_help = RESUME)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Do not ask for confirmation
    #[arg(short = 'y', long)]
    yes: bool,
    /// Go on although the cluster loses its quorum while this node's etcd is down
    #[arg(long)]
    accept_outage: bool,
    /// The snapshot of a restore, where not every host had got it
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) async fn resume(context: &Context<'_>, args: ResumeArgs) -> Result<Verdict, Error> {
    let ssh = &args.which.ssh;
    let hosts = context.hosts(ssh).await?.hosts;
    let plan = find(&hosts, args.which.plan).await?.plan;
    let hosts = gather_for(&context.ui.notices(), &ssh.targets(), hosts, &plan).await?;
    let snapshot = match &args.file {
        // A database is read page by page, which takes long: not for a plan that has ended, or that is rolled back.
        Some(file) => match found_idle(context.ui, &hosts, &plan.id).await? {
            state if state.unfinished && !state.is_back() => {
                Some(restore::read(context.ui, file).await?)
            }
            _ => None,
        },
        None => None,
    };
    let alone = works_alone(&hosts, &plan, ssh.wanted());
    let resuming = Resuming {
        hosts: &hosts,
        id: &plan.id,
        accept_outage: args.accept_outage,
        snapshot: snapshot.as_ref(),
        surroundings: context.apiservers(alone),
        alone,
    };
    let consent = Consent {
        dry_run: false,
        yes: args.yes,
        output: args.which.output.output,
    };
    carry_out(&resuming, context.ui, consent).await
}

/// Whether a plan is one of this host alone, while there are others: its own apiserver tells then how the cluster is, as in the
/// first run. A plan that forms a cluster lists the others, on which somebody works by hand; one that replaces a member does not.
fn works_alone(hosts: &Hosts, plan: &Plan, by_ssh: bool) -> bool {
    let mut all = hosts.iter();
    let this_host = all.next().is_some_and(Host::is_here) && all.next().is_none();
    let replaces = plan.kind == PlanKind::Replace && !by_ssh;
    this_host && (replaces || !plan.other_hosts.is_empty())
}

/// What is left to do of a plan.
pub(super) struct Resuming<'a, S, B> {
    pub(super) hosts: &'a Hosts,
    pub(super) id: &'a PlanId,
    pub(super) accept_outage: bool,
    /// The snapshot, where somebody has given it.
    pub(super) snapshot: Option<&'a B>,
    pub(super) surroundings: S,
    /// Whether this host is worked on alone.
    pub(super) alone: bool,
}

impl<S: Surroundings, B: Bring> Change for Resuming<'_, S, B> {
    type Plan = PlanState;
    type Lock = Locked;
    type Done = Executed;
    type View = PlanView;

    async fn make(&self, terminal: &impl Terminal) -> Result<PlanState, Error> {
        let state = found_idle(terminal, self.hosts, self.id).await?;
        if state.is_back() {
            let id = self.id;
            return Err(Error::refused(format!("{id} is being rolled back"))
                .hint(advice![self.hosts.undo(id), " resumes that"]));
        }
        Ok(state)
    }

    fn nothing_to_do(
        &self,
        state: &PlanState,
        _consent: &Consent,
        terminal: &impl Terminal,
    ) -> Option<Ending<PlanView>> {
        if state.unfinished {
            return None;
        }
        let id = self.id;
        terminal.say(&format!("{id} has ended: there is nothing to resume"));
        Some(Ending {
            view: None,
            ends: Ok(Verdict::Healthy),
        })
    }

    fn preview(&self, state: &PlanState, _consent: &Consent) -> PlanView {
        PlanView::kept(state)
    }

    // `refuse` takes all: what it costs was agreed to when it began. An outage is refused in `begin`, which asks the hosts.

    fn question(&self, _state: &PlanState) -> String {
        "Resume it?".to_owned()
    }

    async fn lock(&self, state: &PlanState, _terminal: &impl Terminal) -> Result<Locked, Error> {
        self.surroundings.lock(&[], &state.plan.title).await
    }

    fn is_as_agreed(&self, now: &PlanState, agreed: &PlanState) -> bool {
        now.unfinished && now.steps == agreed.steps
    }

    async fn begin(&self, state: &PlanState, locked: Locked) -> Result<Locked, Error> {
        if !self.accept_outage {
            refuse_outage(self.hosts, state, Direction::Do).await?;
        }
        self.hosts.begin_again(&state.plan, &[]).await?;
        Ok(locked.during(state.plan.kind).await)
    }

    async fn execute(
        &self,
        state: &PlanState,
        _locked: &Locked,
        terminal: &impl Terminal,
    ) -> Result<Executed, Error> {
        let sent = Sent {
            state,
            snapshot: self.snapshot,
        };
        let executed = execute(&terminal.notices(), self.hosts, &state.plan, &sent).await;
        executed.map_err(|error| with_ways_on(error, self.hosts, self.id))
    }

    async fn check(
        &self,
        state: PlanState,
        executed: Executed,
        terminal: &impl Terminal,
    ) -> Ending<PlanView> {
        let looked = match self.alone {
            // Only to know where its apiserver is. One that cannot be looked at is told by the check.
            true => self.hosts.look(LookOptions::WITHOUT_DATABASES).await.ok(),
            false => None,
        };
        let done = DonePlan {
            kind: state.plan.kind,
            view: PlanView::resumed(&state),
            executed,
            looked: looked.as_ref().and_then(|looked| looked.first()),
        };
        done.checked(self.hosts, &self.surroundings, terminal).await
    }
}

/// What was sent before a plan was interrupted, and what it takes to send the rest.
struct Sent<'a, B> {
    state: &'a PlanState,
    snapshot: Option<&'a B>,
}

impl<B: Bring> Bring for Sent<'_, B> {
    async fn snapshot(&self, host: &Host, plan: &Plan) -> Result<(), Error> {
        let received = plan.steps_of(host.node()).any(|step| {
            let done = matches!(
                self.state.steps.get(&step.number),
                Some(StepState::Done { .. })
            );
            done && matches!(step.action, Action::Receive(_))
        });
        match self.snapshot {
            _ if received => Ok(()),
            Some(snapshot) => snapshot.snapshot(host, plan).await,
            None => Nothing.snapshot(host, plan).await,
        }
    }
}
