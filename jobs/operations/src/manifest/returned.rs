//! Which archived manifests came back, by the journals of plans: an earlier version left no other sign of it.
//!
//! Plans are made of changes of manifests and not the other way round, so only what this asks for is read of a journal.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Start, Stop};
use crate::root;
use crate::state::{LONGEST_JOURNAL, PLANS, PlanFolder};

/// One line of a journal.
#[derive(Deserialize)]
struct Entry {
    step: u32,
    event: Event,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event {
    Begun {
        record: Record,
    },
    Done,
    Undone,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
enum Record {
    Stop {
        manifest: Stop,
    },
    Start {
        manifest: Start,
    },
    #[serde(other)]
    Other,
}

/// The file names of the archived manifests that the plans of a host brought back after they had taken them out.
pub(super) fn brought_back(root: &Path) -> BTreeSet<OsString> {
    let plans = root::below(root, Path::new(PLANS));
    let folders = plans.and_then(std::fs::read_dir).into_iter().flatten();
    // A journal that cannot be read says nothing; whoever lists the plans is told so.
    let journals = folders
        .flatten()
        .filter_map(|folder| read(&PlanFolder::new(folder.path()).journal()).ok());
    let archived = journals.flat_map(|journal| returned(&journal));
    archived
        .filter_map(|path| path.file_name().map(OsString::from))
        .collect()
}

fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let mut text = Vec::new();
    File::open(path)?
        .take(LONGEST_JOURNAL)
        .read_to_end(&mut text)?;
    // A last line without an end was being written when the power went.
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let whole = lines.filter(|line| line.ends_with(b"\n"));
    let entries: Result<Vec<Entry>, _> = whole.map(serde_json::from_slice).collect();
    Ok(entries?)
}

/// What came back by a step that started the component, or by undoing one that stopped it.
fn returned(journal: &[Entry]) -> Vec<PathBuf> {
    let last: BTreeMap<u32, &Event> = journal
        .iter()
        .map(|entry| (entry.step, &entry.event))
        .collect();
    let came_back = |entry: &Entry| match (&entry.event, last.get(&entry.step)?) {
        (
            Event::Begun {
                record: Record::Stop { manifest },
            },
            Event::Undone,
        ) => Some(manifest.kept.clone()),
        (
            Event::Begun {
                record: Record::Start { manifest },
            },
            Event::Done,
        ) => manifest.like.clone(),
        _ => None,
    };
    journal.iter().filter_map(came_back).collect()
}
