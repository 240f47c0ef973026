//! How static pod manifests are shown.

use std::path::Path;

use etcd_operations::manifest::{
    Component as OfManifest, Effect, Kept, ManifestFile, PodId, Stray as Found, Variable, Why,
};
use etcd_operations::shell::CommandLine;
use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Grid, Paint, Tone, clean, field, maybe, painted};
use crate::views::{API_VERSION, View};

/// The static pods of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Manifests {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `Manifests`.
    pub kind: &'static str,
    /// The folder that kubelet runs the pods of.
    pub folder: String,
    /// The folder to which manifests are moved aside.
    pub aside: String,
    /// The components, in the order of their files; those that were taken out come last.
    pub components: Vec<Component>,
    /// Files in the folder that kubelet reads too and that do no good.
    pub strays: Vec<Stray>,
    /// Whether there is an apiserver and no manifest of the etcd of this host that it uses, nor one to be brought back.
    pub etcd_missing: bool,
    /// Pods in the folder that run an etcd which is not the one that the apiserver uses: they are left alone.
    pub other_etcds: Vec<OtherEtcd>,
    /// Manifests in the folder that give a key twice, each in a sentence.
    pub keys_twice: Vec<String>,
    /// What a run of this program left there that was ended while it wrote. kubelet does not read it.
    pub unfinished: Vec<String>,
    /// Whether one was asked for: then its flags are shown.
    #[serde(skip)]
    pub one: bool,
}

/// A component of the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// Its name, which is the container's.
    pub component: String,
    /// Its pod, as the manifest names it: kubelet puts `-` and the node's name behind it.
    pub pod: String,
    /// Its manifest; absent when it was taken out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Its flags in their order, and behind them those that its environment gives; absent when they cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<Vec<Flag>>,
    /// Why its flags cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags_unreadable: Option<String>,
    /// What was moved aside of its manifest, the newest first.
    pub kept: Vec<KeptManifest>,
}

/// A flag as the manifest has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Flag {
    /// Its name without dashes.
    pub name: String,
    /// Its value; `true` for a bare one.
    pub value: String,
    /// Where it is given.
    pub source: FlagSource,
    /// The variable that gives it, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
}

/// Where a flag is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FlagSource {
    /// On the command line.
    CommandLine,
    /// By a variable of the environment.
    Environment,
    /// By a variable that etcd ignores: it knows no such flag.
    IgnoredEnvironment,
    /// By a variable, and on the command line as well: etcd does not start so.
    ConflictingEnvironment,
}

impl Flag {
    fn of_variable(variable: Variable) -> Self {
        Self {
            name: variable.flag,
            value: variable.value,
            source: match variable.effect {
                Effect::Sets => FlagSource::Environment,
                Effect::Ignored => FlagSource::IgnoredEnvironment,
                Effect::Conflicts => FlagSource::ConflictingEnvironment,
            },
            variable: Some(variable.name),
        }
    }

    /// Where it is given, in words.
    fn source(&self) -> String {
        let variable = self.variable.as_deref().unwrap_or_default();
        match self.source {
            FlagSource::CommandLine => "flag".to_owned(),
            FlagSource::Environment => format!("environment: {variable}"),
            FlagSource::IgnoredEnvironment => {
                format!("environment: {variable}, which etcd does not know and ignores")
            }
            FlagSource::ConflictingEnvironment => {
                format!("environment: {variable}, beside the flag: etcd does not start")
            }
        }
    }
}

/// A manifest that was moved aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeptManifest {
    /// Where it is.
    pub path: String,
    /// Why it is there.
    pub why: KeptWhy,
    /// When it was put there (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// Why a manifest was moved aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeptWhy {
    /// It is what was there before a change.
    BeforeChange,
    /// It was taken out, so that its pod stops.
    Stopped,
    /// It was put in, and taken out again when that was undone.
    Undone,
    /// It was taken out, and was brought back since.
    Returned,
}

/// A pod that runs another etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OtherEtcd {
    /// Its manifest.
    pub path: String,
    /// The pod's name, as the manifest has it.
    pub pod: String,
}

impl OtherEtcd {
    /// As it was found.
    pub fn new(file: &ManifestFile) -> Self {
        Self {
            path: file.path.display().to_string(),
            pod: file.manifest.pod().name,
        }
    }
}

/// A file in the folder that does no good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stray {
    /// Which.
    pub path: String,
    /// What about it.
    pub problem: String,
}

impl Manifests {
    /// Of a folder in which nothing was found yet.
    pub fn new(folder: &Path, aside: &Path) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "Manifests",
            folder: folder.display().to_string(),
            aside: aside.display().to_string(),
            components: Vec::new(),
            strays: Vec::new(),
            etcd_missing: false,
            other_etcds: Vec::new(),
            keys_twice: Vec::new(),
            unfinished: Vec::new(),
            one: false,
        }
    }
}

impl Component {
    /// A container of a manifest's pod.
    pub fn new(
        pod: &PodId,
        component: &OfManifest,
        file: Option<&ManifestFile>,
        kept: &[KeptManifest],
    ) -> Self {
        let (flags, flags_unreadable) = match component.given() {
            Ok(given) => {
                let flag = |one: etcd_operations::flags::GivenFlag| Flag {
                    name: one.name,
                    value: one.value,
                    source: FlagSource::CommandLine,
                    variable: None,
                };
                let given = given.into_iter().map(flag);
                let variables = component.variables().into_iter();
                let flags = given.chain(variables.map(Flag::of_variable));
                (Some(flags.collect()), None)
            }
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            component: component.name().to_owned(),
            pod: pod.to_string(),
            file: file.map(|file| file.path.display().to_string()),
            image: component.image().map(str::to_owned),
            flags,
            flags_unreadable,
            kept: kept.to_vec(),
        }
    }
}

impl KeptManifest {
    /// As it was found.
    pub fn new(kept: &Kept) -> Self {
        Self {
            path: kept.path.display().to_string(),
            why: match kept.why {
                Why::Changed => KeptWhy::BeforeChange,
                Why::Stopped => KeptWhy::Stopped,
                Why::Undone => KeptWhy::Undone,
                Why::Returned => KeptWhy::Returned,
            },
            at: kept.at().map(|at| at.to_string()),
        }
    }
}

impl Stray {
    /// As it was found.
    pub fn new(stray: &Found) -> Self {
        Self {
            path: stray.path.display().to_string(),
            problem: stray.problem.to_string(),
        }
    }
}

impl View for Manifests {
    fn table(&self, wide: bool, paint: Paint) -> String {
        let mut text = match self.one {
            true => String::new(),
            false => self.list(wide, paint),
        };
        if self.one {
            for component in &self.components {
                text.push_str(&component.whole(paint));
            }
        }
        for stray in &self.strays {
            let word = painted("stray", Tone::Bad, paint);
            let (path, problem) = (clean(&stray.path), clean(&stray.problem));
            text.push_str(&format!("{word}: {path}: {problem}\n"));
        }
        if self.etcd_missing {
            let word = painted("missing", Tone::Bad, paint);
            text.push_str(&format!(
                "{word}: no manifest of the etcd that the apiserver uses; kubectl etcd doctor says what there is\n"
            ));
        }
        for other in &self.other_etcds {
            let (path, pod) = (&other.path, &other.pod);
            let flag = CommandLine::flags().option("--etcd", pod);
            let note =
                format!("{path} runs another etcd ({pod}): it is left alone; {flag} works on it");
            text.push_str(&format!("note: {}\n", clean(&note)));
        }
        for keys in &self.keys_twice {
            text.push_str(&format!("note: {}\n", clean(keys)));
        }
        for path in &self.unfinished {
            let path = clean(path);
            text.push_str(&format!(
                "note: {path} was left by a run that was ended while it wrote; kubelet does not read it\n"
            ));
        }
        text
    }
}

impl Manifests {
    fn list(&self, wide: bool, paint: Paint) -> String {
        let mut grid = Grid::new("COMPONENT|FILE|IMAGE|>ARCHIVED").and(wide, "LAST ARCHIVED|POD");
        for one in &self.components {
            let file = one.file.as_deref().map(file_name);
            let out = || field("taken out").tone(Tone::Bad);
            let mut row = vec![
                field(&one.component),
                file.map_or_else(out, field),
                maybe(one.image.as_deref()),
                field(one.kept.len().to_string()),
            ];
            if wide {
                row.push(maybe(one.kept.first().map(|kept| file_name(&kept.path))));
                row.push(field(&one.pod));
            }
            grid.row(row);
        }
        grid.draw(paint)
    }
}

impl Component {
    /// All there is to know of it.
    fn whole(&self, paint: Paint) -> String {
        let file = match (&self.file, self.kept.first()) {
            (Some(file), _) => clean(file),
            (None, Some(kept)) => {
                let out = painted("taken out", Tone::Bad, paint);
                let since = kept.at.as_deref().unwrap_or("-");
                format!("{out} on {since}, archived as {}", clean(&kept.path))
            }
            (None, None) => painted("taken out", Tone::Bad, paint),
        };
        let image = self.image.as_deref().map_or_else(|| "-".to_owned(), clean);
        let pod = clean(&self.pod);
        let mut text = format!("file   {file}\nimage  {image}\npod    {pod}\n");
        if let Some(why) = &self.flags_unreadable {
            text.push_str(&format!("flags  not known: {}\n", clean(why)));
        }
        if let Some(flags) = &self.flags {
            text.push_str(&format!("\n{}", settings(flags).draw(paint)));
        }
        if !self.kept.is_empty() {
            let mut grid = Grid::new("ARCHIVED|SINCE|WHY");
            for kept in &self.kept {
                let why = match kept.why {
                    KeptWhy::BeforeChange => "as it was before a change",
                    KeptWhy::Stopped => "taken out to stop the pod",
                    KeptWhy::Undone => "put in, and taken out again when that was undone",
                    KeptWhy::Returned => "taken out, and brought back since",
                };
                grid.row(vec![
                    field(file_name(&kept.path)),
                    maybe(kept.at.as_deref()),
                    field(why),
                ]);
            }
            text.push_str(&format!("\n{}", grid.draw(paint)));
        }
        text
    }
}

/// The flags and their values; where each is given only if there are several places.
fn settings(flags: &[Flag]) -> Grid {
    let in_environment = flags.iter().any(|flag| flag.variable.is_some());
    let mut grid = Grid::new("FLAG|VALUE").and(in_environment, "GIVEN BY");
    for flag in flags {
        let mut row = vec![field(&flag.name), field(&flag.value)];
        if in_environment {
            row.push(field(flag.source()));
        }
        grid.row(row);
    }
    grid
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use etcd_operations::manifest::Manifest;

    use super::*;

    #[test]
    fn settings_of_the_environment_are_shown_with_their_source() {
        let text = "kind: Pod\nmetadata: {name: etcd}\nspec: {containers: [{name: etcd, image: e, command: [etcd, --name=a], \
                    env: [{name: ETCD_DATA_DIR, value: /d}, {name: ETCD_NAME, value: b}]}]}\n";
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let component = manifest.component("etcd").unwrap();
        let shown = Component::new(&manifest.pod(), &component, None, &[]);
        let sources = shown.flags.as_ref().unwrap().iter().map(|one| one.source);
        assert_eq!(
            sources.collect::<Vec<_>>(),
            [
                FlagSource::CommandLine,
                FlagSource::Environment,
                FlagSource::ConflictingEnvironment
            ]
        );
        let table = shown.whole(Paint::PLAIN);
        assert!(table.contains("environment: ETCD_DATA_DIR"), "{table}");
        assert!(
            table.contains("ETCD_NAME, beside the flag: etcd does not start"),
            "{table}"
        );
        let plain = text.replace("ETCD_", "X_");
        let manifest = Manifest::parse(plain.as_bytes()).unwrap();
        let component = manifest.component("etcd").unwrap();
        let shown = Component::new(&manifest.pod(), &component, None, &[]);
        assert!(!shown.whole(Paint::PLAIN).contains("GIVEN BY"));
    }
}
