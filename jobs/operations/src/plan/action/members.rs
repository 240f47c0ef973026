//! What the actions that change who is a member share.

use std::collections::BTreeSet;

use crate::advice;
use crate::advice::{Advice, Task};
use crate::client::{Connector, EtcdApi, EtcdEndpoint, OWN_LIMIT};
use crate::failure::Failure;
use crate::report::Member;
use crate::target::Target;

/// What is said after a step that was tried: etcd may have done it all the same.
pub(super) fn unknown(action: &str, name: &str) -> Advice {
    advice![
        format!("{action} was tried and failed: what {name} is now is shown by "),
        Task::ListMembers,
    ]
}

/// The member that has one of these peer URLs.
pub(super) async fn find(
    connector: &Connector,
    target: &Target,
    peer_urls: &[String],
) -> Result<Option<Member>, Failure> {
    let (endpoint, _) = connector.own(target, OWN_LIMIT).await?;
    let wanted: BTreeSet<&String> = peer_urls.iter().collect();
    let members = endpoint.members(OWN_LIMIT).await?.members.into_iter();
    let mut found =
        members.filter(|member| member.peer_urls.iter().any(|url| wanted.contains(url)));
    Ok(found.next())
}
