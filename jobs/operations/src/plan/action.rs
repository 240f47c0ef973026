//! What a plan can do on a host.

use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::manifest::Edit;
use crate::target::Target;

/// One thing done on one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "action",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Action {
    /// Takes a component's manifest out of the static pods' folder and waits until nothing of it is left.
    Stop {
        /// The component.
        component: String,
    },
    /// Brings back a component's manifest that was taken out, changed as asked, and waits for it.
    Start {
        /// The component.
        component: String,
        /// The manifest that is brought back, where the plan itself has not taken one out; none: the last that was taken out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        manifest: Option<PathBuf>,
        /// What is changed in it, in this order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        edits: Vec<Edit>,
        /// How far it has to be.
        until: Until,
    },
    /// Waits until a component that was started is so far.
    Await {
        /// The component.
        component: String,
        /// How far it has to be.
        until: Until,
    },
    /// Has the snapshot in the plan's folder, which whoever leads the plan sends before.
    Receive {
        /// The sha256 of the whole file, in hex.
        sha256: String,
        /// How many bytes it has.
        bytes: u64,
    },
    /// Makes a data directory beside the one in use; nothing is stopped or changed for it.
    Restore {
        /// Whose it is.
        target: Target,
        /// What it is made from.
        from: Source,
        /// All members of the new cluster, as `--initial-cluster` has them.
        members: String,
        /// The token of the new cluster.
        token: String,
        /// How far the revision is raised.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bump_revision: Option<NonZeroU64>,
    },
    /// Moves the data aside, into a dated sibling folder, and what was restored in its place.
    SwapData {
        /// Whose data.
        target: Target,
        /// Whether restored data takes its place; without it etcd begins with nothing.
        restored: bool,
    },
    /// Copies the data to a sibling folder.
    CopyData {
        /// Whose data.
        target: Target,
    },
    /// Runs etcd on the copy for a moment, as a cluster of its own that listens on loopback only, so that everything in its
    /// log is in its database.
    RunAlone {
        /// Whose copy.
        target: Target,
        /// The text of its manifest, from which that of the lonely etcd is made.
        manifest: String,
    },
    /// Adds a member as a learner, by the etcd of this host.
    AddLearner {
        /// The etcd of this host.
        target: Target,
        /// The new member's name.
        name: String,
        /// Its peer URLs.
        peer_urls: Vec<String>,
    },
    /// Waits until a learner is in sync and makes it a voter, by the etcd of this host.
    Promote {
        /// The etcd of this host.
        target: Target,
        /// The learner's peer URLs.
        peer_urls: Vec<String>,
        /// What people call it.
        name: String,
    },
    /// Removes a member, by the etcd of this host.
    RemoveMember {
        /// The etcd of this host.
        target: Target,
        /// The peer URLs of the member.
        peer_urls: Vec<String>,
        /// What people call it.
        name: String,
    },
    /// Removes the copy, which this plan made and nobody served from.
    RemoveCopy {
        /// Of whose data.
        target: Target,
    },
    /// Ends the containers of components so that kubelet starts them anew: they then read everything again.
    EndContainers {
        /// The components.
        components: Vec<String>,
    },
    /// Restarts kubelet, which then reads everything again.
    RestartKubelet {},
}

/// From what data is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The snapshot that was received.
    Received,
    /// The database of the copy on which etcd ran alone.
    RanAlone,
    /// The database of the copy, which has everything that can be used of a broken log.
    Copied,
}

/// How far a component that was started has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// It runs with the flags of its manifest and answers for itself.
    Answers,
    /// It does its work: etcd a linearizable read, others what `/readyz` says.
    Ready,
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answers => "answers",
            Self::Ready => "is ready",
        })
    }
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "done",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Done {
    /// What it is for.
    Plain,
    /// A data directory was made.
    Restored {
        /// The new cluster's id.
        cluster_id: crate::ids::ClusterId,
        /// The member's id.
        member_id: crate::ids::MemberId,
        /// The revision of what it was made from.
        revision_before: u64,
        /// The revision etcd begins with.
        revision_after: u64,
    },
    /// Data was moved.
    Moved {
        /// The folders in which it is now.
        aside: Vec<PathBuf>,
    },
    /// etcd ran alone.
    RanAlone {
        /// The revision of its database when it ended.
        revision: u64,
    },
    /// A manifest was brought back.
    Started {
        /// Whether it has other bytes than before.
        changed: bool,
        /// Where it lies.
        manifest: PathBuf,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop { component } => write!(f, "stop {component}"),
            Self::Start {
                component, edits, ..
            } => match edits.as_slice() {
                [] => write!(f, "start {component}"),
                edits => {
                    let edits: Vec<String> = edits.iter().map(ToString::to_string).collect();
                    write!(f, "start {component} with {}", edits.join(", "))
                }
            },
            Self::Await { component, until } => write!(f, "wait until {component} {until}"),
            Self::Receive { .. } => f.write_str("receive the snapshot"),
            Self::Restore { .. } => f.write_str("restore a data directory beside the one in use"),
            Self::SwapData { restored: true, .. } => {
                f.write_str("move the data aside and the restored data in")
            }
            Self::SwapData {
                restored: false, ..
            } => f.write_str("move the data aside"),
            Self::CopyData { .. } => f.write_str("copy the data"),
            Self::RunAlone { .. } => {
                f.write_str("run etcd alone on the copy, so that its log is in its database")
            }
            Self::AddLearner { name, .. } => write!(f, "add {name} as a learner"),
            Self::Promote { name, .. } => write!(f, "promote {name} once it is in sync"),
            Self::RemoveMember { name, .. } => write!(f, "remove the member {name}"),
            Self::RemoveCopy { .. } => f.write_str("remove the copy"),
            Self::EndContainers { components } => write!(f, "start {} anew", components.join(", ")),
            Self::RestartKubelet {} => f.write_str("restart kubelet"),
        }
    }
}
