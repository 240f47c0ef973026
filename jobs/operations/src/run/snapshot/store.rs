//! The thread that stores a snapshot: hash and write what comes, check the tree, describe and name the file.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use etcd_datadir::source::FileSource;
use etcd_datadir::status::Status;
use etcd_datadir::stream::{Received, SnapshotChecker};
use etcd_datadir::verify::{Verdict, VerifyOptions};
use jiff::Timestamp;

use super::beside::Beside;
use super::packer::{Kind, Packed, Packer};
use crate::advice;
use crate::advice::Choice;
use crate::disk;
use crate::disk::files::trouble;
use crate::failure::{Failure, FailureKind};
use crate::pack::segment::{Hashed, Segment};
use crate::pack::{Packing, SNAPSHOT};
use crate::report::{self, Contents, EndpointStatus, SavedSnapshot, SnapshotReport};
use crate::stored::description::Description;
use crate::stored::part::{Part, SPARE_BYTES};
use crate::work::stream::Pieces;
use crate::work::{Flow, fatal, trouble_with_data, verify_source};

/// What is to be stored how.
pub(super) struct Store {
    pub(super) part: Part,
    pub(super) packing: Packing,
    /// For a bundle.
    pub(super) beside: Option<Beside>,
    /// Whether it is described beside it.
    pub(super) describe: bool,
    pub(super) taken: Taken,
}

/// Where and when the snapshot was begun.
pub(super) struct Taken {
    pub(super) own: EndpointStatus,
    pub(super) taken_at: Timestamp,
    pub(super) begun: Instant,
}

pub(super) fn store(store: Store, pieces: Pieces, flow: &Flow) -> Result<SavedSnapshot, Failure> {
    let name = store.part.current_path().display().to_string();
    let mut checker = SnapshotChecker::new(&name);
    let stored = receive(store, pieces, flow, &name, &mut checker);
    stored.map_err(|failure| {
        let expected = checker.expected_size().unwrap_or_default();
        with_room_needed(failure, expected.saturating_sub(checker.size()))
    })
}

/// Says how much is missing when the disk was full with so many bytes still to come.
fn with_room_needed(failure: Failure, to_come: u64) -> Failure {
    if failure.kind != FailureKind::NoSpace || failure.hint.is_some() {
        return failure;
    }
    let needed = to_come.saturating_add(SPARE_BYTES);
    failure.hint(format!(
        "free at least {needed} bytes there, or choose another folder"
    ))
}

fn receive(
    mut store: Store,
    mut pieces: Pieces,
    flow: &Flow,
    name: &str,
    checker: &mut SnapshotChecker,
) -> Result<SavedSnapshot, Failure> {
    let mut sink = None;
    while let Some(bytes) = pieces.next()? {
        flow.check_stopped()?;
        checker
            .push(&bytes)
            .map_err(|error| trouble_with_data(&error))?;
        let sink = match &mut sink {
            Some(sink) => sink,
            None => sink.insert(Sink::open(&mut store, checker.expected_size())?),
        };
        sink.write(&store.part, bytes)?;
        flow.reached(checker.size());
    }
    let received = checker
        .finish()
        .map_err(|error| trouble_with_data(&error))?;
    let mut sink = sink.ok_or_else(|| Failure::corrupt("etcd sent nothing"))?;
    flow.enter("checking");
    let status = check(sink.plain(&store.part)?, name.to_owned(), flow)?;
    flow.check_stopped()?;
    flow.enter("flushing");
    let saved = sink.finish(&store, received, &status)?;
    let description = store.describe.then(|| {
        Description::new(&saved.snapshot, store.part.path()).with_contents(saved.contents.clone())
    });
    store.part.complete(description.as_ref())?;
    Ok(saved)
}

/// Where the bytes go.
enum Sink {
    /// Into the snapshot's file as they are.
    Plain,
    /// Into its file packed, and as they are into one without a name, which is gone with this process: the tree can only be
    /// walked in a file.
    Packed { plain: File, packer: Packer },
}

impl Sink {
    fn open(store: &mut Store, size: Option<u64>) -> Result<Self, Failure> {
        let kind = match &store.packing {
            Packing::Plain => return Ok(Self::Plain),
            Packing::Zstd { level } => Kind::Zstd(*level),
            Packing::Bundle { .. } => {
                let size = size.zip(store.beside.take());
                let (size, beside) = size.ok_or_else(|| {
                    let message = "etcd did not say how large its database is";
                    Failure::other(message).hint(advice!["save it without ", Choice::Bundle])
                })?;
                Kind::Bundle(beside, size)
            }
        };
        let path = store.part.current_path();
        let folder = path.parent().unwrap_or(Path::new("."));
        Ok(Self::Packed {
            plain: disk::unnamed(folder).map_err(|error| trouble("write in", folder, &error))?,
            packer: Packer::begin(store.part.file(), path, kind)?,
        })
    }

    fn write(&mut self, part: &Part, bytes: Vec<u8>) -> Result<(), Failure> {
        let failed = |error: io::Error| trouble("write", part.current_path(), &error);
        match self {
            Self::Plain => part.file().write_all(&bytes).map_err(failed),
            Self::Packed { plain, packer } => {
                plain.write_all(&bytes).map_err(failed)?;
                packer.push(bytes)
            }
        }
    }

    /// The snapshot as etcd sent it.
    fn plain(&self, part: &Part) -> Result<File, Failure> {
        let file = match self {
            Self::Plain => part.file(),
            Self::Packed { plain, .. } => plain,
        };
        file.try_clone()
            .map_err(|error| trouble("read", part.current_path(), &error))
    }

    /// Ends the packing, and says what was made.
    fn finish(
        &mut self,
        store: &Store,
        received: Received,
        status: &Status,
    ) -> Result<SavedSnapshot, Failure> {
        let inner = snapshot(&store.taken, store.part.path(), received, status)?;
        let packer = match self {
            Self::Plain => return Ok(plain_only(inner)),
            Self::Packed { packer, .. } => packer,
        };
        let (out, contents) = match packer.end()? {
            Packed::Zstd(out) => (out, None),
            Packed::Bundle(segment) => {
                let whole = matches!(store.packing, Packing::Bundle { whole: true, .. });
                let (out, contents) = end(segment, whole, &inner)
                    .map_err(|error| trouble("write", store.part.current_path(), &error))?;
                (out, Some(contents))
            }
        };
        let (_, size_bytes, sha256) = out.finish();
        let bundle = contents.as_ref().map(Contents::summary);
        let packed = report::Packed {
            size_bytes: inner.size_bytes,
            sha256: inner.sha256.clone(),
            bundle,
        };
        Ok(SavedSnapshot {
            snapshot: SnapshotReport {
                size_bytes,
                sha256,
                packed: Some(packed),
                took_ms: store.taken.took_ms(),
                ..inner
            },
            contents,
        })
    }
}

fn plain_only(snapshot: SnapshotReport) -> SavedSnapshot {
    SavedSnapshot {
        snapshot,
        contents: None,
    }
}

/// The end of a segment, or of the bundle.
fn end(
    mut segment: Segment<Hashed<File>>,
    whole: bool,
    inner: &SnapshotReport,
) -> io::Result<(Hashed<File>, Contents)> {
    if !whole {
        return segment.finish();
    }
    let contents = segment.contents().clone();
    let description =
        Description::new(inner, Path::new(SNAPSHOT)).with_contents(Some(contents.clone()));
    let out = segment.finish_bundle(&description.text()?)?;
    Ok((out, contents))
}

/// Walks the tree and decodes every record. The sha256 was checked on the way in.
fn check(plain: File, name: String, flow: &Flow) -> Result<Status, Failure> {
    let options = VerifyOptions {
        sha256: false,
        ..VerifyOptions::default()
    };
    let source = FileSource::from_file(plain, name).map_err(|error| trouble_with_data(&error))?;
    let found = verify_source(&source, &options, flow)?;
    match (fatal(&found), found.verdict, found.status) {
        (None, Verdict::Reliable | Verdict::NotFullyChecked, Some(status)) => Ok(status),
        (what, ..) => {
            let what = what.unwrap_or_else(|| "its pages cannot be read".to_owned());
            let message = format!("etcd sent a snapshot of a damaged database: {what}");
            let hint = "take the snapshot from another member, and replace this one";
            Err(Failure::corrupt(message).hint(hint))
        }
    }
}

impl Taken {
    fn took_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn snapshot(
    taken: &Taken,
    path: &Path,
    received: Received,
    status: &Status,
) -> Result<SnapshotReport, Failure> {
    let revision = i64::try_from(status.revision).map_err(|_| {
        let message = format!("the snapshot's revision is {}", status.revision);
        Failure::corrupt(message)
    })?;
    let storage_version = Some(status.version.clone()).filter(|version| !version.is_empty());
    let own = &taken.own;
    Ok(SnapshotReport {
        path: path.to_owned(),
        size_bytes: received.size,
        sha256: received.file_sha256,
        cluster_id: own.cluster_id,
        member_id: own.member_id,
        revision,
        raft_term: own.raft_term,
        etcd_version: own.version.clone(),
        storage_version,
        hash: status.hash,
        total_keys: status.total_keys_live,
        has_objects: Some(status.has_objects),
        taken_at: taken.taken_at,
        took_ms: taken.took_ms(),
        packed: None,
    })
}
