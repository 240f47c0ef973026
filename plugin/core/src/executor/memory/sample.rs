//! A plan, and hosts in memory to carry it out on.

use etcd_operations::plan::{
    Action, HostRef, Plan, PlanId, PlanKind, RestartKubelet, RestoreData, RestoreInput, Stages,
    StopComponent, SwapData, VERSION,
};
use jiff::Timestamp;

use super::MemoryHost;
use crate::assess::fixtures::target;
use crate::executor::Hosts;
use crate::runners::host::Host;
use crate::ssh::SshTargets;

/// Hosts `m1`, `m2`, …
pub fn memory(number: usize) -> Vec<MemoryHost> {
    (1..=number)
        .map(|number| MemoryHost::new(&format!("m{number}")))
        .collect()
}

/// The hosts of a plan.
pub fn hosts(memory: &[MemoryHost]) -> Hosts {
    let hosts = memory.iter();
    let hosts = hosts.map(|one| Host::in_memory(&one.node, one.clone()));
    Hosts::reached(hosts.collect(), &SshTargets::default())
}

/// A plan of four stages on these hosts: data is restored, etcd stopped, the data swapped, etcd started.
pub fn plan(kind: PlanKind, memory: &[MemoryHost]) -> Plan {
    let nodes: Vec<&str> = memory.iter().map(|one| one.node.as_str()).collect();
    let each = |action: Action| {
        let of = move |node: &&str| ((*node).to_owned(), action.clone());
        nodes.iter().map(of).collect::<Vec<_>>()
    };
    let mut stages = Stages::default();
    stages
        .stage(
            "restore",
            each(Action::Restore(RestoreData {
                target: target(1),
                from: RestoreInput::Received,
                members: String::new(),
                token: String::new(),
                bump_revision: None,
            })),
        )
        .stage(
            "stop etcd",
            each(Action::Stop(StopComponent {
                component: "etcd".to_owned(),
            })),
        )
        .stage(
            "swap the data",
            each(Action::SwapData(SwapData {
                target: target(1),
                restored: true,
            })),
        )
        .stage(
            "restart kubelet",
            each(Action::RestartKubelet(RestartKubelet {})),
        );
    let made: Timestamp = "2026-11-22T08:30:00Z".parse().unwrap();
    Plan {
        version: VERSION,
        id: PlanId::new(kind, made),
        kind,
        title: format!("{} on {}", kind.name(), nodes.join(", ")),
        made,
        hosts: nodes
            .iter()
            .map(|node| HostRef {
                node: (*node).to_owned(),
                address: None,
                etcd: None,
            })
            .collect(),
        stages: stages.done(),
        other_hosts: Vec::new(),
    }
}
