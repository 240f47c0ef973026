//! Giving a learner a vote once it has caught up.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{CHANGE_LIMIT, agreed_members, maybe_done, not_listed, refused, report};
use crate::advice;
use crate::advice::Task;
use crate::client::{CallError, EtcdApi, EtcdEndpoint, MemberChange, OWN_LIMIT, says_behind};
use crate::failure::{Failure, FailureKind};
use crate::ids::MemberId;
use crate::report::{EndpointStatus, Member, MembershipReport};
use crate::target::Target;

/// How often it is told how far the learner is.
const TELL: Duration = Duration::from_secs(1);

/// How long it may take to tell: it is in the same network.
const ASK_LIMIT: Duration = Duration::from_millis(500);

/// How far a learner is, by its own account and that of the member that was asked to promote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatchingUp {
    /// Whether it has ever started.
    pub started: bool,
    /// How many entries of the log it has not applied; none: it does not answer.
    pub behind: Option<u64>,
    /// Its database, in bytes; none: it does not answer.
    pub db_bytes: Option<u64>,
    /// The other's database, in bytes.
    pub of_bytes: u64,
}

impl CatchingUp {
    /// In a few words, to be read behind the learner's name.
    pub fn words(&self) -> String {
        match (self.started, self.behind) {
            (false, _) => "has never started".to_owned(),
            (true, None) => "does not answer".to_owned(),
            (true, Some(behind)) => format!("is {behind} log entries behind"),
        }
    }
}

/// Gives a learner its vote as soon as it answers itself and etcd says that it has caught up; with a limit of zero it is
/// asked once. A member that votes already is left alone.
///
/// etcd alone would promote one that had caught up and has died since: it would count as a voter that is down.
///
/// # Errors
/// [`FailureKind::NoQuorum`]; [`FailureKind::Refused`] when there is no such member, when it does not answer or has not
/// caught up within the limit (the message says how far it is), or what else etcd has against it.
pub async fn promote_when_ready<A: EtcdApi>(
    api: &A,
    target: &Target,
    member: MemberId,
    limit: Duration,
    progress: &mut (dyn FnMut(CatchingUp) + Send),
) -> Result<MembershipReport, A::Error> {
    let begun = Instant::now();
    let (endpoint, mut own) = api.own(target, OWN_LIMIT).await?;
    let mut asked = false;
    let mut told: Option<Instant> = None;
    loop {
        let late = begun.elapsed() >= limit;
        // On the heap: what is awaited here would be in the future of whoever calls this.
        match Box::pin(agreed_members(&endpoint, &own)).await {
            Ok(list) => {
                let Some(learner) = list.members.iter().find(|listed| listed.id == member) else {
                    return Err(not_listed(member).into());
                };
                if !learner.is_learner {
                    return Ok(report(&own, member, asked, list.members));
                }
                let how_far = Box::pin(how_far(api, &own, learner)).await;
                if how_far.behind.is_some() {
                    asked = true;
                    let promote = MemberChange::Promote(member);
                    match Box::pin(endpoint.change_members(promote, CHANGE_LIMIT)).await {
                        Ok(members) => return Ok(report(&own, member, true, members)),
                        Err(error) if says_behind(error.message()) => {}
                        // The leader changes just now, say: what comes of it is listed.
                        Err(error) if error.kind() == FailureKind::NoQuorum && !late => {}
                        // An answer that got lost is no failure where the list says that it was done.
                        Err(error) => {
                            let error = maybe_done(error);
                            let after = Box::pin(agreed_members(&endpoint, &own)).await;
                            let after = after.map(|list| list.members).unwrap_or_default();
                            let votes = |one: &Member| one.id == member && !one.is_learner;
                            return match after.iter().any(votes) {
                                true => Ok(report(&own, member, true, after)),
                                false => Err(error),
                            };
                        }
                    }
                }
                if late {
                    return Err(not_ready(learner, how_far).into());
                }
                if told.is_none_or(|told| told.elapsed() >= TELL) {
                    progress(how_far);
                    told = Some(Instant::now());
                }
            }
            // It was there at first, and may be again.
            Err(error) if error.kind() == FailureKind::NoQuorum && told.is_some() && !late => {}
            Err(error) => return Err(error),
        }
        sleep(A::PAUSE).await;
        // Its log goes on meanwhile, and somebody else may lead.
        own = endpoint.status(OWN_LIMIT).await.unwrap_or(own);
    }
}

fn not_ready(learner: &Member, how_far: CatchingUp) -> Failure {
    let name = match learner.started() {
        true => learner.name.clone(),
        false => learner.id.to_string(),
    };
    let message = format!(
        "the learner {name} has not caught up: it {}",
        how_far.words()
    );
    let hint = match (how_far.started, how_far.behind) {
        (false, _) => "start it first".into(),
        (true, None) => advice!["see why with ", Task::ShowStatus],
        (true, Some(_)) => "wait until it has".into(),
    };
    refused(message, hint)
}

/// Asks the learner where it says that clients reach it.
async fn how_far(api: &impl EtcdApi, own: &EndpointStatus, learner: &Member) -> CatchingUp {
    let mut account = None;
    for url in &learner.client_urls {
        if let Ok(endpoint) = api.endpoint(url).await
            && let Ok(told) = endpoint.status(ASK_LIMIT).await
            && told.member_id == learner.id
        {
            account = Some(told);
            break;
        }
    }
    CatchingUp {
        started: learner.started(),
        behind: account
            .as_ref()
            .map(|told| own.raft_index.saturating_sub(told.raft_applied_index)),
        db_bytes: account.as_ref().map(|told| told.db_size_bytes),
        of_bytes: own.db_size_bytes,
    }
}
