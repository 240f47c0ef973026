//! Which etcd of a host is the cluster's: the one that its apiserver uses.
//!
//! A second etcd beside the main one, for events say, is common, and its manifest may come first in the order of names. So
//! the choice is never made by the order of files or pods. It takes plain facts: the same function decides over the
//! manifests of a host and over the pods that the API tells of.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use crate::advice;
use crate::advice::Choice;
use crate::failure::{Failure, FailureKind};
use crate::flags::{Flags, PodFacts, etcd_container, parts};
use crate::ports;
use crate::target::host;

/// The name that kubeadm gives pod, container and label.
const ETCD: &str = "etcd";

/// Where etcd listens for clients unless its flags say otherwise.
const DEFAULT_LISTEN: &str = "http://localhost:2379";

/// A pod that runs an etcd, as far as the choice needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The pod's name as its manifest has it, without the node's name behind it: `etcd`, `etcd-events`.
    pub name: String,
    /// The pod's label `component`. It says less than the name: people copy `etcd.yaml` and leave it.
    pub component: Option<String>,
    /// The name of the container that runs etcd.
    pub container: String,
    /// `--listen-client-urls`; empty when the flags cannot be read.
    pub listen: Vec<String>,
    /// `--advertise-client-urls`.
    pub advertise: Vec<String>,
}

/// What the choice is made by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The name somebody has asked for, which outweighs all else.
    pub named: Option<&'a str>,
    /// `--etcd-servers` of the host's apiserver; empty when it is not known.
    pub servers: &'a [String],
    /// The host's own addresses and names, as far as they are known. The loopback addresses need not be among them, nor
    /// those at which a candidate listens.
    pub own: &'a [String],
}

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChosenBy {
    /// Somebody has named it.
    Named,
    /// The apiserver uses it.
    Servers,
    /// Its pod is named `etcd`.
    Name,
    /// It has kubeadm's label or container's name.
    Label,
    /// It is the only one there is, and nothing speaks against it.
    Only,
}

/// The candidate that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// Its place among the candidates.
    pub index: usize,
    /// What decided.
    pub by: ChosenBy,
}

/// Why none was chosen although there are candidates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotChosen {
    /// Several could be meant.
    #[error(
        "several pods run etcd, and nothing tells which one the apiserver uses: {}",
        names.join(", ")
    )]
    Ambiguous {
        /// Their names.
        names: Vec<String>,
    },
    /// None has the name that was asked for.
    #[error(
        "no pod named {name} runs etcd; those that do: {}",
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    )]
    Unknown {
        /// The name.
        name: String,
        /// The names there are.
        names: Vec<String>,
    },
}

impl From<NotChosen> for Failure {
    fn from(why: NotChosen) -> Self {
        let message = why.to_string();
        let (NotChosen::Ambiguous { names } | NotChosen::Unknown { names, .. }) = why;
        let failure = Self::new(FailureKind::Refused, message);
        match names.first() {
            Some(first) => failure.hint(advice![
                Choice::Etcd.with("NAME"),
                " names it: ",
                Choice::Etcd.with(first)
            ]),
            None => failure.hint(advice!["leave ", Choice::Etcd, " out"]),
        }
    }
}

impl Candidate {
    /// The etcd of a pod; none: no container of it is named `etcd` or runs it.
    ///
    /// `component` is the pod's label of that name.
    pub fn of_pod(pod: &PodFacts, component: Option<&str>) -> Option<Self> {
        let container = etcd_container(pod)?;
        let flags = Flags::parse(&container.command, &container.args, &container.env).ok();
        // Its flags mean nothing to an etcd that has a configuration file.
        let flags = flags.filter(|flags| flags.get("config-file").is_none());
        let urls = |flag: &str, default: &str| -> Vec<String> {
            let urls = flags.as_ref().map(|flags| flags.get(flag));
            let urls = urls.map(|urls| urls.unwrap_or(default));
            urls.into_iter()
                .flat_map(parts)
                .map(str::to_owned)
                .collect()
        };
        let suffix = format!("-{}", pod.node);
        let name = pod.pod.strip_suffix(&suffix).unwrap_or(&pod.pod);
        Some(Self {
            name: name.to_owned(),
            component: component.map(str::to_owned),
            container: container.name.clone(),
            listen: urls("listen-client-urls", DEFAULT_LISTEN),
            advertise: urls("advertise-client-urls", ""),
        })
    }

    /// Whether an URL leads to it as it is written, or as its host has it.
    fn serves(&self, url: &str, own: &Own<'_>) -> bool {
        let Some(wanted) = Address::of(url) else {
            return is_socket(url) && self.listen.iter().any(|one| one == url);
        };
        let listens = |one: Address<'_>| {
            let any = one.is_unspecified() && own.has(wanted.host);
            one.port == wanted.port && (any || same_host(one.host, wanted.host))
        };
        let all = self.listen.iter().chain(&self.advertise);
        all.filter_map(|one| Address::of(one)).any(listens)
    }

    /// Whether an URL leads to this host, at a port at which it listens: by another of the host's addresses.
    fn shares_port(&self, url: &str, own: &Own<'_>) -> bool {
        let wanted = Address::of(url).filter(|wanted| own.has(wanted.host));
        wanted.is_some_and(|wanted| self.listens_at(wanted.port))
    }

    /// Whether an URL may lead to it for all that is known: by a name that is not looked up here.
    fn may_serve(&self, url: &str) -> bool {
        let wanted = Address::of(url).filter(|wanted| wanted.ip().is_none());
        wanted.is_some_and(|wanted| self.listens_at(wanted.port))
    }

    fn listens_at(&self, port: u16) -> bool {
        let mut ports = self.listen.iter().filter_map(|one| Address::of(one));
        ports.any(|one| one.port == port)
    }
}

impl ChosenBy {
    /// Whether it is beyond doubt: no other one that is found elsewhere is meant.
    pub(crate) fn is_sure(self) -> bool {
        match self {
            Self::Named | Self::Servers | Self::Name => true,
            Self::Label | Self::Only => false,
        }
    }
}

/// Chooses the etcd that the apiserver of a host uses; none: it is none of these.
///
/// In this order: the one that somebody has named; the one that serves an URL of `--etcd-servers`; where none does or that is
/// not known, the pod named `etcd`; then, unless the apiserver is known to use another one, kubeadm's label and container's
/// name, and a single one. Where all URLs are known to lead to other hosts it is none of these, whatever it is called: a
/// cluster that was moved to an etcd elsewhere may have left its old manifest.
///
/// # Errors
/// When several could be meant, or none has the name that was asked for.
pub fn choose(candidates: &[Candidate], wanted: &Wanted<'_>) -> Result<Option<Chosen>, NotChosen> {
    let all: Vec<usize> = (0..candidates.len()).collect();
    if let Some(name) = wanted.named {
        let named = with(candidates, &all, |one| one.name == name);
        return match named.as_slice() {
            [] => Err(NotChosen::Unknown {
                name: name.to_owned(),
                names: names(candidates, &all),
            }),
            _ => decided(candidates, &named, ChosenBy::Named),
        };
    }
    let own = Own {
        told: wanted.own,
        candidates,
    };
    let any = |test: &dyn Fn(&String) -> bool| wanted.servers.iter().any(test);
    let by_servers = [
        with(candidates, &all, |one| any(&|url| one.serves(url, &own))),
        with(candidates, &all, |one| {
            any(&|url| one.shares_port(url, &own))
        }),
    ];
    if let Some(found) = by_servers.iter().find(|found| !found.is_empty()) {
        return match by_name(candidates, found) {
            Some(index) if found.len() > 1 => Ok(Some(Chosen {
                index,
                by: ChosenBy::Servers,
            })),
            _ => decided(candidates, found, ChosenBy::Servers),
        };
    }
    // An apiserver that is known to use another one outweighs a label and a container's name, which are copied, but not the
    // pod's name.
    let possible = match wanted.servers {
        [] => all.clone(),
        _ => with(candidates, &all, |one| any(&|url| one.may_serve(url))),
    };
    let elsewhere = possible.is_empty() && own.is_known() && own.none_leads_here(wanted.servers);
    if let [index] = *with(candidates, &all, |one| one.name == ETCD)
        && !elsewhere
    {
        let by = ChosenBy::Name;
        return Ok(Some(Chosen { index, by }));
    }
    if let Some(index) = by_name(candidates, &possible) {
        let by = ChosenBy::Label;
        return Ok(Some(Chosen { index, by }));
    }
    match possible.as_slice() {
        [] => Ok(None),
        _ => decided(candidates, &possible, ChosenBy::Only),
    }
}

/// Whether none of the URLs of `--etcd-servers` leads to the host itself, so that its apiserver uses an etcd elsewhere. An
/// apiserver that uses one here has lost its manifest when there is none, and is never told to use another's.
pub fn is_elsewhere(servers: &[String], own: &[String]) -> bool {
    let own = Own {
        told: own,
        candidates: &[],
    };
    own.none_leads_here(servers)
}

/// The URLs of `--etcd-servers` that lead to the host itself.
pub(crate) fn leading_here<'s>(
    servers: &'s [String],
    own: &'s [String],
) -> impl Iterator<Item = &'s str> {
    let own = Own {
        told: own,
        candidates: &[],
    };
    servers
        .iter()
        .map(String::as_str)
        .filter(move |url| own.leads_here(url))
}

/// Whether somebody listens where an URL leads that leads to this host. Of a name only the port is known.
pub(crate) fn is_listened_at(listening: &BTreeSet<SocketAddr>, url: &str) -> bool {
    let Some(wanted) = Address::of(url) else {
        return false;
    };
    match wanted.ip() {
        Some(ip) => ports::is_taken(listening, SocketAddr::new(ip, wanted.port)),
        None => listening.iter().any(|one| one.port() == wanted.port),
    }
}

/// The one of these, if there is one alone.
fn decided(
    candidates: &[Candidate],
    found: &[usize],
    by: ChosenBy,
) -> Result<Option<Chosen>, NotChosen> {
    match found {
        [index] => Ok(Some(Chosen { index: *index, by })),
        several => Err(NotChosen::Ambiguous {
            names: names(candidates, several),
        }),
    }
}

/// The one that is named as kubeadm does it: by its pod, else by label and container, else by its container.
fn by_name(candidates: &[Candidate], among: &[usize]) -> Option<usize> {
    let labelled = |one: &Candidate| one.component.as_deref() == Some(ETCD);
    let tests: [&dyn Fn(&Candidate) -> bool; 3] = [
        &|one| one.name == ETCD,
        &|one| labelled(one) && one.container == ETCD,
        &|one| one.container == ETCD,
    ];
    for test in tests {
        match with(candidates, among, test).as_slice() {
            [] => {}
            [index] => return Some(*index),
            _ => return None,
        }
    }
    None
}

fn with(
    candidates: &[Candidate],
    among: &[usize],
    test: impl Fn(&Candidate) -> bool,
) -> Vec<usize> {
    let fits = |index: &usize| candidates.get(*index).is_some_and(&test);
    among.iter().copied().filter(fits).collect()
}

fn names(candidates: &[Candidate], among: &[usize]) -> Vec<String> {
    let found = among.iter().filter_map(|index| candidates.get(*index));
    found.map(|one| one.name.clone()).collect()
}

/// What leads to the host on which the candidates are.
struct Own<'a> {
    told: &'a [String],
    /// Where they listen is one of its addresses.
    candidates: &'a [Candidate],
}

impl Own<'_> {
    fn has(&self, host: &str) -> bool {
        let listens = self.candidates.iter().flat_map(|one| &one.listen);
        let mut listens = listens.filter_map(|url| Address::of(url));
        leads_back(host)
            || self.told.iter().any(|own| same_host(own, host))
            || listens.any(|one| same_host(one.host, host))
    }

    /// Whether an URL leads to this host. A socket in its file system does.
    fn leads_here(&self, url: &str) -> bool {
        is_socket(url) || Address::of(url).is_some_and(|one| self.has(one.host))
    }

    fn none_leads_here(&self, servers: &[String]) -> bool {
        !servers.is_empty() && !servers.iter().any(|url| self.leads_here(url))
    }

    /// Whether an address of the host is told: without one, an URL may lead here although nothing says so.
    fn is_known(&self) -> bool {
        self.told.iter().any(|own| ip(own).is_some())
    }
}

/// The host and port of an URL.
#[derive(Debug, Clone, Copy)]
struct Address<'a> {
    host: &'a str,
    port: u16,
}

impl<'a> Address<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let port = url.trim_end_matches('/').rsplit_once(':')?.1;
        Some(Self {
            host: host(url),
            port: port.parse().ok()?,
        })
    }

    fn ip(&self) -> Option<IpAddr> {
        ip(self.host)
    }

    /// Whether that is every address of the host, as Go has it: no host at all is one too.
    fn is_unspecified(&self) -> bool {
        self.host.is_empty() || self.ip().is_some_and(|ip| ip.is_unspecified())
    }
}

/// Whether an URL is a socket in the file system, `unix:///run/etcd.sock`, which cannot be another host's.
fn is_socket(url: &str) -> bool {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        ["unix", "unixs"]
            .iter()
            .any(|one| scheme.eq_ignore_ascii_case(one))
    })
}

fn ip(host: &str) -> Option<IpAddr> {
    let ip: IpAddr = host.parse().ok()?;
    Some(ip.to_canonical())
}

/// Whether a host is the one on which it is asked for.
fn leads_back(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || ip(host).is_some_and(|ip| ip.is_loopback())
}

/// Whether two hosts are the same as they are written. A name is not looked up.
fn same_host(one: &str, other: &str) -> bool {
    match (ip(one), ip(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => one.eq_ignore_ascii_case(other) && !one.is_empty(),
        _ => false,
    }
}
