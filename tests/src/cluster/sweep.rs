//! Removing clusters: one that is wanted no more, and what killed tests left behind.

use std::fs;

use anyhow::{Context, Result};

use super::state::{self, State};
use crate::cgroup::Groups;
use crate::process::say;
use crate::{lock, network};

/// Removes every cluster whose owner is gone; gives back their names. Others are not touched.
///
/// # Errors
/// When something of such a cluster cannot be removed.
pub fn sweep() -> Result<Vec<String>> {
    let _lock = lock::take(
        "sweep",
        "waiting for another run that removes left-over clusters",
    )?;
    let mut removed = Vec::new();
    for state in state::all()?.into_iter().filter(State::abandoned) {
        say(&format!(
            "removing what a test that is gone left behind: {}",
            state.name
        ));
        remove(&state)?;
        removed.push(state.name);
    }
    Ok(removed)
}

/// Removes a cluster: processes, groups, namespaces, links and disks. What is not there is no error, so that an
/// interrupted removal is finished by the next.
///
/// # Errors
/// When something cannot be removed.
pub fn remove(state: &State) -> Result<()> {
    let prefix = state.prefix();
    for node in (1..=state.masters).map(|i| format!("{prefix}-m{i}")) {
        Groups::named(&node)?
            .destroy()
            .with_context(|| format!("cannot stop {node}"))?;
        network::remove_namespace(&node)?;
    }
    network::remove_namespace(&prefix)?;
    network::remove_link(state.slot)?;
    let folder = state.folder()?;
    // The file that names the cluster goes with the rename, so that no half-removed cluster is seen.
    let going = folder.with_file_name(format!(".{}.going", state.name));
    if going.exists() {
        fs::remove_dir_all(&going)?;
    }
    fs::rename(&folder, &going).with_context(|| format!("cannot remove {}", folder.display()))?;
    fs::remove_dir_all(&going).with_context(|| format!("cannot remove {}", going.display()))
}
