//! Whether the members have the same data, told by their hashes at one revision.

use etcd_operations::operation::{self, HashKv};
use etcd_operations::report::{EndpointStatus, StatusReport};

use super::{Node, Outcome, Session};
use crate::assess::same::{Comparison, common_revision, judge};

/// How often hashes are asked for: members that were compacted between two answers cannot be compared, and that members differ is
/// believed only when they do so twice.
const TRIES: usize = 2;

/// Why hashes are not asked for through Jobs.
const WOULD_WRITE: &str = "it would take Jobs, which write into etcd";

impl Session {
    /// As [`Session::compare_data`], for a command that has asked these nodes for something else than their status.
    pub async fn compare_data_on(&self, nodes: &[&Node]) -> Comparison {
        match self.glance(nodes, &operation::Status).await {
            Some(outcomes) => self.compare_data(&outcomes).await,
            None => Comparison::NotCompared {
                why: WOULD_WRITE.to_owned(),
            },
        }
    }

    /// Compares what the members have that told their status, each on its own node: where they are small enough to be read in
    /// passing, and where that writes nothing into the cluster.
    pub async fn compare_data(&self, outcomes: &[Outcome<StatusReport>]) -> Comparison {
        let own = |outcome: &Outcome<StatusReport>| {
            let own = outcome.result.as_ref().ok()?.own.ok()?.clone();
            let node = self.nodes.iter().find(|node| node.name == outcome.node)?;
            Some((node, own))
        };
        let told: Vec<(&Node, EndpointStatus)> = outcomes.iter().filter_map(own).collect();
        let by_name = told.iter().map(|(node, own)| (node.name.as_str(), own));
        let revision = match common_revision(&by_name.collect::<Vec<_>>()) {
            Ok(revision) => revision,
            Err(comparison) => return comparison,
        };
        let nodes: Vec<&Node> = told.iter().map(|(node, _)| *node).collect();
        let hash = HashKv {
            revision,
            has_it: true,
        };
        let mut same = Comparison::NothingToCompare;
        for _ in 0..TRIES {
            let Some(said) = self.glance(&nodes, &hash).await else {
                return Comparison::NotCompared {
                    why: WOULD_WRITE.to_owned(),
                };
            };
            let said = said.into_iter().map(|outcome| {
                let result = outcome.result.map_err(|error| error.message);
                (outcome.node, result)
            });
            same = judge(said.collect());
            if matches!(same, Comparison::Same { .. }) {
                break;
            }
        }
        same
    }
}
