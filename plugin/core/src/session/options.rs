//! On which nodes a session works, and by which runner.

use std::time::Duration;

use crate::via::Forced;

/// On which nodes a session works, and by which runner.
#[derive(Debug, Clone, Default)]
pub struct FleetOptions {
    /// Only on these control-plane nodes; none named: on all of them.
    pub nodes: Vec<String>,
    /// The runner that is forced.
    pub via: Option<Forced>,
    /// Job image to use instead of the carried program.
    pub image: Option<String>,
    /// Secrets with which the job image is pulled, in the Jobs' namespace.
    pub image_pull_secrets: Vec<String>,
    /// How long the work on one node may take before it is given up.
    pub timeout: Option<Duration>,
}
