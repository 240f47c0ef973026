//! Which situation a control plane is in, told from looks at its hosts: what is wrong, what was seen of it, and the one
//! command to run next. Nothing is asked here and nothing is guessed: what could not be seen is told as that.

mod cluster;
mod components;
mod data;
#[cfg(test)]
pub(crate) mod fixtures;
mod host;
mod member;
#[cfg(test)]
mod tests;
mod words;

pub use cluster::{LEARNER_NOT_STARTED, VOTER_NOT_STARTED};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::advice::Advice;
use crate::failure::Answer;
use crate::look::Look;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// What is wrong, in the order in which it should be mended.
    pub situations: Vec<Situation>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
    /// What was seen to be in order.
    pub in_order: Vec<Evidence>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Situation {
    /// What.
    pub kind: SituationKind,
    /// The node it is about; none: the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// How much it matters.
    pub severity: Severity,
    /// What is so, in a sentence without a final period.
    pub summary: String,
    /// What was seen of it.
    pub evidence: Vec<Evidence>,
    /// What to run next.
    pub next: Next,
}

/// How much a situation matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub enum Severity {
    /// The quorum is lost, or data is damaged or gone.
    Lost,
    /// The cluster is degraded, or will be.
    Degraded,
}

/// Situations, in the order in which they should be mended: what keeps others from being mended comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SituationKind {
    /// A plan was begun and not ended.
    UnfinishedPlan,
    /// A disk is full.
    DiskFull,
    /// The container runtime does not answer.
    RuntimeDown,
    /// kubelet does not run.
    KubeletDown,
    /// A file in the static pods' folder gets in a pod's way.
    StrayManifest,
    /// A manifest gives a key twice.
    KeyTwice,
    /// kubelet's folder of static pods is not there.
    FolderMissing,
    /// Several pods run etcd, and nothing tells which one the apiserver uses.
    WhichEtcd,
    /// A certificate has expired, or is not good yet.
    CertificateExpired,
    /// A certificate that is named cannot be read.
    CertificateMissing,
    /// An image that a manifest names is not on the node.
    ImageMissing,
    /// Members of two clusters have a leader each.
    TwoClusters,
    /// etcd is told to form a new cluster at every start.
    ForceNewCluster,
    /// Fewer than a majority of the members run.
    QuorumLost,
    /// A majority runs and none knows of a leader.
    NoLeader,
    /// The member was removed from the cluster, or its data is of a cluster that is no more.
    MemberRemoved,
    /// The member's database is damaged.
    DatabaseDamaged,
    /// The member's WAL is damaged, or does not belong to its database.
    WalDamaged,
    /// The member's data, or a part of it, is not there.
    DataMissing,
    /// The member's data is empty or behind what the member has confirmed to the cluster.
    DataBehind,
    /// A CORRUPT alarm is raised.
    CorruptAlarm,
    /// Somebody else listens where etcd shall.
    PortTaken,
    /// etcd's flags do not fit the cluster.
    WrongInitialCluster,
    /// The member is new and has not joined the cluster yet.
    NotJoined,
    /// The program does not take its flags.
    BadFlags,
    /// A component's manifest was moved aside, so it does not run.
    ComponentStopped,
    /// There is no manifest of etcd, in the folder or archived.
    NoEtcdManifest,
    /// etcd does not run, for another reason or one that was not seen.
    EtcdDown,
    /// A NOSPACE alarm is raised.
    NoSpaceAlarm,
    /// etcd works, and the apiserver does not.
    ApiserverDown,
    /// The apiserver works, and the controller-manager or the scheduler does not.
    ControllerDown,
    /// Another member does not answer.
    MemberSilent,
    /// The member has no vote yet.
    Learner,
    /// A certificate expires soon.
    CertificateSoon,
    /// A disk is nearly full.
    DiskLow,
    /// One this version does not know.
    #[serde(other)]
    Unknown,
}

/// Something that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// On which node.
    pub node: String,
    /// What.
    pub text: String,
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Next {
    /// The command.
    #[cfg_attr(feature = "schemas", schemars(with = "String"))]
    pub command: Advice,
    /// On which node; absent: wherever commands are run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// What to know before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemas", schemars(with = "Option<String>"))]
    pub note: Option<Advice>,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unseen {
    /// On which node.
    pub node: String,
    /// What.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// What looks at one or several hosts of one control plane add up to, at this time.
pub fn diagnose(looks: &[Look], now: Timestamp) -> Diagnosis {
    let mut found = Diagnosis::default();
    for look in looks {
        let mut notes = Notes {
            look,
            now,
            found: &mut found,
        };
        host::judge(&mut notes, looks);
        let member = member::judge(&mut notes, looks);
        components::judge(&mut notes, member, looks);
    }
    cluster::judge(looks, &mut found);
    found.sort();
    found
}

impl Diagnosis {
    /// The worst of what was found; none: nothing is wrong, as far as was seen.
    pub fn severity(&self) -> Option<Severity> {
        self.situations.iter().map(|one| one.severity).min()
    }

    fn has(&self, kind: SituationKind, node: &str) -> bool {
        let of_node = |one: &Situation| one.node.as_deref() == Some(node);
        self.situations
            .iter()
            .any(|one| one.kind == kind && of_node(one))
    }

    fn sort(&mut self) {
        // Stable: what is of one kind stays in the order of the hosts.
        self.situations.sort_by_key(|one| one.kind);
    }
}

impl Situation {
    /// One of the cluster as a whole.
    fn of_cluster(kind: SituationKind, severity: Severity, summary: String, next: Next) -> Self {
        Self {
            kind,
            node: None,
            severity,
            summary,
            evidence: Vec::new(),
            next,
        }
    }
}

impl Next {
    /// A command for any control-plane node.
    fn anywhere(command: impl Into<Advice>) -> Self {
        Self {
            command: command.into(),
            on: None,
            note: None,
        }
    }

    /// A command for one node.
    fn on(node: &str, command: impl Into<Advice>) -> Self {
        Self {
            command: command.into(),
            on: Some(node.to_owned()),
            note: None,
        }
    }

    /// The same with what to know before.
    fn note(mut self, note: impl Into<Advice>) -> Self {
        self.note = Some(note.into());
        self
    }
}

/// One host's look, and where what is found goes.
struct Notes<'a> {
    look: &'a Look,
    now: Timestamp,
    found: &'a mut Diagnosis,
}

impl<'a> Notes<'a> {
    fn node(&self) -> &'a str {
        self.look.name()
    }

    fn situation(
        &mut self,
        kind: SituationKind,
        severity: Severity,
        summary: String,
        evidence: Vec<String>,
        next: Next,
    ) {
        let node = self.node().to_owned();
        let evidence = evidence.into_iter().map(|text| Evidence {
            node: node.clone(),
            text,
        });
        let evidence = evidence.collect();
        self.found.situations.push(Situation {
            kind,
            node: Some(node),
            severity,
            summary,
            evidence,
            next,
        });
    }

    fn degraded(
        &mut self,
        kind: SituationKind,
        summary: String,
        evidence: Vec<String>,
        next: Next,
    ) {
        self.situation(kind, Severity::Degraded, summary, evidence, next);
    }

    fn in_order(&mut self, text: impl Into<String>) {
        self.found.in_order.push(Evidence {
            node: self.look.name().to_owned(),
            text: text.into(),
        });
    }

    fn unseen(&mut self, what: &str, why: &impl ToString) {
        self.found.unseen.push(Unseen {
            node: self.look.name().to_owned(),
            what: what.to_owned(),
            why: why.to_string(),
        });
    }

    /// The answer; one there is not is told as unseen.
    fn answered<T>(&mut self, what: &str, answer: &'a Answer<T>) -> Option<&'a T> {
        match answer {
            Answer::Ok(answer) => Some(answer),
            Answer::Failed(failure) => {
                self.unseen(what, failure);
                None
            }
        }
    }
}
