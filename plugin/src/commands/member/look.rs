//! What a change of the members starts from: how the cluster is, who belongs to it, and who is meant by a name.

use std::net::IpAddr;

use etcd_operations::advice;
use etcd_operations::advice::Task;
use etcd_operations::ids::MemberId;
use etcd_operations::report::{Member, StatusReport};

use crate::commands::operated::OperatedCluster;
use kubectl_etcd_core::assess::model::{Role, Row, Status};
use kubectl_etcd_core::assess::votes::Votes;
use kubectl_etcd_core::discovery::{Etcd, Node};
use kubectl_etcd_core::error::{Error, ErrorKind};
use kubectl_etcd_core::host_name::HostName;
use kubectl_etcd_core::outcome::Outcome;

/// An id that is typed has at least so many digits; what is shorter is a name.
const ID_DIGITS: usize = 12;

/// The cluster, as one look at it shows it.
#[derive(Debug)]
pub(super) struct Look<'a> {
    /// How it is.
    pub(super) status: Status,
    /// Its members, as the leader lists them where that was asked.
    pub(super) members: Vec<Member>,
    /// The control-plane nodes.
    pub(super) nodes: &'a [Node],
    /// Who shall lead, of all who can.
    preferred: Option<MemberId>,
}

/// A member, and the row of the status that is about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'l> {
    pub(super) member: &'l Member,
    pub(super) row: Option<&'l Row>,
}

impl<'a> Look<'a> {
    /// Looks at the cluster, which has to have a quorum: without one no member can be changed.
    pub(super) async fn take(cluster: &'a impl OperatedCluster) -> Result<Self, Error> {
        let (outcomes, status) = cluster.answered_survey().await?;
        Self::of(status, &outcomes, cluster.nodes())
    }

    /// As [`Look::take`], of answers that are there.
    pub(super) fn of(
        status: Status,
        outcomes: &[Outcome<StatusReport>],
        nodes: &'a [Node],
    ) -> Result<Self, Error> {
        match status.quorum.holds {
            Some(true) => {}
            Some(false) => {
                return Err(
                    Error::new(ErrorKind::QuorumLostOrDamaged, status.summary.to_string()).hint(
                        advice![
                            "members are changed by the quorum: ",
                            Task::ShowStatus,
                            " shows what is in its way"
                        ],
                    ),
                );
            }
            None => {
                return Err(Error::new(
                    ErrorKind::NothingReached,
                    status.summary.to_string(),
                ));
            }
        }
        let members = members(&status, outcomes).ok_or_else(|| {
            Error::failed("no member told who belongs to the cluster").hint(Task::ListMembers)
        })?;
        Ok(Self {
            status,
            members,
            nodes,
            preferred: None,
        })
    }

    /// The same, but this member leads rather than another one that can.
    pub(super) fn preferring(self, preferred: Option<MemberId>) -> Self {
        Self { preferred, ..self }
    }

    /// The votes as they are.
    pub(super) fn votes(&self) -> Votes {
        Votes::of(self.status.quorum)
    }

    /// Who is meant by the name of a node or of a member, or by a member's id. None: a node without a member, or an id
    /// that no member has.
    ///
    /// # Errors
    /// When nobody is called so, or two are.
    pub(super) fn named(&self, wanted: &str) -> Result<Option<Subject<'_>>, Error> {
        if let Some(row) = self.row_of_node(wanted) {
            let id = row.member_id.as_deref();
            return Ok(id.and_then(|id| self.by_id(id)));
        }
        let mut same = self.members.iter().filter(|member| member.name == wanted);
        match (same.next(), same.next()) {
            (Some(member), None) => return Ok(Some(self.subject(member))),
            (Some(_), Some(_)) => {
                return Err(
                    Error::usage(format!("two members are named {wanted}")).hint(advice![
                        "name the one that is meant by its id: ",
                        Task::ListMembers
                    ]),
                );
            }
            (None, _) => {}
        }
        if let Some(subject) = self.by_id(&wanted.to_ascii_lowercase()) {
            return Ok(Some(subject));
        }
        if wanted.len() >= ID_DIGITS && wanted.parse::<MemberId>().is_ok() {
            return Ok(None);
        }
        let unstarted: Vec<&Member> = self.members.iter().filter(|one| !one.started()).collect();
        if let Some(member) = unstarted.iter().find(|one| is_at(one, wanted)) {
            return Ok(Some(self.subject(member)));
        }
        let error = Error::usage(format!("no node, member or id is called {wanted}"));
        let error = unstarted.iter().fold(error, |error, one| {
            error.hint(format!(
                "{} ({}) has never started, so etcd knows no name of it: name it by its id",
                one.id,
                one.peer_urls.join(", ")
            ))
        });
        Err(error.hint(advice![Task::ListMembers, " lists those there are"]))
    }

    fn by_id(&self, id: &str) -> Option<Subject<'_>> {
        let member = self.members.iter().find(|one| one.id.to_string() == id)?;
        Some(self.subject(member))
    }

    pub(super) fn subject<'l>(&'l self, member: &'l Member) -> Subject<'l> {
        let id = member.id.to_string();
        let rows = &self.status.rows;
        Subject {
            member,
            row: rows.iter().find(|row| row.member_id.as_ref() == Some(&id)),
        }
    }

    fn row_of_node(&self, node: &str) -> Option<&Row> {
        let rows = &self.status.rows;
        rows.iter().find(|row| row.node.as_deref() == Some(node))
    }

    /// The voters.
    pub(super) fn voters(&self) -> Vec<Subject<'_>> {
        let voters = self.members.iter().filter(|member| !member.is_learner);
        voters.map(|member| self.subject(member)).collect()
    }

    /// Who leads.
    pub(super) fn leader(&self) -> Option<Subject<'_>> {
        let row = self
            .status
            .rows
            .iter()
            .find(|row| row.role == Role::Leader)?;
        self.by_id(row.member_id.as_deref()?)
    }

    /// Who may lead instead of a member: a healthy follower, the preferred one or else one that is up to date and can be asked.
    pub(super) fn successor(&self, instead_of: MemberId) -> Option<Subject<'_>> {
        let mut subjects: Vec<Subject<'_>> = self
            .members
            .iter()
            .filter(|member| member.id != instead_of && !member.is_learner)
            .map(|member| self.subject(member))
            .filter(|subject| subject.row.is_some_and(|row| row.role == Role::Follower))
            .collect();
        subjects.sort_by_key(|subject| {
            let other = self.preferred != Some(subject.member.id);
            let rank = subject.row.map(|row| {
                let troubled = row.problem.is_some() || !row.alarms.is_empty();
                (row.seen_from.is_some(), troubled, row.lag)
            });
            (other, rank)
        });
        subjects.into_iter().next()
    }

    /// A node whose own voting member answers, the leader's if possible; not that of this member.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn through(&self, but: Option<MemberId>) -> Result<String, Error> {
        let but = but.map(|id| id.to_string());
        let mut rows: Vec<&Row> = self
            .status
            .rows
            .iter()
            .filter(|row| answers_itself(row) && row.member_id != but)
            .collect();
        rows.sort_by_key(|row| row.role != Role::Leader);
        let node = rows.iter().find_map(|row| row.node.clone());
        node.ok_or_else(|| {
            Error::new(
                ErrorKind::NothingReached,
                "no node with another voting member can be asked for it",
            )
            .hint(
                "run it where one can: without an apiserver, as root on another control-plane node",
            )
        })
    }

    /// The member that a node's etcd would be, by its flags: its name and its peer URLs.
    pub(super) fn by_flags(&self, node: &str) -> Option<(&str, &[String])> {
        let node = self.nodes.iter().find(|one| one.name == node)?;
        match &node.etcd {
            Etcd::Found(target) => Some((&target.member_name, &target.peer_urls)),
            Etcd::Absent { .. } | Etcd::Unknown { .. } | Etcd::External { .. } => None,
        }
    }
}

impl Subject<'_> {
    /// What people call it.
    pub(super) fn name(&self) -> String {
        if self.member.started() {
            return self.member.name.clone();
        }
        let node = self.row.and_then(|row| row.node.clone());
        node.unwrap_or_else(|| self.member.id.to_string())
    }

    /// The node it is on.
    pub(super) fn node(&self) -> Option<&str> {
        self.row?.node.as_deref()
    }

    /// Whether it votes, or would, and does its work.
    pub(super) fn healthy(&self) -> bool {
        self.row.is_some_and(|row| match row.role {
            Role::Leader | Role::Follower | Role::Learner => row.version.is_some(),
            Role::NoLeader | Role::NotStarted | Role::Down | Role::Unknown | Role::NoEtcd => false,
        })
    }

    /// Whether it leads.
    pub(super) fn leads(&self) -> bool {
        self.row.is_some_and(|row| row.role == Role::Leader)
    }
}

/// Whether a member is reached at the host of this name, or of this name in whatever domain.
fn is_at(member: &Member, wanted: &str) -> bool {
    let urls = member.peer_urls.iter();
    urls.filter_map(|url| HostName::of_url(url).ok())
        .any(|host| {
            let name = host.as_str().split_once('.').map(|(name, _)| name);
            let is_address = host.as_str().parse::<IpAddr>().is_ok();
            host.is_same(wanted) || (!is_address && name == Some(wanted))
        })
}

/// Whether a voting member was heard on its own node, so that it can be asked there for more.
pub(super) fn answers_itself(row: &Row) -> bool {
    let votes = matches!(row.role, Role::Leader | Role::Follower);
    votes && row.node.is_some() && row.seen_from.is_none() && row.problem.is_none()
}

/// The list of members: the leader's, else any voting member's.
fn members(status: &Status, outcomes: &[Outcome<StatusReport>]) -> Option<Vec<Member>> {
    let rank = |outcome: &Outcome<_>| {
        let row = status
            .rows
            .iter()
            .find(|row| row.node.as_deref() == Some(outcome.node.as_str()));
        match row.map(|row| row.role) {
            Some(Role::Leader) => 0,
            Some(Role::Follower) => 1,
            Some(_) | None => 2,
        }
    };
    let mut told: Vec<(u8, &Vec<Member>)> = outcomes
        .iter()
        .filter_map(|outcome| {
            let report = outcome.result.as_ref().ok()?;
            Some((rank(outcome), &report.members.ok()?.members))
        })
        .collect();
    told.sort_by_key(|(rank, _)| *rank);
    told.first().map(|(_, members)| (*members).clone())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use kubectl_etcd_core::assess::fixtures::{Cluster, id};
    use kubectl_etcd_core::outcome::{RunError, RunErrorKind};

    /// A look at a made-up cluster.
    pub(crate) fn look(cluster: &Cluster) -> Look<'_> {
        Look::of(cluster.assess(), &cluster.outcomes(), &cluster.nodes).unwrap()
    }

    #[test]
    fn a_member_is_named_by_its_node_its_name_or_its_id() {
        let mut cluster = Cluster::of(3);
        cluster.members[1].name = "other".into();
        let look = look(&cluster);
        let id2 = id(2).to_string();
        for name in ["cp-2", "other", id2.as_str(), &id2.to_uppercase()] {
            let found = look.named(name).unwrap().unwrap();
            assert_eq!(found.member.id, id(2), "{name}");
            assert_eq!(found.node(), Some("cp-2"), "{name}");
        }
        assert!(look.named("1f000000000000ff").unwrap().is_none());
        assert_eq!(look.named("cp-9").unwrap_err().kind, ErrorKind::Usage);
        assert_eq!(look.named("cafe").unwrap_err().kind, ErrorKind::Usage);
    }

    #[test]
    fn a_member_without_a_name_is_named_by_where_it_is_reached_or_its_id_is_told() {
        let mut cluster = Cluster::of(3);
        let mut fourth = kubectl_etcd_core::assess::fixtures::member(4);
        fourth.name.clear();
        fourth.peer_urls = vec!["https://cp-4.example.org:2380".into()];
        cluster.members.push(fourth);
        cluster.accounts.push(None);
        let look = look(&cluster);
        for name in ["cp-4", "cp-4.example.org"] {
            assert_eq!(look.named(name).unwrap().unwrap().member.id, id(4));
        }
        let error = look.named("m4").unwrap_err();
        let hints = crate::advice::hints(&error);
        assert!(hints[0].starts_with(&id(4).to_string()), "{hints:?}");
    }

    #[test]
    fn of_two_with_one_name_the_id_is_wanted() {
        let mut cluster = Cluster::of(3);
        for at in [1, 2] {
            cluster.members[at].name = "twin".into();
        }
        let error = look(&cluster).named("twin").unwrap_err();
        assert!(error.message.contains("two members"), "{error}");
    }

    #[test]
    fn the_successor_is_healthy_and_up_to_date_and_not_the_one_itself() {
        let mut cluster = Cluster::of(3);
        cluster.account(2).raft_applied_index -= 5_000;
        assert_eq!(look(&cluster).successor(id(1)).unwrap().name(), "cp-3");
        cluster.lost(3, RunError::new(RunErrorKind::NodeDown, "off"));
        let taken = look(&cluster);
        assert_eq!(taken.successor(id(1)).unwrap().name(), "cp-2");
        assert!(taken.successor(id(2)).is_none());
        assert_eq!(taken.through(None).unwrap(), "cp-1");
        assert_eq!(taken.through(Some(id(1))).unwrap(), "cp-2");
    }

    #[test]
    fn without_a_quorum_there_is_nothing_to_change() {
        let mut cluster = Cluster::of(3);
        cluster.without_quorum();
        let error = Look::of(cluster.assess(), &cluster.outcomes(), &cluster.nodes).unwrap_err();
        assert_eq!(error.kind.exit_code(), 4);
    }
}
