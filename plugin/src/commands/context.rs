//! What every command is handed, and what most of them begin with: the session and the survey.

use std::future::ready;

use jiff::Timestamp;

use crate::args::FleetArgs;
use crate::args::ssh::SshArgs;
use crate::ui::Ui;
use etcd_operations::operation;
use etcd_operations::report::StatusReport;
use etcd_operations::shell::CommandLine;
use kubectl_etcd_core::assess::model::{Role, Row, Status};
use kubectl_etcd_core::assess::same::Comparison;
use kubectl_etcd_core::assess::{Asked, Scheduled, Scope, assess};
use kubectl_etcd_core::connection::ConnectionOptions;
use kubectl_etcd_core::created::Created;
use kubectl_etcd_core::discovery::{Etcd, Node};
use kubectl_etcd_core::error::{Error, ErrorKind};
use kubectl_etcd_core::executor::Hosts;
use kubectl_etcd_core::executor::gather::{Gathered, gather, this_host};
use kubectl_etcd_core::inventory::reach::reach;
use kubectl_etcd_core::outcome::{Outcome, RunErrorKind, run_error};
use kubectl_etcd_core::runners::host::Host;
use kubectl_etcd_core::session::Session;
use kubectl_etcd_core::via::Via;

/// What every command is handed.
#[derive(Debug)]
pub struct Context<'a> {
    /// The terminal.
    pub ui: &'a Ui,
    /// kubectl's connection flags.
    pub connection: &'a ConnectionOptions,
    /// What this run makes in the cluster, so that it is removed at every ending.
    pub created: &'a Created,
}

impl Context<'_> {
    /// This host, as one to work on.
    ///
    /// # Errors
    /// When its name is not known, or this is not root.
    pub(crate) fn this_host(&self) -> Result<Host, Error> {
        this_host(&self.ui.notices(), self.connection)
    }

    /// Everybody who can be reached, and who cannot.
    ///
    /// # Errors
    /// When there is nobody.
    pub(crate) async fn gather(&self, ssh: &SshArgs) -> Result<Gathered, Error> {
        gather(&self.ui.notices(), &ssh.targets(), self.connection).await
    }

    /// With `--ssh` everybody who can be reached, else this host alone.
    ///
    /// # Errors
    /// When there is nobody.
    pub(crate) async fn hosts(&self, ssh: &SshArgs) -> Result<Gathered, Error> {
        match ssh.wanted() {
            true => self.gather(ssh).await,
            false => Ok(Gathered {
                hosts: Hosts::here(self.this_host()?),
                unreachable: Vec::new(),
            }),
        }
    }

    /// Finds the cluster and its control-plane nodes, and warns of pods that pose as an etcd.
    pub(crate) async fn open(&self, fleet: &FleetArgs) -> Result<Session, Error> {
        let session = self.find(fleet).await?;
        self.tell_left_alone(&session);
        Ok(session)
    }

    /// Warns of pods that say they are an etcd of the cluster and are not believed.
    pub(crate) fn tell_left_alone(&self, session: &Session) {
        let suspects = session.left_alone().iter().filter(|left| left.is_suspect());
        suspects.for_each(|left| self.ui.warn(&left.to_string()));
    }

    /// As [`Context::open`], for a command whose answer tells of such pods itself.
    pub(crate) async fn find(&self, fleet: &FleetArgs) -> Result<Session, Error> {
        let session = Session::open(
            self.connection,
            &fleet.options(),
            self.ui.notices(),
            self.created.clone(),
        )
        .await?;
        refuse_external(session.nodes())?;
        Ok(session)
    }

    /// As [`Context::find`], or over ssh where that is asked for, without the apiserver.
    ///
    /// # Errors
    /// As [`Context::find`], naming `command` with `--ssh` as a way; when nobody is reached over ssh.
    pub(crate) async fn open_by(
        &self,
        ssh: &SshArgs,
        fleet: &FleetArgs,
        command: &'static str,
    ) -> Result<Session, Error> {
        if !ssh.wanted() {
            let session = self.find(fleet).await;
            return session.map_err(|error| or_over_ssh(error, command));
        }
        if let Some(via) = fleet.way.via {
            return Err(
                Error::usage(format!("--ssh and --via {} are two ways", Via::from(via)))
                    .hint("leave one of them out"),
            );
        }
        let reached = reach(&self.ui.notices(), &ssh.targets(), self.connection).await?;
        let session = Session::over_hosts(reached, &fleet.options(), self.ui.notices())?;
        refuse_external(session.nodes())?;
        Ok(session)
    }
}

/// The error, with the way to go where the apiserver cannot be used.
pub(crate) fn or_over_ssh(error: Error, command: &'static str) -> Error {
    match error.kind {
        ErrorKind::NothingReached => error.hint(format!(
            "or from here, over ssh: {}",
            CommandLine::new("kubectl etcd").own(command).own("--ssh")
        )),
        _ => error,
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
            Etcd::Found(_) | Etcd::Absent { .. } | Etcd::Unknown { .. } => return Ok(()),
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
pub(crate) async fn survey(
    session: &Session,
    fleet: &FleetArgs,
) -> (Vec<Outcome<StatusReport>>, Status) {
    survey_beside(session, fleet, ready(Vec::new()), false).await
}

/// As [`survey`], with what the schedules promise, which is asked for meanwhile; and, where that is wanted, whether the members
/// have the same data.
pub(crate) async fn survey_beside(
    session: &Session,
    fleet: &FleetArgs,
    schedules: impl Future<Output = Vec<Scheduled>>,
    compares: bool,
) -> (Vec<Outcome<StatusReport>>, Status) {
    let nodes: Vec<&Node> = session.nodes().iter().collect();
    let asked = async {
        let outcomes = session.run(&nodes, &operation::Status).await;
        let same = match compares {
            true => session.compare_data(&outcomes).await,
            false => Comparison::NothingToCompare,
        };
        (outcomes, same)
    };
    let ((outcomes, same), schedules) = futures::join!(asked, schedules);
    let status = assess(Asked {
        nodes: session.nodes(),
        left_alone: session.left_alone(),
        outcomes: &outcomes,
        scope: scope(session, fleet),
        schedules: &schedules,
        same: &same,
        now: Timestamp::now(),
    });
    (outcomes, status)
}

/// Why no node could be asked, for reasons that are not etcd's: then there is no word about etcd to be had.
pub(crate) async fn out_of_reach<T>(session: &Session, outcomes: &[Outcome<T>]) -> Option<Error> {
    let barred = |outcome: &Outcome<T>| {
        outcome.result.as_ref().is_err_and(|error| {
            matches!(
                error.kind,
                RunErrorKind::NoRights
                    | RunErrorKind::AdmissionRefused
                    | RunErrorKind::ApiserverLost
                    | RunErrorKind::EtcdLost
            )
        })
    };
    let all = !outcomes.is_empty() && outcomes.iter().all(barred);
    match all {
        true => Some(none_answered(session, outcomes).await),
        false => None,
    }
}

/// As [`survey`], where nothing can be done unless a node gives an answer.
///
/// # Errors
/// Why none does.
pub(crate) async fn answered_survey(
    session: &Session,
    fleet: &FleetArgs,
) -> Result<(Vec<Outcome<StatusReport>>, Status), Error> {
    let (outcomes, status) = survey(session, fleet).await;
    match outcomes.iter().all(|outcome| outcome.result.is_err()) {
        true => Err(none_answered(session, &outcomes).await),
        false => Ok((outcomes, status)),
    }
}

/// Which of the nodes a session knows.
pub(crate) fn scope(session: &Session, fleet: &FleetArgs) -> Scope {
    match (session.via(), session.knows_all()) {
        (Via::Local, _) => Scope::SomeHosts,
        _ if !fleet.node.is_empty() => Scope::Named,
        (Via::Ssh, true) => Scope::Known,
        (Via::Ssh, false) => Scope::SomeHosts,
        (Via::Job | Via::Pod | Via::Exec, _) => Scope::All,
    }
}

/// The node a row is about.
pub(crate) fn node_named<'a>(session: &'a Session, name: &str) -> Option<&'a Node> {
    session.nodes().iter().find(|node| node.name == name)
}

/// A node whose own member answers, the leader's if possible, and its row: what is the quorum's matter can be asked of any member.
///
/// # Errors
/// When there is none.
pub(crate) fn through<'a>(
    session: &'a Session,
    status: &'a Status,
) -> Result<(&'a Node, &'a Row), Error> {
    let usable =
        |row: &&Row| row.seen_from.is_none() && row.version.is_some() && row.role != Role::Learner;
    let placed = |row: &'a Row| Some((node_named(session, row.node.as_deref()?)?, row));
    let rows = status.rows.iter().filter(usable).filter_map(placed);
    rows.min_by_key(|(_, row)| row.role != Role::Leader)
        .ok_or_else(|| Error::new(ErrorKind::NothingReached, status.summary.to_string()))
}

/// No node gave a report: the first one's reason, and how many there were. All reasons are told when they differ.
pub(crate) async fn none_answered<T>(session: &Session, outcomes: &[Outcome<T>]) -> Error {
    if let Some(error) = session.without_apiserver(outcomes).await {
        return error;
    }
    let failed = outcomes.iter().filter_map(|outcome| {
        let error = outcome.result.as_ref().err()?;
        Some(run_error(&outcome.node, error))
    });
    Error::all(failed).unwrap_or_else(|| {
        Error::new(
            ErrorKind::NothingReached,
            "there is no control-plane node to ask",
        )
    })
}
