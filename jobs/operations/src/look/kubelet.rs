//! kubelet, as systemd has it.

use std::time::Duration;

use futures::join;
use serde::{Deserialize, Serialize};

use super::within;
use crate::failure::Answer;
use crate::kubelet;

/// How long systemd may take.
const LIMIT: Duration = Duration::from_secs(5);

/// So many of its errors are told.
const ERRORS: usize = 5;

/// kubelet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeletLook {
    /// Whether it runs.
    pub active: Answer<bool>,
    /// The last lines of its log that are errors, the oldest first, each once, cut to a bearable length.
    pub last_errors: Answer<Vec<String>>,
}

pub(super) async fn look() -> KubeletLook {
    let (active, last_errors) = join!(
        within(LIMIT, "systemd", kubelet::is_active()),
        within(LIMIT, "the journal", kubelet::last_errors(ERRORS)),
    );
    KubeletLook {
        active,
        last_errors,
    }
}
