//! The names of plans, which are names of folders too.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::text::text;
use crate::utc::of_time;

/// A plan's name: what it is and when it was made, `restore-2026-11-22T083000Z`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlanId(String);

/// Not a plan's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no plan's name")]
pub struct NotAPlanId(String);

impl PlanId {
    /// A name for a plan that is made now.
    pub fn new(kind: PlanKind, now: Timestamp) -> Self {
        let name = of_time(kind.name(), now);
        // Two may be made in a second.
        match now.subsec_millisecond() {
            0 => Self(name),
            milliseconds => Self(format!("{name}-{milliseconds:03}")),
        }
    }
}

impl TryFrom<String> for PlanId {
    type Error = NotAPlanId;

    /// It is the name of a folder, so it is nothing else: letters, digits and `-`.
    fn try_from(text: String) -> Result<Self, NotAPlanId> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let begins = text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_lowercase());
        if begins && text.len() <= 100 && text.bytes().all(fine) {
            Ok(Self(text))
        } else {
            Err(NotAPlanId(text))
        }
    }
}

text!(PlanId);

/// Which command made a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlanKind {
    /// A manifest is changed, or its pod stopped or started.
    Manifest,
    /// A snapshot is restored.
    Restore,
    /// A new cluster is formed from the best survivor.
    Recover,
    /// A member is replaced.
    Replace,
}

impl PlanKind {
    /// Its name, as in commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Restore => "restore",
            Self::Recover => "recover",
            Self::Replace => "replace",
        }
    }
}
