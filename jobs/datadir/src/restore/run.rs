//! The restore itself: copy, patch, check, name.

use std::fs::File;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use crate::Error;
use crate::disk::create_private;
use crate::ids::{ClusterId, MemberId};
use crate::lock::{SharedLock, share_database};
use crate::progress::{OnProgress, Progress};
use crate::source::{FileSource, Source};
use crate::status::Status;
use crate::stream::{TRAILER_LEN, has_trailer};
use crate::tree::Database;
use crate::verify::{Verdict, VerifyOptions, verify};

use super::RestoreError;
use super::copy;
use super::new_cluster::NewCluster;
use super::options::{OptionsError, RawDatabase, RestoreOptions, RestoreTarget};
use super::patch::{Patch, Patched};
use super::stage::{Stage, sync_dir};
use super::storage::StorageFinding;

/// What the source was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotForm {
    /// A snapshot with its trailer, which was right.
    Snapshot,
    /// A database file without a trailer, of which every page and record could be read.
    RawDatabase,
}

/// What a restore made.
#[derive(Debug, Clone)]
pub struct RestoreReport {
    /// What it was made from.
    pub form: SnapshotForm,
    /// The new cluster's id.
    pub cluster_id: ClusterId,
    /// The token its ids were made with.
    pub token: String,
    /// The directories, in the order asked for.
    pub members: Vec<RestoredMember>,
    /// The source's revision.
    pub revision_before: u64,
    /// The revision etcd will begin with: the source's, or that with the bump.
    pub revision_after: u64,
    /// How the storage version goes with the etcd that is to run.
    pub storage: StorageFinding,
    /// What `etcdutl snapshot status` says of the restored database; the same for all members.
    pub status: Status,
}

/// One restored directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredMember {
    /// The member's name.
    pub name: String,
    /// Its id.
    pub id: MemberId,
    /// Its peer URLs.
    pub peer_urls: Vec<String>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The WAL's directory.
    pub wal_dir: PathBuf,
    /// The database file.
    pub database: PathBuf,
}

/// Restores a snapshot into one directory for each target, in one process with flat memory.
///
/// Progress counts the bytes copied and those read back. See [`super`] for what is done and in which order.
///
/// # Errors
/// [`RestoreError`]. No target is there then, with one exception: when several were asked for and one could not be
/// given its name at the very end, those named before it stay.
pub fn restore(
    snapshot: &Path,
    targets: &[RestoreTarget],
    options: &RestoreOptions,
    on_progress: OnProgress<'_>,
) -> Result<RestoreReport, RestoreError> {
    restore_source(&FileSource::open(snapshot)?, targets, options, on_progress)
}

/// [`restore`] of a file that is open.
///
/// # Errors
/// As [`restore`].
pub fn restore_source(
    source: &FileSource,
    targets: &[RestoreTarget],
    options: &RestoreOptions,
    on_progress: OnProgress<'_>,
) -> Result<RestoreReport, RestoreError> {
    let cluster = NewCluster::form(&options.members, &options.token)?;
    let ids = check_targets(targets, &cluster)?;
    let mut input = Input::open(source, options.raw)?;
    let total = input.database_bytes * 2 * targets.len() as u64;
    let mut meter = Meter {
        on_progress,
        before: 0,
        total,
    };

    let mut staged: Vec<StagedMember> = Vec::new();
    for (target, &id) in targets.iter().zip(&ids) {
        staged.push(StagedMember::new(target, id, &cluster)?);
    }
    let mut outcome: Option<(Patched, Status)> = None;
    for i in 0..staged.len() {
        match &outcome {
            None => {
                outcome = Some(first_database(
                    source, &mut input, &staged[i], &cluster, options, &mut meter,
                )?);
            }
            Some((patched, status)) => {
                copy_of_first(
                    &staged[0],
                    &staged[i],
                    (patched, status),
                    &input,
                    &mut meter,
                )?;
            }
        }
        staged[i].flush()?;
    }
    let Some((patched, status)) = outcome else {
        return Err(OptionsError::NoTarget.into());
    };
    let mut members = Vec::new();
    for ((staged, target), id) in staged.into_iter().zip(targets).zip(ids) {
        staged.name()?;
        members.push(restored(target, id, &cluster));
    }
    Ok(RestoreReport {
        form: if input.trailer {
            SnapshotForm::Snapshot
        } else {
            SnapshotForm::RawDatabase
        },
        cluster_id: cluster.id,
        token: cluster.token,
        members,
        revision_before: patched.revision_before,
        revision_after: patched.revision_after,
        storage: patched.storage,
        status,
    })
}

/// Refuses what [`restore`] refuses whatever the snapshot is. For callers that have to unpack it first.
///
/// # Errors
/// [`RestoreError::Options`], [`RestoreError::Exists`].
pub fn check_request(
    targets: &[RestoreTarget],
    options: &RestoreOptions,
) -> Result<(), RestoreError> {
    let cluster = NewCluster::form(&options.members, &options.token)?;
    check_targets(targets, &cluster)?;
    for target in targets {
        let data = if target.within_existing() {
            target.data_dir.join("member")
        } else {
            target.data_dir.clone()
        };
        let mut dirs = std::iter::once(&data).chain(&target.wal_dir);
        if let Some(there) = dirs.find(|dir| dir.symlink_metadata().is_ok()) {
            return Err(RestoreError::Exists(there.clone()));
        }
    }
    Ok(())
}

/// Checks that each target is somebody's own; gives their ids.
fn check_targets(
    targets: &[RestoreTarget],
    cluster: &NewCluster,
) -> Result<Vec<MemberId>, OptionsError> {
    if targets.is_empty() {
        return Err(OptionsError::NoTarget);
    }
    check_apart(targets)?;
    let mut ids = Vec::new();
    for (i, target) in targets.iter().enumerate() {
        let member = cluster
            .member(&target.member)
            .ok_or_else(|| OptionsError::UnknownMember(target.member.clone()))?;
        if targets[..i].iter().any(|o| o.member == target.member) {
            return Err(OptionsError::DuplicateTarget(target.member.clone()));
        }
        ids.push(member.id);
    }
    Ok(ids)
}

/// Checks that each directory is apart from all others. Otherwise the one that gets its name first would make the other
/// one's name taken, and stay behind.
fn check_apart(targets: &[RestoreTarget]) -> Result<(), OptionsError> {
    let dirs = targets
        .iter()
        .flat_map(|target| std::iter::once(&target.data_dir).chain(&target.wal_dir));
    let mut before: Vec<&PathBuf> = Vec::new();
    for dir in dirs {
        if let Some(other) = before.iter().find(|other| touch(dir, other)) {
            return Err(OptionsError::NotApart {
                dir: dir.clone(),
                other: (*other).clone(),
            });
        }
        before.push(dir);
    }
    Ok(())
}

/// Whether two directories are the same, or one is in the other, as far as their paths tell.
fn touch(a: &Path, b: &Path) -> bool {
    let (a, b) = (plain(a), plain(b));
    a.starts_with(&b) || b.starts_with(&a)
}

/// A path from the root on, without `.` and `..`; symbolic links are not followed.
fn plain(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

fn restored(target: &RestoreTarget, id: MemberId, cluster: &NewCluster) -> RestoredMember {
    let member_dir = target.data_dir.join("member");
    let peer_urls = cluster
        .member(&target.member)
        .map(|member| member.peer_urls.clone())
        .unwrap_or_default();
    RestoredMember {
        name: target.member.clone(),
        id,
        peer_urls,
        data_dir: target.data_dir.clone(),
        wal_dir: target
            .wal_dir
            .clone()
            .unwrap_or_else(|| member_dir.join("wal")),
        database: member_dir.join("snap").join("db"),
    }
}

/// What is known of the source before it is copied.
struct Input<'s> {
    database_bytes: u64,
    trailer: bool,
    /// Keeps etcd out of a raw database until it is copied.
    lock: Option<SharedLock<'s>>,
}

impl<'s> Input<'s> {
    fn open(source: &'s FileSource, raw: RawDatabase) -> Result<Self, RestoreError> {
        let db = Database::open_etcd(source)?;
        let database_bytes = db.meta().database_size();
        let page_size = u64::from(db.meta().page_size);
        let trailer = has_trailer(source.size());
        let mut lock = None;
        if trailer && source.size() != database_bytes + TRAILER_LEN {
            let damage = crate::Damage::ExtraBytes {
                size: source.size(),
                expected: database_bytes + TRAILER_LEN,
            };
            return Err(Error::damaged(source.name(), damage).into());
        }
        if !trailer {
            if raw == RawDatabase::Refuse || !source.size().is_multiple_of(page_size) {
                return Err(RestoreError::Raw {
                    file: source.name().to_owned(),
                });
            }
            lock = share_database(source.file(), source.name())?;
            if lock.is_none() {
                return Err(RestoreError::InUse {
                    file: source.name().to_owned(),
                });
            }
        }
        Ok(Self {
            database_bytes,
            trailer,
            lock,
        })
    }
}

/// Progress over several steps.
struct Meter<'p> {
    on_progress: OnProgress<'p>,
    before: u64,
    total: u64,
}

impl Meter<'_> {
    fn tell(&mut self, done: u64) -> Result<(), Error> {
        let done = (self.before + done).min(self.total);
        crate::progress::report(self.on_progress, done, self.total)
    }

    fn step_done(&mut self, bytes: u64) {
        self.before += bytes;
    }
}

/// One member's directories in the making, WAL and `.snap` file already in them.
struct StagedMember {
    data: Stage,
    wal: Option<Stage>,
    member_dir: PathBuf,
    wal_dir: PathBuf,
    snap_dir: PathBuf,
}

impl StagedMember {
    fn new(
        target: &RestoreTarget,
        id: MemberId,
        cluster: &NewCluster,
    ) -> Result<Self, RestoreError> {
        let within = target.within_existing();
        let (data, member_dir) = if within {
            let stage = Stage::new(&target.data_dir.join("member"), Some(&target.data_dir))?;
            let member_dir = stage.path().to_owned();
            (stage, member_dir)
        } else {
            let stage = Stage::new(&target.data_dir, None)?;
            let member_dir = stage.subdirectory("member")?;
            (stage, member_dir)
        };
        let wal = target
            .wal_dir
            .as_deref()
            .map(|wal_dir| Stage::new(wal_dir, None))
            .transpose()?;
        let wal_dir = match &wal {
            Some(stage) => stage.path().to_owned(),
            None => data.subdirectory(if within { "wal" } else { "member/wal" })?,
        };
        let snap_dir = data.subdirectory(if within { "snap" } else { "member/snap" })?;
        let first = crate::wal::SegmentName {
            sequence: 0,
            index: 0,
        };
        cluster.wal(id).write_to(&wal_dir.join(first.to_string()))?;
        let (name, bytes) = cluster.snap();
        write_file(&snap_dir.join(name.to_string()), &bytes)?;
        Ok(Self {
            data,
            wal,
            member_dir,
            wal_dir,
            snap_dir,
        })
    }

    fn database(&self) -> PathBuf {
        self.snap_dir.join("db")
    }

    /// Flushes the directories from the bottom up; the files were flushed when they were written.
    fn flush(&self) -> Result<(), Error> {
        for dir in [&self.wal_dir, &self.snap_dir, &self.member_dir] {
            sync_dir(dir)?;
        }
        sync_dir(self.data.path())
    }

    /// The WAL gets its name first: a data directory without a WAL would be taken for a member that never ran. It loses
    /// it again when the data directory cannot have its own.
    fn name(mut self) -> Result<(), RestoreError> {
        if let Some(wal) = &mut self.wal {
            wal.name()?;
        }
        let named = self.data.name();
        if let (Err(_), Some(wal)) = (&named, &mut self.wal) {
            wal.take_back();
        }
        named
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let fail = |action: &str, e| Error::io(&path.display().to_string(), action, e);
    let mut file = create_private(path)?;
    file.write_all(bytes).map_err(|e| fail("write", e))?;
    file.sync_all().map_err(|e| fail("flush", e))
}

/// Copies the source, patches the copy and reads it back.
fn first_database(
    source: &FileSource,
    input: &mut Input<'_>,
    staged: &StagedMember,
    cluster: &NewCluster,
    options: &RestoreOptions,
    meter: &mut Meter<'_>,
) -> Result<(Patched, Status), RestoreError> {
    let path = staged.database();
    let bytes = input.database_bytes;
    let file = copy::create(&path, bytes)?;
    copy::copy(
        source,
        &file,
        &path.display().to_string(),
        bytes,
        input.trailer,
        &mut |done| meter.tell(done),
    )?;
    input.lock = None;
    meter.step_done(bytes);
    let patch = Patch {
        members: &cluster.members,
        position: cluster.position(),
        bump: options.bump_revision.map(std::num::NonZeroU64::get),
        for_etcd: options.for_etcd,
        storage: options.storage,
    };
    let patched = patch.apply(&file, &path)?;
    let status = read_back(&file, &path, source.name(), meter)?;
    meter.step_done(bytes);
    if status.revision != patched.revision_after || status.total_size != patched.size_bytes {
        let what = format!(
            "revision {} and {} bytes",
            status.revision, status.total_size
        );
        return Err(RestoreError::ReadBack { path, what });
    }
    Ok((patched, status))
}

/// Another member's database: the same file, which the kernel may share where the file system can.
fn copy_of_first(
    first: &StagedMember,
    other: &StagedMember,
    (patched, status): (&Patched, &Status),
    input: &Input<'_>,
    meter: &mut Meter<'_>,
) -> Result<(), RestoreError> {
    let (from, path) = (first.database(), other.database());
    let mut reader =
        File::open(&from).map_err(|e| Error::io(&from.display().to_string(), "open", e))?;
    let mut file = copy::create(&path, patched.size_bytes)?;
    std::io::copy(&mut reader, &mut file)
        .map_err(|e| Error::io(&path.display().to_string(), "write", e))?;
    meter.step_done(input.database_bytes);
    meter.tell(0)?;
    let found = read_back(&file, &path, &from.display().to_string(), meter)?;
    meter.step_done(input.database_bytes);
    if found != *status {
        let what = format!("hash {:08x} instead of {:08x}", found.hash, status.hash);
        return Err(RestoreError::ReadBack { path, what });
    }
    Ok(())
}

/// Walks the database that was written, every page and every record, while it is brought to disk.
fn read_back(
    file: &File,
    path: &Path,
    source: &str,
    meter: &mut Meter<'_>,
) -> Result<Status, RestoreError> {
    let written = FileSource::open(path)?;
    let options = VerifyOptions {
        sha256: false,
        records: true,
    };
    let (flushed, verified) = std::thread::scope(|scope| {
        let flush = scope.spawn(|| file.sync_all());
        let mut tell = |progress: Progress| match meter.tell(progress.done) {
            Ok(()) => std::ops::ControlFlow::Continue(()),
            Err(_) => std::ops::ControlFlow::Break(()),
        };
        let verified = verify(&written, &options, None, &mut tell);
        (flush.join(), verified)
    });
    let verified = verified?;
    match flushed {
        Ok(Ok(())) => {}
        Ok(Err(e)) => return Err(Error::io(written.name(), "flush", e).into()),
        Err(_) => {
            return Err(Error::io(
                written.name(),
                "flush",
                std::io::Error::other("the thread ended early"),
            )
            .into());
        }
    }
    match (verified.status, verified.verdict) {
        (Some(status), Verdict::NoTrailer) => Ok(status),
        _ => {
            let damage = verified
                .findings
                .into_iter()
                .find(|finding| finding.fatal)
                .map(|finding| finding.damage);
            let damage = damage.unwrap_or(crate::Damage::NoMeta);
            Err(Error::damaged(source, damage).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::NewMember;

    fn cluster() -> NewCluster {
        let members = NewMember::parse_list("a=http://a:1,b=http://b:1").unwrap();
        NewCluster::form(&members, &super::super::Token::Fresh).unwrap()
    }

    fn target(member: &str, data_dir: &Path, wal_dir: Option<PathBuf>) -> RestoreTarget {
        RestoreTarget {
            wal_dir,
            ..RestoreTarget::new(member, data_dir)
        }
    }

    #[test]
    fn each_directory_must_be_apart_from_all_others() {
        for (wal_dir, apart) in [
            ("d/a", false),
            ("./d/x/../a/", false),
            ("d/a/wal", false),
            ("d/b/wal", false),
            ("d", false),
            ("/", false),
            ("d/b-wal", false),
            ("d/a-wal", true),
        ] {
            let targets = [
                target("b", Path::new("d/b"), Some("d/b-wal".into())),
                target("a", Path::new("d/a"), Some(wal_dir.into())),
            ];
            let found = check_targets(&targets, &cluster());
            let refused = matches!(found, Err(OptionsError::NotApart { .. }));
            assert_eq!(refused, !apart, "{wal_dir}: {found:?}");
        }
        for data_dir in ["./d/b/../a", "d", "d/a/member/b"] {
            let targets = [
                target("a", Path::new("d/a"), None),
                target("b", Path::new(data_dir), None),
            ];
            let found = check_targets(&targets, &cluster());
            assert!(
                matches!(found, Err(OptionsError::NotApart { .. })),
                "{data_dir}: {found:?}"
            );
        }
        let twice = [
            target("a", Path::new("d/a"), None),
            target("a", Path::new("d/b"), None),
        ];
        let found = check_targets(&twice, &cluster());
        assert_eq!(found, Err(OptionsError::DuplicateTarget("a".to_owned())));
    }

    #[test]
    fn a_wal_loses_its_name_when_the_data_directory_gets_none() {
        let dir = tempfile::tempdir().unwrap();
        let (data, wal) = (dir.path().join("etcd"), dir.path().join("wal"));
        let target = target("a", &data, Some(wal));
        let cluster = cluster();
        let id = cluster.member("a").unwrap().id;
        let staged = StagedMember::new(&target, id, &cluster).unwrap();
        std::fs::create_dir(&data).unwrap();
        assert!(matches!(staged.name(), Err(RestoreError::Exists(_))));
        let left = std::fs::read_dir(dir.path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [data]);
    }
}
