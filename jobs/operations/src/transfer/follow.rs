//! The sending side: a file that is perhaps still being written.
//!
//! A snapshot grows as `NAME.part`, locked by who writes it, and becomes `NAME` when it was checked. What is in it can
//! be sent before that; the end is sent only when the name has changed. The lock tells a slow writer from a dead one.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::{FrameWriter, MAX_PAYLOAD};
use crate::failure::{Failure, FailureKind};

/// How often is looked whether there is more.
const POLL: Duration = Duration::from_millis(20);

/// How often the receiver hears that we are alive.
const ALIVE: Duration = Duration::from_secs(2);

/// How long nobody may hold the lock: a writer takes it a moment after it made the file.
const ORPHANED: Duration = Duration::from_secs(2);

/// What is sent.
#[derive(Debug, Clone)]
pub struct Follow {
    /// The file's path when it is complete; before, it is `PATH.part`.
    pub path: PathBuf,
    /// Where to begin.
    pub offset: u64,
    /// How long to wait for the file to appear.
    pub patience: Duration,
}

/// Sends a file, waiting for what is not written yet. Whatever goes wrong with the file is told to the receiver as well.
///
/// # Errors
/// [`FailureKind::Interrupted`] when the receiver is gone; else what is wrong with the file.
pub fn follow(what: &Follow, out: impl Write) -> Result<(), Failure> {
    let sent = FrameWriter::new(out, what.offset)
        .map_err(Stop::Gone)
        .and_then(|mut out| match send(what, &mut out) {
            Err(Stop::Failed(failure)) => {
                out.failed(&failure)?;
                Err(Stop::Failed(failure))
            }
            other => other,
        });
    sent.map_err(|stop| match stop {
        Stop::Failed(failure) => failure,
        Stop::Gone(error) => {
            let message = format!("the receiver is gone: {error}");
            Failure::new(FailureKind::Interrupted, message)
        }
    })
}

/// Why sending ended before the end.
enum Stop {
    /// Nobody reads any more.
    Gone(io::Error),
    /// It is the file; the receiver can be told.
    Failed(Failure),
}

impl From<io::Error> for Stop {
    /// Only writing to the receiver is turned into a [`Stop`] by `?`; trouble with the file gets its words first.
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The file of a snapshot that is not complete yet.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

fn send<W: Write>(what: &Follow, out: &mut FrameWriter<W>) -> Result<(), Stop> {
    let mut file = open(what, out)?;
    let mut sha = Sha256::new();
    let mut buffer = vec![0; MAX_PAYLOAD];
    let mut position = 0;
    let mut watch = Watch::new(&what.path);
    loop {
        let n = match file.read(&mut buffer) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(&what.path, &error).into()),
        };
        if n == 0 {
            if watch.is_complete(&file)? {
                break;
            }
            if watch.is_silent() {
                out.data(&[])?;
            }
            std::thread::sleep(POLL);
            continue;
        }
        watch.went_on();
        sha.update(&buffer[..n]);
        // What the receiver has already is read for its sha256 alone.
        let skip = what.offset.saturating_sub(position).min(n as u64);
        position += n as u64;
        let skip = usize::try_from(skip).unwrap_or(n);
        if skip < n {
            out.data(&buffer[skip..n])?;
        } else if watch.is_silent() {
            out.data(&[])?;
        }
    }
    if position < what.offset {
        let message = format!(
            "the file has {position} bytes, and byte {} was asked for",
            what.offset
        );
        return Err(Failure::refused(message).into());
    }
    out.end(&sha.finalize().into())?;
    Ok(())
}

/// The file under either name, once there is one.
fn open<W: Write>(what: &Follow, out: &mut FrameWriter<W>) -> Result<File, Stop> {
    let begun = Instant::now();
    let mut told = begun;
    loop {
        // The complete one last: in between it may have changed its name.
        for path in [part_of(&what.path), what.path.clone()] {
            match File::open(&path) {
                Ok(file) => return Ok(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(&path, &error).into()),
            }
        }
        if begun.elapsed() >= what.patience {
            let message = format!("{} is not there", what.path.display());
            return Err(Failure::missing(message).into());
        }
        if told.elapsed() >= ALIVE {
            out.data(&[])?;
            told = Instant::now();
        }
        std::thread::sleep(POLL);
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::missing(format!("could not read {}: {error}", path.display()))
}

/// Whether a file that has no more bytes just now is complete, goes on, or never will.
struct Watch<'p> {
    path: &'p Path,
    complete: bool,
    last_told: Instant,
    unlocked_since: Option<Instant>,
}

impl<'p> Watch<'p> {
    fn new(path: &'p Path) -> Self {
        Self {
            path,
            complete: false,
            last_told: Instant::now(),
            unlocked_since: None,
        }
    }

    fn went_on(&mut self) {
        self.unlocked_since = None;
    }

    /// Whether it is time to say that we are alive.
    fn is_silent(&mut self) -> bool {
        let silent = self.last_told.elapsed() >= ALIVE;
        if silent {
            self.last_told = Instant::now();
        }
        silent
    }

    /// Asked at the file's end. True only for an end that was reached after the name had changed: the first time it is
    /// seen to have, there may be bytes between.
    fn is_complete(&mut self, file: &File) -> Result<bool, Failure> {
        if self.complete {
            return Ok(true);
        }
        self.complete = self.has_its_name(file)?;
        if self.complete {
            return Ok(false);
        }
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => self.unlocked_since = None,
            Ok(()) | Err(TryLockError::Error(_)) => {
                file.unlock().ok();
                let since = *self.unlocked_since.get_or_insert_with(Instant::now);
                // It gets its name before it loses its lock.
                if since.elapsed() >= ORPHANED && !self.has_its_name(file)? {
                    return Err(unfinished("whoever wrote it is gone"));
                }
            }
        }
        Ok(false)
    }

    fn has_its_name(&self, file: &File) -> Result<bool, Failure> {
        let ours = file
            .metadata()
            .map_err(|error| unreadable(self.path, &error))?;
        match self.path.metadata() {
            Ok(named) if (named.dev(), named.ino()) == (ours.dev(), ours.ino()) => Ok(true),
            _ if ours.nlink() == 0 => Err(unfinished("it was removed")),
            _ => Ok(false),
        }
    }
}

fn unfinished(why: &str) -> Failure {
    Failure::other(format!("the file was not finished: {why}"))
        .hint("the report of the operation that wrote it says why")
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::transfer::{Receiver, TransferError};

    fn what(path: &Path, offset: u64) -> Follow {
        Follow {
            path: path.to_owned(),
            offset,
            patience: Duration::from_millis(300),
        }
    }

    fn receive(stream: &[u8]) -> Result<Vec<u8>, TransferError> {
        let (mut receiver, mut stored) = (Receiver::new(), Vec::new());
        receiver.push(stream, |part| {
            stored.extend_from_slice(part);
            Ok(())
        })?;
        receiver.finish().map(|_| stored)
    }

    #[test]
    fn a_complete_file_is_sent_whole_and_from_anywhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        // Not to be compressed, so that places in the stream are places in the file.
        let content: Vec<u8> = (0..750_000_u32)
            .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        std::fs::write(&path, &content).unwrap();
        let mut stream = Vec::new();
        follow(&what(&path, 0), &mut stream).unwrap();
        assert_eq!(receive(&stream).unwrap(), content);

        let mut receiver = Receiver::new();
        let mut stored = Vec::new();
        let mut sink = |part: &[u8]| {
            stored.extend_from_slice(part);
            Ok(())
        };
        receiver.push(&stream[..2_100_000], &mut sink).unwrap();
        let offset = receiver.verified();
        assert_eq!(offset, 2 << 20);
        receiver.reconnected();
        let mut rest = Vec::new();
        follow(&what(&path, offset), &mut rest).unwrap();
        assert!(receiver.push(&rest, &mut sink).unwrap());
        receiver.finish().unwrap();
        assert_eq!(stored, content);
    }

    #[test]
    fn a_file_that_is_being_written_is_followed_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        let followed = what(&path, 0);
        let sender = thread::spawn(move || {
            let mut stream = Vec::new();
            follow(&followed, &mut stream).map(|()| stream)
        });
        let mut file = File::create(part_of(&path)).unwrap();
        file.lock().unwrap();
        for i in 0..20u8 {
            file.write_all(&[i; 1000]).unwrap();
            thread::sleep(Duration::from_millis(7));
        }
        std::fs::rename(part_of(&path), &path).unwrap();
        drop(file);
        let content: Vec<u8> = (0..20u8).flat_map(|i| [i; 1000]).collect();
        assert_eq!(receive(&sender.join().unwrap().unwrap()).unwrap(), content);
    }

    #[test]
    fn a_writer_that_dies_or_gives_up_ends_the_stream_with_a_failure() {
        for remove in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("s.db");
            let file = File::create(part_of(&path)).unwrap();
            file.lock().unwrap();
            let followed = what(&path, 0);
            let sender = thread::spawn(move || {
                let mut stream = Vec::new();
                let result = follow(&followed, &mut stream);
                (result, stream)
            });
            thread::sleep(Duration::from_millis(100));
            if remove {
                std::fs::remove_file(part_of(&path)).unwrap();
            }
            drop(file);
            let (result, stream) = sender.join().unwrap();
            let failure = result.unwrap_err();
            assert!(
                failure.message.starts_with("the file was not finished"),
                "{failure}"
            );
            assert!(
                matches!(receive(&stream), Err(TransferError::Sender(told)) if told == failure)
            );
        }
    }

    #[test]
    fn what_is_not_there_or_too_short_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        let mut stream = Vec::new();
        assert_eq!(
            follow(&what(&path, 0), &mut stream).unwrap_err().kind,
            FailureKind::Missing
        );
        assert!(matches!(receive(&stream), Err(TransferError::Sender(_))));
        std::fs::write(&path, b"abc").unwrap();
        let refused = follow(&what(&path, 4), &mut Vec::new()).unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused);
    }

    #[test]
    fn a_receiver_that_is_gone_ends_it() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let failure = follow(&what(&dir.path().join("x"), 0), Gone).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Interrupted);
    }
}
