//! Plans made from what was found on hosts. Nothing here looks at anything itself, and nothing is changed.

mod by_hand;
mod cluster;
mod join;
mod manifest;
mod origin;
#[cfg(test)]
mod origin_tests;
mod preview;
mod recover;
mod replace;
mod restore;
mod restoring;
mod stages;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use jiff::Timestamp;

use super::folder::ways_on;
use super::{HostRef, Plan, PlanId, PlanKind, Stage, VERSION};
use crate::advice;
use crate::advice::{Advice, Choice, Task};
use crate::control_plane::ControlPlane;
use crate::failure::{Answer, Failure, FailureKind};
use crate::look::{ArchivedManifest, EtcdManifest, Look, Manifests};
use crate::shell::CommandLine;
use crate::utc::to_the_second;

pub use cluster::{MARGIN, Revision, revisions};
pub use manifest::{ManifestChange, holds_without, manifest};
pub use origin::{Evidence, Origin};
pub use preview::{BroughtBack, Fence, Found, Loss, PlanPreview};
pub use recover::{Recovering, recover};
pub use replace::{Replacing, replace};
pub use restore::restore;
pub use restoring::{Compared, Restoring, SnapshotFacts, Taken, TakenBy};

/// Which hosts take part in a plan, of those that the cluster has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakingPart {
    /// This one, for nothing was said. That is enough where there is no other.
    Unsaid,
    /// This one alone, on purpose: the others are stopped by hand before, and join one after another afterwards.
    ThisHost,
    /// All that could be reached.
    Reached,
}

/// A host and what was found on it.
#[derive(Debug, Clone, PartialEq)]
pub struct HostView {
    /// Where it is reached.
    pub host: HostRef,
    /// What was found.
    pub look: Look,
}

impl HostView {
    /// The node's name.
    pub fn node(&self) -> &str {
        &self.host.node
    }

    /// Where it is reached, and which of its pods is its etcd.
    fn host_ref(&self) -> HostRef {
        let etcd = self.look.etcd.ok().map(|etcd| etcd.pod.clone());
        HostRef {
            etcd: etcd.filter(|pod| !pod.is_empty()),
            ..self.host.clone()
        }
    }

    /// What its etcd's manifest says.
    ///
    /// # Errors
    /// Why that is not known.
    pub fn etcd(&self) -> Result<&EtcdManifest, Failure> {
        match &self.look.etcd {
            Answer::Ok(etcd) => Ok(etcd),
            Answer::Failed(failure) => Err(self.on(failure)),
        }
    }

    /// Whether a component is one that kubelet shall run.
    fn has(&self, component: ControlPlane) -> bool {
        let manifests = self.look.manifests.ok();
        manifests.is_some_and(|found| found.of(component).is_some())
    }

    /// Whether there is an apiserver to start: one that runs, or one that was stopped and whose manifest is kept.
    fn has_apiserver(&self) -> bool {
        self.look.apiserver.ok().is_some()
    }

    /// The manifest that is brought back of a component, where there is none in the folder.
    fn brought_back(&self, component: ControlPlane) -> Option<&ArchivedManifest> {
        match self.has(component) {
            true => None,
            false => self.look.manifests.ok()?.archived(component),
        }
    }

    /// Its path, for the step that starts the component.
    fn manifest_to_start(&self, component: ControlPlane) -> Option<PathBuf> {
        self.brought_back(component).map(|found| found.path.clone())
    }

    /// Refuses a component of which there is no manifest to start it from, or one that something speaks against: what was
    /// archived may be older than what ran last. Gives back what would be brought back.
    ///
    /// # Errors
    /// [`FailureKind::Refused`] with the difference and what lifts it.
    fn check_manifest(&self, component: ControlPlane) -> Result<Option<BroughtBack>, Failure> {
        let manifests = match &self.look.manifests {
            Answer::Ok(manifests) => manifests,
            Answer::Failed(failure) => return Err(self.on(failure)),
        };
        if manifests.of(component).is_some() {
            return Ok(None);
        }
        let Some(archived) = manifests.archived(component) else {
            return Err(self.no_manifest(component, manifests));
        };
        let bars: Vec<String> = archived.bars().map(ToString::to_string).collect();
        if bars.is_empty() || archived.named {
            return Ok(Some(BroughtBack {
                node: self.node().to_owned(),
                manifest: archived.clone(),
            }));
        }
        let (path, since) = (archived.path.display(), archived.since());
        let named = Choice::Manifest.with(&path);
        let message = format!(
            "{}: the archived manifest of {component}, {path}{since}, is not what ran last: {}",
            self.node(),
            bars.join("; ")
        );
        Err(Failure::refused(message).hint(advice![
            format!("if another manifest of {component} is the right one: "),
            Choice::Manifest.with("FILE"),
            format!(", or move it into {}; ", manifests.folder.display()),
            named,
            " takes the archived one all the same",
        ]))
    }

    /// There is no manifest of a component, neither in the folder nor to be brought back.
    fn no_manifest(&self, component: ControlPlane, manifests: &Manifests) -> Failure {
        let folder = manifests.folder.display();
        let mut message = format!(
            "{}: no manifest of {component}: {}",
            self.node(),
            manifests.none_of(component)
        );
        if component == ControlPlane::Etcd {
            let data = manifests.etcd_data.iter();
            data.for_each(|data| message.push_str(&format!("; {data}")));
        }
        let failure = Failure::refused(message);
        if let Some(found) = manifests.elsewhere(component).next() {
            let path = found.path.display();
            let back = CommandLine::new("mv -n")
                .operand(&path)
                .operand(format!("{folder}/"));
            let named = Choice::Manifest.with(&path);
            let written = found.modified.map_or_else(String::new, |at| {
                format!(" (last written {})", to_the_second(at))
            });
            return failure.hint(advice![
                format!("{path} is one{written}: if it is the right one, {back}, or "),
                named,
            ]);
        }
        let old = manifests
            .outdated(component)
            .map_or_else(Advice::default, |old| {
                let named = Choice::Manifest.with(old.path.display());
                advice![named, " takes the old one; "]
            });
        let phase = component.kubeadm_phase();
        failure.hint(advice![
            format!("if it lies elsewhere, move it into {folder}, or "),
            Choice::Manifest.with("FILE"),
            "; ",
            old,
            format!("else {phase} writes a new one"),
        ])
    }

    /// A failure that says on which host it was.
    fn on(&self, failure: &Failure) -> Failure {
        Failure {
            message: format!("{}: {}", self.node(), failure.message),
            ..failure.clone()
        }
    }

    /// Refuses a host on which a plan can do nothing well: a plan that has not ended, a file in kubelet's folder that
    /// interferes, a kubelet or runtime that does not run.
    fn check_fit(&self) -> Result<(), Failure> {
        let refused = |message: String| Failure::refused(format!("{}: {message}", self.node()));
        if let Some(plan) = self.look.plan.ok().and_then(Option::as_ref) {
            let id = &plan.id;
            return Err(refused(format!("the plan {id} has begun and not ended")).hint(ways_on(id)));
        }
        let manifests = match &self.look.manifests {
            Answer::Ok(manifests) => manifests,
            Answer::Failed(failure) => return Err(self.on(failure)),
        };
        if let Some(stray) = manifests
            .strays
            .iter()
            .find(|stray| stray.component.is_some())
        {
            let path = stray.path.display();
            let moved = CommandLine::new("mv -n")
                .operand(&path)
                .operand("/etc/kubernetes/");
            return Err(refused(format!("{path}: {}", stray.problem))
                .hint(format!("move it out of the folder: {moved}")));
        }
        if let Answer::Failed(failure) = &self.look.runtime {
            return Err(self.on(failure));
        }
        match self.look.kubelet.active {
            Answer::Ok(false) => Err(refused("kubelet does not run".to_owned())
                .hint("systemctl start kubelet; journalctl -u kubelet says why it does not")),
            _ => Ok(()),
        }
    }
}

impl HostView {
    /// Refuses a host whose disk has less room than a plan needs for data, in bytes.
    fn check_room(&self, needed: u64) -> Result<(), Failure> {
        let etcd = self.etcd()?;
        let data_dir = &etcd.target.data_dir;
        let mut disks = self
            .look
            .disks
            .iter()
            .filter(|disk| data_dir.starts_with(&disk.path));
        let space = disks.find_map(|disk| disk.space.ok());
        let Some(free) = space
            .map(|space| space.free_bytes)
            .filter(|free| *free < needed)
        else {
            return Ok(());
        };
        const MIB: u64 = 1 << 20;
        let message = format!(
            "{}: the data beside {} needs {} MiB, and {} MiB are free",
            self.node(),
            data_dir.display(),
            needed.div_ceil(MIB),
            free / MIB
        );
        Err(Failure::new(FailureKind::NoSpace, message).hint(advice![
            "make room there: ",
            Task::Diagnose,
            " shows what was moved aside earlier and is not in use"
        ]))
    }
}

/// A plan of these stages.
fn plan(
    kind: PlanKind,
    title: String,
    hosts: Vec<HostRef>,
    stages: Vec<Stage>,
    now: Timestamp,
) -> Plan {
    Plan {
        version: VERSION,
        id: PlanId::new(kind, now),
        kind,
        title,
        made: now,
        hosts,
        stages,
        other_hosts: Vec::new(),
    }
}
