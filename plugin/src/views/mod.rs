//! What people and programs are shown: one value, one view for each format.

pub mod alarms;
pub mod cleanup;
pub mod compaction;
pub mod datadirs;
pub mod defrag;
pub mod doctor;
pub mod error;
mod fold;
pub mod grid;
pub mod health;
pub mod images;
pub mod inspection;
pub mod logs;
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
mod schedule_tests;
#[cfg(test)]
mod schemas;
pub mod snapshot;
mod status;
#[cfg(test)]
mod status_tests;
pub mod stored;
pub mod usage;
pub mod verification;
pub mod version;

use clap::ValueEnum;
use serde::Serialize;

use grid::Paint;
use kubectl_etcd_core::clean::{clean, clean_layout, escape_json, escape_yaml, is_plain};
use kubectl_etcd_core::error::Error;

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

    /// Whether it is of a dry run: for people it ends with that, in every command.
    fn is_dry_run(&self) -> bool {
        false
    }
}

/// The text of a view in a format, without any character of others' text that a terminal would obey or not show: views need
/// not think of that. What they put on a line of its own they clean of line ends.
///
/// # Errors
/// When it cannot be serialised, which would be a fault of the view.
pub fn render<V: View>(view: &V, format: Format, paint: Paint) -> Result<String, Error> {
    match format {
        Format::Table => Ok(table(view, false, paint)),
        Format::Wide => Ok(table(view, true, paint.within(None))),
        Format::Json => serde_json::to_string_pretty(view)
            .map(|text| escape_json(&text) + "\n")
            .map_err(|cause| {
                Error::failed("the answer cannot be written as JSON").caused_by(cause)
            }),
        Format::Yaml => yaml(view),
        Format::Name => Ok(view
            .names()
            .iter()
            .map(|name| format!("{}\n", clean(name)))
            .collect()),
    }
}

/// A view as JSON in one line.
///
/// # Errors
/// When it cannot be serialised.
pub(crate) fn json_line<V: View>(view: &V) -> Result<String, serde_json::Error> {
    serde_json::to_string(view).map(|text| escape_json(&text) + "\n")
}

/// A view as text for people.
pub(crate) fn table<V: View>(view: &V, wide: bool, paint: Paint) -> String {
    let mut text = clean_layout(&view.table(wide, paint), paint);
    if view.is_dry_run() {
        text.push_str("dry run: nothing was done\n");
    }
    match paint.width {
        Some(width) => fold::fold(&text, width),
        None => text,
    }
}

/// YAML as every reader takes it: [`etcd_operations::yaml::write`] quotes what YAML 1.1 would read as a boolean or a number, so
/// that an id such as `7e23` or a node named `on` stays text. It leaves characters that are not seen as they are. Where there is
/// one, all is in double quotes, as JSON has it and YAML takes it, and they are escaped.
fn yaml<V: Serialize>(view: &V) -> Result<String, Error> {
    let failed = || Error::failed("the answer cannot be written as YAML");
    let text = etcd_operations::yaml::write(view).map_err(|cause| failed().caused_by(cause))?;
    if is_plain(&text) {
        return Ok(text);
    }
    let quoted = serde_json::to_string_pretty(view).map_err(|cause| failed().caused_by(cause))?;
    Ok(escape_yaml(&quoted) + "\n")
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

    /// A view that thinks of nothing.
    #[derive(Serialize)]
    struct Careless {
        name: String,
    }

    impl View for Careless {
        fn table(&self, _wide: bool, paint: Paint) -> String {
            let mut grid = grid::Grid::new("NAME");
            grid.row(vec![grid::field(self.name.as_str())]);
            let head = grid::painted(&self.name, grid::Tone::Bad, paint);
            format!("{head} {}\n{}", self.name, grid.draw(paint))
        }

        fn names(&self) -> Vec<String> {
            vec![self.name.clone()]
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_report_says_no_terminal_obeys_it(name in kubectl_etcd_core::clean::hostile::hostile()) {
            let view = Careless { name: name.clone() };
            for format in [Format::Table, Format::Wide, Format::Json, Format::Yaml, Format::Name] {
                let text = render(&view, format, Paint::PLAIN).unwrap();
                proptest::prop_assert!(is_plain(&text), "{text:?}");
                let coloured = render(&view, format, Paint::COLOUR).unwrap();
                let bare = kubectl_etcd_core::clean::hostile::without_colours(&coloured);
                proptest::prop_assert!(is_plain(&bare), "{coloured:?}");
            }
            let json = render(&view, Format::Json, Paint::PLAIN).unwrap();
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            proptest::prop_assert_eq!(&json["name"], &name);
            let yaml = render(&view, Format::Yaml, Paint::PLAIN).unwrap();
            let yaml: serde_yaml::Value = serde_yaml::from_str(&yaml).unwrap();
            proptest::prop_assert_eq!(yaml["name"].as_str().unwrap(), name);
            let names = render(&view, Format::Name, Paint::PLAIN).unwrap();
            proptest::prop_assert_eq!(names.lines().count(), 1);
        }
    }
}
