//! What of a node is mounted into a pod, and where.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, HostPathVolumeSource, Volume, VolumeMount};

/// Where the node's file system is found inside the pod of an operation that needs more of it than a few files.
pub(crate) const HOST: &str = "/host";

/// Something of the node that an operation needs, at the same path inside the pod as on the node.
pub(crate) enum Needed {
    /// A file, to be read. Mounted alone: beside a server's certificate lies the CA's key.
    File(PathBuf),
    /// A folder, to be read.
    Folder(PathBuf),
    /// A folder that may be missing, to be read; kubelet makes it then.
    FolderOrNone(PathBuf),
    /// A folder to be written to, made when missing.
    Writable(PathBuf),
    /// A folder of the pod's own, which goes with it.
    Scratch(PathBuf),
    /// All of the node's file system, to be read, at [`HOST`].
    Host,
    /// A folder of the node, to be read, at its path below [`HOST`].
    HostFolder(PathBuf),
    /// A file or a folder of the node that a static pod mounts too, to be read, at its path below [`HOST`].
    HostPath(PathBuf),
}

impl Needed {
    /// Where it is on the node, and the kind it must be of there; none: it is the pod's own.
    pub(super) fn on_node(&self) -> Option<(PathBuf, &'static str)> {
        let (path, kind) = match self {
            Self::File(path) => (path.clone(), "File"),
            Self::Folder(path) | Self::HostFolder(path) => (path.clone(), "Directory"),
            Self::FolderOrNone(path) | Self::Writable(path) => (path.clone(), "DirectoryOrCreate"),
            Self::Host => ("/".into(), "Directory"),
            // No kind is asked for.
            Self::HostPath(path) => (path.clone(), ""),
            Self::Scratch(_) => return None,
        };
        Some((path, kind))
    }

    /// Where it is mounted.
    fn mounted_at(&self) -> PathBuf {
        match self {
            Self::File(path)
            | Self::Folder(path)
            | Self::FolderOrNone(path)
            | Self::Writable(path)
            | Self::Scratch(path) => path.clone(),
            Self::Host => HOST.into(),
            Self::HostFolder(path) | Self::HostPath(path) => {
                Path::new(HOST).join(path.strip_prefix("/").unwrap_or(path))
            }
        }
    }
}

/// Volumes and where they are mounted, kept in step.
#[derive(Default)]
pub struct Files {
    pub volumes: Vec<Volume>,
    pub mounts: Vec<VolumeMount>,
}

impl Files {
    pub(super) fn add(&mut self, needed: &Needed) {
        let (on_node, mounted_at) = (needed.on_node(), needed.mounted_at());
        let read_only = !matches!(needed, Needed::Writable(_) | Needed::Scratch(_));
        // Without it, what is unmounted on the node meanwhile would stay mounted, and its device busy, in here.
        let propagation = matches!(needed, Needed::Host).then(|| "HostToContainer".to_owned());
        if self
            .mounts
            .iter()
            .any(|mount| Path::new(&mount.mount_path) == mounted_at)
        {
            // The certificate and the key may be one file.
            return;
        }
        let name = format!("node-{}", self.volumes.len());
        self.volumes.push(Volume {
            name: name.clone(),
            empty_dir: on_node.is_none().then(EmptyDirVolumeSource::default),
            host_path: on_node.map(|(path, kind)| HostPathVolumeSource {
                path: path.to_string_lossy().into_owned(),
                type_: Some(kind.to_owned()),
            }),
            ..Volume::default()
        });
        self.mounts.push(VolumeMount {
            name,
            mount_path: mounted_at.to_string_lossy().into_owned(),
            read_only: Some(read_only),
            mount_propagation: propagation,
            ..VolumeMount::default()
        });
    }
}
