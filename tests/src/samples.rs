//! Files of real etcds, to start fuzzing from.

use std::path::Path;

use anyhow::{Context, Result};

use crate::local::{Etcd, Place, fill, server};
use crate::parts;

/// Leaves a data directory and a snapshot of each line of etcd in a folder: `3.6` and `3.6.snapshot`.
///
/// # Errors
/// When an etcd cannot be had or does not do as it is told.
pub fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let etcdctl = parts::etcd("3.5")?.etcdctl;
    for line in ["3.4", "3.5", "3.6", "3.7"] {
        let place = Place::new("m1")?;
        let cluster = std::slice::from_ref(&place);
        // So few that there are .snap files soon.
        let flags = ["--snapshot-count=20"];
        let data = folder.join(line);
        let mut etcd = Etcd::start(&server(line)?, &place, cluster, &data, &flags)?;
        etcd.wait_ready()?;
        fill(&etcd, 40, 60)?;
        etcd.snapshot(&etcdctl, &folder.join(format!("{line}.snapshot")))?;
        etcd.kill();
        std::fs::remove_file(&etcd.log)?;
    }
    Ok(())
}
