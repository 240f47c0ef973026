//! Snapshots on a schedule: what each run does on the node it comes to.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::name;
use super::retention::Rules;
use crate::pack::{Packing, Wanted};

/// What the program ends with when a run took its snapshot and could not remove older ones: another try would take one
/// more snapshot.
pub const NOT_PRUNED: u8 = 3;

/// What a scheduled run does, whichever control-plane node it comes to. It is the same on all of them, so nothing of a
/// node stands in it: that is found there.
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
    /// Where the rest of the node's file system is found.
    pub root: PathBuf,
}

impl Routine {
    /// The name of a snapshot that is taken now, and how it is packed.
    pub(crate) fn snapshot(&self, now: Timestamp) -> (String, Packing) {
        let name = name::of_time(&self.prefix, now) + self.packing.ending();
        let packing = self.packing.on_node(&name, &self.root, true);
        (name, packing)
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
        }
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
