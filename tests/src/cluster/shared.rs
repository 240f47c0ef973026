//! One cluster used by several tests of a program, one after another.

use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};

use super::{Cluster, Spec};
use crate::process::ProcessId;

/// Environment variable that names a cluster of a person to use as the shared one: saves its start while one test is
/// worked on.
pub const CLUSTER_VARIABLE: &str = "TESTBED_CLUSTER";

static SHARED: Mutex<Option<(Spec, Cluster)>> = Mutex::new(None);

/// The shared cluster, while a test has it for itself.
///
/// A test leaves it ready. When it fails, the cluster is removed and the next test gets another.
#[derive(Debug)]
pub struct Shared {
    held: MutexGuard<'static, Option<(Spec, Cluster)>>,
}

impl Cluster {
    /// The cluster that tests of this program share, started by the first that asks. Waits until no other test has
    /// it, and until it is ready. One that asks for another kind gets a new one.
    ///
    /// It is removed when the program ends.
    ///
    /// # Errors
    /// When it cannot be started, or was not left ready.
    pub fn shared(spec: Spec) -> Result<Shared> {
        let mut held = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_some_and(|(kind, _)| *kind != spec) {
            *held = None;
        }
        if held.is_none() {
            let cluster = match std::env::var(CLUSTER_VARIABLE) {
                Ok(name) => Self::open(&name)?,
                Err(_) => {
                    let cluster = Self::start_for_process(&spec)?;
                    remove_after_this_process()?;
                    cluster
                }
            };
            *held = Some((spec, cluster));
        }
        let shared = Shared { held };
        shared
            .wait_ready()
            .context("the test before did not leave the shared cluster ready")?;
        Ok(shared)
    }
}

/// Removes the shared cluster, for a test that is to have the machine to itself; waits until no test has it.
pub(super) fn give_up() {
    *SHARED.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

impl Deref for Shared {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        match self.held.as_ref() {
            Some((_, cluster)) => cluster,
            None => unreachable!("a shared cluster is there as long as it is held"),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Its evidence is kept as that of any other failed test.
            *self.held = None;
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
