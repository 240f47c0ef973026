//! Clusters used by several tests of a program, one test after another.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::seats::{self, Place};
use super::{Cluster, Spec};
use crate::process::ProcessId;

/// Environment variable that names a cluster of a person to use as the shared one: saves its start while one test is
/// worked on. Only one test at a time can be run then.
pub const CLUSTER_VARIABLE: &str = "TESTBED_CLUSTER";

impl Cluster {
    /// Does a test with a cluster that tests of this program share, started when none of the kind is free. Waits until
    /// there is room for it, and until it is ready. A test leaves it so.
    ///
    /// It is removed when the program ends, or when another kind is asked for.
    ///
    /// # Panics
    /// When the cluster cannot be started, was not left ready, or the test fails. The cluster is removed then, its
    /// evidence kept, and the next test gets another: nobody can tell in which state it is.
    pub fn with_shared(kind: Spec, test: impl FnOnce(&Self) -> Result<()>) {
        let (cluster, of_person) = match std::env::var(CLUSTER_VARIABLE) {
            Ok(name) => (Self::open(&name), true),
            Err(_) => (Self::of_pool(kind), false),
        };
        let cluster = cluster.unwrap_or_else(|error| panic!("{error:#}"));
        let ready = cluster
            .wait_ready()
            .context("the test before did not leave the shared cluster ready");
        if let Err(error) = ready.and_then(|()| test(&cluster)) {
            panic!("{error:#}");
        }
        if !of_person {
            seats::give_back(kind, cluster);
        }
    }

    fn of_pool(kind: Spec) -> Result<Self> {
        match seats::cluster_or_seat(kind)? {
            Place::Cluster(cluster) => Ok(*cluster),
            Place::Seat(seat) => {
                let cluster = Self::start_for_process(&kind, Some(seat), None)?;
                remove_after_this_process()?;
                Ok(cluster)
            }
        }
    }
}

/// Nothing is dropped when a test program ends, so another program waits for that: `testbed sweep`. Without it the
/// cluster would stay until the next start.
fn remove_after_this_process() -> Result<()> {
    let Some(program) = command_beside_test() else {
        return Ok(());
    };
    let own = ProcessId::own()?;
    // It goes its own way; the shell is what is waited for.
    let script = "setsid \"$0\" sweep --after \"$1\" </dev/null >/dev/null 2>&1 &";
    let status = Command::new("sh")
        .args(["-c", script])
        .arg(program)
        .arg(own.pid.to_string())
        .stdin(Stdio::null())
        .status()?;
    anyhow::ensure!(
        status.success(),
        "cannot start the program that removes the cluster: {status}"
    );
    Ok(())
}

/// Cargo puts test programs into `deps`, beside the command.
fn command_beside_test() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    [own.parent()?.parent()?, own.parent()?]
        .iter()
        .map(|f| f.join("testbed"))
        .find(|p| p.is_file())
}
