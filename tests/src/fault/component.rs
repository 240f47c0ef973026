//! Components stopped, started and killed.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::Node;
use crate::node::Process;
use crate::wait;

/// A static pod of a control-plane node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Component {
    /// etcd.
    Etcd,
    /// kube-apiserver.
    Apiserver,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
}

impl Component {
    /// The name of its program, and of its manifest without `.yaml`.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Apiserver => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }
}

impl Node {
    /// Where the manifest of a component is when it is not stopped.
    #[must_use]
    pub fn manifest(&self, component: Component) -> PathBuf {
        self.path("/etc/kubernetes/manifests")
            .join(format!("{}.yaml", component.program()))
    }

    fn stopped_manifest(&self, component: Component) -> Result<PathBuf> {
        let folder = self.folder().join("stopped");
        fs::create_dir_all(&folder)?;
        Ok(folder.join(format!("{}.yaml", component.program())))
    }

    /// The processes of a component.
    #[must_use]
    pub fn component(&self, component: Component) -> Vec<Process> {
        self.processes()
            .into_iter()
            .filter(|p| p.program() == component.program())
            .collect()
    }

    /// Stops a component at once and proves it: its manifest goes aside, its processes are killed until none has
    /// come back for two seconds.
    ///
    /// # Errors
    /// When its manifest is not there, or processes come back for 60 s.
    pub fn stop(&self, component: Component) -> Result<()> {
        self.take_manifest(component)?;
        let mut gone_since = Instant::now();
        wait::until(
            &format!("{} of {} stopped", component.program(), self.name()),
            Duration::from_secs(60),
            || {
                let left = self.component(component);
                if !left.is_empty() {
                    gone_since = Instant::now();
                    left.iter().for_each(kill);
                }
                if gone_since.elapsed() > Duration::from_secs(2) {
                    Ok(())
                } else {
                    Err(format!("{left:?}"))
                }
            },
        )
    }

    /// Stops a component as an administrator would, by its manifest alone; returns when its processes are gone
    /// (an apiserver takes 30 s, etcd 7 to 14 s).
    ///
    /// # Errors
    /// When its manifest is not there, or it still runs after 90 s.
    pub fn stop_gently(&self, component: Component) -> Result<()> {
        self.take_manifest(component)?;
        wait::until(
            &format!("{} of {} stopped", component.program(), self.name()),
            Duration::from_secs(90),
            || {
                let left = self.component(component);
                if left.is_empty() {
                    Ok(())
                } else {
                    Err(format!("{left:?}"))
                }
            },
        )
    }

    fn take_manifest(&self, component: Component) -> Result<()> {
        let (manifest, aside) = (self.manifest(component), self.stopped_manifest(component)?);
        fs::rename(&manifest, aside)
            .with_context(|| format!("cannot move {} aside", manifest.display()))
    }

    /// Brings the manifest of a stopped component back, byte for byte. What kubelet makes of it is not waited for.
    ///
    /// # Errors
    /// When it was not stopped by [`Node::stop`].
    pub fn bring_back(&self, component: Component) -> Result<()> {
        let (manifest, aside) = (self.manifest(component), self.stopped_manifest(component)?);
        if manifest.exists() {
            bail!(
                "{} of {} has a manifest already",
                component.program(),
                self.name()
            );
        }
        fs::rename(&aside, &manifest)
            .with_context(|| format!("{} of {} is not stopped", component.program(), self.name()))
    }

    /// Starts a stopped component: [`Node::bring_back`]. Returns when its process is there.
    ///
    /// # Errors
    /// As that; when it does not start within 90 s while the node is on. One that ends at once may not be seen.
    pub fn start(&self, component: Component) -> Result<()> {
        self.bring_back(component)?;
        if !self.is_on() {
            return Ok(());
        }
        wait::until_true(
            &format!("{} of {} started", component.program(), self.name()),
            Duration::from_secs(90),
            || !self.component(component).is_empty(),
        )
    }

    /// Kills the processes of a component; kubelet starts it again.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self, component: Component) -> Result<()> {
        let processes = self.component(component);
        if processes.is_empty() {
            bail!("{} of {} does not run", component.program(), self.name());
        }
        processes.iter().for_each(kill);
        Ok(())
    }
}

fn kill(process: &Process) {
    if let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself meanwhile.
        let _ = kill_process(pid, Signal::KILL);
    }
}
