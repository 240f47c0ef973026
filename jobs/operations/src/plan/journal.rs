//! What a plan did on this host: a line of JSON before and after each step, each on the disk before anything goes on.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::Done;
use super::action::act::{Record, Undone};
use crate::disk::files::{nofollow, sync_folder_of, trouble};
use crate::failure::Failure;
use crate::state::LONGEST_JOURNAL;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    /// When it was written.
    pub(crate) at: Timestamp,
    /// Which step.
    pub(crate) step: u32,
    /// What happened.
    pub(crate) event: Event,
}

/// What happens to a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub(crate) enum Event {
    /// It is about to do what the record says.
    Begun {
        /// What exactly.
        record: Record,
    },
    /// It has done it.
    Done {
        /// What came of it.
        done: Done,
    },
    /// It failed; it may be tried again.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// It is about to be undone.
    UndoBegun,
    /// It was undone, as far as that can be.
    Undone {
        /// How far.
        undone: Undone,
    },
    /// Undoing it failed; it may be tried again.
    UndoFailed {
        /// Why.
        failure: Failure,
    },
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "state",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum StepState {
    /// It has begun, and not ended.
    Begun,
    /// It is done.
    Done {
        /// What came of it.
        done: Done,
    },
    /// It failed.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// It is being undone.
    UndoBegun,
    /// It was undone.
    Undone {
        /// How far.
        undone: Undone,
    },
    /// Undoing it failed.
    UndoFailed {
        /// Why.
        failure: Failure,
    },
}

impl StepState {
    /// Whether it is being undone, or was.
    pub fn is_back(&self) -> bool {
        matches!(
            self,
            Self::UndoBegun | Self::Undone { .. } | Self::UndoFailed { .. }
        )
    }
}

/// A host's journal of one plan.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    entries: Vec<Entry>,
    /// How many bytes are whole lines. What is behind them was being written when the power went.
    whole: u64,
}

impl Journal {
    /// Reads a journal; one that is not there is empty.
    ///
    /// # Errors
    /// `FailureKind::Corrupt` when a line is not one, unless it is the last and has no end.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let mut text = Vec::new();
        match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            opened => {
                let file = opened.map_err(|error| trouble("read", path, &error))?;
                file.take(LONGEST_JOURNAL)
                    .read_to_end(&mut text)
                    .map_err(|error| trouble("read", path, &error))?;
            }
        }
        let (entries, whole) = parse(&text).map_err(|(line, error)| {
            let message = format!("line {line} of {} is no entry: {error}", path.display());
            Failure::corrupt(message)
                .hint("what the plan did is in the lines before it; look at them, and at plan.json beside them")
        })?;
        Ok(Self {
            path: path.to_owned(),
            entries,
            whole,
        })
    }

    /// What happened, in this order.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How far each step is that has begun.
    pub(crate) fn states(&self) -> BTreeMap<u32, StepState> {
        let mut states = BTreeMap::new();
        for entry in &self.entries {
            let state = match entry.event.clone() {
                Event::Begun { .. } => StepState::Begun,
                Event::Done { done } => StepState::Done { done },
                Event::Failed { failure } => StepState::Failed { failure },
                Event::UndoBegun => StepState::UndoBegun,
                Event::Undone { undone } => StepState::Undone { undone },
                Event::UndoFailed { failure } => StepState::UndoFailed { failure },
            };
            states.insert(entry.step, state);
        }
        states
    }

    /// Whether a step was done, whatever became of it since.
    pub(crate) fn was_done(&self, step: u32) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| entry.step == step && matches!(entry.event, Event::Done { .. }))
    }

    /// What a step has to do, or did.
    pub(crate) fn record_of(&self, step: u32) -> Option<&Record> {
        self.records()
            .find(|(number, _)| *number == step)
            .map(|(_, record)| record)
    }

    /// The records, the newest first, with the numbers of their steps.
    pub(crate) fn records(&self) -> impl Iterator<Item = (u32, &Record)> {
        self.entries
            .iter()
            .rev()
            .filter_map(|entry| match &entry.event {
                Event::Begun { record } => Some((entry.step, record)),
                _ => None,
            })
    }

    /// Adds a line, onto the disk.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn add(&mut self, step: u32, event: Event) -> Result<(), Failure> {
        let entry = Entry {
            at: Timestamp::now(),
            step,
            event,
        };
        let mut line =
            serde_json::to_vec(&entry).map_err(|error| Failure::other(error.to_string()))?;
        line.push(b'\n');
        self.append(&line)
            .map_err(|error| trouble("write", &self.path, &error))?;
        if self.entries.is_empty() {
            sync_folder_of(&self.path)?;
        }
        self.whole += line.len() as u64;
        self.entries.push(entry);
        Ok(())
    }

    fn append(&self, line: &[u8]) -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(nofollow())
            .open(&self.path)?;
        file.set_len(self.whole)?;
        file.seek(SeekFrom::Start(self.whole))?;
        file.write_all(line)?;
        file.sync_all()
    }
}

/// The whole lines, and how many bytes they are. An error names the line.
fn parse(text: &[u8]) -> Result<(Vec<Entry>, u64), (usize, serde_json::Error)> {
    let whole = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let lines = text[..whole].split_inclusive(|byte| *byte == b'\n');
    let entries: Result<Vec<Entry>, _> = lines
        .enumerate()
        .map(|(at, line)| serde_json::from_slice(line).map_err(|error| (at + 1, error)))
        .collect();
    Ok((entries?, whole as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::FailureKind;
    use crate::plan::action::act::NoRecord;
    use proptest::prelude::*;

    fn nothing() -> Record {
        Record::new(&NoRecord {}).unwrap()
    }

    fn begun() -> Event {
        Event::Begun { record: nothing() }
    }

    #[test]
    fn a_line_that_was_being_written_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut journal = Journal::open(&path).unwrap();
        journal.add(1, begun()).unwrap();
        journal.add(1, Event::Done { done: Done::Plain }).unwrap();
        let text = std::fs::read(&path).unwrap();
        for cut in 0..text.len() {
            std::fs::write(&path, &text[..cut]).unwrap();
            let mut journal = Journal::open(&path).unwrap();
            let lines = journal.entries().len();
            assert!(lines < 2, "{cut}");
            journal.add(1, Event::UndoBegun).unwrap();
            let again = Journal::open(&path).unwrap();
            assert_eq!(again.entries().len(), lines + 1, "{cut}");
            assert_eq!(again.states()[&1], StepState::UndoBegun);
        }
    }

    #[test]
    fn a_line_in_the_middle_that_is_none_is_no_journal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut journal = Journal::open(&path).unwrap();
        journal.add(1, begun()).unwrap();
        let mut text = std::fs::read(&path).unwrap();
        text.splice(0..0, *b"{}\n");
        std::fs::write(&path, &text).unwrap();
        let failure = Journal::open(&path).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Corrupt);
        assert!(failure.message.contains("line 1"), "{failure}");
    }

    #[test]
    fn the_last_line_of_a_step_says_how_far_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&dir.path().join("journal.jsonl")).unwrap();
        journal.add(1, begun()).unwrap();
        journal.add(2, begun()).unwrap();
        journal.add(1, Event::Done { done: Done::Plain }).unwrap();
        let states = journal.states();
        assert_eq!(states[&1], StepState::Done { done: Done::Plain });
        assert_eq!(states[&2], StepState::Begun);
        assert_eq!(journal.record_of(2), Some(&nothing()));
        assert_eq!(journal.record_of(3), None);
    }

    proptest! {
        #[test]
        fn whatever_is_in_the_file_is_a_journal_or_an_error(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&text);
        }
    }
}
