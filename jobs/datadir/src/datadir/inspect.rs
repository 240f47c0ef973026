//! Looking at one directory.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::disk::if_there;
use crate::ids::{ClusterId, MemberId};
use crate::lock::{Holder, database_holder, segment_holder};
use crate::membership::{Membership, Source, View, compare};
use crate::progress::OnProgress;
use crate::raft::LogPosition;
use crate::snap::{SnapFound, list_snaps, read_snap};
use crate::source::FileSource;
use crate::wal::{Tail, WalSummary, read_wal};

use super::database::{self, DatabaseState, ReceivedDatabase};
use super::finding::{Finding, Loss, Refusal};
use super::start::{Parts, Start, StartRule};

/// `.snap` files that are read, the newest ones. etcd keeps five.
const MAX_SNAPS: usize = 10;

/// How to look.
#[derive(Debug, Clone, Default)]
pub struct InspectOptions {
    /// Where the WAL is, if not in the data directory (`--wal-dir`).
    pub wal_dir: Option<PathBuf>,
    /// Leave out the walk through the database: fast, but damage in it is not seen.
    pub skip_database_check: bool,
}

/// What the directory is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// An etcd runs on it, or it was changed while it was read. What was read may be of no single moment.
    Running,
    /// There is no member in it: etcd would begin a new one.
    Empty,
    /// etcd starts with all it ever confirmed.
    Starts(Start),
    /// etcd starts, but something is gone.
    StartsWithLoss(Start, Vec<Loss>),
    /// etcd does not start, or must not; the database is whole, or can be read and was not checked, and a new cluster
    /// can be restored from it.
    RestoreFrom(Refusal),
    /// Neither.
    BeyondUse(Refusal),
}

/// A data directory.
#[derive(Debug)]
pub struct DataDir {
    /// The directory.
    pub path: PathBuf,
    /// Where the WAL is.
    pub wal_dir: PathBuf,
    /// Where the database is, or should be.
    pub database_path: PathBuf,
    /// The member, from the WAL.
    pub member_id: Option<MemberId>,
    /// Its cluster, from the WAL.
    pub cluster_id: Option<ClusterId>,
    /// The WAL; `None` when there is no segment.
    pub wal: Option<WalSummary>,
    /// The `.snap` files, newest first.
    pub snaps: Vec<SnapFound>,
    /// The database.
    pub database: DatabaseState,
    /// Databases received from the leader.
    pub received: Vec<ReceivedDatabase>,
    /// The members by each source, and whether they agree.
    pub membership: Membership,
    /// What it is good for.
    pub verdict: Verdict,
    /// What else is worth knowing.
    pub findings: Vec<Finding>,
}

impl DataDir {
    /// Up to where the directory holds the log in a form that can be used: with the WAL when etcd starts from it, with
    /// the database alone when a new cluster has to be restored from it. `None` when it cannot be used.
    #[must_use]
    pub fn reach(&self) -> Option<LogPosition> {
        match &self.verdict {
            Verdict::Starts(start) | Verdict::StartsWithLoss(start, _) => {
                let last = self.wal.as_ref().map(|wal| wal.last).unwrap_or_default();
                Some(last.max(start.snapshot))
            }
            Verdict::RestoreFrom(_) => self.database_position(),
            Verdict::Running | Verdict::Empty | Verdict::BeyondUse(_) => None,
        }
    }

    /// The last entry that was applied to the database. Its term is in the database from etcd 3.5 on; for an older one
    /// the WAL is asked.
    #[must_use]
    pub fn database_position(&self) -> Option<LogPosition> {
        let facts = self.database.facts()?;
        let index = facts.consistent_index();
        let wal = self.wal.as_ref();
        let by_wal = wal.and_then(|wal| {
            wal.term_at(index)
                .or((index > wal.last.index).then_some(wal.last.term))
        });
        Some(LogPosition {
            term: facts.meta.term.or(by_wal).unwrap_or(0),
            index,
        })
    }
}

/// Looks at a data directory. Nothing in it is changed; locks are only tried.
///
/// Memory: that of [`read_wal`] and [`crate::verify`].
///
/// # Errors
/// [`Error::Io`] when the disk fails or a directory may not be read, [`Error::Cancelled`]. Damage is no error.
pub fn inspect(
    data_dir: &Path,
    options: &InspectOptions,
    on_progress: OnProgress<'_>,
) -> Result<DataDir, Error> {
    let member_dir = data_dir.join("member");
    let snap_dir = member_dir.join("snap");
    let wal_dir = options
        .wal_dir
        .clone()
        .unwrap_or_else(|| member_dir.join("wal"));
    let database_path = snap_dir.join("db");
    std::fs::read_dir(data_dir)
        .map_err(|e| Error::io(&data_dir.display().to_string(), "list", e))?;

    let before = Moment::of(&database_path, &wal_dir)?;
    let running = is_running(&database_path, &wal_dir)?;
    let wal = read_wal(&wal_dir, on_progress)?;
    let snaps = read_snaps(&snap_dir)?;
    let walk = !running && !options.skip_database_check;
    let database = database::read(&database_path, walk, on_progress)?;
    let received = ReceivedDatabase::list(&snap_dir)?;

    let metadata = wal.as_ref().and_then(|wal| wal.metadata);
    let mut found = DataDir {
        path: data_dir.to_owned(),
        wal_dir,
        database_path,
        member_id: metadata.map(|metadata| metadata.member_id),
        cluster_id: metadata.map(|metadata| metadata.cluster_id),
        membership: Membership::default(),
        wal,
        snaps,
        database,
        received,
        verdict: Verdict::Empty,
        findings: Vec::new(),
    };
    found.read_received(walk, on_progress)?;
    found.membership = found.compare_members();
    // Reading takes minutes, in which an etcd may have been started.
    let running = running
        || is_running(&found.database_path, &found.wal_dir)?
        || Moment::of(&found.database_path, &found.wal_dir)? != before;
    found.verdict = if running {
        Verdict::Running
    } else {
        found.judge()
    };
    found.findings = found.look_further(options.skip_database_check);
    Ok(found)
}

/// The state of the database and of the last segment, which tells whether somebody wrote.
#[derive(Debug, PartialEq, Eq)]
struct Moment(Vec<(PathBuf, Option<FileState>)>);

#[derive(Debug, PartialEq, Eq)]
struct FileState {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Moment {
    fn of(database: &Path, wal_dir: &Path) -> Result<Self, Error> {
        let files = [Some(database.to_owned()), last_segment(wal_dir)];
        let look = |path: PathBuf| FileState::of(&path).map(|state| (path, state));
        let states: Result<_, _> = files.into_iter().flatten().map(look).collect();
        states.map(Self)
    }
}

impl FileState {
    fn of(path: &Path) -> Result<Option<Self>, Error> {
        let found = if_there(path.metadata())
            .map_err(|e| Error::io(&path.display().to_string(), "look at", e))?;
        Ok(found.map(|found| Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
        }))
    }
}

fn last_segment(wal_dir: &Path) -> Option<PathBuf> {
    let names = crate::wal::list_segments(wal_dir).ok()?;
    Some(wal_dir.join(names.last()?.to_string()))
}

/// The database first: an etcd that starts locks it before it opens the WAL.
fn is_running(database: &Path, wal_dir: &Path) -> Result<bool, Error> {
    if let Ok(source) = FileSource::open(database)
        && database_holder(source.file(), &database.display().to_string())? == Holder::Etcd
    {
        return Ok(true);
    }
    match last_segment(wal_dir) {
        Some(last) => Ok(segment_holder(&last)? == Holder::Etcd),
        None => Ok(false),
    }
}

fn read_snaps(snap_dir: &Path) -> Result<Vec<SnapFound>, Error> {
    let names =
        list_snaps(snap_dir).map_err(|e| Error::io(&snap_dir.display().to_string(), "list", e))?;
    let read = |name: crate::snap::SnapName| {
        let path = snap_dir.join(name.to_string());
        SnapFound {
            content: read_snap(&path),
            path,
            name,
        }
    };
    Ok(names.into_iter().take(MAX_SNAPS).map(read).collect())
}

impl DataDir {
    /// Looks at the received databases that etcd would take.
    fn read_received(&mut self, walk: bool, on_progress: OnProgress<'_>) -> Result<(), Error> {
        let Some(wal) = &self.wal else { return Ok(()) };
        let wanted = self.parts(wal).wants_received();
        for received in &mut self.received {
            if wanted.contains(&received.index) {
                received.content = Some(database::read(&received.path, walk, on_progress)?);
            }
        }
        Ok(())
    }

    fn parts<'p>(&'p self, wal: &'p WalSummary) -> Parts<'p> {
        Parts {
            wal,
            snaps: &self.snaps,
            database: &self.database,
            received: &self.received,
        }
    }

    fn rule(&self) -> StartRule {
        StartRule::of_cluster_version(
            self.database
                .facts()
                .and_then(|facts| facts.cluster_version.as_deref()),
        )
    }

    fn consistent_index(&self) -> u64 {
        self.database
            .facts()
            .map_or(0, |facts| facts.consistent_index())
    }

    fn judge(&self) -> Verdict {
        let Some(wal) = &self.wal else {
            return match &self.database {
                DatabaseState::Missing => Verdict::Empty,
                DatabaseState::Unreadable(error) => {
                    Verdict::BeyondUse(Refusal::DatabaseDamaged(error.to_string()))
                }
                DatabaseState::Readable(_) if self.database.is_new() => {
                    Verdict::BeyondUse(Refusal::NeverJoined)
                }
                DatabaseState::Readable(_) => self.without_start(Refusal::NoWal {
                    consistent_index: self.consistent_index(),
                }),
            };
        };
        if let Some(id) = self.member_id
            && self.is_removed(id)
        {
            return self.without_start(Refusal::Removed(id));
        }
        match self.parts(wal).start(self.rule()) {
            Err(refusal) => self.without_start(refusal),
            Ok(start) => match loss(&wal.tail) {
                None => Verdict::Starts(start),
                Some(loss) => Verdict::StartsWithLoss(start, vec![loss]),
            },
        }
    }

    /// What is left when etcd does not start: the database, unless it is known not to be whole.
    fn without_start(&self, refusal: Refusal) -> Verdict {
        match self.database.seems_whole() {
            true => Verdict::RestoreFrom(refusal),
            false => Verdict::BeyondUse(refusal),
        }
    }

    fn is_removed(&self, id: MemberId) -> bool {
        self.membership
            .views
            .iter()
            .any(|(_, view)| view.removed.contains(&id) && !view.members.contains_key(&id))
    }

    /// Up to where changes of the membership are known to be final.
    fn final_index(&self) -> u64 {
        let commit = self.wal.as_ref().map_or(0, WalSummary::commit);
        commit.max(self.consistent_index())
    }

    fn compare_members(&self) -> Membership {
        let to = self.final_index();
        let changes = self
            .wal
            .as_ref()
            .map_or(&[][..], |wal| wal.changes.as_slice());
        // What is older than the first segment, or was received as a snapshot, is only in snapshots.
        let from_start = self
            .wal
            .as_ref()
            .is_some_and(WalSummary::is_from_the_beginning);
        let recorded = self
            .wal
            .as_ref()
            .and_then(|wal| wal.valid_snapshots().rfind(|s| s.conf_state.is_some()));
        let usable = self
            .wal
            .as_ref()
            .map(|wal| self.parts(wal).snapshot(StartRule::UpTo36))
            .unwrap_or_default();
        let snap = self
            .snaps
            .iter()
            .filter_map(|snap| snap.content.as_ref().ok())
            .find(|s| s.position == usable);
        let mut views = Vec::new();
        let by_wal = match (recorded, snap) {
            (Some(recorded), _) => recorded
                .conf_state
                .as_ref()
                .map(|c| (View::of_conf_state(c), recorded.position)),
            // etcd 3.4 does not write the configuration into the WAL.
            (None, Some(snap)) => Some((View::of_conf_state(&snap.conf_state), snap.position)),
            (None, None) => from_start.then(|| (View::default(), LogPosition::default())),
        };
        let at_start = Some((View::default(), LogPosition::default())).filter(|_| from_start);
        let by_snap = snap.map(|snap| {
            (
                View::of_members(&snap.store.members, &snap.store.removed),
                snap.position,
            )
        });
        let facts = self.database.facts();
        let by_database = facts.map(|facts| {
            let position = LogPosition {
                term: 0,
                index: facts.consistent_index(),
            };
            (View::of_members(&facts.members, &facts.removed), position)
        });
        // From the first entry on the log tells URLs as well, which raft's configuration does not.
        let sources = [
            (Source::Wal, at_start.or(by_wal)),
            (Source::Snap, by_snap),
            (Source::Database, by_database),
        ];
        for (source, view) in sources {
            let Some((mut view, at)) = view else { continue };
            view.follow(changes, at.index, to);
            views.push((source, view));
        }
        compare(views)
    }

    fn look_further(&self, unchecked: bool) -> Vec<Finding> {
        let mut found = Vec::new();
        for snap in &self.snaps {
            match &snap.content {
                Err(why) => found.push(Finding::BadSnap {
                    path: snap.path.clone(),
                    why: why.to_string(),
                }),
                Ok(content) if content.store.has_user_data => {
                    found.push(Finding::UserDataInV2Store);
                }
                Ok(_) => {}
            }
        }
        found.extend(
            self.membership
                .differences
                .iter()
                .map(|d| Finding::Membership(d.to_string())),
        );
        if unchecked && self.database.facts().is_some() {
            found.push(Finding::DatabaseNotChecked);
        }
        let Some(wal) = &self.wal else { return found };
        let to = self.final_index();
        let pending = wal
            .changes
            .iter()
            .filter(|change| change.position.index > to)
            .count();
        if pending > 0 {
            found.push(Finding::PendingChanges(pending));
        }
        if let Some(beyond) = &wal.beyond {
            found.push(Finding::WentOnTo(beyond.last));
        }
        if let Verdict::Starts(start) | Verdict::StartsWithLoss(start, _) = &self.verdict {
            if start.rebuilds_database {
                found.push(Finding::DatabaseRebuilt);
            }
            if start.takes_received {
                found.push(Finding::TakesReceived(start.snapshot.index));
                if unchecked {
                    found.push(Finding::ReceivedNotChecked(start.snapshot.index));
                }
            }
            let other = self.rule().other();
            if let Err(refusal) = self.parts(wal).start(other) {
                found.push(Finding::OtherRelease(format!(
                    "{} would not start: {refusal}",
                    other.releases()
                )));
            }
        }
        found
    }
}

fn loss(tail: &Tail) -> Option<Loss> {
    match tail {
        Tail::Clean => None,
        Tail::Torn { file, offset, .. } => Some(Loss::TornRecord {
            file: file.clone(),
            offset: *offset,
        }),
        Tail::Hole {
            file,
            offset,
            resumes_at,
        } => Some(Loss::BehindHole {
            file: file.clone(),
            offset: *offset,
            resumes_at: *resumes_at,
        }),
    }
}
