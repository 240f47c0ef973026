//! The images that the static pods of this host name: which of them the runtime has, and how the missing ones are fetched.
//!
//! kubelet would fetch them itself, if it had a login. Of a pod that waits for its image it looks again every 10 to 15
//! seconds (`backOffPeriod`, with jitter); the long back-off of 5 minutes is between its own tries to fetch, and it does
//! not try what is there. So nothing has to be told to it.

mod logins;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::failure::{Answer, Failure, FailureKind};
use crate::kubelet;
use crate::kubelet::manifests_folder;
use crate::manifest::{Known, Manifest, PodId, Selection};
use crate::runtime::{Image, PULL_LIMIT, PullError, PullTrouble, Runtime};

pub use logins::Logins;

/// An image that a component's manifest names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    /// The component: the container's name.
    pub component: String,
    /// Its pod, as the manifest names it: kubelet puts `-` and the node's name behind it.
    pub pod: PodId,
    /// The image, as the manifest names it.
    pub image: String,
    /// Whether its manifest was taken out of kubelet's folder: it is wanted when the component is started again.
    pub taken_out: bool,
}

/// What this host's static pods name, and the runtime that is asked for it.
#[derive(Debug, Clone)]
pub struct Images {
    /// The images, in the order of the manifests; those of components that were taken out come last.
    pub named: Vec<Named>,
    /// The runtime.
    pub runtime: Runtime,
}

impl Images {
    /// Those of this host.
    ///
    /// # Errors
    /// [`FailureKind::Missing`] when the folder of the static pods cannot be read or there is no runtime,
    /// [`FailureKind::Unreachable`] when that does not answer.
    pub async fn of_host() -> Result<Self, Failure> {
        let root = Path::new("/");
        let known = Known::read_below(root, &manifests_folder(root), &Selection::default())?;
        let named = named(&known)?;
        let runtime = Runtime::of_host(kubelet::runtime_socket(root).as_deref()).await?;
        Ok(Self { named, runtime })
    }

    /// What the runtime has of each, in their order; none: it does not have it.
    pub async fn present(&self) -> Vec<Answer<Option<Image>>> {
        let mut present = Vec::new();
        for named in &self.named {
            present.push(self.runtime.image(&named.image).await.into());
        }
        present
    }

    /// Fetches one from its registry, with the first of its logins that the registry takes; with none when there is none.
    ///
    /// # Errors
    /// [`FailureKind::Unauthorized`], [`FailureKind::Missing`], [`FailureKind::Unreachable`], [`FailureKind::NoSpace`] for
    /// what the runtime says of it; the hint says what to do.
    pub async fn pull(&self, image: &str, logins: &Logins) -> Result<Image, Failure> {
        let mut login = logins.of_image(image).into_iter();
        let mut given = login.next();
        loop {
            match self.runtime.pull(image, given).await {
                Ok(()) => break,
                Err(error) => {
                    let another = login.next();
                    if error.trouble != PullTrouble::Unauthorized || another.is_none() {
                        return Err(failure(image, &error, logins));
                    }
                    given = another;
                }
            }
        }
        self.runtime.image(image).await?.ok_or_else(|| {
            let message = format!("{image} was fetched, but the runtime does not have it");
            Failure::new(FailureKind::Missing, message).hint("crictl images")
        })
    }
}

/// The images that manifests name, each once for each component.
fn named(known: &Known) -> Result<Vec<Named>, Failure> {
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

fn add(found: &mut Vec<Named>, manifest: &Manifest, taken_out: bool) {
    for (component, image) in manifest.images() {
        found.push(Named {
            component,
            pod: manifest.pod(),
            image,
            taken_out,
        });
    }
}

/// What the runtime had against it, and what to do about that.
fn failure(image: &str, error: &PullError, logins: &Logins) -> Failure {
    let (kind, what, hint) = match error.trouble {
        PullTrouble::Unauthorized => {
            let (what, hint) = unauthorized(image, logins);
            (FailureKind::Unauthorized, what, hint)
        }
        PullTrouble::NoSuchImage => (
            FailureKind::Missing,
            "its registry does not have it".to_owned(),
            "correct the name (kubectl etcd manifest set-image COMPONENT IMAGE), or push the image".to_owned(),
        ),
        PullTrouble::Unreachable => (
            FailureKind::Unreachable,
            "its registry cannot be reached".to_owned(),
            "look at the way there (name service, proxy, firewall), or load the image from a file: ctr -n k8s.io images import FILE".to_owned(),
        ),
        PullTrouble::Untrusted => (
            FailureKind::Unreachable,
            "the runtime does not trust its registry".to_owned(),
            "give the runtime the registry's authority: with containerd in /etc/containerd/certs.d/REGISTRY/hosts.toml".to_owned(),
        ),
        PullTrouble::DiskFull => (
            FailureKind::NoSpace,
            "the disk is full".to_owned(),
            "df -h /var/lib/containerd; crictl rmi --prune removes images that nothing uses".to_owned(),
        ),
        PullTrouble::TooLong => (
            FailureKind::Unreachable,
            format!("it was not there after {} minutes", PULL_LIMIT.as_secs() / 60),
            "try it again: what was fetched of it stays".to_owned(),
        ),
        PullTrouble::NoRuntime => (
            FailureKind::Unreachable,
            "the container runtime does not answer".to_owned(),
            "systemctl status containerd".to_owned(),
        ),
        PullTrouble::Other => (
            FailureKind::Other,
            "the container runtime failed".to_owned(),
            "journalctl -u containerd -n 50".to_owned(),
        ),
    };
    let message = format!("{image} could not be fetched: {what}: {}", error.words);
    Failure::new(kind, message).hint(hint)
}

fn unauthorized(image: &str, logins: &Logins) -> (String, String) {
    let file = logins.file.as_ref().map(|file| file.display().to_string());
    let give = "--auth-file FILE gives one, as docker login and podman login write it";
    match (file, logins.helper_of_image(image)) {
        (Some(file), _) if !logins.of_image(image).is_empty() => (
            format!("its registry refuses the login in {file}"),
            "look whether the login is right and may read this image, and whether there is such an image".to_owned(),
        ),
        (Some(file), Some(program)) => (
            format!("its registry wants a login, and {file} leaves that to the program docker-credential-{program}, which is not asked"),
            give.to_owned(),
        ),
        (Some(file), None) => (
            format!("its registry wants a login, and there is none for it in {file}"),
            give.to_owned(),
        ),
        (None, _) => (
            "its registry wants a login, and none was given".to_owned(),
            give.to_owned(),
        ),
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
                    one.pod.name, one.component, one.image, one.taken_out
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "etcd first r.example/first:1 false",
                "etcd etcd r.example/etcd:1 false",
                "kube-apiserver first r.example/first:1 true",
                "kube-apiserver kube-apiserver r.example/kube-apiserver:1 true",
            ]
        );
    }

    #[test]
    fn each_trouble_says_what_to_do() {
        use PullTrouble as T;
        for trouble in [
            T::Unauthorized,
            T::NoSuchImage,
            T::Unreachable,
            T::Untrusted,
            T::DiskFull,
            T::TooLong,
            T::NoRuntime,
            T::Other,
        ] {
            let error = PullError {
                trouble,
                words: "its words".to_owned(),
            };
            let failure = failure("r.example/etcd:1", &error, &Logins::default());
            assert!(
                failure
                    .message
                    .starts_with("r.example/etcd:1 could not be fetched: ")
            );
            assert!(failure.message.ends_with(": its words") && failure.hint.is_some());
        }
    }

    #[test]
    fn which_login_was_refused_or_missing_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("auth.json");
        let text = r#"{"auths": {"r.example": {"username": "u", "password": "p"}}, "credHelpers": {"g.example": "gcloud"}}"#;
        std::fs::write(&file, text).unwrap();
        let logins = Logins::read(&file).unwrap();
        let what = |image: &str, logins: &Logins| unauthorized(image, logins).0;
        assert!(what("r.example/etcd", &logins).contains("refuses the login in /"));
        assert!(what("x.example/etcd", &logins).contains("there is none for it in /"));
        assert!(what("g.example/etcd", &logins).contains("docker-credential-gcloud"));
        assert!(what("r.example/etcd", &Logins::default()).ends_with("none was given"));
    }
}
