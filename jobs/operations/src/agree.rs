//! Whether the members of a cluster have the same: asked of each, from one of them.

use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::client::{Connector, Endpoint, EtcdApi, EtcdEndpoint, OWN_LIMIT, QUORUM_LIMIT};
use crate::failure::{Answer, Failure};
use crate::ids::{ClusterId, MemberId};
use crate::limits::HASH_LIMIT;
use crate::report::Member;
use crate::target::Target;

/// How long to wait for a member that has just come.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often to look whether it has.
const LOOK: Duration = Duration::from_millis(200);

/// What the members of a cluster have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agreement {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The revision at which all were hashed.
    pub revision: i64,
    /// The members.
    pub members: Vec<MemberHash>,
}

/// What one member has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberHash {
    /// Its id.
    pub id: MemberId,
    /// Its name.
    pub name: String,
    /// The hash of everything it has up to the revision, or why there is none.
    pub hash: Answer<u32>,
}

impl Agreement {
    /// Whether all members answered with the same hash.
    pub fn is_complete(&self) -> bool {
        let mut hashes = self.members.iter().map(|member| member.hash.ok());
        let first = hashes.next().flatten();
        first.is_some() && hashes.all(|hash| hash == first)
    }
}

/// Asks all members for a hash of everything up to one revision. One that does not answer at first is given a moment.
///
/// # Errors
/// When the target's own member does not answer, or there is no quorum.
pub async fn agreement(target: &Target) -> Result<Agreement, Failure> {
    let connector = Connector::load(target)?;
    let (own, _) = connector.own(target, OWN_LIMIT).await?;
    own.linearizable_read(QUORUM_LIMIT).await?;
    let status = own.status(OWN_LIMIT).await?;
    let list = own.members(OWN_LIMIT).await?;
    let hashed = list.members.iter().map(async |member| MemberHash {
        id: member.id,
        name: member.name.clone(),
        hash: hash(&connector, member, status.revision).await.into(),
    });
    Ok(Agreement {
        cluster_id: status.cluster_id,
        revision: status.revision,
        members: join_all(hashed).await,
    })
}

async fn hash(connector: &Connector, member: &Member, revision: i64) -> Result<u32, Failure> {
    let url = member
        .client_urls
        .first()
        .ok_or_else(|| Failure::unreachable("it announces no client URL"))?;
    let until = Instant::now() + PATIENCE;
    loop {
        let asked = at(&connector.endpoint(url).await?, revision).await;
        match asked {
            Err(_) if Instant::now() < until => sleep(LOOK).await,
            asked => return asked,
        }
    }
}

/// The hash at a revision, which the member must have reached.
async fn at(endpoint: &Endpoint, revision: i64) -> Result<u32, Failure> {
    endpoint.linearizable_read(QUORUM_LIMIT).await?;
    let said = endpoint.hash_kv(revision, HASH_LIMIT).await?;
    Ok(said.hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_agree_when_all_of_them_say_the_same() {
        let of = |hashes: &[Option<u32>]| Agreement {
            cluster_id: ClusterId(1),
            revision: 7,
            members: hashes
                .iter()
                .map(|hash| MemberHash {
                    id: MemberId(1),
                    name: "a".into(),
                    hash: hash.ok_or(Failure::unreachable("off")).into(),
                })
                .collect(),
        };
        assert!(of(&[Some(1), Some(1)]).is_complete());
        assert!(!of(&[Some(1), Some(2)]).is_complete());
        assert!(!of(&[Some(1), None]).is_complete());
        assert!(!of(&[None, None]).is_complete());
        assert!(!of(&[]).is_complete());
    }
}
