//! A control-plane node's host that was reached without an apiserver: over ssh, or the one on which this runs.

use etcd_operations::operation::Operation;
use etcd_operations::report::Report;

use crate::cli::Via;
use crate::lead::Host;
use crate::outcome::{RunError, RunErrorKind};

/// The way to a host.
pub(crate) fn via(host: Option<&Host>) -> Via {
    match host.is_some_and(Host::is_here) {
        true => Via::Local,
        false => Via::Ssh,
    }
}

/// Has a host do what a Job would do on its node: what only looks.
pub(crate) async fn operate(
    host: Option<&Host>,
    operation: &Operation,
) -> Result<Report, RunError> {
    let lost = || RunError::new(RunErrorKind::Lost, "the host is not connected");
    host.ok_or_else(lost)?.operate(operation).await
}
