//! One word of a manifest changed, and the proof that nothing else did.

use serde_json::Value;

use super::Manifest;
use super::place::{InText, refused};
use super::spot::{List, Splice, Spot};
use super::tree::Tree;
use crate::failure::Failure;

/// A change of one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Replace {
        spot: Spot,
        word: String,
    },
    /// Before the word that is at the spot now, behind the one before it.
    Insert {
        spot: Spot,
        word: String,
    },
    Remove {
        spot: Spot,
    },
    Image(String),
}

impl Manifest {
    /// The first word of a container's command line that is not a text.
    pub(super) fn first_that_is_no_text(&self, container: usize) -> Option<Spot> {
        let container = self.meant.get("spec")?.get("containers")?.get(container)?;
        [List::Command, List::Args].into_iter().find_map(|list| {
            let mut words = container.get(list.key())?.as_array()?.iter();
            let index = words.position(|word| !word.is_string())?;
            Some(Spot { list, index })
        })
    }
}

impl Step {
    /// The manifest after it.
    pub(super) fn take(&self, manifest: &Manifest, container: usize) -> Result<Manifest, Failure> {
        let tree = tree(manifest)?;
        let place = InText::find(manifest, &tree, container)?;
        let splices = match self {
            Self::Replace { spot, word } => place.replace(*spot, word),
            Self::Insert { spot, word } => place.insert(*spot, word),
            Self::Remove { spot } => place.remove(*spot),
            Self::Image(image) => place.image(image),
        }?;
        let text = spliced(&manifest.text, splices).ok_or_else(unproved)?;
        let after = Manifest::parse(text.as_bytes()).map_err(|_| unproved())?;
        match self.wanted(&manifest.meant, container) {
            Some(wanted) if wanted == after.meant => Ok(after),
            _ => Err(unproved()),
        }
    }

    /// The values there should be afterwards.
    fn wanted(&self, meant: &Value, container: usize) -> Option<Value> {
        let mut value = meant.clone();
        let node = value
            .get_mut("spec")?
            .get_mut("containers")?
            .get_mut(container)?;
        let (spot, word) = match self {
            Self::Image(image) => {
                *node.get_mut("image")? = Value::from(image.as_str());
                return Some(value);
            }
            Self::Replace { spot, word } | Self::Insert { spot, word } => (spot, Some(word)),
            Self::Remove { spot } => (spot, None),
        };
        let words = node.get_mut(spot.list.key())?.as_array_mut()?;
        // An insert puts its word in the place of none.
        let old = usize::from(!matches!(self, Self::Insert { .. }));
        let range = spot.index..spot.index + old;
        words.get(range.clone())?;
        words.splice(range, word.map(|word| Value::from(word.as_str())));
        Some(value)
    }
}

fn tree(manifest: &Manifest) -> Result<Tree, Failure> {
    let tree = Tree::parse(&manifest.text);
    let tree = tree.and_then(|tree| tree.ok_or_else(|| "it is empty".to_owned()));
    tree.map_err(|error| {
        refused(
            format!("the places of its parts cannot be told: {error}"),
            "write it plainly; kubeadm's own manifests are a model",
        )
    })
}

/// The text with these ranges replaced, which must not overlap.
fn spliced(text: &str, mut splices: Vec<Splice>) -> Option<String> {
    splices.sort_by_key(|splice| splice.range.start);
    let mut out = String::with_capacity(text.len() + 64);
    let mut done = 0;
    for Splice { range, text: new } in splices {
        out.push_str(text.get(done..range.start)?);
        out.push_str(&new);
        done = range.end;
    }
    out.push_str(text.get(done..)?);
    Some(out)
}

/// What came out is not exactly what was asked for.
pub(super) fn unproved() -> Failure {
    Failure::refused(
        "the edited text does not read as the old one with this change alone, so it is not used",
    )
    .hint("change it by hand, and please report the manifest: this is a fault of kubectl-etcd")
}
