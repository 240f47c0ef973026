//! What is wrong with a host's own member.

use super::cluster::{inspection, own_cluster, own_id, own_name, voters, working_elsewhere};
use super::data::{behind, data, end_of_log};
use super::host::kubelet_errors;
use super::words::{self, logs_of};
use super::{Next, Notes, Severity, SituationKind as Kind};
use crate::advice;
use crate::advice::{Choice, Task};
use crate::amounts::revision;
use crate::control_plane::ControlPlane;
use crate::ending::{Cause, cause_of, ended, stumbles_over_log};
use crate::failure::FailureKind;
use crate::look::{ColdEtcd, Fitness, LockState, Look, Place, RefusalKind};
use crate::runtime::State;
use crate::utc::to_the_second;

/// How a host's own member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    /// It answers and knows the leader.
    Serves,
    /// It runs and knows of no leader.
    Waits,
    /// It does not run, or does not answer.
    Down,
    /// There is none, or it is not known.
    Unknown,
}

pub(super) fn judge(notes: &mut Notes<'_>, looks: &[Look]) -> Member {
    let (look, node) = (notes.look, notes.node());
    // What is missing is a situation of its own.
    let told = look
        .etcd
        .failure()
        .is_some_and(|failure| failure.kind == FailureKind::Missing);
    if told && (look.manifests.ok().is_some() || look.is_control_plane()) {
        return Member::Unknown;
    }
    let Some(etcd) = notes.answered("etcd's manifest", &look.etcd) else {
        return Member::Unknown;
    };
    if etcd.force_new_cluster {
        notes.degraded(
            Kind::ForceNewCluster,
            format!("etcd on {node} is told to form a new cluster of itself at every start"),
            vec![format!(
                "--force-new-cluster is in {}",
                etcd.manifest.display()
            )],
            Next::on(node, Task::UnsetFlag.of("etcd").of("force-new-cluster"))
                .note("with it, the next start cuts the other members off"),
        );
    }
    if let Some(live) = look.live.ok().filter(|live| live.status.leader.is_some()) {
        let status = &live.status;
        notes.in_order(format!(
            "etcd {} answers: member {} of cluster {}, revision {}",
            status.version,
            own_name(look),
            status.cluster_id,
            revision(status.revision)
        ));
        if status.is_learner {
            notes.degraded(
                Kind::Learner,
                format!("the member of {node} is a learner: it has no vote yet"),
                vec!["it says so itself".to_owned()],
                Next::anywhere(Task::PromoteMember.of(node)),
            );
        }
        return Member::Serves;
    }
    let runs = look.live.ok().is_some() || look.peer_port.ok().is_some();
    if is_left_behind(notes, looks) {
        return if runs { Member::Waits } else { Member::Down };
    }
    if runs {
        return Member::Waits;
    }
    if etcd.place == Place::Folder {
        down(notes, looks);
    }
    Member::Down
}

/// The others work, and the own member is none of them any more.
fn is_left_behind(notes: &mut Notes<'_>, looks: &[Look]) -> bool {
    let (look, node) = (notes.look, notes.node());
    let Some(elsewhere) = working_elsewhere(look, looks) else {
        return false;
    };
    let theirs = elsewhere.live.status.cluster_id;
    let own = own_cluster(look);
    let listed = elsewhere.live.members.ok().map(|list| &list.members);
    let summary = match own {
        Some(own) if own != theirs => format!(
            "the data of {node} is of cluster {own}, and the others work as cluster {theirs}"
        ),
        _ => match (own_id(look), listed) {
            (Some(id), Some(members)) if !members.iter().any(|member| member.id == id) => {
                format!("member {id} of {node} was removed from the cluster")
            }
            _ => return false,
        },
    };
    let mut evidence = vec![format!(
        "{} answers in cluster {theirs} and knows the leader, at revision {}",
        elsewhere.name,
        revision(elsewhere.live.status.revision)
    )];
    if let Some(own) = own {
        evidence.push(format!("the own data is of cluster {own}"));
    }
    if let Some(members) = listed {
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        evidence.push(format!("its list of members: {}", names.join(", ")));
    }
    evidence.extend(container_words(look));
    let next = replace(node, looks).note("its data is moved aside, not deleted");
    // Nothing of the cluster is lost by it.
    notes.situation(
        Kind::MemberRemoved,
        Severity::Degraded,
        summary,
        evidence,
        next,
    );
    true
}

/// Why it does not run.
fn down(notes: &mut Notes<'_>, looks: &[Look]) {
    let (look, node) = (notes.look, notes.node());
    let ended = ended(look, ControlPlane::Etcd);
    let by_words = ended.and_then(cause_of);
    let cold = notes.answered("etcd's data directory", &look.cold);
    if let Some(failure) = cold.and_then(|cold| cold.inspection.as_ref()?.failure()) {
        notes.unseen("etcd's data directory", failure);
    }
    if let Some(LockState::Unknown { why }) = cold.map(|cold| &cold.lock) {
        notes.unseen("the lock on etcd's database", why);
    }
    let behind = behind(look, looks);
    let Some((kind, cause)) = kind(look, cold, by_words, behind.is_some()) else {
        unexplained(notes, cold);
        return;
    };
    let mut evidence = Vec::new();
    match kind {
        // As far as the directory goes it is whole; what is missing is only known elsewhere.
        Kind::DataBehind => evidence.extend(behind.or_else(|| end_of_log(look))),
        _ => evidence.extend(cold.and_then(data)),
    }
    evidence.extend(container_words(look));
    evidence.extend(members_elsewhere(look, looks));
    let is_data = matches!(
        kind,
        Kind::DatabaseDamaged
            | Kind::WalDamaged
            | Kind::DataMissing
            | Kind::DataBehind
            | Kind::MemberRemoved
    );
    let severity = if is_data {
        Severity::Lost
    } else {
        Severity::Degraded
    };
    let next = if is_data || (kind == Kind::NotJoined && working_elsewhere(look, looks).is_some()) {
        remedy(look, looks)
    } else {
        repair(look, kind)
    };
    let summary = format!("etcd on {node} does not start: {cause}");
    notes.situation(kind, severity, summary, evidence, next);
}

const DATABASE: (Kind, &str) = (Kind::DatabaseDamaged, "its database is damaged");
const WAL: (Kind, &str) = (Kind::WalDamaged, "its WAL is damaged");
const MISSING: (Kind, &str) = (Kind::DataMissing, "its data is not there");
const BEHIND: (Kind, &str) = (
    Kind::DataBehind,
    "its data is empty or behind the cluster: entries that it has confirmed are gone",
);
const INITIAL_CLUSTER: (Kind, &str) = (
    Kind::WrongInitialCluster,
    "its --initial-cluster does not fit the cluster",
);
const NEW: (Kind, &str) = (
    Kind::NotJoined,
    "it is new, and has not joined the cluster yet",
);
const REMOVED: (Kind, &str) = (Kind::MemberRemoved, "it was removed from the cluster");

/// What the data directory itself says is in the way of a start.
fn by_data(refusal: RefusalKind) -> Option<(Kind, &'static str)> {
    match refusal {
        RefusalKind::DatabaseDamaged => Some(DATABASE),
        RefusalKind::WalDamaged => Some(WAL),
        RefusalKind::NoWal => Some((Kind::WalDamaged, "its WAL is gone")),
        RefusalKind::Mismatch => Some((
            Kind::WalDamaged,
            "its WAL and its database do not belong together",
        )),
        RefusalKind::DatabaseMissing => Some((Kind::DataMissing, "its database is not there")),
        RefusalKind::Removed => Some(REMOVED),
        RefusalKind::NeverJoined | RefusalKind::Unknown => None,
    }
}

/// What is in the way of a start. The data directory itself outweighs words that may be of an earlier start.
fn kind(
    look: &Look,
    cold: Option<&ColdEtcd>,
    by_words: Option<Cause>,
    behind: bool,
) -> Option<(Kind, &'static str)> {
    let read = inspection(look);
    let refusal = read.and_then(|read| read.refusal);
    if let Some(found) = refusal.and_then(by_data) {
        return Some(found);
    }
    let new = refusal == Some(RefusalKind::NeverJoined);
    let starts =
        read.is_some_and(|read| matches!(read.fitness, Fitness::Starts | Fitness::StartsWithLoss));
    let none = cold.is_some_and(|cold| !cold.exists)
        || read.is_some_and(|read| read.fitness == Fitness::Empty);
    match by_words {
        Some(Cause::PortTaken) => Some((Kind::PortTaken, "somebody else listens where it shall")),
        Some(Cause::DiskFull) => Some((Kind::DiskFull, "its disk is full")),
        Some(Cause::Certificate) => Some((
            Kind::CertificateExpired,
            "it does not get on with a certificate",
        )),
        Some(Cause::Flags) => Some((Kind::BadFlags, "it rejects its flags")),
        Some(Cause::InitialCluster) if new => Some(INITIAL_CLUSTER),
        _ if new => Some(NEW),
        Some(Cause::Removed) => Some(REMOVED),
        _ if behind => Some(BEHIND),
        // It joins nothing without data, whatever it says of its flags.
        _ if none => Some(MISSING),
        // Of an earlier start: what lies there now is whole.
        Some(Cause::Database | Cause::Wal | Cause::DataMissing) if starts => None,
        Some(Cause::Behind) => Some(BEHIND),
        Some(Cause::Database) => Some(DATABASE),
        Some(Cause::Wal) => Some(WAL),
        Some(Cause::DataMissing) => Some(MISSING),
        Some(Cause::RemovedTwice) => Some((
            Kind::WalDamaged,
            "its log removes a member that its database has not got any more",
        )),
        Some(Cause::InitialCluster) => Some(INITIAL_CLUSTER),
        None => None,
    }
}

/// What helps a member whose data is of no use to it.
fn remedy(look: &Look, looks: &[Look]) -> Next {
    let node = look.name();
    if working_elsewhere(look, looks).is_some() {
        return replace(node, looks).note(
            "the others hold the quorum: it gets its data from them, and its own is moved aside",
        );
    }
    if stumbles_over_log(look) {
        return Next::on(node, Task::SetImage.of("etcd").of("IMAGE")).note(
            advice!["nothing is lost with a later etcd of the same line, as 3.5.35 for 3.5.0; where there is none, ", Task::Recover, " goes on from the database"],
        );
    }
    let usable = inspection(look).is_some_and(|read| read.reach.is_some());
    let several = voters(look).len() > 1;
    if several || usable {
        let recover = match several {
            true => Task::Recover.choosing(Choice::Ssh),
            false => Task::Recover.into(),
        };
        Next::anywhere(recover).note(
            "it looks at all control-plane nodes' data first and shows what it would recover from",
        )
    } else {
        Next::on(node, Task::Restore.of("FILE")).note(advice![
            "FILE is a snapshot or a bundle; ",
            Task::ListSnapshots,
            " shows those on the node"
        ])
    }
}

/// A member replaced: on its host, which is the one that was looked at, or else over ssh.
fn replace(node: &str, looks: &[Look]) -> Next {
    let replace = Task::ReplaceMember.of(node);
    Next::anywhere(match looks.len() > 1 {
        true => replace.choosing(Choice::Ssh),
        false => replace,
    })
}

/// What helps a member whose data is not what keeps it from starting.
fn repair(look: &Look, kind: Kind) -> Next {
    let node = look.name();
    match kind {
        Kind::PortTaken => Next::on(node, "ss -ltnp").note("it shows who listens at etcd's ports"),
        Kind::CertificateExpired => Next::on(node, "kubeadm certs check-expiration"),
        Kind::DiskFull => Next::on(node, "df -h"),
        Kind::WrongInitialCluster | Kind::BadFlags => {
            Next::on(node, Task::CompareManifest.of("etcd")).note("it shows what was changed last")
        }
        Kind::NotJoined => Next::on(node, Task::ShowManifest.of("etcd"))
            .note("it waits for the members of its --initial-cluster: start these first"),
        _ => Next::on(node, Task::ShowManifest.of("etcd")),
    }
}

/// Neither the data nor its words tell.
fn unexplained(notes: &mut Notes<'_>, cold: Option<&ColdEtcd>) {
    let (look, node) = (notes.look, notes.node());
    let explained = [
        Kind::KubeletDown,
        Kind::RuntimeDown,
        Kind::ImageMissing,
        Kind::DiskFull,
        Kind::CertificateExpired,
        Kind::CertificateMissing,
    ];
    let stray = look.manifests.ok().is_some_and(|manifests| {
        let mut strays = manifests.strays.iter();
        strays.any(|stray| stray.component == Some(ControlPlane::Etcd))
    });
    if stray
        || explained
            .into_iter()
            .any(|kind| notes.found.has(kind, node))
    {
        return;
    }
    let failures = [look.live.failure(), look.peer_port.failure()];
    let mut evidence: Vec<String> = failures
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    evidence.dedup();
    evidence.extend(cold.and_then(data));
    let runtime = look.runtime.ok();
    let newest = runtime.and_then(|runtime| runtime.newest(ControlPlane::Etcd));
    let (summary, next) = match newest {
        Some(container) if container.state == State::Running => {
            let since = container.started_at.map(|at| {
                let at = to_the_second(at);
                format!("its container has been running since {at}")
            });
            evidence.extend(since);
            (
                format!("etcd on {node} runs and does not answer"),
                Next::on(node, logs_of(container))
                    .note("one that was just started, or has a busy machine, takes its time: ask again first"),
            )
        }
        Some(container) => {
            evidence.extend(container_words(look));
            (
                format!("etcd on {node} does not run"),
                Next::on(node, logs_of(container)),
            )
        }
        None => {
            evidence.extend(runtime.map(|_| "the runtime has no container of it".to_owned()));
            evidence.extend(kubelet_errors(notes));
            (
                format!("etcd on {node} does not run: kubelet has not started it"),
                Next::on(node, "systemctl restart kubelet"),
            )
        }
    };
    notes.degraded(Kind::EtcdDown, summary, evidence, next);
}

/// What the member's last container left.
fn container_words(look: &Look) -> Vec<String> {
    let Some(container) = ended(look, ControlPlane::Etcd) else {
        return Vec::new();
    };
    let mut words = vec![words::ending(ControlPlane::Etcd, container)];
    words.extend(words::last_words(container));
    words
}

fn members_elsewhere(look: &Look, looks: &[Look]) -> Option<String> {
    let elsewhere = working_elsewhere(look, looks)?;
    let status = &elsewhere.live.status;
    Some(format!(
        "{} answers and knows the leader, at revision {}: the others hold the quorum",
        elsewhere.name,
        revision(status.revision)
    ))
}
