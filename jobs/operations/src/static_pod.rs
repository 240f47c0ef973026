//! A component of the control plane on this host: proved gone when it is stopped, proved up when it is started.
//!
//! A manifest that is taken out of kubelet's folder stops nothing by itself when kubelet has seen no apiserver since it
//! started, which is so after every loss of power; and one that comes in then is started only when nothing is left of the
//! one before. So kubelet is restarted once the manifest is out: what starts then does not know the pod. Its containers are
//! ended through the runtime, and what counts is what the runtime, the kernel and the lock on the database say.

mod health;
mod process;
mod up;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use etcd_datadir::lock::{Holder, database_holder};
use tokio::time::sleep;

use crate::failure::Failure;
use crate::flags::{Flags, target_from_pod};
use crate::kubelet;
use crate::manifest::{Manifest, PodId};
use crate::ports;
use crate::runtime::{Container, Runtime, State};
use crate::target::host;

pub use health::Wanted;
pub use up::{Awaited, Tell, Up};

use health::Health;
use process::CommandLine;

/// How often what is waited for is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A static pod as this host runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticPod {
    /// The pod, as the runtime knows it: with the node's name.
    pub pod: PodId,
    /// The component, which is the name of its container.
    pub component: String,
    /// Where it listens.
    pub listens: Vec<SocketAddr>,
    /// etcd's database, on which it has a lock while it runs.
    pub database: Option<PathBuf>,
    /// Its image, if its manifest names one.
    image: Option<String>,
    /// What its process is started with.
    command: CommandLine,
    /// Where it is asked how it is.
    health: Health,
}

/// What is still there of a component that was to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remains {
    /// A container that has not ended.
    Container {
        /// Its id.
        id: String,
    },
    /// A process that ran in a container of it.
    Process {
        /// Its number.
        pid: u32,
    },
    /// Somebody listens where it does.
    Port {
        /// There.
        address: SocketAddr,
    },
    /// Somebody has the lock on its database.
    Lock {
        /// The database's file.
        database: PathBuf,
    },
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container { id } => write!(f, "its container {id} has not ended"),
            Self::Process { pid } => write!(f, "its process {pid} is there"),
            Self::Port { address } => write!(f, "somebody listens at {address}"),
            Self::Lock { database } => {
                write!(f, "somebody has the lock on {}", database.display())
            }
        }
    }
}

impl StaticPod {
    /// A component as its manifest has it, on the node of this name.
    ///
    /// # Errors
    /// When the manifest has no such component, or its flags cannot be told.
    pub fn of(manifest: &Manifest, component: &str, node: &str) -> Result<Self, Failure> {
        let found = manifest.component(component)?;
        let flags = found.flags().map_err(|error| {
            Failure::refused(format!("{component}: {error}"))
                .hint("write the program and its flags as words of `command`")
        })?;
        let pod = manifest.pod();
        let etcd = (component == "etcd").then(|| target_from_pod(&manifest.facts(node)));
        let target = etcd.transpose().map_err(|error| {
            Failure::refused(error.to_string()).hint("put that flag right in etcd's manifest")
        })?;
        let database = target
            .as_ref()
            .map(|target| target.data_dir.join("member/snap/db"));
        Ok(Self {
            pod: PodId {
                name: format!("{}-{node}", pod.name),
                ..pod
            },
            component: found.name().to_owned(),
            listens: listens(component, &flags),
            database,
            image: found.image().map(str::to_owned),
            command: CommandLine::new(found.words_expanded(), !found.command().is_empty()),
            health: Health::of(&found, &flags, target),
        })
    }

    /// Whether it answers for itself at this moment.
    pub async fn answers(&self) -> bool {
        self.health.ask(Wanted::Answers).await.is_ok()
    }

    /// Ends it and waits until nothing is left of it: `let_go`, then [`StaticPod::end`]. Its manifest has to be out of
    /// kubelet's folder before; whoever has taken it out knows.
    ///
    /// # Errors
    /// As these two.
    pub async fn stop(
        &self,
        runtime: &Runtime,
        grace: Duration,
        limit: Duration,
        tell: &mut Tell<'_>,
    ) -> Result<(), Failure> {
        let_go().await?;
        self.end(runtime, grace, limit, tell).await
    }

    /// Ends what kubelet has let go of and waits until nothing is left of it. A process that is asked to end gets so long
    /// for that; with none it is killed at once.
    ///
    /// # Errors
    /// `FailureKind::Unreachable` when the runtime does not answer; `FailureKind::Other` with what is left, when
    /// something is after `limit`.
    pub async fn end(
        &self,
        runtime: &Runtime,
        grace: Duration,
        limit: Duration,
        tell: &mut Tell<'_>,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let (mut seen, mut told) = (BTreeSet::new(), None);
        loop {
            for container in self.alive(runtime).await? {
                seen.extend(
                    runtime
                        .details(&container.id)
                        .await
                        .ok()
                        .and_then(|one| one.pid),
                );
                match container.state {
                    // A kubelet that was ended in between has made it. The runtime does not stop what does not run, and does
                    // not remove what it is just starting: that is looked at again.
                    State::Created => {
                        let removed = runtime.remove(&container.id).await;
                        if begun.elapsed() > limit {
                            removed?;
                        }
                    }
                    _ => runtime.stop(&container.id, grace).await?,
                }
            }
            let left = self.remains(runtime, &seen).await?;
            let Some(first) = left.first() else {
                return Ok(());
            };
            if begun.elapsed() > limit {
                return Err(self.still_there(&left));
            }
            if told.as_ref() != Some(first) {
                told = Some(first.clone());
                tell(Awaited::Gone {
                    left: first.clone(),
                });
            }
            sleep(LOOK).await;
        }
    }

    /// Ends its containers and leaves its manifest where it is: kubelet starts it anew.
    ///
    /// # Errors
    /// When the runtime does not do it.
    pub(crate) async fn end_containers(
        &self,
        runtime: &Runtime,
        grace: Duration,
    ) -> Result<(), Failure> {
        for container in self.alive(runtime).await? {
            runtime.stop(&container.id, grace).await?;
        }
        Ok(())
    }

    /// What is there of it, processes of earlier containers among it.
    ///
    /// # Errors
    /// When the runtime or the kernel does not tell.
    pub(crate) async fn remains(
        &self,
        runtime: &Runtime,
        processes: &BTreeSet<u32>,
    ) -> Result<Vec<Remains>, Failure> {
        let mut left: Vec<Remains> = self
            .alive(runtime)
            .await?
            .into_iter()
            .map(|container| Remains::Container { id: container.id })
            .collect();
        let alive = |pid: &&u32| Path::new("/proc").join(pid.to_string()).exists();
        let processes = processes.iter().filter(alive);
        left.extend(processes.map(|pid| Remains::Process { pid: *pid }));
        let listening = ports::listening().map_err(|error| {
            Failure::other(format!("could not look at the ports of this host: {error}"))
        })?;
        let taken = self.listens.iter();
        let taken = taken.filter(|address| ports::is_taken(&listening, **address));
        left.extend(taken.map(|address| Remains::Port { address: *address }));
        let locked = self.database.iter().filter(|database| is_locked(database));
        left.extend(locked.map(|database| Remains::Lock {
            database: database.clone(),
        }));
        Ok(left)
    }

    /// Its containers that have not ended.
    async fn alive(&self, runtime: &Runtime) -> Result<Vec<Container>, Failure> {
        let all = runtime.containers(&self.pod).await?.into_iter();
        Ok(all.filter(|one| one.state != State::Exited).collect())
    }

    fn still_there(&self, left: &[Remains]) -> Failure {
        let left: Vec<String> = left.iter().map(ToString::to_string).collect();
        let message = format!("{} has not stopped: {}", self.component, left.join("; "));
        Failure::other(message).hint("what else runs it on this host has to be stopped first")
    }
}

/// Makes kubelet let go of all pods whose manifests were taken out of its folder: it is restarted, and what starts then does
/// not know them. Once is enough for all that are to be ended. A kubelet that does not run knows none, and is not started.
///
/// Nothing less is sure: a kubelet that has seen no apiserver since it started keeps the pod, and one that has may just be
/// starting a container of it again.
///
/// # Errors
/// When systemd does not do it.
pub(crate) async fn let_go() -> Result<(), Failure> {
    match kubelet::is_active().await? {
        true => kubelet::restart().await,
        false => Ok(()),
    }
}

/// Whether somebody has etcd's lock. What cannot be looked at is taken for locked, but for what is not there.
pub(crate) fn is_locked(database: &Path) -> bool {
    match std::fs::File::open(database) {
        Ok(file) => {
            let holder = database_holder(&file, &database.display().to_string());
            !holder.is_ok_and(|holder| holder != Holder::Etcd)
        }
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// Where a component listens, by its flags and its own defaults.
fn listens(component: &str, flags: &Flags) -> Vec<SocketAddr> {
    let by_port = |default| secure(flags, default).into_iter().collect();
    match component {
        "etcd" => {
            let lists = [
                "listen-client-urls",
                "listen-peer-urls",
                "listen-metrics-urls",
            ];
            let urls = lists.into_iter().flat_map(|flag| flags.list(flag));
            urls.filter_map(address).collect()
        }
        "kube-apiserver" => by_port(6443),
        "kube-controller-manager" => by_port(10257),
        "kube-scheduler" => by_port(10259),
        _ => Vec::new(),
    }
}

/// Where a program of Kubernetes listens; none when it is told not to.
fn secure(flags: &Flags, default: u16) -> Option<SocketAddr> {
    const ANY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
    let port = flags.get("secure-port").and_then(|port| port.parse().ok());
    let ip = flags.get("bind-address").and_then(|ip| ip.parse().ok());
    let port = port.unwrap_or(default);
    (port > 0).then(|| SocketAddr::new(ip.unwrap_or(ANY), port))
}

/// The address in a URL. etcd takes addresses only, no names, where it listens.
fn address(url: &str) -> Option<SocketAddr> {
    let ip = host(url).parse().ok()?;
    let port = url.trim_end_matches('/').rsplit_once(':')?.1.parse().ok()?;
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETCD: &str = include_str!("../tests/manifests/kubeadm-1.36-etcd.yaml");
    const APISERVER: &str = include_str!("../tests/manifests/kubeadm-1.36-kube-apiserver.yaml");

    #[test]
    fn what_a_component_leaves_when_it_runs_is_known_from_its_manifest() {
        let manifest = Manifest::parse(ETCD.as_bytes()).unwrap();
        let etcd = StaticPod::of(&manifest, "etcd", "cp-1").unwrap();
        assert_eq!(etcd.pod.to_string(), "kube-system/etcd-cp-1");
        assert_eq!(
            etcd.database.as_deref(),
            Some(Path::new("/var/lib/etcd/member/snap/db"))
        );
        let ports: Vec<u16> = etcd.listens.iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [2379, 2379, 2380, 2381]);
        let manifest = Manifest::parse(APISERVER.as_bytes()).unwrap();
        let apiserver = StaticPod::of(&manifest, "kube-apiserver", "cp-1").unwrap();
        assert_eq!(apiserver.listens, ["0.0.0.0:6443".parse().unwrap()]);
        assert_eq!(apiserver.database, None);
        assert!(StaticPod::of(&manifest, "etcd", "cp-1").is_err());
    }

    #[test]
    fn what_cannot_be_looked_at_counts_as_locked_and_what_is_not_there_does_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_locked(&dir.path().join("none")));
        let database = dir.path().join("db");
        let etcd = std::fs::File::create(&database).unwrap();
        assert!(!is_locked(&database));
        etcd.try_lock().unwrap();
        assert!(is_locked(&database));
    }
}
