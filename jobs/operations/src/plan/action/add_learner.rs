//! A member added as a learner.

use serde::{Deserialize, Serialize};

use super::Done;
use super::act::{Act, ActRecord, StepContext, Undoing, Undone};
use super::members::find;
use crate::advice;
use crate::advice::Task;
use crate::client::Connector;
use crate::failure::Failure;
use crate::membership;
use crate::target::Target;

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

impl Act for AddLearner {
    type Record = Self;

    fn describe(&self) -> String {
        format!("add {} as a learner", self.name)
    }

    async fn prepare(&self, _step: &mut StepContext<'_>) -> Result<Self, Failure> {
        Ok(self.clone())
    }

    async fn apply(&self, record: &Self, _step: &mut StepContext<'_>) -> Result<Done, Failure> {
        let connector = Connector::load(&record.target)?;
        membership::add_learner(&connector, &record.target, &record.name, &record.peer_urls)
            .await?;
        Ok(Done::Plain)
    }

    /// A learner that has not been promoted is removed again.
    async fn undo(&self, record: &Self, _undo: &mut Undoing<'_>) -> Result<Undone, Failure> {
        let connector = Connector::load(&record.target)?;
        match find(&connector, &record.target, &record.peer_urls).await? {
            None => Ok(Undone::default()),
            Some(member) if member.is_learner => {
                membership::remove(&connector, &record.target, member.id).await?;
                Ok(Undone::default())
            }
            Some(_) => Ok(Undone::but(advice![
                format!("{} stays a voting member; ", record.name),
                Task::RemoveMember.of(&record.name),
                " removes it",
            ])),
        }
    }
}
