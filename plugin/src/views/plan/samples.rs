//! Plans for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use etcd_operations::advice::Task;
use etcd_operations::control_plane::ControlPlane;
use etcd_operations::failure::Answer;
use etcd_operations::look::{
    ArchivedManifest, Changes, Doubt, Fitness, KindChanges, LastRan, LogPosition,
};
use etcd_operations::manifest::PodId;
use etcd_operations::plan::make::{
    BroughtBack, Evidence, Fence, Found, Loss, Origin, PlanPreview, Revision, Taken, TakenBy,
};
use etcd_operations::plan::{
    Action, Done, HostRef, OtherHost, Plan, PlanId, PlanKind, Stages, StepRun, StepState,
    StopComponent, Undone, VERSION,
};
use jiff::Timestamp;

use super::{PlanView, Progress};
use kubectl_etcd_core::executor::check::Checked;
use kubectl_etcd_core::executor::{Executed, PlanState};

/// Of a dozen kinds.
pub(super) fn sample_changes() -> Changes {
    let kind = |(name, written, deleted): (&str, u64, u64)| KindChanges {
        kind: name.to_owned(),
        written,
        deleted,
    };
    let many = (b'a'..=b'j').map(|letter| (format!("{0}{0}s", letter as char), 2));
    let many: Vec<(String, u64)> = many.collect();
    let named = [("leases", 40, 0), ("pods", 12, 3), ("configmaps", 8, 0)];
    let named = named.into_iter().chain([("events", 7, 0)]);
    let named = named.chain(
        many.iter()
            .map(|(name, number)| (name.as_str(), *number, 0)),
    );
    Changes {
        revision: 1681,
        deletions_complete: false,
        kinds: named.chain([("", 1, 0)]).map(kind).collect(),
    }
}

/// A plan to restore.
pub(super) fn preview() -> PlanPreview {
    let mut stages = Stages::default();
    let stop = Action::Stop(StopComponent {
        component: "etcd".into(),
    });
    stages.stage("stop etcd", [("cp-1".to_owned(), stop)]);
    let made: Timestamp = "2026-11-22T08:30:00Z".parse().unwrap();
    let plan = Plan {
        version: VERSION,
        id: PlanId::new(PlanKind::Restore, made),
        kind: PlanKind::Restore,
        title: "restore etcd.db on cp-1".into(),
        made,
        hosts: vec![HostRef {
            node: "cp-1".into(),
            address: None,
            etcd: None,
        }],
        stages: stages.done(),
        other_hosts: vec![OtherHost {
            node: "cp-2".into(),
            before: vec!["kubectl etcd manifest stop etcd".into()],
            after: vec!["kubectl etcd member replace cp-2 --this-node-only".into()],
        }],
    };
    let doubt = Doubt::Image {
        manifest: "registry.k8s.io/etcd:3.6.6-0".into(),
        ran: "registry.k8s.io/etcd:3.6.16-0".into(),
    };
    let archived = |component: ControlPlane, doubts| ArchivedManifest {
        component: Some(component),
        pod: PodId {
            namespace: "kube-system".into(),
            name: component.to_string(),
        },
        path: format!(
            "/var/lib/kubectl-etcd/manifests/{component}.yaml-2026-11-20T210000Z.stopped"
        )
        .into(),
        named: false,
        at: Some("2026-11-20T21:00:00Z".parse().unwrap()),
        data_dir: (component == ControlPlane::Etcd).then(|| "/var/lib/etcd".into()),
        last_ran: (component == ControlPlane::Etcd).then(LastRan::default),
        doubts,
    };
    let brought_back = |manifest| BroughtBack {
        node: "cp-1".into(),
        manifest,
    };
    PlanPreview {
        refused: None,
        brought_back: vec![
            brought_back(archived(ControlPlane::Etcd, vec![doubt])),
            brought_back(archived(ControlPlane::Apiserver, Vec::new())),
        ],
        plan,
        found: vec![Found {
            node: "cp-1".into(),
            running: false,
            fitness: Some(Fitness::Starts),
            why: None,
            reach: Some(LogPosition { term: 3, index: 7 }),
            revision: Some(1681),
            best: true,
        }],
        losses: vec![
            Loss::Outage,
            Loss::SinceSnapshot {
                revision: 1673,
                taken: Some(Taken {
                    at: "2026-11-21T21:00:00Z".parse().unwrap(),
                    by: TakenBy::Description,
                }),
                newest: Some(Revision {
                    revision: 1681,
                    beyond: 2,
                    node: "cp-1".into(),
                    at: Some("2026-11-22T08:29:59.9Z".parse().unwrap()),
                }),
                changes: Some(Answer::Ok(sample_changes())),
            },
        ],
        origin: Some(Origin::Same {
            by: Evidence::NamespaceUid {
                snapshot: "u".into(),
                here: "u".into(),
                node: "cp-1".into(),
            },
        }),
        fences: vec![
            Fence::ByHand {
                node: "cp-2".into(),
            },
            Fence::LeftOut {
                node: "cp-3".into(),
            },
        ],
    }
}

/// A plan whose first step has begun.
pub(crate) fn state() -> PlanState {
    PlanState {
        asked: vec!["cp-1".into()],
        steps: BTreeMap::from([(1, StepState::Begun)]),
        unfinished: true,
        busy: Vec::new(),
        gone: Vec::new(),
        changed: Vec::new(),
        plan: preview().plan,
    }
}

/// A plan in each state.
pub(crate) fn samples() -> Vec<PlanView> {
    let preview = preview();
    let executed = Executed {
        runs: vec![(
            1,
            StepRun::Done {
                done: Done::Moved {
                    aside: vec!["/var/lib/etcd-x.before".into()],
                },
            },
        )],
        took: vec![(0, Duration::from_millis(1400))],
    };
    let undone = Executed {
        runs: vec![(
            1,
            StepRun::Undone {
                undone: Undone {
                    left: vec!["the member stays removed".into()],
                    kept: vec!["/var/lib/etcd-x.new".into()],
                },
                never_begun: false,
            },
        )],
        took: Vec::new(),
    };
    let checked = Checked {
        seen: vec!["1 member with the same data".into()],
        problems: vec!["nodes were not looked at".into()],
    };
    let state = state();
    vec![
        PlanView::planned(&preview).dry_run(true),
        PlanView::planned(&preview)
            .ended(Progress::Done, &executed)
            .then(&Task::SaveSnapshot.into())
            .checked(checked),
        PlanView::kept(&state),
        PlanView::rolled_back(&state).ended(Progress::Undone, &undone),
    ]
}
