//! Calls that change who belongs to the cluster and who leads it.

use std::time::Duration;

use etcd_client::MemberAddOptions;

use super::{Endpoint, Needs, convert};
use crate::failure::{Failure, FailureKind};
use crate::ids::MemberId;
use crate::report::Member;

impl Endpoint {
    /// Adds a member; needs the quorum. Gives the new member, and all members then.
    ///
    /// # Errors
    /// As [`Endpoint::linearizable_read`], and what etcd has against it. When the time ran out it may be done all the
    /// same.
    pub async fn add_member(
        &self,
        peer_urls: &[String],
        learner: bool,
        limit: Duration,
    ) -> Result<(Member, Vec<Member>), Failure> {
        let mut client = self.client.cluster_client();
        let options = match learner {
            true => MemberAddOptions::new().with_is_learner(),
            false => MemberAddOptions::new(),
        };
        let call = client.member_add(peer_urls, Some(options));
        let answer = self.within(limit, Needs::Quorum, call).await?;
        let nameless = || Failure::new(FailureKind::Other, "etcd's answer names no new member");
        let added = answer.member().ok_or_else(nameless)?;
        let all = answer.member_list().iter().map(convert::member);
        Ok((convert::member(added), all.collect()))
    }

    /// Removes a member; needs the quorum. Gives the members then.
    ///
    /// # Errors
    /// As [`Endpoint::add_member`].
    pub async fn remove_member(
        &self,
        member: MemberId,
        limit: Duration,
    ) -> Result<Vec<Member>, Failure> {
        let mut client = self.client.cluster_client();
        let call = client.member_remove(member.0);
        let answer = self.within(limit, Needs::Quorum, call).await?;
        Ok(answer.members().iter().map(convert::member).collect())
    }

    /// Gives a learner a vote; needs the quorum. Gives the members then.
    ///
    /// # Errors
    /// As [`Endpoint::add_member`].
    pub async fn promote_member(
        &self,
        member: MemberId,
        limit: Duration,
    ) -> Result<Vec<Member>, Failure> {
        let mut client = self.client.cluster_client();
        let call = client.member_promote(member.0);
        let answer = self.within(limit, Needs::Quorum, call).await?;
        Ok(answer.members().iter().map(convert::member).collect())
    }

    /// Has this member, which has to be the leader, hand the lead over, and waits until it is handed over.
    ///
    /// # Errors
    /// As [`Endpoint::add_member`].
    pub async fn move_leader(&self, to: MemberId, limit: Duration) -> Result<(), Failure> {
        let mut client = self.client.maintenance_client();
        let call = client.move_leader(to.0);
        self.within(limit, Needs::Quorum, call).await.map(|_| ())
    }
}
