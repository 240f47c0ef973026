//! One watch for the Pods of a run, told apart by node.

use std::collections::HashMap;

use futures::{TryStreamExt, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{WatchEvent, WatchParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::podspec::RUN_LABEL;
use super::trouble::api_error;
use crate::connection::Refusals;
use crate::limits;
use crate::outcome::RunError;

/// The label by which Kubernetes says whose Pod a Job's is.
const JOB_NAME_LABEL: &str = "batch.kubernetes.io/job-name";
/// What is known of a node's Pod.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    /// None so far.
    Nothing,
    /// Its newest state.
    Pod(Box<Pod>),
    /// It was there and was deleted.
    Gone,
    /// Pods cannot be watched.
    Refused(RunError),
}

/// The watch; dropping it ends it.
pub(crate) struct PodWatch {
    seen: HashMap<String, watch::Receiver<Seen>>,
    task: JoinHandle<()>,
}

impl Drop for PodWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PodWatch {
    /// Begins to watch the Pods with this run's label, on each of these nodes that of the Job or Pod with this name:
    /// others may make Pods with such a label. The first events are those of Pods that are already there, so nothing is
    /// missed whenever it begins.
    pub(crate) fn begin(
        client: Client,
        namespace: &str,
        run: &str,
        objects: impl Iterator<Item = (String, String)>,
    ) -> Self {
        let mut seen = HashMap::new();
        let mut senders = HashMap::new();
        for (node, object) in objects {
            let (sender, receiver) = watch::channel(Seen::Nothing);
            senders.insert(node.clone(), Watched { object, sender });
            seen.insert(node, receiver);
        }
        let api = Api::namespaced(client.clone(), namespace);
        let labels = format!("{RUN_LABEL}={run}");
        let task = tokio::spawn(async move {
            let mut refusals = Refusals::default();
            loop {
                if let Err(error) = watch_once(&api, &labels, &senders).await {
                    // Only a lasting refusal counts: everything else may be better the next time.
                    if refusals.believed(&client, &error).await {
                        let refused = Seen::Refused(api_error("watching the pods", error));
                        for watched in senders.values() {
                            watched.sender.send_replace(refused.clone());
                        }
                        return;
                    }
                    tracing::debug!(%error, "watch ended");
                }
                tokio::time::sleep(limits::WATCH_AGAIN).await;
            }
        });
        Self { seen, task }
    }

    /// What is seen of a node's Pod.
    pub(crate) fn of(&self, node: &str) -> Option<watch::Receiver<Seen>> {
        self.seen.get(node).cloned()
    }
}

async fn watch_once(
    api: &Api<Pod>,
    labels: &str,
    senders: &HashMap<String, Watched>,
) -> kube::Result<()> {
    let events = api
        .watch(&WatchParams::default().labels(labels), "0")
        .await?;
    pin_mut!(events);
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(pod) | WatchEvent::Modified(pod) => {
                send(senders, &pod, Seen::Pod(Box::new(pod.clone())));
            }
            WatchEvent::Deleted(pod) => send(senders, &pod, Seen::Gone),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
        }
    }
    Ok(())
}

fn send(senders: &HashMap<String, Watched>, pod: &Pod, seen: Seen) {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let watched = node.and_then(|node| senders.get(node));
    if let Some(watched) = watched.filter(|watched| watched.is_of(pod)) {
        watched.sender.send_replace(seen);
    }
}

/// What is expected on a node, and who is told of it.
struct Watched {
    /// The name of the Job or Pod.
    object: String,
    sender: watch::Sender<Seen>,
}

impl Watched {
    /// Whether a Pod is it, or its Job's: the apiserver lets no Job give its Pods the name of another one, unless the Job
    /// has a selector of its own, which the viewers' policy refuses.
    fn is_of(&self, pod: &Pod) -> bool {
        let labels = pod.metadata.labels.as_ref();
        let job = labels.and_then(|labels| labels.get(JOB_NAME_LABEL));
        job.or(pod.metadata.name.as_ref()) == Some(&self.object)
    }
}
