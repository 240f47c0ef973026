//! What another member has at the snapshot's revision: the one thing that shows that the member it was taken from, or its
//! node, has not made up what it sent.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use etcd_operations::advice;
use etcd_operations::advice::{Choice, Task};
use etcd_operations::operation::HashKv;
use etcd_operations::pack::unpack::Pages;
use etcd_operations::report::{HashReport, SnapshotReport};

use crate::error::{Error, ErrorKind};
use crate::format::and;
use crate::limits;
use crate::outcome::{RunError, RunErrorKind};
use crate::runners::within;
use crate::session::{Node, Session};

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
    /// It could not be compared with any.
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
    Differs(Difference),
    Not(String),
}

/// In what a member differs from a snapshot. It has read linearizably after the snapshot was taken, so it has all that was
/// committed by then, and so all that an honest snapshot has: revisions, and compactions. etcd tells a compaction from the
/// moment it is applied, not only when it is done, and the snapshot's own is read in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    /// Other data at the same revision.
    Hash { own: u32, theirs: u32 },
    /// It ends before the snapshot's revision.
    EndsAt { revision: i64 },
    /// It has compacted less.
    Compacted { own: u64, theirs: u64 },
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hash { own, theirs } => write!(f, "hash {own:08x} instead of {theirs:08x}"),
            Self::EndsAt { revision } => write!(
                f,
                "which has all that is committed, and ends at revision {revision}"
            ),
            Self::Compacted { own, theirs } => write!(
                f,
                "which has all that is committed, and is compacted up to revision {theirs} instead of {own}"
            ),
        }
    }
}

/// Another member has something else at the same revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// The member's node.
    node: String,
    revision: u64,
    difference: Difference,
    /// Further nodes whose members have what the snapshot has, and those whose members have something else.
    same: Vec<String>,
    other: Vec<String>,
}

impl Session {
    /// What a member has up to the revision of a snapshot.
    pub(super) async fn hash_of(&self, member: &MemberOn<'_>, snapshot: &SnapshotReport) -> Said {
        let revision = snapshot.revision;
        let unfit = || RunError::new(RunErrorKind::Lost, "it gave no answer that fits");
        let ask = async {
            let hash = HashKv {
                revision,
                has_it: false,
            };
            let outcome = self.run(&[member.node], &hash).await.pop();
            outcome.ok_or_else(unfit)?.result
        };
        let said = within(limit(snapshot), ask).await?;
        let is_it = said.member_id.to_string() == member.member_id
            && said.cluster_id.to_string() == member.cluster_id
            && (0..=revision).contains(&said.revision);
        is_it.then_some(said).ok_or_else(unfit)
    }
}

/// How long another member may take. It reads all of its data, and nobody waits for long for what is only a comparison.
fn limit(snapshot: &SnapshotReport) -> Duration {
    let packed = snapshot.packed.as_ref();
    let bytes = packed.map_or(snapshot.size_bytes, |packed| packed.size_bytes);
    let (least, most) = limits::COMPARED;
    (least + Duration::from_secs(bytes / limits::COMPARED_BYTES_A_SECOND)).min(most)
}

/// Holds the pages of a snapshot against what the first of these members said; where that cannot be compared, or is something
/// else, against what the others say who are asked then.
///
/// # Errors
/// When the first that can be compared has something else.
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
    let (mut mismatch, mut unheld) = (None::<Mismatch>, Vec::new());
    let mut next = Some((first, said));
    let mut rest = rest.iter();
    while let Some((member, said)) = next {
        let node = member.node.name.clone();
        match (hold(&pages, said).await, &mut mismatch) {
            (Held::Same(hash), None) => return Ok(Compared::Same { node, hash }),
            (Held::Same(_), Some(mismatch)) => mismatch.same.push(node),
            (Held::Differs(_), Some(mismatch)) => mismatch.other.push(node),
            (Held::Differs(difference), none) => {
                *none = Some(Mismatch {
                    node,
                    revision: pages.hash.revision,
                    difference,
                    same: Vec::new(),
                    other: Vec::new(),
                });
            }
            (Held::Not(why), _) => unheld.push(format!("{node}: {why}")),
        }
        next = match rest.next() {
            Some(member) => Some((member, ask(member).await)),
            None => None,
        };
    }
    match mismatch {
        Some(mismatch) => Err(mismatch),
        None => Ok(Compared::Not {
            why: unheld.join("; "),
        }),
    }
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
    if said.revision < i64::try_from(pages.status.revision).unwrap_or(i64::MAX) {
        return Held::Differs(Difference::EndsAt {
            revision: said.revision,
        });
    }
    let own = pages.hash.compact_revision.unwrap_or(0);
    if own > compacted {
        let theirs = compacted;
        return Held::Differs(Difference::Compacted { own, theirs });
    }
    let pages = Arc::clone(pages);
    let hashed = tokio::task::spawn_blocking(move || pages.hash_compacted(compacted)).await;
    let own = match hashed {
        Ok(Ok(own)) => own,
        Ok(Err(error)) => return Held::Not(error.to_string()),
        Err(error) => return Held::Not(error.to_string()),
    };
    match own.hash == said.hash {
        true => Held::Same(own.hash),
        false => Held::Differs(Difference::Hash {
            own: own.hash,
            theirs: said.hash,
        }),
    }
}

impl Mismatch {
    /// The error of a snapshot of this node's member that lies there now; none: it went to standard output.
    pub(super) fn into_error(self, source: &str, kept: &Result<Option<PathBuf>, Error>) -> Error {
        let Self {
            node,
            revision,
            difference,
            same,
            other,
        } = self;
        let mut message = format!(
            "the snapshot of {source} has other data at revision {revision} than the member of {node} ({difference})"
        );
        if !same.is_empty() {
            message.push_str(&format!("; the same data as {}", and(&same)));
        }
        if !other.is_empty() {
            message.push_str(&format!("; other data than {} as well", and(&other)));
        }
        match kept {
            Ok(Some(path)) => message.push_str(&format!("; it is kept as {}", path.display())),
            Ok(None) => message.push_str("; what went to standard output does not count"),
            Err(_) => message.push_str("; it is not kept"),
        }
        let error = Error::new(ErrorKind::QuorumLostOrDamaged, message);
        let error = match kept {
            Ok(_) => error,
            Err(why) => error.hint(format!("it could not be kept: {}", why.chain())),
        };
        error
            .hint(advice![
                Task::SaveSnapshot.with(Choice::Node, "NODE"),
                " takes one from another member"
            ])
            .hint(Task::Diagnose.choosing(Choice::Ssh))
    }
}

#[cfg(test)]
#[path = "second_tests.rs"]
mod tests;
