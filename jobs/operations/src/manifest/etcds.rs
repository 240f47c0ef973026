//! Which of several manifests is that of a component: of etcd the one that the apiserver of the host uses.

use super::file::ManifestFile;
use crate::failure::Failure;
use crate::instance::{Candidate, ChosenBy, Wanted, choose, is_elsewhere};

/// The etcd that a plan runs for a moment on a copy of the data. It is nobody's.
pub(crate) const ALONE: &str = "kubectl-etcd-alone";

/// By what the etcd of a host is chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Etcds {
    /// The pod that somebody has named.
    pub(super) named: Option<String>,
    /// `--etcd-servers` of the apiserver; empty: not known.
    pub(super) servers: Vec<String>,
    /// The host's own addresses.
    pub(super) own: Vec<String>,
}

impl Etcds {
    /// With what the apiserver among these manifests says.
    pub(super) fn among(pods: &[ManifestFile], own: Vec<String>) -> Self {
        let mut etcds = Self {
            named: None,
            servers: Vec::new(),
            own,
        };
        if let Some(apiserver) = of_pod_named(pods, "kube-apiserver") {
            etcds.hear(apiserver);
        }
        etcds
    }

    /// Takes in what an apiserver says.
    pub(super) fn hear(&mut self, apiserver: &ManifestFile) {
        let Ok(component) = apiserver.manifest.component("kube-apiserver") else {
            return;
        };
        let Ok(flags) = component.flags() else { return };
        let owned =
            |list: Vec<&str>| -> Vec<String> { list.into_iter().map(str::to_owned).collect() };
        self.servers = owned(flags.list("etcd-servers"));
        self.own.extend(owned(flags.list("advertise-address")));
    }

    /// The manifest of a component among these, and what decided.
    ///
    /// # Errors
    /// When several could be the etcd that is meant, or none has the name that was asked for.
    pub(super) fn of_component<'f>(
        &self,
        pods: &'f [ManifestFile],
        component: &str,
    ) -> Result<Option<(&'f ManifestFile, ChosenBy)>, Failure> {
        if component != "etcd" {
            return Ok(of_pod_named(pods, component).map(|file| (file, ChosenBy::Name)));
        }
        let found = pods
            .iter()
            .filter_map(|file| Some((file, candidate(file)?)));
        let (files, candidates): (Vec<_>, Vec<_>) = found.unzip();
        let wanted = Wanted {
            named: self.named.as_deref(),
            servers: &self.servers,
            own: &self.own,
        };
        let chosen = choose(&candidates, &wanted)?;
        Ok(chosen.and_then(|chosen| Some((*files.get(chosen.index)?, chosen.by))))
    }

    /// Whether the apiserver is known to use an etcd of other hosts.
    pub(super) fn is_elsewhere(&self) -> bool {
        is_elsewhere(&self.servers, &self.own)
    }

    /// Whether a manifest runs an etcd.
    pub(super) fn is_one(file: &ManifestFile) -> bool {
        candidate(file).is_some()
    }
}

/// The manifest of the pod that is named like a component, else the first that is or runs it.
fn of_pod_named<'f>(pods: &'f [ManifestFile], component: &str) -> Option<&'f ManifestFile> {
    let mut all = pods.iter().filter(|file| file.manifest.has(component));
    let named = all
        .clone()
        .find(|file| file.manifest.pod().name == component);
    named.or_else(|| all.next())
}

fn candidate(file: &ManifestFile) -> Option<Candidate> {
    let manifest = &file.manifest;
    // The node's name is not needed: the pod's is taken without it.
    let found = Candidate::of_pod(&manifest.facts(""), manifest.label("component"));
    found.filter(|one| one.name != ALONE)
}
