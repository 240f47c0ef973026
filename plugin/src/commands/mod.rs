//! What can be done: one file for each command.

pub mod alarm;
pub mod cleanup;
pub mod completion;
pub mod datadir;
pub mod defrag;
pub mod health;
pub mod members;
pub mod snapshot;
pub mod status;
pub mod usage;
pub mod version;

use clap::Subcommand;
use jiff::Timestamp;

use crate::assess::{Asked, Scheduled, Scope, assess, model::Status};
use crate::cli::{ConnectionArgs, FleetArgs, Via};
use crate::created::Created;
use crate::discovery::{Etcd, Node};
use crate::error::{Error, ErrorKind, Verdict};
use crate::outcome::{Outcome, RunErrorKind};
use crate::session::Session;
use crate::ui::Ui;
use etcd_operations::operation::Operation;

/// What can be done.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "a text here would take the place of the help that stands on each command's arguments"
)]
pub enum Command {
    Status(status::StatusArgs),
    Members(members::MembersArgs),
    Health(health::HealthArgs),
    Alarm(alarm::AlarmArgs),
    Defrag(defrag::DefragArgs),
    Snapshot(snapshot::SnapshotArgs),
    Usage(usage::UsageArgs),
    Datadir(datadir::DatadirArgs),
    Cleanup(cleanup::CleanupArgs),
    Version(version::VersionArgs),
    Completion(completion::CompletionArgs),
}

/// What every command is handed.
#[derive(Debug)]
pub struct Context<'a> {
    /// The terminal.
    pub ui: &'a Ui,
    /// kubectl's connection flags.
    pub connection: &'a ConnectionArgs,
    /// What this run makes in the cluster, so that it is removed at every ending.
    pub created: &'a Created,
}

impl Context<'_> {
    /// Finds the cluster and its control-plane nodes.
    pub(crate) async fn open(&self, fleet: &FleetArgs) -> Result<Session, Error> {
        let session = Session::open(
            self.connection,
            fleet,
            self.ui.notices(),
            self.created.clone(),
        )
        .await?;
        refuse_external(session.nodes())?;
        Ok(session)
    }
}

/// Does what was typed.
///
/// # Errors
/// As the command does.
pub async fn run(context: &Context<'_>, command: Command) -> Result<Verdict, Error> {
    match command {
        Command::Status(args) => status::status(context, args).await,
        Command::Members(args) => members::members(context, args).await,
        Command::Health(args) => health::health(context, args).await,
        Command::Alarm(args) => alarm::alarm(context, args).await,
        Command::Defrag(args) => defrag::defrag(context, args).await,
        Command::Snapshot(args) => snapshot::snapshot(context, args).await,
        Command::Usage(args) => usage::usage(context, args).await,
        Command::Datadir(args) => datadir::datadir(context.ui, args).await,
        Command::Cleanup(args) => cleanup::cleanup(context, args).await,
        Command::Version(args) => version::version(context, args).await,
        Command::Completion(args) => completion::completion(context.ui, args),
    }
}

/// An etcd that runs elsewhere is none of ours to operate, and that is said in a sentence.
fn refuse_external(nodes: &[Node]) -> Result<(), Error> {
    let mut servers: Vec<&str> = Vec::new();
    for node in nodes {
        match &node.etcd {
            Etcd::External { servers: of_node } => {
                servers.extend(of_node.iter().map(String::as_str));
            }
            Etcd::Found(_) | Etcd::Absent { .. } => return Ok(()),
        }
    }
    servers.sort_unstable();
    servers.dedup();
    if servers.is_empty() {
        return Ok(());
    }
    Err(Error::failed(format!(
        "the apiservers of this cluster use an external etcd ({}), which does not run on the control-plane nodes",
        servers.join(", ")
    ))
    .hint("kubectl etcd operates etcd that runs on the control-plane nodes; use etcdctl on the external etcd's hosts"))
}

/// Asks all nodes of the session for their status and puts the answers together.
pub(crate) async fn survey(session: &Session, fleet: &FleetArgs) -> (Vec<Outcome>, Status) {
    survey_beside(session, fleet, std::future::ready(Vec::new())).await
}

/// As [`survey`], with what the schedules promise, which is asked for meanwhile.
pub(crate) async fn survey_beside(
    session: &Session,
    fleet: &FleetArgs,
    schedules: impl Future<Output = Vec<Scheduled>>,
) -> (Vec<Outcome>, Status) {
    let nodes: Vec<&Node> = session.nodes().iter().collect();
    let (outcomes, schedules) = futures::join!(session.run(&nodes, &Operation::Status), schedules);
    let status = assess(Asked {
        nodes: session.nodes(),
        outcomes: &outcomes,
        scope: scope(session.via(), fleet),
        schedules: &schedules,
        now: Timestamp::now(),
    });
    (outcomes, status)
}

/// Why no node could be asked, for reasons that are not etcd's: then there is no word about etcd to be had.
pub(crate) fn out_of_reach(session: &Session, outcomes: &[Outcome]) -> Option<Error> {
    let barred = |outcome: &Outcome| {
        outcome.result.as_ref().is_err_and(|error| {
            matches!(
                error.kind,
                RunErrorKind::NoRights
                    | RunErrorKind::AdmissionRefused
                    | RunErrorKind::ApiserverLost
            )
        })
    };
    let all = !outcomes.is_empty() && outcomes.iter().all(barred);
    all.then(|| none_answered(session, outcomes))
}

/// As [`survey`], where nothing can be done unless a node gives an answer.
///
/// # Errors
/// Why none does.
pub(crate) async fn answered_survey(session: &Session, fleet: &FleetArgs) -> Result<Status, Error> {
    let (outcomes, status) = survey(session, fleet).await;
    if outcomes.iter().all(|outcome| outcome.result.is_err()) {
        return Err(none_answered(session, &outcomes));
    }
    Ok(status)
}

/// Which of the nodes a session knows.
pub(crate) fn scope(via: Via, fleet: &FleetArgs) -> Scope {
    match via {
        Via::Local => Scope::ThisHost,
        Via::Job | Via::Pod | Via::Exec if fleet.node.is_empty() => Scope::All,
        Via::Job | Via::Pod | Via::Exec => Scope::Named,
    }
}

/// The node a row is about.
pub(crate) fn node_named<'a>(session: &'a Session, name: &str) -> Option<&'a Node> {
    session.nodes().iter().find(|node| node.name == name)
}

pub(crate) use crate::outcome::run_error;

/// No node gave a report: the first one's reason, and how many there were. All reasons are told when they differ.
pub(crate) fn none_answered(session: &Session, outcomes: &[Outcome]) -> Error {
    if let Some(error) = session.without_apiserver(outcomes) {
        return error;
    }
    let mut failed: Vec<Error> = outcomes
        .iter()
        .filter_map(|outcome| {
            outcome
                .result
                .as_ref()
                .err()
                .map(|error| run_error(&outcome.node, error))
        })
        .collect();
    let Some(mut first) = (!failed.is_empty()).then(|| failed.remove(0)) else {
        return Error::new(
            ErrorKind::NothingReached,
            "there is no control-plane node to ask",
        );
    };
    for error in failed {
        first.message.push_str("; ");
        first.message.push_str(&error.message);
        for hint in error.hints {
            if !first.hints.contains(&hint) {
                first.hints.push(hint);
            }
        }
    }
    first
}
