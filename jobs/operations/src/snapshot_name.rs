//! The names of stored snapshots.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::text;

/// The longest name, in bytes: room for `.json.part` within the 255 that file systems take.
const LONGEST: usize = 200;

/// What names of snapshots end in; a longer one stands before what it ends in itself.
pub(crate) const ENDINGS: [&str; 3] = [".tar.zst", ".db.zst", ".db"];

/// A file's name that means the same in a folder, in a shell, in a table and on a command line: letters, digits, `.`, `_`
/// and `-`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotName(String);

/// Why a text is not a snapshot's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a snapshot's name: letters, digits, `.`, `_` and `-`, not ending in .json or .part"
)]
pub struct NameError(String);

impl SnapshotName {
    /// The snapshot of this name in a folder.
    pub fn path_in(&self, folder: &Path) -> PathBuf {
        folder.join(&self.0)
    }
}

/// What the names of a cluster's snapshots begin with: `etcd-CLUSTER`. Names in kubeconfigs may be anything, file names
/// should not.
pub fn prefix(cluster: &str) -> String {
    let cluster = safe(cluster, 60);
    if cluster.is_empty() {
        "etcd".to_owned()
    } else {
        format!("etcd-{cluster}")
    }
}

/// A text with nothing in it that means something to a shell or a file system, of at most so many characters; it may be empty.
pub(crate) fn safe(text: &str, longest: usize) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
            c
        } else {
            '-'
        }
    };
    let text: String = text.chars().map(plain).take(longest).collect();
    text.trim_matches(['.', '-']).to_owned()
}

impl FromStr for SnapshotName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let first = text.bytes().next();
        let good = first.is_some_and(|b| b.is_ascii_alphanumeric())
            && text.len() <= LONGEST
            && text.bytes().all(plain)
            // What describes one, and what is not complete.
            && ![".json", ".part"].iter().any(|end| text.ends_with(end));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(text.to_owned()))
        }
    }
}

text!(SnapshotName, NameError);

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::utc::of_time;

    #[test]
    fn names_from_outside_lead_nowhere_else() {
        for bad in [
            "",
            ".",
            "..",
            "../x.db",
            "a/b",
            "/etc/passwd",
            ".hidden",
            "-rf",
            "a b",
            "a\nb",
            "a\0",
            "ä.db",
            "x.json",
            "x.db.part",
            "$(x)",
        ] {
            assert!(bad.parse::<SnapshotName>().is_err(), "{bad:?}");
            let json = serde_json::to_string(bad).unwrap();
            assert!(
                serde_json::from_str::<SnapshotName>(&json).is_err(),
                "{bad:?}"
            );
        }
        assert!("x".repeat(201).parse::<SnapshotName>().is_err());
        for good in ["etcd-prod-2026-11-20T210000Z.db", "a", "1_2.tar.zst"] {
            assert_eq!(good.parse::<SnapshotName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn names_made_here_are_safe_and_sort_by_time() {
        let name = |cluster| of_time(&prefix(cluster), "2026-11-20T21:00:00Z".parse().unwrap());
        assert_eq!(name("prod"), "etcd-prod-2026-11-20T210000Z");
        assert_eq!(name("admin@../x y"), "etcd-admin-..-x-y-2026-11-20T210000Z");
        assert_eq!(name("../"), "etcd-2026-11-20T210000Z");
    }

    proptest! {
        #[test]
        fn names_made_here_are_names(cluster in ".{0,90}") {
            let name = of_time(&prefix(&cluster), Timestamp::UNIX_EPOCH) + ".tar.zst";
            prop_assert!(name.parse::<SnapshotName>().is_ok(), "{}", name);
        }

        #[test]
        fn whatever_is_a_name_is_one_file_in_the_folder(text in ".{0,40}") {
            if let Ok(name) = text.parse::<SnapshotName>() {
                let path = name.path_in(Path::new("/kept"));
                prop_assert_eq!(path.parent(), Some(Path::new("/kept")));
                prop_assert_eq!(path.file_name().and_then(|n| n.to_str()), Some(text.as_str()));
            }
        }
    }
}
