//! The copy of the data, removed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Done;
use super::act::{Act, NoRecord, StepContext};
use super::copy_data::CopyRecord;
use crate::failure::Failure;
use crate::target::Target;
use crate::work::Events;

/// Removes the copy, which this plan made and nobody served from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveCopy {
    /// Of whose data.
    pub target: Target,
}

impl fmt::Display for RemoveCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("remove the copy")
    }
}

impl Act for RemoveCopy {
    type Record = NoRecord;

    async fn prepare(&self, _context: &StepContext<'_>) -> Result<NoRecord, Failure> {
        Ok(NoRecord {})
    }

    async fn apply(
        &self,
        _record: &NoRecord,
        context: &StepContext<'_>,
        _events: &mut Events<'_>,
    ) -> Result<Done, Failure> {
        CopyRecord::of(&self.target, context)?.remove()?;
        Ok(Done::Plain)
    }
}
