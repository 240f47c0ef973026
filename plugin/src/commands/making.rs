//! A plan on its way: shown, agreed to, looked at again under the cluster's lock, done, and what came of it.

use etcd_operations::plan::make::{Loss, Prospect, newest_revision};
use jiff::Timestamp;

use super::Context;
use super::planned::{Accepted, PlanArgs, Planned, WhoArgs, no_plan};
use crate::views::plan::{PlanView, Progress, data_losses};
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::lead::check::check;
use kubectl_etcd_core::lead::lock::{Locked, lock};
use kubectl_etcd_core::lead::run::Bring;
use kubectl_etcd_core::lead::{Hosts, lead};

/// A plan that is to be made and done.
pub(crate) struct Making<'a, B> {
    /// The command's surroundings.
    pub(crate) context: &'a Context<'a>,
    /// On which hosts.
    pub(crate) hosts: &'a Hosts,
    /// Whether others take part.
    pub(crate) who: &'a WhoArgs,
    /// What somebody has agreed to beforehand.
    pub(crate) accepted: Accepted,
    /// The command's flags.
    pub(crate) how: &'a PlanArgs,
    /// What a step wants brought.
    pub(crate) bring: &'a B,
}

/// A plan that is done: as it is shown, and what it was made from.
struct Made {
    view: PlanView,
    planned: Planned,
}

impl<B: Bring> Making<'_, B> {
    /// Shows the plan, asks, does it, and shows what became of it.
    ///
    /// # Errors
    /// As [`Making::carry_out`].
    pub(crate) async fn make(
        &self,
        plan_of: impl AsyncFn(Timestamp) -> Result<Planned, Error>,
    ) -> Result<Verdict, Error> {
        match Box::pin(self.carry_out(plan_of)).await? {
            None => Ok(Verdict::Healthy),
            Some(made) => self.show(&made.view),
        }
    }

    /// As [`Making::make`]; before it is shown, it is looked whether the cluster is as it should be.
    ///
    /// # Errors
    /// As [`Making::carry_out`].
    pub(crate) async fn make_and_check(
        &self,
        plan_of: impl AsyncFn(Timestamp) -> Result<Planned, Error>,
    ) -> Result<Verdict, Error> {
        let Some(Made { view, planned }) = Box::pin(self.carry_out(plan_of)).await? else {
            return Ok(Verdict::Healthy);
        };
        let (context, looked) = (self.context, &planned.looked);
        // Of a member that is replaced the revision is its own, which may be another cluster's.
        let newest = match self.accepted.anew {
            true => newest_revision(looked).map(|newest| newest.at_most()),
            false => None,
        };
        let connection = self.who.connection(context.connection, looked.first());
        context.ui.say("looking at members, nodes and pods");
        self.show(&view.checked(check(self.hosts, &connection, newest).await))
    }

    fn show(&self, view: &PlanView) -> Result<Verdict, Error> {
        self.context.ui.show(view, self.how.output.output)?;
        Ok(match view.is_clean() {
            true => Verdict::Healthy,
            false => Verdict::Degraded,
        })
    }

    /// Shows a plan, asks, and does it. Gives back what became of it; none: a dry run.
    ///
    /// # Errors
    /// [`kubectl_etcd_core::error::ErrorKind::Refused`] without the consent it takes, or as things are; the first step's that failed.
    async fn carry_out(
        &self,
        plan_of: impl AsyncFn(Timestamp) -> Result<Planned, Error>,
    ) -> Result<Option<Made>, Error> {
        let (ui, hosts) = (self.context.ui, self.hosts);
        let now = Timestamp::now();
        let planned = plan_of(now).await?;
        let shown = PlanView::planned(&planned.prospect);
        if self.how.dry_run {
            ui.show(&shown, self.how.output.output)?;
            return match &planned.prospect.refused {
                Some(failure) => Err(no_plan(failure)),
                None => Ok(None),
            };
        }
        self.refuse(&planned.prospect)?;
        if !self.how.yes {
            ui.tell(&shown);
            ui.confirm("Go on?", false).await?;
        }
        let locked = self.lock(&planned).await?;
        let planned = match self.how.yes && self.accepted.anew {
            // It takes seconds, and nothing has passed since but the taking of the lock.
            true => planned,
            // The question may have stood for minutes, and somebody else may have been at work until now.
            false => self.again(&planned, plan_of(now).await?)?,
        };
        let view = PlanView::planned(&planned.prospect);
        let plan = &planned.prospect.plan;
        hosts.begin(plan).await?;
        let _locked = locked.during(plan.kind).await;
        let id = &plan.id;
        let (resume, undo) = (hosts.resume(id), hosts.undo(id));
        ui.say(&format!(
            "if this is interrupted, `{resume}` goes on and `{undo}` rolls back"
        ));
        match lead(&ui.notices(), hosts, plan, self.bring).await {
            Ok(led) => Ok(Some(Made {
                view: view.ended(Progress::Done, &led).for_hosts(hosts),
                planned,
            })),
            Err(error) => Err(error
                .hint(format!("{resume} tries again and goes on"))
                .hint(format!("{undo} rolls back what was done"))),
        }
    }

    async fn lock(&self, planned: &Planned) -> Result<Locked, Error> {
        let (context, title) = (self.context, &planned.prospect.plan.title);
        let connection = self
            .who
            .connection(context.connection, planned.looked.first());
        // Elsewhere apiservers go on while those of a host that is worked on alone are down.
        let alone = match self.who.this_node_only && !context.connection.names_cluster() {
            true => planned.looked.as_slice(),
            false => &[],
        };
        let locked = lock(
            &context.ui.notices(),
            context.created,
            &connection,
            alone,
            title,
        )
        .await?;
        let members = planned
            .looked
            .iter()
            .map(|one| one.look.known_members().len());
        let has_others = members.max() > Some(planned.prospect.plan.hosts.len());
        if !locked.is_held() && has_others && !self.accepted.anew {
            context.ui.warn(
                "no apiserver takes a lock, so take care that nobody else works on this cluster's etcd now",
            );
        }
        Ok(locked)
    }

    /// What is done now, if that is what was agreed to.
    fn again(&self, agreed: &Planned, now: Planned) -> Result<Planned, Error> {
        self.refuse(&now.prospect)?;
        match now.prospect.is_as_agreed(&agreed.prospect) {
            true => Ok(now),
            false => Err(Error::refused(
                "what was found has changed since the plan was shown: nothing was done",
            )
            .hint("run it again, and look at the new plan")),
        }
    }

    /// What has to be agreed to by name: saying yes beforehand is no consent to a loss that nobody has seen.
    fn refuse(&self, prospect: &Prospect) -> Result<(), Error> {
        if let Some(failure) = &prospect.refused {
            let mut error = no_plan(failure);
            error.hints.extend(PlanView::planned(prospect).by_hand());
            return Err(error);
        }
        if self.how.yes && prospect.loses_data() && !self.accepted.data_loss {
            let lost = data_losses(prospect).join("; ");
            return Err(
                Error::refused(format!("data would be lost, or may be: {lost}")).hint(
                    "--accept-data-loss, besides --yes, takes that; --dry-run shows all of the plan",
                ),
            );
        }
        let only_outage = prospect.losses.as_slice() == [Loss::Outage];
        if only_outage && !self.accepted.outage {
            return Err(outage_refused());
        }
        Ok(())
    }
}

/// Nobody has agreed to it that nothing can be written meanwhile.
pub(crate) fn outage_refused() -> Error {
    Error::refused(
        "the cluster would lose its quorum while this member is down: nothing could be written",
    )
    .hint("bring the other members back first: kubectl etcd status")
    .hint("--accept-outage does it all the same")
}
