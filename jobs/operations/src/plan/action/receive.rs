//! The snapshot in the plan's folder, checked.

use std::fs::File;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Done;
use super::act::{Act, NoRecord, StepContext};
use crate::disk::files::trouble;
use crate::failure::Failure;
use crate::work::{Flow, hash_file, work};

/// Has the snapshot in the plan's folder, which the executor of the plan sends before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiveSnapshot {
    /// The sha256 of the whole file, in hex.
    pub sha256: String,
    /// How many bytes it has.
    pub bytes: u64,
}

impl Act for ReceiveSnapshot {
    type Record = NoRecord;

    fn describe(&self) -> String {
        "receive the snapshot".to_owned()
    }

    async fn prepare(&self, _step: &mut StepContext<'_>) -> Result<NoRecord, Failure> {
        Ok(NoRecord {})
    }

    async fn apply(&self, _record: &NoRecord, step: &mut StepContext<'_>) -> Result<Done, Failure> {
        let path = step.snapshot.clone();
        let (wanted, bytes) = (self.sha256.clone(), self.bytes);
        let flow = Arc::new(Flow::new("checking"));
        work(flow, step.events, move |flow| {
            let read = |error| trouble("read", &path, &error);
            let mut file = File::open(&path).map_err(read).map_err(|failure| {
                failure.hint("the snapshot has to be sent to this host first")
            })?;
            flow.of(bytes);
            let found = hash_file(&mut file, flow, read)?;
            if found.size_bytes == bytes && found.sha256 == wanted {
                Ok(Done::Plain)
            } else {
                let message = format!("{} is not the snapshot of this plan", path.display());
                Err(Failure::corrupt(message).hint("move it away; the plan then has it sent again"))
            }
        })
        .await
    }
}
