//! Whether a snapshot is of the cluster into which it is to be restored.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::HostView;
use super::restoring::{Compared, Restoring, SnapshotFacts};
use crate::advice;
use crate::advice::Choice;
use crate::failure::{Answer, Failure};

/// So much of a fingerprint tells two CAs apart for people.
const SHOWN: usize = 16;

/// Of which cluster a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "verdict",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Origin {
    /// Of the one that these hosts are.
    Same {
        /// What says so.
        by: Evidence,
    },
    /// Of another one.
    Another {
        /// What says so.
        by: Evidence,
    },
    /// That cannot be told.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// What tells clusters apart, the best first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "evidence",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Evidence {
    /// The uid of the namespace kube-system, which nobody can give to another one.
    NamespaceUid {
        /// The snapshot's.
        snapshot: String,
        /// That of the database here.
        here: String,
        /// On which host that is.
        node: String,
    },
    /// The CA's certificates, by their SHA-256. They can be replaced, and copied to another cluster.
    Ca {
        /// Those that the snapshot's objects have.
        snapshot: BTreeSet<String>,
        /// Those of the apiservers here.
        here: BTreeSet<String>,
    },
    /// The members' addresses. Control-plane nodes can have new ones.
    PeerUrls {
        /// The snapshot's members.
        members: Vec<String>,
        /// Their addresses.
        snapshot: BTreeSet<String>,
    },
}

impl Origin {
    /// What the snapshot, the databases on the hosts and the apiservers' CA say together. A uid counts more than a CA, that
    /// more than addresses; addresses alone never prove that it is the same.
    pub(super) fn of(what: &Restoring, hosts: &[HostView]) -> Self {
        let snapshot = &what.identity;
        if let Some((uid, (node, here))) = snapshot
            .namespace_uid
            .as_ref()
            .zip(uid_here(&what.databases))
        {
            let by = Evidence::NamespaceUid {
                snapshot: uid.clone(),
                here: here.to_owned(),
                node: node.to_owned(),
            };
            return match uid == here {
                true => Self::Same { by },
                false => Self::Another { by },
            };
        }
        let ca = ca_here(hosts);
        if !snapshot.ca.is_empty() && !ca.is_empty() {
            let same = !snapshot.ca.is_disjoint(&ca);
            let by = Evidence::Ca {
                snapshot: snapshot.ca.clone(),
                here: ca,
            };
            return match same {
                true => Self::Same { by },
                false => Self::Another { by },
            };
        }
        if !what.snapshot.peer_urls.is_empty() && !has_addresses(&what.snapshot, hosts) {
            let by = Evidence::PeerUrls {
                members: what.snapshot.members.clone(),
                snapshot: what.snapshot.peer_urls.clone(),
            };
            return Self::Another { by };
        }
        let tells = snapshot.namespace_uid.is_some() || !snapshot.ca.is_empty();
        let why = match (tells, snapshot.encrypted) {
            (true, _) => "no database here could be read for it, and the CA here is not known",
            (false, true) => "what would tell is encrypted in it",
            (false, false) => "it has neither the namespace kube-system nor the CA",
        };
        let addresses = match what.snapshot.peer_urls.is_empty() {
            true => "where its members were is not known either",
            false => {
                "its members had addresses of these control-plane nodes, as those of another cluster may have had"
            }
        };
        let why = format!("{why}; {addresses}");
        Self::Unknown { why }
    }

    /// Refuses a snapshot of another cluster.
    ///
    /// # Errors
    /// `FailureKind::Refused`, unless somebody has agreed to it.
    pub(super) fn check(&self, accepted: bool) -> Result<(), Failure> {
        let Self::Another { by } = self else {
            return Ok(());
        };
        if accepted {
            return Ok(());
        }
        let when = match by {
            Evidence::NamespaceUid { .. } => "for control-plane nodes that were set up anew, say",
            Evidence::Ca { .. } => {
                "when this cluster's CA was replaced, or the control-plane nodes were set up anew"
            }
            Evidence::PeerUrls { .. } => "for control-plane nodes with new addresses, say",
        };
        let hint = advice![Choice::AnotherCluster, " restores it all the same: ", when];
        Err(Failure::refused(self.to_string()).hint(hint))
    }

    /// Whether no database here is known to be of the snapshot's cluster, or of another one: the snapshot may know more of the
    /// members than all that is here.
    pub(super) fn may_be_known_by_the_snapshot_alone(&self) -> bool {
        match self {
            Self::Same { by } => !matches!(by, Evidence::NamespaceUid { .. }),
            Self::Another { .. } => false,
            Self::Unknown { .. } => true,
        }
    }

    /// Whether nothing that is here can be in the snapshot.
    pub(super) fn has_nothing_in_common(&self) -> bool {
        matches!(
            self,
            Self::Another {
                by: Evidence::NamespaceUid { .. }
            }
        )
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same { by } => write!(f, "the snapshot is of this cluster: {}", same(by)),
            Self::Another { by } => {
                write!(f, "the snapshot is of another cluster")?;
                another(by, f)
            }
            Self::Unknown { why } => write!(
                f,
                "whether the snapshot is of this cluster cannot be told: {why}"
            ),
        }
    }
}

fn same(by: &Evidence) -> String {
    match by {
        Evidence::NamespaceUid { node, .. } => {
            format!("its namespace kube-system is the one in the database of {node}, by its uid")
        }
        Evidence::Ca { .. } => {
            "its CA is the one of the apiservers here; no database could be compared".to_owned()
        }
        Evidence::PeerUrls { .. } => {
            "its members had the addresses of these control-plane nodes".to_owned()
        }
    }
}

fn another(by: &Evidence, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let short = |all: &BTreeSet<String>| {
        let all = all
            .iter()
            .map(|one| one.get(..SHOWN).unwrap_or(one).to_owned());
        all.collect::<Vec<_>>().join(", ")
    };
    match by {
        Evidence::NamespaceUid {
            snapshot,
            here,
            node,
        } => write!(
            f,
            ": its namespace kube-system has the uid {snapshot}, the one in the database of {node} has {here}"
        ),
        Evidence::Ca { snapshot, here } => write!(
            f,
            ", or this one's CA was replaced: by SHA-256 its CA is {}, that of the apiservers here {}",
            short(snapshot),
            short(here)
        ),
        Evidence::PeerUrls { members, snapshot } => {
            let urls: Vec<&str> = snapshot.iter().map(String::as_str).collect();
            write!(
                f,
                ": its members were {} ({}), and none of them is here",
                members.join(", "),
                urls.join(", ")
            )
        }
    }
}

/// The first uid that a database tells, and where.
fn uid_here(databases: &[Compared]) -> Option<(&str, &str)> {
    databases.iter().find_map(|one| {
        let uid = one.since.ok()?.identity.namespace_uid.as_deref()?;
        Some((one.node.as_str(), uid))
    })
}

fn ca_here(hosts: &[HostView]) -> BTreeSet<String> {
    let apiservers = hosts.iter().filter_map(|host| host.look.apiserver.ok());
    let known = apiservers.filter_map(|one| one.client_ca.as_ref().and_then(Answer::ok));
    known.flatten().cloned().collect()
}

fn has_addresses(snapshot: &SnapshotFacts, hosts: &[HostView]) -> bool {
    let own = hosts.iter().filter_map(|host| host.look.etcd.ok());
    let mut own = own.flat_map(|etcd| &etcd.target.peer_urls);
    own.any(|url| snapshot.peer_urls.contains(url))
}
