//! Three views of the membership, brought to the same point of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::ids::MemberId;
use crate::raft::{ConfChange, ConfChangeKind, ConfState};
use crate::wal::LoggedChange;

use super::Member;

/// Where a view comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Raft's configuration in the WAL's snapshot record, and the changes behind it.
    Wal,
    /// The newest usable `.snap` file, and the changes in the WAL behind it.
    Snap,
    /// The buckets `members` and `members_removed`, and the changes in the WAL not yet applied to them.
    Database,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wal => "the WAL",
            Self::Snap => "the .snap file",
            Self::Database => "the database",
        })
    }
}

/// A member in a view. What a source does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ViewMember {
    /// Whether it is a learner.
    pub is_learner: bool,
    /// Its peer URLs, sorted.
    pub peer_urls: Option<Vec<String>>,
    /// Its name; etcd tells it after the member has started.
    pub name: Option<String>,
}

/// The members as one source tells them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// By id.
    pub members: BTreeMap<MemberId, ViewMember>,
    /// Members removed, as far as the source tells.
    pub removed: BTreeSet<MemberId>,
}

impl View {
    /// From raft's configuration, which knows ids only.
    #[must_use]
    pub(crate) fn of_conf_state(conf_state: &ConfState) -> Self {
        let mut view = Self::default();
        let roles = [(&conf_state.voters, false), (&conf_state.learners, true)];
        for (ids, is_learner) in roles {
            for &id in ids {
                view.members.insert(
                    MemberId(id),
                    ViewMember {
                        is_learner,
                        ..ViewMember::default()
                    },
                );
            }
        }
        view
    }

    /// From members that are described in full.
    #[must_use]
    pub(crate) fn of_members<'m>(
        members: impl IntoIterator<Item = &'m Member>,
        removed: &[MemberId],
    ) -> Self {
        let members = members
            .into_iter()
            .map(|member| (member.id, ViewMember::of(member)))
            .collect();
        Self {
            members,
            removed: removed.iter().copied().collect(),
        }
    }

    /// Carries out the changes in the log with an index above `after` and at most `to`.
    pub fn follow(&mut self, changes: &[LoggedChange], after: u64, to: u64) {
        let within = changes
            .iter()
            .filter(|change| change.position.index > after && change.position.index <= to);
        for change in within.flat_map(|change| &change.changes) {
            self.carry_out(change);
        }
    }

    fn carry_out(&mut self, change: &ConfChange) {
        let id = MemberId(change.member_id);
        let described = Member::from_json(&change.context)
            .ok()
            .map(|member| ViewMember::of(&member));
        match change.kind {
            ConfChangeKind::AddVoter | ConfChangeKind::AddLearner if self.removed.contains(&id) => {
            }
            ConfChangeKind::AddVoter | ConfChangeKind::AddLearner => {
                let member = self.members.entry(id).or_default();
                member.is_learner = change.kind == ConfChangeKind::AddLearner;
                member.take(described);
            }
            ConfChangeKind::Update => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.take(described);
                }
            }
            ConfChangeKind::Remove => {
                self.members.remove(&id);
                self.removed.insert(id);
            }
            ConfChangeKind::Unknown(_) => {}
        }
    }
}

impl ViewMember {
    fn of(member: &Member) -> Self {
        let mut peer_urls = member.peer_urls.clone();
        peer_urls.sort_unstable();
        let name = Some(member.name.clone()).filter(|name| !name.is_empty());
        Self {
            is_learner: member.is_learner,
            peer_urls: Some(peer_urls).filter(|urls| !urls.is_empty()),
            name,
        }
    }

    /// A promotion has no URLs in it, a change of URLs no name.
    fn take(&mut self, described: Option<Self>) {
        let Some(described) = described else { return };
        self.peer_urls = described.peer_urls.or(self.peer_urls.take());
        self.name = described.name.or(self.name.take());
    }
}

/// Where two views contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// One has a member that the other has not.
    OnlyIn {
        /// The member.
        member: MemberId,
        /// Who has it.
        has: Source,
        /// Who has it not.
        lacks: Source,
    },
    /// A learner here, a voter there.
    Role {
        /// The member.
        member: MemberId,
        /// Where it is a learner.
        learner_in: Source,
        /// Where it is a voter.
        voter_in: Source,
    },
    /// Other peer URLs.
    PeerUrls {
        /// The member.
        member: MemberId,
        /// The two.
        between: [Source; 2],
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyIn { member, has, lacks } => {
                write!(f, "member {member} is in {has} but not in {lacks}")
            }
            Self::Role {
                member,
                learner_in,
                voter_in,
            } => {
                write!(
                    f,
                    "member {member} is a learner in {learner_in} and a voter in {voter_in}"
                )
            }
            Self::PeerUrls {
                member,
                between: [a, b],
            } => {
                write!(f, "member {member} has other peer URLs in {a} than in {b}")
            }
        }
    }
}

/// The views there are, all of the same point of the log, and where they differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    /// What each source says.
    pub views: Vec<(Source, View)>,
    /// Where they differ; empty when they agree.
    pub differences: Vec<Difference>,
}

impl Membership {
    /// The view of a source.
    #[must_use]
    pub fn view(&self, source: Source) -> Option<&View> {
        self.views
            .iter()
            .find(|(of, _)| *of == source)
            .map(|(_, view)| view)
    }
}

/// Compares views with each other, each with those after it.
#[must_use]
pub fn compare(views: Vec<(Source, View)>) -> Membership {
    let mut differences = Vec::new();
    for (i, (a, left)) in views.iter().enumerate() {
        for (b, right) in &views[i + 1..] {
            differences.extend(between((*a, left), (*b, right)));
        }
    }
    Membership { views, differences }
}

fn between((a, left): (Source, &View), (b, right): (Source, &View)) -> Vec<Difference> {
    let mut found = Vec::new();
    let ids: BTreeSet<MemberId> = left
        .members
        .keys()
        .chain(right.members.keys())
        .copied()
        .collect();
    for member in ids {
        match (left.members.get(&member), right.members.get(&member)) {
            (Some(l), Some(r)) => {
                if l.is_learner != r.is_learner {
                    let (learner_in, voter_in) = if l.is_learner { (a, b) } else { (b, a) };
                    found.push(Difference::Role {
                        member,
                        learner_in,
                        voter_in,
                    });
                }
                if matches!((&l.peer_urls, &r.peer_urls), (Some(l), Some(r)) if l != r) {
                    found.push(Difference::PeerUrls {
                        member,
                        between: [a, b],
                    });
                }
            }
            (Some(_), None) => found.push(Difference::OnlyIn {
                member,
                has: a,
                lacks: b,
            }),
            (None, Some(_)) => found.push(Difference::OnlyIn {
                member,
                has: b,
                lacks: a,
            }),
            (None, None) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::LogPosition;

    fn member(id: u64, url: &str) -> Member {
        Member {
            id: MemberId(id),
            name: String::new(),
            peer_urls: vec![url.to_owned()],
            client_urls: Vec::new(),
            is_learner: false,
        }
    }

    fn logged(index: u64, kind: ConfChangeKind, id: u64, context: &str) -> LoggedChange {
        let change = ConfChange {
            kind,
            member_id: id,
            context: context.as_bytes().to_vec(),
        };
        LoggedChange {
            position: LogPosition { term: 1, index },
            changes: vec![change],
        }
    }

    #[test]
    fn views_of_different_age_are_brought_to_the_same_point() {
        let changes = [
            logged(
                5,
                ConfChangeKind::AddLearner,
                3,
                r#"{"id":3,"peerURLs":["http://c:1"],"isLearner":true}"#,
            ),
            logged(
                7,
                ConfChangeKind::AddVoter,
                3,
                r#"{"id":3,"peerURLs":null,"isPromote":true}"#,
            ),
            logged(9, ConfChangeKind::Remove, 1, ""),
            logged(12, ConfChangeKind::Remove, 2, ""),
        ];
        let mut old = View::of_members(&[member(1, "http://a:1"), member(2, "http://b:1")], &[]);
        old.follow(&changes, 4, 10);
        let new = View::of_members(
            &[member(2, "http://b:1"), member(3, "http://c:1")],
            &[MemberId(1)],
        );
        assert_eq!(old, new);
        assert_eq!(
            compare(vec![(Source::Snap, old), (Source::Database, new)]).differences,
            []
        );
    }

    #[test]
    fn differences_are_told() {
        let snap = View::of_members(&[member(1, "http://a:1"), member(2, "http://b:1")], &[]);
        let mut other = member(2, "http://z:1");
        other.is_learner = true;
        let db = View::of_members(&[other, member(9, "http://zombie:1")], &[]);
        let found = compare(vec![(Source::Snap, snap), (Source::Database, db)]).differences;
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.contains(&Difference::OnlyIn {
            member: MemberId(9),
            has: Source::Database,
            lacks: Source::Snap
        }));
        let role = Difference::Role {
            member: MemberId(2),
            learner_in: Source::Database,
            voter_in: Source::Snap,
        };
        assert!(found.contains(&role));
    }

    #[test]
    fn an_index_as_large_as_can_be_is_no_overflow() {
        let mut view = View::default();
        let change = logged(u64::MAX, ConfChangeKind::AddVoter, 3, "{}");
        view.follow(&[change], u64::MAX, u64::MAX);
        assert_eq!(view, View::default());
    }

    #[test]
    fn who_was_removed_does_not_come_back() {
        let mut view = View::of_members(&[member(2, "http://b:1")], &[MemberId(3)]);
        view.follow(&[logged(5, ConfChangeKind::AddVoter, 3, "{}")], 0, 9);
        assert_eq!(view.members.len(), 1);
    }
}
