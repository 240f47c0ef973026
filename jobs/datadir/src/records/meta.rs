//! Records of the bucket `meta`, one for each name.

use serde::Serialize;

use super::{BadRecord, Revision};

/// What the bucket `meta` tells. Absent names are `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct MetaBucket {
    /// Index of the last raft entry that was applied to this database.
    pub consistent_index: Option<u64>,
    /// Term of that entry; written from 3.5 on.
    pub term: Option<u64>,
    /// The compaction that was asked for last.
    pub scheduled_compact_revision: Option<u64>,
    /// The compaction that was carried out last.
    pub finished_compact_revision: Option<u64>,
    /// Version of the schema, as text ("3.6.0"); written from 3.6 on.
    pub storage_version: Option<String>,
    /// raft's ConfState as JSON, written from 3.5 on and read by no etcd; stale after a restore.
    #[serde(skip)]
    pub conf_state: Option<Vec<u8>>,
}

impl MetaBucket {
    /// Takes up one record; names it does not know are left alone.
    ///
    /// # Errors
    /// [`BadRecord::Contradiction`] when the value does not have the form its name asks for.
    pub fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), BadRecord> {
        match key {
            b"consistent_index" => self.consistent_index = Some(number(value)?),
            b"term" => self.term = Some(number(value)?),
            b"scheduledCompactRev" => self.scheduled_compact_revision = Some(revision(value)?),
            b"finishedCompactRev" => self.finished_compact_revision = Some(revision(value)?),
            b"storageVersion" => self.storage_version = Some(version(value)?),
            b"confState" => self.conf_state = Some(json(value)?),
            _ => {}
        }
        Ok(())
    }
}

pub(super) fn check(key: &[u8], value: &[u8]) -> Result<(), BadRecord> {
    MetaBucket::default().take(key, value)
}

fn number(value: &[u8]) -> Result<u64, BadRecord> {
    let bytes = value
        .try_into()
        .map_err(|_| BadRecord::Contradiction("its value is not a number of eight bytes"))?;
    Ok(u64::from_be_bytes(bytes))
}

fn revision(value: &[u8]) -> Result<u64, BadRecord> {
    let revision =
        Revision::parse(value).ok_or(BadRecord::Contradiction("its value is not a revision"))?;
    Ok(revision.main)
}

fn json(value: &[u8]) -> Result<Vec<u8>, BadRecord> {
    match serde_json::from_slice::<serde::de::IgnoredAny>(value) {
        Ok(_) => Ok(value.to_vec()),
        Err(_) => Err(BadRecord::Contradiction("its value is not JSON")),
    }
}

/// A version as text: numbers and points, with what semver allows after them.
pub(super) fn version(value: &[u8]) -> Result<String, BadRecord> {
    let text = std::str::from_utf8(value).ok().filter(|text| {
        let mut numbers = text.split(['-', '+']).next().unwrap_or_default().split('.');
        let all = numbers.by_ref().take(4).all(|n| n.parse::<u32>().is_ok());
        all && text.len() <= 64
    });
    text.map(str::to_owned)
        .ok_or(BadRecord::Contradiction("its value is not a version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_form_of_their_name() {
        let mut meta = MetaBucket::default();
        meta.take(b"consistent_index", &7u64.to_be_bytes()).unwrap();
        meta.take(
            b"finishedCompactRev",
            &Revision { main: 9, sub: 0 }.encode(),
        )
        .unwrap();
        meta.take(b"term", &2u64.to_be_bytes()).unwrap();
        meta.take(b"storageVersion", b"3.6.0").unwrap();
        assert_eq!(meta.storage_version.as_deref(), Some("3.6.0"));
        meta.take(b"of a later etcd", b"anything").unwrap();
        assert_eq!(
            (meta.consistent_index, meta.finished_compact_revision),
            (Some(7), Some(9))
        );
        for (key, value) in [
            ("term", "1234567"),
            ("storageVersion", "three"),
            ("confState", "{"),
            ("finishedCompactRev", ""),
        ] {
            assert!(check(key.as_bytes(), value.as_bytes()).is_err(), "{key}");
        }
    }
}
