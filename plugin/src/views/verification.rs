//! How checked snapshots are shown.

use etcd_datadir::error::Damage;
use etcd_datadir::stream::TRAILER_LEN;
use etcd_datadir::verify::{Sha256State, Verdict};
use etcd_operations::pack::unpack::Opened;
use etcd_operations::report::{KeptSnapshot, KeptState, NO_OBJECTS, SnapshotReport};
use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Field, Grid, Paint, Tone, clean, field, maybe};
use crate::views::packed::PackedFile;
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::assess::files::{FileVerdict, is_not_as_described};
use kubectl_etcd_core::format::{bytes, count};

/// What became of checking files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `SnapshotVerification`.
    pub kind: &'static str,
    /// The files, as given.
    pub files: Vec<VerifiedFile>,
}

/// One file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedFile {
    /// Its path, as given.
    pub file: String,
    /// What it comes to.
    pub verdict: FileVerdict,
    /// The verdict in a sentence.
    pub summary: String,
    /// The file's size in bytes, packed as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// What became of the sha256 at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Trailer>,
    /// The sha256 of its content, in hex, when it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_sha256: Option<String>,
    /// What `etcdutl snapshot status -w json` says, under its names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcdutl: Option<Etcdutl>,
    /// Records in all buckets: what etcdutl up to 3.5 calls `totalKey`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// What a defragmentation would free, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// What is wrong.
    pub findings: Vec<String>,
    /// How many more findings there are than listed.
    pub findings_left_out: u64,
    /// What it is packed as; none: it is a snapshot as etcd sends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packed: Option<PackedFile>,
}

/// The fields of etcdutl (3.6 and later).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Etcdutl {
    /// CRC-32C over buckets, keys and values.
    pub hash: u32,
    /// The revision of the last change.
    pub revision: u64,
    /// Keys that are not deleted.
    pub total_key: u64,
    /// The database in bytes, without the trailer.
    pub total_size: u64,
    /// The storage version; empty before 3.6.
    pub version: String,
}

/// What became of the trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trailer {
    /// It is that of the content.
    Good,
    /// It is another one.
    Wrong,
    /// There is none.
    Missing,
    /// It was not compared.
    NotChecked,
}

impl Verification {
    /// Without files yet.
    pub(crate) fn new() -> Self {
        Self {
            api_version: API_VERSION,
            kind: "SnapshotVerification",
            files: Vec::new(),
        }
    }
}

impl VerifiedFile {
    /// A file that could be checked.
    pub fn checked(file: String, found: &etcd_datadir::verify::Verification) -> Self {
        let (trailer, content) = match &found.sha256 {
            Sha256State::Good { sha256 } => (Trailer::Good, Some(sha256.clone())),
            Sha256State::Wrong { found, .. } => (Trailer::Wrong, Some(found.clone())),
            Sha256State::Missing => (Trailer::Missing, None),
            Sha256State::NotChecked => (Trailer::NotChecked, None),
        };
        let verdict = FileVerdict::of_checked(found);
        let summary = match (verdict, found.verdict) {
            (FileVerdict::Empty, _) => format!("whole and undamaged, but {NO_OBJECTS}"),
            (_, Verdict::Reliable) => "whole and undamaged".to_owned(),
            (_, Verdict::NoTrailer) => {
                "no sha256 trailer: a copy of a database, or cut; its pages are in order, a changed value cannot be seen".to_owned()
            }
            (_, Verdict::NotFullyChecked) => "not everything was checked".to_owned(),
            (_, Verdict::Damaged) => damaged(found),
        };
        let page_size = u64::from(found.page_size.unwrap_or(0));
        Self {
            file,
            verdict,
            summary,
            size_bytes: Some(found.file_size),
            sha256: Some(trailer),
            content_sha256: content,
            etcdutl: found.status.as_ref().map(|status| Etcdutl {
                hash: status.hash,
                revision: status.revision,
                total_key: status.total_keys_live,
                total_size: status.total_size,
                version: status.version.clone(),
            }),
            records: found.status.as_ref().map(|status| status.total_keys_all),
            free_bytes: found.pages.map(|pages| pages.free * page_size),
            findings: found
                .findings
                .iter()
                .map(|finding| finding.damage.to_string())
                .collect(),
            findings_left_out: found.findings_left_out,
            packed: None,
        }
    }

    /// The same of one that was perhaps unpacked, with what it was unpacked from.
    pub fn opened(
        file: String,
        opened: &Opened,
        found: &etcd_datadir::verify::Verification,
    ) -> Self {
        let checked = Self::checked(file, found);
        let packed = PackedFile::of(opened);
        let (verdict, summary) = match is_not_as_described(opened, found) {
            true => (
                FileVerdict::Damaged,
                "damaged: the description in it is of another snapshot".to_owned(),
            ),
            false => (checked.verdict, checked.summary),
        };
        let unpacked = opened.unpacked.as_ref().filter(|_| packed.is_some());
        Self {
            verdict,
            summary,
            size_bytes: unpacked.map_or(checked.size_bytes, |found| Some(found.input.size_bytes)),
            packed,
            ..checked
        }
    }

    /// One that was checked where it is kept.
    pub fn kept(file: String, kept: &KeptSnapshot) -> Self {
        let verdict = FileVerdict::of_stored(kept);
        let summary = match (verdict, &kept.state) {
            (_, KeptState::Verified { .. }) => "whole and undamaged".to_owned(),
            (_, KeptState::Damaged { what }) => format!("damaged: {what}"),
            (FileVerdict::Empty, KeptState::Unknown { why }) => {
                format!("whole and undamaged, but {why}")
            }
            (_, KeptState::Unknown { why }) => why.clone(),
        };
        let good = verdict.is_whole();
        let described = kept.snapshot.as_ref().filter(|_| good);
        Self {
            verdict,
            size_bytes: Some(kept.size_bytes),
            sha256: good.then_some(Trailer::Good),
            etcdutl: described.map(|snapshot| Etcdutl {
                hash: snapshot.hash,
                revision: u64::try_from(snapshot.revision).unwrap_or_default(),
                total_key: snapshot.total_keys,
                total_size: unpacked_bytes(snapshot).saturating_sub(TRAILER_LEN),
                version: snapshot.storage_version.clone().unwrap_or_default(),
            }),
            ..Self::unreadable(file, summary)
        }
    }

    /// A packed file that is not what it should be.
    pub fn damaged(file: String, why: String) -> Self {
        Self {
            verdict: FileVerdict::Damaged,
            ..Self::unreadable(file, why)
        }
    }

    /// A file that is something else.
    pub fn not_a_snapshot(file: String, what: &str) -> Self {
        Self {
            verdict: FileVerdict::NotASnapshot,
            ..Self::unreadable(file, format!("not an etcd database: {what}"))
        }
    }

    /// One beside which it is said what it is, and which is something else.
    #[must_use]
    pub fn not_as_described(self) -> Self {
        Self {
            verdict: FileVerdict::Damaged,
            summary: format!(
                "damaged: it is a whole snapshot, but not the one that {}.json describes",
                self.file
            ),
            ..self
        }
    }

    /// A file that could not be read.
    pub fn unreadable(file: String, why: String) -> Self {
        Self {
            file,
            verdict: FileVerdict::Unreadable,
            summary: why,
            ..Self::default()
        }
    }
}

fn unpacked_bytes(snapshot: &SnapshotReport) -> u64 {
    let packed = snapshot.packed.as_ref();
    packed.map_or(snapshot.size_bytes, |packed| packed.size_bytes)
}

fn damaged(found: &etcd_datadir::verify::Verification) -> String {
    let fatal = found.findings.iter().find(|finding| finding.fatal);
    match (&found.sha256, fatal) {
        // It may well be whole.
        (_, Some(finding)) if matches!(finding.damage, Damage::NotEtcd { .. }) => {
            finding.damage.to_string()
        }
        (_, Some(finding)) => format!("damaged: {}", finding.damage),
        (Sha256State::Wrong { .. }, None) => {
            "damaged: its sha256 is not the one etcd wrote at its end".to_owned()
        }
        (_, None) => "damaged".to_owned(),
    }
}

impl View for Verification {
    fn table(&self, wide: bool, paint: Paint) -> String {
        let mut grid = Grid::new("FILE|VERDICT|>SIZE|>REVISION|>KEYS|HASH|VERSION")
            .and(wide, ">RECORDS|>FREE|SHA256");
        for file in &self.files {
            grid.row(row(file, wide));
        }
        let mut text = grid.draw(paint);
        for file in &self.files {
            if file.verdict != FileVerdict::Reliable {
                text.push_str(&format!("{}\n", clean(&sentence(file))));
            }
            for line in file.packed.iter().flat_map(PackedFile::sentences) {
                text.push_str(&format!("{}\n", clean(&format!("{}: {line}", file.file))));
            }
            // The first is in the summary already.
            let more = file
                .findings
                .iter()
                .filter(|finding| !file.summary.contains(finding.as_str()));
            let shown = if wide { usize::MAX } else { 3 };
            let rest: Vec<&String> = more.collect();
            for finding in rest.iter().take(shown) {
                text.push_str(&format!("  {}\n", clean(finding)));
            }
            let hidden = rest.len().saturating_sub(shown) as u64 + file.findings_left_out;
            if hidden > 0 {
                text.push_str(&format!("  and {} more\n", count(hidden)));
            }
        }
        text
    }

    fn names(&self) -> Vec<String> {
        let reliable = self
            .files
            .iter()
            .filter(|file| file.verdict == FileVerdict::Reliable);
        reliable.map(|file| file.file.clone()).collect()
    }
}

/// Errors of files name their file themselves.
fn sentence(file: &VerifiedFile) -> String {
    if file.summary.starts_with(&file.file) {
        file.summary.clone()
    } else {
        format!("{}: {}", file.file, file.summary)
    }
}

fn row(file: &VerifiedFile, wide: bool) -> Vec<Field> {
    let status = file.etcdutl.as_ref();
    let mut fields = vec![
        field(&file.file),
        match file.verdict {
            FileVerdict::Reliable => field("reliable").tone(Tone::Good),
            FileVerdict::Empty => field("empty").tone(Tone::Bad),
            FileVerdict::NotFullyChecked => field("not fully checked").tone(Tone::Warn),
            FileVerdict::Damaged => field("damaged").tone(Tone::Bad),
            FileVerdict::NotASnapshot => field("not a snapshot").tone(Tone::Warn),
            FileVerdict::Unreadable => field("unreadable").tone(Tone::Bad),
        },
        maybe(file.size_bytes.map(bytes)),
        maybe(status.map(|status| count(status.revision))),
        maybe(status.map(|status| count(status.total_key))),
        maybe(status.map(|status| format!("{:08x}", status.hash))),
        maybe(status.map(|status| status.version.clone())),
    ];
    if wide {
        fields.push(maybe(file.records.map(count)));
        fields.push(maybe(file.free_bytes.map(bytes)));
        fields.push(maybe(file.content_sha256.as_deref()));
    }
    fields
}

#[cfg(test)]
mod tests {
    use etcd_datadir::progress::ignore;
    use etcd_datadir::source::FileSource;
    use etcd_datadir::verify::{VerifyOptions, verify};

    use super::*;

    #[test]
    fn a_whole_snapshot_without_an_object_of_kubernetes_is_not_called_reliable() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/cmd/offline.in/small.snapshot"
        );
        let source = FileSource::open(path.as_ref()).unwrap();
        let mut found = verify(&source, &VerifyOptions::default(), None, &mut ignore).unwrap();
        let verdict = |found: &etcd_datadir::verify::Verification| {
            let file = VerifiedFile::checked("x".into(), found);
            (file.verdict, file.summary)
        };
        assert_eq!(verdict(&found).0, FileVerdict::Reliable);
        if let Some(status) = &mut found.status {
            status.has_objects = false;
        }
        let (empty, summary) = verdict(&found);
        assert_eq!(empty, FileVerdict::Empty);
        assert!(summary.ends_with(NO_OBJECTS), "{summary}");
    }
}
