//! `kubectl etcd compact`

use std::time::Duration;

use clap::Args;
use etcd_operations::operation;
use etcd_operations::report::CompactReport;
use etcd_operations::utc::to_the_second;
use jiff::{SignedDuration, Timestamp};

use super::life::{Change, Consent, Ending, Terminal, carry_out};
use super::planned::PlanArgs;
use super::{Context, answered_survey, through};
use crate::args::{FleetArgs, WayArgs, parse_duration};
use crate::views::compaction::{Compaction, State};
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};
use kubectl_etcd_core::format::revision;
use kubectl_etcd_core::history::History;
use kubectl_etcd_core::lease::LeaseGuard;
use kubectl_etcd_core::session::Session;

const EXAMPLES: &str = "\
Examples:
  # What would go? Nothing is done
  kubectl etcd compact --dry-run

  # Remove what is older than half an hour, then make the files smaller
  kubectl etcd compact --older-than 30m
  kubectl etcd defrag

  # The database is full (NOSPACE): remove all history, make room, and take writes again
  kubectl etcd compact --all-history
  kubectl etcd defrag
  kubectl etcd alarm disarm

Exit codes: 0 done or nothing to do, 1 failed, 2 usage, 4 quorum lost, 5 not confirmed.";

/// Between the revision a member tells and the one the apiserver tells a moment later: so many writes fit in.
const WRITES_BETWEEN: i64 = 10_000;

/// Compact etcd's history: remove old revisions of objects that were changed or deleted since
///
/// kube-apiserver does it every five minutes, and keeps the last five to ten minutes. It is needed by hand where that is
/// switched off or does not get through, as with a full database. Objects do not change by it.
///
/// The age of a revision is told by the Leases of the control plane, which carry the times at which they were written. A
/// revision that they do not prove to be old enough is kept.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CompactArgs {
    #[command(flatten)]
    how: PlanArgs,
    /// Remove revisions that are older than this
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "5m", conflicts_with_all = ["revision", "all_history"])]
    older_than: Duration,
    /// Remove the revisions before this one
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..), conflicts_with = "all_history")]
    revision: Option<i64>,
    /// Remove everything but the objects as they are now
    #[arg(long)]
    all_history: bool,
    #[command(flatten)]
    way: WayArgs,
}

/// Up to where it is compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UpTo {
    Age(SignedDuration),
    Revision(i64),
    Now,
}

/// Plans, asks, and compacts.
///
/// # Errors
/// When there is no quorum, no proof of an age, or the answer to the question is no.
pub async fn compact(context: &Context<'_>, args: CompactArgs) -> Result<Verdict, Error> {
    let too_long = |_| Error::usage("--older-than is longer than any history");
    let up_to = match (args.revision, args.all_history) {
        (Some(revision), _) => UpTo::Revision(revision),
        (None, true) => UpTo::Now,
        (None, false) => UpTo::Age(args.older_than.try_into().map_err(too_long)?),
    };
    let fleet = FleetArgs::everywhere(args.way);
    let session = context.open(&fleet).await?;
    let compacting = Compacting {
        session: &session,
        fleet: &fleet,
        up_to,
    };
    carry_out(&compacting, context.ui, args.how.consent()).await
}

struct Compacting<'a> {
    session: &'a Session,
    fleet: &'a FleetArgs,
    up_to: UpTo,
}

/// Up to which revision, and through which node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    node: String,
    current: i64,
    oldest: Option<i64>,
    /// None: nothing is old enough.
    to: Option<i64>,
    written: Option<Timestamp>,
    age: Option<Duration>,
}

impl Plan {
    /// The plan for a member that has this revision and was compacted up to that one; the history is known where there is an
    /// apiserver, which may still read from its cache what etcd has no more.
    fn of(
        up_to: UpTo,
        node: String,
        at_least: i64,
        compacted: Option<i64>,
        history: Option<&History>,
    ) -> Result<Self, Error> {
        let current = history.map_or(at_least, |history| history.current);
        if history.is_some() && !(at_least..=at_least + WRITES_BETWEEN).contains(&current) {
            return Err(Error::refused(format!(
                "etcd is at revision {}, and the Leases of the apiserver at {}: they are stored in another etcd, and tell nothing of this one's history",
                revision(at_least),
                revision(current)
            ))
            .hint("--revision names the revision to compact to"));
        }
        let older = history.and_then(|history| history.older);
        let to = match up_to {
            UpTo::Age(_) => older.map(|older| older.revision),
            UpTo::Revision(to) => Some(to),
            UpTo::Now => Some(current),
        };
        if let Some(to) = to.filter(|to| *to > current) {
            return Err(Error::usage(format!(
                "revision {} is not written yet: the newest is {}",
                revision(to),
                revision(current)
            )));
        }
        let oldest = compacted;
        let written = older.filter(|_| matches!(up_to, UpTo::Age(_)));
        let since = |at: Timestamp| history?.now.duration_since(at).try_into().ok();
        Ok(Self {
            node,
            current,
            oldest,
            to: to.filter(|to| Some(*to) > oldest),
            written: written.map(|written| written.at),
            age: written.and_then(|written| since(written.at)),
        })
    }

    fn view(&self, state: State) -> Compaction {
        Compaction {
            oldest_revision: self.oldest,
            revision: self.to,
            written_at: self.written.map(to_the_second),
            age_seconds: self.age.map(|age| age.as_secs()),
            ..Compaction::new(state, self.current)
        }
    }
}

impl Change for Compacting<'_> {
    type Plan = Plan;
    type Lock = LeaseGuard;
    type Done = CompactReport;
    type View = Compaction;

    async fn make(&self, _terminal: &impl Terminal) -> Result<Plan, Error> {
        let (_, status) = answered_survey(self.session, self.fleet).await?;
        if status.quorum.holds == Some(false) {
            let message = status.summary.to_string();
            return Err(Error::new(ErrorKind::QuorumLostOrDamaged, message));
        }
        let (node, row) = through(self.session, &status)?;
        let older_than = match self.up_to {
            UpTo::Age(age) => Some(age),
            UpTo::Revision(_) | UpTo::Now => None,
        };
        let history = match (self.session.cluster(), older_than) {
            (Ok(_), Some(_)) => Some(self.session.history(older_than).await?),
            // It only tells more.
            (Ok(_), None) => self.session.history(None).await.ok(),
            (Err(_), None) => None,
            (Err(error), Some(_)) => {
                return Err(error
                    .ending("the age of a revision is told by the apiserver's Leases")
                    .hint("--revision names the revision to compact to"));
            }
        };
        let at_least = row.revision.unwrap_or_default();
        let size = row.db_size_bytes.unwrap_or(u64::MAX);
        let compacted = self.session.compacted_to(node, at_least, size).await;
        let name = node.name.clone();
        Plan::of(self.up_to, name, at_least, compacted, history.as_ref())
    }

    fn nothing_to_do(
        &self,
        plan: &Plan,
        _consent: &Consent,
        _terminal: &impl Terminal,
    ) -> Option<Ending<Compaction>> {
        let view = || plan.view(State::NotNeeded);
        plan.to
            .is_none()
            .then(|| Ending::shown(view(), Verdict::Healthy))
    }

    fn preview(&self, plan: &Plan, consent: &Consent) -> Compaction {
        plan.view(match consent.dry_run {
            true => State::DryRun,
            false => State::Planned,
        })
    }

    fn question(&self, plan: &Plan) -> String {
        format!(
            "Compact to revision {}?",
            revision(plan.to.unwrap_or_default())
        )
    }

    async fn lock(&self, _plan: &Plan, _terminal: &impl Terminal) -> Result<LeaseGuard, Error> {
        self.session.lock("compact").await
    }

    /// The revision that was shown is the one that is meant, and etcd itself refuses one that is gone.
    fn looks_again(&self, _plan: &Plan, _consent: &Consent) -> bool {
        false
    }

    fn is_as_agreed(&self, now: &Plan, agreed: &Plan) -> bool {
        now == agreed
    }

    async fn execute(
        &self,
        plan: &Plan,
        _lock: &LeaseGuard,
        _terminal: &impl Terminal,
    ) -> Result<CompactReport, Error> {
        let node = self.session.named(std::slice::from_ref(&plan.node))?[0];
        let revision = plan.to.unwrap_or_default();
        self.session
            .ask(node, &operation::Compact { revision })
            .await
    }

    async fn check(
        &self,
        plan: Plan,
        done: CompactReport,
        _terminal: &impl Terminal,
    ) -> Ending<Compaction> {
        let view = plan.view(State::Planned);
        Ending::shown(view.done(plan.node, &done), Verdict::Healthy)
    }
}

#[cfg(test)]
mod tests {
    use kubectl_etcd_core::history::Written;

    use super::*;

    fn history(older: Option<i64>) -> History {
        let at = |second| Timestamp::from_second(second).unwrap();
        History {
            current: 5_000,
            now: at(10_000),
            older: older.map(|revision| Written {
                revision,
                at: at(8_000),
            }),
        }
    }

    fn plan(up_to: UpTo, history: Option<&History>) -> Result<Plan, Error> {
        Plan::of(up_to, "cp-1".to_owned(), 4_990, Some(100), history)
    }

    #[test]
    fn an_age_becomes_the_last_revision_that_is_proved_to_be_older() {
        let age = UpTo::Age(SignedDuration::from_mins(30));
        let found = plan(age, Some(&history(Some(3_000)))).unwrap();
        assert_eq!(found.to, Some(3_000));
        assert_eq!(found.age, Some(Duration::from_secs(2_000)));
        let nothing = plan(age, Some(&history(None))).unwrap();
        assert_eq!((nothing.to, nothing.written), (None, None));
    }

    #[test]
    fn now_is_only_compacted_to_when_it_is_said() {
        let found = plan(UpTo::Now, Some(&history(None))).unwrap();
        assert_eq!((found.to, found.written), (Some(5_000), None));
        assert_eq!(plan(UpTo::Now, None).unwrap().to, Some(4_990));
    }

    #[test]
    fn a_revision_that_is_gone_is_nothing_to_do_and_one_to_come_a_mistake() {
        let of = |number| plan(UpTo::Revision(number), Some(&history(None)));
        assert_eq!(of(100).unwrap().to, None);
        assert_eq!(of(101).unwrap().to, Some(101));
        assert_eq!(of(5_001).unwrap_err().kind, ErrorKind::Usage);
    }

    #[test]
    fn leases_in_another_etcd_prove_nothing() {
        let age = UpTo::Age(SignedDuration::from_mins(30));
        let other = History {
            current: 77,
            ..history(Some(50))
        };
        let refused = plan(age, Some(&other)).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Refused);
    }
}
