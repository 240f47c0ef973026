//! A component that was started, waited for.

use serde::{Deserialize, Serialize};

use super::act::{Act, NoRecord, StepContext};
use super::{Done, Readiness, pods};
use crate::failure::Failure;
use crate::static_pod::StaticPod;

/// Waits until a component that was started is so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitComponent {
    /// The component.
    pub component: String,
    /// How far it has to be.
    pub until: Readiness,
}

impl Act for AwaitComponent {
    type Record = NoRecord;

    fn describe(&self) -> String {
        format!("wait until {} {}", self.component, self.until)
    }

    async fn prepare(&self, _step: &mut StepContext<'_>) -> Result<NoRecord, Failure> {
        Ok(NoRecord {})
    }

    async fn apply(&self, _record: &NoRecord, step: &mut StepContext<'_>) -> Result<Done, Failure> {
        let file = step.manifest_of(&self.component)?;
        let pod = StaticPod::of(&file.manifest, &self.component, &step.host.node)?;
        let wanted = self.until.wanted();
        pods::up(&pod, &pods::runtime().await?, wanted, step.events).await?;
        Ok(Done::Plain)
    }
}
