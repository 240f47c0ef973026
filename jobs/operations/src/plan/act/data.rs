//! Data moved aside, and other data in its place: renames on one file system, each done or not.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use etcd_datadir::disk::rename_new;
use serde::{Deserialize, Serialize};

use super::super::PlanKind;
use super::super::action::Done;
use super::super::places::{BEFORE, NEW, Places};
use super::{Here, Undone};
use crate::disk::files::{exists, make_folder_like, sync_folder_of, trouble};
use crate::failure::{Failure, FailureKind};
use crate::static_pod::is_locked;
use crate::target::Target;

/// One folder that gets another path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    /// Where it is.
    pub from: PathBuf,
    /// Where it goes.
    pub to: PathBuf,
}

/// Folders that get other paths, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Moves {
    /// The moves.
    pub moves: Vec<Move>,
    /// Whether all of the cluster that etcd joined with what it has made in their places since is taken back with them.
    /// Else that is the data of a member on which others count, and stays, as long as it is a member.
    pub with_cluster: bool,
}

pub(super) fn prepare(target: &Target, restored: bool, here: &Here<'_>) -> Result<Moves, Failure> {
    let mut moves = Vec::new();
    for part in parts(target, here)? {
        if part.path.symlink_metadata().is_ok() {
            moves.push(Move {
                to: part.places.before.join(part.name),
                from: part.path.clone(),
            });
        }
        if restored {
            moves.push(Move {
                from: part.places.new.join(part.name),
                to: part.path,
            });
        }
    }
    Ok(Moves {
        moves,
        with_cluster: here.kind != PlanKind::Replace,
    })
}

/// Whose a target's data is, by user and group: that of the data there is, else of the directory for it.
pub(super) fn owner(target: &Target) -> Result<(u32, u32), Failure> {
    let (member, dir) = (target.data_dir.join("member"), &target.data_dir);
    let found = member.metadata().or_else(|_| dir.metadata());
    let found = found.map_err(|error| trouble("look at", dir, &error))?;
    Ok((found.uid(), found.gid()))
}

/// A folder of etcd's data and where a plan puts it.
pub(super) struct Part {
    /// Where etcd has it.
    pub(super) path: PathBuf,
    /// Its name in the plan's folders.
    pub(super) name: &'static str,
    /// The plan's folders for it.
    pub(super) places: Places,
}

/// `member`, and the WAL's folder when that is elsewhere.
pub(super) fn parts(target: &Target, here: &Here<'_>) -> Result<Vec<Part>, Failure> {
    let mut parts = vec![Part {
        path: target.data_dir.join("member"),
        name: "member",
        places: Places::of(&target.data_dir, here.id)?,
    }];
    if let Some(wal_dir) = &target.wal_dir {
        let parent = wal_dir.parent().unwrap_or(wal_dir);
        let device = |path: &Path| path.metadata().map(|found| found.dev());
        let device = |path: &Path| device(path).map_err(|error| trouble("look at", path, &error));
        if is_there(wal_dir)? && device(wal_dir)? != device(parent)? {
            let message = format!(
                "the WAL's folder {} is a file system of its own and cannot be moved aside",
                wal_dir.display()
            );
            return Err(Failure::new(FailureKind::Refused, message)
                .hint("give etcd a --wal-dir below that file system's top, then begin again"));
        }
        parts.push(Part {
            path: wal_dir.clone(),
            name: "wal",
            places: Places::of(wal_dir, here.id)?,
        });
    }
    Ok(parts)
}

impl Moves {
    pub(super) fn apply(&self) -> Result<Done, Failure> {
        self.refuse_in_use()?;
        for one in &self.moves[self.done()?..] {
            rename(&one.from, &one.to)?;
        }
        let aside = self.moves.iter().filter(|one| is_aside(one));
        let aside = aside.filter_map(|one| one.to.parent());
        Ok(Done::Moved {
            aside: aside.map(Path::to_owned).collect(),
        })
    }

    /// `learner_is_gone`: whether the member that was added for this data has been removed again.
    pub(super) fn undo(&self, learner_is_gone: bool) -> Result<Undone, Failure> {
        self.refuse_in_use()?;
        let stays = !self.with_cluster && !learner_is_gone;
        let done = self.done()?;
        // Nothing is taken out of its place when what belongs there is gone.
        if let Some(gone) = gone(&self.moves[..done])?.first() {
            return Err(missing(gone));
        }
        let mut undone = Undone::default();
        for (at, one) in self.moves.iter().enumerate().rev() {
            if at < done {
                rename(&one.to, &one.from)?;
            } else if is_aside(one) && is_there(&one.from)? && is_there(&one.to)? {
                bring_back_over(one, stays, &mut undone)?;
            }
        }
        Ok(undone)
    }

    /// What all of the moves brought to its place, or put aside, and is there no more: it cannot be taken back. They have been
    /// done, and not been begun to be taken back.
    pub(crate) fn gone(&self) -> Result<Vec<PathBuf>, Failure> {
        gone(&self.moves)
    }

    /// Somebody may have started etcd again since the plan stopped it.
    fn refuse_in_use(&self) -> Result<(), Failure> {
        let ends = self.moves.iter().flat_map(|one| [&one.from, &one.to]);
        ends.map(PathBuf::as_path).try_for_each(refuse_in_use)
    }

    /// How many of the moves are done. One that is done proves all before it: what it brings may lie where an earlier one
    /// took something away.
    fn done(&self) -> Result<usize, Failure> {
        for (at, one) in self.moves.iter().enumerate().rev() {
            if !is_there(&one.from)? && is_there(&one.to)? {
                return Ok(at + 1);
            }
        }
        Ok(0)
    }
}

/// etcd has made something new where this took something away.
fn bring_back_over(one: &Move, stays: bool, undone: &mut Undone) -> Result<(), Failure> {
    if stays {
        undone.left.push(format!(
            "{} stays the data of a member that others count on; what it was before is in {}",
            one.from.display(),
            one.to.display()
        ));
        return Ok(());
    }
    let folder = one.to.parent().unwrap_or(&one.to).with_extension(NEW);
    rename(
        &one.from,
        &folder.join(one.to.file_name().unwrap_or_default()),
    )?;
    rename(&one.to, &one.from)?;
    undone.kept.push(folder);
    Ok(())
}

/// Where these moves brought something that is there no more.
fn gone(moves: &[Move]) -> Result<Vec<PathBuf>, Failure> {
    let mut gone = Vec::new();
    for one in moves {
        if !is_there(&one.to)? {
            gone.push(one.to.clone());
        }
    }
    Ok(gone)
}

/// Whether a move puts aside what was in use, into the plan's own folder.
fn is_aside(one: &Move) -> bool {
    let ending = one.to.parent().and_then(Path::extension);
    ending.is_some_and(|ending| ending == BEFORE)
}

/// Refuses data that an etcd runs on.
///
/// # Errors
/// [`FailureKind::Refused`] when somebody has the lock on the database in it.
pub(super) fn refuse_in_use(member: &Path) -> Result<(), Failure> {
    let database = member.join("snap/db");
    if !is_locked(&database) {
        return Ok(());
    }
    let message = format!("an etcd runs on {}", member.display());
    Err(Failure::new(FailureKind::Refused, message)
        .hint("somebody has started it again: kubectl etcd manifest stop etcd, then begin where this ended"))
}

fn missing(path: &Path) -> Failure {
    let message = format!("{} is not there", path.display());
    Failure::new(FailureKind::Missing, message)
        .hint("somebody else moved it; bring it back to its place")
}

fn is_there(path: &Path) -> Result<bool, Failure> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(trouble("look at", path, &error)),
    }
}

/// Moves a folder. Never over something.
fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    match (is_there(from)?, is_there(to)?) {
        (true, true) => {
            return Err(exists(to).hint(format!(
                "look at what is in {} and in {}, and move one of them elsewhere",
                from.display(),
                to.display()
            )));
        }
        (false, _) => return Err(missing(from)),
        (true, false) => {}
    }
    make_folder_of(to, from)?;
    rename_new(from, to).map_err(|error| trouble("move", from, &error))?;
    sync_folder_of(to)?;
    sync_folder_of(from)
}

/// Makes the folder for what is moved, as the one it comes from: owner and mode.
fn make_folder_of(to: &Path, from: &Path) -> Result<(), Failure> {
    let folder = to.parent().unwrap_or(to);
    if is_there(folder)? {
        return Ok(());
    }
    let like = from.parent().unwrap_or(from);
    let like = like
        .metadata()
        .map_err(|error| trouble("look at", like, &error))?;
    make_folder_like(folder, &like, like.mode() & 0o7777)?;
    sync_folder_of(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders() -> (tempfile::TempDir, Moves) {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for (path, text) in [("etcd/member", "old"), ("etcd-x.new/member", "new")] {
            std::fs::create_dir_all(at(path)).unwrap();
            std::fs::write(at(path).join("db"), text).unwrap();
        }
        let moves = vec![
            Move {
                from: at("etcd/member"),
                to: at("etcd-x.before/member"),
            },
            Move {
                from: at("etcd-x.new/member"),
                to: at("etcd/member"),
            },
        ];
        let with_cluster = true;
        (
            dir,
            Moves {
                moves,
                with_cluster,
            },
        )
    }

    fn in_use(dir: &tempfile::TempDir) -> String {
        std::fs::read_to_string(dir.path().join("etcd/member/db")).unwrap_or_default()
    }

    #[test]
    fn moves_are_done_once_and_taken_back_once_from_wherever_they_stopped() {
        for stopped_after in 0..=2 {
            let (dir, moves) = folders();
            for one in &moves.moves[..stopped_after] {
                rename(&one.from, &one.to).unwrap();
            }
            moves.apply().unwrap();
            moves.apply().unwrap();
            assert_eq!(in_use(&dir), "new");
            for one in moves.moves[stopped_after..].iter().rev() {
                rename(&one.to, &one.from).unwrap();
            }
            moves.undo(false).unwrap();
            moves.undo(false).unwrap();
            assert_eq!(in_use(&dir), "old");
            assert!(dir.path().join("etcd-x.new/member").is_dir());
        }
    }

    /// etcd has begun anew where data was put aside: a member that joined.
    fn joined(with_cluster: bool) -> (tempfile::TempDir, Moves) {
        let (dir, mut moves) = folders();
        moves.moves.pop();
        moves.with_cluster = with_cluster;
        moves.apply().unwrap();
        std::fs::remove_dir_all(dir.path().join("etcd-x.new")).unwrap();
        std::fs::create_dir_all(dir.path().join("etcd/member")).unwrap();
        std::fs::write(dir.path().join("etcd/member/db"), "joined").unwrap();
        (dir, moves)
    }

    #[test]
    fn what_a_member_that_joined_has_made_goes_aside_with_its_cluster() {
        let (dir, moves) = joined(true);
        let undone = moves.undo(false).unwrap();
        assert_eq!(in_use(&dir), "old");
        assert_eq!(undone.kept, [dir.path().join("etcd-x.new")]);
        let kept = dir.path().join("etcd-x.new/member/db");
        assert_eq!(std::fs::read_to_string(kept).unwrap(), "joined");
        moves.undo(false).unwrap();
        assert_eq!(in_use(&dir), "old");
    }

    #[test]
    fn what_others_count_on_stays_and_is_said() {
        let (dir, moves) = joined(false);
        let undone = moves.undo(false).unwrap();
        assert_eq!(in_use(&dir), "joined");
        assert!(undone.left[0].contains("etcd-x.before"), "{undone:?}");
    }

    #[test]
    fn a_learner_that_was_removed_again_leaves_its_place_to_what_was_before() {
        let (dir, moves) = joined(false);
        let undone = moves.undo(true).unwrap();
        assert_eq!(in_use(&dir), "old");
        assert_eq!(undone.kept, [dir.path().join("etcd-x.new")]);
        assert!(undone.left.is_empty(), "{undone:?}");
    }

    #[test]
    fn nothing_is_taken_away_for_what_is_gone() {
        let (dir, moves) = folders();
        moves.apply().unwrap();
        std::fs::remove_dir_all(dir.path().join("etcd-x.before")).unwrap();
        assert_eq!(
            moves.gone().unwrap(),
            [dir.path().join("etcd-x.before/member")]
        );
        assert_eq!(moves.undo(false).unwrap_err().kind, FailureKind::Missing);
        assert_eq!(in_use(&dir), "new");
        // Also where etcd has made it anew, so that nothing tells that it was moved.
        let (dir, moves) = joined(true);
        let aside = dir.path().join("etcd-x.before/member");
        assert_eq!(moves.gone().unwrap(), [] as [PathBuf; 0]);
        std::fs::remove_dir_all(&aside).unwrap();
        assert_eq!(moves.gone().unwrap(), [aside]);
    }

    #[test]
    fn nothing_is_moved_below_an_etcd_that_runs() {
        let (dir, moves) = folders();
        std::fs::create_dir_all(dir.path().join("etcd/member/snap")).unwrap();
        let etcd = std::fs::File::create(dir.path().join("etcd/member/snap/db")).unwrap();
        etcd.try_lock().unwrap();
        assert_eq!(moves.apply().unwrap_err().kind, FailureKind::Refused);
        drop(etcd);
        moves.apply().unwrap();
        assert_eq!(in_use(&dir), "new");
    }

    #[test]
    fn what_never_began_is_taken_back_by_doing_nothing() {
        let (dir, moves) = folders();
        moves.undo(false).unwrap();
        assert_eq!(in_use(&dir), "old");
    }

    #[test]
    fn nothing_is_moved_over_something() {
        let (dir, moves) = folders();
        std::fs::create_dir_all(dir.path().join("etcd-x.before/member")).unwrap();
        assert_eq!(moves.apply().unwrap_err().kind, FailureKind::Refused);
        assert_eq!(in_use(&dir), "old");
        std::fs::remove_dir_all(dir.path().join("etcd-x.before/member")).unwrap();
        std::fs::remove_dir_all(dir.path().join("etcd/member")).unwrap();
        assert_eq!(moves.apply().unwrap_err().kind, FailureKind::Missing);
    }
}
