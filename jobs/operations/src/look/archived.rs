//! Manifests that would be brought back, and what speaks against it: what ran last, and which data there is.
//!
//! A copy that was taken out may be older than what ran last: somebody brought another one back by hand, changed it, and
//! moved it away. Then it has old flags, and perhaps an old cluster's data.

mod data;
mod differences;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::control_plane::ControlPlane;
use crate::flags::{Flags, given};
use crate::manifest::{Component, Kept, ManifestFile, PodId};
use crate::runtime::Launch;
use crate::utc::to_the_second;

pub(super) use data::data_folders;
use data::{MOST_FOLDERS, held_in, is_ahead, is_among, last_written, siblings};
use differences::Own;

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
            to_the_second(self.modified)
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
    /// The directory of its WAL on the host, where it was given one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wal_dir: Option<PathBuf>,
    /// Whether it was told to form a new cluster of itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force_new_cluster: bool,
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
    /// What ran last had its WAL elsewhere.
    WalDir {
        /// The manifest's.
        manifest: PathBuf,
        /// What ran.
        ran: PathBuf,
    },
    /// One of the two forms a new cluster of itself.
    ForceNewCluster {
        /// Whether the manifest does; else what ran last did.
        manifest: bool,
    },
    /// The data directory was written to after this manifest was taken out.
    WrittenLater {
        /// Which.
        path: PathBuf,
        /// When.
        at: Timestamp,
    },
    /// Another folder has data of the same member that goes further.
    DataAhead {
        /// Which.
        path: PathBuf,
        /// When it was last written to.
        at: Timestamp,
    },
    /// There is data of an etcd in another folder whose files are newer. It may be a copy, or another member's.
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
    /// Whether it has to be agreed to by naming the manifest. A flag is shown, and so is data of which only the dates speak:
    /// they are the administrator's to judge.
    pub fn bars(&self) -> bool {
        !matches!(self, Self::Flag { .. } | Self::NewerData { .. })
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const RAN: &str = "and what ran last";
        let value = |value: &Option<String>| value.clone().unwrap_or("not given".to_owned());
        let shown = |path: &Path| path.display().to_string();
        let text = match self {
            Self::RanLater { at } => {
                let at = to_the_second(*at);
                format!("a container was made later, {at}, so another manifest ran since")
            }
            Self::Image { manifest, ran } => format!("image {manifest}, {RAN} had {ran}"),
            Self::DataDir { manifest, ran } => {
                let (manifest, ran) = (shown(manifest), shown(ran));
                format!("data directory {manifest}, {RAN} had {ran}")
            }
            Self::Name { manifest, ran } => format!("member {manifest}, {RAN} was {ran}"),
            Self::WalDir { manifest, ran } => {
                let (manifest, ran) = (shown(manifest), shown(ran));
                format!("WAL directory {manifest}, {RAN} had {ran}")
            }
            Self::ForceNewCluster { manifest: true } => {
                format!("--force-new-cluster is given, {RAN} had it not")
            }
            Self::ForceNewCluster { manifest: false } => {
                format!("--force-new-cluster is not given, {RAN} had it")
            }
            Self::WrittenLater { path, at } => {
                let (path, at) = (shown(path), to_the_second(*at));
                format!(
                    "{path} was written to later, {at}, so another manifest ran since, or data was restored"
                )
            }
            Self::DataAhead { path, at } => {
                let (path, at) = (shown(path), to_the_second(*at));
                format!("data of the same member that goes further is in {path}, last written {at}")
            }
            Self::NewerData { path, at } => {
                let (path, at) = (shown(path), to_the_second(*at));
                format!("newer data of an etcd is in {path}, last written {at}")
            }
            Self::Flag {
                name,
                manifest,
                ran,
            } => format!("--{name}: {}, {RAN}: {}", value(manifest), value(ran)),
            Self::Unknown => "something that this version does not know".to_owned(),
        };
        f.write_str(&text)
    }
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
            .map_or_else(String::new, |at| format!(" of {}", to_the_second(at)))
    }

    /// Compares it with what ran last. `wal_dir` is the directory on the host that the manifest gives the WAL.
    pub(super) fn compare(
        &mut self,
        root: &Path,
        component: &Component,
        wal_dir: Option<&Path>,
        ran: LastRan,
    ) {
        let made = ran.created_at.zip(self.at);
        let later = made.filter(|(created, at)| is_later(*created, *at, GONE));
        self.doubts
            .extend(later.map(|(at, _)| Doubt::RanLater { at }));
        let own = Own {
            root,
            component,
            data_dir: self.data_dir.as_deref(),
            wal_dir,
        };
        self.doubts.extend(own.differences(&ran));
        self.last_ran = Some(ran);
    }

    /// Compares the time at which it was taken out with that of its data: what wrote later was started by something else.
    pub(super) fn look_for_later_writes(&mut self, root: &Path) {
        let written = self.data_dir.clone().and_then(|path| {
            let at = last_written(root, &path)?;
            Some(Doubt::WrittenLater { path, at })
        });
        let later = |doubt: &Doubt| match (doubt, self.at) {
            (Doubt::WrittenLater { at, .. }, Some(out)) => is_later(*at, out, GONE),
            _ => false,
        };
        let later = written.filter(later);
        self.doubts.extend(later);
    }

    /// Compares its data with that in other folders, those of other etcds aside. Only content tells that it goes further: a
    /// copy is as old as the hour in which somebody made it.
    pub(super) fn look_for_newer_data(
        &mut self,
        root: &Path,
        wal_dir: Option<&Path>,
        others: &[PathBuf],
    ) {
        let Some(own) = self.data_dir.clone() else {
            return;
        };
        let written = last_written(root, &own);
        let newer = |at: Timestamp| written.is_none_or(|own| is_later(at, own, NEWER));
        let mut found: Vec<(Timestamp, PathBuf)> = siblings(root, &own)
            .into_iter()
            .filter(|path| !is_among(root, path, others))
            .filter_map(|path| Some((last_written(root, &path)?, path)))
            .filter(|(at, _)| newer(*at))
            .collect();
        found.sort();
        found.reverse();
        found.truncate(MOST_FOLDERS);
        let Some((newest, at_newest)) = found.first().map(|(at, path)| (path.clone(), *at)) else {
            return;
        };
        let held = held_in(root, &own, wal_dir);
        let ahead = found
            .into_iter()
            .find(|(_, path)| is_ahead(held, held_in(root, path, None)));
        self.doubts.push(match ahead {
            Some((at, path)) => Doubt::DataAhead { path, at },
            None => Doubt::NewerData {
                path: newest,
                at: at_newest,
            },
        });
    }
}

/// Whether one time is later than another by more than this.
fn is_later(one: Timestamp, other: Timestamp, than: Duration) -> bool {
    one > other && one.duration_since(other).unsigned_abs() > than
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
            let path = |flag: &str| {
                let inside = meant.get(flag).filter(|path| !path.is_empty());
                inside.and_then(|inside| on_host(Path::new(inside), launch))
            };
            found.data_dir = path("data-dir");
            found.wal_dir = path("wal-dir");
            found.force_new_cluster = meant.is_on("force-new-cluster");
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
