//! A component that was started, waited for.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::act::{Act, NoRecord, StepContext};
use super::{Done, Readiness, pods};
use crate::failure::Failure;
use crate::static_pod::StaticPod;
use crate::work::Events;

/// Waits until a component that was started is so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitComponent {
    /// The component.
    pub component: String,
    /// How far it has to be.
    pub until: Readiness,
}

impl fmt::Display for AwaitComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wait until {} {}", self.component, self.until)
    }
}

impl Act for AwaitComponent {
    type Record = NoRecord;

    async fn prepare(&self, _context: &StepContext<'_>) -> Result<NoRecord, Failure> {
        Ok(NoRecord {})
    }

    async fn apply(
        &self,
        _record: &NoRecord,
        context: &StepContext<'_>,
        events: &mut Events<'_>,
    ) -> Result<Done, Failure> {
        let file = context.manifest_of(&self.component)?;
        let pod = StaticPod::of(&file.manifest, &self.component, &context.host.node)?;
        let wanted = self.until.wanted();
        pods::up(&pod, &pods::runtime().await?, wanted, events).await?;
        Ok(Done::Plain)
    }
}
