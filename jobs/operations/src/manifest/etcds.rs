//! Which of several manifests is that of a component: of etcd the one that the apiserver of the host uses.

use std::path::Path;

use super::file::ManifestFile;
use crate::failure::Failure;
use crate::instance::{
    Candidate, ChosenBy, Wanted, choose, is_elsewhere, is_listened_at, leading_here,
};
use crate::{kubelet, ports, root};

/// The etcd that a plan runs for a moment on a copy of the data. It is nobody's.
pub(crate) const ALONE: &str = "kubectl-etcd-alone";

/// By what the etcd of a host is chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Etcds {
    /// The pod that somebody has named.
    pub(super) named: Option<String>,
    /// `--etcd-servers` of the apiserver; empty: not known.
    pub(super) servers: Vec<String>,
    /// The host's own addresses and names.
    pub(super) own: Vec<String>,
}

/// The addresses and names of a host whose file system is found at `root`: its own name, its node's, and those that
/// `/etc/hosts` has for its addresses.
pub(super) fn own(root: &Path) -> Vec<String> {
    let text = |path| root::read_text(root, path).unwrap_or_default();
    let mut own = ports::own_addresses(root);
    let hosts = names_in(&text("/etc/hosts"), &own);
    let hostname = text("/proc/sys/kernel/hostname").trim().to_owned();
    own.extend(hosts);
    own.extend(Some(hostname).filter(|name| !name.is_empty()));
    own.extend(kubelet::node_name(root));
    own
}

/// The names that a file of hosts has for these addresses: an address on each line, and its names behind it.
fn names_in(text: &str, addresses: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let address = words.next().and_then(|one| one.parse().ok());
        let address = address.map(|one: std::net::IpAddr| one.to_canonical());
        let is_own =
            |one: std::net::IpAddr| one.is_loopback() || addresses.contains(&one.to_string());
        if address.is_some_and(is_own) {
            found.extend(words.map(str::to_owned));
        }
    }
    found
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

    /// Whether somebody listens where the apiserver is told to find an etcd on this host.
    pub(super) fn is_listened_here(&self, root: &Path) -> bool {
        let mut here = leading_here(&self.servers, &self.own).peekable();
        if here.peek().is_none() {
            return false;
        }
        // A kernel that does not tell leaves it open.
        let listening = ports::listening_below(root).unwrap_or_default();
        here.any(|url| is_listened_at(&listening, url))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_names_lead_to_it() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/sys/kernel/hostname", "m1.example\n");
        write(
            "proc/net/fib_trie",
            "Local:\n  |-- 10.0.0.1\n     /32 host LOCAL\n",
        );
        write(
            "etc/hosts",
            "127.0.0.1 localhost\n10.0.0.1 m1.internal m1 # this one\n10.0.0.2 m2.internal\nx y\n",
        );
        write(
            "var/lib/kubelet/kubeadm-flags.env",
            "KUBELET_KUBEADM_ARGS=\"--hostname-override=node-1\"\n",
        );
        let etcds = |servers: &str| Etcds {
            servers: vec![servers.to_owned()],
            own: own(root.path()),
            ..Etcds::default()
        };
        for here in ["m1.example", "M1.internal", "m1", "node-1", "10.0.0.1"] {
            assert!(
                !etcds(&format!("https://{here}:2379")).is_elsewhere(),
                "{here}"
            );
        }
        assert!(!etcds("unix:///run/etcd.sock").is_elsewhere());
        for other in ["m2.internal", "m2", "10.0.0.2", "this"] {
            assert!(
                etcds(&format!("https://{other}:2379")).is_elsewhere(),
                "{other}"
            );
        }
    }

    #[test]
    fn who_listens_at_an_own_url_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let listens = |servers: &[&str]| {
            let etcds = Etcds {
                servers: servers.iter().map(|&one| one.to_owned()).collect(),
                own: vec!["10.0.0.1".into(), "m1".into()],
                ..Etcds::default()
            };
            etcds.is_listened_here(root.path())
        };
        let of_three = ["https://10.0.0.1:2379", "https://10.0.0.2:2379"];
        assert!(!listens(&of_three), "the kernel does not tell");
        let net = root.path().join("proc/net");
        std::fs::create_dir_all(&net).unwrap();
        // 10.0.0.1:2379.
        let word = format!("{:08X}", u32::from_ne_bytes([10, 0, 0, 1]));
        let tcp = format!("head\n 0: {word}:094B 00000000:0000 0A 0\n");
        std::fs::write(net.join("tcp"), tcp).unwrap();
        assert!(listens(&of_three));
        assert!(listens(&["https://m1:2379"]));
        assert!(!listens(&["https://10.0.0.2:2379"]), "another host's");
        assert!(!listens(&["https://10.0.0.1:2383"]));
        assert!(!listens(&["unix:///run/etcd.sock"]));
    }
}
