//! The verdict, and the sentence that says it.

use super::evidence::Evidence;
use super::model::{Quorum, Row, Severity, Status, Summary, VerdictWord, Warning};
use crate::format::counted;
use etcd_operations::report::{API_VERSION, AlarmKind};

/// Puts everything together.
pub(super) fn status(
    evidence: &Evidence<'_>,
    quorum: Quorum,
    rows: Vec<Row>,
    warnings: Vec<Warning>,
) -> Status {
    let verdict = verdict(evidence, quorum, &warnings);
    Status {
        api_version: API_VERSION,
        kind: "Status",
        verdict,
        summary: Summary {
            word: verdict.word(),
            details: details(evidence, verdict, quorum),
        },
        quorum,
        cluster_id: evidence
            .cluster_id
            .or_else(|| evidence.members.map(|list| list.cluster_id))
            .map(|id| id.to_string()),
        rows,
        warnings,
        last_snapshot: super::snapshots::last(evidence),
    }
}

fn verdict(evidence: &Evidence<'_>, quorum: Quorum, warnings: &[Warning]) -> VerdictWord {
    match quorum.holds {
        None => VerdictWord::NothingReached,
        Some(false) => VerdictWord::QuorumLost,
        Some(true) if is_corrupt(evidence) || evidence.asked.same.differs() => VerdictWord::Damaged,
        Some(true) => {
            let warned = warnings
                .iter()
                .any(|warning| warning.severity == Severity::Warning);
            if warned || quorum.healthy_voters < quorum.voters {
                VerdictWord::Degraded
            } else {
                VerdictWord::Healthy
            }
        }
    }
}

fn is_corrupt(evidence: &Evidence<'_>) -> bool {
    let mut alarms = evidence.alarms.iter();
    alarms.any(|alarm| alarm.alarm == AlarmKind::Corrupt)
}

fn details(evidence: &Evidence<'_>, verdict: VerdictWord, quorum: Quorum) -> String {
    let Quorum {
        voters,
        healthy_voters: healthy,
        needed,
        ..
    } = quorum;
    let members = if voters == 1 { "member" } else { "members" };
    let about = if quorum.members_known {
        ""
    } else {
        "at least "
    };
    let learners = match quorum.learners {
        0 => String::new(),
        learners => format!(" and {}", counted(learners, "learner")),
    };
    let holds = || {
        let more = if healthy < voters { " more" } else { "" };
        let may_fail = match (quorum.may_fail, voters) {
            (0, 1) => "no failure is tolerated".to_owned(),
            (0, _) => "no further failure is tolerated".to_owned(),
            (1, _) => format!("one{more} may fail"),
            (count, _) => format!("{count}{more} may fail"),
        };
        format!(
            "{healthy} of {about}{voters} {members} healthy{learners}, quorum holds, {may_fail}"
        )
    };
    match verdict {
        VerdictWord::Healthy | VerdictWord::Degraded => holds(),
        VerdictWord::Damaged if is_corrupt(evidence) => {
            format!("{}; a CORRUPT alarm is raised", holds())
        }
        VerdictWord::Damaged => {
            format!("{healthy} of {about}{voters} {members} answer, and not all with the same data")
        }
        VerdictWord::QuorumLost if evidence.accounts.is_empty() => {
            format!("none of {about}{voters} {members} answers, {needed} needed")
        }
        VerdictWord::QuorumLost => {
            let answering = evidence.accounts.len();
            format!(
                "{answering} of {about}{voters} {members}{learners} {}, {needed} must agree on a leader; \
                 shown is what each knows itself",
                if answering == 1 { "answers" } else { "answer" }
            )
        }
        VerdictWord::NothingReached if !evidence.reports.is_empty() => {
            let asked = counted(evidence.reports.len(), "node");
            format!("etcd does not answer on {asked}; the other members could not be asked")
        }
        VerdictWord::NothingReached => match evidence.asked.nodes.len() {
            0 => "there is no control-plane node to ask".to_owned(),
            1 => "the control-plane node gave no answer".to_owned(),
            nodes => format!("none of {nodes} control-plane nodes gave an answer"),
        },
    }
}
