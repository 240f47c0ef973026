//! A plan: what was found, what would be done, what it costs, and what became of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use etcd_operations::failure::Answer;
use etcd_operations::look::{Changes, Fitness, KindChanges, Position};
use etcd_operations::plan::make::{self, Fence, Found, Loss, Origin, Prospect, Revision, Taken};
use etcd_operations::plan::{Action, Done, OtherHost, Plan, StepRun, StepState, Undone};
use jiff::Timestamp;
use serde::Serialize;

use super::grid::{Field, Grid, Paint, Tone, field, maybe};
use super::{API_VERSION, View};
use crate::format::counted;
use crate::lead::check::Checked;
use crate::lead::{Led, PlanState};

/// What stands above the commands that come before a plan.
const BEFORE: &str = "by hand, as root, on hosts that take no part:";

/// What stands above the commands that come after it.
const AFTER: &str =
    "by hand, as root, each when the one before it is done; of hosts that are lost for good none:";

/// A plan as people and programs see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanView {
    api_version: &'static str,
    kind: &'static str,
    /// Its name.
    id: String,
    /// What it does, in a line.
    title: String,
    /// When it was made.
    made: String,
    /// How far it is.
    state: Progress,
    /// The hosts as they were found.
    found: Vec<FoundRow>,
    /// What is done, in this order; the steps of a stage at the same time.
    stages: Vec<StageRow>,
    /// What somebody runs by hand, as root, on hosts that take no part.
    other_hosts: Vec<OtherHostRow>,
    /// What is lost, in a sentence each.
    losses: Vec<String>,
    /// Whether some of it is somebody's data.
    loses_data: bool,
    /// The snapshot that is restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<SnapshotRow>,
    /// What was changed after the snapshot, by number of objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<ChangesRow>,
    /// What has to stay as it is, in a sentence each.
    fences: Vec<String>,
    /// What could not be taken back, or is not as it was, in a sentence each.
    left: Vec<String>,
    /// What was looked at afterwards and is as it should be, in a sentence each.
    checked: Vec<String>,
    /// What is not as it should be, or could not be looked at.
    problems: Vec<String>,
    /// What removes the data that nobody uses any more, by host.
    kept: Vec<String>,
    /// What to type next.
    next: Vec<String>,
}

/// How far a plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Progress {
    /// It was made and not begun.
    Planned,
    /// It has begun and not ended.
    Unfinished,
    /// It is done.
    Done,
    /// It is being taken back.
    BeingUndone,
    /// It was taken back.
    Undone,
}

impl Progress {
    fn words(self) -> Option<&'static str> {
        match self {
            Self::Planned => None,
            Self::Unfinished => Some("begun and not ended"),
            Self::Done => Some("done"),
            Self::BeingUndone => Some("being undone"),
            Self::Undone => Some("undone"),
        }
    }
}

/// A host as it was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FoundRow {
    node: String,
    etcd: &'static str,
    data: Option<String>,
    term: Option<u64>,
    index: Option<u64>,
    revision: Option<u64>,
    best: bool,
}

/// A host that takes no part, and the commands for it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct OtherHostRow {
    node: String,
    /// Before the plan is begun, in this order.
    before: Vec<String>,
    /// When the plan is done, in this order, and on one host after another.
    after: Vec<String>,
}

/// A stage.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct StageRow {
    title: String,
    steps: Vec<StepRow>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u64>,
}

/// A step.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct StepRow {
    number: u32,
    node: String,
    action: String,
    /// How far it is; none: it has not begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// A snapshot that is restored.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SnapshotRow {
    /// Its revision; none: it is of another cluster, where it means nothing.
    revision: Option<u64>,
    /// When it was taken.
    taken_at: Option<String>,
    /// What says so: `description`, `file` (its date) or `youngest-object` (taken then or later).
    taken_by: Option<TakenBy>,
    /// Whether it is of this cluster: `same`, `another` or `unknown`.
    cluster: &'static str,
    /// The same with what says so, in a sentence.
    evidence: String,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum TakenBy {
    Description,
    File,
    YoungestObject,
}

/// What was changed after a snapshot, each object counted once.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ChangesRow {
    /// Where it was counted.
    node: String,
    /// Up to which revision; none: it could not be counted.
    revision: Option<u64>,
    /// Why it could not be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// Entries of the log beyond the database, which were not looked into.
    log_entries: u64,
    /// Objects that are there and were written; without leases and events.
    written: u64,
    /// Objects that were deleted; without leases and events.
    deleted: u64,
    /// Whether those are all that were deleted; else some are compacted away.
    deleted_complete: bool,
    /// By kind, the most changed first.
    kinds: Vec<KindRow>,
    /// Leases and events, which are written anew all the time.
    fleeting: Vec<KindRow>,
}

/// Objects of a kind.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct KindRow {
    /// As kubectl names it; empty: keys that are no object of Kubernetes.
    kind: String,
    written: u64,
    deleted: u64,
}

impl PlanView {
    /// A plan that has not begun.
    pub(crate) fn planned(prospect: &Prospect) -> Self {
        Self {
            found: prospect.found.iter().map(found_row).collect(),
            losses: losses(prospect),
            loses_data: prospect.loses_data(),
            snapshot: prospect
                .origin
                .as_ref()
                .map(|origin| snapshot_row(origin, &prospect.losses)),
            changes: prospect.losses.iter().find_map(changes_row),
            fences: prospect.fences.iter().map(fence).collect(),
            ..Self::of(&prospect.plan, Progress::Planned, &BTreeMap::new())
        }
    }

    /// A plan by the journals of its hosts.
    pub(crate) fn kept(state: &PlanState) -> Self {
        let id = &state.plan.id;
        let progress = match (state.is_back(), state.unfinished) {
            (true, true) => Progress::BeingUndone,
            (true, false) => Progress::Undone,
            (false, true) => Progress::Unfinished,
            (false, false) if state.is_done() => Progress::Done,
            (false, false) => Progress::Planned,
        };
        let next = match progress {
            Progress::Unfinished => vec![
                format!("kubectl etcd plan resume {id}"),
                format!("kubectl etcd plan undo {id}"),
            ],
            Progress::BeingUndone | Progress::Done => vec![format!("kubectl etcd plan undo {id}")],
            Progress::Planned | Progress::Undone => Vec::new(),
        };
        let mut view = Self {
            next,
            ..Self::of(&state.plan, progress, &state.steps)
        };
        match progress {
            Progress::Planned => {}
            Progress::Unfinished => view.has_begun(),
            // What came of it by hand is in no journal.
            Progress::Done | Progress::BeingUndone | Progress::Undone => view.other_hosts.clear(),
        }
        for (number, state) in &state.steps {
            if let StepState::Undone { undone } = state {
                view.add_left(*number, undone);
            }
        }
        view
    }

    fn node_of(&self, number: u32) -> String {
        let mut steps = self.stages.iter().flat_map(|stage| &stage.steps);
        let step = steps.find(|step| step.number == number);
        step.map(|step| step.node.clone()).unwrap_or_default()
    }

    /// The data that a step put aside, by its host.
    fn add_kept(&mut self, number: u32, done: &Done) {
        let Done::Moved { aside } = done else { return };
        for path in aside {
            let line = format!("{}: rm -r {}", self.node_of(number), path.display());
            self.kept.push(line);
        }
    }

    /// What a step left, by its host.
    fn add_left(&mut self, number: u32, undone: &Undone) {
        let node = self.node_of(number);
        let left = undone.left.iter().map(|left| format!("{node}: {left}"));
        self.left.extend(left);
        for path in &undone.kept {
            let path = path.display();
            self.kept.push(format!("{node}: rm -r {path}"));
        }
    }

    /// What became of a plan that was led to its end, or back.
    pub(crate) fn ended(mut self, progress: Progress, led: &Led) -> Self {
        self.state = progress;
        self.has_begun();
        for (number, run) in &led.runs {
            let mut steps = self.stages.iter_mut().flat_map(|stage| &mut stage.steps);
            if let Some(step) = steps.find(|step| step.number == *number) {
                step.state = Some(match run {
                    StepRun::Done { .. } => "done",
                    StepRun::Undone { .. } => "undone",
                });
            }
            match run {
                StepRun::Undone { undone, .. } => self.add_left(*number, undone),
                StepRun::Done { done } => self.add_kept(*number, done),
            }
        }
        for (at, took) in &led.took {
            if let Some(stage) = self.stages.get_mut(*at) {
                stage.took_ms = u64::try_from(took.as_millis()).ok();
            }
        }
        if progress == Progress::Done {
            self.next
                .push(format!("kubectl etcd plan undo {}", self.id));
        }
        self
    }

    /// What had to be done by hand before is done.
    fn has_begun(&mut self) {
        for host in &mut self.other_hosts {
            host.before.clear();
        }
    }

    /// What is run by hand, and when, a line each.
    pub(crate) fn by_hand(&self) -> Vec<String> {
        let lines = |when: &'static str, commands: fn(&OtherHostRow) -> &[String]| {
            let hosts = self.other_hosts.iter();
            hosts.flat_map(move |host| {
                let line = move |command| format!("{when} it, on {}: {command}", host.node);
                commands(host).iter().map(line)
            })
        };
        let before = lines("before", |host| &host.before);
        before.chain(lines("after", |host| &host.after)).collect()
    }

    /// The same, in one of the two directions, for the text of the plan.
    fn by_hand_words(&self, head: &str, of: fn(&OtherHostRow) -> &[String]) -> Vec<String> {
        let lines = self.other_hosts.iter().flat_map(|host| {
            let line = |command| format!("{}: {command}", host.node);
            of(host).iter().map(line)
        });
        let lines: Vec<String> = lines.collect();
        let head = (!lines.is_empty()).then(|| head.to_owned());
        head.into_iter().chain(lines).collect()
    }

    /// A plan that is taken back: what was said of it before does not count any more.
    pub(crate) fn taken_back(state: &PlanState) -> Self {
        Self {
            other_hosts: Vec::new(),
            ..Self::of(&state.plan, Progress::BeingUndone, &BTreeMap::new())
        }
    }

    /// With what was looked at afterwards.
    pub(crate) fn checked(self, checked: Checked) -> Self {
        Self {
            checked: checked.seen,
            problems: checked.problems,
            ..self
        }
    }

    /// A plan that would be taken back, and what that costs.
    pub(crate) fn to_be_taken_back(state: &PlanState) -> Self {
        let mut view = Self::kept(state);
        view.next.clear();
        let swapped = state.plan.steps().any(|step| {
            let restored = matches!(step.action, Action::SwapData { restored: true, .. });
            restored && matches!(state.steps.get(&step.number), Some(StepState::Done { .. }))
        });
        if swapped {
            view.loses_data = true;
            view.losses.push(format!(
                "what was written since {} goes out of service; it stays in a folder that is named at the end",
                state.plan.made
            ));
        }
        view
    }

    /// Whether somebody's data is lost by it.
    pub(crate) fn loses(&self) -> bool {
        self.loses_data
    }

    /// Whether nothing is wrong, and nothing could not be taken back.
    pub(crate) fn is_clean(&self) -> bool {
        self.left.is_empty() && self.problems.is_empty()
    }

    fn of(plan: &Plan, state: Progress, steps: &BTreeMap<u32, StepState>) -> Self {
        let row = |step: &etcd_operations::plan::Step| {
            let (state, problem) = match steps.get(&step.number) {
                None => (None, None),
                Some(StepState::Begun) => (Some("begun"), None),
                Some(StepState::Done { .. }) => (Some("done"), None),
                Some(StepState::Failed { failure }) => {
                    (Some("failed"), Some(failure.message.clone()))
                }
                Some(StepState::UndoBegun) => (Some("being undone"), None),
                Some(StepState::Undone { .. }) => (Some("undone"), None),
                Some(StepState::UndoFailed { failure }) => {
                    (Some("undo failed"), Some(failure.message.clone()))
                }
            };
            StepRow {
                number: step.number,
                node: step.node.clone(),
                action: step.action.to_string(),
                state,
                problem,
            }
        };
        let stages = plan.stages.iter().map(|stage| StageRow {
            title: stage.title.clone(),
            steps: stage.steps.iter().map(row).collect(),
            took_ms: None,
        });
        Self {
            api_version: API_VERSION,
            kind: "Plan",
            id: plan.id.to_string(),
            title: plan.title.clone(),
            made: plan.made.to_string(),
            state,
            found: Vec::new(),
            stages: stages.collect(),
            other_hosts: plan.other_hosts.iter().map(other_host_row).collect(),
            losses: Vec::new(),
            loses_data: false,
            snapshot: None,
            changes: None,
            fences: Vec::new(),
            left: Vec::new(),
            checked: Vec::new(),
            problems: Vec::new(),
            kept: Vec::new(),
            next: Vec::new(),
        }
    }

    fn kept_words(&self) -> Vec<String> {
        let head = (!self.kept.is_empty()).then(|| {
            "data that is not in use any more, for as long as you like; what removes it:".to_owned()
        });
        head.into_iter().chain(self.kept.clone()).collect()
    }

    /// The parts of a text with their heads, as `Plan`, `Lost`, `Fence`.
    fn part(text: &mut String, head: &str, lines: &[String]) {
        for (at, line) in lines.iter().enumerate() {
            let head = if at == 0 { head } else { "" };
            let _ = writeln!(text, "{head:<9}{line}");
        }
    }
}

impl View for PlanView {
    fn table(&self, _wide: bool, paint: Paint) -> String {
        let mut text = String::new();
        if !self.found.is_empty() {
            text.push_str(&self.found_table(paint));
        }
        let stages = self
            .stages
            .iter()
            .enumerate()
            .map(|(at, stage)| stage.line(at + 1));
        let (before, after) = (
            self.by_hand_words(BEFORE, |host| &host.before),
            self.by_hand_words(AFTER, |host| &host.after),
        );
        Self::part(&mut text, "Before", &before);
        Self::part(&mut text, "Plan", &stages.collect::<Vec<_>>());
        Self::part(&mut text, "After", &after);
        let snapshot = self.snapshot.iter().map(|row| row.evidence.clone());
        Self::part(&mut text, "Cluster", &snapshot.collect::<Vec<_>>());
        Self::part(&mut text, "Lost", &self.losses);
        Self::part(&mut text, "Fence", &self.fences);
        if let Some(state) = self.state.words() {
            Self::part(&mut text, "State", &[state.to_owned()]);
        }
        Self::part(&mut text, "Checked", &self.checked);
        Self::part(&mut text, "Problem", &self.problems);
        Self::part(&mut text, "Left", &self.left);
        Self::part(&mut text, "Kept", &self.kept_words());
        Self::part(&mut text, "Next", &self.next);
        text
    }
}

impl PlanView {
    fn found_table(&self, paint: Paint) -> String {
        let mut grid = Grid::new()
            .text("FOUND")
            .text("ETCD")
            .text("DATA")
            .number("TERM")
            .number("INDEX")
            .number("REVISION")
            .text("");
        for row in &self.found {
            let number = |number: Option<u64>| maybe(number.map(|number| number.to_string()));
            let best: Field = match row.best {
                true => field("<- best").tone(Tone::Good),
                false => field(" "),
            };
            grid.row(vec![
                field(&row.node),
                field(row.etcd),
                maybe(row.data.clone()),
                number(row.term),
                number(row.index),
                number(row.revision),
                best,
            ]);
        }
        grid.draw(paint)
    }
}

impl StageRow {
    fn line(&self, number: usize) -> String {
        let nodes: Vec<&str> = self.steps.iter().map(|step| step.node.as_str()).collect();
        let mut line = format!("{number:>2}  {} ({})", self.title, nodes.join(", "));
        let states: Vec<&str> = self.steps.iter().filter_map(|step| step.state).collect();
        if let Some(first) = states.first() {
            let same = states.len() == self.steps.len() && states.iter().all(|one| one == first);
            match same {
                true => {
                    let _ = write!(line, ": {first}");
                }
                false => line.push_str(": in part"),
            }
        }
        if let Some(took) = self.took_ms {
            #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
            let seconds = took as f64 / 1000.0;
            let _ = write!(line, ", {seconds:.1} s");
        }
        for step in &self.steps {
            if let Some(problem) = &step.problem {
                let _ = write!(line, "\n             {}: {problem}", step.node);
            }
        }
        line
    }
}

fn age(made: Timestamp, now: Timestamp) -> String {
    let age = now.duration_since(made);
    crate::format::age(age.try_into().unwrap_or_default())
}

fn found_row(found: &Found) -> FoundRow {
    let word = found.fitness.map(|fitness| match fitness {
        Fitness::Running => "in use",
        Fitness::Empty => "empty",
        Fitness::Starts => "whole",
        Fitness::StartsWithLoss => "starts with a loss",
        Fitness::RestoreFrom => "database whole, log not",
        Fitness::BeyondUse => "beyond use",
    });
    let data = word.map(|word| match &found.why {
        Some(why) => format!("{word}: {why}"),
        None => word.to_owned(),
    });
    let at: Option<Position> = found.reach;
    FoundRow {
        node: found.node.clone(),
        etcd: if found.running { "runs" } else { "stopped" },
        data,
        term: at.map(|at| at.term),
        index: at.map(|at| at.index),
        revision: found.revision,
        best: found.best,
    }
}

fn snapshot_row(origin: &Origin, losses: &[Loss]) -> SnapshotRow {
    let since = losses.iter().find_map(|loss| match loss {
        Loss::SinceSnapshot {
            revision, taken, ..
        } => Some((*revision, *taken)),
        _ => None,
    });
    let taken = since.and_then(|(_, taken)| taken);
    SnapshotRow {
        revision: since.map(|(revision, _)| revision),
        taken_at: taken.map(|taken| taken.at.to_string()),
        taken_by: taken.map(|taken| match taken.by {
            make::TakenBy::Description => TakenBy::Description,
            make::TakenBy::File => TakenBy::File,
            make::TakenBy::YoungestObject => TakenBy::YoungestObject,
        }),
        cluster: match origin {
            Origin::Same { .. } => "same",
            Origin::Another { .. } => "another",
            Origin::Unknown { .. } => "unknown",
        },
        evidence: origin.to_string(),
    }
}

fn changes_row(loss: &Loss) -> Option<ChangesRow> {
    let Loss::SinceSnapshot {
        newest: Some(newest),
        changes: Some(changes),
        ..
    } = loss
    else {
        return None;
    };
    let rows = |fleeting: bool| -> Vec<KindRow> {
        let kinds = changes.ok().map(|changes| changes.kinds.as_slice());
        let kinds = kinds.unwrap_or_default().iter();
        kinds
            .filter(|kind| kind.is_fleeting() == fleeting)
            .map(|kind| KindRow {
                kind: kind.kind.clone(),
                written: kind.written,
                deleted: kind.deleted,
            })
            .collect()
    };
    let kinds = rows(false);
    let objects = || kinds.iter().filter(|kind| !kind.kind.is_empty());
    Some(ChangesRow {
        node: newest.node.clone(),
        revision: changes.ok().map(|changes| changes.revision),
        why: changes.failure().map(|failure| failure.message.clone()),
        log_entries: newest.beyond,
        written: objects().map(|kind| kind.written).sum(),
        deleted: objects().map(|kind| kind.deleted).sum(),
        deleted_complete: changes.ok().is_some_and(|one| one.deletions_complete),
        fleeting: rows(true),
        kinds,
    })
}

fn losses(prospect: &Prospect) -> Vec<String> {
    let lines = prospect.losses.iter().flat_map(|one| {
        let objects = match one {
            Loss::SinceSnapshot {
                changes: Some(Answer::Ok(changes)),
                ..
            } if one.is_data() => objects(changes),
            Loss::SinceSnapshot {
                changes: Some(Answer::Failed(failure)),
                ..
            } if one.is_data() => vec![format!(
                "how many objects that are could not be counted: {}",
                failure.message
            )],
            _ => Vec::new(),
        };
        [loss(one)].into_iter().chain(objects)
    });
    lines.collect()
}

/// So many kinds of objects are named.
const KINDS: usize = 10;

/// The objects that were changed, in a line or two.
fn objects(changes: &Changes) -> Vec<String> {
    let (fleeting, rest): (Vec<_>, Vec<_>) =
        changes.kinds.iter().partition(|kind| kind.is_fleeting());
    let (objects, other): (Vec<&KindChanges>, Vec<_>) =
        rest.into_iter().partition(|kind| !kind.kind.is_empty());
    let sum = |kinds: &[&KindChanges], of: fn(&KindChanges) -> u64| {
        kinds.iter().map(|kind| of(kind)).sum::<u64>()
    };
    let (written, deleted) = (
        sum(&objects, |kind| kind.written),
        sum(&objects, |kind| kind.deleted),
    );
    let at_least = match changes.deletions_complete {
        true => "",
        false => "at least ",
    };
    let mut line = format!(
        "{} written since, {at_least}{deleted} deleted",
        objects_counted(written)
    );
    let named = objects.iter().take(KINDS).map(|kind| of_kind(kind));
    let named: Vec<String> = named.collect();
    if !named.is_empty() {
        let _ = write!(line, ": {}", named.join(", "));
    }
    if let Some(more) = objects.get(KINDS..).filter(|more| !more.is_empty()) {
        let all = sum(more, KindChanges::all);
        let kinds = counted(more.len(), "other kind");
        let _ = write!(line, ", and {all} of {kinds}");
    }
    if !changes.deletions_complete {
        line.push_str(" (history was compacted since: what was deleted before that is not known)");
    }
    let mut lines = vec![line];
    let mut besides: Vec<String> = fleeting.iter().map(|kind| of_kind(kind)).collect();
    if !other.is_empty() {
        besides.push(format!("{} of nobody's objects", keys(&other)));
    }
    if !besides.is_empty() {
        lines.push(format!("besides, {}", besides.join(", ")));
    }
    lines
}

fn keys(other: &[&KindChanges]) -> String {
    let all: u64 = other.iter().map(|kind| kind.all()).sum();
    counted(usize::try_from(all).unwrap_or(usize::MAX), "key")
}

fn objects_counted(number: u64) -> String {
    counted(usize::try_from(number).unwrap_or(usize::MAX), "object")
}

/// `pods 12`, and what of them was deleted.
fn of_kind(kind: &KindChanges) -> String {
    match kind.deleted {
        0 => format!("{} {}", kind.kind, kind.all()),
        deleted => format!("{} {} ({deleted} deleted)", kind.kind, kind.all()),
    }
}

fn taken_words(taken: Option<Taken>) -> String {
    let Some(Taken { at, by }) = taken else {
        return String::new();
    };
    match by {
        make::TakenBy::Description => format!(" (taken at {at:.0})"),
        make::TakenBy::File => format!(" (its file is of {at:.0})"),
        make::TakenBy::YoungestObject => format!(" (its youngest object is of {at:.0})"),
    }
}

/// `m3`, and when its database was last written to.
fn where_and_when(newest: &Revision) -> String {
    match newest.at {
        Some(at) => format!("{}, {at:.0}", newest.node),
        None => newest.node.clone(),
    }
}

fn other_host_row(host: &OtherHost) -> OtherHostRow {
    OtherHostRow {
        node: host.node.clone(),
        before: host.before.clone(),
        after: host.after.clone(),
    }
}

fn loss(loss: &Loss) -> String {
    match loss {
        Loss::Outage => "etcd and the apiserver answer nobody while it is done".to_owned(),
        Loss::Everything { newest } => {
            let upto = newest.as_ref().map(|newest| {
                let at = where_and_when(newest);
                format!(", up to revision {} ({at})", newest.revision)
            });
            format!(
                "everything that this cluster has{}: the snapshot is of another one",
                upto.unwrap_or_default()
            )
        }
        Loss::SinceSnapshot {
            revision,
            newest,
            taken,
            ..
        } => {
            let taken = taken_words(*taken);
            match newest {
                None => format!(
                    "everything that was written after revision {revision}{taken}; how much that is could not be found out"
                ),
                Some(newest) if newest.at_most() <= *revision => {
                    format!(
                        "nothing that was found: no disk has more than revision {revision}{taken}"
                    )
                }
                Some(newest) => {
                    let changes = newest.revision.saturating_sub(*revision);
                    let beyond = match newest.beyond {
                        0 => String::new(),
                        beyond => format!(", and {} of its log, not looked into", entries(beyond)),
                    };
                    format!(
                        "everything after revision {revision}{taken}: {} up to revision {} ({}){beyond}",
                        counted(usize::try_from(changes).unwrap_or(usize::MAX), "change"),
                        newest.revision,
                        where_and_when(newest)
                    )
                }
            }
        }
        Loss::LogBeyondDatabase { entries: number } => format!(
            "what the broken log has beyond the database: {}",
            entries(*number)
        ),
        Loss::MaybeNewerElsewhere { nodes } => format!(
            "writes that only {} may have: too few members could be read to know",
            nodes.join(", ")
        ),
        Loss::NeverAcknowledged {
            node,
            entries: number,
        } => format!(
            "{} in the log of {node} that no majority had: nobody was told that they were written",
            entries(*number)
        ),
    }
}

fn entries(number: u64) -> String {
    match number {
        1 => "1 entry".to_owned(),
        _ => format!("{number} entries"),
    }
}

fn fence(fence: &Fence) -> String {
    match fence {
        Fence::Unreachable { node, why } => format!(
            "{node} cannot be reached ({why}). Its old etcd cannot join the new cluster, but an apiserver there would answer \
             from the past: go on only if you know that it is off"
        ),
        Fence::ByHand { node } => format!(
            "{node} takes no part. Its etcd and apiserver are stopped there before, and stay so until it joins: an apiserver \
             there would answer from the past"
        ),
        Fence::LeftOut { node } => format!(
            "{node} is left out. If it should come back it must not start its etcd and apiserver; \
             kubectl etcd member replace {node} takes it in again"
        ),
    }
}

/// Plans in a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanList {
    api_version: &'static str,
    kind: &'static str,
    /// The plans, the newest first.
    items: Vec<PlanView>,
    #[serde(skip)]
    now: Timestamp,
}

impl PlanList {
    /// Of plans as their hosts have them.
    pub(crate) fn new(states: &[PlanState], now: Timestamp) -> Self {
        let mut items: Vec<PlanView> = states.iter().map(PlanView::kept).collect();
        items.sort_by(|one, other| other.made.cmp(&one.made));
        Self {
            api_version: API_VERSION,
            kind: "PlanList",
            items,
            now,
        }
    }
}

impl View for PlanList {
    fn table(&self, _wide: bool, paint: Paint) -> String {
        if self.items.is_empty() {
            return "no plan was ever begun on this host\n".to_owned();
        }
        let mut grid = Grid::new()
            .text("PLAN")
            .text("STATE")
            .text("AGE")
            .text("WHAT");
        for plan in &self.items {
            let (word, tone) = match plan.state {
                Progress::Planned => ("not begun", Tone::Dim),
                Progress::Unfinished => ("unfinished", Tone::Warn),
                Progress::Done => ("done", Tone::Good),
                Progress::BeingUndone => ("being undone", Tone::Warn),
                Progress::Undone => ("undone", Tone::Plain),
            };
            let made: Option<Timestamp> = plan.made.parse().ok();
            grid.row(vec![
                field(&plan.id),
                field(word).tone(tone),
                maybe(made.map(|made| age(made, self.now))),
                field(&plan.title),
            ]);
        }
        grid.draw(paint)
    }

    fn names(&self) -> Vec<String> {
        self.items.iter().map(|plan| plan.id.clone()).collect()
    }
}

/// Of a dozen kinds.
#[cfg(test)]
fn sample_changes() -> Changes {
    let kind = |(name, written, deleted): (&str, u64, u64)| KindChanges {
        kind: name.to_owned(),
        written,
        deleted,
    };
    let many = (b'a'..=b'j').map(|letter| (format!("{0}{0}s", letter as char), 2));
    let many: Vec<(String, u64)> = many.collect();
    let named = [("leases", 40, 0), ("pods", 12, 3), ("configmaps", 8, 0)];
    let named = named.into_iter().chain([("events", 7, 0)]);
    let named = named.chain(
        many.iter()
            .map(|(name, number)| (name.as_str(), *number, 0)),
    );
    Changes {
        revision: 1681,
        deletions_complete: false,
        kinds: named.chain([("", 1, 0)]).map(kind).collect(),
    }
}

/// A plan to restore.
#[cfg(test)]
fn prospect() -> Prospect {
    use etcd_operations::plan::make::Evidence;
    use etcd_operations::plan::{HostRef, PlanId, PlanKind, Stages, VERSION};

    let mut stages = Stages::default();
    let stop = Action::Stop {
        component: "etcd".into(),
    };
    stages.stage("stop etcd", [("cp-1".to_owned(), stop)]);
    let made: Timestamp = "2026-11-22T08:30:00Z".parse().unwrap();
    let plan = Plan {
        version: VERSION,
        id: PlanId::new(PlanKind::Restore, made),
        kind: PlanKind::Restore,
        title: "restore etcd.db on cp-1".into(),
        made,
        hosts: vec![HostRef {
            node: "cp-1".into(),
            address: None,
        }],
        stages: stages.done(),
        other_hosts: vec![OtherHost {
            node: "cp-2".into(),
            before: vec!["kubectl etcd manifest stop etcd".into()],
            after: vec!["kubectl etcd member replace cp-2 --this-node-only".into()],
        }],
    };
    Prospect {
        refused: None,
        plan,
        found: vec![Found {
            node: "cp-1".into(),
            running: false,
            fitness: Some(Fitness::Starts),
            why: None,
            reach: Some(Position { term: 3, index: 7 }),
            revision: Some(1681),
            best: true,
        }],
        losses: vec![
            Loss::Outage,
            Loss::SinceSnapshot {
                revision: 1673,
                taken: Some(Taken {
                    at: "2026-11-21T21:00:00Z".parse().unwrap(),
                    by: make::TakenBy::Description,
                }),
                newest: Some(Revision {
                    revision: 1681,
                    beyond: 2,
                    node: "cp-1".into(),
                    at: Some("2026-11-22T08:29:59.9Z".parse().unwrap()),
                }),
                changes: Some(Answer::Ok(sample_changes())),
            },
        ],
        origin: Some(Origin::Same {
            by: Evidence::NamespaceUid {
                snapshot: "u".into(),
                here: "u".into(),
                node: "cp-1".into(),
            },
        }),
        fences: vec![
            Fence::ByHand {
                node: "cp-2".into(),
            },
            Fence::LeftOut {
                node: "cp-3".into(),
            },
        ],
    }
}

/// A plan in each state.
#[cfg(test)]
pub(crate) fn samples() -> Vec<PlanView> {
    use std::time::Duration;

    let prospect = prospect();
    let plan = prospect.plan.clone();
    let led = Led {
        runs: vec![(
            1,
            StepRun::Done {
                done: Done::Moved {
                    aside: vec!["/var/lib/etcd-x.before".into()],
                },
            },
        )],
        took: vec![(0, Duration::from_millis(1400))],
    };
    let undone = Led {
        runs: vec![(
            1,
            StepRun::Undone {
                undone: Undone {
                    left: vec!["the member stays removed".into()],
                    kept: vec!["/var/lib/etcd-x.new".into()],
                },
                never_begun: false,
            },
        )],
        took: Vec::new(),
    };
    let checked = Checked {
        seen: vec!["1 member with the same data".into()],
        problems: vec!["nodes were not looked at".into()],
    };
    let state = PlanState {
        steps: BTreeMap::from([(1, StepState::Begun)]),
        unfinished: true,
        plan,
    };
    vec![
        PlanView::planned(&prospect),
        PlanView::planned(&prospect)
            .ended(Progress::Done, &led)
            .checked(checked),
        PlanView::kept(&state),
        PlanView::taken_back(&state).ended(Progress::Undone, &undone),
    ]
}

#[cfg(test)]
mod tests {
    use etcd_operations::failure::{Failure, FailureKind};

    use super::*;

    #[test]
    fn a_plan_reads_well_in_every_state() {
        let text: Vec<String> = samples()
            .iter()
            .map(|view| view.table(false, Paint::Plain))
            .collect();
        insta::assert_snapshot!(text.join("\n"));
    }

    #[test]
    fn what_is_lost_is_told_by_number_and_kind() {
        let planned = &samples()[0];
        let changes = planned.changes.as_ref().unwrap();
        assert_eq!((changes.written, changes.deleted), (40, 3));
        assert_eq!((changes.fleeting.len(), changes.log_entries), (2, 2));
        assert!(!changes.deleted_complete);
        let lost = planned.losses.join("\n");
        for said in [
            "40 objects written since, at least 3 deleted: pods 15 (3 deleted), configmaps 8",
            ", and 4 of 2 other kinds",
            "besides, leases 40, events 7, 1 key of nobody's objects",
            "and 2 entries of its log, not looked into",
            "revision 1673 (taken at 2026-11-21T21:00:00Z)",
        ] {
            assert!(lost.contains(said), "{said}: {lost}");
        }
    }

    #[test]
    fn what_could_not_be_counted_and_what_means_nothing_is_said() {
        let since = |at_most: u64, changes: Option<Answer<Changes>>| Loss::SinceSnapshot {
            revision: 7,
            taken: None,
            newest: Some(Revision {
                revision: at_most,
                beyond: 0,
                node: "m1".into(),
                at: None,
            }),
            changes,
        };
        let lines = |loss: Loss| {
            let mut prospect = prospect();
            prospect.losses = vec![loss];
            losses(&prospect)
        };
        let failure = Failure::new(FailureKind::Corrupt, "m1: page 7 is damaged");
        let failed = lines(since(9, Some(Answer::Failed(failure))));
        assert_eq!(failed.len(), 2, "{failed:?}");
        assert!(failed[1].contains("could not be counted: m1: page 7"));
        let nothing = lines(since(7, Some(Answer::Ok(sample_changes()))));
        assert_eq!(nothing.len(), 1, "{nothing:?}");
        let all = lines(Loss::Everything { newest: None });
        assert_eq!(
            all,
            ["everything that this cluster has: the snapshot is of another one"]
        );
    }

    #[test]
    fn what_is_run_by_hand_is_told_while_it_is_left_to_do() {
        let samples = samples();
        let told = |at: usize| {
            let hosts = samples[at].other_hosts.iter();
            hosts
                .map(|host| (host.before.len(), host.after.len()))
                .collect::<Vec<_>>()
        };
        assert_eq!([told(0), told(1), told(2)], [[(1, 1)], [(0, 1)], [(0, 1)]]);
        assert_eq!(told(3), [], "taken back");
        assert_eq!(
            samples[0].by_hand(),
            [
                "before it, on cp-2: kubectl etcd manifest stop etcd",
                "after it, on cp-2: kubectl etcd member replace cp-2 --this-node-only",
            ]
        );
    }

    #[test]
    fn what_was_put_aside_and_what_is_left_is_told_by_host() {
        let samples = samples();
        assert!(samples[0].loses_data && samples[0].kept.is_empty());
        assert_eq!(samples[1].kept, ["cp-1: rm -r /var/lib/etcd-x.before"]);
        assert!(!samples[1].is_clean(), "a problem");
        assert_eq!(samples[3].left, ["cp-1: the member stays removed"]);
    }
}
