//! The lines a job prints on standard output: JSON, one a line; progress, then one report or one failure.
//!
//! Rules for change. A line carries `version`. Within a version fields and kinds of events may be added, and a reader
//! ignores what it does not know; nothing is renamed, removed or given another meaning. Any such change raises
//! [`VERSION`], and a reader refuses other versions in a sentence that says which side is older. A sample of each
//! released version stays in the tests.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::report::Report;

/// The version of [`Line`], [`crate::operation::Assignment`] and everything in them.
pub const VERSION: u32 = 1;

/// The longest line, and so the largest report, request or answer. A report on a large database has some hundred thousand bytes.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// One line of output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// [`VERSION`] of who wrote it.
    pub version: u32,
    /// What it says.
    pub event: Event,
}

/// What happens while an operation runs, and how it ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one of it in a process, and a box would be in every match"
)]
pub enum Event {
    /// It goes on.
    Progress(Progress),
    /// It is done: the last line of a job that did its work.
    Report {
        /// What it found or did.
        report: Report,
    },
    /// It failed: the last line of a job that did not.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Something this version does not know; to be ignored.
    #[serde(other)]
    Unknown,
}

/// How far an operation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// What is being done, such as `saving` or `checking`.
    pub step: String,
    /// Bytes done.
    #[serde(default)]
    pub done_bytes: u64,
    /// Bytes in all, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
}

/// Why a line cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Not one of ours: something else wrote to standard output.
    #[error("not a line of kubectl-etcd's job: {text:.120}")]
    Foreign {
        /// What was there.
        text: String,
    },
    /// Written by another version.
    #[error(
        "the job's program speaks version {theirs} of the report format, this plugin version {VERSION}: {advice}"
    )]
    OtherVersion {
        /// Its version.
        theirs: u64,
        /// Which side is older and what to do.
        advice: &'static str,
    },
    /// The right version, but not understood.
    #[error("a report line that cannot be understood")]
    Malformed(#[source] serde_json::Error),
}

impl Line {
    /// A line of this version.
    pub fn new(event: Event) -> Self {
        Self {
            version: VERSION,
            event,
        }
    }

    /// Reads one line.
    ///
    /// # Errors
    /// When it is not one of ours, or not of this version: the version is looked at before anything else is.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        parse(text, VERSION, |theirs| match theirs > u64::from(VERSION) {
            true => "update the plugin",
            false => "use a newer job image",
        })
    }
}

/// Reads a line that says its version. That is looked at before anything else is; of another one `advice` says what to do.
pub(crate) fn parse<T: DeserializeOwned>(
    text: &str,
    version: u32,
    advice: impl FnOnce(u64) -> &'static str,
) -> Result<T, LineError> {
    let foreign = || LineError::Foreign {
        text: text.to_owned(),
    };
    let value: serde_json::Value = serde_json::from_str(text).map_err(|_| foreign())?;
    let theirs = value.get("version").and_then(serde_json::Value::as_u64);
    let theirs = theirs.ok_or_else(foreign)?;
    if theirs != u64::from(version) {
        let advice = advice(theirs);
        return Err(LineError::OtherVersion { theirs, advice });
    }
    serde_json::from_value(value).map_err(LineError::Malformed)
}
