//! Whether the quorum holds while a manifest's plan that is resumed, or rolled back, has its etcd down: days may have
//! passed since it was asked last.

use etcd_operations::control_plane::ControlPlane;
use etcd_operations::look::LookOptions;
use etcd_operations::plan::make::{HostView, holds_without};
use etcd_operations::plan::{
    Action, Direction, PlanKind, StartComponent, StepState, StopComponent,
};

use crate::commands::making::outage_refused;
use kubectl_etcd_core::error::Error;
use kubectl_etcd_core::executor::{Hosts, PlanState};

/// Refuses where the cluster would lose its quorum.
///
/// # Errors
/// Also when the host cannot be looked at.
pub(super) async fn refuse_outage(
    hosts: &Hosts,
    state: &PlanState,
    direction: Direction,
) -> Result<(), Error> {
    if state.plan.kind != PlanKind::Manifest || !stops_etcd(state, direction) {
        return Ok(());
    }
    let looked = hosts.look(LookOptions::WITHOUT_DATABASES).await?;
    let of_plan = |node: &str| state.plan.hosts.iter().any(|host| host.node == node);
    let mut of_plan = looked.iter().filter(|one| of_plan(one.node()));
    // Who is alone has agreed to it when the plan was made.
    let is_alone = |one: &HostView| one.look.known_members().len() == 1;
    match of_plan.all(|one| is_alone(one) || holds_without(one)) {
        true => Ok(()),
        false => Err(outage_refused()),
    }
}

/// Whether there is a step left that stops an etcd.
fn stops_etcd(state: &PlanState, direction: Direction) -> bool {
    let is_etcd = |component: &str| component == ControlPlane::Etcd.name();
    state.plan.steps().any(|step| {
        let is = state.steps.get(&step.number);
        match (&step.action, direction) {
            (Action::Stop(StopComponent { component }), Direction::Do) => {
                is_etcd(component) && !matches!(is, Some(StepState::Done { .. }))
            }
            (Action::Start(StartComponent { component, .. }), Direction::Undo) => {
                is_etcd(component) && !matches!(is, None | Some(StepState::Undone { .. }))
            }
            _ => false,
        }
    })
}
