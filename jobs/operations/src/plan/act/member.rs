//! Members added, promoted and removed, by the etcd of this host.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::action::Done;
use super::Undone;
use crate::client::{Connector, OWN_LIMIT};
use crate::failure::{Failure, FailureKind};
use crate::membership::{self, CatchingUp};
use crate::report::Member;
use crate::shell::CommandLine;
use crate::target::Target;
use crate::work::{Events, Progress};

/// How long a learner may take to have everything: it gets the whole database.
const IN_SYNC: Duration = Duration::from_secs(1800);

/// A learner that is added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Added {
    /// The etcd that is told.
    pub target: Target,
    /// The new member's name.
    pub name: String,
    /// Its peer URLs.
    pub peer_urls: Vec<String>,
}

impl Added {
    pub(super) async fn apply(&self) -> Result<Done, Failure> {
        let connector = Connector::load(&self.target)?;
        membership::add_learner(&connector, &self.target, &self.name, &self.peer_urls).await?;
        Ok(Done::Plain)
    }

    /// A learner that has not been promoted is removed again.
    pub(super) async fn undo(&self) -> Result<Undone, Failure> {
        let connector = Connector::load(&self.target)?;
        match find(&connector, &self.target, &self.peer_urls).await? {
            None => Ok(Undone::default()),
            Some(member) if member.is_learner => {
                membership::remove(&connector, &self.target, member.id).await?;
                Ok(Undone::default())
            }
            Some(_) => Ok(Undone::but(format!(
                "{} stays a voting member; {} removes it",
                self.name,
                CommandLine::new("kubectl etcd member remove").operand(&self.name)
            ))),
        }
    }
}

pub(super) async fn promote(
    target: &Target,
    peer_urls: &[String],
    events: &mut Events<'_>,
) -> Result<Done, Failure> {
    let connector = Connector::load(target)?;
    let member = find(&connector, target, peer_urls).await?.ok_or_else(|| {
        Failure::new(
            FailureKind::Missing,
            format!("no member has the peer URL {}", peer_urls.join(", ")),
        )
        .hint("kubectl etcd members lists them")
    })?;
    let mut progress = |catching_up: CatchingUp| {
        events(Progress {
            step: catching_up.words(),
            done_bytes: catching_up.db_bytes.unwrap_or(0),
            total_bytes: catching_up.db_bytes.map(|_| catching_up.of_bytes),
        });
    };
    membership::promote_when_ready(&connector, target, member.id, IN_SYNC, &mut progress).await?;
    Ok(Done::Plain)
}

pub(super) async fn remove(target: &Target, peer_urls: &[String]) -> Result<Done, Failure> {
    let connector = Connector::load(target)?;
    if let Some(member) = find(&connector, target, peer_urls).await? {
        membership::remove(&connector, target, member.id).await?;
    }
    Ok(Done::Plain)
}

/// The member that has one of these peer URLs.
async fn find(
    connector: &Connector,
    target: &Target,
    peer_urls: &[String],
) -> Result<Option<Member>, Failure> {
    let (endpoint, _) = connector.own(target, OWN_LIMIT).await?;
    let wanted: BTreeSet<&String> = peer_urls.iter().collect();
    let members = endpoint.members(OWN_LIMIT).await?.members.into_iter();
    let mut found =
        members.filter(|member| member.peer_urls.iter().any(|url| wanted.contains(url)));
    Ok(found.next())
}
