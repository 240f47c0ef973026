//! What stands beside a snapshot, in `NAME.json`: what it is, and when it was last found whole.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::disk::files::{self, Replace};
use crate::failure::Failure;
use crate::limits::DESCRIPTION_BYTES;
use crate::report::{API_VERSION, Contents, SnapshotReport};

/// `kind` of a description.
const KIND: &str = "SnapshotDescription";

/// What a snapshot is. It is written only after the snapshot was read to the last byte and found whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    api_version: String,
    kind: String,
    /// What it was when it was taken; `path` is where it lay then.
    #[serde(flatten)]
    pub snapshot: SnapshotReport,
    /// The last time all of it was read again; none: it was only read while it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<Check>,
    /// What is in it, when it is a bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Contents>,
}

/// A time at which all of a snapshot was read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// When.
    pub at: Timestamp,
    /// What is wrong with it; none: it is what etcd sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

impl Description {
    /// Of a snapshot that was found whole while it was taken, and now lies at this path.
    pub fn new(snapshot: &SnapshotReport, path: &Path) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            snapshot: SnapshotReport {
                path: path.to_owned(),
                ..snapshot.clone()
            },
            checked: None,
            contents: None,
        }
    }

    /// The same, of a bundle with these contents.
    #[must_use]
    pub fn with_contents(self, contents: Option<Contents>) -> Self {
        Self { contents, ..self }
    }

    /// The same, after all of it was read again.
    #[must_use]
    pub(crate) fn checked_again(self, check: Check) -> Self {
        Self {
            checked: Some(check),
            ..self
        }
    }

    /// The file that describes the snapshot at this path.
    pub fn path_of(snapshot: &Path) -> PathBuf {
        let mut name = snapshot.as_os_str().to_owned();
        name.push(".json");
        name.into()
    }

    /// The file's text.
    ///
    /// # Errors
    /// When the snapshot's path is not UTF-8.
    pub fn text(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }

    /// Reads a description; an error says what it is instead.
    ///
    /// # Errors
    /// When it is none, or one of another version.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Head {
            api_version: String,
            kind: String,
        }
        let head: Head =
            serde_json::from_slice(text).map_err(|_| "not a snapshot's description".to_owned())?;
        if head.kind != KIND || head.api_version != API_VERSION {
            let (version, kind) = (head.api_version, head.kind);
            return Err(format!("of the kind {kind:?} and version {version:?}"));
        }
        serde_json::from_slice(text).map_err(|error| error.to_string())
    }

    /// Reads what describes the snapshot at this path; none: nothing does.
    ///
    /// # Errors
    /// When there is something that cannot be read, or is no description.
    pub fn beside(snapshot: &Path) -> Result<Option<Self>, Failure> {
        let path = Self::path_of(snapshot);
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(files::nofollow())
            .open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(files::trouble("read", &path, &error)),
        };
        let mut text = Vec::new();
        file.take(DESCRIPTION_BYTES)
            .read_to_end(&mut text)
            .map_err(|error| files::trouble("read", &path, &error))?;
        let parsed = Self::parse(&text);
        let foreign = |what| {
            let message = format!("{} is not understood: {what}", path.display());
            Failure::other(message)
        };
        parsed.map(Some).map_err(foreign)
    }

    /// Stores it beside the snapshot at this path.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(crate) fn store(&self, snapshot: &Path, replace: Replace) -> Result<(), Failure> {
        let path = Self::path_of(snapshot);
        let text = self
            .text()
            .map_err(|error| files::trouble("write", &path, &error.into()))?;
        files::write(&path, &text, replace)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{ClusterId, MemberId};

    pub(crate) fn snapshot(taken_at: &str) -> SnapshotReport {
        SnapshotReport {
            path: "/kept/x.db".into(),
            size_bytes: 3,
            sha256: "ab".into(),
            cluster_id: ClusterId(7),
            member_id: MemberId(8),
            revision: 9,
            raft_term: 2,
            etcd_version: "3.6.16".into(),
            storage_version: None,
            hash: 1,
            total_keys: 2,
            has_objects: None,
            taken_at: taken_at.parse().unwrap(),
            took_ms: 3,
            packed: None,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut description =
            Description::new(&snapshot("2026-11-20T21:00:00Z"), Path::new("/b/y.db"));
        assert_eq!(description.snapshot.path, Path::new("/b/y.db"));
        for damage in [None, Some("page 7".to_owned())] {
            let at = "2026-11-21T00:00:00Z".parse().unwrap();
            description.checked = Some(Check { at, damage });
            let text = description.text().unwrap();
            assert_eq!(Description::parse(&text), Ok(description.clone()));
        }
    }

    #[test]
    fn another_kind_and_another_version_are_refused_with_their_names() {
        let text = br#"{"apiVersion":"v9","kind":"SnapshotDescription"}"#;
        assert!(Description::parse(text).unwrap_err().contains("v9"));
        let text = br#"{"apiVersion":"v1","kind":"Pod"}"#;
        assert!(Description::parse(text).unwrap_err().contains("Pod"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Description::parse(&bytes);
        }

        #[test]
        fn a_changed_description_is_read_or_refused(at in 0usize..700, byte: u8) {
            let mut text = Description::new(&snapshot("2026-11-20T21:00:00Z"), Path::new("/b")).text().unwrap();
            let at = at % text.len();
            text[at] = byte;
            let _ = Description::parse(&text);
        }
    }
}
