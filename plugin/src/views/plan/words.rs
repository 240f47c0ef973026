//! What a plan costs and what has to stay as it is, in sentences.

use std::fmt::Write as _;

use etcd_operations::failure::Answer;
use etcd_operations::look::{Changes, KindChanges};
use etcd_operations::plan::make::{Fence, Loss, MARGIN, PlanPreview, Revision, Taken, TakenBy};
use etcd_operations::shell::CommandLine;

use kubectl_etcd_core::format::counted;

/// What is lost, in a sentence each.
pub(super) fn losses(preview: &PlanPreview) -> Vec<String> {
    let lines = preview.losses.iter().flat_map(|one| {
        let objects = match one {
            Loss::SinceSnapshot {
                changes: Some(Answer::Ok(changes)),
                ..
            } if one.is_data() => objects(changes),
            Loss::SinceSnapshot {
                changes: Some(Answer::Failed(failure)),
                ..
            } if one.is_data() => vec![format!(
                "how many objects that are could not be counted: {}",
                failure.message
            )],
            _ => Vec::new(),
        };
        [loss(one)].into_iter().chain(objects)
    });
    lines.collect()
}

/// What of it is somebody's data.
pub(crate) fn data_losses(preview: &PlanPreview) -> Vec<String> {
    let losses = preview.losses.iter().filter(|one| one.is_data());
    losses.map(loss).collect()
}

/// So many kinds of objects are named.
const KINDS: usize = 10;

/// The objects that were changed, in a line or two.
fn objects(changes: &Changes) -> Vec<String> {
    let (fleeting, rest): (Vec<_>, Vec<_>) =
        changes.kinds.iter().partition(|kind| kind.is_fleeting());
    let (objects, other): (Vec<&KindChanges>, Vec<_>) =
        rest.into_iter().partition(|kind| !kind.kind.is_empty());
    let sum = |kinds: &[&KindChanges], of: fn(&KindChanges) -> u64| {
        kinds.iter().map(|kind| of(kind)).sum::<u64>()
    };
    let (written, deleted) = (
        sum(&objects, |kind| kind.written),
        sum(&objects, |kind| kind.deleted),
    );
    let at_least = match changes.deletions_complete {
        true => "",
        false => "at least ",
    };
    let mut line = format!(
        "{} written since, {at_least}{deleted} deleted",
        counted(written, "object")
    );
    let named = objects.iter().take(KINDS).map(|kind| of_kind(kind));
    let named: Vec<String> = named.collect();
    if !named.is_empty() {
        let _ = write!(line, ": {}", named.join(", "));
    }
    if let Some(more) = objects.get(KINDS..).filter(|more| !more.is_empty()) {
        let all = sum(more, KindChanges::all);
        let kinds = counted(more.len(), "other kind");
        let _ = write!(line, ", and {all} of {kinds}");
    }
    if !changes.deletions_complete {
        line.push_str(" (history was compacted since: what was deleted before that is not known)");
    }
    let mut lines = vec![line];
    let mut besides: Vec<String> = fleeting.iter().map(|kind| of_kind(kind)).collect();
    if !other.is_empty() {
        besides.push(format!(
            "{} of nobody's objects",
            counted(sum(&other, KindChanges::all), "key")
        ));
    }
    if !besides.is_empty() {
        lines.push(format!("besides, {}", besides.join(", ")));
    }
    lines
}

/// `pods 12`, and what of them was deleted.
fn of_kind(kind: &KindChanges) -> String {
    match kind.deleted {
        0 => format!("{} {}", kind.kind, kind.all()),
        deleted => format!("{} {} ({deleted} deleted)", kind.kind, kind.all()),
    }
}

fn taken_words(taken: Option<Taken>) -> String {
    let Some(Taken { at, by }) = taken else {
        return String::new();
    };
    match by {
        TakenBy::Description => format!(" (taken at {at:.0})"),
        TakenBy::File => format!(" (its file is of {at:.0})"),
        TakenBy::YoungestObject => format!(" (its youngest object is of {at:.0})"),
    }
}

/// `m3`, and when its database was last written to.
fn where_and_when(newest: &Revision) -> String {
    match newest.at {
        Some(at) => format!("{}, {at:.0}", newest.node),
        None => newest.node.clone(),
    }
}

fn loss(loss: &Loss) -> String {
    match loss {
        Loss::Outage => "etcd and the apiserver are down during this".to_owned(),
        Loss::Everything { newest } => {
            let upto = newest.as_ref().map(|newest| {
                let at = where_and_when(newest);
                format!(", up to revision {} ({at})", newest.revision)
            });
            format!(
                "everything that this cluster has{}: the snapshot is of another one",
                upto.unwrap_or_default()
            )
        }
        Loss::SinceSnapshot {
            revision,
            newest,
            taken,
            ..
        } => since_snapshot(*revision, newest.as_ref(), &taken_words(*taken)),
        Loss::LogBeyondDatabase { entries: number } => {
            format!("what the log has beyond the database: {}", entries(*number))
        }
        Loss::MaybeNewerElsewhere { nodes } => format!(
            "writes that only {} may have: too few members could be read to know",
            nodes.join(", ")
        ),
        Loss::FurtherLog { node, entries: 0 } => format!(
            "what the log of {node} has of a later term: it may have been acknowledged, and is not in the data that the cluster is recovered from"
        ),
        Loss::FurtherLog {
            node,
            entries: number,
        } => format!(
            "{} in the log of {node}, which goes further than the data that the cluster is recovered from: they may have been acknowledged",
            entries(*number)
        ),
        Loss::NeverAcknowledged {
            node,
            entries: number,
        } => format!(
            "{} in the log of {node} that no majority had: nobody was told that they were written",
            entries(*number)
        ),
        Loss::OtherCluster {
            node,
            cluster_id,
            revision,
        } => format!(
            "what {node} serves as a member of another cluster, {cluster_id} (revision {revision}), and this one has not: it goes out of service, and is kept in a folder that is named at the end"
        ),
    }
}

/// What is lost since a snapshot, as far as any disk tells.
fn since_snapshot(revision: u64, newest: Option<&Revision>, taken: &str) -> String {
    let Some(newest) = newest else {
        return format!(
            "everything that was written after revision {revision}{taken}; how much that is could not be found out"
        );
    };
    if newest.at_most() <= revision {
        return format!("nothing that was found: no disk has more than revision {revision}{taken}");
    }
    let changes = newest.revision.saturating_sub(revision);
    let beyond = match newest.beyond {
        0 => String::new(),
        beyond => format!(", and {} of its log, not looked into", entries(beyond)),
    };
    let at = where_and_when(newest);
    let all = format!("everything after revision {revision}{taken}");
    let newest = newest.revision;
    if changes >= MARGIN {
        // Of these a billion are none.
        return format!(
            "{all}, up to revision {newest} ({at}), which a restore or a recovery has raised since{beyond}"
        );
    }
    let changes = counted(changes, "change");
    format!("{all}: {changes} up to revision {newest} ({at}){beyond}")
}

fn entries(number: u64) -> String {
    match number {
        1 => "1 entry".to_owned(),
        _ => format!("{number} entries"),
    }
}

/// What has to stay as it is.
pub(super) fn fence(fence: &Fence) -> String {
    match fence {
        Fence::Unreachable { node, why } => format!(
            "{node} cannot be reached ({why}). Its old etcd cannot join the new cluster, but an apiserver there would answer \
             from the past: go on only if you know that it is off"
        ),
        Fence::ApiserverStops { node } => {
            format!("the apiserver of {node} stops for it, and is away for about 10 seconds")
        }
        Fence::NoQuorum { node } => format!(
            "the quorum is lost: etcd on {node} starts with it, but is ready only once a majority of the members runs, and the \
             last steps wait for that and fail"
        ),
        Fence::ByHand { node } => format!(
            "{node} takes no part. Its etcd and apiserver are stopped there before, and stay so until it joins: an apiserver \
             there would answer from the past"
        ),
        Fence::LeftOut { node } => format!(
            "{node} is left out. If it should come back it must not start its etcd and apiserver; {} takes it in again",
            CommandLine::new("kubectl etcd member replace").operand(node)
        ),
    }
}
