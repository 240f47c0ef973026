//! A member added as a learner.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Done;
use super::act::{Act, ActRecord, StepContext, Undone};
use super::members::find;
use crate::client::Connector;
use crate::failure::Failure;
use crate::membership;
use crate::shell::CommandLine;
use crate::target::Target;
use crate::work::Events;

/// Adds a member as a learner, by the etcd of this host. It is its own record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddLearner {
    /// The etcd of this host.
    pub target: Target,
    /// The new member's name.
    pub name: String,
    /// Its peer URLs.
    pub peer_urls: Vec<String>,
}

impl ActRecord for AddLearner {
    const NAME: &'static str = "add-learner";
}

impl fmt::Display for AddLearner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "add {} as a learner", self.name)
    }
}

impl Act for AddLearner {
    type Record = Self;

    async fn prepare(&self, _context: &StepContext<'_>) -> Result<Self, Failure> {
        Ok(self.clone())
    }

    async fn apply(
        &self,
        record: &Self,
        _context: &StepContext<'_>,
        _events: &mut Events<'_>,
    ) -> Result<Done, Failure> {
        let connector = Connector::load(&record.target)?;
        membership::add_learner(&connector, &record.target, &record.name, &record.peer_urls)
            .await?;
        Ok(Done::Plain)
    }

    /// A learner that has not been promoted is removed again.
    async fn undo(
        &self,
        record: &Self,
        _learner_removed: bool,
        _events: &mut Events<'_>,
    ) -> Result<Undone, Failure> {
        let connector = Connector::load(&record.target)?;
        match find(&connector, &record.target, &record.peer_urls).await? {
            None => Ok(Undone::default()),
            Some(member) if member.is_learner => {
                membership::remove(&connector, &record.target, member.id).await?;
                Ok(Undone::default())
            }
            Some(_) => Ok(Undone::but(format!(
                "{} stays a voting member; {} removes it",
                record.name,
                CommandLine::new("kubectl etcd member remove").operand(&record.name)
            ))),
        }
    }
}
