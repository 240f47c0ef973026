//! etcd run alone on a copy of the data, so that what its log has beyond its database gets into the database.
//!
//! `--force-new-cluster` keeps the cluster's id, and a member recovered so can stop the old ones or be stopped by them. So it
//! happens on the copy, on loopback, and what comes of it is restored as a cluster with an id of its own. kubelet runs it, as
//! a pod of another name: it starts one whatever it has seen of an apiserver.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use etcd_datadir::wal::commit_to_the_end;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::act::{Act, ActRecord, StepContext, Undoing, Undone};
use super::pods::{self, OfText};
use super::{Done, copy_data};
use crate::advice;
use crate::advice::Task;
use crate::client::{Connector, EtcdApi, EtcdEndpoint, OWN_LIMIT, QUORUM_LIMIT};
use crate::failure::Failure;
use crate::flags::target_from_pod;
use crate::manifest::{ALONE, Manifest, Start};
use crate::static_pod::Wanted;
use crate::target::Target;
use crate::work::{Events, trouble_with_data};
use crate::yaml;

/// The pod's name, and its manifest's.
const NAME: &str = ALONE;

/// Runs etcd on the copy for a moment, as a cluster of its own that listens on loopback only, so that everything in its log is
/// in its database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAlone {
    /// Whose copy.
    pub target: Target,
    /// The text of its manifest, from which that of the etcd that runs alone is made.
    pub manifest: String,
}

/// An etcd that runs alone for a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunAloneRecord {
    /// Its manifest's way in, and out again.
    manifest: Start,
    /// Its manifest.
    of: OfText,
    /// Its WAL.
    wal_dir: PathBuf,
    /// Where it answers.
    target: Target,
}

impl ActRecord for RunAloneRecord {
    const NAME: &'static str = "alone";
}

impl Act for RunAlone {
    type Record = RunAloneRecord;

    fn describe(&self) -> String {
        "run etcd alone on the copy, so that its log is in its database".to_owned()
    }

    async fn prepare(&self, step: &mut StepContext<'_>) -> Result<RunAloneRecord, Failure> {
        let (target, host) = (&self.target, step.host);
        let (data_dir, wal_dir) = copy_data::places(target, step)?;
        let [client, peer] = free_ports()?;
        let lonely = Lonely {
            target,
            data_dir: &data_dir,
            wal_dir: target.wal_dir.as_ref().map(|_| wal_dir.as_path()),
            client,
            peer,
        };
        let text = lonely.manifest(&Manifest::parse(self.manifest.as_bytes())?)?;
        let made = Manifest::parse(text.as_bytes())?;
        let target_of_copy = target_from_pod(&made.facts(&host.node))
            .map_err(|error| Failure::refused(error.to_string()))?;
        let copied = Target {
            data_dir,
            wal_dir: target_of_copy.wal_dir.as_ref().map(|_| wal_dir.clone()),
            ..target_of_copy.clone()
        };
        if target_of_copy != copied {
            return Err(on_the_data_itself(&target_of_copy));
        }
        let path = host.pods.join(format!("{NAME}.yaml"));
        Ok(RunAloneRecord {
            manifest: Start::prepare_new(&path, &made, &host.archive, step.now)?,
            of: OfText::new("etcd", &made, step),
            wal_dir,
            target: target_of_copy,
        })
    }

    async fn apply(
        &self,
        record: &RunAloneRecord,
        step: &mut StepContext<'_>,
    ) -> Result<Done, Failure> {
        // One that a run before this one left.
        record.end(step.events).await?;
        let wal_dir = record.wal_dir.clone();
        let committed = tokio::task::spawn_blocking(move || commit_to_the_end(&wal_dir)).await;
        committed
            .map_err(|error| Failure::other(error.to_string()))?
            .map_err(|error| trouble_with_data(&error))?;
        let runtime = pods::runtime().await?;
        record.manifest.apply(&record.of.manifest()?)?;
        pods::up(&record.of.pod()?, &runtime, Wanted::Serves, step.events).await?;
        let revision = record.revision().await?;
        record.end(step.events).await?;
        Ok(Done::RanAlone { revision })
    }

    async fn undo(
        &self,
        record: &RunAloneRecord,
        undo: &mut Undoing<'_>,
    ) -> Result<Undone, Failure> {
        record.end(undo.events).await?;
        Ok(Undone::default())
    }
}

/// It must never run on anything but the copy.
fn on_the_data_itself(target: &Target) -> Failure {
    let message = format!(
        "etcd's manifest mounts more than its data directory, so that one that runs alone would not run on the copy but on {}",
        target.data_dir.display()
    );
    Failure::refused(message).hint(advice![
        Task::UndoPlan,
        " rolls back what was done; give etcd a volume whose hostPath is its data directory (and one for --wal-dir, outside of \
         it), then begin again",
    ])
}

fn free_ports() -> Result<[u16; 2], Failure> {
    let none = |error: std::io::Error| Failure::other(format!("no port is free: {error}"));
    let listen = || TcpListener::bind("127.0.0.1:0").map_err(none);
    // Both at once, so that they are two.
    let (one, other) = (listen()?, listen()?);
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    Ok([port(&one).map_err(none)?, port(&other).map_err(none)?])
}

impl RunAloneRecord {
    /// Its revision once everything in its log is applied.
    async fn revision(&self) -> Result<u64, Failure> {
        let connector = Connector::load(&self.target)?;
        let (endpoint, _) = connector.own(&self.target, OWN_LIMIT).await?;
        endpoint.linearizable_read(QUORUM_LIMIT).await?;
        let status = endpoint.status(OWN_LIMIT).await?;
        Ok(u64::try_from(status.revision).unwrap_or(0))
    }

    async fn end(&self, events: &mut Events<'_>) -> Result<(), Failure> {
        let runtime = pods::runtime().await?;
        let was_in = self.manifest.undo()?;
        let pod = self.of.pod()?;
        if was_in || !pod.remains(&runtime, &BTreeSet::new()).await?.is_empty() {
            pods::stop(&pod, &runtime, events).await?;
        }
        Ok(())
    }
}

/// What makes an etcd a lonely one.
struct Lonely<'a> {
    target: &'a Target,
    data_dir: &'a Path,
    wal_dir: Option<&'a Path>,
    client: u16,
    peer: u16,
}

impl Lonely<'_> {
    /// The manifest of an etcd like this one on the copy. It is made new, so that it has no probe, no label and nothing
    /// else by which somebody could take it for the cluster's own.
    fn manifest(&self, like: &Manifest) -> Result<String, Failure> {
        let component = like.component("etcd")?;
        let scheme = match &self.target.tls {
            Some(_) => "https",
            None => "http",
        };
        let url = |port: u16| format!("{scheme}://127.0.0.1:{port}");
        let mut words: Vec<String> = component.words();
        words.extend([
            format!("--listen-client-urls={}", url(self.client)),
            format!("--advertise-client-urls={}", url(self.client)),
            format!("--listen-peer-urls={}", url(self.peer)),
            "--listen-metrics-urls=".to_owned(),
            "--force-new-cluster".to_owned(),
        ]);
        let mut value = like.meant().clone();
        let container = value
            .get_mut("spec")
            .and_then(|spec| spec.get_mut("containers"))
            .and_then(|all| all.get_mut(component.index))
            .and_then(Value::as_object_mut)
            .ok_or_else(not_a_pod)?;
        for key in [
            "args",
            "livenessProbe",
            "readinessProbe",
            "startupProbe",
            "ports",
            "lifecycle",
        ] {
            container.remove(key);
        }
        container.insert("command".into(), words.into());
        let container = container.clone();
        let spec = value
            .get_mut("spec")
            .and_then(Value::as_object_mut)
            .ok_or_else(not_a_pod)?;
        spec.insert("containers".into(), vec![Value::Object(container)].into());
        spec.remove("initContainers");
        let volumes = spec.get_mut("volumes").and_then(Value::as_array_mut);
        for volume in volumes.into_iter().flatten() {
            self.redirect(volume);
        }
        let mut metadata = Map::new();
        metadata.insert("name".into(), NAME.into());
        metadata.insert("namespace".into(), like.pod().namespace.into());
        let pod = value.as_object_mut().ok_or_else(not_a_pod)?;
        pod.insert("metadata".into(), Value::Object(metadata));
        pod.remove("status");
        yaml::write(&value).map_err(|error| Failure::other(error.to_string()))
    }

    /// The folders of the data lead to the copy.
    fn redirect(&self, volume: &mut Value) {
        let Some(path) = volume
            .get_mut("hostPath")
            .and_then(|host| host.get_mut("path"))
        else {
            return;
        };
        let Some(on_node) = path.as_str().map(PathBuf::from) else {
            return;
        };
        let pairs = [
            Some((self.target.data_dir.as_path(), self.data_dir)),
            self.target.wal_dir.as_deref().zip(self.wal_dir),
        ];
        for (of_node, of_copy) in pairs.into_iter().flatten() {
            // The volume is the folder itself, or something in it.
            if let Ok(inside) = on_node.strip_prefix(of_node) {
                *path = of_copy.join(inside).to_string_lossy().into_owned().into();
            }
        }
    }
}

fn not_a_pod() -> Failure {
    Failure::other("etcd's manifest is no pod's")
}
