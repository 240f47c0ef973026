//! Static pod manifests: what they say, and how they are changed without touching anything else in them.
//!
//! A manifest is read twice by one parser: once for what it means ([`crate::yaml`]), and once for where in the text each node
//! is. An [`Edit`] replaces only the bytes it must, the result is read again in both ways, and it counts only if its values
//! differ from the old ones in exactly what was asked for. Where the text is written in a way that has no precise change,
//! the edit is refused. That other parsers read the same from it, libyaml among them, the property tests check.
//!
//! Nothing here stops or starts anything: kubelet does, and not always (see [`crate::local`]). The rules of the folder are
//! kubelet's (`pkg/kubelet/config/file.go`): every file whose name does not begin with a dot is a pod, whatever its ending;
//! links are followed, folders are not; of a file with several YAML documents the first one counts; a file that begins
//! with `{` is JSON.

mod archive;
mod block;
mod change;
mod component;
mod diff;
mod edit;
mod elsewhere;
mod etcd_flags;
mod etcds;
mod file;
#[cfg(test)]
mod file_tests;
mod flag;
mod flow;
mod folder;
#[cfg(test)]
mod folder_tests;
#[cfg(test)]
mod golden_tests;
mod known;
mod names;
mod place;
mod pod;
#[cfg(test)]
mod property_tests;
mod quote;
#[cfg(test)]
mod refusal_tests;
mod returned;
mod spot;
mod start;
mod step;
mod stop;
mod stray;
mod tree;
#[cfg(test)]
mod twice_tests;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use archive::{Aside, Kept, Why};
pub use change::Change;
pub use component::{Component, HostPath};
pub use diff::{Hunk, Line, Side, diff};
pub use edit::{Edit, Edited};
pub(crate) use elsewhere::{ANEW, anew, back, is_renamed, stand_in};
pub use elsewhere::{Elsewhere, elsewhere};
pub use etcd_flags::{Effect, FlagProblem, Variable, flag_names};
pub(crate) use etcds::ALONE;
pub use file::ManifestFile;
pub(crate) use file::{holds_another, sha256};
pub use flag::Note;
pub use folder::Folder;
pub use known::{Found, Known, Place, Selection};
pub use names::{FlagName, FlagValue, ImageName, NameError};
pub use start::Start;
pub use stop::Stop;
pub use stray::{Problem, Stray};

use crate::failure::Failure;
use crate::flags::PodFacts;
use crate::yaml;
use tree::Tree;

/// A static pod's manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    text: String,
    /// As kubelet takes it.
    meant: Value,
    /// The keys that are given more than once.
    twice: Vec<String>,
}

/// A pod's namespace and its name as the manifest has it. kubelet puts `-` and the node's name behind it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodId {
    /// The namespace, `default` where none is given.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Manifest {
    /// Reads a manifest, in YAML or JSON.
    ///
    /// # Errors
    /// `FailureKind::Other`: it is not UTF-8, not YAML, or is not a pod. Of a key that is given twice the last one counts, as
    /// for kubelet ([`Manifest::twice`]); JSON that gives one twice is refused, as kubelet then takes parts of both.
    pub fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| no_manifest(&error).hint("save it as UTF-8"))?;
        let (meant, twice) = read(text)?;
        if !pod::is_pod(&meant) {
            return Err(
                Failure::other("it is no pod's manifest").hint("a manifest says `kind: Pod`")
            );
        }
        Ok(Self {
            text: text.to_owned(),
            meant,
            twice,
        })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The keys that it gives more than once, each with the way to it (`spec.containers[0].image`): the last one counts.
    pub fn twice(&self) -> &[String] {
        &self.twice
    }

    /// Its value as kubelet takes it.
    pub(crate) fn meant(&self) -> &Value {
        &self.meant
    }

    /// Which pod it is.
    pub fn pod(&self) -> PodId {
        pod::id(&self.meant)
    }

    /// The containers of the pod, in their order; those that only prepare it are not among them.
    pub fn components(&self) -> Vec<Component> {
        Component::all(&self.facts(""))
    }

    /// The containers with the images they name, those that prepare the pod before the others.
    pub(crate) fn images(&self) -> Vec<(String, String)> {
        pod::images(&self.meant)
    }

    /// The container of this name, or else the one that runs this program.
    ///
    /// # Errors
    /// `FailureKind::Missing` when there is none, `FailureKind::Refused` when several run it.
    pub fn component(&self, name: &str) -> Result<Component, Failure> {
        component::find(self.components(), name, &self.pod())
    }

    /// A label of the pod.
    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        pod::label(&self.meant, key)
    }

    /// What a target is made from.
    pub(crate) fn facts(&self, node: &str) -> PodFacts {
        pod::facts(&self.meant, node)
    }

    /// Changes one thing of a component. One that is as it should be already gives the same bytes.
    ///
    /// # Errors
    /// `FailureKind::Missing` when there is no such component; `FailureKind::Refused` when the manifest is written in a
    /// way in which this cannot be changed without changing more, or in which it would have no effect. The hint says what
    /// to write instead.
    pub fn edit(&self, component: &str, edit: &Edit) -> Result<Edited, Failure> {
        edit::apply(self, component, edit)
    }
}

/// The value of the first document, and the keys it gives twice. A file that begins with `{` is JSON to kubelet
/// (`k8s.io/apimachinery/pkg/util/yaml`).
fn read(text: &str) -> Result<(Value, Vec<String>), Failure> {
    let right = |error: &dyn fmt::Display| {
        no_manifest(error).hint("put it right there, or move the file out of the folder")
    };
    // Behind a byte order mark `{` begins no JSON for kubelet.
    if is_json(text) {
        let value = serde_json::from_str(text).map_err(|error| {
            no_manifest(&error).hint("kubelet takes a file that begins with `{` for JSON")
        })?;
        // Where a key is there twice, kubelet merges parts of both values.
        let tree = Tree::parse(text).map_err(|error| right(&error))?;
        let twice = tree.map(|tree| tree.given_twice()).unwrap_or_default();
        return match twice.first() {
            None => Ok((value, twice)),
            Some(key) => Err(given_twice(key)),
        };
    }
    // kubelet's reader passes the mark by; a parser may count it as a column.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(tree) = Tree::parse(text).map_err(|error| right(&error))? else {
        return Ok((Value::Null, Vec::new()));
    };
    let twice = tree.given_twice();
    // What kubelet brings in then is another matter.
    if let Some(merge) = twice
        .iter()
        .find(|key| key.rsplit('.').next() == Some("<<"))
    {
        return Err(given_twice(merge));
    }
    let first = text.get(..tree.end).unwrap_or(text);
    let value = yaml::read(first).map_err(|error| right(&error))?;
    Ok((value, twice))
}

fn given_twice(key: &str) -> Failure {
    no_manifest(&format!("it gives {key} twice")).hint("leave one of the two")
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

fn no_manifest(error: &dyn fmt::Display) -> Failure {
    Failure::other(format!("it is no manifest: {error}"))
}
