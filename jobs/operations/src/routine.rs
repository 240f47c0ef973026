//! Snapshots on a schedule: what each run does on the node it comes to.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::pack::{Packing, Wanted};
use crate::report::{Report, ScheduledReport};
use crate::request::{Request, Wire};
use crate::stored::retention::Rules;
use crate::target::{Target, is_loopback};
use crate::utc;

/// What the program ends with when a run took its snapshot and could not remove older ones: another try would take one
/// more snapshot.
pub const NOT_PRUNED: u8 = 3;

/// The environment variable that names the node a run has come to.
pub const NODE_VARIABLE: &str = "KUBECTL_ETCD_NODE";

/// What a scheduled run does, whichever control-plane node it comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Routine {
    /// [`crate::wire::VERSION`] of who wrote it.
    pub version: u32,
    /// The folder on the node in which the snapshots are kept, under its own path.
    pub folder: PathBuf,
    /// What their names begin with, such as `etcd-prod`.
    pub prefix: String,
    /// How they are packed.
    #[serde(default, skip_serializing_if = "Wanted::is_plain")]
    pub packing: Wanted,
    /// What is kept of those before; none: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    /// Where the rest of the node's file system is found, as far as it is needed.
    pub root: PathBuf,
    /// The etcd of each control-plane node, as whoever set the schedule found it. Empty: it is found by the manifests
    /// below `root`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub etcd: Vec<Target>,
}

impl Wire for Routine {
    type Reply = Report;
}

impl Request for Routine {
    type Wire = Self;
    type Answer = ScheduledReport;

    fn to_wire(&self) -> Self {
        self.clone()
    }

    fn answer_in(reply: Report) -> Option<ScheduledReport> {
        match reply {
            Report::Scheduled(report) => Some(report),
            _ => None,
        }
    }
}

impl Routine {
    /// The name of a snapshot that is taken now, and how it is packed.
    pub(crate) fn snapshot(&self, now: Timestamp) -> (String, Packing) {
        let name = utc::of_time(&self.prefix, now) + self.packing.ending();
        let packing = self.packing.on_node(&name, &self.root, true);
        (name, packing)
    }

    /// The etcd of the node on which this runs. One that joined after the schedule was set is taken to be laid out as the
    /// others are. None: nothing is known of any.
    pub(crate) fn target_of(&self, node: &str) -> Option<Target> {
        if let Some(known) = self.etcd.iter().find(|target| target.node == node) {
            return Some(known.clone());
        }
        let like = self.etcd.first()?;
        let on_itself = like.client_urls.iter().filter(|url| is_loopback(url));
        Some(Target {
            node: node.to_owned(),
            pod: format!("etcd-{node}"),
            member_name: node.to_owned(),
            client_urls: on_itself.cloned().collect(),
            peer_urls: Vec::new(),
            ..like.clone()
        })
    }

    /// The peer URLs of the other control-plane nodes' etcds.
    pub(crate) fn peers_of(&self, node: &str) -> Vec<String> {
        let others = self.etcd.iter().filter(|target| target.node != node);
        others.flat_map(|target| target.peer_urls.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pack::Level;

    fn routine(packing: Wanted) -> Routine {
        Routine {
            version: 1,
            folder: "/var/lib/etcd-snapshots".into(),
            prefix: "etcd-prod".into(),
            packing,
            rules: None,
            root: "/host".into(),
            etcd: Vec::new(),
        }
    }

    fn target(node: &str, address: &str) -> Target {
        Target {
            node: node.into(),
            pod: format!("etcd-{node}"),
            member_name: node.into(),
            client_urls: vec![
                "https://127.0.0.1:2379".into(),
                format!("https://{address}:2379"),
            ],
            peer_urls: vec![format!("https://{address}:2380")],
            tls: None,
            data_dir: "/var/lib/etcd".into(),
            wal_dir: None,
            quota_bytes: None,
            image: None,
        }
    }

    #[test]
    fn a_node_that_joined_later_is_laid_out_as_the_others() {
        let routine = Routine {
            etcd: vec![target("cp-1", "10.0.0.1"), target("cp-2", "10.0.0.2")],
            ..routine(Wanted::Plain)
        };
        assert_eq!(routine.target_of("cp-2"), Some(target("cp-2", "10.0.0.2")));
        assert_eq!(routine.peers_of("cp-2"), ["https://10.0.0.1:2380"]);
        let new = routine.target_of("cp-3").unwrap();
        assert_eq!(new.client_urls, ["https://127.0.0.1:2379"]);
        assert_eq!((&*new.pod, new.peer_urls.len()), ("etcd-cp-3", 0));
        assert_eq!(routine.peers_of("cp-3").len(), 2);
    }

    #[test]
    fn each_packing_has_its_ending() {
        let now = "2026-11-20T21:00:00Z".parse().unwrap();
        let level = Level::default();
        let name = |packing| routine(packing).snapshot(now).0;
        assert_eq!(name(Wanted::Plain), "etcd-prod-2026-11-20T210000Z.db");
        assert_eq!(
            name(Wanted::Zstd { level }),
            "etcd-prod-2026-11-20T210000Z.db.zst"
        );
        let bundle = Wanted::Bundle { level, pki: true };
        let (name, packing) = routine(bundle).snapshot(now);
        assert_eq!(name, "etcd-prod-2026-11-20T210000Z.tar.zst");
        let Packing::Bundle { parts, whole } = packing else {
            panic!("{packing:?}")
        };
        assert!(whole && parts.pki);
        assert_eq!(parts.top, "etcd-prod-2026-11-20T210000Z");
    }

    #[test]
    fn a_routine_of_the_first_version_is_read() {
        let text =
            r#"{"version":1,"folder":"/b","prefix":"etcd","rules":{"last":7},"root":"/host"}"#;
        let read: Routine = serde_json::from_str(text).unwrap();
        assert_eq!(read.rules.map(|rules| rules.last), Some(7));
        assert!(read.packing.is_plain());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(prefix in "[a-z-]{1,20}", level in 1i32..=19, pki: bool, last: u32) {
            let level = Level::try_from(level).unwrap();
            for packing in [Wanted::Plain, Wanted::Zstd { level }, Wanted::Bundle { level, pki }] {
                let written = Routine {
                    prefix: prefix.clone(),
                    rules: Some(Rules { last, ..Rules::default() }),
                    ..routine(packing)
                };
                let text = serde_json::to_string(&written).unwrap();
                prop_assert_eq!(serde_json::from_str::<Routine>(&text).unwrap(), written);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,100}") {
            let _ = serde_json::from_str::<Routine>(&text);
        }
    }
}
