//! Data moved aside, and other data in its place: renames on one file system, each done or not.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use etcd_datadir::disk::rename_new;
use serde::{Deserialize, Serialize};

use super::Done;
use super::act::{Act, ActRecord, StepContext, Undoing, Undone};
use super::data::{Move, parts, refuse_in_use};
use super::undo::Undo;
use crate::disk::files::{exists, is_there, make_folder_like, sync_folder_of, trouble};
use crate::failure::Failure;
use crate::plan::places::{BEFORE, NEW};
use crate::target::Target;

/// Moves the data aside, into a dated sibling folder, and what was restored in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapData {
    /// Whose data.
    pub target: Target,
    /// Whether restored data takes its place; without it etcd begins with nothing.
    pub restored: bool,
}

/// Folders that get other paths, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SwapRecord {
    /// The moves.
    moves: Vec<Move>,
    /// true: undo may move away data that etcd wrote since, because undo removes the whole new cluster. false: other members
    /// count on that data, so undo leaves it, as long as it is a member's.
    #[serde(rename = "withCluster")]
    discard_new_data: bool,
}

impl ActRecord for SwapRecord {
    const NAME: &'static str = "moves";
}

impl Act for SwapData {
    type Record = SwapRecord;

    fn describe(&self) -> String {
        match self.restored {
            true => "move the data aside and the restored data in".to_owned(),
            false => "move the data aside".to_owned(),
        }
    }

    async fn prepare(&self, step: &mut StepContext<'_>) -> Result<SwapRecord, Failure> {
        let mut moves = Vec::new();
        for part in parts(&self.target, step)? {
            if part.path.symlink_metadata().is_ok() {
                moves.push(Move {
                    to: part.places.before.join(part.name),
                    from: part.path.clone(),
                });
            }
            if self.restored {
                moves.push(Move {
                    from: part.places.new.join(part.name),
                    to: part.path,
                });
            }
        }
        Ok(SwapRecord {
            moves,
            discard_new_data: step.undo != Undo::RevertUnlessMember,
        })
    }

    async fn apply(
        &self,
        record: &SwapRecord,
        _step: &mut StepContext<'_>,
    ) -> Result<Done, Failure> {
        record.apply()
    }

    async fn undo(&self, record: &SwapRecord, undo: &mut Undoing<'_>) -> Result<Undone, Failure> {
        record.undo(undo.learner_removed)
    }

    fn missing_targets(&self, record: &SwapRecord) -> Result<Vec<PathBuf>, Failure> {
        missing_targets(&record.moves)
    }
}

impl SwapRecord {
    fn apply(&self) -> Result<Done, Failure> {
        self.refuse_in_use()?;
        for one in &self.moves[self.done()?..] {
            rename(&one.from, &one.to)?;
        }
        self.remove_emptied();
        let aside = self.moves.iter().filter(|one| is_aside(one));
        let aside = aside.filter_map(|one| one.to.parent());
        Ok(Done::Moved {
            aside: aside.map(Path::to_owned).collect(),
        })
    }

    /// `learner_removed`: whether the member that was added for this data has been removed again.
    fn undo(&self, learner_removed: bool) -> Result<Undone, Failure> {
        self.refuse_in_use()?;
        let stays = !self.discard_new_data && !learner_removed;
        let done = self.done()?;
        // Nothing is taken out of its place when what belongs there is gone.
        if let Some(target) = missing_targets(&self.moves[..done])?.first() {
            return Err(missing(target));
        }
        let mut undone = Undone::default();
        for (at, one) in self.moves.iter().enumerate().rev() {
            if at < done {
                rename(&one.to, &one.from)?;
            } else if is_aside(one) && is_there(&one.from)? && is_there(&one.to)? {
                bring_back_over(one, stays, &mut undone)?;
            }
        }
        self.remove_emptied();
        Ok(undone)
    }

    /// Removes the plan's own folders that everything was moved out of. One that has something in it stays.
    fn remove_emptied(&self) {
        let own = self.moves.iter().map(|one| match is_aside(one) {
            true => &one.to,
            false => &one.from,
        });
        for folder in own.filter_map(|path| path.parent()) {
            // Fails where there is something in it, or where it was removed before.
            std::fs::remove_dir(folder).ok();
        }
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
        undone.left.push(
            format!(
                "{} stays the data of a member that others count on; what it was before is in {}",
                one.from.display(),
                one.to.display()
            )
            .into(),
        );
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

/// Targets of these moves that no longer exist.
fn missing_targets(moves: &[Move]) -> Result<Vec<PathBuf>, Failure> {
    let mut missing = Vec::new();
    for one in moves {
        if !is_there(&one.to)? {
            missing.push(one.to.clone());
        }
    }
    Ok(missing)
}

/// Whether a move moves aside what was in use, into the plan's own folder.
fn is_aside(one: &Move) -> bool {
    let ending = one.to.parent().and_then(Path::extension);
    ending.is_some_and(|ending| ending == BEFORE)
}

fn missing(path: &Path) -> Failure {
    let message = format!("{} is not there", path.display());
    Failure::missing(message).hint("somebody else moved it; bring it back to its place")
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
    use crate::failure::FailureKind;

    fn folders() -> (tempfile::TempDir, SwapRecord) {
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
        let discard_new_data = true;
        (
            dir,
            SwapRecord {
                moves,
                discard_new_data,
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
            assert!(!dir.path().join("etcd-x.new").exists(), "nothing is in it");
            for one in moves.moves[stopped_after..].iter().rev() {
                rename(&one.to, &one.from).unwrap();
            }
            moves.undo(false).unwrap();
            moves.undo(false).unwrap();
            assert_eq!(in_use(&dir), "old");
            assert!(dir.path().join("etcd-x.new/member").is_dir());
            assert!(!dir.path().join("etcd-x.before").exists());
        }
    }

    /// etcd has begun anew where data was moved aside: a member that joined.
    fn joined(discard_new_data: bool) -> (tempfile::TempDir, SwapRecord) {
        let (dir, mut moves) = folders();
        moves.moves.pop();
        moves.discard_new_data = discard_new_data;
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
        assert!(
            undone.left[0].written().contains("etcd-x.before"),
            "{undone:?}"
        );
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
            missing_targets(&moves.moves).unwrap(),
            [dir.path().join("etcd-x.before/member")]
        );
        assert_eq!(moves.undo(false).unwrap_err().kind, FailureKind::Missing);
        assert_eq!(in_use(&dir), "new");
        // Also where etcd has made it anew, so that nothing tells that it was moved.
        let (dir, moves) = joined(true);
        let aside = dir.path().join("etcd-x.before/member");
        assert_eq!(missing_targets(&moves.moves).unwrap(), [] as [PathBuf; 0]);
        std::fs::remove_dir_all(&aside).unwrap();
        assert_eq!(missing_targets(&moves.moves).unwrap(), [aside]);
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
