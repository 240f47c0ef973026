//! How the difference of two manifests is shown.

use etcd_operations::manifest::{Hunk, Line, Manifest, ManifestFile, Side, diff};
use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Paint, Tone, painted};
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::clean::is_hidden;

/// What differs between two manifests of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManifestDiff {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `ManifestDiff`.
    pub kind: &'static str,
    /// Whose manifests.
    pub component: String,
    /// The kept one.
    pub old: String,
    /// The one that counts now.
    pub new: String,
    /// The parts that differ, with the lines around them; none: they are the same.
    pub hunks: Vec<Hunk>,
}

impl ManifestDiff {
    /// Compares two files.
    pub fn new(component: &str, old: &ManifestFile, new: &ManifestFile) -> Self {
        let named = |file: &ManifestFile| file.path.display().to_string();
        let manifests = (&old.manifest, &new.manifest);
        Self::of(component, (named(old), named(new)), manifests)
    }

    /// Compares two manifests, the old one first, that have these names.
    pub(crate) fn of(
        component: &str,
        (old, new): (String, String),
        (before, after): (&Manifest, &Manifest),
    ) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "ManifestDiff",
            component: component.to_owned(),
            old,
            new,
            hunks: diff(before.bytes(), after.bytes()),
        }
    }
}

impl View for ManifestDiff {
    fn table(&self, _wide: bool, paint: Paint) -> String {
        if self.hunks.is_empty() {
            return format!(
                "{} and {} are the same\n",
                visible(&self.old),
                visible(&self.new)
            );
        }
        let mut text = format!("--- {}\n+++ {}\n", visible(&self.old), visible(&self.new));
        for hunk in &self.hunks {
            text.push_str(&format!(
                "@@ -{},{} +{},{} @@\n",
                hunk.old_start, hunk.old_lines, hunk.new_start, hunk.new_lines
            ));
            for line in &hunk.lines {
                text.push_str(&shown(line, paint));
            }
        }
        text
    }
}

fn shown(line: &Line, paint: Paint) -> String {
    let (sign, tone) = match line.side {
        Side::Both => (' ', Tone::Plain),
        Side::Old => ('-', Tone::Bad),
        Side::New => ('+', Tone::Good),
    };
    // Else lines would differ in nothing that is seen.
    let end = match line.end {
        "\n" => "",
        "\r\n" => "\\r",
        "\r" => "\\r alone",
        _ => "\n\\ No newline at end of file",
    };
    let text = format!("{sign}{}", visible(&line.text));
    format!("{}{end}\n", painted(&text, tone, paint))
}

/// Without anything a terminal would act on; blanks stay where they are.
fn visible(text: &str) -> String {
    let shown = |c: char| if is_hidden(c) { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}
