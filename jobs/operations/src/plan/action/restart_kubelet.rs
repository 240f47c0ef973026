//! kubelet restarted.

use serde::{Deserialize, Serialize};

use super::Done;
use super::act::{Act, NoRecord, StepContext};
use crate::failure::Failure;

/// Restarts kubelet, which then reads everything again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartKubelet {}

impl Act for RestartKubelet {
    type Record = NoRecord;

    fn describe(&self) -> String {
        "restart kubelet".to_owned()
    }

    async fn prepare(&self, _step: &mut StepContext<'_>) -> Result<NoRecord, Failure> {
        Ok(NoRecord {})
    }

    async fn apply(
        &self,
        _record: &NoRecord,
        _step: &mut StepContext<'_>,
    ) -> Result<Done, Failure> {
        crate::kubelet::restart().await.map(|()| Done::Plain)
    }
}
