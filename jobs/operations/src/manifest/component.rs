//! One container of a static pod, as people name it: a component of the control plane.

use std::path::{Path, PathBuf};

use super::PodId;
use crate::failure::Failure;
use crate::flags::{
    ContainerFacts, FlagError, Flags, GivenFlag, PodFacts, base_name, expand_all, first_flag,
    given, path_of_mount,
};

/// A container of a static pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Its place among the pod's containers.
    pub(crate) index: usize,
    facts: ContainerFacts,
    pub(super) host_paths: Vec<HostPath>,
}

/// A file or folder of the node inside a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPath {
    /// The volume's name.
    pub volume: String,
    /// Where it is on the node.
    pub on_node: PathBuf,
    /// Where it is inside the container.
    pub in_container: PathBuf,
}

impl Component {
    pub(super) fn all(pod: &PodFacts) -> Vec<Self> {
        let component = |(index, facts): (usize, &ContainerFacts)| Self {
            index,
            facts: facts.clone(),
            host_paths: host_paths(facts, pod),
        };
        pod.containers.iter().enumerate().map(component).collect()
    }

    /// The container's name.
    pub fn name(&self) -> &str {
        &self.facts.name
    }

    /// The image it runs, if one is given.
    pub fn image(&self) -> Option<&str> {
        self.facts.image.as_deref()
    }

    /// The words of `command`, as they are written.
    pub fn command(&self) -> &[String] {
        &self.facts.command
    }

    /// The words of `args`, as they are written.
    pub fn args(&self) -> &[String] {
        &self.facts.args
    }

    /// The plain values of `env`, as they are written.
    pub(super) fn env(&self) -> &[(String, String)] {
        &self.facts.env
    }

    /// `command` and `args`, as they are written: the whole line.
    pub(crate) fn words(&self) -> Vec<String> {
        self.facts
            .command
            .iter()
            .chain(&self.facts.args)
            .cloned()
            .collect()
    }

    /// The flags in the order in which they are given, as they are written.
    ///
    /// # Errors
    /// [`FlagError::Shell`] when a shell starts the program.
    pub fn given(&self) -> Result<Vec<GivenFlag>, FlagError> {
        given(&self.words())
    }

    /// The same with `$(VAR)` replaced as kubelet does it: what the program is started with.
    pub(super) fn given_expanded(&self) -> Result<Vec<GivenFlag>, FlagError> {
        given(&self.words_expanded())
    }

    /// What the flags mean: `$(VAR)` replaced, the last one counts, the environment behind them.
    ///
    /// # Errors
    /// [`FlagError::Shell`] when a shell starts the program.
    pub fn flags(&self) -> Result<Flags, FlagError> {
        Flags::parse(&self.facts.command, &self.facts.args, &self.facts.env)
    }

    /// Where on the node a path lies that is one inside the container; none when it is not mounted from there.
    pub(crate) fn on_node(&self, in_container: &str) -> Option<PathBuf> {
        let path = Path::new(in_container);
        let mounts = self.host_paths.iter();
        let leading = mounts.filter(|mount| path.starts_with(&mount.in_container));
        let nearest = leading.max_by_key(|mount| mount.in_container.components().count())?;
        let below = path.strip_prefix(&nearest.in_container).ok()?;
        // `join("")` would add a slash.
        Some(match below.as_os_str().is_empty() {
            true => nearest.on_node.clone(),
            false => nearest.on_node.join(below),
        })
    }

    /// `command` and `args` as the program is started with them: `$(VAR)` replaced as kubelet does it.
    pub(crate) fn words_expanded(&self) -> Vec<String> {
        expand_all(&self.words(), &self.facts.env)
    }

    /// Whether it is this program: by the container's name, or by the words before the first flag.
    pub fn is(&self, program: &str) -> bool {
        self.name() == program || self.runs(program)
    }

    fn runs(&self, program: &str) -> bool {
        let mut words = self.words();
        words.truncate(self.words_before_flags());
        words.iter().any(|word| base_name(word) == program)
    }

    /// How many words are the program and what starts it.
    pub(super) fn words_before_flags(&self) -> usize {
        first_flag(&self.words())
    }
}

/// The component of this name, or the one that runs this program.
pub(super) fn find(
    components: Vec<Component>,
    name: &str,
    pod: &PodId,
) -> Result<Component, Failure> {
    let names = components.iter().map(|one| one.name().to_owned());
    let has: Vec<String> = names.filter(|name| !name.is_empty()).collect();
    let (named, others): (Vec<_>, Vec<_>) =
        components.into_iter().partition(|one| one.name() == name);
    let found = if named.is_empty() {
        others.into_iter().filter(|one| one.runs(name)).collect()
    } else {
        named
    };
    match <[Component; 1]>::try_from(found) {
        Ok([component]) => Ok(component),
        Err(none) if none.is_empty() => {
            let message = format!("the pod {pod} has no container that is or runs {name}");
            Err(Failure::missing(message).hint(format!("it has: {}", has.join(", "))))
        }
        Err(several) => {
            let message = format!(
                "{} containers of the pod {pod} are or run {name}",
                several.len()
            );
            Err(Failure::refused(message).hint("name one of them by its own name"))
        }
    }
}

fn host_paths(container: &ContainerFacts, pod: &PodFacts) -> Vec<HostPath> {
    let mounts = container.mounts.iter();
    mounts
        .filter_map(|mount| {
            Some(HostPath {
                volume: mount.volume.clone(),
                on_node: path_of_mount(mount, &pod.host_volumes)?,
                in_container: PathBuf::from(&mount.path),
            })
        })
        .collect()
}
