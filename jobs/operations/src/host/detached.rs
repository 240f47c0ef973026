//! Work that does not stop when whoever asked for it is gone: done by a process of its own, followed by whoever asks.
//!
//! All of it is in one folder of the host, and nothing there is ever removed:
//!
//! | file | |
//! |---|---|
//! | `lock` | held by the worker for as long as it lives (`flock`; it is the worker's standard input, handed over by who started it) |
//! | `N.request.json` | what was asked in attempt N |
//! | `N.events.jsonl` | the worker's [`Line`]s; the last one is its answer or its failure |
//! | `N.stderr` | what it said when it died |
//!
//! So a request that is asked again while it is worked on, or when it has ended, is not done twice: its lines are told
//! from the first on. A worker that died is not begun anew before somebody asks for the next attempt.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use etcd_datadir::disk::make_folders;
use serde::Deserialize;
use tokio::time::sleep;

use super::answer;
use crate::disk::files::{Replace, trouble, write};
use crate::failure::{Failure, FailureKind};
use crate::wire::{self, Ask, Detached, Event, Line, MAX_LINE_BYTES};
use crate::work::Progress;

/// How often is looked whether there is more to tell.
const POLL: Duration = Duration::from_millis(50);

/// How long the lock may be in other hands: a follower takes it for a moment to see whether the worker lives.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// So much of a dead worker's last words is told, in bytes.
const LAST_WORDS: usize = 400;

/// Begins the work, if that has not been done, and tells its events from the first on until it ends. Dropping this stops
/// the telling and not the work.
///
/// `worker` is the command that calls [`work`] with the same [`Detached`].
///
/// Gives back the [`Line`] with the answer as the worker wrote it.
///
/// # Errors
/// What the work failed with; [`FailureKind::Interrupted`] when the worker died; [`FailureKind::Refused`] when the folder
/// is another work's, or another attempt is at work.
pub async fn start_or_follow(
    ask: &Ask,
    detached: &Detached,
    worker: Command,
    tell: &mut (dyn FnMut(Progress) + Send),
) -> Result<String, Failure> {
    detached.start(ask, worker)?;
    detached.follow(tell).await
}

/// Leaves the session of whoever started this process: not one of those who are told to end when the connection does.
pub fn leave_session() {
    // It is in one of its own already where this fails.
    let _ = rustix::process::setsid();
}

/// Does what is on record, in this process: the worker's side. Its standard input must be the lock.
///
/// # Errors
/// When the record cannot be read or written. What the work itself failed with is on record.
pub async fn work(detached: &Detached) -> Result<(), Failure> {
    let path = detached.path("request.json");
    let text = std::fs::read_to_string(&path).map_err(|error| trouble("read", &path, &error))?;
    let mut events = Record::create(&detached.path("events.jsonl"))?;
    let ended = match Ask::parse(&text) {
        Ok(ask) => {
            let mut told = |progress| {
                // A full disk does not stop what is under way.
                let _ = events.line(Event::Progress(progress));
            };
            Box::pin(answer(&ask, &mut told)).await
        }
        Err(failure) => {
            let message = format!("{}: {}", path.display(), failure.message);
            Err(Failure { message, ..failure })
        }
    };
    events.end(ended.into())
}

impl Detached {
    fn path(&self, what: &str) -> PathBuf {
        self.folder.join(format!("{}.{what}", self.attempt))
    }

    /// Begins it, unless it was begun.
    fn start(&self, ask: &Ask, mut worker: Command) -> Result<(), Failure> {
        make_folders(&self.folder)
            .map_err(|error| trouble("make the folder", &self.folder, &error))?;
        if self.is_on_record(ask)? && self.has_lines() {
            return Ok(());
        }
        let lock = self.open_lock()?;
        let locked = lock_within(&lock, LOCK_PATIENCE);
        // Somebody else may have been faster. With a request and no lines the worker was killed before it began, unless
        // it has the lock.
        if self.is_on_record(ask)? && (self.has_lines() || !locked) {
            return Ok(());
        }
        if !locked {
            let message = format!(
                "an earlier attempt in {} is still at work",
                self.folder.display()
            );
            return Err(Failure::new(FailureKind::Refused, message)
                .hint("wait for its end, or end its process"));
        }
        let request = self.path("request.json");
        let text =
            serde_json::to_vec(ask).map_err(|error| trouble("write", &request, &error.into()))?;
        write(&request, &text, Replace::OwnFile)?;
        let stderr = self.path("stderr");
        let stderr = File::create(&stderr).map_err(|error| trouble("make", &stderr, &error))?;
        let spawned = worker
            // The lock goes over to the worker without ever being free.
            .stdin(Stdio::from(lock))
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn();
        spawned.map(drop).map_err(|error| {
            let message = format!("the process for the work does not start: {error}");
            Failure::new(FailureKind::Other, message)
        })
    }

    /// Whether this attempt was asked for before.
    fn is_on_record(&self, ask: &Ask) -> Result<bool, Failure> {
        let path = self.path("request.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(trouble("read", &path, &error)),
        };
        let known = Ask::parse(&text).map_err(|failure| Failure {
            message: format!("{}: {}", path.display(), failure.message),
            ..failure
        })?;
        if known.request != ask.request || known.selection != ask.selection {
            let message = format!("{} is the record of another request", path.display());
            return Err(Failure::new(FailureKind::Refused, message));
        }
        Ok(true)
    }

    fn has_lines(&self) -> bool {
        self.path("events.jsonl").exists()
    }

    /// Tells what is on record, and what is added to it, until the end.
    async fn follow(&self, tell: &mut (dyn FnMut(Progress) + Send)) -> Result<String, Failure> {
        let mut lines = Lines::new(self.path("events.jsonl"));
        loop {
            // Asked before the lines are read: what the worker wrote before it ended is read then.
            let lives = self.worker_lives()?;
            while let Some((event, text)) = lines.next()? {
                match event {
                    FollowedEvent::Progress(progress) => tell(progress),
                    FollowedEvent::Report {} | FollowedEvent::Done {} => return Ok(text),
                    FollowedEvent::Failed { failure } => return Err(failure),
                    FollowedEvent::Unknown => {}
                }
            }
            if !lives {
                return Err(self.died());
            }
            sleep(POLL).await;
        }
    }

    fn worker_lives(&self) -> Result<bool, Failure> {
        // Released when it is closed, at once.
        Ok(self.open_lock()?.try_lock_shared().is_err())
    }

    fn open_lock(&self) -> Result<File, Failure> {
        let path = self.folder.join("lock");
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| trouble("make", &path, &error))
    }

    fn died(&self) -> Failure {
        let said = std::fs::read(self.path("stderr")).unwrap_or_default();
        let said = String::from_utf8_lossy(&said[said.len().saturating_sub(LAST_WORDS)..])
            .trim()
            .replace('\n', "; ");
        let mut message =
            "the process that did the work ended in the middle: it was killed, or the host lost power"
                .to_owned();
        if !said.is_empty() {
            message = format!("{message}; its last words: {said}");
        }
        Failure::new(FailureKind::Interrupted, message)
    }
}

fn lock_within(file: &File, patience: Duration) -> bool {
    let begun = Instant::now();
    while file.try_lock().is_err() {
        if begun.elapsed() >= patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// The worker's lines on their way to the disk.
struct Record {
    file: File,
    path: PathBuf,
}

impl Record {
    fn create(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| trouble("make", path, &error))?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    fn line(&mut self, event: Event) -> io::Result<()> {
        let text = Line::new(event).text()?;
        self.file.write_all(text.as_bytes())
    }

    /// The last line, onto the disk.
    fn end(mut self, event: Event) -> Result<(), Failure> {
        self.line(event)
            .and_then(|()| self.file.sync_all())
            .map_err(|error| trouble("write", &self.path, &error))
    }
}

/// What a follower reads of a [`Line`]. It passes the answer on unread: the code that reads every kind of answer is large, and
/// so the program on a node does without it.
#[derive(Deserialize)]
struct FollowedLine {
    event: FollowedEvent,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum FollowedEvent {
    Progress(Progress),
    Report {},
    Done {},
    Failed {
        failure: Failure,
    },
    #[serde(other)]
    Unknown,
}

/// The lines of a file that grows.
struct Lines {
    path: PathBuf,
    file: Option<BufReader<File>>,
    /// The beginning of a line whose end is not written yet.
    begun: Vec<u8>,
}

impl Lines {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            begun: Vec::new(),
        }
    }

    /// The next whole line and its text, if it is there already.
    fn next(&mut self) -> Result<Option<(FollowedEvent, String)>, Failure> {
        let unreadable = |error| trouble("read", &self.path, &error);
        let file = match &mut self.file {
            Some(file) => file,
            none => match File::open(&self.path) {
                Ok(file) => none.insert(BufReader::new(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(unreadable(error)),
            },
        };
        let left = (MAX_LINE_BYTES + 1).saturating_sub(self.begun.len());
        file.take(left as u64)
            .read_until(b'\n', &mut self.begun)
            .map_err(unreadable)?;
        if self.begun.len() > MAX_LINE_BYTES {
            let message = format!(
                "{} has a line of more than {} MiB",
                self.path.display(),
                MAX_LINE_BYTES >> 20
            );
            return Err(Failure::new(FailureKind::Corrupt, message));
        }
        if self.begun.last() != Some(&b'\n') {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&self.begun).into_owned();
        self.begun.clear();
        let line: FollowedLine = wire::parse(text.trim_end()).map_err(|error| {
            let message = format!("{}: {error}", self.path.display());
            Failure::new(FailureKind::Corrupt, message)
        })?;
        Ok(Some((line.event, text)))
    }
}

#[cfg(test)]
#[path = "detached_tests.rs"]
mod tests;
