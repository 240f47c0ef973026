//! etcd's data directory as it lies there.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use etcd_datadir::datadir::{DataDir, DatabaseState, InspectOptions, Refusal, Verdict, inspect};
use etcd_datadir::lock::{self, database_holder};
use etcd_datadir::membership::{View, ViewMember};
use etcd_datadir::raft::LogPosition;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::locks::{self, Holder};
use crate::client::chain;
use crate::failure::{Answer, Failure};
use crate::ids::{ClusterId, MemberId};
use crate::target::Target;
use crate::work::{Events, Progress};

/// etcd's data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColdEtcd {
    /// Where it is.
    pub data_dir: PathBuf,
    /// Where the WAL is.
    pub wal_dir: PathBuf,
    /// Whether the directory is there.
    pub exists: bool,
    /// Who has the lock on the database.
    pub lock: LockState,
    /// What is in it; none: it is not there. Where an etcd runs on it, its log is read and its database is not walked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inspection: Option<Answer<Inspection>>,
}

/// The lock that a running etcd has on its database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum LockState {
    /// There is no database.
    NoDatabase,
    /// Nobody has it.
    Free,
    /// An etcd has it, or a tool of its kind.
    Held {
        /// Who, where the kernel tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Holder>,
    },
    /// It cannot be told.
    Unknown {
        /// Why.
        why: String,
    },
}

/// What the data directory is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fitness {
    /// An etcd runs on it, or it was changed while it was read: what was read may be of no single moment.
    Running,
    /// There is no member in it: etcd would begin a new one.
    Empty,
    /// etcd starts with all it ever confirmed.
    Starts,
    /// etcd starts, and something is gone: [`Inspection::losses`].
    StartsWithLoss,
    /// etcd does not start; a new cluster can be restored from the database.
    RestoreFrom,
    /// Neither.
    BeyondUse,
}

/// Why etcd would not start from the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// There is a database and no WAL.
    NoWal,
    /// It is new: the database is empty, and it has not joined a cluster yet.
    NeverJoined,
    /// The WAL is damaged, or lost its end, or entries in it.
    WalDamaged,
    /// WAL and database do not belong together.
    Mismatch,
    /// The database is not there.
    DatabaseMissing,
    /// The database is damaged, its own or the one received from the leader.
    DatabaseDamaged,
    /// The cluster removed the member.
    Removed,
    /// One this version does not know.
    #[serde(other)]
    Unknown,
}

/// What is in a data directory on which no etcd runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// What it is good for.
    pub fitness: Fitness,
    /// Why etcd would not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<RefusalKind>,
    /// The same in words; also what else is wrong with the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What is lost when etcd starts, in words.
    pub losses: Vec<String>,
    /// What else is worth knowing, in words.
    pub findings: Vec<String>,
    /// Its cluster, from the WAL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<ClusterId>,
    /// The member, from the WAL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_id: Option<MemberId>,
    /// The members by the best source there is.
    pub members: Vec<ColdMember>,
    /// Whether all sources agree on the members.
    pub members_agree: bool,
    /// Up to where the log is held in a form that can be used: with the WAL when etcd starts from it, else as far as the
    /// database was applied. None: it cannot be used. Directories of one cluster are ranked by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<LogPosition>,
    /// The last entry in the WAL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal_end: Option<LogPosition>,
    /// The last entry that was applied to the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<LogPosition>,
    /// The commit index in the WAL's hard state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<u64>,
    /// The revision of the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// What of the database is in use, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_bytes: Option<u64>,
    /// When the database was last written to, by its file's date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_modified: Option<Timestamp>,
    /// The cluster version in the database, `3.6.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_version: Option<String>,
    /// Whether all of the database was read and nothing wrong was found. False also when it was not read.
    pub database_whole: bool,
    /// Whether all of the database was read.
    pub database_checked: bool,
}

/// A member by what a data directory tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColdMember {
    /// Its id.
    pub id: MemberId,
    /// Its name, where that is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its peer URLs, as far as they are told.
    pub peer_urls: Vec<String>,
    /// Its client URLs, as far as they are told.
    pub client_urls: Vec<String>,
    /// Whether it is a learner.
    pub is_learner: bool,
}

/// Looks at the data directory of a target whose paths are found on this host. It is read where no etcd runs on it.
///
/// # Errors
/// When the disk does not answer. Damage is no error.
pub(super) async fn look(
    target: &Target,
    check_database: bool,
    events: &mut Events<'_>,
) -> Result<ColdEtcd, Failure> {
    let (told, mut steps) = mpsc::unbounded_channel();
    let stop = Stop::default();
    let stopped = Arc::clone(&stop.0);
    let target = target.clone();
    let mut thread = tokio::task::spawn_blocking(move || {
        let mut on_progress = |progress: etcd_datadir::progress::Progress| {
            told.send(progress).ok();
            match stopped.load(Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        read(&target, check_database, &mut on_progress)
    });
    loop {
        tokio::select! {
            read = &mut thread => {
                let gone = |error| Failure::other(format!("reading ended: {error}"));
                return read.map_err(gone);
            }
            Some(progress) = steps.recv() => events(Progress {
                step: "reading the data directory".to_owned(),
                done_bytes: progress.done,
                total_bytes: Some(progress.total).filter(|total| *total > 0),
            }),
        }
    }
}

/// Tells the thread to stop when nobody waits for it any more.
#[derive(Default)]
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn read(
    target: &Target,
    check_database: bool,
    on_progress: etcd_datadir::progress::OnProgress<'_>,
) -> ColdEtcd {
    let database = target.data_dir.join("member/snap/db");
    let lock = lock_of(&database);
    let exists = target.data_dir.is_dir();
    let held = matches!(lock, LockState::Held { .. });
    let options = InspectOptions {
        wal_dir: target.wal_dir.clone(),
        skip_database_check: held || !check_database,
    };
    let inspection = exists.then(|| {
        let found = inspect(&target.data_dir, &options, on_progress);
        let found = found.map_err(|error| Failure::other(chain(&error)));
        found.map(|found| inspection(&found)).into()
    });
    let wal_dir = target.wal_dir.clone();
    ColdEtcd {
        data_dir: target.data_dir.clone(),
        wal_dir: wal_dir.unwrap_or_else(|| target.data_dir.join("member/wal")),
        exists,
        lock,
        inspection,
    }
}

/// Whose data is in a directory, and how far it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// Its cluster.
    pub(super) cluster: ClusterId,
    /// The member.
    pub(super) member: MemberId,
    /// [`Inspection::reach`].
    pub(super) reach: Option<LogPosition>,
}

/// What is in a directory, by its log; none: it does not tell. Its database is not walked.
pub(super) fn held(data_dir: &Path, wal_dir: Option<PathBuf>) -> Option<Held> {
    let options = InspectOptions {
        wal_dir,
        skip_database_check: true,
    };
    let found = inspect(data_dir, &options, &mut |_| ControlFlow::Continue(())).ok()?;
    Some(Held {
        cluster: found.cluster_id?,
        member: found.member_id?,
        reach: found.reach(),
    })
}

pub(super) fn lock_of(database: &Path) -> LockState {
    let unknown = |why: String| LockState::Unknown { why };
    let file = match File::open(database) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return LockState::NoDatabase,
        Err(error) => return unknown(format!("{}: {error}", database.display())),
    };
    match database_holder(&file, &database.display().to_string()) {
        Ok(lock::Holder::Nobody) => LockState::Free,
        Ok(lock::Holder::Etcd) => LockState::Held {
            by: locks::holder(&file),
        },
        Err(error) => unknown(chain(&error)),
    }
}

fn inspection(dir: &DataDir) -> Inspection {
    let facts = dir.database.facts();
    let (fitness, refusal) = match &dir.verdict {
        Verdict::Running => (Fitness::Running, None),
        Verdict::Empty => (Fitness::Empty, None),
        Verdict::Starts(_) => (Fitness::Starts, None),
        Verdict::StartsWithLoss(..) => (Fitness::StartsWithLoss, None),
        Verdict::RestoreFrom(refusal) => (Fitness::RestoreFrom, Some(refusal)),
        Verdict::BeyondUse(refusal) => (Fitness::BeyondUse, Some(refusal)),
    };
    let losses = match &dir.verdict {
        Verdict::StartsWithLoss(_, losses) => losses.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    let checked = facts.is_some_and(|facts| facts.check.is_some());
    let modified = dir.database_path.metadata().and_then(|db| db.modified());
    Inspection {
        fitness,
        refusal: refusal.map(kind),
        why: refusal.map(|refusal| match &dir.database {
            DatabaseState::Unreadable(error) => format!("{refusal}; {}", chain(error)),
            DatabaseState::Missing | DatabaseState::Readable(_) => refusal.to_string(),
        }),
        losses,
        findings: dir.findings.iter().map(ToString::to_string).collect(),
        cluster_id: dir.cluster_id,
        member_id: dir.member_id,
        members: members(dir),
        members_agree: dir.membership.differences.is_empty(),
        reach: dir.reach(),
        wal_end: dir.wal.as_ref().map(|wal| wal.last),
        database: dir.database_position(),
        commit: dir.wal.as_ref().map(|wal| wal.commit()),
        revision: facts.map(|facts| facts.revision),
        db_bytes: facts.map(|facts| facts.size_bytes),
        db_modified: modified
            .ok()
            .and_then(|time| Timestamp::try_from(time).ok()),
        cluster_version: facts.and_then(|facts| facts.cluster_version.clone()),
        database_whole: dir.database.is_whole(),
        database_checked: checked,
    }
}

fn kind(refusal: &Refusal) -> RefusalKind {
    match refusal {
        Refusal::NoWal { .. } => RefusalKind::NoWal,
        Refusal::NeverJoined => RefusalKind::NeverJoined,
        Refusal::WalDamaged(_)
        | Refusal::NoMetadata
        | Refusal::WalTooShort { .. }
        | Refusal::IndexGap(_)
        | Refusal::CommitBeyondLog { .. } => RefusalKind::WalDamaged,
        Refusal::DatabaseAhead { .. } | Refusal::DatabaseBehind { .. } => RefusalKind::Mismatch,
        Refusal::DatabaseMissing => RefusalKind::DatabaseMissing,
        Refusal::DatabaseDamaged(_) | Refusal::ReceivedDamaged { .. } => {
            RefusalKind::DatabaseDamaged
        }
        Refusal::Removed(_) => RefusalKind::Removed,
    }
}

/// The members by the first of the views, which are ordered by what counts most; what the others know besides is added.
fn members(dir: &DataDir) -> Vec<ColdMember> {
    let views = || dir.membership.views.iter().map(|(_, view)| view);
    let Some(first) = views().next() else {
        return Vec::new();
    };
    let stored = dir.database.facts().map(|facts| facts.members.as_slice());
    let told = |id: &MemberId| {
        let in_view = |view: &View| view.members.get(id).cloned();
        let name = views().filter_map(in_view).find_map(|one| one.name);
        let peers = views().filter_map(in_view).find_map(|one| one.peer_urls);
        (name.filter(|name| !name.is_empty()), peers)
    };
    let member = |(id, one): (&MemberId, &ViewMember)| {
        let (name, peer_urls) = told(id);
        let stored = stored
            .unwrap_or_default()
            .iter()
            .find(|stored| stored.id == *id);
        ColdMember {
            id: *id,
            name,
            peer_urls: peer_urls.unwrap_or_default(),
            client_urls: stored
                .map(|one| one.client_urls.clone())
                .unwrap_or_default(),
            is_learner: one.is_learner,
        }
    };
    first.members.iter().map(member).collect()
}
