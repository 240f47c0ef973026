//! kubelet, as systemd has it.

use futures::join;
use serde::{Deserialize, Serialize};

use super::within;
use crate::failure::Answer;
use crate::kubelet;
use crate::limits::KUBELET_LOOK_LIMIT;

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
        within(KUBELET_LOOK_LIMIT, "systemd", kubelet::is_active()),
        within(
            KUBELET_LOOK_LIMIT,
            "the journal",
            kubelet::last_errors(ERRORS)
        ),
    );
    KubeletLook {
        active,
        last_errors,
    }
}
