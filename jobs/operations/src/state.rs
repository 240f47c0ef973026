//! The folder in which this program keeps what it has to know on a control-plane node. Root's, 0700, and never emptied.
//!
//! ```text
//! /var/lib/kubectl-etcd
//! ├── bin                         programs that the plugin sent over ssh
//! │   └── etcd-job-SHA256         one of them
//! ├── manifests                   archived manifests
//! │   └── NAME-TIME.REASON        one of them: changed, stopped, undone or returned
//! └── plans
//!     ├── current                 the id of the plan that has begun here and not ended
//!     └── ID                      a plan
//!         ├── plan.json           the plan
//!         ├── journal.jsonl       what its steps did here, a line before and after each
//!         ├── snapshot.db         the snapshot that was sent for it; removed when the plan ends
//!         ├── running             locked by the process that performs a step
//!         └── step-N-WAY          what runs step N (WAY: do or undo) so that it outlives the connection
//!             ├── lock            locked by that process
//!             └── RUN.*           request.json, events.jsonl and stderr of one run of it
//! ```
//!
//! The paths are made here and nowhere else. The one exception is the shell script that takes in a program over ssh: it looks
//! for `current` beside its own folder.

use std::path::{Path, PathBuf};

use crate::plan_id::PlanId;

/// The folder.
pub const STATE: &str = "/var/lib/kubectl-etcd";

/// The folder of the programs that were sent over ssh.
pub const PROGRAMS: &str = "/var/lib/kubectl-etcd/bin";

/// The folder of the archived manifests.
pub const ARCHIVE: &str = "/var/lib/kubectl-etcd/manifests";

/// The folder of the plans.
pub const PLANS: &str = "/var/lib/kubectl-etcd/plans";

/// The file that names the plan that has begun and not ended.
pub(crate) const CURRENT_PLAN: &str = "/var/lib/kubectl-etcd/plans/current";

/// The longest journal that is read, in bytes.
pub(crate) const LONGEST_JOURNAL: u64 = 256 << 20;

/// The folder of the plans, by its path: that of a host is [`PLANS`].
#[derive(Debug, Clone)]
pub(crate) struct PlansFolder(PathBuf);

impl PlansFolder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The file that names the plan that has begun and not ended.
    pub(crate) fn current(&self) -> PathBuf {
        self.0.join("current")
    }

    /// The folder of one plan.
    pub(crate) fn plan(&self, id: &PlanId) -> PlanFolder {
        PlanFolder::new(self.0.join(id.as_str()))
    }
}

/// The folder of one plan.
#[derive(Debug, Clone)]
pub(crate) struct PlanFolder(PathBuf);

impl PlanFolder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The plan itself.
    pub(crate) fn plan(&self) -> PathBuf {
        self.0.join("plan.json")
    }

    /// What its steps did.
    pub(crate) fn journal(&self) -> PathBuf {
        self.0.join("journal.jsonl")
    }

    /// The snapshot that was sent for it.
    pub(crate) fn snapshot(&self) -> PathBuf {
        self.0.join("snapshot.db")
    }

    /// The lock of the process that performs a step.
    pub(crate) fn running(&self) -> PathBuf {
        self.0.join("running")
    }

    /// The folder of the process that does a step, or undoes it.
    pub(crate) fn step(&self, number: u32, way: &str) -> PathBuf {
        self.0.join(format!("step-{number}-{way}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_paths_are_below_the_one_folder() {
        let plans = PlansFolder::new(PLANS);
        assert_eq!(plans.current(), Path::new(CURRENT_PLAN));
        for path in [PROGRAMS, ARCHIVE, PLANS] {
            assert_eq!(Path::new(path).parent(), Some(Path::new(STATE)));
        }
        let id = PlanId::try_from("restore-1".to_owned()).unwrap();
        let step = plans.plan(&id).step(3, "undo");
        assert_eq!(step, Path::new(PLANS).join("restore-1/step-3-undo"));
    }
}
