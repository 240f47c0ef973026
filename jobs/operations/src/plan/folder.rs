//! The plans of a host, and which one holds it. [`crate::state`] draws their folders.
//!
//! The file `current` names the plan that has begun here and not ended: as long as it is there, no other begins. The file
//! `running` in a plan's folder is locked by the process that performs a step.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use etcd_datadir::disk::make_folders;

use super::{Direction, Journal, Plan, PlanId, VERSION};
use crate::advice;
use crate::advice::{Advice, Task};
use crate::disk::files::{
    self, Replace, entries, nofollow, refuse_shared, remove_file, sync_folder_of, trouble,
};
use crate::failure::Failure;
use crate::state::{PLANS, PlansFolder};

/// The largest plan that is read, in bytes. One for five control-plane nodes has some fifty thousand.
const LARGEST: u64 = 16 << 20;

/// The plans of a host.
#[derive(Debug, Clone)]
pub struct Plans {
    folder: PlansFolder,
}

/// A host on which nobody else does a step of this plan, as long as this is there.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "closing it gives the lock back")] File);

impl Default for Plans {
    fn default() -> Self {
        Self::of(PLANS)
    }
}

impl Plans {
    /// Those in another folder than [`PLANS`].
    pub(crate) fn of(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: PlansFolder::new(folder),
        }
    }

    /// The snapshot that was sent for a plan.
    pub fn snapshot_of(&self, id: &PlanId) -> PathBuf {
        self.folder.plan(id).snapshot()
    }

    /// The folder of what performs a step so that it outlives the connection.
    pub fn step_folder(&self, id: &PlanId, number: u32, direction: Direction) -> PathBuf {
        let way = match direction {
            Direction::Do => "do",
            Direction::Undo => "undo",
        };
        self.folder.plan(id).step(number, way)
    }

    /// The plan's journal on this host.
    ///
    /// # Errors
    /// What the disk says, or a journal that is none.
    pub(crate) fn journal_of(&self, id: &PlanId) -> Result<Journal, Failure> {
        Journal::open(&self.folder.plan(id).journal())
    }

    /// The plan that has begun here and not ended.
    ///
    /// # Errors
    /// What the disk says, or a name that is none.
    pub fn current(&self) -> Result<Option<PlanId>, Failure> {
        let path = self.folder.current();
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let id = PlanId::try_from(text.trim().to_owned());
                let id = id.map_err(|error| {
                    Failure::other(format!("{}: {error}", path.display()))
                        .hint("the folders beside it are the plans; put the name of the one that was begun into it")
                })?;
                Ok(Some(id))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(trouble("read", &path, &error)),
        }
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// `FailureKind::Missing` when it is not there; `FailureKind::Refused` when another version made it.
    pub fn read(&self, id: &PlanId) -> Result<Plan, Failure> {
        let path = self.folder.plan(id).plan();
        let size = path
            .metadata()
            .map_err(|error| trouble("read", &path, &error))?;
        let no_plan = |error: &dyn std::fmt::Display| {
            Failure::corrupt(format!("{} is no plan: {error}", path.display()))
        };
        if size.len() > LARGEST {
            return Err(no_plan(&"it is too large"));
        }
        let text = std::fs::read(&path).map_err(|error| trouble("read", &path, &error))?;
        let version: Version = serde_json::from_slice(&text).map_err(|error| no_plan(&error))?;
        if version.version != VERSION {
            let message = format!(
                "{} is of version {}, this program of {VERSION}",
                path.display(),
                version.version
            );
            return Err(Failure::refused(message).hint("use the release that began the plan"));
        }
        serde_json::from_slice(&text).map_err(|error| no_plan(&error))
    }

    /// The plans there are, in the order of their names.
    ///
    /// # Errors
    /// What the disk says; a folder that is not there holds nothing.
    pub fn list(&self) -> Result<Vec<PlanId>, Failure> {
        let mut found = Vec::new();
        for entry in entries(self.folder.path())? {
            let id = entry.file_name().into_string().ok();
            let id = id.and_then(|name| PlanId::try_from(name).ok());
            found.extend(id.filter(|id| self.folder.plan(id).plan().exists()));
        }
        found.sort();
        Ok(found)
    }

    /// Begins a plan on this host: it is on the disk, and no other begins before it ends. One that has begun is resumed.
    ///
    /// # Errors
    /// `FailureKind::Refused` when another plan has begun here and not ended; else what the disk says.
    pub fn begin(&self, plan: &Plan) -> Result<(), Failure> {
        self.refuse_others(&plan.id)?;
        let (folder, all) = (self.folder.plan(&plan.id), self.folder.path());
        let (path, folder) = (folder.plan(), folder.path());
        make_folders(folder).map_err(|error| trouble("make", folder, &error))?;
        for folder in [all, folder] {
            refuse_shared(folder, "plans are")?;
        }
        // Made by a run that was killed it may not be on the disk yet.
        sync_folder_of(folder)?;
        sync_folder_of(all)?;
        if path.exists() {
            // As they are written: advice in memory, and what was read of it, may differ and say the same.
            let written = |plan: &Plan| serde_json::to_value(plan).ok();
            if written(&self.read(&plan.id)?) != written(plan) {
                return Err(Failure::refused(format!(
                    "{} is another plan of the same name",
                    path.display()
                ))
                .hint("begin again"));
            }
        } else {
            let text = serde_json::to_vec_pretty(plan)
                .map_err(|error| Failure::other(error.to_string()))?;
            files::write(&path, &text, Replace::Nothing)?;
        }
        let current = self.folder.current();
        match self.current()? {
            Some(_) => self.refuse_others(&plan.id),
            None => match files::write(&current, plan.id.as_str().as_bytes(), Replace::Nothing) {
                Err(failure) => {
                    // Another one was there first, perhaps.
                    self.refuse_others(&plan.id)?;
                    self.current()?.map(drop).ok_or(failure)
                }
                Ok(()) => Ok(()),
            },
        }
    }

    /// The plan has ended here: others may begin. Its folder stays, without the snapshot that was sent for it: that is a copy,
    /// which nothing uses any more, of every Secret of the cluster.
    ///
    /// # Errors
    /// What the disk says.
    pub fn end(&self, id: &PlanId) -> Result<(), Failure> {
        if self.current()?.as_ref() != Some(id) {
            return Ok(());
        }
        remove_file(&self.snapshot_of(id))?;
        let path = self.folder.current();
        std::fs::remove_file(&path).map_err(|error| trouble("remove", &path, &error))?;
        sync_folder_of(&path)
    }

    /// Takes the host for one step. The lock ends with this process, however it ends.
    ///
    /// # Errors
    /// `FailureKind::Refused` when a step is being done, or the plan has not begun here.
    pub fn hold(&self, id: &PlanId) -> Result<Held, Failure> {
        if self.current()?.as_ref() != Some(id) {
            self.refuse_others(id)?;
            return Err(
                Failure::refused(format!("the plan {id} has ended on this host"))
                    .hint(advice![Task::ShowPlan.of(id), " says how"]),
            );
        }
        let path = self.folder.plan(id).running();
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(nofollow())
            .open(&path)
            .map_err(|error| trouble("open", &path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Held(file)),
            Err(std::fs::TryLockError::WouldBlock) => Err(Failure::refused(format!(
                "a step of {id} is being done on this host"
            ))
            .hint("wait for its end, then try again")),
            Err(std::fs::TryLockError::Error(error)) => Err(trouble("lock", &path, &error)),
        }
    }

    fn refuse_others(&self, id: &PlanId) -> Result<(), Failure> {
        match self.current()? {
            Some(other) if other != *id => Err(Failure::refused(format!(
                "the plan {other} has begun on this host and not ended"
            ))
            .hint(ways_on(&other))),
            _ => Ok(()),
        }
    }
}

/// What can be done about a plan that has begun and not ended.
pub(super) fn ways_on(id: &impl std::fmt::Display) -> Advice {
    let resume = Task::ResumePlan.of(id);
    let undo = Task::UndoPlan.of(id);
    advice![resume, " resumes it, ", undo, " rolls it back"]
}

/// What every plan has, whatever version made it.
#[derive(serde::Deserialize)]
struct Version {
    version: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::FailureKind;
    use crate::plan::PlanKind;

    fn plan(id: &str) -> Plan {
        Plan {
            version: VERSION,
            id: PlanId::try_from(id.to_owned()).unwrap(),
            kind: PlanKind::Restore,
            title: "restore".into(),
            made: "2026-11-22T08:30:00Z".parse().unwrap(),
            hosts: Vec::new(),
            stages: Vec::new(),
            other_hosts: Vec::new(),
        }
    }

    #[test]
    fn one_plan_at_a_time_until_it_ends() {
        let state = tempfile::tempdir().unwrap();
        let plans = Plans::of(state.path().join("plans"));
        assert_eq!(plans.current().unwrap(), None);
        assert_eq!(plans.list().unwrap(), []);
        let (one, other) = (plan("one"), plan("other"));
        plans.begin(&one).unwrap();
        plans.begin(&one).unwrap();
        assert_eq!(plans.current().unwrap(), Some(one.id.clone()));
        let refused = plans.begin(&other).unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused);
        assert!(
            refused
                .hint
                .unwrap()
                .written()
                .contains("{resume-plan one}")
        );
        assert_eq!(plans.read(&one.id).unwrap(), one);
        plans.end(&other.id).unwrap();
        assert!(plans.begin(&other).is_err());
        plans.end(&one.id).unwrap();
        plans.end(&one.id).unwrap();
        assert!(plans.hold(&one.id).is_err());
        plans.begin(&other).unwrap();
        assert_eq!(plans.list().unwrap(), [one.id, other.id]);
    }

    #[test]
    fn the_snapshot_that_was_sent_for_a_plan_goes_with_its_end() {
        let state = tempfile::tempdir().unwrap();
        let plans = Plans::of(state.path().join("plans"));
        let (one, other) = (plan("one"), plan("other"));
        plans.begin(&one).unwrap();
        let snapshot = plans.snapshot_of(&one.id);
        std::fs::write(&snapshot, "secrets").unwrap();
        plans.end(&other.id).unwrap();
        assert!(snapshot.exists(), "its own plan goes on");
        plans.end(&one.id).unwrap();
        assert!(!snapshot.exists());
        assert_eq!(plans.read(&one.id).unwrap(), one);
    }

    #[test]
    fn plans_are_in_nobody_elses_folder() {
        use std::os::unix::fs::PermissionsExt;
        let state = tempfile::tempdir().unwrap();
        let plans = Plans::of(state.path().join("plans"));
        let folder = state.path().join("plans");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        let failure = plans.begin(&plan("one")).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused);
        assert!(failure.hint.unwrap().written().starts_with("chown root "));
    }

    #[test]
    fn a_plan_of_the_same_name_is_not_gone_on_with_if_it_is_another() {
        let state = tempfile::tempdir().unwrap();
        let plans = Plans::of(state.path().join("plans"));
        let one = plan("one");
        plans.begin(&one).unwrap();
        let changed = Plan {
            title: "other".into(),
            ..one
        };
        assert_eq!(
            plans.begin(&changed).unwrap_err().kind,
            FailureKind::Refused
        );
    }

    #[test]
    fn one_step_at_a_time() {
        let state = tempfile::tempdir().unwrap();
        let plans = Plans::of(state.path().join("plans"));
        let one = plan("one");
        plans.begin(&one).unwrap();
        let held = plans.hold(&one.id).unwrap();
        assert!(plans.hold(&one.id).is_err());
        drop(held);
        plans.hold(&one.id).unwrap();
    }
}
