//! The list of members, and whose view it is.

use crate::client::{Connector, OWN_LIMIT, QUORUM_LIMIT};
use crate::failure::{Failure, FailureKind};
use crate::report::{Consistency, Report};
use crate::target::Target;

/// A linearizable read first: what this member lists after it holds everything that was committed before it, and so is
/// the quorum's view. (The client library asks for the member's own view alone; etcd 3.4 knows no other.)
pub(super) async fn members(target: &Target, connector: &Connector) -> Result<Report, Failure> {
    let (endpoint, own) = connector.own(target, OWN_LIMIT).await?;
    // A learner serves no linearizable read, and a member that knows of no leader will not get one through.
    let read = match own.is_learner || own.leader.is_none() {
        true => Err(Failure::new(FailureKind::NoQuorum, "no leader")),
        false => endpoint.linearizable_read(QUORUM_LIMIT).await,
    };
    let mut list = endpoint.members(OWN_LIMIT).await?;
    if read.is_ok() {
        list.consistency = Consistency::Linearizable;
    }
    Ok(Report::Members(list))
}
