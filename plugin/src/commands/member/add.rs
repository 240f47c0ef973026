//! `kubectl etcd member add`

use clap::Args;
use etcd_datadir::ids::PeerUrl;
use etcd_operations::ids::MemberId;
use etcd_operations::membership::{NewMember, added_before};
use etcd_operations::report::Member;
use etcd_operations::shell::quoted;

use super::change::{ChangeArgs, carry_out};
use super::look::Look;
use super::plan::{Plan, Step, promote_once_started, refuse_loss};
use crate::commands::Context;
use crate::views::member_change::Action;
use kubectl_etcd_core::assess::votes::VoteChange;
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::format::and;

const EXAMPLES: &str = "\
Examples:
  # A new member: it has no vote until it was started, has caught up and was promoted
  kubectl etcd member add cp-4 --peer-url https://10.0.0.4:2380
  kubectl etcd member promote cp-4 --wait 5m

  # The member that a control-plane node's etcd.yaml describes
  kubectl etcd member add cp-4

The answer has the flags the new member is started with. Its data directory has to be empty.

Exit codes: 0 done, or it was added before, 3 done but the cluster is degraded, 4 no quorum, \
5 refused or not confirmed.";

/// Add a member to the cluster: as a learner, which has no vote until it is promoted
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AddArgs {
    /// The node whose etcd.yaml describes it, or the name it will have
    #[arg(value_name = "NAME")]
    name: String,
    /// Where other members reach it [default: as the node's etcd.yaml says]; may be given several times
    #[arg(long, value_name = "URL", value_delimiter = ',', value_parser = PeerUrl::parse)]
    peer_url: Vec<PeerUrl>,
    /// Give it a vote at once: until it has started it counts as one that is down
    #[arg(long)]
    voter: bool,
    /// Go on although too few of the voters then are healthy, and the cluster takes no writes until it has started
    #[arg(long, requires = "voter")]
    allow_quorum_loss: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Adds a member.
///
/// # Errors
/// When a safety check refuses, or etcd does.
pub(super) async fn add(context: &Context<'_>, args: &AddArgs) -> Result<Verdict, Error> {
    let urls: Vec<String> = args.peer_url.iter().map(ToString::to_string).collect();
    let (voter, allowed) = (args.voter, args.allow_quorum_loss);
    let plan_of = |look: &Look<'_>| plan(look, &args.name, &urls, voter, allowed);
    carry_out(context, &args.change, plan_of).await
}

pub(super) fn plan(
    look: &Look<'_>,
    wanted: &str,
    given: &[String],
    voter: bool,
    allowed: bool,
) -> Result<Plan, Error> {
    let (name, urls) = who(look, wanted, given)?;
    let mut plan = Plan::new(Action::Add, look, None);
    plan.node = look.by_flags(wanted).map(|_| wanted.to_owned());
    plan.member = Some(name.clone());
    let new = NewMember {
        name: Some(&name),
        peer_urls: &urls,
        learner: !voter,
    };
    let before = added_before(&look.members, new);
    let before = before.map_err(|failure| {
        let error = Error::refused(failure.message);
        failure.hint.into_iter().fold(error, Error::hint)
    })?;
    plan.next = next(&look.members, new, before.map(|there| there.id));
    if let Some(there) = before {
        plan.member_id = Some(there.id);
        let how = match there.started() {
            true => "it has started",
            false => "it has never started",
        };
        if there.started() {
            plan.next.remove(0);
        }
        return Ok(plan.nothing(format!("{name} was added before ({}), {how}", there.id)));
    }
    refuse_while_one_is_down(look)?;
    if voter {
        plan.after = plan.before.after(VoteChange::OneMore { healthy: false });
        let instead = "leave --voter away: a learner costs no votes";
        refuse_loss(&plan, allowed, instead)?;
        plan.costs = vec![format!(
            "{name} has a vote at once, and counts as one that is down until it has started and caught up"
        )];
    }
    let mut learners = look.members.iter().filter(|one| one.is_learner && !voter);
    if let Some(learner) = learners.next() {
        plan.barred_by = Some(learner.id);
        plan.costs.push(format!(
            "etcd takes one learner at a time unless its --max-learners says otherwise, and {} is one",
            look.subject(learner).name()
        ));
    }
    plan.costs.extend(other_scheme(&look.members, &urls));
    let on = look.through(None)?;
    let step = Step::Add {
        name,
        peer_urls: urls,
        learner: !voter,
    };
    Ok(plan.then(on, step))
}

/// The name and the peer URLs of the new member.
fn who(look: &Look<'_>, wanted: &str, given: &[String]) -> Result<(String, Vec<String>), Error> {
    let by_flags = look.by_flags(wanted);
    let name = by_flags.map_or(wanted, |(name, _)| name).to_owned();
    if !given.is_empty() {
        return Ok((name, given.to_vec()));
    }
    match by_flags {
        Some((_, urls)) if !urls.is_empty() => Ok((name, urls.to_vec())),
        Some(_) | None => Err(Error::usage(format!(
            "where other members will reach {wanted} is not known: no etcd pod on a node of that name tells it"
        ))
        .hint("--peer-url https://ADDRESS:2380")),
    }
}

/// etcd itself adds no member, with a vote or without, while a voting one is not connected.
fn refuse_while_one_is_down(look: &Look<'_>) -> Result<(), Error> {
    let quorum = look.status.quorum;
    if quorum.healthy_voters >= quorum.voters {
        return Ok(());
    }
    let all = look.voters();
    let down: Vec<String> = all
        .iter()
        .filter(|subject| !subject.healthy())
        .map(|subject| subject.name())
        .collect();
    Err(Error::refused(format!(
        "etcd adds no member while a voting one is not connected, and {} is not",
        and(&down)
    ))
    .hint("bring it back, or remove it first: kubectl etcd member remove"))
}

/// A member that speaks TLS and one that does not never hear each other.
fn other_scheme(members: &[Member], urls: &[String]) -> Option<String> {
    let scheme = |url: &String| url.split("://").next().map(str::to_owned);
    let theirs = members.iter().flat_map(|member| &member.peer_urls);
    let theirs: Vec<String> = theirs.filter_map(scheme).collect();
    let unlike = |url: &&String| scheme(url).is_some_and(|own| !theirs.contains(&own));
    let other = urls.iter().find(unlike)?;
    Some(format!(
        "the other members are reached by {}, and {other} is not: they would not hear each other",
        theirs.first()?
    ))
}

/// The flags the new member is started with, and what comes after.
fn next(members: &[Member], new: NewMember<'_>, id: Option<MemberId>) -> Vec<String> {
    let name = new.name.unwrap_or_default();
    let pairs = |name: &str, urls: &[String]| -> Vec<String> {
        urls.iter().map(|url| format!("{name}={url}")).collect()
    };
    let others = members.iter().filter(|member| member.started());
    let mut all: Vec<String> = others
        .filter(|member| member.name != name)
        .flat_map(|member| pairs(&member.name, &member.peer_urls))
        .collect();
    all.extend(pairs(name, new.peer_urls));
    let mut next = vec![format!(
        "start it on an empty data directory with {} --initial-cluster-state=existing {}",
        quoted(&format!("--name={name}")),
        quoted(&format!("--initial-cluster={}", all.join(",")))
    )];
    if new.learner && id.is_none() {
        next.push(
            "give it its vote by the id that it gets: kubectl etcd member promote ID --wait 5m"
                .to_owned(),
        );
    }
    next.extend(id.filter(|_| new.learner).map(promote_once_started));
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::member::look::tests::look;
    use kubectl_etcd_core::assess::fixtures::{Cluster, id, member, node};
    use kubectl_etcd_core::error::ErrorKind;
    use kubectl_etcd_core::outcome::{RunError, RunErrorKind};

    fn url(number: u64) -> Vec<String> {
        vec![format!("https://10.0.0.{number}:2380")]
    }

    #[test]
    fn a_learner_costs_no_votes_and_its_flags_are_told() {
        let cluster = Cluster::of(3);
        let plan = plan(&look(&cluster), "cp-4", &url(4), false, false).unwrap();
        assert_eq!(
            plan.steps[0].step.words(),
            "add cp-4 at https://10.0.0.4:2380 as a learner, without a vote"
        );
        assert_eq!(plan.before, plan.after);
        assert!(
            plan.next[0].ends_with(
                "--initial-cluster=cp-1=https://10.0.0.1:2380,cp-2=https://10.0.0.2:2380,\
                 cp-3=https://10.0.0.3:2380,cp-4=https://10.0.0.4:2380"
            ),
            "{:?}",
            plan.next
        );
        assert!(plan.next[1].contains("member promote ID --wait 5m"));
    }

    #[test]
    fn a_node_whose_manifest_describes_it_needs_no_url() {
        let mut cluster = Cluster::of(3);
        cluster.nodes.push(node(4));
        cluster.accounts.push(None);
        cluster.instead.push(None);
        let found = plan(&look(&cluster), "cp-4", &[], false, false).unwrap();
        assert!(
            matches!(&found.steps[0].step, Step::Add { peer_urls, .. } if *peer_urls == url(4))
        );
        assert_eq!(found.node.as_deref(), Some("cp-4"));
        let error = plan(&look(&cluster), "cp-5", &[], false, false).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Usage);
    }

    #[test]
    fn what_was_added_before_is_said_and_what_is_anothers_refused() {
        let mut cluster = Cluster::of(3);
        let mut fourth = member(4);
        fourth.name.clear();
        fourth.is_learner = true;
        cluster.members.push(fourth);
        cluster.accounts.push(None);
        let plan_of = |name: &str, url: &[String]| plan(&look(&cluster), name, url, false, false);
        let there = plan_of("cp-4", &url(4)).unwrap();
        assert!(there.steps.is_empty() && there.member_id == Some(id(4)));
        let promote = format!("kubectl etcd member promote {} --wait 5m", id(4));
        assert_eq!(there.next[1], promote);
        let error = plan_of("cp-2", &url(5)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused);
        assert!(!error.hints.is_empty());
    }

    #[test]
    fn a_vote_at_once_may_cost_the_quorum() {
        let cluster = Cluster::of(1);
        let error = plan(&look(&cluster), "cp-2", &url(2), true, false).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused);
        assert!(error.message.contains("1 of 2"), "{error}");
        let allowed = plan(&look(&cluster), "cp-2", &url(2), true, true).unwrap();
        assert!(!allowed.after.holds && !allowed.costs.is_empty());
        assert!(plan(&look(&Cluster::of(3)), "cp-4", &url(4), true, false).is_ok());
    }

    #[test]
    fn a_url_unlike_the_others_is_remarked() {
        let cluster = Cluster::of(3);
        let plain = ["http://10.0.0.4:2380".to_owned()];
        let found = plan(&look(&cluster), "cp-4", &plain, false, false).unwrap();
        assert!(found.costs[0].contains("https"), "{:?}", found.costs);
    }

    #[test]
    fn while_one_is_down_none_is_added() {
        let mut cluster = Cluster::of(3);
        cluster.lost(3, RunError::new(RunErrorKind::NodeDown, "off"));
        let error = plan(&look(&cluster), "cp-4", &url(4), false, false).unwrap_err();
        assert!(error.message.contains("cp-3"), "{error}");
    }
}
