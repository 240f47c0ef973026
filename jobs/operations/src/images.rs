//! The images that the static pods of this host name: which of them the runtime has, and how the missing ones are fetched.
//!
//! kubelet would fetch them itself, if it had a login. Of a pod that waits for its image it looks again every 10 to 15
//! seconds (`backOffPeriod`, with jitter); the long back-off of 5 minutes is between its own tries to fetch, and it does
//! not try what is there. So nothing has to be told to it.

mod logins;
mod pull_error;

use std::path::Path;

use serde::Serialize;

use crate::failure::Failure;
use crate::kubelet;
use crate::kubelet::manifests_folder;
use crate::manifest::{Known, Manifest, Selection};
use crate::runtime::{Image, Runtime};

pub use logins::Logins;
use pull_error::{PullError, failure};

/// An image that a component's manifest names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct NamedImage {
    /// The component: the container's name.
    pub component: String,
    /// Its pod, as the manifest names it: kubelet puts `-` and the node's name behind it.
    pub pod: String,
    /// The image, as the manifest names it.
    pub image: String,
    /// Whether the component's manifest was taken out of kubelet's folder: the image is wanted when the component is started
    /// again.
    pub taken_out: bool,
    /// Whether the runtime has it.
    pub state: ImageState,
    /// The runtime's id of it, when the runtime has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its size, as the runtime counts it: containerd compressed, CRI-O unpacked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Why it is not known or was not fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Whether the runtime has an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ImageState {
    /// The runtime has it.
    Present,
    /// The runtime does not have it.
    Missing,
    /// The runtime did not tell.
    Unknown,
    /// It was fetched.
    Pulled,
    /// It could not be fetched.
    Failed,
}

impl NamedImage {
    /// Notes what the runtime says of it.
    fn note(&mut self, state: ImageState, found: &Result<Option<Image>, Failure>) {
        match found {
            Ok(Some(image)) => {
                self.state = state;
                self.id = Some(image.id.clone());
                self.size_bytes = Some(image.size_bytes);
            }
            Ok(None) => {}
            Err(failure) => {
                self.state = match state {
                    ImageState::Pulled => ImageState::Failed,
                    _ => ImageState::Unknown,
                };
                self.problem = Some(failure.message.clone());
            }
        }
    }
}

/// The images that this host's static pods name, and the runtime that is asked for them.
#[derive(Debug, Clone)]
pub struct Images {
    /// The images, in the order of the manifests; those of components that were taken out come last.
    pub named: Vec<NamedImage>,
    /// The runtime.
    pub runtime: Runtime,
}

impl Images {
    /// Finds the images of this host; the runtime is not asked for them yet.
    ///
    /// # Errors
    /// `FailureKind::Missing` when the folder of the static pods cannot be read or there is no runtime,
    /// `FailureKind::Unreachable` when that does not answer.
    pub async fn of_host() -> Result<Self, Failure> {
        let root = Path::new("/");
        let known = Known::read_below(root, &manifests_folder(root), &Selection::default())?;
        let named = named(&known)?;
        let runtime = Runtime::of_host(kubelet::runtime_socket(root).as_deref()).await?;
        Ok(Self { named, runtime })
    }

    /// Asks the runtime which of them it has.
    pub async fn look(&mut self) {
        for one in &mut self.named {
            let found = self.runtime.image(&one.image).await;
            one.note(ImageState::Present, &found);
        }
    }

    /// Fetches an image from its registry for all components that name it, with the first of its logins that the registry
    /// takes; with none when there is none.
    ///
    /// # Errors
    /// `FailureKind::Unauthorized`, `FailureKind::Missing`, `FailureKind::Unreachable`, `FailureKind::NoSpace` for
    /// what the runtime says of it; the hint says what to do.
    pub async fn pull(&mut self, image: &str, logins: &Logins) -> Result<(), Failure> {
        let pulled = self.fetch(image, logins).await.map(Some);
        for one in self.named.iter_mut().filter(|one| one.image == image) {
            one.note(ImageState::Pulled, &pulled);
        }
        pulled.map(drop)
    }

    async fn fetch(&self, image: &str, logins: &Logins) -> Result<Image, Failure> {
        let mut login = logins.of_image(image).into_iter();
        let mut given = login.next();
        while let Err(status) = self.runtime.pull(image, given).await {
            let error = PullError::of(image, &status);
            given = login.next();
            if error != PullError::UNAUTHORIZED || given.is_none() {
                return Err(failure(image, error, &status, logins));
            }
        }
        self.runtime.image(image).await?.ok_or_else(|| {
            let message = format!("{image} was fetched, but the runtime does not have it");
            Failure::missing(message).hint("crictl images")
        })
    }
}

/// The images that manifests name, each once for each component.
fn named(known: &Known) -> Result<Vec<NamedImage>, Failure> {
    if let Err(failure) = &known.archive {
        return Err(failure.clone());
    }
    let mut found = Vec::new();
    for file in &known.folder.pods {
        add(&mut found, &file.manifest, false);
    }
    for (file, _) in known.stopped() {
        add(&mut found, &file.manifest, true);
    }
    Ok(found)
}

fn add(found: &mut Vec<NamedImage>, manifest: &Manifest, taken_out: bool) {
    for (component, image) in manifest.images() {
        found.push(NamedImage {
            component,
            pod: manifest.pod().to_string(),
            image,
            taken_out,
            state: ImageState::Missing,
            id: None,
            size_bytes: None,
            problem: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "kind: Pod\nmetadata: {name: NAME, namespace: kube-system}\nspec:\n  initContainers:\n  - {name: first, image: r.example/first:1}\n  containers:\n  - {name: NAME, image: 'r.example/NAME:1'}\n  - {name: none}\n";

    #[test]
    fn images_of_the_folder_and_of_what_was_taken_out_are_named() {
        let root = tempfile::tempdir().unwrap();
        let put = |file: &str, name: &str| {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, MANIFEST.replace("NAME", name)).unwrap();
        };
        put("etc/kubernetes/manifests/etcd.yaml", "etcd");
        put(
            "var/lib/kubectl-etcd/manifests/etcd.yaml-2026-11-20T210000Z.stopped",
            "etcd",
        );
        put(
            "var/lib/kubectl-etcd/manifests/kube-apiserver.yaml-2026-11-20T210000Z.stopped",
            "kube-apiserver",
        );
        put(
            "var/lib/kubectl-etcd/manifests/kube-scheduler.yaml-2026-11-20T210000Z.changed",
            "kube-scheduler",
        );
        let folder = manifests_folder(root.path());
        let known = Known::read_below(root.path(), &folder, &Selection::default()).unwrap();
        let named = named(&known).unwrap();
        let told: Vec<String> = named
            .iter()
            .map(|one| {
                format!(
                    "{} {} {} {}",
                    one.pod, one.component, one.image, one.taken_out
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "kube-system/etcd first r.example/first:1 false",
                "kube-system/etcd etcd r.example/etcd:1 false",
                "kube-system/kube-apiserver first r.example/first:1 true",
                "kube-system/kube-apiserver kube-apiserver r.example/kube-apiserver:1 true",
            ]
        );
    }
}
