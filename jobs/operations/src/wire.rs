//! What goes between the plugin and the program on a node: one request, the events of the work, one answer.
//!
//! | way | request | events and answer |
//! |---|---|---|
//! | a Job | an [`Assignment`] on the command line | [`Line`]s on standard output, which are the container's log |
//! | over ssh | an [`Ask`] on standard input | [`Line`]s on standard output |
//! | in process | an [`Ask`] for [`crate::host::answer`] | its progress and its result |
//!
//! An assignment is the [`Ask`] for an operation as job images have understood it from the first release on.
//!
//! Rules for change. A request and a line carry `version`. Within a version fields and kinds of events may be added, and a
//! reader ignores what it does not know; nothing is renamed, removed or given another meaning. Any such change raises
//! [`VERSION`], and a reader refuses other versions in a sentence that says which side is older. A sample of each
//! released version stays in the tests.

pub mod answer;
pub mod ask;

use std::io;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::manifest::Selection;
use crate::operation::Assignment;
use crate::report::Report;
pub use crate::work::Progress;
use answer::HostAnswer;
use ask::{HostRequest, Operate};

/// The version of [`Ask`], [`Assignment`], [`Line`] and everything in them.
pub const VERSION: u32 = 1;

/// The longest line, and so the largest report, request or answer. A report on a large database has some hundred thousand bytes.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// What is asked of a host, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ask {
    /// [`VERSION`] of who asks.
    pub version: u32,
    /// What is to be done.
    pub request: HostRequest,
    /// Which manifests are meant.
    #[serde(default, skip_serializing_if = "Selection::is_empty")]
    pub selection: Selection,
    /// Where it is on record when it must not stop with the connection; none: it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detached: Option<Detached>,
}

/// Where work is on record, and which try of it is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Detached {
    /// The folder of this one piece of work on the host: made 0700 when missing.
    pub folder: PathBuf,
    /// Which attempt, from 1 on. One that was begun is followed; a new one is begun only when no other is at work.
    pub attempt: u32,
}

/// One line of output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// [`VERSION`] of who wrote it.
    pub version: u32,
    /// What it says.
    pub event: Event,
}

/// What happens while a request is worked on, and how that ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one of it in a process, and a box would be in every match"
)]
pub enum Event {
    /// It goes on.
    Progress(Progress),
    /// An operation is done: the last line.
    Report {
        /// What it found or did.
        report: Report,
    },
    /// Another request is done: the last line.
    Done {
        /// What was asked for.
        answer: HostAnswer,
    },
    /// It failed: the last line.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Something this version does not know; to be ignored.
    #[serde(other)]
    Unknown,
}

/// Why a line cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Not one of ours: something else wrote to standard output.
    #[error("not a line of kubectl-etcd's program: {text:.120}")]
    Foreign {
        /// What was there.
        text: String,
    },
    /// Written by another version.
    #[error("speaks version {theirs} of the report format, this plugin version {VERSION}")]
    OtherVersion {
        /// Its version.
        theirs: u64,
    },
    /// The right version, but not understood.
    #[error("prints a line that cannot be understood")]
    Malformed(#[source] serde_json::Error),
}

impl Ask {
    /// A request of this version that ends with the connection.
    pub fn new(request: HostRequest) -> Self {
        Self {
            version: VERSION,
            request,
            selection: Selection::default(),
            detached: None,
        }
    }

    /// The same of these manifests.
    #[must_use]
    pub fn of(mut self, selection: Selection) -> Self {
        self.selection = selection;
        self
    }

    /// Reads a request.
    ///
    /// # Errors
    /// `FailureKind::Refused`: it is of another version, or not understood.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        // Over ssh the plugin puts its own program on the host each time.
        request(text, "the request").map_err(|failure| {
            failure.hint("run it again: the plugin puts its own program on the host")
        })
    }

    /// For how many seconds the program stays after its answer, so that a file can be fetched from it.
    pub fn hold_seconds(&self) -> u64 {
        match &self.request {
            HostRequest::Operate(operate) => operate.operation.hold_seconds(),
            _ => 0,
        }
    }
}

impl From<Assignment> for Ask {
    fn from(assignment: Assignment) -> Self {
        Self::new(HostRequest::Operate(Operate {
            operation: assignment.operation,
            target: Some(assignment.target),
        }))
    }
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
    /// When it is not one of ours, or not of this version.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        parse(text)
    }

    /// The line as it is written, with its end.
    ///
    /// # Errors
    /// When an answer cannot be written as JSON: a path that is no text.
    pub fn text(&self) -> io::Result<String> {
        let mut text = serde_json::to_string(self)?;
        text.push('\n');
        Ok(text)
    }
}

impl Event {
    /// The answer, or why there is none; none: this is not the last line.
    pub fn ended(self) -> Option<Result<HostAnswer, Failure>> {
        match self {
            Self::Report { report } => Some(Ok(HostAnswer::Report {
                report: Box::new(report),
            })),
            Self::Done { answer } => Some(Ok(answer)),
            Self::Failed { failure } => Some(Err(failure)),
            Self::Progress(_) | Self::Unknown => None,
        }
    }
}

impl From<Result<HostAnswer, Failure>> for Event {
    fn from(ended: Result<HostAnswer, Failure>) -> Self {
        match ended {
            Ok(HostAnswer::Report { report }) => Self::Report { report: *report },
            Ok(answer) => Self::Done { answer },
            Err(failure) => Self::Failed { failure },
        }
    }
}

/// Reads what this program is asked to do. `what` names it in the failure.
///
/// # Errors
/// `FailureKind::Refused`: it is of another version, or not understood.
pub fn request<T: DeserializeOwned>(text: &str, what: &str) -> Result<T, Failure> {
    parse(text).map_err(|error| {
        let message = match error {
            LineError::Foreign { .. } if text.trim().is_empty() => format!("{what} is empty"),
            LineError::OtherVersion { theirs } => {
                format!("{what} is of version {theirs}, this program of {VERSION}")
            }
            LineError::Malformed(error) => format!("{what} is not understood: {error}"),
            LineError::Foreign { .. } => format!("{what} is not understood: it has no version"),
        };
        Failure::refused(message).hint("use the plugin and the job image of one release")
    })
}

/// Reads what says its version: that is looked at before anything else is, and here alone.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, LineError> {
    let foreign = || LineError::Foreign {
        text: text.to_owned(),
    };
    let value: serde_json::Value = serde_json::from_str(text).map_err(|_| foreign())?;
    let theirs = value.get("version").and_then(serde_json::Value::as_u64);
    match theirs.ok_or_else(foreign)? {
        theirs if theirs == u64::from(VERSION) => {
            serde_json::from_value(value).map_err(LineError::Malformed)
        }
        theirs => Err(LineError::OtherVersion { theirs }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::failure::FailureKind;

    #[test]
    fn the_words_stay_what_they_are() {
        let ask = r#"{"version":1,"request":{"request":"hello"}}"#;
        assert_eq!(
            serde_json::to_string(&Ask::new(HostRequest::Hello)).unwrap(),
            ask
        );
        let line = r#"{"version":1,"event":{"type":"done","answer":{"answer":"digest"}}}"#;
        let event = Event::Done {
            answer: HostAnswer::Digest { file: None },
        };
        assert_eq!(Line::parse(line).unwrap(), Line::new(event));
        let later = r#"{"version":1,"event":{"type":"sings","song":[1]}}"#;
        assert_eq!(Line::parse(later).unwrap().event, Event::Unknown);
        let newer = line.replacen('1', "2", 1);
        assert!(matches!(
            Line::parse(&newer),
            Err(LineError::OtherVersion { theirs: 2, .. })
        ));
        let refused = Ask::parse(&ask.replacen('1', "9", 1)).unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused);
        assert!(refused.message.contains("of version 9"), "{refused}");
    }

    /// A Job's log has the report as every release reads it, and what an earlier build wrote over ssh is read as well.
    #[test]
    fn a_report_is_the_same_answer_in_both_forms() {
        let report =
            r#"{"report":"defrag","memberId":"1","beforeBytes":2,"afterBytes":1,"tookMs":3}"#;
        let of_job = format!(r#"{{"type":"report","report":{report}}}"#);
        let over_ssh =
            format!(r#"{{"type":"done","answer":{{"answer":"report","report":{report}}}}}"#);
        let ended = |event: &str| {
            let line = Line::parse(&format!(r#"{{"version":1,"event":{event}}}"#));
            line.unwrap().event.ended().unwrap()
        };
        let answer = ended(&of_job);
        assert!(
            matches!(answer, Ok(HostAnswer::Report { .. })),
            "{answer:?}"
        );
        assert_eq!(ended(&over_ssh), answer);
        let written = serde_json::to_string(&Event::from(answer)).unwrap();
        assert_eq!(written, of_job);
    }

    proptest! {
        #[test]
        fn foreign_lines_are_refused_and_nothing_else_happens(text in ".{0,200}") {
            prop_assert!(Line::parse(&text).is_err());
            prop_assert!(Ask::parse(&text).is_err());
        }
    }
}
