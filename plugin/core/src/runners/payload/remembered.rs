//! Which ConfigMaps were compared before, in a small file of the user's own: what was compared once need not be read
//! again, which is 4 MB.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::Place;
use crate::user_cache::UserCache;

/// The version of the file.
const VERSION: u32 = 1;

/// The parts of one program in one cluster.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Remembered {
    version: u32,
    /// The program's digest.
    digest: String,
    /// By `NAMESPACE/NAME`.
    parts: BTreeMap<String, Identity>,
    #[serde(skip)]
    cluster: String,
    #[serde(skip)]
    cache: UserCache,
}

/// By what an object is the same one, and unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    uid: String,
    resource_version: String,
}

impl Identity {
    fn of(meta: &ObjectMeta) -> Option<Self> {
        Some(Self {
            uid: meta.uid.clone()?,
            resource_version: meta.resource_version.clone()?,
        })
    }
}

impl Remembered {
    /// What is remembered of this program; nothing where there is no such file.
    pub(super) fn load(place: Place<'_>, digest: &str) -> Self {
        let (cache, cluster) = (place.compared.clone(), place.cluster.key());
        let known: Option<Self> = cache.load(&cluster);
        match known.filter(|known| known.version == VERSION && known.digest == digest) {
            Some(known) => Self {
                cluster,
                cache,
                ..known
            },
            None => Self {
                version: VERSION,
                digest: digest.to_owned(),
                parts: BTreeMap::new(),
                cluster,
                cache,
            },
        }
    }

    /// Whether this very object was compared.
    pub(super) fn has(&self, namespace: &str, meta: &ObjectMeta) -> bool {
        let name = meta.name.as_deref().unwrap_or_default();
        let known = self.parts.get(&format!("{namespace}/{name}"));
        known.is_some() && known == Identity::of(meta).as_ref()
    }

    /// Adds one that was compared.
    pub(super) fn add(&mut self, namespace: &str, meta: &ObjectMeta) {
        let name = meta.name.as_deref().unwrap_or_default();
        if let Some(identity) = Identity::of(meta) {
            self.parts.insert(format!("{namespace}/{name}"), identity);
        }
    }

    /// Writes the file. That this fails costs the next command a comparison, no more.
    pub(super) fn save(&self) {
        if let Err(error) = self.cache.save(&self.cluster, self) {
            tracing::debug!(%error, "which parts were compared could not be noted");
        }
    }
}
