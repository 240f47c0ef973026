//! A member removed.

use serde::{Deserialize, Serialize};

use super::Done;
use super::act::{Act, NoRecord, StepContext};
use super::members::{find, unknown};
use crate::advice;
use crate::advice::{Advice, Task};
use crate::client::Connector;
use crate::failure::Failure;
use crate::membership;
use crate::target::Target;

/// Removes a member, by the etcd of this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoveMember {
    /// The etcd of this host.
    pub target: Target,
    /// The peer URLs of the member.
    pub peer_urls: Vec<String>,
    /// What people call it.
    pub name: String,
}

impl Act for RemoveMember {
    type Record = NoRecord;

    fn describe(&self) -> String {
        format!("remove the member {}", self.name)
    }

    async fn prepare(&self, _step: &mut StepContext<'_>) -> Result<NoRecord, Failure> {
        Ok(NoRecord {})
    }

    async fn apply(
        &self,
        _record: &NoRecord,
        _step: &mut StepContext<'_>,
    ) -> Result<Done, Failure> {
        let connector = Connector::load(&self.target)?;
        if let Some(member) = find(&connector, &self.target, &self.peer_urls).await? {
            membership::remove(&connector, &self.target, member.id).await?;
        }
        Ok(Done::Plain)
    }

    fn what_stays(&self, was_done: bool) -> Advice {
        match was_done {
            true => advice![
                format!(
                    "the member {} stays removed: etcd takes no removed member back; ",
                    self.name
                ),
                Task::ReplaceMember,
                ", run on that host, adds it anew",
            ],
            false => unknown(&self.describe(), &self.name),
        }
    }
}
