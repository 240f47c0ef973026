//! What a change of the members or of the leader did.

use serde::{Deserialize, Serialize};

use super::Member;
use crate::ids::{ClusterId, MemberId};

/// A member was added, removed or promoted, or nothing had to be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MembershipReport {
    /// The cluster's id.
    pub cluster_id: ClusterId,
    /// The member it is about.
    pub member_id: MemberId,
    /// Whether anything was changed; false: nothing had to be changed.
    pub changed: bool,
    /// The quorum's list of members afterwards.
    pub members: Vec<Member>,
}

impl MembershipReport {
    /// The member it is about, as it is listed afterwards; none: it is not.
    pub fn member(&self) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.id == self.member_id)
    }
}

/// The lead was handed over, or the member leads already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaderReport {
    /// The cluster's id.
    pub cluster_id: ClusterId,
    /// Who led before.
    pub from: MemberId,
    /// Who leads now.
    pub to: MemberId,
    /// How long it took, in milliseconds; 0 when it led already.
    pub took_ms: u64,
}

impl LeaderReport {
    /// Whether anything was changed; false: it led already.
    pub fn changed(&self) -> bool {
        self.from != self.to
    }
}
