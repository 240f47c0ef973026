//! Whether members have the same data. A member may serve other values than the others, with no alarm raised: etcd compares
//! them only where it was told to, and not across a compaction.

use std::collections::{BTreeMap, BTreeSet};

use etcd_operations::advice::{Advice, Choice, Command, Task};
use etcd_operations::report::{EndpointStatus, HashReport};
use schemars::JsonSchema;
use serde::Serialize;

use crate::format::{and, bytes};

/// The largest database that is hashed in passing, in bytes: 256 MiB take a quarter of a second.
pub(crate) const MOST_BYTES: u64 = 256 * 1024 * 1024;

/// What a comparison of the members' data came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(
    tag = "result",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Comparison {
    /// Fewer than two members answered.
    #[default]
    NothingToCompare,
    /// All that answered have the same.
    Same {
        /// Up to this revision.
        revision: i64,
        /// The nodes they are on.
        nodes: Vec<String>,
    },
    /// They belong to different clusters, each with data of its own.
    DifferentClusters {
        /// The nodes of each, by its id.
        clusters: BTreeMap<String, Vec<String>>,
    },
    /// They have not.
    Differs {
        /// Up to this revision.
        revision: i64,
        /// Who has the same, the largest group first.
        groups: Vec<Group>,
    },
    /// It was not compared.
    NotCompared {
        /// Why.
        why: String,
    },
}

/// Members that have the same data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Its hash (etcd's HashKV), as 8 hexadecimal digits.
    pub hash: String,
    /// The nodes they are on.
    pub nodes: Vec<String>,
}

/// Up to which revision members can be compared, by what each tells on its own node: all of them have it.
///
/// # Errors
/// Why they cannot.
pub(crate) fn common_revision(told: &[(&str, &EndpointStatus)]) -> Result<i64, Comparison> {
    let lowest = told.iter().map(|(_, own)| own.revision).min();
    let Some(revision) = lowest.filter(|_| told.len() > 1) else {
        return Err(Comparison::NothingToCompare);
    };
    let mut clusters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (node, own) in told {
        let of_it = clusters.entry(own.cluster_id.to_string()).or_default();
        of_it.push((*node).to_owned());
    }
    if clusters.len() > 1 {
        return Err(Comparison::DifferentClusters { clusters });
    }
    let not_compared = |why: String| Err(Comparison::NotCompared { why });
    let versions: BTreeSet<&str> = told.iter().map(|(_, own)| own.version.as_str()).collect();
    if versions.len() > 1 {
        // etcd 3.5.15 and later keep a tombstone at the compacted revision, those before do not: etcd-io/etcd#18274.
        let versions: Vec<&str> = versions.into_iter().collect();
        return not_compared(format!(
            "etcd {} may hash the same data differently",
            and(&versions)
        ));
    }
    let largest = told.iter().map(|(_, own)| own.db_size_bytes).max();
    match largest.filter(|largest| *largest > MOST_BYTES) {
        Some(largest) => not_compared(format!(
            "a database of {} is not read in passing",
            bytes(largest)
        )),
        None => Ok(revision),
    }
}

/// Holds the hashes against each other.
pub(crate) fn judge(said: Vec<(String, Result<HashReport, String>)>) -> Comparison {
    let mut hashes: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut bases: Vec<(i64, Option<i64>)> = Vec::new();
    for (node, said) in said {
        match said {
            Ok(said) => {
                bases.push((said.revision, said.compact_revision));
                hashes.entry(said.hash).or_default().push(node);
            }
            Err(why) => {
                return Comparison::NotCompared {
                    why: format!("{node}: {why}"),
                };
            }
        }
    }
    let Some((revision, _)) = bases.first().copied().filter(|_| bases.len() > 1) else {
        return Comparison::NothingToCompare;
    };
    bases.dedup();
    if bases.len() > 1 {
        return Comparison::NotCompared {
            why: "they were compacted meanwhile".to_owned(),
        };
    }
    let mut groups: Vec<Group> = hashes
        .into_iter()
        .map(|(hash, nodes)| Group {
            hash: format!("{hash:08x}"),
            nodes,
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.nodes.len()));
    match groups.pop() {
        Some(only) if groups.is_empty() => Comparison::Same {
            revision,
            nodes: only.nodes,
        },
        Some(last) => {
            groups.push(last);
            Comparison::Differs { revision, groups }
        }
        None => Comparison::NothingToCompare,
    }
}

/// The command that gives a node's member its data anew. It answers and follows a leader all the same, and that is no reason to
/// keep it.
pub(crate) fn replace_from_the_others(node: &str) -> Command {
    let replace = Task::ReplaceMember.of(node);
    replace
        .choosing(Choice::EvenIfHealthy)
        .choosing(Choice::Ssh)
}

impl Comparison {
    /// How it is said where it matters: who differs from whom; or that it was not compared.
    pub(crate) fn in_words(&self) -> Option<String> {
        match self {
            Self::NothingToCompare | Self::Same { .. } => None,
            Self::DifferentClusters { clusters } => {
                let each = clusters.iter();
                let each = each.map(|(id, nodes)| format!("{id} ({})", and(nodes)));
                Some(format!(
                    "the members belong to {} different clusters: {}",
                    clusters.len(),
                    and(&each.collect::<Vec<_>>())
                ))
            }
            Self::NotCompared { .. } => self.not_compared(),
            Self::Differs { revision, groups } => {
                let at = format!("at revision {revision}, by etcd's hash");
                Some(match (self.odd(), groups.as_slice()) {
                    (odd, [most, ..]) if !odd.is_empty() => format!(
                        "the data of {} differs from that of {} ({at})",
                        and(&odd),
                        and(&most.nodes)
                    ),
                    _ => {
                        let each: Vec<String> =
                            groups.iter().map(|group| and(&group.nodes)).collect();
                        format!(
                            "the data of {} differs ({at}): which is right cannot be told",
                            each.join(" from that of ")
                        )
                    }
                })
            }
        }
    }

    /// That it was not compared, and why.
    pub fn not_compared(&self) -> Option<String> {
        let Self::NotCompared { why } = self else {
            return None;
        };
        Some(format!(
            "whether the members have the same data was not compared: {why}"
        ))
    }

    /// Whether members have different data.
    pub fn differs(&self) -> bool {
        matches!(self, Self::Differs { .. })
    }

    /// The nodes whose members differ from a majority; none: nothing differs, or it cannot be told which is right.
    pub(crate) fn odd(&self) -> Vec<&str> {
        let Self::Differs { groups, .. } = self else {
            return Vec::new();
        };
        let all: usize = groups.iter().map(|group| group.nodes.len()).sum();
        match groups.split_first() {
            Some((most, others)) if most.nodes.len() * 2 > all => {
                let others = others.iter().flat_map(|group| &group.nodes);
                others.map(String::as_str).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What helps: the odd member anew, from the others.
    pub(crate) fn next(&self) -> Option<Advice> {
        self.differs().then(|| match self.odd().as_slice() {
            [one] => replace_from_the_others(one).into(),
            _ => Task::Diagnose.choosing(Choice::Ssh).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use etcd_operations::ids::{ClusterId, MemberId};

    use super::*;
    use crate::assess::fixtures::account;

    fn said(of: &[(&str, u32, i64)]) -> Comparison {
        let report = |(node, hash, compacted): &(&str, u32, i64)| {
            let report = HashReport {
                cluster_id: ClusterId(1),
                member_id: MemberId(2),
                revision: 2660,
                hash: *hash,
                compact_revision: Some(*compacted),
            };
            ((*node).to_owned(), Ok(report))
        };
        judge(of.iter().map(report).collect())
    }

    #[test]
    fn the_odd_one_of_three_is_named_and_of_two_it_cannot_be_told() {
        let three = said(&[("m1", 7, 5), ("m2", 9, 5), ("m3", 7, 5)]);
        assert_eq!(three.odd(), ["m2"]);
        assert_eq!(
            three.next().unwrap(),
            "{replace-member m2 +even-if-healthy +ssh}"
        );
        assert_eq!(
            three.in_words().unwrap(),
            "the data of m2 differs from that of m1 and m3 (at revision 2660, by etcd's hash)"
        );
        let two = said(&[("m1", 7, 5), ("m2", 9, 5)]);
        assert!(two.differs() && two.odd().is_empty());
        assert!(
            two.in_words()
                .unwrap()
                .ends_with("which is right cannot be told")
        );
        let same = said(&[("m1", 7, 5), ("m2", 7, 5)]);
        assert!(!same.differs() && same.in_words().is_none());
    }

    #[test]
    fn what_cannot_be_compared_is_not() {
        let told = |change: fn(&mut EndpointStatus)| {
            let (mut one, mut other) = (account(1), account(2));
            one.revision = 7;
            one.db_size_bytes = MOST_BYTES;
            other.db_size_bytes = MOST_BYTES;
            change(&mut one);
            common_revision(&[("cp-1", &one), ("cp-2", &other)])
        };
        assert_eq!(told(|_| {}), Ok(7));
        let others = told(|one| one.cluster_id = ClusterId(9)).unwrap_err();
        assert!(matches!(others, Comparison::DifferentClusters { .. }));
        let words = others.in_words().unwrap();
        assert!(
            words.starts_with("the members belong to 2 different clusters: "),
            "{words}"
        );
        let why = |change| told(change).unwrap_err().in_words().unwrap();
        assert!(why(|one| one.version = "3.5.14".to_owned()).contains("etcd 3.5.14 and "));
        assert!(why(|one| one.db_size_bytes = MOST_BYTES + 1).contains("not read in passing"));
        let alone = account(1);
        let nothing = common_revision(&[("cp-1", &alone)]);
        assert_eq!(nothing, Err(Comparison::NothingToCompare));
    }

    #[test]
    fn members_that_are_compacted_differently_are_not_called_different() {
        let meanwhile = said(&[("m1", 7, 5), ("m2", 9, 6)]);
        assert!(matches!(meanwhile, Comparison::NotCompared { .. }));
        assert_eq!(said(&[("m1", 7, 5)]), Comparison::NothingToCompare);
        let silent = judge(vec![("m1".to_owned(), Err("no answer".to_owned()))]);
        assert!(matches!(silent, Comparison::NotCompared { .. }));
    }
}
