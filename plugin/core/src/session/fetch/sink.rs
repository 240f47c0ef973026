//! Where what is fetched goes: a file that counts only when it is whole, standard output, or memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::pack::unpack::Arrived;
use etcd_operations::pack::unpack::segment::LARGEST_SEGMENT;
use etcd_operations::stored::description::Description;
use etcd_operations::stored::part::Part;
use etcd_operations::transfer::{Receiver, Whole, hex};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::check::Check;
use super::verdict::damaged;
use crate::error::Error;
use crate::outcome::{RunError, RunErrorKind, run_error};

/// How many files of one name are set aside.
const MOST_SET_ASIDE: u32 = 999;

/// A place for bytes that come in order.
pub(super) struct Sink {
    to: To,
    /// Of all that is in it, where somebody wants to know.
    sha: Option<Sha256>,
    size: u64,
    /// Of what is in it, but for what is taken into memory.
    check: Option<Check>,
    /// Why this host takes no more: nobody's on the node.
    refusal: Option<Error>,
}

/// Why something is not taken.
#[derive(Debug)]
pub(super) enum SinkError {
    /// The place does not take it.
    Here(io::Error),
    /// It is no whole snapshot.
    Damaged(Failure),
}

impl From<Failure> for SinkError {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Corrupt => Self::Damaged(failure),
            _ => Self::Here(io::Error::other(failure)),
        }
    }
}

enum To {
    File(FilePart),
    /// What is to be written next: writing may wait for whoever reads for ever, and is not done in between.
    Stdout(Vec<u8>),
    Memory(Vec<u8>),
}

/// A file that is not complete. Dropped before it is, it is removed, unless it can be resumed.
struct FilePart {
    part: Option<Part>,
    /// What an earlier run left, until it is looked at.
    left: u64,
    kept: bool,
}

impl Drop for FilePart {
    fn drop(&mut self) {
        let begun = |part: &Part| part.file().metadata().is_ok_and(|found| found.len() > 0);
        if let Some(part) = self.part.take().filter(|part| self.kept && begun(part)) {
            part.keep();
        }
    }
}

impl Sink {
    /// A file that is removed when it does not become complete.
    ///
    /// # Errors
    /// When the file or its folder cannot be written, and when another run writes it.
    pub(super) fn file(path: &Path) -> Result<Self, Error> {
        let part = Part::create(path).map_err(|failure| not_stored(path, failure))?;
        Ok(Self::of(To::File(FilePart {
            part: Some(part),
            left: 0,
            kept: false,
        })))
    }

    /// A file that stays as `FILE.part` when it does not become complete, so that a later run resumes it.
    ///
    /// # Errors
    /// As [`Sink::file`].
    pub(super) fn resumable_file(path: &Path) -> Result<Self, Error> {
        let (part, left) = Part::resume(path).map_err(|failure| not_stored(path, failure))?;
        Ok(Self::of(To::File(FilePart {
            part: Some(part),
            left,
            kept: true,
        })))
    }

    /// Standard output.
    pub(super) fn stdout() -> Self {
        Self::of(To::Stdout(Vec::new()))
    }

    /// Memory.
    pub(super) fn memory() -> Self {
        Self::of(To::Memory(Vec::new()))
    }

    fn of(to: To) -> Self {
        Self {
            to,
            sha: None,
            size: 0,
            check: None,
            refusal: None,
        }
    }

    /// The same, with the sha256 of all that is written.
    pub(super) fn hashed(self) -> Self {
        Self {
            sha: Some(Sha256::new()),
            ..self
        }
    }

    /// A receiver for it: from the first byte, or once from where an earlier run ended.
    pub(super) async fn receiver(&mut self) -> io::Result<Receiver> {
        if matches!(self.to, To::Stdout(_)) && self.size > 0 {
            return Err(io::Error::other("a part of it has been written already"));
        }
        self.size = 0;
        if let Some(sha) = &mut self.sha {
            *sha = Sha256::new();
        }
        // What went on of an earlier try ends.
        self.check = None;
        match &mut self.to {
            To::File(file) => {
                let left = std::mem::take(&mut file.left);
                let part = file.part()?;
                let (name, path) = (part.path().display().to_string(), part.current_path());
                if left == 0 {
                    self.check = Some(Check::begin(name, Some(part.file().try_clone()?), None));
                    part.begin()?;
                    return Ok(Receiver::new());
                }
                self.size = left;
                let again = File::open(path)?.take(left);
                self.check = Some(Check::begin(
                    name,
                    Some(part.file().try_clone()?),
                    Some(again),
                ));
                let path = path.to_owned();
                let read = move || Receiver::resumed(File::open(path)?);
                tokio::task::spawn_blocking(read)
                    .await
                    .map_err(io::Error::other)?
            }
            To::Stdout(_) => {
                let name = "standard output".to_owned();
                self.check = Some(Check::begin(name, None, None));
                Ok(Receiver::new())
            }
            To::Memory(bytes) => {
                bytes.clear();
                Ok(Receiver::new())
            }
        }
    }

    /// Takes what comes next.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.to {
            To::File(file) => file.part()?.write(bytes)?,
            To::Stdout(next) => next.extend_from_slice(bytes),
            To::Memory(there) if (there.len() + bytes.len()) as u64 > LARGEST_SEGMENT => {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            To::Memory(there) => there.extend_from_slice(bytes),
        }
        self.size += bytes.len() as u64;
        if let Some(sha) = &mut self.sha {
            sha.update(bytes);
        }
        if let Some(check) = &mut self.check {
            check.take(bytes);
        }
        Ok(())
    }

    /// Waits until what was taken is where it belongs: to be called between writes.
    ///
    /// # Errors
    /// When it is not taken there, or is seen to be damaged.
    pub(super) async fn settle(&mut self) -> Result<(), SinkError> {
        self.flush().await.map_err(SinkError::Here)?;
        match &mut self.check {
            Some(check) => Ok(check.settle().await?),
            None => Ok(()),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if let To::Stdout(next) = &mut self.to {
            let mut out = tokio::io::stdout();
            out.write_all(next).await?;
            out.flush().await?;
            next.clear();
        }
        Ok(())
    }

    /// All has come: what it is by its own bytes.
    ///
    /// # Errors
    /// When it is not taken, or is no whole snapshot.
    pub(super) async fn checked(&mut self) -> Result<Arrived, SinkError> {
        self.flush().await.map_err(SinkError::Here)?;
        match self.check.take() {
            Some(check) => Ok(check.end().await?),
            None => Err(SinkError::Here(io::Error::other("nothing was checked"))),
        }
    }

    /// What is in memory.
    pub(super) fn into_memory(self) -> Vec<u8> {
        match self.to {
            To::Memory(bytes) => bytes,
            To::File(_) | To::Stdout(_) => Vec::new(),
        }
    }

    /// What has been written, if it was hashed.
    pub(super) fn whole(&self) -> Option<Whole> {
        self.sha.as_ref().map(|sha| Whole {
            size_bytes: self.size,
            sha256: hex(&sha.clone().finalize()),
        })
    }

    /// Onto the disk, with what describes it, and under its name.
    ///
    /// # Errors
    /// When the disk does not take it, or the name was taken meanwhile.
    pub(super) async fn complete(mut self, description: &Description) -> Result<(), Error> {
        match &mut self.to {
            To::File(file) => match file.part.take() {
                Some(part) => {
                    let path = part.path().to_owned();
                    part.complete(Some(description))
                        .map_err(|failure| not_stored(&path, failure))
                }
                None => Ok(()),
            },
            To::Stdout(_) => self.flush().await.map_err(stdout_closed),
            To::Memory(_) => Ok(()),
        }
    }

    /// What is there is of no use, not even to resume.
    pub(super) fn discard(&mut self) {
        if let To::File(file) = &mut self.to {
            file.kept = false;
        }
    }

    /// Keeps it under a name that says that it is not what was wanted, and nothing that describes it. Where that is taken, by
    /// what was kept before, it gets a number. None: it is no file.
    ///
    /// # Errors
    /// As [`Sink::complete`].
    pub(super) fn set_aside(mut self, ending: &str) -> Result<Option<PathBuf>, Error> {
        let To::File(file) = &mut self.to else {
            return Ok(None);
        };
        let Some(part) = file.part.take() else {
            return Ok(None);
        };
        let path = free_beside(part.path(), ending);
        let kept = part.renamed(path.clone());
        let kept = kept.and_then(|part| part.complete(None));
        kept.map_err(|failure| not_stored(&path, failure))?;
        Ok(Some(path))
    }

    /// A receiver, as [`Sink::receiver`].
    ///
    /// # Errors
    /// As [`Sink::fault`].
    pub(super) async fn begin(&mut self) -> Result<Receiver, RunError> {
        let receiver = self.receiver().await;
        receiver.map_err(|error| self.fault(SinkError::Here(error)))
    }

    /// Why the operation on the node whose file was to come here has failed. Of what is damaged nothing is kept.
    pub(super) fn fault(&mut self, error: SinkError) -> RunError {
        match error {
            SinkError::Here(error) => {
                // The error itself goes to [`Self::error`].
                let refused = RunError::new(RunErrorKind::Other, error.to_string());
                self.refusal = Some(self.refused(error));
                refused
            }
            SinkError::Damaged(failure) => {
                self.discard();
                damaged(&failure)
            }
        }
    }

    /// The error of the operation on the node whose file was to come here.
    pub(super) fn error(&mut self, node: &str, error: &RunError) -> Error {
        let refusal = self.refusal.take();
        refusal.unwrap_or_else(|| run_error(node, error))
    }

    /// The error for a place that does not take what it is given.
    pub(super) fn refused(&self, error: io::Error) -> Error {
        match &self.to {
            To::File(FilePart {
                part: Some(part), ..
            }) => {
                let failure = Failure::new(kind_of(&error), error.to_string());
                not_stored(part.path(), failure)
            }
            To::File(_) | To::Stdout(_) => stdout_closed(error),
            To::Memory(_) => {
                Error::failed("a node's files are larger than can be").caused_by(error)
            }
        }
    }
}

impl FilePart {
    fn part(&mut self) -> io::Result<&mut Part> {
        self.part
            .as_mut()
            .ok_or_else(|| io::Error::other("it is complete already"))
    }
}

/// A path with this ending after its name, or with this ending and the first number from 2 on that is free.
fn free_beside(path: &Path, ending: &str) -> PathBuf {
    let named = |number: u32| {
        let mut named = path.to_owned().into_os_string();
        named.push(ending);
        if number > 1 {
            named.push(format!("-{number}"));
        }
        PathBuf::from(named)
    };
    let is_taken = |path: &PathBuf| {
        let described = Description::path_of(path);
        path.symlink_metadata().is_ok() || described.symlink_metadata().is_ok()
    };
    let mut names = (1..=MOST_SET_ASIDE).map(named);
    names
        .find(|path| !is_taken(path))
        .unwrap_or_else(|| named(1))
}

fn stdout_closed(error: io::Error) -> Error {
    Error::failed("standard output takes no more").caused_by(error)
}

fn kind_of(error: &io::Error) -> FailureKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureKind::NoSpace,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => FailureKind::Missing,
        _ => FailureKind::Other,
    }
}

fn not_stored(path: &Path, failure: Failure) -> Error {
    let hint = match failure.kind {
        FailureKind::Refused => {
            return Error::refused(failure.message)
                .hint("name another file, or move that one aside");
        }
        FailureKind::NoSpace => "make room, or name a file on another disk",
        FailureKind::Missing => "name a file in a folder you may write to",
        _ => "name a file in another folder",
    };
    Error::failed(format!(
        "{} cannot be written: {}",
        path.display(),
        failure.message
    ))
    .hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn description(path: &Path) -> Description {
        let report = serde_json::from_value(serde_json::json!({
            "path": "/kubectl-etcd/snapshot/snapshot.db", "sizeBytes": 3, "sha256": "ab", "clusterId": "1", "memberId": "2",
            "revision": 3, "raftTerm": 4, "etcdVersion": "3.6.6", "hash": 5, "totalKeys": 6,
            "takenAt": "2026-11-21T15:00:00Z", "tookMs": 7,
        }))
        .unwrap();
        Description::new(&report, path)
    }

    #[tokio::test]
    async fn a_whole_file_gets_its_name_its_mode_and_its_description() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let mut sink = Sink::file(&path).unwrap();
        sink.receiver().await.unwrap();
        sink.write(b"half").unwrap();
        sink.receiver().await.unwrap();
        sink.write(b"abc").unwrap();
        assert!(!path.exists());
        sink.complete(&description(&path)).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let described = std::fs::read(folder.path().join("s.db.json")).unwrap();
        assert_eq!(Description::parse(&described).unwrap().snapshot.path, path);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_not_whole_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let mut sink = Sink::file(&path).unwrap();
        sink.write(b"abc").unwrap();
        assert!(Sink::file(&path).is_err(), "another run is writing it");
        drop(sink);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_can_be_gone_on_with_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let mut sink = Sink::resumable_file(&path).unwrap();
        sink.receiver().await.unwrap();
        sink.write(b"abc").unwrap();
        drop(sink);
        let mut sink = Sink::resumable_file(&path).unwrap();
        assert_eq!(sink.receiver().await.unwrap().verified(), 3);
        // Once: if that did not fit, from the first byte.
        assert_eq!(sink.receiver().await.unwrap().verified(), 0);
        sink.write(b"xyz").unwrap();
        sink.complete(&description(&path)).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"xyz");
    }

    #[tokio::test]
    async fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let sink = Sink::file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        let error = sink.complete(&description(&path)).await.unwrap_err();
        assert_eq!(error.kind.exit_code(), 5);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(Sink::file(&path).is_err());
    }

    #[tokio::test]
    async fn a_second_try_never_follows_what_standard_output_has_already() {
        let mut sink = Sink::stdout();
        sink.receiver().await.unwrap();
        sink.receiver().await.unwrap();
        sink.write(b"x").unwrap();
        assert!(sink.receiver().await.is_err());
    }

    #[test]
    fn a_fetch_of_nothing_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(Sink::resumable_file(&folder.path().join("s.db")).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn each_that_is_set_aside_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        for (content, name) in [
            (b"one", "s.db.mismatch"),
            (b"two", "s.db.mismatch-2"),
            (b"six", "s.db.mismatch-3"),
        ] {
            let mut sink = Sink::file(&path).unwrap();
            sink.write(content).unwrap();
            let kept = sink.set_aside(".mismatch").unwrap().unwrap();
            assert_eq!(kept, folder.path().join(name));
            assert_eq!(std::fs::read(kept).unwrap(), content);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn an_unwritable_folder_is_named() {
        let error = Sink::file(Path::new("/nowhere/at/all/s.db")).err().unwrap();
        assert_eq!(error.kind.exit_code(), 1);
        let text = error.chain();
        assert!(
            text.contains("/nowhere/at/all/s.db cannot be written"),
            "{text}"
        );
    }
}
