//! Where the control-plane nodes were when the cluster last answered: one small file for each cluster, for its user alone.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::connection::ClusterIdentity;
use crate::discovery::Node;
use crate::user_cache::UserCache;

/// The version of the file.
const VERSION: u32 = 1;

/// What is remembered of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Remembered {
    version: u32,
    /// For people who look into it.
    server: String,
    saved_at: Timestamp,
    /// Node and addresses: anybody's text until they are taken for host names.
    pub(super) nodes: BTreeMap<String, Vec<String>>,
}

impl Remembered {
    pub(super) fn new(server: &str, nodes: BTreeMap<String, Vec<String>>) -> Self {
        Self {
            version: VERSION,
            server: server.to_owned(),
            saved_at: Timestamp::now(),
            nodes,
        }
    }

    /// When that was, for people.
    pub(super) fn when(&self) -> String {
        self.saved_at.strftime("%Y-%m-%d %H:%M UTC").to_string()
    }
}

/// Remembers the control-plane nodes. That this fails is no trouble of the command that runs.
pub(crate) fn remember(cluster: &ClusterIdentity, nodes: &[Node]) {
    let nodes: BTreeMap<String, Vec<String>> = nodes
        .iter()
        .filter(|node| !node.api.addresses.is_empty())
        .map(|node| (node.name.clone(), node.api.addresses.clone()))
        .collect();
    if nodes.is_empty() {
        return;
    }
    let known = Remembered::new(&cluster.server, nodes);
    if let Err(error) = cache().save(&cluster.key(), &known) {
        tracing::debug!(%error, "where the control-plane nodes are could not be noted");
    }
}

/// What is remembered of a cluster, if anything.
pub(super) fn recall(cluster: &ClusterIdentity) -> Option<Remembered> {
    load(&cache(), cluster)
}

fn cache() -> UserCache {
    UserCache::new("masters")
}

fn load(cache: &UserCache, cluster: &ClusterIdentity) -> Option<Remembered> {
    let known: Remembered = cache.load(&cluster.key())?;
    // Who writes there could send us anywhere; ssh checks who answers, and gets nothing but host names of it.
    (known.version == VERSION && !known.nodes.is_empty()).then_some(known)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cluster(server: &str, ca: &[u8]) -> ClusterIdentity {
        ClusterIdentity {
            server: server.into(),
            ca: vec![ca.to_vec()],
        }
    }

    #[test]
    fn what_is_remembered_is_of_this_cluster() {
        let folder = tempfile::tempdir().unwrap();
        let place = UserCache::at(folder.path().join("a/masters"));
        let own = cluster("https://10.0.0.9:6443", b"ca");
        let nodes = BTreeMap::from([("m1".to_owned(), vec!["10.0.0.1".to_owned()])]);
        let known = Remembered::new(&own.server, nodes);
        assert_eq!(load(&place, &own), None);
        place.save(&own.key(), &known).unwrap();
        place.save(&own.key(), &known).unwrap();
        assert_eq!(load(&place, &own), Some(known));
        for other in [
            cluster("https://10.0.0.9:6443", b"another"),
            cluster("https://10.0.0.8:6443", b"ca"),
        ] {
            assert_eq!(load(&place, &other), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn a_file_of_anything_is_none(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let folder = tempfile::tempdir().unwrap();
            let own = cluster("https://10.0.0.9:6443", b"ca");
            std::fs::write(folder.path().join(own.key() + ".json"), text).unwrap();
            let cache = UserCache::at(folder.path().to_owned());
            prop_assert_eq!(load(&cache, &own), None);
        }
    }
}
