//! What every command has that makes a plan: show it, ask, do it, say what came of it.

use std::path::PathBuf;

use clap::Args;
use etcd_operations::failure::Failure;
use etcd_operations::plan::Plan;
use etcd_operations::plan::make::{Looked, Loss, Prospect, TakingPart, newest_revision};

use super::Context;
use crate::cli::{ConnectionArgs, OutputArgs};
use crate::error::{Error, Verdict};
use crate::lead::check::{ADMIN_CONF, check};
use crate::lead::gather::{Gathered, gather, own_apiserver};
use crate::lead::run::Bring;
use crate::lead::{Hosts, lead};
use crate::runners::host::Host;
use crate::ssh::SshArgs;
use crate::ui::Ui;
use crate::views::Format;
use crate::views::plan::{PlanView, Progress, data_losses};

/// The flags of every command that makes a plan.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// Show the plan and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// How the answer is written.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Who takes part in a plan that makes a cluster anew, or a member.
#[derive(Debug, Clone, Args)]
pub struct WhoArgs {
    /// Work on this host alone; what is to be run on each of the others is said
    #[arg(long, conflicts_with_all = ["ssh", "master"])]
    pub this_node_only: bool,
    /// How the others are reached.
    #[command(flatten)]
    pub ssh: SshArgs,
}

impl WhoArgs {
    /// Which hosts that is.
    pub(crate) fn taking_part(&self) -> TakingPart {
        match (self.this_node_only, self.ssh.wanted()) {
            (true, _) => TakingPart::ThisHost,
            (false, true) => TakingPart::Reached,
            (false, false) => TakingPart::Unsaid,
        }
    }

    /// Everybody who is to take part. Who cannot be reached is told.
    ///
    /// # Errors
    /// When there is nobody.
    pub(crate) async fn gather(&self, context: &Context<'_>) -> Result<Gathered, Error> {
        let gathered = gather(context.ui, &self.ssh, context.connection).await?;
        for (node, why) in &gathered.unreachable {
            context.ui.warn(&format!("{node} cannot be reached: {why}"));
        }
        Ok(gathered)
    }

    /// How the cluster is looked at afterwards. On one host alone by its own apiserver, unless flags say otherwise: the one
    /// that a kubeconfig names may be another host's, which is still stopped.
    pub(crate) fn connection(
        &self,
        given: &ConnectionArgs,
        looked: Option<&Looked>,
    ) -> ConnectionArgs {
        let chosen = given.server.is_some() || given.context.is_some() || given.cluster.is_some();
        let own = looked.filter(|_| self.this_node_only && !chosen);
        let admin = || Some(PathBuf::from(ADMIN_CONF)).filter(|path| path.exists());
        let own = own
            .and_then(own_apiserver)
            .zip(given.kubeconfig.clone().or_else(admin));
        match own {
            None => given.clone(),
            Some((server, kubeconfig)) => ConnectionArgs {
                server: Some(server),
                kubeconfig: Some(kubeconfig),
                ..given.clone()
            },
        }
    }
}

/// A plan that makes a cluster anew: nothing serves meanwhile, which is what it is for, and nothing of before is older than
/// what comes of it.
pub(crate) struct Anew<'a> {
    /// Who takes part.
    pub(crate) hosts: &'a Hosts,
    /// How they were found.
    pub(crate) looked: &'a [Looked],
    /// Whether somebody has agreed to a loss of data beforehand.
    pub(crate) data_loss: bool,
}

impl Anew<'_> {
    /// As [`carry_out_and_check`].
    ///
    /// # Errors
    /// As that.
    pub(crate) async fn make(
        &self,
        context: &Context<'_>,
        prospect: &Prospect,
        who: &WhoArgs,
        how: &PlanArgs,
        bring: &impl Bring,
    ) -> Result<Verdict, Error> {
        let accepted = Accepted {
            data_loss: self.data_loss,
            outage: true,
        };
        let newest = newest_revision(self.looked).map(|newest| newest.at_most());
        let context = &Context {
            connection: &who.connection(context.connection, self.looked.first()),
            ..*context
        };
        carry_out_and_check(context, self.hosts, prospect, accepted, how, bring, newest).await
    }
}

/// What somebody has agreed to beforehand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Accepted {
    /// That data is lost.
    pub(crate) data_loss: bool,
    /// That nothing serves meanwhile, where that is not what the command is for.
    pub(crate) outage: bool,
}

/// No step of the plan wants anything brought.
#[derive(Debug)]
pub(crate) struct Nothing;

impl Bring for Nothing {
    async fn snapshot(&self, host: &Host, plan: &Plan) -> Result<(), Error> {
        Err(Error::refused(format!(
            "{} has not got the snapshot of {} yet",
            host.node(),
            plan.id
        ))
        .hint(format!(
            "kubectl etcd plan resume {} --file FILE, with the same snapshot",
            plan.id
        )))
    }
}

/// A plan that cannot be made.
pub(crate) fn no_plan(failure: &Failure) -> Error {
    let mut error = Error::of_failure("", failure);
    error.message = failure.message.clone();
    error
}

/// As [`carry_out`]; then looks whether the cluster is as it should be, and shows what came of it.
///
/// # Errors
/// As [`carry_out`].
pub(crate) async fn carry_out_and_check(
    context: &Context<'_>,
    hosts: &Hosts,
    prospect: &Prospect,
    accepted: Accepted,
    args: &PlanArgs,
    bring: &impl Bring,
    at_least: Option<u64>,
) -> Result<Verdict, Error> {
    let view = carry_out(context.ui, hosts, prospect, accepted, args, bring).await?;
    let view = match view {
        None => None,
        Some(view) => {
            context.ui.say("looking at members, nodes and pods");
            Some(view.checked(check(hosts, context.connection, at_least).await))
        }
    };
    show(context.ui, view.as_ref(), args.output.output)
}

/// Shows a plan, asks, and does it. Gives back what became of it, to be shown once it was looked at; none: a dry run.
///
/// # Errors
/// [`crate::error::ErrorKind::Refused`] without the consent it takes, or as things are; the first step's that failed.
pub(crate) async fn carry_out(
    ui: &Ui,
    hosts: &Hosts,
    prospect: &Prospect,
    accepted: Accepted,
    args: &PlanArgs,
    bring: &impl Bring,
) -> Result<Option<PlanView>, Error> {
    let shown = PlanView::planned(prospect);
    if args.dry_run {
        ui.show(&shown, args.output.output)?;
        return match &prospect.refused {
            Some(failure) => Err(no_plan(failure)),
            None => Ok(None),
        };
    }
    if let Some(failure) = &prospect.refused {
        let mut error = no_plan(failure);
        error.hints.extend(shown.by_hand());
        return Err(error);
    }
    refuse(prospect, accepted, args.yes)?;
    if !args.yes {
        ui.tell(&shown);
        ui.confirm("Go on?", false).await?;
    }
    let plan = &prospect.plan;
    hosts.begin(plan).await?;
    let (id, flags) = (&plan.id, hosts.flags());
    ui.say(&format!(
        "{id}: should this be interrupted, `kubectl etcd plan resume{flags}` goes on and `kubectl etcd plan undo{flags}` takes back"
    ));
    match lead(ui, hosts, plan, bring).await {
        Ok(led) => Ok(Some(shown.ended(Progress::Done, &led).for_hosts(hosts))),
        Err(error) => Err(error
            .hint(format!(
                "kubectl etcd plan resume {id}{flags} tries again and goes on"
            ))
            .hint(format!(
                "kubectl etcd plan undo {id}{flags} takes back what was done"
            ))),
    }
}

/// The end of a command that shows what became of its plan.
pub(crate) fn show(ui: &Ui, view: Option<&PlanView>, output: Format) -> Result<Verdict, Error> {
    let Some(view) = view else {
        return Ok(Verdict::Healthy);
    };
    ui.show(view, output)?;
    Ok(match view.is_clean() {
        true => Verdict::Healthy,
        false => Verdict::Degraded,
    })
}

/// What has to be agreed to by name: saying yes beforehand is no consent to a loss that nobody has seen.
fn refuse(prospect: &Prospect, accepted: Accepted, yes: bool) -> Result<(), Error> {
    if yes && prospect.loses_data() && !accepted.data_loss {
        let lost = data_losses(prospect).join("; ");
        return Err(
            Error::refused(format!("data would be lost, or may be: {lost}")).hint(
                "--accept-data-loss, besides --yes, takes that; --dry-run shows all of the plan",
            ),
        );
    }
    let unasked_outage = prospect.losses.contains(&Loss::Outage) && prospect.losses.len() == 1;
    if unasked_outage && !accepted.outage {
        return Err(Error::refused(
            "the cluster would lose its quorum while this member is down: nothing could be written",
        )
        .hint("bring the other members back first: kubectl etcd status")
        .hint("--accept-outage does it all the same"));
    }
    Ok(())
}
