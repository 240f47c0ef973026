//! A plan: what was found, what would be done, what it costs, and what became of it.

mod list;
mod rows;
mod words;

use crate::advice::{typed, worded};
use kubectl_etcd_core::executor::state::Progress;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use etcd_operations::advice::Command;
use etcd_operations::plan::make::PlanPreview;
use etcd_operations::plan::{Done, Plan, StepRun, StepState, Undone};
use etcd_operations::shell::CommandLine;
use serde::Serialize;

pub use list::PlanList;
use rows::{
    BroughtBackRow, ChangesRow, FoundRow, OtherHostRow, SnapshotRow, brought_back_row, changes_row,
    found_row, other_host_row, snapshot_row,
};
pub(crate) use words::data_losses;
use words::{fence, losses};

use super::grid::{Field, Grid, Paint, Tone, field, maybe, one_line};
use super::{API_VERSION, View};
use kubectl_etcd_core::executor::check::Checked;
use kubectl_etcd_core::executor::{Executed, PlanState};
use kubectl_etcd_core::format::and;

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
    /// The manifests that components are started from and that are not in kubelet's folder.
    brought_back: Vec<BroughtBackRow>,
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
    /// What could not be rolled back, or is not as it was, in a sentence each.
    left: Vec<String>,
    /// What was looked at afterwards and is as it should be, in a sentence each.
    checked: Vec<String>,
    /// What is not as it should be, or could not be looked at.
    problems: Vec<String>,
    /// What removes the data that nobody uses any more, by host.
    kept: Vec<String>,
    /// What to type next.
    next: Vec<String>,
    /// What rolls it back, once it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    undo: Option<String>,
    /// The hosts of the plan that nobody asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    not_asked: Vec<String>,
    /// Whether only the plan is shown.
    dry_run: bool,
    /// Whether it was shown before, and each step as it was done: people are told what is new.
    #[serde(skip)]
    told: bool,
}

fn words(progress: Progress) -> Option<&'static str> {
    match progress {
        Progress::Planned => None,
        Progress::Unfinished => Some("begun and not ended"),
        Progress::Done => Some("done"),
        Progress::BeingUndone => Some("being undone"),
        Progress::Undone => Some("undone"),
    }
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

impl PlanView {
    /// A plan that has not begun.
    pub(crate) fn planned(preview: &PlanPreview) -> Self {
        Self {
            found: preview.found.iter().map(found_row).collect(),
            brought_back: preview.brought_back.iter().map(brought_back_row).collect(),
            losses: losses(preview),
            loses_data: preview.loses_data(),
            snapshot: preview
                .origin
                .as_ref()
                .map(|origin| snapshot_row(origin, &preview.losses)),
            changes: preview.losses.iter().find_map(changes_row),
            fences: preview.fences.iter().map(fence).collect(),
            ..Self::of(&preview.plan, Progress::Planned, &BTreeMap::new())
        }
    }

    /// A plan by the journals of its hosts.
    pub(crate) fn kept(state: &PlanState) -> Self {
        let progress = state.progress();
        let mut view = Self {
            not_asked: state.not_asked(),
            ..Self::of(&state.plan, progress, &state.steps)
        };
        view.add_next();
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

    /// What can be done about it as it stands.
    fn add_next(&mut self) {
        let next = self.state.next(&self.id);
        let mut next = next.iter().map(|one| String::from(typed(one)));
        match self.state {
            Progress::Done => self.undo = next.next(),
            _ => self.next.extend(next),
        }
    }

    /// With this to be typed next.
    pub(crate) fn then(mut self, next: &Command) -> Self {
        self.next.push(typed(next).into());
        self
    }

    /// Of a dry run, or not.
    pub(crate) fn dry_run(self, dry_run: bool) -> Self {
        Self { dry_run, ..self }
    }

    /// Of hosts that took no part in rolling it back.
    pub(crate) fn without(mut self, nodes: &[String]) -> Self {
        let left = nodes.iter().map(|node| {
            format!("{node} took no part: what the plan did there stays, and it must not come back to the others as it is")
        });
        self.left.extend(left);
        self
    }

    fn node_of(&self, number: u32) -> String {
        let mut steps = self.stages.iter().flat_map(|stage| &stage.steps);
        let step = steps.find(|step| step.number == number);
        step.map(|step| step.node.clone()).unwrap_or_default()
    }

    /// The data that a step moved aside, by its host.
    fn add_kept(&mut self, number: u32, done: &Done) {
        let Done::Moved { aside } = done else { return };
        for path in aside {
            let line = format!("{}: {}", self.node_of(number), removal(path));
            self.kept.push(line);
        }
    }

    /// What a step left, by its host.
    fn add_left(&mut self, number: u32, undone: &Undone) {
        let node = self.node_of(number);
        let left = undone
            .left
            .iter()
            .map(|left| format!("{node}: {}", worded(left)));
        self.left.extend(left);
        for path in &undone.kept {
            self.kept.push(format!("{node}: {}", removal(path)));
        }
    }

    /// What became of a plan that was executed, or rolled back.
    pub(crate) fn ended(mut self, progress: Progress, executed: &Executed) -> Self {
        self.state = progress;
        self.told = true;
        self.has_begun();
        for (number, run) in &executed.runs {
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
        for (at, took) in &executed.took {
            if let Some(stage) = self.stages.get_mut(*at) {
                stage.took_ms = u64::try_from(took.as_millis()).ok();
            }
        }
        self.add_next();
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

    /// A plan that is resumed: how far it was before does not count any more.
    pub(crate) fn resumed(state: &PlanState) -> Self {
        Self::of(&state.plan, Progress::Unfinished, &BTreeMap::new())
    }

    /// A plan that is rolled back: what was said of it before does not count any more.
    pub(crate) fn rolled_back(state: &PlanState) -> Self {
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

    /// A plan that would be rolled back, and what that costs.
    pub(crate) fn to_be_rolled_back(state: &PlanState) -> Self {
        let mut view = Self::kept(state);
        view.next.clear();
        view.undo = None;
        if state.undo_loses_data() {
            view.loses_data = true;
            view.losses.push(format!(
                "what was written since {:.0} goes out of service; it stays in a folder that is named at the end",
                state.plan.made
            ));
        }
        view
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
            brought_back: Vec::new(),
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
            undo: None,
            not_asked: Vec::new(),
            dry_run: false,
            told: false,
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
            let _ = writeln!(text, "{head:<9}{}", one_line(line));
        }
    }
}

/// The command that removes what a plan has kept.
fn removal(path: &Path) -> CommandLine {
    CommandLine::new("rm -r").operand(path.display())
}

impl View for PlanView {
    fn table(&self, _wide: bool, paint: Paint) -> String {
        let mut text = match self.told {
            true => String::new(),
            false => self.plan_words(paint),
        };
        if self.told {
            let after = self.by_hand_words(AFTER, |host| &host.after);
            Self::part(&mut text, "After", &after);
        }
        if let Some(state) = words(self.state) {
            let mut state = state.to_owned();
            if !self.not_asked.is_empty() {
                let _ = write!(state, ", {} not asked", and(&self.not_asked));
            }
            Self::part(&mut text, "State", &[state]);
        }
        Self::part(&mut text, "Checked", &self.checked);
        Self::part(&mut text, "Problem", &self.problems);
        Self::part(&mut text, "Left", &self.left);
        Self::part(&mut text, "Kept", &self.kept_words());
        Self::part(&mut text, "Next", &self.next);
        let undo: Vec<String> = self.undo.iter().cloned().collect();
        Self::part(&mut text, "Undo", &undo);
        text
    }

    fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

impl PlanView {
    /// What was found, what is done, and what that costs.
    fn plan_words(&self, paint: Paint) -> String {
        let mut text = String::new();
        if !self.found.is_empty() {
            text.push_str(&self.found_table(paint));
        }
        let stages = self
            .stages
            .iter()
            .enumerate()
            .flat_map(|(at, stage)| stage.lines(at + 1, &self.not_asked));
        let (before, after) = (
            self.by_hand_words(BEFORE, |host| &host.before),
            self.by_hand_words(AFTER, |host| &host.after),
        );
        let brought_back = self.brought_back.iter().flat_map(BroughtBackRow::lines);
        Self::part(&mut text, "Manifest", &brought_back.collect::<Vec<_>>());
        Self::part(&mut text, "Before", &before);
        Self::part(&mut text, "Plan", &stages.collect::<Vec<_>>());
        Self::part(&mut text, "After", &after);
        let snapshot = self.snapshot.iter().map(|row| row.evidence.clone());
        Self::part(&mut text, "Cluster", &snapshot.collect::<Vec<_>>());
        Self::part(&mut text, "Lost", &self.losses);
        Self::part(&mut text, "Caveat", &self.fences);
        text
    }

    fn found_table(&self, paint: Paint) -> String {
        let mut grid = Grid::new("FOUND|ETCD|DATA|>TERM|>INDEX|>REVISION|");
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
    /// What a host does that was not asked is not known.
    fn lines(&self, number: usize, not_asked: &[String]) -> Vec<String> {
        let nodes: Vec<&str> = self.steps.iter().map(|step| step.node.as_str()).collect();
        let mut line = format!("{number:>2}  {} ({})", self.title, nodes.join(", "));
        let states: Vec<&str> = self.steps.iter().filter_map(|step| step.state).collect();
        if let Some(first) = states.first() {
            let known = self
                .steps
                .iter()
                .filter(|step| !not_asked.contains(&step.node));
            let known: Vec<&str> = known.map(|step| step.node.as_str()).collect();
            let same = states.len() == known.len() && states.iter().all(|one| one == first);
            let _ = match same {
                true if known.len() < self.steps.len() => {
                    write!(line, ": {first} on {}", and(&known))
                }
                true => write!(line, ": {first}"),
                false => write!(line, ": in part"),
            };
        }
        if let Some(took) = self.took_ms {
            #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
            let seconds = took as f64 / 1000.0;
            let _ = write!(line, ", {seconds:.1} s");
        }
        let problems = self.steps.iter().filter_map(|step| {
            let problem = step.problem.as_ref()?;
            Some(format!("    {}: {problem}", step.node))
        });
        std::iter::once(line).chain(problems).collect()
    }
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
