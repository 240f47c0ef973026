//! Plans and journals that earlier versions wrote are read, and written the same.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::act::{ActRecord, NoRecord, Record};
use super::add_learner::AddLearner;
use super::copy_data::CopyRecord;
use super::restore::RestoreRecord;
use super::run_alone::RunAloneRecord;
use super::start::StartRecord;
use super::stop::StopRecord;
use super::swap_data::SwapRecord;
use super::{Action, RULES};
use crate::plan::Plan;
use crate::plan::journal::{Entry, Event};

fn sample(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/plan-v1");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn plan() -> Plan {
    serde_json::from_str(&sample("plan.json")).unwrap()
}

#[test]
fn a_plan_of_version_1_with_every_action_is_written_the_same() {
    let value: Value = serde_json::from_str(&sample("plan.json")).unwrap();
    assert_eq!(serde_json::to_value(plan()).unwrap(), value);
    let names: BTreeSet<String> = plan()
        .steps()
        .map(|step| serde_json::to_value(&step.action).unwrap()["action"].to_string())
        .collect();
    assert_eq!(names.len(), RULES.len(), "one of each: {names:?}");
}

#[test]
fn a_journal_of_version_1_with_every_event_is_written_the_same() {
    for line in sample("journal.jsonl").lines() {
        let entry: Entry = serde_json::from_str(line).unwrap();
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_value(&entry).unwrap(), value);
    }
}

fn is_written_the_same<R: ActRecord>(record: &Record) {
    let read: R = record.read().unwrap();
    assert_eq!(&Record::new(&read).unwrap(), record);
}

#[test]
fn every_action_reads_its_record_of_version_1_and_writes_it_the_same() {
    let (plan, mut read) = (plan(), 0);
    for line in sample("journal.jsonl").lines() {
        let entry: Entry = serde_json::from_str(line).unwrap();
        let Event::Begun { record } = &entry.event else {
            continue;
        };
        read += 1;
        match &plan.step(entry.step).unwrap().action {
            Action::Stop(_) => is_written_the_same::<StopRecord>(record),
            Action::Start(_) => is_written_the_same::<StartRecord>(record),
            Action::Restore(_) => is_written_the_same::<RestoreRecord>(record),
            Action::SwapData(_) => is_written_the_same::<SwapRecord>(record),
            Action::CopyData(_) => is_written_the_same::<CopyRecord>(record),
            Action::RunAlone(_) => is_written_the_same::<RunAloneRecord>(record),
            Action::AddLearner(_) => is_written_the_same::<AddLearner>(record),
            Action::Await(_)
            | Action::Receive(_)
            | Action::Promote(_)
            | Action::RemoveMember(_)
            | Action::RemoveCopy(_)
            | Action::EndContainers(_)
            | Action::RestartKubelet(_) => is_written_the_same::<NoRecord>(record),
        }
    }
    assert_eq!(read, RULES.len(), "one of each");
}

#[test]
fn what_cannot_be_undone_is_said() {
    let said = |number: u32, was_done: bool| {
        let plan = plan();
        plan.step(number)
            .unwrap()
            .action
            .act()
            .what_stays(was_done)
            .written()
    };
    assert_eq!(
        said(10, true),
        "cp-2 stays a voting member: etcd makes no learner of a voter"
    );
    assert_eq!(
        said(10, false),
        "promote cp-2 once it is in sync was tried and failed: what cp-2 is now is shown by {list-members}"
    );
    assert!(said(11, true).starts_with("the member cp-2 stays removed: etcd takes no removed"));
    assert!(said(11, false).starts_with("remove the member cp-2 was tried and failed"));
}
