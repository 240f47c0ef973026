//! What every command has that makes a plan: its flags, who takes part, what is agreed to.

use std::path::PathBuf;

use clap::Args;
use etcd_operations::advice;
use etcd_operations::advice::{Choice, Command, Task};
use etcd_operations::failure::Failure;
use etcd_operations::plan::Plan;
use etcd_operations::plan::make::{HostView, PlanPreview, TakingPart};

use super::Context;
use super::life::Consent;
use crate::advice::typed;
use crate::args::OutputArgs;
use crate::args::ssh::SshArgs;
use kubectl_etcd_core::error::Error;
use kubectl_etcd_core::executor::Hosts;
use kubectl_etcd_core::executor::gather::Gathered;
use kubectl_etcd_core::executor::run::Bring;
use kubectl_etcd_core::runners::host::Host;

/// The flags of every command that shows what it would change before it does.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// Show the plan and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// How the answer is written.
    #[command(flatten)]
    pub output: OutputArgs,
}

impl PlanArgs {
    /// What was typed.
    pub(crate) fn consent(&self) -> Consent {
        Consent {
            dry_run: self.dry_run,
            yes: self.yes,
            output: self.output.output,
        }
    }
}

/// Who takes part in a plan that makes a cluster anew, or a member.
#[derive(Debug, Clone, Args)]
pub struct WhoArgs {
    /// Work on this host alone; what is to be run on each of the others is said
    #[arg(long, conflicts_with_all = ["ssh", "master"])]
    pub this_node_only: bool,
    /// Manifest to start a component from that has none in kubelet's folder: an archived copy, or a file of your own on
    /// that host. May be given several times
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub manifest: Vec<PathBuf>,
    /// How the others are reached.
    #[command(flatten)]
    pub ssh: SshArgs,
}

impl WhoArgs {
    /// Which hosts that is.
    pub(crate) fn taking_part(&self) -> TakingPart {
        match (self.this_node_only, self.ssh.wanted()) {
            (true, _) => TakingPart::ThisHost,
            (false, true) => TakingPart::Reached,
            (false, false) => TakingPart::Unsaid,
        }
    }

    /// Everybody who is to take part. Who cannot be reached is told.
    ///
    /// # Errors
    /// When there is nobody.
    pub(crate) async fn gather(&self, context: &Context<'_>) -> Result<Gathered, Error> {
        let mut gathered = context.gather(&self.ssh).await?;
        name_manifests(&mut gathered.hosts, &self.manifest)?;
        // Each says whom it is about.
        for (_, why) in &gathered.unreachable {
            context.ui.warn(&format!("left out: {why}"));
        }
        Ok(gathered)
    }
}

/// Names files from which components are started that have no manifest in kubelet's folder.
///
/// # Errors
/// When a path means nothing.
pub(crate) fn name_manifests(hosts: &mut Hosts, manifests: &[PathBuf]) -> Result<(), Error> {
    let mut relative = manifests.iter().filter(|path| path.is_relative());
    let elsewhere = *hosts.flags() != Command::default();
    if let Some(path) = relative.next().filter(|_| elsewhere) {
        let flag = typed(&Choice::Manifest.with(path.display()));
        return Err(Error::usage(format!(
            "{flag}: give the whole path, as the hosts have it"
        )));
    }
    let absolute = manifests.iter().map(std::path::absolute);
    let paths: Vec<PathBuf> = absolute
        .collect::<Result<_, _>>()
        .map_err(|cause| Error::usage("--manifest leads nowhere").caused_by(cause))?;
    hosts.naming(&paths);
    Ok(())
}

/// Refuses a manifest that was named and that nothing is started from: whoever names one wants it used.
fn check_named(manifests: &[PathBuf], preview: &PlanPreview) -> Result<(), Error> {
    let used = |path: &PathBuf| {
        let mut all = preview.brought_back.iter();
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        all.any(|one| one.manifest.named && one.manifest.path == path)
    };
    match manifests.iter().find(|path| !used(path)) {
        None => Ok(()),
        Some(unused) => Err(Error::usage(format!(
            "--manifest {}: nothing is started from it",
            unused.display()
        ))
        .hint("it is for a component that has no manifest in kubelet's folder; kubectl etcd manifest show lists what is there")),
    }
}

/// What was found on hosts, and what would be done there.
pub(crate) struct Planned {
    /// What was found.
    pub(crate) looked: Vec<HostView>,
    /// What would be done.
    pub(crate) preview: PlanPreview,
}

impl Planned {
    /// What was made of what was found on these hosts. Every manifest that was named has to be used.
    ///
    /// # Errors
    /// Why there is no plan, or which manifest it does not use.
    pub(crate) fn new(
        looked: Vec<HostView>,
        made: Result<PlanPreview, Failure>,
        named: &[PathBuf],
    ) -> Result<Self, Error> {
        let preview = made?;
        check_named(named, &preview)?;
        Ok(Self { looked, preview })
    }
}

/// What somebody has agreed to beforehand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Accepted {
    /// That data is lost.
    pub(crate) data_loss: bool,
    /// That nothing can be written meanwhile.
    pub(crate) outage: bool,
}

impl Accepted {
    /// Whether the loss of data is agreed to, and nothing else.
    pub(crate) fn data_loss(data_loss: bool) -> Self {
        Self {
            data_loss,
            outage: false,
        }
    }
}

/// No step of the plan wants anything brought.
#[derive(Debug)]
pub(crate) struct Nothing;

impl Bring for Nothing {
    async fn snapshot(&self, host: &Host, plan: &Plan) -> Result<(), Error> {
        Err(Error::refused(format!(
            "{} has not got the snapshot of {} yet",
            host.node(),
            plan.id
        ))
        .hint(advice![
            Task::ResumePlan.of(&plan.id),
            " --file FILE, with the same snapshot"
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubectl_etcd_core::executor::memory::hosts;
    use kubectl_etcd_core::ssh::SshTargets;

    #[test]
    fn a_manifest_on_other_hosts_is_named_by_its_whole_path() {
        let paths = ["a b.yaml".into()];
        name_manifests(&mut hosts(&[]), &paths).unwrap();
        let ssh = SshTargets {
            flags: Choice::Ssh.into(),
            ..SshTargets::default()
        };
        let mut there = Hosts::reached(Vec::new(), &ssh);
        let error = name_manifests(&mut there, &paths).unwrap_err();
        assert_eq!(
            error.message,
            "--manifest 'a b.yaml': give the whole path, as the hosts have it"
        );
        name_manifests(&mut there, &["/a.yaml".into()]).unwrap();
        let nothing = name_manifests(&mut there, &[PathBuf::new()]).unwrap_err();
        assert!(nothing.message.starts_with("--manifest "), "{nothing}");
    }
}
