//! A plan executed over hosts in memory: each step fails in each way, then it is resumed, or rolled back.

use std::sync::{Arc, Mutex};

use etcd_operations::plan::{Direction, Plan, PlanKind, StepRun};

use super::memory::{Fault, MemoryHost, RESTORED, hosts, memory, plan};
use super::{Executed, Hosts, execute, roll_back};
use crate::error::{Error, ErrorKind};
use crate::outcome::{Notice, NoticeSink};
use crate::runners::host::Host;

/// Nothing has to be brought.
struct NothingToBring;

impl super::run::Bring for NothingToBring {
    async fn snapshot(&self, _host: &Host, _plan: &Plan) -> Result<(), Error> {
        Ok(())
    }
}

fn quiet() -> NoticeSink {
    Arc::new(|_| {})
}

async fn forth(hosts: &Hosts, plan: &Plan) -> Result<Executed, Error> {
    execute(&quiet(), hosts, plan, &NothingToBring).await
}

async fn back(hosts: &Hosts, plan: &Plan) -> Result<Executed, Error> {
    roll_back(&quiet(), hosts, plan).await
}

/// Three hosts on which a plan has begun.
async fn begun() -> (Vec<MemoryHost>, Hosts, Plan) {
    let memory = memory(3);
    let (hosts, plan) = (hosts(&memory), plan(PlanKind::Restore, &memory));
    hosts.begin(&plan).await.unwrap();
    (memory, hosts, plan)
}

fn numbers(memory: &[MemoryHost], direction: Direction) -> Vec<u32> {
    let performed = memory.iter().flat_map(MemoryHost::performed);
    let mut numbers: Vec<u32> = performed
        .filter(|(_, way)| *way == direction)
        .map(|(number, _)| number)
        .collect();
    numbers.sort_unstable();
    numbers
}

fn all(plan: &Plan) -> Vec<u32> {
    plan.steps().map(|step| step.number).collect()
}

fn place(memory: &[MemoryHost], plan: &Plan, number: u32) -> usize {
    let node = &plan.step(number).unwrap().node;
    let mut places = plan.hosts.iter();
    let at = places.position(|host| host.node == *node).unwrap();
    assert!(at < memory.len());
    at
}

#[tokio::test]
async fn every_step_is_done_once_stage_by_stage_and_the_hosts_are_free_then() {
    let (memory, hosts, plan) = begun().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    let notices: NoticeSink = Arc::new(move |notice| {
        if let Notice::Told(line) = notice {
            sink.lock().unwrap().push(line.written());
        }
    });
    let executed = execute(&notices, &hosts, &plan, &NothingToBring)
        .await
        .unwrap();
    assert_eq!(numbers(&memory, Direction::Do), all(&plan));
    assert_eq!((executed.runs.len(), executed.took.len()), (12, 4));
    assert_eq!(executed.least_revision(), Some(RESTORED));
    assert!(memory.iter().all(MemoryHost::is_free));
    let told = told.lock().unwrap();
    assert!(
        told[1].starts_with("[2/4] stop etcd (m1, m2, m3): "),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_step_that_fails_in_any_way_ends_its_stage_and_is_resumed() {
    let (_, _, plan) = begun().await;
    for number in all(&plan) {
        for fault in Fault::ALL {
            let (memory, hosts, plan) = begun().await;
            let at = place(&memory, &plan, number);
            memory[at].fails(number, Direction::Do, fault);
            let error = forth(&hosts, &plan).await.unwrap_err();
            let case = format!("{fault:?} at {number}: {error}");
            let node = &plan.step(number).unwrap().node;
            assert!(error.message.starts_with(node.as_str()), "{case}");
            // The others of its stage come to their end, and none of a later stage begins.
            let stage = plan
                .stages
                .iter()
                .find(|stage| stage.steps.iter().any(|step| step.number == number));
            let last = stage.unwrap().steps.last().unwrap().number;
            let mut expected: Vec<u32> = (1..=last).collect();
            if fault != Fault::AnswerLost {
                expected.retain(|one| *one != number);
            }
            assert_eq!(numbers(&memory, Direction::Do), expected, "{case}");
            assert!(memory.iter().all(|host| !host.is_free()), "{case}");
            // Resumed: steps that are done are not done again.
            hosts.begin_again(&plan, &[]).await.unwrap();
            let executed = forth(&hosts, &plan).await.unwrap();
            assert_eq!(numbers(&memory, Direction::Do), all(&plan), "{case}");
            assert_eq!(executed.runs.len(), 12, "{case}");
            assert_eq!(executed.least_revision(), Some(RESTORED), "{case}");
            assert!(memory.iter().all(MemoryHost::is_free), "{case}");
        }
    }
}

#[tokio::test]
async fn what_was_done_until_a_step_failed_is_rolled_back() {
    let (_, _, plan) = begun().await;
    for number in all(&plan) {
        for fault in Fault::ALL {
            let (memory, hosts, plan) = begun().await;
            let at = place(&memory, &plan, number);
            memory[at].fails(number, Direction::Do, fault);
            forth(&hosts, &plan).await.unwrap_err();
            let done = numbers(&memory, Direction::Do);
            let executed = back(&hosts, &plan).await.unwrap();
            let case = format!("{fault:?} at {number}");
            let undone = numbers(&memory, Direction::Undo);
            // One that failed half way is rolled back as well.
            let half = (fault == Fault::Apply).then_some(number);
            let mut expected: Vec<u32> = done.into_iter().chain(half).collect();
            expected.sort_unstable();
            assert_eq!(undone, expected, "{case}");
            assert!(executed.leaves_nothing(), "{case}");
            assert!(memory.iter().all(MemoryHost::is_free), "{case}");
        }
    }
}

#[tokio::test]
async fn an_undo_that_fails_in_any_way_is_tried_again_and_nothing_goes_forth_meanwhile() {
    let (_, _, plan) = begun().await;
    for number in all(&plan) {
        for fault in Fault::ALL {
            let (memory, hosts, plan) = begun().await;
            forth(&hosts, &plan).await.unwrap();
            hosts.begin_again(&plan, &[]).await.unwrap();
            let at = place(&memory, &plan, number);
            memory[at].fails(number, Direction::Undo, fault);
            let error = back(&hosts, &plan).await.unwrap_err();
            let case = format!("{fault:?} at {number}: {error}");
            assert!(memory.iter().all(|host| !host.is_free()), "{case}");
            if numbers(&memory, Direction::Undo)
                .iter()
                .any(|one| place(&memory, &plan, *one) == 0)
            {
                let forth = forth(&hosts, &plan).await.unwrap_err();
                assert_eq!(forth.kind, ErrorKind::Refused, "{case}");
            }
            back(&hosts, &plan).await.unwrap();
            assert_eq!(numbers(&memory, Direction::Undo), all(&plan), "{case}");
            assert!(memory.iter().all(MemoryHost::is_free), "{case}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_rolled_back_is_told_and_what_never_began_is_not() {
    let (memory, hosts, plan) = begun().await;
    memory[0].fails(4, Direction::Do, Fault::Unheard);
    forth(&hosts, &plan).await.unwrap_err();
    memory[1].leaves(5, "the member stays removed");
    let executed = back(&hosts, &plan).await.unwrap();
    assert!(!executed.leaves_nothing());
    let never: Vec<u32> = executed
        .runs
        .iter()
        .filter(|(_, run)| {
            matches!(
                run,
                StepRun::Undone {
                    never_begun: true,
                    ..
                }
            )
        })
        .map(|(number, _)| *number)
        .collect();
    assert_eq!(never, [10, 11, 12, 7, 8, 9, 4]);
}

#[tokio::test]
async fn of_two_who_begin_at_once_one_does_and_leaves_the_others_hosts_free() {
    let memory = memory(3);
    let hosts = hosts(&memory);
    let mine = plan(PlanKind::Restore, &memory);
    let theirs = plan(PlanKind::Recover, &memory);
    memory[1].begin(&theirs).unwrap();
    let error = hosts.begin(&mine).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.message.contains(theirs.id.as_str()), "{error}");
    assert!(memory[0].is_free() && memory[2].is_free() && !memory[1].is_free());
    assert!(memory.iter().all(|host| host.performed().is_empty()));
}

#[tokio::test]
async fn failures_of_several_hosts_are_one_error() {
    let (memory, hosts, plan) = begun().await;
    memory[0].fails(1, Direction::Do, Fault::Apply);
    memory[2].fails(3, Direction::Do, Fault::Unheard);
    let error = forth(&hosts, &plan).await.unwrap_err();
    assert_eq!(
        error.message,
        "m1: it went wrong; m3: the ssh connection was lost"
    );
    assert_eq!(error.kind, ErrorKind::Failed);
}
