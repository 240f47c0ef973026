//! What more than half of a cluster's voters say, each on a control-plane node of its own: whose word counts for what a
//! member is.
//!
//! A node may lie, about itself and about members that nobody else sees. So nothing that one node says of others counts
//! here, and each node counts once.

use std::collections::BTreeSet;

use etcd_operations::ids::{ClusterId, MemberId};
use etcd_operations::report::{EndpointStatus, MemberList, StatusReport};

use crate::discovery::{Etcd, Node};

/// What a member is, by the word of the majority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Standing {
    /// A voter.
    Voter,
    /// No voter of the majority's cluster: why, as a fragment.
    Outside(String),
    /// Nobody can tell: there is no majority, because too few answered or they disagree.
    #[default]
    Untold,
}

/// The cluster that a majority is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Majority<'a> {
    list: &'a MemberList,
}

/// Members and whether they are learners, in no order: what two lists are compared by.
type Set = BTreeSet<(MemberId, bool)>;

impl<'a> Majority<'a> {
    /// The majority, if one was heard. It is more than half of the voters it lists, and more than half of the nodes that
    /// have an etcd: a member that lists nobody but itself is a majority of its own where there is no other node.
    pub(super) fn of(nodes: &[Node], reports: &[(&str, &'a StatusReport)]) -> Option<Self> {
        let heard: Vec<(&EndpointStatus, Option<&'a MemberList>)> = reports
            .iter()
            .filter_map(|(_, report)| Some((report.own.ok()?, report.members.ok())))
            .collect();
        let lists = heard.iter().filter_map(|(_, list)| *list);
        let supported = lists.map(|list| (support(list, &heard), list));
        let (count, list) = supported.max_by_key(|(count, _)| *count)?;
        let voters = list.members.iter().filter(|member| !member.is_learner);
        let with_etcd = nodes.iter().filter(|node| {
            // One that nobody could look at is taken to have one.
            matches!(node.etcd, Etcd::Found(_) | Etcd::Unknown { .. })
        });
        (count * 2 > voters.count().max(with_etcd.count())).then_some(Self { list })
    }

    /// What a member is that says this of itself.
    pub(super) fn standing_of(self, own: &EndpointStatus) -> Standing {
        let Self { list } = self;
        if own.cluster_id != list.cluster_id {
            return Standing::Outside(format!(
                "it is of cluster {}, and the majority is of cluster {}",
                own.cluster_id, list.cluster_id
            ));
        }
        let member = list
            .members
            .iter()
            .find(|member| member.id == own.member_id);
        match member {
            Some(member) if member.is_learner => {
                Standing::Outside("it is a learner, which may be far behind".to_owned())
            }
            Some(_) => Standing::Voter,
            None => Standing::Outside(format!(
                "the majority has no member {} in cluster {}",
                own.member_id, list.cluster_id
            )),
        }
    }

    /// Its id.
    pub(super) fn cluster_id(self) -> ClusterId {
        self.list.cluster_id
    }
}

/// How many members say this list, as its voters: those that tell it, and those that tell none.
fn support(list: &MemberList, heard: &[(&EndpointStatus, Option<&MemberList>)]) -> usize {
    let wanted = set(list);
    let supports = |(own, told): &&(&EndpointStatus, Option<&MemberList>)| {
        own.cluster_id == list.cluster_id
            && wanted.contains(&(own.member_id, false))
            && told.is_none_or(|told| told.cluster_id == list.cluster_id && set(told) == wanted)
    };
    let ids: BTreeSet<MemberId> = heard
        .iter()
        .filter(supports)
        .map(|(own, _)| own.member_id)
        .collect();
    ids.len()
}

fn set(list: &MemberList) -> Set {
    let members = list.members.iter();
    members
        .map(|member| (member.id, member.is_learner))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::fixtures::{CLUSTER, Cluster};
    use crate::assess::model::Row;
    use crate::outcome::{RunError, RunErrorKind};

    fn standing(cluster: &Cluster) -> Vec<Standing> {
        let rows = cluster.assess().rows.into_iter();
        rows.map(|row: Row| row.standing).collect()
    }

    #[test]
    fn members_that_agree_are_voters() {
        assert_eq!(standing(&Cluster::of(3)), vec![Standing::Voter; 3]);
        assert_eq!(standing(&Cluster::of(1)), [Standing::Voter]);
    }

    #[test]
    fn a_member_of_another_cluster_is_outside_however_far_it_says_it_is() {
        let mut cluster = Cluster::of(3);
        let posing = cluster.account(2);
        posing.cluster_id = ClusterId(7);
        posing.raft_applied_index = 1 << 53;
        posing.raft_term = 1 << 40;
        let standing = standing(&cluster);
        assert_eq!(standing[0], Standing::Voter);
        assert_eq!(standing[2], Standing::Voter);
        let Standing::Outside(why) = &standing[1] else {
            panic!("{standing:?}")
        };
        assert!(
            why.contains(&ClusterId(7).to_string()) && why.contains(&CLUSTER.to_string()),
            "{why}"
        );
    }

    #[test]
    fn a_member_that_the_others_do_not_list_is_outside() {
        let mut cluster = Cluster::of(3);
        cluster.members.remove(2);
        assert!(matches!(standing(&cluster)[2], Standing::Outside(_)));
        let mut cluster = Cluster::of(3);
        cluster.members[1].is_learner = true;
        assert!(matches!(standing(&cluster)[1], Standing::Outside(_)));
    }

    #[test]
    fn one_node_of_three_is_no_majority_whatever_it_says_of_itself() {
        let mut cluster = Cluster::of(3);
        for number in [2, 3] {
            cluster.lost(number, RunError::new(RunErrorKind::NodeDown, "off"));
        }
        assert_eq!(standing(&cluster)[0], Standing::Untold);
        // It lists nobody but itself, and leads.
        cluster.members.truncate(1);
        assert_eq!(standing(&cluster)[0], Standing::Untold);
    }

    #[test]
    fn two_clusters_of_one_are_no_majority_of_anything() {
        let mut cluster = Cluster::of(2);
        cluster.account(2).cluster_id = ClusterId(7);
        assert_eq!(standing(&cluster), vec![Standing::Untold; 2]);
    }
}
