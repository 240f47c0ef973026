//! What was changed on this host's disk after a revision, and which cluster it is.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use etcd_datadir::identity::Identity;
use etcd_datadir::since::{commit, since as count};
use etcd_datadir::source::{FileSource, Source};
use serde::{Deserialize, Serialize};

use super::certificates::fingerprints;
use super::cold::{self, LockState};
use super::read;
use crate::client::{Connector, EtcdApi, OWN_LIMIT};
use crate::failure::Failure;
use crate::kubelet;
use crate::manifest::Selection;
use crate::pack::unpack::Spool;
use crate::target::Target;
use crate::work::stream::{Pieces, receive};
use crate::work::{Events, Flow, on_progress, trouble_with_data, work};

/// The apiserver's `--etcd-prefix`, when it is not given.
pub const ETCD_PREFIX: &str = "/registry";

/// What this is called while it is done.
const STEP: &str = "counting what was changed";

/// Where a running etcd's database lies while it is read.
const SPOOL: &str = "/var/tmp";

/// How often a database is read anew that was written to meanwhile.
const TRIES: u32 = 5;

/// How long to wait before that: etcd writes ten times a second at most.
const PAUSE: Duration = Duration::from_millis(20);

/// What a host's database has that a snapshot has not, and which cluster it is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Since {
    /// What was changed.
    pub changes: Changes,
    /// Which cluster it is.
    pub identity: ClusterIdentity,
}

/// What was changed after a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// The revision up to which was counted: the database's last one.
    pub revision: u64,
    /// Whether what was deleted is told in full; else some of it is compacted away.
    pub deletions_complete: bool,
    /// By kind, the most changed first.
    pub kinds: Vec<KindChanges>,
}

/// How many objects of a kind were changed. Each counts once, by what became of it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct KindChanges {
    /// The resource as kubectl names it, `deployments`; empty for keys that are none of Kubernetes' objects.
    pub kind: String,
    /// They are there, and were written.
    pub written: u64,
    /// They were deleted.
    pub deleted: u64,
}

impl KindChanges {
    /// Both together.
    pub fn all(&self) -> u64 {
        self.written + self.deleted
    }

    /// Whether nobody misses them: they are written anew all the time, by themselves.
    pub fn is_fleeting(&self) -> bool {
        matches!(self.kind.as_str(), "leases" | "events" | "masterleases")
    }
}

impl Changes {
    fn new(found: etcd_datadir::since::Since, after: u64) -> Self {
        let mut kinds: Vec<KindChanges> = found
            .kinds
            .into_iter()
            .map(|(kind, changed)| KindChanges {
                kind,
                written: changed.written,
                deleted: changed.deleted,
            })
            .collect();
        // Stable: what was changed as often stays in the order of names.
        kinds.sort_by_key(|kind| std::cmp::Reverse(kind.all()));
        Self {
            revision: found.revision,
            deletions_complete: found.compacted <= after,
            kinds,
        }
    }
}

/// Which Kubernetes cluster something is of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterIdentity {
    /// The uid of the namespace kube-system, which lives as long as the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_uid: Option<String>,
    /// The CA's certificates, each by its SHA-256.
    pub ca: BTreeSet<String>,
    /// Whether objects that would tell are there and encrypted.
    pub encrypted: bool,
}

impl From<Identity> for ClusterIdentity {
    fn from(found: Identity) -> Self {
        let texts = found.ca.iter();
        Self {
            namespace_uid: found.namespace_uid,
            ca: texts.flat_map(|pem| fingerprints(pem.as_bytes())).collect(),
            encrypted: found.encrypted,
        }
    }
}

/// Counts what was changed after a revision in the database of the host whose file system is found at `root`. Of a running
/// etcd a snapshot is read, which lies in `/var/tmp` meanwhile; one that does not answer has its file read as it is.
///
/// # Errors
/// When there is no database, it is damaged, or an etcd writes to it and does not answer.
pub async fn since(
    root: &Path,
    selection: &Selection,
    after: u64,
    events: &mut Events<'_>,
) -> Result<Since, Failure> {
    let read = read::read(root, &kubelet::manifests_folder(root), selection)?;
    let node = kubelet::node_name(root).unwrap_or_default();
    let target = read.etcd(&node)?.target.below(root);
    let apiserver = read.apiserver(root).ok();
    let prefix = apiserver
        .and_then(|apiserver| apiserver.etcd_prefix)
        .unwrap_or_else(|| ETCD_PREFIX.to_owned());
    let database = target.data_dir.join("member/snap/db");
    let runs = matches!(cold::lock_of(&database), LockState::Held { .. });
    let asked = match runs {
        true => of_running(root, &target, &prefix, after, events).await,
        false => Err(Failure::unreachable("etcd does not run")),
    };
    let Err(unasked) = asked else {
        return asked;
    };
    let job = move |flow: &Flow| of_file(&database, &prefix, after, flow);
    let read = work(Arc::new(Flow::new(STEP)), events, job).await;
    // One that runs is better asked: then why that cannot be is what has to be told.
    read.map_err(|failure| if runs { unasked } else { failure })
}

/// Of a running etcd: what it has committed to the moment it is asked.
async fn of_running(
    root: &Path,
    target: &Target,
    prefix: &str,
    after: u64,
    events: &mut Events<'_>,
) -> Result<Since, Failure> {
    let connector = Connector::load(target)?;
    let (endpoint, _) = connector.own(target, OWN_LIMIT).await?;
    let spool = crate::root::below(root, Path::new(SPOOL))
        .map(Spool::new)
        .map_err(|error| Failure::other(format!("{SPOOL}: {error}")))?;
    let (name, prefix) = (
        format!("the snapshot of {}", endpoint.url()),
        prefix.to_owned(),
    );
    let job = move |mut pieces: Pieces, flow: &Flow| {
        let mut file = spool.begin(&name)?;
        while let Some(bytes) = pieces.next()? {
            flow.check_stopped()?;
            file.write(&bytes)?;
        }
        let (source, _) = file.finish()?;
        flow.enter(STEP);
        counted(&source, &prefix, after, flow)
    };
    receive(&endpoint, "reading the database", events, job).await
}

/// Of a file to which nobody writes, or seldom enough.
fn of_file(path: &Path, prefix: &str, after: u64, flow: &Flow) -> Result<Since, Failure> {
    let source = |path| FileSource::open(path).map_err(|error| trouble_with_data(&error));
    for _ in 0..TRIES {
        let before = commit(&source(path)?);
        let found = counted(&source(path)?, prefix, after, flow);
        let same =
            matches!((&before, commit(&source(path)?)), (Ok(one), Ok(other)) if *one == other);
        if same || before.is_err() {
            return found;
        }
        flow.check_stopped()?;
        std::thread::sleep(PAUSE);
    }
    let message = format!("{} is written to while it is read", path.display());
    Err(Failure::refused(message))
}

fn counted(source: &dyn Source, prefix: &str, after: u64, flow: &Flow) -> Result<Since, Failure> {
    let found = count(source, prefix, after, &mut on_progress(flow));
    let (changed, identity) = found.map_err(|error| trouble_with_data(&error))?;
    Ok(Since {
        changes: Changes::new(changed, after),
        identity: identity.into(),
    })
}
