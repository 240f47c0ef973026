//! What can be changed in a manifest.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::flag::{Note, set_flag, unset_flag};
use super::place::refused;
use super::step::{Step, unproved};
use super::{Component, FlagName, FlagValue, ImageName, Manifest};
use crate::failure::Failure;
use crate::flags::is_true;

/// One change of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Edit {
    /// The flag has this value afterwards. Where it is given already, it stays where and how it is written, and its value
    /// changes; else it becomes a word `--flag=value`, in its place if the flags are in the order of their names, at the
    /// end if not.
    SetFlag {
        /// Which flag.
        flag: FlagName,
        /// Its value, as it stands in the manifest: kubelet replaces `$(VAR)`. None: a switch that is on, `--flag`.
        value: Option<FlagValue>,
    },
    /// The flag is not given afterwards.
    UnsetFlag {
        /// Which flag.
        flag: FlagName,
    },
    /// The component runs this image afterwards.
    SetImage {
        /// Which image.
        image: ImageName,
    },
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetFlag { flag, value: None } => write!(f, "--{flag}"),
            Self::SetFlag {
                flag,
                value: Some(value),
            } => write!(f, "--{flag}={value}"),
            Self::UnsetFlag { flag } => write!(f, "no --{flag}"),
            Self::SetImage { image } => write!(f, "the image {image}"),
        }
    }
}

/// A manifest after an edit.
#[derive(Debug, Clone)]
pub struct Edited {
    /// What it is now.
    pub manifest: Manifest,
    /// Whether its bytes are others than before.
    pub changed: bool,
    /// What else there is to know.
    pub notes: Vec<Note>,
}

pub(super) fn apply(manifest: &Manifest, component: &str, edit: &Edit) -> Result<Edited, Failure> {
    let component = manifest.component(component)?;
    if !matches!(edit, Edit::SetImage { .. }) {
        only_texts(manifest, &component)?;
    }
    let (steps, notes) = match edit {
        Edit::SetFlag { flag, value } => set_flag(&component, flag, value.as_ref())?,
        Edit::UnsetFlag { flag } => unset_flag(&component, flag)?,
        Edit::SetImage { image } => (set_image(&component, image), Vec::new()),
    };
    let mut edited = manifest.clone();
    for step in &steps {
        edited = step.take(&edited, component.index)?;
    }
    if !is_so(&edited, component.index, edit) {
        return Err(unproved());
    }
    Ok(Edited {
        changed: edited.bytes() != manifest.bytes(),
        manifest: edited,
        notes,
    })
}

/// kubelet takes no pod with a number among its words; here it would read as its digits and seem to be right.
fn only_texts(manifest: &Manifest, component: &Component) -> Result<(), Failure> {
    match manifest.first_that_is_no_text(component.index) {
        None => Ok(()),
        Some(spot) => Err(refused(
            format!("{spot} is not a string: kubelet rejects this pod"),
            "put the word in quotes",
        )),
    }
}

fn set_image(component: &Component, image: &ImageName) -> Vec<Step> {
    if component.image() == Some(image.as_str()) {
        Vec::new()
    } else {
        vec![Step::Image(image.as_str().to_owned())]
    }
}

/// Whether a component is as an edit wants it.
fn is_so(manifest: &Manifest, container: usize, edit: &Edit) -> bool {
    let components = manifest.components();
    let Some(component) = components.get(container) else {
        return false;
    };
    let value = |flag: &FlagName| {
        let given = component.given().unwrap_or_default();
        let mut found = given.into_iter().filter(|one| one.name == flag.as_str());
        found.next_back().map(|flag| flag.value)
    };
    match edit {
        Edit::SetFlag { flag, value: None } => value(flag).is_some_and(|value| is_true(&value)),
        Edit::SetFlag {
            flag,
            value: Some(wanted),
        } => value(flag).as_deref() == Some(wanted.as_str()),
        Edit::UnsetFlag { flag } => value(flag).is_none(),
        Edit::SetImage { image } => component.image() == Some(image.as_str()),
    }
}
