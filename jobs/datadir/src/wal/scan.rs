//! One pass over a WAL, keeping of it what decides whether and from where etcd starts.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::disk::if_there;
use crate::progress::{OnProgress, report};
use crate::raft::{HardState, LogPosition};

use super::frame::{Frame, FrameReader};
use super::log::Log;
use super::record::{Record, RecordKind};
use super::tail::{Tail, first_nonzero};
use super::{
    IndexJump, LoggedChange, SegmentName, WalDamage, WalDamageKind, WalMetadata, WalSnapshot,
    list_segments,
};

/// Records between two calls of the progress callback.
const REPORT_EVERY: u64 = 4096;

/// What a WAL says. Everything is as etcd would see it: up to the damage, where there is one.
#[derive(Debug, Clone)]
pub struct WalSummary {
    /// The segments, in order.
    pub segments: Vec<SegmentSummary>,
    /// Whose WAL it is; `None` when not even the first record could be read.
    pub metadata: Option<WalMetadata>,
    /// The last hard state.
    pub hard_state: Option<HardState>,
    /// Snapshot records in the order written. etcd uses those up to the hard state's commit index.
    pub snapshots: Vec<WalSnapshot>,
    /// Membership changes that are in the log at its end, committed or not.
    pub changes: Vec<LoggedChange>,
    /// Indexes that are missing; harmless where a snapshot stands for them.
    pub jumps: Vec<IndexJump>,
    /// Where each term begins in the log at its end, by ascending index.
    pub terms: Vec<LogPosition>,
    /// How many entry records there are, with those that were overwritten later.
    pub entries: u64,
    /// The first entry.
    pub first: Option<LogPosition>,
    /// The last entry. When a snapshot was received from the leader and nothing written since, the snapshot is newer.
    pub last: LogPosition,
    /// The running CRC at the end of the log.
    pub crc: u32,
    /// How the readable part ends.
    pub tail: Tail,
    /// What etcd refuses to start with; the first one found.
    pub damage: Option<WalDamage>,
    /// What could be read of the segments behind the damage.
    pub beyond: Option<Beyond>,
}

/// What lies behind damage: of no use to etcd, but it tells what is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beyond {
    /// The last entry found.
    pub last: LogPosition,
    /// The highest commit index found.
    pub commit: u64,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Its name.
    pub name: SegmentName,
    /// Length of the file in bytes, with what is preallocated.
    pub size_bytes: u64,
    /// Offset behind the last record that was read.
    pub used_bytes: u64,
    /// Records read.
    pub records: u64,
}

impl WalSummary {
    /// The snapshots etcd would start from: those whose index was committed (`wal.ValidSnapshotEntries`).
    pub(crate) fn valid_snapshots(&self) -> impl DoubleEndedIterator<Item = &WalSnapshot> {
        let commit = self.hard_state.unwrap_or_default().commit;
        self.snapshots
            .iter()
            .filter(move |snapshot| snapshot.position.index <= commit)
    }

    /// The term of the entry at an index; `None` when the log does not reach so far in either direction.
    #[must_use]
    pub(crate) fn term_at(&self, index: u64) -> Option<u64> {
        let after = self.terms.partition_point(|start| start.index <= index);
        let start = self.terms.get(after.checked_sub(1)?)?;
        (index <= self.last.index).then_some(start.term)
    }

    /// Whether every entry since the cluster began is here.
    #[must_use]
    pub(crate) fn is_from_the_beginning(&self) -> bool {
        let begins = self.first.is_none_or(|first| first.index == 1);
        begins
            && self.jumps.is_empty()
            && self
                .segments
                .first()
                .is_some_and(|segment| segment.name.index == 0)
    }

    /// Highest index known to be committed.
    #[must_use]
    pub fn commit(&self) -> u64 {
        self.hard_state.map_or(0, |state| state.commit)
    }
}

/// Reads the WAL in a directory; `Ok(None)` when there is no segment in it, or no such directory.
///
/// Files are only read. Memory: one record (at most 64 MiB), membership changes (at most 16 MiB), snapshot records.
///
/// # Errors
/// [`Error::Io`] when the disk fails, [`Error::Cancelled`]. Damage is not an error: see [`WalSummary::damage`].
pub fn read_wal(wal_dir: &Path, on_progress: OnProgress<'_>) -> Result<Option<WalSummary>, Error> {
    let names = if_there(list_segments(wal_dir))
        .map_err(|e| Error::io(&wal_dir.display().to_string(), "list", e))?;
    let Some(names) = names else {
        return Ok(None);
    };
    let mut total = 0;
    let mut segments = Vec::new();
    for name in names {
        let path = wal_dir.join(name.to_string());
        let metadata = path
            .metadata()
            .map_err(|e| Error::io(&path.display().to_string(), "look at", e))?;
        if !metadata.is_file() {
            return Err(Error::NotAFile {
                file: path.display().to_string(),
            });
        }
        total += metadata.len();
        segments.push((name, metadata.len()));
    }
    let open = |name: SegmentName| {
        let path = wal_dir.join(name.to_string());
        let file =
            File::open(&path).map_err(|e| Error::io(&path.display().to_string(), "open", e))?;
        Ok(BufReader::with_capacity(256 << 10, file))
    };
    read_segments(wal_dir, &segments, open, total, on_progress)
}

/// Reads a WAL from anywhere: `segments` are names with lengths in bytes, in order, `open` gives their bytes;
/// `dir` is for messages, `total_bytes` for progress.
///
/// # Errors
/// As [`read_wal`], and those of `open`.
pub fn read_segments<R: Read>(
    dir: &Path,
    segments: &[(SegmentName, u64)],
    mut open: impl FnMut(SegmentName) -> Result<R, Error>,
    total_bytes: u64,
    on_progress: OnProgress<'_>,
) -> Result<Option<WalSummary>, Error> {
    let Some(&(first, _)) = segments.first() else {
        return Ok(None);
    };
    let mut scan = Scan::new(first.index);
    let mut before: Option<SegmentName> = None;
    let mut done = 0;
    for (i, &(name, size)) in segments.iter().enumerate() {
        let segment = Segment {
            name,
            path: dir.join(name.to_string()),
            size,
            is_last: i + 1 == segments.len(),
            before: before.replace(name),
        };
        scan.segment(&segment, open(name)?, &mut |offset| {
            report(on_progress, done + offset, total_bytes)
        })?;
        done += size;
    }
    Ok(Some(scan.finish()))
}

struct Segment {
    name: SegmentName,
    path: PathBuf,
    size: u64,
    is_last: bool,
    before: Option<SegmentName>,
}

impl Segment {
    fn damage(&self, offset: u64, kind: WalDamageKind) -> WalDamage {
        WalDamage {
            file: self.path.clone(),
            offset,
            kind,
        }
    }

    fn missing_before(&self) -> Option<WalDamageKind> {
        let after = self.before?.sequence;
        let next = self.name.sequence;
        (next != after.wrapping_add(1)).then(|| WalDamageKind::MissingSegments {
            after,
            next,
            count: next.saturating_sub(after).saturating_sub(1),
        })
    }
}

/// Where a segment's reading ended.
enum End {
    Whole,
    Torn(Tail),
    Damaged(WalDamage),
}

struct Scan {
    log: Log,
    crc: u32,
    tail: Tail,
    segments: Vec<SegmentSummary>,
    damage: Option<WalDamage>,
    /// The log as it was before the damage, once there is one: from then on `log` is what lies beyond.
    sound: Option<Log>,
    highest_beyond: Option<Beyond>,
}

impl Scan {
    fn new(first_index: u64) -> Self {
        Self {
            log: Log::starting_at(first_index),
            crc: 0,
            tail: Tail::Clean,
            segments: Vec::new(),
            damage: None,
            sound: None,
            highest_beyond: None,
        }
    }

    fn segment<R: Read>(
        &mut self,
        segment: &Segment,
        reader: R,
        tell: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let Some(kind) = segment.missing_before() {
            self.damaged(segment.damage(0, kind));
        }
        if self.damage.is_some() {
            // Read on as if the WAL began here.
            self.crc = 0;
        }
        let mut frames = FrameReader::new(reader, segment.size);
        let mut records = 0;
        let end = self.records(segment, &mut frames, &mut records, tell)?;
        let used_bytes = frames.offset();
        self.segments.push(SegmentSummary {
            name: segment.name,
            size_bytes: segment.size,
            used_bytes,
            records,
        });
        if self.sound.is_some() {
            self.note_beyond();
            return Ok(());
        }
        match end {
            End::Whole => {}
            End::Torn(tail) => self.tail = tail,
            End::Damaged(damage) => self.damaged(damage),
        }
        Ok(())
    }

    fn records<R: Read>(
        &mut self,
        segment: &Segment,
        frames: &mut FrameReader<R>,
        records: &mut u64,
        tell: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<End, Error> {
        let file = || segment.path.display().to_string();
        loop {
            let offset = frames.offset();
            let frame = frames
                .next()
                .map_err(|e| Error::io(&file(), format!("read at offset {offset}"), e))?;
            let reason = match frame {
                Frame::Record => match self.record(frames.record()) {
                    Ok(()) => {
                        frames.accept();
                        *records += 1;
                        if records.is_multiple_of(REPORT_EVERY) {
                            tell(offset)?;
                        }
                        continue;
                    }
                    Err(kind)
                        if segment.is_last && may_be_torn(&kind) && frames.has_zero_sector() =>
                    {
                        super::TornReason::ZeroSector
                    }
                    Err(kind) => return Ok(End::Damaged(segment.damage(offset, kind))),
                },
                Frame::End { zeros: true } if segment.is_last => {
                    let resumes_at = first_nonzero(frames.rest(), offset + 8)
                        .map_err(|e| Error::io(&file(), "read behind the last record", e))?;
                    let hole = |resumes_at| Tail::Hole {
                        file: segment.path.clone(),
                        offset,
                        resumes_at,
                    };
                    return Ok(End::Torn(resumes_at.map_or(Tail::Clean, hole)));
                }
                Frame::End { .. } => return Ok(End::Whole),
                Frame::TooLarge(bytes) => {
                    return Ok(End::Damaged(
                        segment.damage(offset, WalDamageKind::TooLarge { bytes }),
                    ));
                }
                Frame::Cut(reason) => reason,
            };
            // etcd's Repair opens the last segment only; a record that is cut anywhere else stays as it is.
            return Ok(match segment.is_last {
                true => End::Torn(Tail::Torn {
                    file: segment.path.clone(),
                    offset,
                    reason,
                }),
                false => End::Damaged(segment.damage(offset, WalDamageKind::CutBeforeLast(reason))),
            });
        }
    }

    fn record(&mut self, bytes: &[u8]) -> Result<(), WalDamageKind> {
        let record = Record::decode(bytes).map_err(WalDamageKind::NotARecord)?;
        if record.kind == RecordKind::Crc {
            // Zero stands for the beginning: a WAL whose first segments were purged starts anywhere.
            if self.crc != 0 && record.crc != self.crc {
                return Err(WalDamageKind::ChainBroken {
                    stated: record.crc,
                    found: self.crc,
                });
            }
            self.crc = record.crc;
            return Ok(());
        }
        let found = crc32c::crc32c_append(self.crc, record.data);
        if found != record.crc {
            return Err(WalDamageKind::CrcMismatch {
                stated: record.crc,
                found,
            });
        }
        self.crc = found;
        self.log.take(&record)
    }

    fn damaged(&mut self, damage: WalDamage) {
        if self.damage.is_none() {
            self.damage = Some(damage);
            self.sound = Some(std::mem::take(&mut self.log));
        }
        self.log = Log::default();
    }

    fn note_beyond(&mut self) {
        let commit = self.log.hard_state.unwrap_or_default().commit;
        let known = self.highest_beyond.unwrap_or(Beyond {
            last: LogPosition::default(),
            commit: 0,
        });
        self.highest_beyond = Some(Beyond {
            last: known.last.max(self.log.last),
            commit: known.commit.max(commit),
        });
        self.log = Log::default();
    }

    fn finish(self) -> WalSummary {
        let log = self.sound.unwrap_or(self.log);
        WalSummary {
            segments: self.segments,
            metadata: log.metadata,
            hard_state: log.hard_state,
            snapshots: log.snapshots,
            changes: log.changes,
            jumps: log.jumps,
            terms: log.terms,
            entries: log.entries,
            first: log.first,
            last: log.last,
            crc: self.crc,
            tail: self.tail,
            damage: self.damage,
            beyond: self.highest_beyond.filter(|beyond| beyond.last.index > 0),
        }
    }
}

/// The failures for which etcd's decoder asks whether the record was torn.
fn may_be_torn(kind: &WalDamageKind) -> bool {
    matches!(
        kind,
        WalDamageKind::NotARecord(_) | WalDamageKind::CrcMismatch { .. }
    )
}
