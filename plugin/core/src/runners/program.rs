//! Which image a job runs and how its program is started: a job image, or the program that the plugin carries.

use etcd_operations::target::Target;
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, KeyToPath, PodSpec, ProjectedVolumeSource, Volume, VolumeMount,
    VolumeProjection,
};

use super::mounts::Files;

/// The folder of the carried program inside the pod.
pub const FOLDER: &str = "/carried";
/// The volume that is mounted there.
pub(crate) const VOLUME: &str = "carried";
/// The loader's key in the first ConfigMap, and its file name.
pub(crate) const LOADER: &str = "loader";

/// The program of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// `--image`: the program is the image's entrypoint.
    Image {
        /// The image.
        reference: String,
        /// Secrets it is pulled with.
        pull_secrets: Vec<String>,
    },
    /// Carried in ConfigMaps and started in the node's own etcd image, the one image that is certainly there.
    Carried(CarriedProgram),
}

/// Where the parts of a carried program are in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedProgram {
    /// The ConfigMaps, in order. Each has its part under [`part_key`]; the first has the loader too.
    pub(crate) config_maps: Vec<String>,
}

/// The key, and file name, of the part with this number.
pub(crate) fn part_key(number: usize) -> String {
    format!("part-{number}")
}

/// The keys of the ConfigMap with this number.
pub fn keys(number: usize) -> Vec<String> {
    let loader = (number == 0).then(|| LOADER.to_owned());
    [part_key(number)].into_iter().chain(loader).collect()
}

impl Program {
    /// The container's image.
    pub fn image(&self, target: &Target) -> Option<String> {
        match self {
            Self::Image { reference, .. } => Some(reference.clone()),
            Self::Carried(_) => target.image.clone(),
        }
    }

    /// The container's pull policy.
    pub(crate) fn pull_policy(&self) -> &'static str {
        match self {
            Self::Image { .. } => "IfNotPresent",
            Self::Carried(_) => "Never",
        }
    }

    /// Secrets to pull the image with.
    pub fn pull_secrets(&self) -> Option<&[String]> {
        match self {
            Self::Image { pull_secrets, .. } if !pull_secrets.is_empty() => Some(pull_secrets),
            Self::Image { .. } | Self::Carried(_) => None,
        }
    }

    /// The container's command; none: the image's own.
    pub fn command(&self) -> Option<Vec<String>> {
        match self {
            Self::Image { .. } => None,
            Self::Carried(_) => Some(vec![format!("{FOLDER}/{LOADER}")]),
        }
    }

    /// The command line of a second process of the program in the same container.
    pub(crate) fn exec_command(&self, own: impl IntoIterator<Item = String>) -> Vec<String> {
        // An image's entrypoint is not told to exec: the job image has its program here (images/).
        let first = match self {
            Self::Image { .. } => "/etcd-job".to_owned(),
            Self::Carried(_) => format!("{FOLDER}/{LOADER}"),
        };
        [first].into_iter().chain(own).collect()
    }

    /// Mounts the carried program.
    pub fn mount(&self, files: &mut Files) {
        let Self::Carried(carried) = self else {
            return;
        };
        let sources = carried
            .config_maps
            .iter()
            .enumerate()
            .map(|(number, name)| {
                let keys = keys(number);
                VolumeProjection {
                    config_map: Some(ConfigMapProjection {
                        name: name.clone(),
                        items: Some(keys.into_iter().map(same_path).collect()),
                        ..ConfigMapProjection::default()
                    }),
                    ..VolumeProjection::default()
                }
            });
        files.volumes.push(Volume {
            name: VOLUME.into(),
            projected: Some(ProjectedVolumeSource {
                default_mode: Some(0o555),
                sources: Some(sources.collect()),
            }),
            ..Volume::default()
        });
        files.mounts.push(VolumeMount {
            name: VOLUME.into(),
            mount_path: FOLDER.into(),
            read_only: Some(true),
            ..VolumeMount::default()
        });
    }
}

impl CarriedProgram {
    /// The one that a pod mounts; none: it does not run a carried program.
    pub(crate) fn mounted(spec: &PodSpec) -> Option<Self> {
        let volumes = spec.volumes.iter().flatten();
        let mut carried = volumes.filter(|volume| volume.name == VOLUME);
        let projected = carried.next()?.projected.as_ref()?;
        let sources = projected.sources.iter().flatten();
        let config_maps =
            sources.filter_map(|source| Some(source.config_map.as_ref()?.name.clone()));
        Some(Self {
            config_maps: config_maps.collect(),
        })
    }
}

fn same_path(key: String) -> KeyToPath {
    KeyToPath {
        path: key.clone(),
        key,
        mode: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_lies_beside_its_parts() {
        let program = Program::Carried(CarriedProgram {
            config_maps: vec!["a".into(), "b".into()],
        });
        assert_eq!(
            program.exec_command(["read".to_owned()]),
            ["/carried/loader", "read"]
        );
        let mut files = Files::default();
        program.mount(&mut files);
        let projected = files.volumes[0].projected.clone().unwrap();
        assert_eq!(projected.sources.unwrap().len(), 2);
        assert_eq!(program.pull_policy(), "Never");
    }
}
