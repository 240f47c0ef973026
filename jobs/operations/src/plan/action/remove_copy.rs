//! The copy of the data, removed.

use serde::{Deserialize, Serialize};

use super::Done;
use super::act::{Act, NoRecord, StepContext};
use super::copy_data::CopyRecord;
use crate::failure::Failure;
use crate::target::Target;

/// Removes the copy, which this plan made and nobody served from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveCopy {
    /// Of whose data.
    pub target: Target,
}

impl Act for RemoveCopy {
    type Record = NoRecord;

    fn describe(&self) -> String {
        "remove the copy".to_owned()
    }

    async fn prepare(&self, _step: &mut StepContext<'_>) -> Result<NoRecord, Failure> {
        Ok(NoRecord {})
    }

    async fn apply(&self, _record: &NoRecord, step: &mut StepContext<'_>) -> Result<Done, Failure> {
        CopyRecord::of(&self.target, step)?.remove()?;
        Ok(Done::Plain)
    }
}
