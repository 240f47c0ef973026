//! What is kept about a cluster on disk, and how a cluster gets its slot.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{Spec, checkpoint};
use crate::network::Slot;
use crate::parts::versions::{Etcd, Kubernetes};
use crate::process::ProcessId;
use crate::{lock, paths};

const FILE: &str = "cluster.json";

/// What has to be known of a cluster to use it or to remove it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its name.
    pub name: String,
    /// Its slot, which gives its addresses.
    pub slot: Slot,
    /// Its Kubernetes.
    pub kubernetes: Kubernetes,
    /// Its etcd.
    pub etcd: Etcd,
    /// How many control-plane nodes it has.
    pub masters: u8,
    /// The process it belongs to, when it goes with that; clusters of people have none.
    pub owner: Option<ProcessId>,
}

impl State {
    /// What the names of its namespaces and groups begin with.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{}-{}", self.slot.link(), self.name)
    }

    /// Its folder.
    ///
    /// # Errors
    /// When the folder of all clusters cannot be made.
    pub fn folder(&self) -> Result<PathBuf> {
        Ok(paths::clusters()?.join(&self.name))
    }

    /// Whether it belongs to a process that is gone.
    #[must_use]
    pub fn abandoned(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| !owner.alive())
    }
}

/// Reads what is kept of a cluster.
///
/// # Errors
/// When there is no such cluster.
pub fn load(name: &str) -> Result<State> {
    let path = paths::clusters()?.join(name).join(FILE);
    let text = fs::read(&path).with_context(|| format!("there is no cluster {name}"))?;
    serde_json::from_slice(&text).with_context(|| format!("cannot read {}", path.display()))
}

/// Every cluster there is, by slot.
///
/// # Errors
/// When the folder cannot be read.
pub fn all() -> Result<Vec<State>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(paths::clusters()?)? {
        let entry = entry?;
        if entry.path().join(FILE).exists() {
            found.push(load(&entry.file_name().to_string_lossy())?);
        }
    }
    found.sort_by_key(|s| s.slot);
    Ok(found)
}

/// Gives a new cluster its slot and folder. From here on it can be found, and removed, whatever happens.
pub(super) fn allocate(spec: &Spec, name: &str, owner: Option<ProcessId>) -> Result<State> {
    let _lock = lock::take("clusters", "waiting for another cluster to be set up")?;
    let existing = all()?;
    if existing.iter().any(|s| s.name == name) {
        bail!("there is a cluster {name} already");
    }
    let slots = if owner.is_some() {
        Slot::TESTS
    } else {
        Slot::PEOPLE
    };
    let slot = free_slot(slots, &existing, spec)?;
    let state = State {
        name: name.to_owned(),
        slot,
        kubernetes: spec.kubernetes,
        etcd: spec.etcd,
        masters: spec.masters,
        owner,
    };
    let folder = state.folder()?;
    fs::create_dir_all(&folder)?;
    save(&folder, &state)?;
    Ok(state)
}

/// A slot that nothing uses: one for which there is a checkpoint of this kind, when there is one.
fn free_slot(
    numbers: std::ops::RangeInclusive<u8>,
    existing: &[State],
    spec: &Spec,
) -> Result<Slot> {
    let mut first = None;
    for slot in numbers.map(Slot::new) {
        if existing.iter().any(|s| s.slot == slot) || slot.in_use()? {
            continue;
        }
        if checkpoint::is_for(spec, slot)? {
            return Ok(slot);
        }
        first = first.or(Some(slot));
    }
    first.context("every network of the test bed is in use: `testbed list` shows the clusters")
}

fn save(folder: &Path, state: &State) -> Result<()> {
    let (new, path) = (folder.join(".cluster.json"), folder.join(FILE));
    fs::write(&new, serde_json::to_vec_pretty(state)?)?;
    Ok(fs::rename(new, path)?)
}
