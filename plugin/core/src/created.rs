//! What this run created in the cluster, so that it is removed at every ending: done, failed, Ctrl-C.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use futures::future::join_all;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::{Api, Client};
use tokio::task::{AbortHandle, JoinHandle};

use crate::limits;
use crate::owner::Process;

/// An object of ours in the cluster. Names are chosen here and not by the apiserver (`generateName`), so that an object
/// can be removed even when the answer to its creation never arrived.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A Job; its Pods go with it.
    Job(String),
    /// A Pod, at once and without waiting for its kubelet.
    Pod(String),
    /// The Lease, if this process still has it.
    Lease {
        /// Where, which is not where the rest is.
        namespace: &'static str,
        /// Its name.
        name: String,
    },
}

#[derive(Default)]
struct Inner {
    access: Option<(Client, String)>,
    objects: BTreeSet<Object>,
    /// Removals under way, beside the work.
    removals: Vec<JoinHandle<()>>,
    /// Tidying up after others, beside the work.
    chores: Vec<JoinHandle<()>>,
}

/// The register of what is to be removed. Clones share it: `main` keeps one, so that it can remove what is there after
/// the work was dropped in the middle.
#[derive(Clone, Default)]
pub struct Created(Arc<Mutex<Inner>>);

impl std::fmt::Debug for Created {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Created")
            .field(&self.lock().objects)
            .finish()
    }
}

impl Created {
    /// Removes all that is registered, within `limit`: `main` calls it at every ending. What is then left is removed by
    /// a later run, or by its deadline.
    pub async fn remove_all(&self, limit: Duration) {
        // A timeout leaves the rest registered; nothing more can be done about it here.
        let _ = tokio::time::timeout(limit, self.remove_rest()).await;
        let chores = std::mem::take(&mut self.lock().chores);
        let enders: Vec<_> = chores.iter().map(JoinHandle::abort_handle).collect();
        if tokio::time::timeout(limits::CHORES, join_all(chores))
            .await
            .is_err()
        {
            enders.iter().for_each(AbortHandle::abort);
        }
    }

    async fn remove_rest(&self) {
        let removals = std::mem::take(&mut self.lock().removals);
        join_all(removals).await;
        let (access, objects) = {
            let inner = self.lock();
            (inner.access.clone(), inner.objects.clone())
        };
        let Some((client, namespace)) = access else {
            return;
        };
        let removals = objects
            .iter()
            .map(|object| self.remove_stubbornly(&client, &namespace, object));
        join_all(removals).await;
    }

    /// Removes one object beside the work; [`Created::remove_all`] waits for it.
    pub(crate) fn remove_soon(&self, object: Object) {
        let created = self.clone();
        let removal = tokio::spawn(async move { created.remove(&object).await });
        self.lock().removals.push(removal);
    }

    /// Has [`Created::remove_all`] wait a little for a task that tidies up after others.
    pub(crate) fn chore(&self, task: JoinHandle<()>) {
        self.lock().chores.push(task);
    }

    /// Whether nothing is left that somebody else would have to remove: a Lease is nobody's after a while.
    pub fn leaves_nothing(&self) -> bool {
        let is_lease = |object: &Object| matches!(object, Object::Lease { .. });
        self.lock().objects.iter().all(is_lease)
    }

    /// Whether nothing is under way either.
    pub fn is_idle(&self) -> bool {
        let inner = self.lock();
        inner.objects.is_empty() && inner.removals.is_empty() && inner.chores.is_empty()
    }

    /// With which client and in which namespace objects are created and removed.
    pub(crate) fn bind(&self, client: Client, namespace: String) {
        self.lock().access = Some((client, namespace));
    }

    /// Registers an object: before the request that creates it is sent.
    pub fn add(&self, object: Object) {
        self.lock().objects.insert(object);
    }

    /// Takes an object off the register without removing it.
    pub(crate) fn forget(&self, object: &Object) {
        self.lock().objects.remove(object);
    }

    /// Removes one object. An object that cannot be removed stays registered.
    pub async fn remove(&self, object: &Object) {
        let access = self.lock().access.clone();
        let Some((client, namespace)) = access else {
            return;
        };
        if delete(&client, &namespace, object).await != Deletion::Failed {
            self.forget(object);
        }
    }

    async fn remove_stubbornly(&self, client: &Client, namespace: &str, object: &Object) {
        // One that cannot be given back is nobody's after a while.
        let tries = match object {
            Object::Lease { .. } => 1,
            Object::Job(_) | Object::Pod(_) => limits::REMOVE_TRIES,
        };
        let pauses = ConstantBuilder::new()
            .with_delay(limits::REMOVE_PAUSE)
            .with_max_times(tries - 1);
        let remove = || async {
            match delete(client, namespace, object).await {
                Deletion::Done | Deletion::Left => Ok(()),
                // Perhaps its creation is still under way.
                last @ (Deletion::NotThere | Deletion::Failed) => Err(last),
            }
        };
        if remove.retry(pauses).await != Err(Deletion::Failed) {
            self.forget(object);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // The data is a plain set: a panic elsewhere cannot have left it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(PartialEq, Eq)]
enum Deletion {
    Done,
    NotThere,
    /// It is not the user's to delete: the cluster removes it when it is done.
    Left,
    Failed,
}

async fn delete(client: &Client, namespace: &str, object: &Object) -> Deletion {
    let params = DeleteParams::background().grace_period(0);
    let request = async {
        match object {
            Object::Job(name) => Api::<Job>::namespaced(client.clone(), namespace)
                .delete(name, &params)
                .await
                .map(drop),
            Object::Pod(name) => Api::<Pod>::namespaced(client.clone(), namespace)
                .delete(name, &params)
                .await
                .map(drop),
            Object::Lease { namespace, name } => delete_lease(client, namespace, name).await,
        }
    };
    match tokio::time::timeout(limits::REMOVE, request).await {
        Ok(Ok(())) => Deletion::Done,
        Ok(Err(kube::Error::Api(status))) if status.is_not_found() => Deletion::NotThere,
        Ok(Err(kube::Error::Api(status))) if status.is_forbidden() => Deletion::Left,
        Ok(Err(error)) => {
            tracing::debug!(?object, %error, "not removed");
            Deletion::Failed
        }
        Err(_) => Deletion::Failed,
    }
}

/// Deletes the Lease only while it is still this process's, by its resource version.
async fn delete_lease(client: &Client, namespace: &str, name: &str) -> kube::Result<()> {
    let leases = Api::<Lease>::namespaced(client.clone(), namespace);
    let lease = leases.get(name).await?;
    if !Process::of(lease.metadata.annotations.as_ref()).is_some_and(|holder| holder.is_this()) {
        return Ok(());
    }
    let params = DeleteParams::default().preconditions(kube::api::Preconditions {
        uid: lease.metadata.uid,
        resource_version: lease.metadata.resource_version,
    });
    match leases.delete(name, &params).await {
        // Somebody else has taken it in between: then it is theirs.
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(()),
        other => other.map(drop),
    }
}
