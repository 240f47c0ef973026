//! What people and programs are shown: one value, one view for each format.

pub mod alarms;
pub mod cleanup;
pub mod datadirs;
pub mod defrag;
pub mod doctor;
pub mod grid;
pub mod health;
pub mod images;
pub mod inspection;
pub mod kept;
pub mod manifest_diff;
pub mod manifests;
pub mod member_change;
pub mod members;
pub mod packed;
pub mod plan;
pub mod prune;
pub mod restore;
pub mod schedule;
#[cfg(test)]
mod schemas;
pub mod snapshot;
mod status;
pub mod usage;
pub mod verification;
pub mod version;

use clap::ValueEnum;
use serde::Serialize;

use crate::error::Error;
use grid::Paint;

/// `apiVersion` of everything printed as JSON or YAML. The schemas are in `plugin/schemas`.
pub use etcd_operations::report::API_VERSION;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For people, with more columns
    Wide,
    /// For programs
    Json,
    /// For programs
    Yaml,
    /// One name a line, for scripts
    Name,
}

/// A value that can be shown. Its serialised form begins with `apiVersion` and `kind`.
pub trait View: Serialize {
    /// As text for people, ending with a newline unless empty.
    fn table(&self, wide: bool, paint: Paint) -> String;

    /// What `-o name` prints, one a line; empty for views that have no names.
    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The text of a view in a format.
///
/// # Errors
/// When it cannot be serialised, which would be a fault of the view.
pub fn render<V: View>(view: &V, format: Format, paint: Paint) -> Result<String, Error> {
    match format {
        Format::Table => Ok(view.table(false, paint)),
        Format::Wide => Ok(view.table(true, paint)),
        Format::Json => serde_json::to_string_pretty(view)
            .map(|text| text + "\n")
            .map_err(|cause| {
                Error::failed("the answer cannot be written as JSON").caused_by(cause)
            }),
        Format::Yaml => yaml(view).map_err(|cause| {
            Error::failed("the answer cannot be written as YAML").caused_by(cause)
        }),
        Format::Name => Ok(view
            .names()
            .iter()
            .map(|name| format!("{name}\n"))
            .collect()),
    }
}

/// YAML as every reader takes it: `serde_saphyr` quotes what YAML 1.1 would read as a boolean or a number, so that an id
/// such as `7e23` or a node named `on` stays text.
fn yaml<V: Serialize>(view: &V) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Odd {
        names: Vec<&'static str>,
    }

    #[test]
    fn yaml_text_stays_text() {
        let names = vec![
            "on", "no", "7e23", "1234567", "0x1f", "1_000", "12:30:00", "null", "~", "cp-1",
        ];
        let text = yaml(&Odd {
            names: names.clone(),
        })
        .unwrap();
        let back: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
        let read: Vec<&str> = back["names"]
            .as_sequence()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        assert_eq!(read, names, "{text}");
        for bare in ["- on\n", "- no\n", "- 7e23\n", "- 1_000\n", "- 12:30:00\n"] {
            assert!(!text.contains(bare), "{bare:?} is not quoted in {text}");
        }
    }
}
