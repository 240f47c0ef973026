//! What etcd takes on its command line: a flag that it does not know, or a value that it cannot read, ends it at once. So both
//! are looked at before anything is stopped for them.

mod environment;
mod table;
mod value;

use std::collections::BTreeSet;
use std::fmt;

use etcd_datadir::restore::EtcdVersion;

use super::{Component, Edit};
use crate::advice;
use crate::advice::{Advice, Task};
pub use environment::{Effect, Variable};
use table::{ALL, KnownFlag};
use value::suggestion;

/// What a flag's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Any text.
    Text,
    /// True or false, in Go's words.
    Switch,
    /// A whole number, not below 0.
    Count,
    /// The same of 32 bits.
    SmallCount,
    /// A whole number.
    Number,
    /// A time with its unit.
    Duration,
    /// A number, of hours or revisions, or a time with its unit.
    Retention,
    /// URLs with commas between them.
    Urls,
    /// One of these, with `|` between them.
    OneOf(&'static str),
    /// The same, in small or capital letters.
    AnyCase(&'static str),
}

/// The names of all flags that an etcd known here has.
pub fn flag_names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|flag| flag.name)
}

/// What is wrong about a flag for etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlagProblem {
    /// No etcd that is known here has it.
    Unknown {
        /// The flag.
        flag: String,
        /// One with a name like it.
        resembles: Option<&'static str>,
    },
    /// The etcd of this version does not have it.
    OtherVersion {
        /// The flag.
        flag: String,
        /// The version.
        version: EtcdVersion,
        /// What there is in its place.
        instead: Option<&'static str>,
    },
    /// The manifest has it, and the etcd that it is to run does not.
    Given {
        /// The flag.
        flag: String,
        /// The version.
        version: EtcdVersion,
        /// What there is in its place.
        instead: Option<&'static str>,
    },
    /// etcd cannot read its value.
    Value {
        /// The flag.
        flag: String,
        /// The value; none: none is given.
        value: Option<String>,
        /// What the value has to be.
        wanted: String,
        /// The value that was meant, perhaps.
        meant: Option<String>,
    },
}

impl fmt::Display for FlagProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { flag, .. } => {
                write!(f, "etcd has no flag --{flag}: it would not start")
            }
            Self::OtherVersion { flag, version, .. } => {
                write!(f, "etcd {version} has no flag --{flag}: it would not start")
            }
            Self::Given { flag, version, .. } => write!(
                f,
                "the manifest has --{flag}, which etcd {version} does not have: it would not start"
            ),
            Self::Value {
                flag,
                value: Some(value),
                wanted,
                ..
            } => write!(
                f,
                "--{flag}={value}: the value is {wanted}, and etcd would not start with this one"
            ),
            Self::Value { flag, wanted, .. } => {
                write!(f, "--{flag} has no value: it is {wanted}")
            }
        }
    }
}

impl std::error::Error for FlagProblem {}

impl FlagProblem {
    /// What was meant, perhaps.
    pub fn hint(&self) -> Option<Advice> {
        match self {
            Self::Unknown { resembles, .. } => {
                Some(format!("did you mean {}?", (*resembles)?).into())
            }
            Self::OtherVersion { instead, .. } => {
                Some(format!("did you mean {}?", (*instead)?).into())
            }
            Self::Given { flag, instead, .. } => {
                let unset = Task::UnsetFlag.of("etcd").of(flag);
                Some(match instead {
                    Some(instead) => advice![unset, format!("; in its place there is {instead}")],
                    None => advice![unset, "; nothing has taken its place"],
                })
            }
            Self::Value { flag, meant, .. } => Some(format!("{flag}={}", meant.as_ref()?).into()),
        }
    }

    /// Whether a newer etcd than those known here may have it.
    pub fn is_about_the_name(&self) -> bool {
        match self {
            Self::Unknown { .. } | Self::OtherVersion { .. } | Self::Given { .. } => true,
            Self::Value { .. } => false,
        }
    }
}

impl Component {
    /// What etcd would not start with of these changes; nothing of other components is known.
    pub fn flag_problems(&self, edits: &[Edit]) -> Vec<FlagProblem> {
        if !self.is("etcd") {
            return Vec::new();
        }
        let new_image = edits.iter().find_map(|edit| match edit {
            Edit::SetImage { image } => Some(image.as_str()),
            Edit::SetFlag { .. } | Edit::UnsetFlag { .. } => None,
        });
        let version = new_image.or(self.image()).and_then(version_of_image);
        let problem = |edit: &Edit| match edit {
            Edit::SetFlag { flag, value } => {
                let value = value.as_ref().map(super::FlagValue::as_str);
                check(flag.as_str(), value, version).err()
            }
            Edit::UnsetFlag { .. } | Edit::SetImage { .. } => None,
        };
        let given = new_image
            .and_then(version_of_image)
            .map(|version| self.given_problems(version, edits));
        let changed = edits.iter().filter_map(problem);
        changed.chain(given.into_iter().flatten()).collect()
    }

    /// The flags of the manifest that etcd does not have any more in a version, or not yet; those that these edits set or
    /// remove are not looked at. What no etcd that is known here has may be one of a newer etcd, and runs already.
    fn given_problems(&self, version: EtcdVersion, edits: &[Edit]) -> Vec<FlagProblem> {
        let is_edited = |name: &str| {
            edits.iter().any(|edit| match edit {
                Edit::SetFlag { flag, .. } | Edit::UnsetFlag { flag } => flag.as_str() == name,
                Edit::SetImage { .. } => false,
            })
        };
        let mut seen = BTreeSet::new();
        let given = self.given().unwrap_or_default().into_iter();
        given
            .filter(|one| !is_edited(&one.name) && seen.insert(one.name.clone()))
            .filter(|one| find(&one.name).is_some_and(|known| !known.is_in(version)))
            .map(|one| FlagProblem::Given {
                instead: instead(&one.name, version),
                flag: one.name,
                version,
            })
            .collect()
    }
}

/// Whether some etcd has this flag.
fn is_known(flag: &str) -> bool {
    find(flag).is_some()
}

fn find(flag: &str) -> Option<&'static KnownFlag> {
    ALL.iter().find(|known| known.name == flag)
}

/// The version of etcd in an image, by its tag; none: the tag is no version.
fn version_of_image(image: &str) -> Option<EtcdVersion> {
    let name = image.split('@').next()?;
    let (_, tag) = name.rsplit('/').next()?.split_once(':')?;
    EtcdVersion::parse(tag)
}

fn check(flag: &str, value: Option<&str>, version: Option<EtcdVersion>) -> Result<(), FlagProblem> {
    let Some(known) = find(flag) else {
        return Err(FlagProblem::Unknown {
            flag: flag.to_owned(),
            resembles: resembling(flag, version),
        });
    };
    if let Some(version) = version.filter(|version| !known.is_in(*version)) {
        return Err(FlagProblem::OtherVersion {
            flag: flag.to_owned(),
            version,
            instead: instead(flag, version),
        });
    }
    let wrong = |meant| FlagProblem::Value {
        flag: flag.to_owned(),
        value: value.map(str::to_owned),
        wanted: known.kind.to_string(),
        meant,
    };
    match value {
        None if known.kind == Kind::Switch => Ok(()),
        None => Err(wrong(None)),
        // kubelet puts a value there that is not known here.
        Some(value) if value.contains("$(") || known.kind.takes(value) => Ok(()),
        Some(value) => Err(wrong(suggestion(known.kind, value))),
    }
}

impl KnownFlag {
    /// Whether the etcd of a version has it. Versions before 3.4 and those of another major one are not known here.
    fn is_in(&self, version: EtcdVersion) -> bool {
        let until = self.until.is_none_or(|until| version.minor <= until);
        version.major != 3 || version.minor < 4 || (version.minor >= self.since && until)
    }
}

/// The flag of an etcd whose name is most like this one.
fn resembling(flag: &str, version: Option<EtcdVersion>) -> Option<&'static str> {
    let there = ALL
        .iter()
        .filter(|known| version.is_none_or(|version| known.is_in(version)));
    let distance = |known: &&KnownFlag| strsim::damerau_levenshtein(known.name, flag);
    let nearest = there.min_by_key(distance)?;
    (distance(&nearest) <= flag.len() / 3).then_some(nearest.name)
}

/// The same flag before or after it was held to be experimental, or what became of it.
fn instead(flag: &str, version: EtcdVersion) -> Option<&'static str> {
    let feature = find(flag).filter(|known| known.until.is_some_and(|last| version.minor >= last));
    if let Some(feature) = feature.and_then(|known| known.feature) {
        return Some(feature);
    }
    let other = match flag.strip_prefix("experimental-") {
        Some(name) => find(name),
        None => find(&format!("experimental-{flag}")),
    };
    other
        .filter(|known| known.is_in(version))
        .map(|known| known.name)
}

#[cfg(test)]
mod tests;
