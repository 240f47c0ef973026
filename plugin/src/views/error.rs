//! How an error is shown to programs.

use schemars::JsonSchema;
use serde::Serialize;

use crate::advice;
use crate::views::grid::Paint;
use crate::views::{API_VERSION, Format, View, json_line, render};
use kubectl_etcd_core::error::{Error, ErrorKind};

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorObject {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `Error`.
    pub kind: &'static str,
    /// What sort of ending it is.
    pub reason: ErrorKind,
    /// The process's exit code.
    pub exit_code: u8,
    /// What happened.
    pub message: String,
    /// What caused it, and what caused that, each part once.
    pub causes: Vec<String>,
    /// What would help: the next command to type, or the flag that lifts a refusal.
    pub hints: Vec<String>,
}

impl ErrorObject {
    /// The object of an error.
    pub fn new(error: &Error) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "Error",
            reason: error.kind,
            exit_code: error.kind.exit_code().code(),
            message: error.message.clone(),
            causes: error.causes(),
            hints: advice::hints(error),
        }
    }

    /// As it ends standard error, behind what was told there before: JSON in one line, YAML as a document of its own. None:
    /// people read it.
    pub(crate) fn written(&self, format: Format) -> Option<String> {
        match format {
            Format::Table | Format::Wide | Format::Name => None,
            Format::Json => json_line(self).ok(),
            Format::Yaml => render(self, Format::Yaml, Paint::PLAIN)
                .ok()
                .map(|text| format!("---\n{text}")),
        }
    }
}

impl View for ErrorObject {
    fn table(&self, _wide: bool, _paint: Paint) -> String {
        format!("error: {}\n", self.message)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use etcd_operations::advice::Task;

    pub(crate) fn samples() -> [ErrorObject; 2] {
        let cause = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = Error::new(ErrorKind::NothingReached, "no \"answer\"\nat all");
        let error = error.caused_by(cause).hint(Task::ShowStatus);
        [error, Error::failed("x")].map(|error| ErrorObject::new(&error))
    }

    #[test]
    fn an_error_for_programs_is_the_last_line_of_what_is_told() {
        let [sample, _] = samples();
        let text = sample.written(Format::Json).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["reason"], "NothingReached");
        assert_eq!(value["exitCode"], 6);
        assert_eq!(value["message"], "no \"answer\"\nat all");
        assert_eq!(value["causes"][0], "connection refused");
        assert_eq!(value["hints"][0], "kubectl etcd status");
        let text = sample.written(Format::Yaml).unwrap();
        let value: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(value["kind"], "Error");
        assert!(text.starts_with("---\n"), "{text}");
        assert!(sample.written(Format::Table).is_none());
    }
}
