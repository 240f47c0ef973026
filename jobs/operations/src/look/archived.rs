//! Manifests that would be brought back, and what speaks against it: what ran last, and which data there is.
//!
//! A copy that was taken out may be older than what ran last: somebody brought another one back by hand, changed it, and
//! moved it away. Then it has old flags, and perhaps an old cluster's data.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ControlPlane;
use crate::flags::{Flags, given};
use crate::manifest::{Component, Kept, ManifestFile, PodId};
use crate::root;
use crate::runtime::Launch;

/// How long after a copy was taken out a container of the old manifest may still be made: until kubelet has let go of it.
const GONE: Duration = Duration::from_secs(180);

/// How much newer other data has to be to be told: files of one write differ by less.
const NEWER: Duration = Duration::from_secs(60);

/// A manifest that is not in the static pods' folder and would be brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchivedManifest {
    /// The component of the control plane that it runs, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ControlPlane>,
    /// The pod, as the manifest names it.
    pub pod: PodId,
    /// Where it is.
    pub path: PathBuf,
    /// Whether somebody has named it; else it is the last that was taken out.
    pub named: bool,
    /// When it was taken out; none: not by this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The data directory on the host that an etcd would have by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// What ran last, as far as the runtime knows that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ran: Option<LastRan>,
    /// In what it differs from what ran last, and what else speaks against it.
    pub doubts: Vec<Doubt>,
}

/// A folder with data of an etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataFolder {
    /// The data directory on the host.
    pub path: PathBuf,
    /// When an etcd last wrote to it.
    pub modified: Timestamp,
}

impl fmt::Display for DataFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "data of an etcd is in {}, last written {}",
            self.path.display(),
            day(self.modified)
        )
    }
}

/// What the last container of a component was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LastRan {
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Its image, as its manifest named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Its flags; of one that was given several times the last.
    pub flags: BTreeMap<String, String>,
    /// The member's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_name: Option<String>,
    /// The data directory on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
}

/// Something that speaks against bringing a manifest back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "doubt",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Doubt {
    /// The pod had a container after this manifest was taken out: by a later one.
    RanLater {
        /// When it was made.
        at: Timestamp,
    },
    /// What ran last had another image.
    Image {
        /// The manifest's.
        manifest: String,
        /// What ran.
        ran: String,
    },
    /// What ran last had its data elsewhere.
    DataDir {
        /// The manifest's.
        manifest: PathBuf,
        /// What ran.
        ran: PathBuf,
    },
    /// What ran last was another member.
    Name {
        /// The manifest's.
        manifest: String,
        /// What ran.
        ran: String,
    },
    /// There is newer data of an etcd in another folder.
    NewerData {
        /// Which.
        path: PathBuf,
        /// When it was last written to.
        at: Timestamp,
    },
    /// A flag that was given another value, or was not given.
    Flag {
        /// Which, without dashes.
        name: String,
        /// The manifest's value; none: it is not in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        manifest: Option<String>,
        /// What ran; none: it was not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ran: Option<String>,
    },
    /// One this version does not know.
    #[serde(other)]
    Unknown,
}

impl Doubt {
    /// Whether it has to be agreed to by naming the manifest. A flag is shown, and is the administrator's to judge.
    pub fn bars(&self) -> bool {
        !matches!(self, Self::Flag { .. })
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: &Option<String>| match value {
            Some(value) => value.clone(),
            None => "not given".to_owned(),
        };
        match self {
            Self::RanLater { at } => write!(
                f,
                "a container was made later, {}, so another manifest ran since",
                day(*at)
            ),
            Self::Image { manifest, ran } => {
                write!(f, "image {manifest}, and what ran last had {ran}")
            }
            Self::DataDir { manifest, ran } => write!(
                f,
                "data directory {}, and what ran last had {}",
                manifest.display(),
                ran.display()
            ),
            Self::Name { manifest, ran } => {
                write!(f, "member {manifest}, and what ran last was {ran}")
            }
            Self::NewerData { path, at } => write!(
                f,
                "newer data of an etcd is in {}, last written {}",
                path.display(),
                day(*at)
            ),
            Self::Flag {
                name,
                manifest,
                ran,
            } => write!(
                f,
                "--{name}: {}, and what ran last: {}",
                value(manifest),
                value(ran)
            ),
            Self::Unknown => f.write_str("something that this version does not know"),
        }
    }
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl ArchivedManifest {
    /// What would be brought back, before anything else is known of it.
    pub(super) fn new(
        component: Option<ControlPlane>,
        file: &ManifestFile,
        kept: Option<&Kept>,
        data_dir: Option<PathBuf>,
    ) -> Self {
        Self {
            component,
            pod: file.manifest.pod(),
            path: file.path.clone(),
            named: kept.is_none(),
            at: kept.and_then(Kept::at),
            data_dir,
            last_ran: None,
            doubts: Vec::new(),
        }
    }

    /// The doubts that have to be agreed to.
    pub fn bars(&self) -> impl Iterator<Item = &Doubt> {
        self.doubts.iter().filter(|doubt| doubt.bars())
    }

    /// Since when it is archived, in words that follow its path.
    pub fn since(&self) -> String {
        self.at
            .map_or_else(String::new, |at| format!(" of {}", day(at)))
    }

    /// Compares it with what ran last.
    pub(super) fn compare(&mut self, component: &Component, ran: LastRan) {
        let later = ran.created_at.zip(self.at).filter(|(created, at)| {
            created.duration_since(*at).unsigned_abs() > GONE && created > at
        });
        self.doubts
            .extend(later.map(|(at, _)| Doubt::RanLater { at }));
        self.doubts
            .extend(differences(component, self.data_dir.as_ref(), &ran));
        self.last_ran = Some(ran);
    }

    /// Compares its data with that in other folders, those of other etcds aside.
    pub(super) fn look_for_newer_data(&mut self, root: &Path, others: &[PathBuf]) {
        let Some(own) = self.data_dir.clone() else {
            return;
        };
        let written = last_written(root, &own);
        let newer = |at: &Timestamp| {
            written.is_none_or(|own| *at > own && at.duration_since(own).unsigned_abs() > NEWER)
        };
        let found = siblings(root, &own)
            .into_iter()
            .filter(|path| !others.contains(path));
        let found = found.filter_map(|path| Some((last_written(root, &path)?, path)));
        let newest = found.filter(|(at, _)| newer(at)).max();
        self.doubts
            .extend(newest.map(|(at, path)| Doubt::NewerData { path, at }));
    }
}

impl LastRan {
    /// What a container was started with.
    pub(super) fn new(
        component: ControlPlane,
        created_at: Option<Timestamp>,
        image: Option<String>,
        launch: &Launch,
    ) -> Self {
        let mut flags = BTreeMap::new();
        for flag in given(&launch.words).unwrap_or_default() {
            flags.insert(flag.name, flag.value);
        }
        let mut found = Self {
            created_at,
            image,
            flags,
            ..Self::default()
        };
        let meant = Flags::parse(&launch.words, &[], &launch.env).ok();
        if let (ControlPlane::Etcd, Some(meant)) = (component, meant) {
            found.member_name = meant.get("name").map(str::to_owned);
            let inside = meant.get("data-dir").map(Path::new);
            found.data_dir = inside.and_then(|inside| on_host(inside, launch));
        }
        found
    }
}

/// Where a path inside a container lies on the host.
fn on_host(inside: &Path, launch: &Launch) -> Option<PathBuf> {
    let mounts = launch.mounts.iter();
    let leading = mounts.filter(|(at, _)| inside.starts_with(at));
    let (at, source) = leading.max_by_key(|(at, _)| at.components().count())?;
    let below = inside.strip_prefix(at).ok()?;
    Some(match below.as_os_str().is_empty() {
        true => source.clone(),
        false => source.join(below),
    })
}

fn differences(component: &Component, data_dir: Option<&PathBuf>, ran: &LastRan) -> Vec<Doubt> {
    let mut found = Vec::new();
    let image = component.image().zip(ran.image.as_deref());
    if let Some((manifest, ran)) = image.filter(|(manifest, ran)| manifest != ran) {
        let (manifest, ran) = (manifest.to_owned(), ran.to_owned());
        found.push(Doubt::Image { manifest, ran });
    }
    if let Some((manifest, ran)) = data_dir.zip(ran.data_dir.as_ref())
        && manifest != ran
    {
        let (manifest, ran) = (manifest.clone(), ran.clone());
        found.push(Doubt::DataDir { manifest, ran });
    }
    let flags = component.flags().ok();
    let name = flags.as_ref().and_then(|flags| flags.get("name"));
    if let Some((manifest, ran)) = name.zip(ran.member_name.as_deref())
        && manifest != ran
    {
        let (manifest, ran) = (manifest.to_owned(), ran.to_owned());
        found.push(Doubt::Name { manifest, ran });
    }
    found.extend(differing_flags(component, ran));
    found
}

/// The flags that differ, but for those that are told in other words. One with a variable that only kubelet knows may be
/// anything.
fn differing_flags(component: &Component, ran: &LastRan) -> Vec<Doubt> {
    if ran.flags.is_empty() {
        return Vec::new();
    }
    let mut manifest = BTreeMap::new();
    for flag in given(&component.words_expanded()).unwrap_or_default() {
        manifest.insert(flag.name, flag.value);
    }
    let mut names: Vec<&String> = manifest.keys().chain(ran.flags.keys()).collect();
    names.sort();
    names.dedup();
    let told = |name: &str| matches!(name, "name" | "data-dir");
    let differs = |name: &&String| {
        let (one, other) = (manifest.get(*name), ran.flags.get(*name));
        one != other && !told(name) && !one.is_some_and(|value| value.contains("$("))
    };
    let doubt = |name: &String| Doubt::Flag {
        name: name.clone(),
        manifest: manifest.get(name).cloned(),
        ran: ran.flags.get(name).cloned(),
    };
    names.into_iter().filter(differs).map(doubt).collect()
}

/// Where kubeadm has etcd's data.
const DEFAULT_DATA: &str = "/var/lib/etcd";

/// So many folders with data are told.
const MOST_FOLDERS: usize = 5;

/// The data of etcds where kubeadm has it and beside that, those of other etcds aside; the newest first.
pub(super) fn data_folders(root: &Path, others: &[PathBuf]) -> Vec<DataFolder> {
    let usual = PathBuf::from(DEFAULT_DATA);
    let beside = siblings(root, &usual).into_iter();
    let folders = std::iter::once(usual).chain(beside);
    let mut found: Vec<DataFolder> = folders
        .filter(|path| !others.contains(path))
        .filter_map(|path| {
            Some(DataFolder {
                modified: last_written(root, &path)?,
                path,
            })
        })
        .collect();
    found.sort_by(|one, other| {
        let order = other.modified.cmp(&one.modified);
        order.then_with(|| one.path.cmp(&other.path))
    });
    found.truncate(MOST_FOLDERS);
    found
}

/// When an etcd last wrote to a data directory: to its database or its log.
fn last_written(root: &Path, data_dir: &Path) -> Option<Timestamp> {
    let member = root::below(root, data_dir).ok()?.join("member");
    let database = member.join("snap/db");
    database.metadata().ok()?;
    let log = std::fs::read_dir(member.join("wal")).into_iter().flatten();
    let log = log.flatten().map(|entry| entry.path());
    let times = log
        .chain([database])
        .filter_map(|path| path.metadata().ok()?.modified().ok());
    times
        .filter_map(|time| Timestamp::try_from(time).ok())
        .max()
}

/// Other folders beside a data directory. What a plan of this program put there is not meant.
fn siblings(root: &Path, data_dir: &Path) -> Vec<PathBuf> {
    let (Some(above), Some(name)) = (data_dir.parent(), data_dir.file_name()) else {
        return Vec::new();
    };
    let of_plan = |file: &str| {
        let plans = ["restore", "recover", "replace"];
        let name = name.to_string_lossy();
        plans.iter().any(|plan| {
            let with_time = format!("{name}-{plan}-");
            file.trim_start_matches('.').starts_with(&with_time)
        })
    };
    let entries = root::below(root, above).and_then(std::fs::read_dir);
    let entries = entries.into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|file| *file.as_str() != *name && !of_plan(file))
        .map(|file| above.join(file))
        .collect()
}
