//! A plan on hosts, made by one command and carried out at once: what of its life is its own.

use crate::advice::typed;
use etcd_operations::advice;
use etcd_operations::advice::Task;
use etcd_operations::plan::make::{HostView, Loss, PlanPreview};
use etcd_operations::plan::{PlanId, PlanKind};
use jiff::Timestamp;

use super::Context;
use super::life::{Change, Consent, Ending, Terminal};
use super::planned::{Accepted, Planned};
use crate::views::plan::{PlanView, data_losses};
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::executor::lock::Locked;
use kubectl_etcd_core::executor::run::Bring;
use kubectl_etcd_core::executor::state::Progress;
use kubectl_etcd_core::executor::surroundings::{Apiservers, Surroundings};
use kubectl_etcd_core::executor::{Executed, Hosts, execute, is_anew};

/// A plan that is to be made and done.
pub(crate) struct Making<'a, B, S, M> {
    /// On which hosts.
    pub(crate) hosts: &'a Hosts,
    /// What somebody has agreed to beforehand.
    pub(crate) accepted: Accepted,
    /// What a step wants brought.
    pub(crate) bring: &'a B,
    /// The cluster around the hosts.
    pub(crate) surroundings: S,
    /// When it is made: its name tells it, and it has one name.
    pub(crate) now: Timestamp,
    /// Looks, and makes the plan.
    pub(crate) plan_of: M,
}

impl Context<'_> {
    /// The cluster around the hosts of a plan, by its apiservers.
    pub(super) fn apiservers(&self, this_node_only: bool) -> Apiservers<'_> {
        Apiservers {
            notices: self.ui.notices(),
            created: self.created,
            given: self.connection,
            this_node_only,
        }
    }
}

impl<B, S, M> Change for Making<'_, B, S, M>
where
    B: Bring,
    S: Surroundings,
    M: AsyncFn(Timestamp) -> Result<Planned, Error>,
{
    type Plan = Planned;
    type Lock = Locked;
    type Done = Executed;
    type View = PlanView;

    async fn make(&self, _terminal: &impl Terminal) -> Result<Planned, Error> {
        (self.plan_of)(self.now).await
    }

    fn preview(&self, planned: &Planned, consent: &Consent) -> PlanView {
        PlanView::planned(&planned.preview).dry_run(consent.dry_run)
    }

    fn refuse(&self, planned: &Planned, consent: &Consent) -> Result<(), Error> {
        // What a dry run shows has what is left to do by hand in it.
        let by_hand = match consent.dry_run {
            true => Vec::new(),
            false => PlanView::planned(&planned.preview).by_hand(),
        };
        refuse(&planned.preview, self.accepted, consent.yes, by_hand)
    }

    fn announce(&self, planned: &Planned, consent: &Consent, terminal: &impl Terminal) {
        // Unasked too: what comes at the end does not say it again.
        terminal.tell(&self.preview(planned, consent));
    }

    async fn lock(&self, planned: &Planned, terminal: &impl Terminal) -> Result<Locked, Error> {
        let (plan, looked) = (&planned.preview.plan, &planned.looked);
        let locked = self.surroundings.lock(looked, &plan.title).await?;
        let members = looked.iter().map(|one| one.look.known_members().len());
        let has_others = members.max() > Some(plan.hosts.len());
        if !locked.is_held() && has_others && !is_anew(plan.kind) {
            terminal.warn(
                "no apiserver takes a lock, so take care that nobody else works on this cluster's etcd now",
            );
        }
        Ok(locked)
    }

    fn looks_again(&self, planned: &Planned, consent: &Consent) -> bool {
        // Where the cluster is made anew it takes seconds, and unasked nothing has passed since but the taking of the lock.
        !(consent.yes && is_anew(planned.preview.plan.kind))
    }

    fn is_as_agreed(&self, now: &Planned, agreed: &Planned) -> bool {
        now.preview.is_as_agreed(&agreed.preview)
    }

    async fn begin(&self, planned: &Planned, locked: Locked) -> Result<Locked, Error> {
        let plan = &planned.preview.plan;
        self.hosts.begin(plan).await?;
        Ok(locked.during(plan.kind).await)
    }

    async fn execute(
        &self,
        planned: &Planned,
        _locked: &Locked,
        terminal: &impl Terminal,
    ) -> Result<Executed, Error> {
        let (hosts, plan) = (self.hosts, &planned.preview.plan);
        let (resume, undo) = (typed(&hosts.resume(&plan.id)), typed(&hosts.undo(&plan.id)));
        terminal.say(&format!(
            "if this is interrupted, `{resume}` goes on and `{undo}` rolls back"
        ));
        let executed = execute(&terminal.notices(), hosts, plan, self.bring).await;
        executed.map_err(|error| with_ways_on(error, hosts, &plan.id))
    }

    async fn check(
        &self,
        planned: Planned,
        executed: Executed,
        terminal: &impl Terminal,
    ) -> Ending<PlanView> {
        let view = PlanView::planned(&planned.preview);
        let done = DonePlan {
            kind: planned.preview.plan.kind,
            view,
            executed,
            looked: planned.looked.first(),
        };
        done.checked(self.hosts, &self.surroundings, terminal).await
    }
}

/// A step has failed: what helps on from there.
pub(super) fn with_ways_on(error: Error, hosts: &Hosts, id: &PlanId) -> Error {
    let (resume, undo) = (hosts.resume(id), hosts.undo(id));
    error
        .hint(advice![resume, " tries again and goes on"])
        .hint(advice![undo, " rolls back what was done"])
}

/// A plan that is done, at once or after it was resumed.
pub(super) struct DonePlan<'a> {
    pub(super) kind: PlanKind,
    /// As it was shown before.
    pub(super) view: PlanView,
    pub(super) executed: Executed,
    /// The host on which this runs, as it was found; none where that is not known.
    pub(super) looked: Option<&'a HostView>,
}

impl DonePlan<'_> {
    /// Looks whether the cluster is as it should be, and judges by that.
    pub(super) async fn checked(
        self,
        hosts: &Hosts,
        surroundings: &impl Surroundings,
        terminal: &impl Terminal,
    ) -> Ending<PlanView> {
        let view = self.view.ended(Progress::Done, &self.executed);
        if self.kind == PlanKind::Manifest {
            // Its last step has waited until the component is ready, and the members are as they were.
            return Ending::shown(view, Verdict::Healthy);
        }
        terminal.say("looking at members, nodes and pods");
        // A cluster that was made anew has no snapshot yet.
        let view = match is_anew(self.kind) {
            true => view.then(&Task::SaveSnapshot.into()),
            false => view,
        };
        let revision = self.executed.least_revision();
        let checked = surroundings.check(hosts, self.looked, revision).await;
        let verdict = checked.verdict();
        Ending::shown(view.checked(checked), verdict)
    }
}

fn refuse(
    preview: &PlanPreview,
    accepted: Accepted,
    yes: bool,
    by_hand: Vec<String>,
) -> Result<(), Error> {
    if let Some(failure) = &preview.refused {
        let mut error = Error::from(failure.clone());
        error.hints.extend(by_hand.into_iter().map(Into::into));
        return Err(error);
    }
    if yes && preview.loses_data() && !accepted.data_loss {
        let lost = data_losses(preview).join("; ");
        return Err(
            Error::refused(format!("data would be lost, or may be: {lost}")).hint(
                "--accept-data-loss, besides --yes, takes that; --dry-run shows all of the plan",
            ),
        );
    }
    let only_outage = preview.losses.as_slice() == [Loss::Outage];
    // What makes the cluster anew has no other way.
    if only_outage && !is_anew(preview.plan.kind) && !accepted.outage {
        return Err(outage_refused());
    }
    Ok(())
}

/// Nobody has agreed to it that nothing can be written meanwhile.
pub(crate) fn outage_refused() -> Error {
    Error::refused(
        "the cluster would lose its quorum while this member is down: nothing could be written",
    )
    .hint(advice![
        "bring the other members back first: ",
        Task::ShowStatus
    ])
    .hint("--accept-outage does it all the same")
}
