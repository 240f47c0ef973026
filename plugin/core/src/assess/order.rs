//! In which order members are defragmented, and whether the cluster can bear it.

use super::Standing;
use super::model::{Quorum, Role, Row, Status};

/// Roughly what a defragmentation takes for each GiB in use: other people's measurements lie between 4 and 6 s.
const SECONDS_PER_GIB: u64 = 5;

/// Less than this is nothing to gain, nor is a hundredth of the file: 1 MiB.
const NOTHING_BYTES: u64 = 1 << 20;

/// One member to be defragmented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The node.
    pub node: String,
    /// The member's role now.
    pub role: Role,
    /// Its database, in bytes.
    pub db_size_bytes: u64,
    /// What of it is in use.
    pub db_in_use_bytes: Option<u64>,
}

impl Step {
    /// What of it is free space.
    pub fn free_bytes(&self) -> Option<u64> {
        let used = self.db_in_use_bytes?;
        Some(self.db_size_bytes.saturating_sub(used))
    }

    /// Whether it gives anything back that is worth the time without an answer: right after another one there are some pages left.
    pub fn gains(&self) -> bool {
        let worth = NOTHING_BYTES.max(self.db_size_bytes / 100);
        self.free_bytes().is_none_or(|free| free >= worth)
    }

    /// A guess at how long the member will not answer, in seconds; at least one.
    pub fn estimated_seconds(&self) -> u64 {
        let copied = self.db_in_use_bytes.unwrap_or(self.db_size_bytes);
        (copied * SECONDS_PER_GIB).div_ceil(1 << 30).max(1)
    }
}

/// The voters that answer on their own nodes: followers first, the leader last, because leading moves on when it is busy
/// for longer than an election timeout. A learner is left out: etcd refuses it ("rpc not supported for learner").
pub fn defragmentation(status: &Status) -> Vec<Step> {
    let mut steps: Vec<Step> = status.rows.iter().filter_map(step).collect();
    steps.sort_by_key(|step| match step.role {
        Role::Leader => 1,
        Role::Follower
        | Role::NoLeader
        | Role::Learner
        | Role::NotStarted
        | Role::Down
        | Role::Unknown
        | Role::NoEtcd => 0,
    });
    steps
}

fn step(row: &Row) -> Option<Step> {
    if row.seen_from.is_some() || row.problem.is_some() || row.role == Role::Learner {
        return None;
    }
    Some(Step {
        node: row.node.clone()?,
        role: row.role,
        db_size_bytes: row.db_size_bytes?,
        db_in_use_bytes: row.db_in_use_bytes,
    })
}

/// Whether the cluster stops while one of its healthy voters is busy.
pub fn stalls(quorum: Quorum) -> bool {
    quorum.may_fail == 0
}

/// From which nodes a snapshot may be taken, best first: a follower that is up to date, then the leader, then, without a
/// quorum, who applied most. A learner may be far behind, and does not serve it.
///
/// A member that a majority of the others does not count among its voters is none, whatever it says of itself. Where no
/// majority was heard, those of the cluster that most are of come first.
pub fn snapshot_sources(status: &Status, lag_limit: u64) -> Vec<&Row> {
    let usable = |row: &&Row| {
        row.node.is_some()
            && row.seen_from.is_none()
            && row.problem.is_none()
            && !matches!(row.standing, Standing::Outside(_))
    };
    let rank = |row: &Row| {
        let up_to_date = row.lag.is_some_and(|lag| lag < lag_limit) && row.alarms.is_empty();
        let rank = match row.role {
            Role::Follower if up_to_date => 0,
            Role::Leader => 1,
            Role::Follower => 2,
            Role::NoLeader => 3,
            Role::Learner | Role::NotStarted | Role::Down | Role::Unknown | Role::NoEtcd => {
                return None;
            }
        };
        let of_cluster = row.cluster_id.is_some() && row.cluster_id == status.cluster_id;
        Some((!of_cluster, rank))
    };
    let mut rows: Vec<((bool, u8), &Row)> = status
        .rows
        .iter()
        .filter(usable)
        .filter_map(|row| Some((rank(row)?, row)))
        .collect();
    rows.sort_by_key(|(rank, row)| (*rank, std::cmp::Reverse(row.raft_applied_index)));
    rows.into_iter().map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::LAG_ENTRIES;
    use crate::assess::fixtures::Cluster;
    use crate::outcome::{RunError, RunErrorKind};
    use etcd_operations::ids::ClusterId;

    fn sources(cluster: &Cluster) -> Vec<String> {
        let status = cluster.assess();
        snapshot_sources(&status, LAG_ENTRIES)
            .iter()
            .filter_map(|row| row.node.clone())
            .collect()
    }

    #[test]
    fn the_leader_is_defragmented_last() {
        let nodes: Vec<String> = defragmentation(&Cluster::of(3).assess())
            .into_iter()
            .map(|step| step.node)
            .collect();
        assert_eq!(nodes, ["cp-2", "cp-3", "cp-1"]);
    }

    #[test]
    fn a_member_that_does_not_answer_is_left_out() {
        let mut cluster = Cluster::of(3);
        cluster.lost(2, RunError::new(RunErrorKind::NodeDown, "off"));
        let status = cluster.assess();
        let nodes: Vec<String> = defragmentation(&status)
            .into_iter()
            .map(|step| step.node)
            .collect();
        assert_eq!(nodes, ["cp-3", "cp-1"]);
        assert!(
            stalls(status.quorum),
            "two of three are needed, so none may be busy"
        );
        assert!(!stalls(Cluster::of(3).assess().quorum));
        assert!(stalls(Cluster::of(1).assess().quorum));
    }

    #[test]
    fn a_learner_is_left_out_because_etcd_refuses_to_defragment_it() {
        let mut cluster = Cluster::of(3);
        cluster.account(2).is_learner = true;
        let nodes: Vec<String> = defragmentation(&cluster.assess())
            .into_iter()
            .map(|step| step.node)
            .collect();
        assert_eq!(nodes, ["cp-3", "cp-1"]);
    }

    #[test]
    fn a_snapshot_comes_from_a_follower_that_is_up_to_date() {
        let mut cluster = Cluster::of(3);
        assert_eq!(sources(&cluster), ["cp-2", "cp-3", "cp-1"]);
        cluster.account(2).raft_applied_index -= 10_000;
        assert_eq!(sources(&cluster), ["cp-3", "cp-1", "cp-2"]);
        assert_eq!(sources(&Cluster::of(1)), ["cp-1"]);
    }

    #[test]
    fn without_a_quorum_it_comes_from_who_applied_most() {
        let mut cluster = Cluster::of(3);
        cluster.without_quorum();
        cluster.account(3).raft_applied_index += 100;
        assert_eq!(sources(&cluster), ["cp-3", "cp-1", "cp-2"]);
    }

    /// Its word is that of one node; without the others' it is first, by the index it says it has applied.
    #[test]
    fn a_member_that_is_none_of_the_majoritys_is_no_source() {
        let mut cluster = Cluster::of(3);
        let posing = cluster.account(2);
        posing.cluster_id = ClusterId(7);
        posing.raft_applied_index = 1 << 53;
        assert_eq!(sources(&cluster), ["cp-3", "cp-1"]);
        let mut cluster = Cluster::of(3);
        cluster.account(3).raft_applied_index = 1 << 53;
        cluster.members.remove(2);
        assert_eq!(sources(&cluster), ["cp-2", "cp-1"]);
    }

    #[test]
    fn without_a_majority_a_member_of_another_cluster_comes_last() {
        let mut cluster = Cluster::of(3);
        cluster.without_quorum();
        cluster.lost(2, RunError::new(RunErrorKind::NodeDown, "off"));
        let posing = cluster.account(3);
        posing.cluster_id = ClusterId(7);
        posing.raft_applied_index = 1 << 53;
        assert_eq!(sources(&cluster), ["cp-1", "cp-3"]);
    }

    #[test]
    fn a_gibibyte_takes_seconds() {
        let step = |bytes| Step {
            node: "cp-1".into(),
            role: Role::Leader,
            db_size_bytes: bytes,
            db_in_use_bytes: None,
        };
        assert_eq!(step(10).estimated_seconds(), 1);
        assert_eq!(step(4 << 30).estimated_seconds(), 20);
    }
}
