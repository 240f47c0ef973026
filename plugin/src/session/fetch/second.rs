//! What another member has at the snapshot's revision: the one thing that shows that the member it was taken from, or its
//! node, has not made up what it sent.

use std::sync::Arc;

use etcd_operations::operation::Operation;
use etcd_operations::pack::unpack::Pages;
use etcd_operations::report::{HashReport, Report};

use crate::error::{Error, ErrorKind};
use crate::format::and;
use crate::outcome::{RunError, RunErrorKind};
use crate::session::{Node, Session};

/// A voter of the majority, on another node than the one a snapshot is taken from.
#[derive(Debug, Clone)]
pub struct Peer<'p> {
    /// Its node.
    pub node: &'p Node,
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
    /// What a member has up to a revision.
    pub(super) async fn hash_of(&self, peer: &Peer<'_>, revision: i64) -> Said {
        let operation = Operation::HashKv { revision };
        let outcomes = self.run(&[peer.node], &operation).await;
        let result = outcomes.into_iter().next().map(|outcome| outcome.result);
        let unfit = || RunError::new(RunErrorKind::Lost, "it gave no answer that fits");
        match result {
            Some(Ok(Report::HashKv(said))) => {
                let is_it = said.member_id.to_string() == peer.member_id
                    && said.cluster_id.to_string() == peer.cluster_id
                    && said.revision == revision;
                is_it.then_some(said).ok_or_else(unfit)
            }
            Some(Ok(_)) | None => Err(unfit()),
            Some(Err(error)) => Err(error),
        }
    }

    /// Holds the pages of a snapshot against what the first of these members said; where that is something else, against
    /// what the others have.
    ///
    /// # Errors
    /// When it is something else.
    pub(super) async fn judge(
        &self,
        pages: Pages,
        peers: &[Peer<'_>],
        said: Said,
    ) -> Result<Compared, Mismatch> {
        let Some((first, rest)) = peers.split_first() else {
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
        let revision = pages.hash.revision;
        let mut mismatch = Mismatch {
            node,
            revision,
            own,
            theirs,
            same: Vec::new(),
            other: Vec::new(),
        };
        for peer in rest {
            let said = self
                .hash_of(peer, i64::try_from(revision).unwrap_or(0))
                .await;
            match hold(&pages, said).await {
                Held::Same(_) => mismatch.same.push(peer.node.name.clone()),
                Held::Differs { .. } => mismatch.other.push(peer.node.name.clone()),
                Held::Not(_) => {}
            }
        }
        Err(mismatch)
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
    pub(super) fn into_error(self, source: &str, kept: Option<&std::path::Path>) -> Error {
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
            message.push_str(&format!("; as the snapshot has {}", and(&same)));
        }
        if !other.is_empty() {
            message.push_str(&format!("; other than the snapshot has {}", and(&other)));
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
