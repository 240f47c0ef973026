//! kubelet restarted.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Done;
use super::act::{Act, NoRecord, StepContext};
use crate::failure::Failure;
use crate::work::Events;

/// Restarts kubelet, which then reads everything again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartKubelet {}

impl fmt::Display for RestartKubelet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("restart kubelet")
    }
}

impl Act for RestartKubelet {
    type Record = NoRecord;

    async fn prepare(&self, _context: &StepContext<'_>) -> Result<NoRecord, Failure> {
        Ok(NoRecord {})
    }

    async fn apply(
        &self,
        _record: &NoRecord,
        _context: &StepContext<'_>,
        _events: &mut Events<'_>,
    ) -> Result<Done, Failure> {
        crate::kubelet::restart().await.map(|()| Done::Plain)
    }
}
