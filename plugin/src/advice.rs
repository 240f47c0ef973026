//! How what libraries advise is typed: the one place that knows the names of commands and flags beside [`crate::cli`].

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::OnceLock;

use etcd_operations::advice::{Advice, Choice, Command, Task};
use etcd_operations::shell::CommandLine;
use kubectl_etcd_core::assess::Advises;
use kubectl_etcd_core::error::Error;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

/// The hints of an error.
pub(crate) fn hints(error: &Error) -> Vec<String> {
    error.hints.iter().map(worded).collect()
}

/// An advice as it is typed.
pub fn worded(advice: &Advice) -> String {
    advice.worded(typed)
}

/// A value to be shown, with what it advises as it is typed.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Worded<T>(T);

impl<T: Advises> Worded<T> {
    pub(crate) fn new(mut value: T) -> Self {
        for advice in value.advice() {
            advice.word(typed);
        }
        Self(value)
    }
}

impl<T: JsonSchema> JsonSchema for Worded<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T> Deref for Worded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What was typed of how the cluster and its hosts are reached, for commands to be typed next.
#[derive(Debug, Default)]
pub struct Given {
    /// The flags of kubectl's that choose the cluster.
    pub connection: Command,
    /// The flags for ssh.
    pub ssh: Command,
}

/// Set once, when the command line was read.
static GIVEN: OnceLock<Given> = OnceLock::new();

/// Has what was given be part of every command that needs it.
pub fn carry(given: Given) {
    GIVEN.get_or_init(|| given);
}

impl Given {
    /// The command with the flags that it needs to reach the same cluster or the same hosts, and has not got.
    fn added_to(&self, command: &Command) -> Command {
        let mut added = command.clone();
        let is_bare = |(choice, value): &(Choice, Option<String>)| {
            *choice == Choice::Ssh && value.is_none() && !self.ssh.choices.is_empty()
        };
        let by_ssh = added.choices.iter().any(is_bare);
        let elsewhere = |(choice, _): &(Choice, Option<String>)| {
            matches!(
                choice,
                Choice::Ssh | Choice::Master | Choice::Via | Choice::Server
            )
        };
        if by_ssh
            && !added
                .choices
                .iter()
                .any(|one| elsewhere(one) && !is_bare(one))
        {
            added.choices.retain(|one| !is_bare(one));
            return added.as_in(&self.ssh);
        }
        match command.task {
            _ if added.choices.iter().any(elsewhere) => added,
            Some(task) if asks_apiserver(task) => added.as_in(&self.connection),
            Some(Task::ResumePlan | Task::UndoPlan | Task::ShowPlan) => added.as_in(&self.ssh),
            _ => added,
        }
    }
}

/// Whether it is done through the apiserver of a kubeconfig, wherever it is typed.
fn asks_apiserver(task: Task) -> bool {
    matches!(
        task,
        Task::Defragment
            | Task::DisarmAlarms
            | Task::GrantViewers
            | Task::ListAlarms
            | Task::ListMembers
            | Task::ListSnapshots
            | Task::PromoteMember
            | Task::RemoveMember
            | Task::SaveSnapshot
            | Task::ShowSchedules
            | Task::ShowStatus
            | Task::ShowUsage
    )
}

/// A command as it is typed.
pub(crate) fn typed(command: &Command) -> CommandLine {
    match GIVEN.get() {
        Some(given) => as_it_is(&given.added_to(command)),
        None => as_it_is(command),
    }
}

fn as_it_is(command: &Command) -> CommandLine {
    let mut line = command
        .task
        .map_or_else(CommandLine::flags, |task| CommandLine::new(name(task)));
    for operand in &command.operands {
        line = line.operand(operand);
    }
    for (choice, value) in &command.choices {
        line = match value {
            Some(value) => line.option(flag(*choice), value),
            None => line.own(flag(*choice)),
        };
    }
    line
}

fn name(task: Task) -> &'static str {
    match task {
        Task::Same => "kubectl etcd",
        Task::CompareManifest => "kubectl etcd manifest diff",
        Task::Defragment => "kubectl etcd defrag",
        Task::Diagnose => "kubectl etcd doctor",
        Task::DisarmAlarms => "kubectl etcd alarm disarm",
        Task::GrantViewers => "kubectl etcd viewers",
        Task::InspectDataDirectory => "kubectl etcd datadir inspect",
        Task::ListAlarms => "kubectl etcd alarm list",
        Task::ListMembers => "kubectl etcd members",
        Task::ListSnapshots => "kubectl etcd snapshot list",
        Task::PromoteMember => "kubectl etcd member promote",
        Task::PullImages => "kubectl etcd images pull",
        Task::Recover => "kubectl etcd recover",
        Task::RemoveMember => "kubectl etcd member remove",
        Task::ReplaceMember => "kubectl etcd member replace",
        Task::Restore => "kubectl etcd restore",
        Task::ResumePlan => "kubectl etcd plan resume",
        Task::SaveSnapshot => "kubectl etcd snapshot save",
        Task::SetFlag => "kubectl etcd manifest set-flag",
        Task::SetImage => "kubectl etcd manifest set-image",
        Task::ShowManifest => "kubectl etcd manifest show",
        Task::ShowPlan => "kubectl etcd plan show",
        Task::ShowSchedules => "kubectl etcd snapshot schedule show",
        Task::ShowStatus => "kubectl etcd status",
        Task::ShowUsage => "kubectl etcd usage",
        Task::StartComponent => "kubectl etcd manifest start",
        Task::StopComponent => "kubectl etcd manifest stop",
        Task::UndoPlan => "kubectl etcd plan undo",
        Task::UnsetFlag => "kubectl etcd manifest unset-flag",
        Task::VerifySnapshot => "kubectl etcd snapshot verify",
    }
}

fn flag(choice: Choice) -> &'static str {
    match choice {
        Choice::AcceptOutage => "--accept-outage",
        Choice::AnotherCluster => "--another-cluster",
        Choice::AuthFile => "--auth-file",
        Choice::Bundle => "--bundle",
        Choice::Context => "--context",
        Choice::DryRun => "--dry-run",
        Choice::Endpoint => "--endpoint",
        Choice::Etcd => "--etcd",
        Choice::EvenIfHealthy => "--even-if-healthy",
        Choice::From => "--from",
        Choice::Image => "--image",
        Choice::KeepLast => "--keep-last",
        Choice::Kubeconfig => "--kubeconfig",
        Choice::Manifest => "--manifest",
        Choice::Master => "--master",
        Choice::Node => "--node",
        Choice::OnNode => "--on-node",
        Choice::Output => "-o",
        Choice::Server => "--server",
        Choice::Ssh => "--ssh",
        Choice::SshConfig => "--ssh-config",
        Choice::SshIdentity => "--ssh-identity",
        Choice::SshUser => "--ssh-user",
        Choice::ThisNodeOnly => "--this-node-only",
        Choice::Timeout => "--timeout",
        Choice::User => "--user",
        Choice::Via => "--via",
        Choice::Wait => "--wait",
        Choice::Without => "--without",
    }
}

#[cfg(test)]
mod tests {
    use etcd_operations::advice;

    use super::*;

    #[test]
    fn an_advice_is_written_as_it_is_typed() {
        let advice = advice![
            Task::ReplaceMember
                .of("m 3;id")
                .choosing(Choice::ThisNodeOnly)
                .with(Choice::Endpoint, "https://a:1"),
            "; else ",
            Choice::Ssh.with("m3=ADDRESS"),
        ];
        assert_eq!(
            worded(&advice),
            "kubectl etcd member replace 'm 3;id' --this-node-only --endpoint https://a:1; else --ssh m3=ADDRESS"
        );
        // As it comes from a node, whose program knows no command's name; and a name that looks like a flag is none.
        let advice =
            serde_json::from_str("\"see {show-status +output=wide} or {restore -y}\"").unwrap();
        assert_eq!(
            worded(&advice),
            "see kubectl etcd status -o wide or kubectl etcd restore -- -y"
        );
    }

    #[test]
    fn what_was_given_to_reach_the_cluster_is_typed_again_where_it_is_needed() {
        let given = Given {
            connection: Choice::Context.with("prod"),
            ssh: Command::from(Choice::Ssh).with(Choice::SshConfig, "/c"),
        };
        let again = |command: Command| as_it_is(&given.added_to(&command)).to_string();
        assert_eq!(
            again(Task::Recover.choosing(Choice::Ssh)),
            "kubectl etcd recover --ssh --ssh-config /c"
        );
        assert_eq!(
            again(Task::RemoveMember.of("m3")),
            "kubectl etcd member remove m3 --context prod"
        );
        assert_eq!(
            again(Task::UndoPlan.of("p1")),
            "kubectl etcd plan undo p1 --ssh --ssh-config /c"
        );
        // These know by themselves where they are done.
        for own in [
            Task::Recover.choosing(Choice::ThisNodeOnly),
            Task::ShowStatus.with(Choice::Via, "local"),
            Task::Diagnose.into(),
            Choice::Ssh.with("m3=ADDRESS"),
        ] {
            assert_eq!(again(own.clone()), as_it_is(&own).to_string());
        }
        let none = Given::default();
        let plain = Task::Recover.choosing(Choice::Ssh);
        assert_eq!(none.added_to(&plain), plain);
    }
}
