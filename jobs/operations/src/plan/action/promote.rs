//! A learner made a voter.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Done;
use super::act::{Act, NoRecord, StepContext};
use super::members::{find, unknown};
use crate::advice;
use crate::advice::{Advice, Task};
use crate::client::Connector;
use crate::failure::Failure;
use crate::membership::{self, CatchingUp};
use crate::target::Target;
use crate::work::Progress;

/// How long a learner may take to have everything: it gets the whole database.
const IN_SYNC: Duration = Duration::from_secs(1800);

/// Waits until a learner is in sync and makes it a voter, by the etcd of this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PromoteLearner {
    /// The etcd of this host.
    pub target: Target,
    /// The learner's peer URLs.
    pub peer_urls: Vec<String>,
    /// What people call it.
    pub name: String,
}

impl Act for PromoteLearner {
    type Record = NoRecord;

    fn describe(&self) -> String {
        format!("promote {} once it is in sync", self.name)
    }

    async fn prepare(&self, _step: &mut StepContext<'_>) -> Result<NoRecord, Failure> {
        Ok(NoRecord {})
    }

    async fn apply(&self, _record: &NoRecord, step: &mut StepContext<'_>) -> Result<Done, Failure> {
        let (target, peer_urls) = (&self.target, &self.peer_urls);
        let connector = Connector::load(target)?;
        let member = find(&connector, target, peer_urls).await?.ok_or_else(|| {
            Failure::missing(format!(
                "no member has the peer URL {}",
                peer_urls.join(", ")
            ))
            .hint(advice![Task::ListMembers, " lists them"])
        })?;
        let mut progress = |catching_up: CatchingUp| {
            (step.events)(Progress {
                step: catching_up.words(),
                done_bytes: catching_up.db_bytes.unwrap_or(0),
                total_bytes: catching_up.db_bytes.map(|_| catching_up.of_bytes),
            });
        };
        membership::promote_when_ready(&connector, target, member.id, IN_SYNC, &mut progress)
            .await?;
        Ok(Done::Plain)
    }

    fn what_stays(&self, was_done: bool) -> Advice {
        match was_done {
            true => format!(
                "{} stays a voting member: etcd makes no learner of a voter",
                self.name
            )
            .into(),
            false => unknown(&self.describe(), &self.name),
        }
    }
}
