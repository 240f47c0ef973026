//! Making clusters: their parts, their slot, their disks, and the power on.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};

use super::seats::{self, Seat};
use super::{Cluster, Spec, kubeadm, ssh, state, sweep};
use crate::needs::{self, Wanted, Work};
use crate::network;
use crate::parts;
use crate::process::{ProcessId, say};

/// What is done to a new cluster's disks before its power is on.
type Change<'c> = Box<dyn FnOnce(&Cluster) -> Result<()> + 'c>;

impl Cluster {
    /// A ready cluster for a test, removed when the value is dropped (or at a later start, when the test is killed).
    ///
    /// Unless it may run beside any others it waits until there is room for it; a test that holds [`Cluster::with_shared`] must
    /// not ask for it.
    ///
    /// # Errors
    /// When parts are missing and cannot be built, or the cluster does not come up.
    pub fn start(spec: Spec) -> Result<Self> {
        let place = (!spec.side_by_side).then(seats::seat).transpose()?;
        Self::start_for_process(&spec, place, None)
    }

    /// Like [`Cluster::start`], with something done to the nodes' disks while the power is off: for that alone they need not be
    /// started twice. Whether it is ready afterwards is not looked at.
    ///
    /// # Errors
    /// As [`Cluster::start`], and when the change fails.
    pub fn start_changed<'c>(
        spec: Spec,
        change: impl FnOnce(&Self) -> Result<()> + 'c,
    ) -> Result<Self> {
        let place = (!spec.side_by_side).then(seats::seat).transpose()?;
        Self::start_for_process(&spec, place, Some(Box::new(change)))
    }

    pub(super) fn start_for_process(
        spec: &Spec,
        seat: Option<Seat>,
        change: Option<Change<'_>>,
    ) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "t{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        Self::make(spec, &name, Some(ProcessId::own()?), seat, change)
    }

    /// A ready cluster for a person: it stays until it is removed.
    ///
    /// # Errors
    /// When the name is taken, parts cannot be built, or the cluster does not come up.
    pub fn up(spec: &Spec, name: &str) -> Result<Self> {
        Self::make(spec, name, None, None, None)
    }

    fn make(
        spec: &Spec,
        name: &str,
        owner: Option<ProcessId>,
        seat: Option<Seat>,
        change: Option<Change<'_>>,
    ) -> Result<Self> {
        if !(1..=9).contains(&spec.masters) || spec.masters.is_multiple_of(2) {
            bail!("{} masters: clusters have 1, 3 or 5", spec.masters);
        }
        if !spec.kubernetes.knows(spec.etcd) {
            bail!(
                "kubeadm {} writes flags that etcd {} does not know",
                spec.kubernetes,
                spec.etcd
            );
        }
        check_name(name)?;
        needs::ensure(&Wanted {
            work: Work::Cluster,
            parts: parts::of_nodes(spec.kubernetes, spec.etcd),
            nodes: spec.masters,
        })?;
        sweep::sweep()?;
        let parts = parts::for_nodes(spec.kubernetes, spec.etcd)?;
        let temporary = owner.is_some();
        let state = state::allocate(spec, name, owner)?;
        let mut cluster = Self::with_parts(state, parts)?;
        cluster.temporary = true; // until it is up
        cluster._seat = seat;
        cluster
            .build(change)
            .inspect_err(|_| cluster.keep_evidence())?;
        cluster.temporary = temporary;
        Ok(cluster)
    }

    fn build(&self, change: Option<Change<'_>>) -> Result<()> {
        network::create_switch(&self.state.prefix(), self.state.slot)?;
        if let Some(checkpoint) = self.usable_checkpoint()? {
            self.restore_checkpoint(&checkpoint)?;
            ssh::set_up(&self.folder, &self.nodes)?;
            self.write_kubeconfig()?;
        } else {
            self.build_anew()?;
            match change {
                Some(_) => self.power_off_all()?,
                None => return Ok(()),
            }
        }
        if let Some(change) = change {
            change(self)?;
            return self.power_on_all();
        }
        self.power_on_all()?;
        self.wait_ready()
    }

    /// By kubeadm; it is on and ready then.
    fn build_anew(&self) -> Result<()> {
        for node in &self.nodes {
            node.create()?;
        }
        ssh::set_up(&self.folder, &self.nodes)?;
        say(&format!(
            "making cluster {} of {} master(s); later ones of the kind start from its checkpoint",
            self.state.name,
            self.nodes.len()
        ));
        self.power_on_all()?;
        kubeadm::make(&self.nodes, self.state.kubernetes, self.state.etcd)?;
        self.write_kubeconfig()?;
        self.wait_ready()?;
        self.save_checkpoint()
    }
}

fn check_name(name: &str) -> Result<()> {
    let ok = !name.is_empty()
        && name.len() <= 20
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if ok {
        Ok(())
    } else {
        bail!("{name}: a cluster's name is at most 20 small letters, digits and dashes")
    }
}
