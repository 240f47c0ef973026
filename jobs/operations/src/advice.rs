//! What would help, for the command line to say how it is typed: libraries know no name of a command or a flag.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::shell::{CommandLine, quoted};

/// What this program can do for who operates it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Task {
    /// Whatever was asked for, in another way.
    Same,
    CompareManifest,
    Defragment,
    Diagnose,
    DisarmAlarms,
    GrantViewers,
    InspectDataDirectory,
    ListAlarms,
    ListMembers,
    ListSnapshots,
    PromoteMember,
    PullImages,
    Recover,
    RemoveMember,
    ReplaceMember,
    Restore,
    ResumePlan,
    SaveSnapshot,
    SetFlag,
    SetImage,
    ShowManifest,
    ShowPlan,
    ShowSchedules,
    ShowStatus,
    ShowUsage,
    StartComponent,
    StopComponent,
    UndoPlan,
    UnsetFlag,
    VerifySnapshot,
}

/// What can be said of how a task is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Choice {
    AcceptOutage,
    /// A snapshot of another cluster is meant.
    AnotherCluster,
    AuthFile,
    Bundle,
    /// A context of the kubeconfig.
    Context,
    DryRun,
    /// The client URL of another member.
    Endpoint,
    /// Which etcd of a node.
    Etcd,
    EvenIfHealthy,
    /// From which member's data.
    From,
    Image,
    KeepLast,
    Kubeconfig,
    Manifest,
    /// A control-plane node's address.
    Master,
    Node,
    OnNode,
    Output,
    Server,
    Ssh,
    SshConfig,
    SshIdentity,
    SshUser,
    ThisNodeOnly,
    Timeout,
    /// A user of the kubeconfig.
    User,
    Via,
    Wait,
    Without,
}

/// A task with what it is for and how it is done; without a task: only how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// What is done.
    pub task: Option<Task>,
    /// What it is for: names, paths.
    pub operands: Vec<String>,
    /// How, some with a value.
    pub choices: Vec<(Choice, Option<String>)>,
}

impl Command {
    /// The same for this as well.
    #[must_use]
    pub fn of(mut self, operand: impl fmt::Display) -> Self {
        self.operands.push(operand.to_string());
        self
    }

    /// The same in this way.
    #[must_use]
    pub fn choosing(mut self, choice: Choice) -> Self {
        self.choices.push((choice, None));
        self
    }

    /// The same with the choices of another one as well.
    #[must_use]
    pub fn as_in(mut self, other: &Self) -> Self {
        self.choices.extend(other.choices.iter().cloned());
        self
    }

    /// The same with this value of a choice.
    #[must_use]
    pub fn with(mut self, choice: Choice, value: impl fmt::Display) -> Self {
        self.choices.push((choice, Some(value.to_string())));
        self
    }
}

impl Task {
    /// For this.
    pub fn of(self, operand: impl fmt::Display) -> Command {
        Command::from(self).of(operand)
    }

    /// In this way.
    pub fn choosing(self, choice: Choice) -> Command {
        Command::from(self).choosing(choice)
    }

    /// With this value of a choice.
    pub fn with(self, choice: Choice, value: impl fmt::Display) -> Command {
        Command::from(self).with(choice, value)
    }
}

impl Choice {
    /// With this value.
    pub fn with(self, value: impl fmt::Display) -> Command {
        Command::default().with(self, value)
    }
}

impl From<Task> for Command {
    fn from(task: Task) -> Self {
        Self {
            task: Some(task),
            ..Self::default()
        }
    }
}

impl From<Choice> for Command {
    fn from(choice: Choice) -> Self {
        Self::default().choosing(choice)
    }
}

impl Command {
    /// As in `{replace-member m2 +ssh +endpoint=URL}`, which [`Advice`] reads again.
    fn written(&self) -> String {
        let task = self.task.iter().map(name);
        let operands = self.operands.iter().map(|operand| quoted(operand));
        let choices = self.choices.iter().map(|(choice, value)| match value {
            Some(value) => format!("+{}={}", name(choice), quoted(value)),
            None => format!("+{}", name(choice)),
        });
        // Behind `--` a name that begins as a choice does is none.
        let marked = self
            .operands
            .iter()
            .any(|one| one.starts_with('+') || one == "--");
        let words: Vec<String> = match marked {
            false => task.chain(operands).chain(choices).collect(),
            true => {
                let mark = std::iter::once("--".to_owned());
                task.chain(choices).chain(mark).chain(operands).collect()
            }
        };
        format!("{{{}}}", words.join(" "))
    }

    /// What is between the braces. None: it is none, or one that this version does not know.
    fn parse(text: &str) -> Option<Self> {
        let mut command = Self::default();
        let mut only_operands = false;
        for word in shlex::split(text)? {
            if word == "--" && !only_operands {
                only_operands = true;
                continue;
            }
            let choice = word.strip_prefix('+').filter(|_| !only_operands);
            command = match (choice, &command.task) {
                (Some(choice), _) => match choice.split_once('=') {
                    Some((choice, value)) => command.with(named(choice)?, value),
                    None => command.choosing(named(choice)?),
                },
                (None, Some(_)) => command.of(word),
                (None, None) => named::<Task>(&word)?.into(),
            };
        }
        (command != Self::default()).then_some(command)
    }
}

/// The name of a task or a choice.
fn name(one: &impl Serialize) -> String {
    let value = serde_json::to_value(one).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn named<T: DeserializeOwned>(name: &str) -> Option<T> {
    serde_json::from_value(Value::from(name)).ok()
}

/// What would help: a sentence, with commands in it.
///
/// It is written as text, so that a version that does not know what is advised, or none of this, shows that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advice(Vec<Part>);

/// A part of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Words(String),
    Command(Command),
    /// What a command line has worded.
    Shown(String),
}

impl Advice {
    /// With this behind it.
    #[must_use]
    pub fn and(mut self, more: impl Into<Self>) -> Self {
        self.0.extend(more.into().0);
        self
    }
}

/// An [`Advice`] of words, tasks, choices and commands.
#[macro_export]
macro_rules! advice {
    ($($part:expr),+ $(,)?) => {
        $crate::advice::Advice::default()$(.and($part))+
    };
}

impl Advice {
    /// The sentence, its commands as `typed` writes them.
    pub fn worded(&self, typed: impl Fn(&Command) -> CommandLine) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Words(words) | Part::Shown(words) => words.clone(),
            Part::Command(command) => typed(command).to_string(),
        });
        parts.collect()
    }

    /// Puts the sentence as it is worded in its place, for people and programs that only read it.
    pub fn word(&mut self, typed: impl Fn(&Command) -> CommandLine) {
        self.0 = vec![Part::Shown(self.worded(typed))];
    }

    /// As libraries write it: words of others must not be read as a command, so their braces are doubled.
    pub fn written(&self) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Words(words) => words.replace('{', "{{"),
            Part::Command(command) => command.written(),
            Part::Shown(words) => words.clone(),
        });
        parts.collect()
    }
}

impl Serialize for Advice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written())
    }
}

impl<'de> Deserialize<'de> for Advice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::read(&text))
    }
}

impl Advice {
    /// What was [written](Self::written), or words of a version that wrote words alone.
    fn read(mut text: &str) -> Self {
        let mut parts = Vec::new();
        let mut words = String::new();
        while let Some((before, rest)) = text.split_once('{') {
            words.push_str(before);
            if let Some(rest) = rest.strip_prefix('{') {
                words.push('{');
                text = rest;
                continue;
            }
            // A name may have braces itself: the first end that makes a command of it is the command's.
            let mut ends = rest.match_indices('}');
            let command =
                ends.find_map(|(at, _)| Some((Command::parse(&rest[..at])?, &rest[at + 1..])));
            match command {
                Some((command, rest)) => {
                    parts.extend(words_of(std::mem::take(&mut words)));
                    parts.push(Part::Command(command));
                    text = rest;
                }
                None => {
                    words.push('{');
                    text = rest;
                }
            }
        }
        words.push_str(text);
        parts.extend(words_of(words));
        Self(parts)
    }
}

/// A part of an advice that is always the same, for tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fixed {
    /// Words.
    Words(&'static str),
    /// A task, for these.
    Task(Task, &'static [&'static str]),
    /// A choice with its value.
    Choice(Choice, &'static str),
}

impl From<&[Fixed]> for Advice {
    fn from(parts: &[Fixed]) -> Self {
        parts
            .iter()
            .fold(Self::default(), |advice, part| match *part {
                Fixed::Words(words) => advice.and(words),
                Fixed::Task(task, operands) => {
                    let command = Command::from(task);
                    advice.and(operands.iter().fold(command, Command::of))
                }
                Fixed::Choice(choice, value) => advice.and(choice.with(value)),
            })
    }
}

fn words_of(words: String) -> Option<Part> {
    (!words.is_empty()).then_some(Part::Words(words))
}

/// Whether its text is this.
impl PartialEq<&str> for Advice {
    fn eq(&self, text: &&str) -> bool {
        self.written() == *text
    }
}

impl From<&str> for Advice {
    fn from(words: &str) -> Self {
        Self::from(words.to_owned())
    }
}

impl From<String> for Advice {
    fn from(words: String) -> Self {
        Self(words_of(words).into_iter().collect())
    }
}

impl From<CommandLine> for Advice {
    fn from(command: CommandLine) -> Self {
        Self::from(command.to_string())
    }
}

impl From<Command> for Advice {
    fn from(command: Command) -> Self {
        Self(vec![Part::Command(command)])
    }
}

impl From<Task> for Advice {
    fn from(task: Task) -> Self {
        Command::from(task).into()
    }
}

impl From<Choice> for Advice {
    fn from(choice: Choice) -> Self {
        Command::from(choice).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_without_a_command_line_is_read_again() {
        let advice = advice![
            Task::ReplaceMember
                .of("m 2")
                .with(Choice::Endpoint, "https://a:1 x"),
            ", or {list-members} with ",
            Choice::ThisNodeOnly,
        ];
        let text = "{replace-member 'm 2' +endpoint='https://a:1 x'}, or {{list-members} with {+this-node-only}";
        assert_eq!(advice.written(), text);
        assert_eq!(Advice::read(text), advice);
    }

    #[test]
    fn words_of_other_versions_stay_words() {
        for text in [
            "kubectl etcd members lists them",
            "{do-what-is-new m1} is for later versions",
            "{list-members +what-is-new}, {}, {+}, {list-members",
        ] {
            assert_eq!(Advice::read(text), Advice::from(text));
            assert_eq!(
                Advice::read(&Advice::from(text).written()),
                Advice::from(text)
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_is_read_changes(text in "[{}+ a'=-]{0,20}|\\PC{0,20}") {
            let once = Advice::read(&text);
            proptest::prop_assert_eq!(Advice::read(&once.written()), once);
        }

        #[test]
        fn a_command_for_any_name_and_any_words_are_read_again(
            name in "[{}+ a'-]{0,8}|\\PC{0,8}", words in "[{}+ a'-]{1,8}|\\PC{1,8}", value in "[{} a']{0,5}",
        ) {
            let command = Task::Restore.of(&name).of("--").with(Choice::From, value);
            let advice = advice![words, command, "."];
            proptest::prop_assert_eq!(Advice::read(&advice.written()), advice);
        }
    }
}
