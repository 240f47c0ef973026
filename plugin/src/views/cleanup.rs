//! How a cleanup is shown.

use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Paint, one_line};
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::cleanup::Cleaned;

/// What was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cleanup {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `Cleanup`.
    pub kind: &'static str,
    /// Whether nothing was removed and only would be.
    pub dry_run: bool,
    /// Where it was looked.
    pub namespaces: Vec<CleanedNamespace>,
}

/// What was removed of a namespace, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CleanedNamespace {
    /// Its name.
    pub name: String,
    /// Jobs and Pods of runs that are over.
    pub runs: Vec<String>,
    /// ConfigMaps with a program.
    pub programs: Vec<String>,
    /// Jobs and Pods of runs that still go on, with who runs them: left alone.
    pub in_use: Vec<String>,
    /// ConfigMaps with a program that a schedule refers to: left alone.
    pub kept: Vec<String>,
}

impl Cleanup {
    /// Of no namespace yet.
    pub fn new(dry_run: bool) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "Cleanup",
            dry_run,
            namespaces: Vec::new(),
        }
    }

    /// What a cleanup did in a namespace.
    pub fn add(&mut self, name: String, cleaned: Cleaned) {
        self.namespaces.push(CleanedNamespace {
            name,
            runs: cleaned.removed,
            programs: cleaned.programs,
            in_use: cleaned.in_use,
            kept: cleaned.kept,
        });
    }

    /// What stands before the names of a namespace where there are several.
    fn prefix(&self, namespace: &CleanedNamespace) -> String {
        match self.namespaces.len() {
            1 => String::new(),
            _ => format!("{}/", namespace.name),
        }
    }

    fn in_words(&self, namespace: &CleanedNamespace) -> String {
        let done = if self.dry_run {
            "would be removed"
        } else {
            "removed"
        };
        let prefix = self.prefix(namespace);
        let lines = |names: &[String], what: &str| -> String {
            let line = |name: &String| format!("{prefix}{} {what}\n", one_line(name));
            names.iter().map(line).collect()
        };
        let text = lines(&namespace.runs, done)
            + &lines(&namespace.programs, done)
            + &lines(&namespace.in_use, "still runs and stays")
            + &lines(&namespace.kept, "kept: a schedule refers to it");
        match text.is_empty() {
            true => format!(
                "nothing of kubectl etcd is left in the namespace {}\n",
                one_line(&namespace.name)
            ),
            false => text,
        }
    }
}

impl View for Cleanup {
    fn table(&self, _wide: bool, _paint: Paint) -> String {
        match self.namespaces.as_slice() {
            [] => "nothing of kubectl etcd is left in any namespace\n".to_owned(),
            all => all.iter().map(|one| self.in_words(one)).collect(),
        }
    }

    fn names(&self) -> Vec<String> {
        let of = |one: &CleanedNamespace| -> Vec<String> {
            let names = one.runs.iter().chain(&one.programs);
            names.map(|name| self.prefix(one) + name).collect()
        };
        self.namespaces.iter().flat_map(of).collect()
    }

    fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::views::table;

    pub(crate) fn sample() -> Cleanup {
        let mut view = Cleanup::new(true);
        let cleaned = Cleaned {
            removed: vec!["job/x".into()],
            kept: vec!["configmap/p".into()],
            ..Cleaned::default()
        };
        view.add("kube-system".into(), cleaned);
        view
    }

    #[test]
    fn a_program_that_a_schedule_needs_is_told_and_several_namespaces_are_told_apart() {
        let mut view = sample();
        assert_eq!(
            table(&view, false, Paint::PLAIN),
            "job/x would be removed\nconfigmap/p kept: a schedule refers to it\ndry run: nothing was done\n"
        );
        view.add("default".into(), Cleaned::default());
        let text = table(&view, false, Paint::PLAIN);
        assert!(text.starts_with("kube-system/job/x would"), "{text}");
        assert!(text.contains("left in the namespace default\n"), "{text}");
        assert_eq!(view.names(), ["kube-system/job/x"]);
    }
}
