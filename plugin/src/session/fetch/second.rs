//! What another member has at the snapshot's revision: the one thing that shows that the member it was taken from, or its
//! node, has not made up what it sent.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use etcd_operations::operation::Operation;
use etcd_operations::pack::unpack::Pages;
use etcd_operations::report::{HashReport, Report, SnapshotReport};

use crate::error::{Error, ErrorKind};
use crate::format::and;
use crate::outcome::{RunError, RunErrorKind};
use crate::session::{Node, Session};

/// How long another member may take to say what it has: at least, for each so many bytes one second more, and at most.
const LEAST: Duration = Duration::from_secs(20);
const BYTES_A_SECOND: u64 = 20 << 20;
const MOST: Duration = Duration::from_secs(140);

/// A member, and the node it is on.
#[derive(Debug, Clone)]
pub struct MemberOn<'m> {
    /// Its node.
    pub node: &'m Node,
    /// Its id.
    pub member_id: String,
    /// The cluster's id.
    pub cluster_id: String,
}

/// Whether a snapshot has what another member has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// It has.
    Same {
        /// The other member's node.
        node: String,
        /// The hash of both (etcd's `HashKV`).
        hash: u32,
    },
    /// It could not be compared.
    Not {
        /// Why, as a fragment.
        why: String,
    },
    /// There is no other member, or the snapshot stays where it was taken.
    NotAsked,
}

/// What a member was asked, and what it said.
pub(super) type Said = Result<HashReport, RunError>;

/// What comes of holding a snapshot against one member.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Held {
    Same(u32),
    Differs { own: u32, theirs: u32 },
    Not(String),
}

/// Another member has something else at the same revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// The member's node.
    node: String,
    revision: u64,
    own: u32,
    theirs: u32,
    /// Further nodes whose members have what the snapshot has, and those whose members have something else.
    same: Vec<String>,
    other: Vec<String>,
}

impl Session {
    /// What a member has up to the revision of a snapshot.
    pub(super) async fn hash_of(&self, member: &MemberOn<'_>, snapshot: &SnapshotReport) -> Said {
        let revision = snapshot.revision;
        let operation = Operation::HashKv { revision };
        let asked = [member.node];
        let limit = limit(snapshot);
        let run = tokio::time::timeout(limit, self.run(&asked, &operation));
        let outcomes = run.await.unwrap_or_default();
        let result = outcomes.into_iter().next().map(|outcome| outcome.result);
        let unfit = || RunError::new(RunErrorKind::Lost, "it gave no answer that fits");
        match result {
            Some(Ok(Report::HashKv(said))) => {
                let is_it = said.member_id.to_string() == member.member_id
                    && said.cluster_id.to_string() == member.cluster_id
                    && said.revision == revision;
                is_it.then_some(said).ok_or_else(unfit)
            }
            Some(Ok(_)) => Err(unfit()),
            Some(Err(error)) => Err(error),
            None => Err(RunError::new(
                RunErrorKind::TimedOut,
                format!("no answer within {} s", limit.as_secs()),
            )),
        }
    }
}

/// How long another member may take. It reads all of its data, and nobody waits for long for what is only a comparison.
fn limit(snapshot: &SnapshotReport) -> Duration {
    let packed = snapshot.packed.as_ref();
    let bytes = packed.map_or(snapshot.size_bytes, |packed| packed.size_bytes);
    (LEAST + Duration::from_secs(bytes / BYTES_A_SECOND)).min(MOST)
}

/// Holds the pages of a snapshot against what the first of these members said; where that is something else, against
/// what the others say who are asked then.
///
/// # Errors
/// When the first has something else.
pub(super) async fn judge(
    pages: Pages,
    members: &[MemberOn<'_>],
    said: Said,
    ask: impl AsyncFn(&MemberOn<'_>) -> Said,
) -> Result<Compared, Mismatch> {
    let Some((first, rest)) = members.split_first() else {
        return Ok(Compared::NotAsked);
    };
    let pages = Arc::new(pages);
    let node = first.node.name.clone();
    let (own, theirs) = match hold(&pages, said).await {
        Held::Same(hash) => return Ok(Compared::Same { node, hash }),
        Held::Not(why) => {
            let why = format!("{node}: {why}");
            return Ok(Compared::Not { why });
        }
        Held::Differs { own, theirs } => (own, theirs),
    };
    let mut mismatch = Mismatch {
        node,
        revision: pages.hash.revision,
        own,
        theirs,
        same: Vec::new(),
        other: Vec::new(),
    };
    for member in rest {
        match hold(&pages, ask(member).await).await {
            Held::Same(_) => mismatch.same.push(member.node.name.clone()),
            Held::Differs { .. } => mismatch.other.push(member.node.name.clone()),
            Held::Not(_) => {}
        }
    }
    Err(mismatch)
}

/// Holds pages against what a member said: both as compacted as the one that is compacted further.
async fn hold(pages: &Arc<Pages>, said: Said) -> Held {
    let said = match said {
        Ok(said) => said,
        Err(error) => return Held::Not(error.message),
    };
    let compacted = said.compact_revision.unwrap_or(0);
    let Ok(compacted) = u64::try_from(compacted) else {
        return Held::Not("it gave no answer that fits".to_owned());
    };
    let pages = Arc::clone(pages);
    let hashed = tokio::task::spawn_blocking(move || pages.hash_compacted(compacted)).await;
    let own = match hashed {
        Ok(Ok(own)) => own,
        Ok(Err(error)) => return Held::Not(error.to_string()),
        Err(error) => return Held::Not(error.to_string()),
    };
    if own.compact_revision.unwrap_or(0) != compacted {
        return Held::Not("it has compacted less than the snapshot".to_owned());
    }
    match own.hash == said.hash {
        true => Held::Same(own.hash),
        false => Held::Differs {
            own: own.hash,
            theirs: said.hash,
        },
    }
}

impl Mismatch {
    /// The error of a snapshot of this node's member that lies there now, if anywhere.
    pub(super) fn into_error(self, source: &str, kept: Option<&Path>) -> Error {
        let Self {
            node,
            revision,
            own,
            theirs,
            same,
            other,
        } = self;
        let mut message = format!(
            "the snapshot of {source} has other data at revision {revision} than the member of {node} (hash {own:08x} instead of {theirs:08x})"
        );
        if !same.is_empty() {
            message.push_str(&format!("; the same data as {}", and(&same)));
        }
        if !other.is_empty() {
            message.push_str(&format!("; other data than {} as well", and(&other)));
        }
        match kept {
            Some(path) => message.push_str(&format!("; it is kept as {}", path.display())),
            None => message.push_str("; what went to standard output does not count"),
        }
        Error::new(ErrorKind::QuorumLostOrDamaged, message)
            .hint("kubectl etcd snapshot save --node NODE takes one from another member")
            .hint("kubectl etcd doctor --ssh")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use etcd_operations::ids::{ClusterId, MemberId};
    use etcd_operations::pack::unpack::arriving;

    use super::*;
    use crate::assess::fixtures;

    const SNAPSHOT: &[u8] = include_bytes!("../../../tests/cmd/offline.in/small.snapshot");

    fn pages() -> Pages {
        let (spool, never) = (crate::input::spool(), AtomicBool::new(false));
        let arrived = arriving(SNAPSHOT, "x", &spool, &never).unwrap();
        arrived.pages.unwrap()
    }

    fn said(hash: u32, compacted: Option<u64>) -> Said {
        Ok(HashReport {
            cluster_id: ClusterId(1),
            member_id: MemberId(2),
            revision: 11,
            hash,
            compact_revision: compacted.map(u64::cast_signed),
        })
    }

    async fn judged(first: Said, others: &[Said]) -> Result<Compared, Mismatch> {
        let nodes: Vec<Node> = (1..=3).map(fixtures::node).collect();
        let members: Vec<MemberOn<'_>> = nodes
            .iter()
            .map(|node| MemberOn {
                node,
                member_id: String::new(),
                cluster_id: String::new(),
            })
            .collect();
        let ask = async |member: &MemberOn<'_>| {
            let at = nodes.iter().position(|node| *node == *member.node);
            others[at.unwrap() - 1].clone()
        };
        judge(pages(), &members[..=others.len()], first, ask).await
    }

    #[tokio::test]
    async fn the_same_hash_at_the_same_compaction_is_the_same_data() {
        let own = pages().hash;
        let same = judged(said(own.hash, own.compact_revision), &[]).await;
        let node = "cp-1".to_owned();
        let hash = own.hash;
        assert_eq!(same, Ok(Compared::Same { node, hash }));
        // Compacted since: the snapshot is hashed as if it were as well.
        let further = own.revision - 1;
        assert!(further > own.compact_revision.unwrap_or(0));
        let as_there = pages().hash_compacted(further).unwrap();
        assert_ne!(as_there.hash, own.hash);
        let same = judged(said(as_there.hash, Some(further)), &[]).await;
        assert!(matches!(same, Ok(Compared::Same { .. })), "{same:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_compared_is_said_and_is_no_mismatch() {
        let own = pages().hash;
        let silent = RunError::new(RunErrorKind::TimedOut, "not done within 20 s");
        for (said, why) in [
            (Err(silent), "not done within 20 s"),
            (said(1, Some(own.revision + 1)), "not between"),
        ] {
            match judged(said, &[]).await {
                Ok(Compared::Not { why: told }) => {
                    assert!(told.starts_with("cp-1: ") && told.contains(why), "{told}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn other_data_is_told_with_all_who_were_asked() {
        let own = pages().hash;
        let same = said(own.hash, own.compact_revision);
        let other = said(own.hash ^ 1, own.compact_revision);
        let mismatch = judged(other.clone(), &[same, other]).await.unwrap_err();
        let error = mismatch.into_error("cp-9", Some(Path::new("/b/x.db.mismatch")));
        assert_eq!(error.kind.exit_code(), 4);
        for part in [
            "the snapshot of cp-9 has other data",
            "than the member of cp-1",
            "the same data as cp-2",
            "other data than cp-3 as well",
            "kept as /b/x.db.mismatch",
        ] {
            assert!(error.message.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn a_small_database_is_not_waited_for_for_minutes() {
        let of = |bytes: u64| {
            let mut report: SnapshotReport = serde_json::from_value(serde_json::json!({
                "path": "x", "sizeBytes": 3, "sha256": "ab", "clusterId": "1", "memberId": "2", "revision": 3, "raftTerm": 4,
                "etcdVersion": "3.6.6", "hash": 5, "totalKeys": 6, "takenAt": "2026-11-21T15:00:00Z", "tookMs": 7,
            }))
            .unwrap();
            report.size_bytes = bytes;
            limit(&report).as_secs()
        };
        assert_eq!((of(1 << 20), of(1 << 30), of(1 << 40)), (20, 71, 140));
    }
}
