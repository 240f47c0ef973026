//! In what a manifest differs from what ran last.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::data::is_same;
use super::{Doubt, LastRan};
use crate::flags::given;
use crate::manifest::Component;

/// A manifest that is compared with what ran last.
pub(super) struct Own<'a> {
    pub(super) root: &'a Path,
    pub(super) component: &'a Component,
    pub(super) data_dir: Option<&'a Path>,
    pub(super) wal_dir: Option<&'a Path>,
}

impl Own<'_> {
    pub(super) fn differences(&self, ran: &LastRan) -> Vec<Doubt> {
        let mut found = Vec::new();
        let image = self.component.image().zip(ran.image.as_deref());
        if let Some((manifest, ran)) = image.filter(|(manifest, ran)| manifest != ran) {
            let (manifest, ran) = (manifest.to_owned(), ran.to_owned());
            found.push(Doubt::Image { manifest, ran });
        }
        if let Some((manifest, ran)) = self.data_dir.zip(ran.data_dir.as_deref())
            && !is_same(self.root, manifest, ran)
        {
            let (manifest, ran) = (manifest.to_owned(), ran.to_owned());
            found.push(Doubt::DataDir { manifest, ran });
        }
        let flags = self.component.flags().ok();
        let name = flags.as_ref().and_then(|flags| flags.get("name"));
        if let Some((manifest, ran)) = name.zip(ran.member_name.as_deref())
            && manifest != ran
        {
            let (manifest, ran) = (manifest.to_owned(), ran.to_owned());
            found.push(Doubt::Name { manifest, ran });
        }
        let wal_dirs = self.wal_dirs(ran);
        if let Some((manifest, ran)) = &wal_dirs
            && !is_same(self.root, manifest, ran)
        {
            let (manifest, ran) = (manifest.clone(), ran.clone());
            found.push(Doubt::WalDir { manifest, ran });
        }
        let forced = flags.map(|flags| flags.is_on("force-new-cluster"));
        let forced = forced.filter(|forced| *forced != ran.force_new_cluster);
        if let Some(manifest) = forced.filter(|_| !ran.flags.is_empty()) {
            found.push(Doubt::ForceNewCluster { manifest });
        }
        found.extend(differing_flags(self.component, ran, wal_dirs.is_some()));
        found
    }

    /// Where the WAL is by the manifest and where it was; none: neither gives it a place of its own, or that is not known.
    fn wal_dirs(&self, ran: &LastRan) -> Option<(PathBuf, PathBuf)> {
        let is_told = !ran.flags.contains_key("wal-dir") || ran.wal_dir.is_some();
        if !is_told || (self.wal_dir.is_none() && ran.wal_dir.is_none()) {
            return None;
        }
        let place = |wal_dir: Option<&Path>, data_dir: Option<&Path>| {
            let within = data_dir.map(|path| path.join("member/wal"));
            wal_dir.map(Path::to_owned).or(within)
        };
        let own = place(self.wal_dir, self.data_dir);
        own.zip(place(ran.wal_dir.as_deref(), ran.data_dir.as_deref()))
    }
}

/// The flags that differ, but for those that are told in other words. One with a variable that only kubelet knows may be
/// anything.
fn differing_flags(component: &Component, ran: &LastRan, wal_dir_is_told: bool) -> Vec<Doubt> {
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
    let told = |name: &str| match name {
        "name" | "data-dir" | "force-new-cluster" => true,
        "wal-dir" => wal_dir_is_told,
        _ => false,
    };
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
