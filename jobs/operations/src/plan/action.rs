//! The actions: what a step of a plan can do on a host.
//!
//! Each is a file of its own that implements [`Act`](act::Act): its fields, its record, prepare, apply, undo. To add one: write
//! the file, name it below, and give it a line in the table.

pub(crate) mod act;
mod add_learner;
mod await_component;
mod copy_data;
mod data;
mod end_containers;
mod members;
mod pods;
mod promote;
mod receive;
mod remove_copy;
mod remove_member;
mod restart_kubelet;
mod restore;
mod run_alone;
#[cfg(test)]
mod samples_tests;
mod start;
mod stop;
mod swap_data;
pub(crate) mod undo;

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use self::act::AnyAct;
use self::undo::Undo::{Nothing, Revert, RevertUnlessMember, Stays, Unknown};
use self::undo::{UndoRule, always, tried_or_done};
use crate::plan_id::PlanKind::{Recover, Replace};

pub use act::Undone;

/// Makes [`Action`] from the table of the actions.
macro_rules! actions {
    ($($name:ident: $file:ident::$type:ident, undo $undo:expr, $words:literal;)*) => {
        $(pub use $file::$type;)*

        /// One thing done on one host.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "action", rename_all = "kebab-case")]
        pub enum Action {
            $(#[doc = concat!("See [`", stringify!($type), "`].")] $name($type),)*
        }

        impl Action {
            /// The action itself.
            pub(crate) fn act(&self) -> &dyn AnyAct {
                match self {
                    $(Self::$name(act) => act,)*
                }
            }

            /// What undo does for its steps.
            pub(crate) fn undo_rule(&self) -> UndoRule {
                match self {
                    $(Self::$name(_) => $undo,)*
                }
            }
        }

        /// Every action, what undo does for its steps, and the words for it.
        #[cfg(test)]
        pub(crate) const RULES: &[(&str, UndoRule, &str)] =
            &[$((stringify!($name), $undo, $words),)*];
    };
}

// The name is the one in plans on the disk, in kebab case: it never changes. A test compares what undo does, and the words for
// it, with the table in ARCHITECTURE.md.
actions! {
    Stop: stop::StopComponent, undo always(Revert),
        "its manifest goes back with the same bytes; it is waited for as far as it answered before";
    Start: start::StartComponent, undo always(Revert),
        "it is stopped; its manifest is moved aside as `.undone`";
    Await: await_component::AwaitComponent, undo always(Nothing), "";
    Receive: receive::ReceiveSnapshot, undo always(Nothing), "";
    Restore: restore::RestoreData, undo always(Revert),
        "the directory stays and is named: somebody may have written to it";
    // Other members count on the data of one that has joined them.
    SwapData: swap_data::SwapData, undo always(Revert).but_in(Replace, RevertUnlessMember),
        "the moves are reversed; refused where the data is in use or a folder is gone";
    CopyData: copy_data::CopyData, undo always(Revert), "the copy is removed";
    RunAlone: run_alone::RunAlone, undo always(Revert), "the etcd on the copy is stopped";
    // The cluster that a recovery formed is undone as a whole, and its members with it.
    AddLearner: add_learner::AddLearner, undo always(Revert).but_in(Recover, Nothing),
        "it is removed, unless it votes by now";
    Promote: promote::PromoteLearner, undo tried_or_done(Unknown, Stays).but_in(Recover, Nothing), "";
    RemoveMember: remove_member::RemoveMember,
        undo tried_or_done(Unknown, Stays).but_in(Recover, Nothing), "";
    RemoveCopy: remove_copy::RemoveCopy, undo always(Nothing), "";
    EndContainers: end_containers::EndContainers, undo always(Nothing), "";
    RestartKubelet: restart_kubelet::RestartKubelet, undo always(Nothing), "";
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.act().describe())
    }
}

/// From what data is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestoreInput {
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
pub enum Readiness {
    /// It runs with the flags of its manifest and answers for itself.
    Answers,
    /// It does its work: etcd a linearizable read, others what `/readyz` says.
    Ready,
}

impl fmt::Display for Readiness {
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
