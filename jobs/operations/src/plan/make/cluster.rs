//! What plans have to know of a cluster from several hosts' looks.

use crate::advice;
use crate::advice::Task;
use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::HostView;
use crate::failure::Failure;
use crate::look::{EtcdManifest, InitialState};
use crate::manifest::{Edit, FlagName, FlagValue};

/// How far the revision is raised above the highest that was found: what was written and is not seen on any disk counts
/// far less, no watch goes on from before, and it is what etcd's documentation has people take when they know nothing.
pub const MARGIN: u64 = 1_000_000_000;

/// The highest revision that was found, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// The revision of the database.
    pub revision: u64,
    /// How many entries the log has beyond the database, each of which may be a revision more.
    pub beyond: u64,
    /// On which host.
    pub node: String,
    /// When that was: when the database's file was last written to, or of one that runs when it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

impl Revision {
    /// No revision was higher than this.
    pub fn at_most(&self) -> u64 {
        self.revision.saturating_add(self.beyond)
    }
}

/// The revisions of the hosts whose database tells one, running or not, the highest first.
pub fn revisions(hosts: &[HostView]) -> Vec<Revision> {
    let mut found: Vec<Revision> = hosts.iter().filter_map(revision_of).collect();
    found.sort_by_key(|one| Reverse(one.at_most()));
    found
}

/// The highest revision on any of the hosts.
pub(super) fn newest_revision(hosts: &[HostView]) -> Option<Revision> {
    revisions(hosts).into_iter().next()
}

pub(super) fn revision_of(host: &HostView) -> Option<Revision> {
    let live = host.look.live.ok().map(|live| &live.status);
    if let Some(status) = live {
        return Some(Revision {
            revision: u64::try_from(status.revision).unwrap_or(0),
            beyond: status.raft_index.saturating_sub(status.raft_applied_index),
            node: host.node().to_owned(),
            at: Some(host.look.at),
        });
    }
    let found = host.look.cold.ok()?.inspection.as_ref()?.ok()?;
    let applied = found.database.map_or(0, |at| at.index);
    Some(Revision {
        revision: found.revision?,
        beyond: found
            .wal_end
            .map_or(0, |end| end.index.saturating_sub(applied)),
        node: host.node().to_owned(),
        at: found.db_modified,
    })
}

/// A member of the cluster to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewMember {
    pub(super) name: String,
    pub(super) peer_urls: Vec<String>,
}

impl NewMember {
    /// The member of a host.
    pub(super) fn of(host: &HostView) -> Result<Self, Failure> {
        let target = &host.etcd()?.target;
        if target.peer_urls.is_empty() {
            let message = format!("{}: etcd's manifest gives no peer URL", host.node());
            return Err(Failure::refused(message).hint(advice![
                "give it --initial-advertise-peer-urls: ",
                Task::SetFlag.of("etcd"),
                " initial-advertise-peer-urls=…"
            ]));
        }
        Ok(Self {
            name: target.member_name.clone(),
            peer_urls: target.peer_urls.clone(),
        })
    }
}

/// Members as `--initial-cluster` has them.
pub(super) fn list(members: &[NewMember]) -> String {
    let pairs = members.iter().flat_map(|member| {
        let urls = member.peer_urls.iter();
        urls.map(move |url| format!("{}={url}", member.name))
    });
    pairs.collect::<Vec<_>>().join(",")
}

/// What has to change in a manifest so that its etcd starts on restored data. `--initial-cluster` means nothing to it then;
/// one that has members which are none any more, or not its own, is put right for the next reader. Anything else stays as
/// it is written: a pod whose bytes are the same starts faster.
pub(super) fn edits_for_restored(
    etcd: &EtcdManifest,
    members: &[NewMember],
) -> Result<Vec<Edit>, Failure> {
    let (given, wanted) = (given(etcd), wanted(members));
    let mut edits = without_force(etcd)?;
    let own = etcd.target.member_name.as_str();
    let has_own = given.iter().any(|(name, _)| *name == own);
    if !given.is_subset(&wanted) || !has_own {
        edits.push(set("initial-cluster", &list(members))?);
    }
    Ok(edits)
}

/// What has to change in a manifest so that its etcd joins a cluster that has exactly these members, itself among them.
pub(super) fn edits_for_joining(
    etcd: &EtcdManifest,
    members: &[NewMember],
) -> Result<Vec<Edit>, Failure> {
    let mut edits = without_force(etcd)?;
    if given(etcd) != wanted(members) {
        edits.push(set("initial-cluster", &list(members))?);
    }
    if etcd.initial_cluster_state != Some(InitialState::Existing) {
        edits.push(set("initial-cluster-state", "existing")?);
    }
    Ok(edits)
}

fn given(etcd: &EtcdManifest) -> BTreeSet<(&str, &str)> {
    let members = etcd.initial_cluster.iter();
    members
        .map(|member| (member.name.as_str(), member.peer_url.as_str()))
        .collect()
}

fn wanted(members: &[NewMember]) -> BTreeSet<(&str, &str)> {
    let members = members.iter();
    members
        .flat_map(|member| {
            let urls = member.peer_urls.iter();
            urls.map(|url| (member.name.as_str(), url.as_str()))
        })
        .collect()
}

/// A flag that somebody forgot would begin a new cluster at every start.
fn without_force(etcd: &EtcdManifest) -> Result<Vec<Edit>, Failure> {
    if !etcd.force_new_cluster {
        return Ok(Vec::new());
    }
    Ok(vec![Edit::UnsetFlag {
        flag: flag("force-new-cluster")?,
    }])
}

pub(super) fn set(name: &str, value: &str) -> Result<Edit, Failure> {
    let value: FlagValue = value
        .parse()
        .map_err(|error| Failure::other(format!("{error}")))?;
    Ok(Edit::SetFlag {
        flag: flag(name)?,
        value: Some(value),
    })
}

fn flag(name: &str) -> Result<FlagName, Failure> {
    name.parse()
        .map_err(|error| Failure::other(format!("{error}")))
}
