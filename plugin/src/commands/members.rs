//! `kubectl etcd members`

use clap::Args;
use etcd_operations::operation;
use etcd_operations::report::{Consistency, Member, MemberList};
use etcd_operations::target::Target;

use super::{Context, none_answered};
use crate::args::ssh::SshArgs;
use crate::args::{FleetArgs, NamedOutputArgs};
use crate::views::API_VERSION;
use crate::views::members::{MemberRow, Members, Whose};
use kubectl_etcd_core::discovery::{Etcd, Node};
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::outcome::Outcome;

const EXAMPLES: &str = "\
Examples:
  # Who belongs to the cluster, and on which nodes?
  kubectl etcd members

  # The ids alone
  kubectl etcd members -o json | jq -r '.members[].id'

  # No apiserver answers: every control-plane node, over ssh
  kubectl etcd members --ssh

Exit codes: 0 the quorum's list, 4 no quorum: one member's own list, 6 nothing reached.";

/// List the members, with learners, the nodes they are on, and whether they ever started
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct MembersArgs {
    #[command(flatten)]
    output: NamedOutputArgs,
    #[command(flatten)]
    ssh: SshArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// Lists the members.
///
/// # Errors
/// When no member told its list.
pub async fn members(context: &Context<'_>, args: MembersArgs) -> Result<Verdict, Error> {
    let session = context.open_by(&args.ssh, &args.fleet, "members").await?;
    context.tell_left_alone(&session);
    let nodes: Vec<&Node> = session.nodes().iter().collect();
    // All are asked at once: a dead one costs no time, and the quorum's list may come from any of them.
    let outcomes = session.run(&nodes, &operation::Members).await;
    let Some(list) = best(&outcomes) else {
        return Err(none_answered(&session, &outcomes).await);
    };
    let view = view(list, session.nodes());
    context.ui.show(&view, args.output.output)?;
    Ok(match list.consistency {
        Consistency::Linearizable => Verdict::Healthy,
        Consistency::Serializable => Verdict::QuorumLostOrDamaged,
    })
}

fn best(outcomes: &[Outcome<MemberList>]) -> Option<&MemberList> {
    let lists = outcomes
        .iter()
        .filter_map(|outcome| outcome.result.as_ref().ok());
    lists.min_by_key(|list| list.consistency != Consistency::Linearizable)
}

/// The list with the nodes its members are on.
pub(crate) fn view(list: &MemberList, nodes: &[Node]) -> Members {
    Members {
        api_version: API_VERSION,
        kind: "Members",
        cluster_id: list.cluster_id.to_string(),
        whose: match list.consistency {
            Consistency::Linearizable => Whose::Quorum,
            Consistency::Serializable => Whose::OneMember,
        },
        answered_by: list.answered_by.to_string(),
        members: rows(&list.members, nodes),
    }
}

/// The members by name, with the nodes they are on.
pub(crate) fn rows(members: &[Member], nodes: &[Node]) -> Vec<MemberRow> {
    let node_of = |member: &Member| {
        let found = |same: &dyn Fn(&Target) -> bool| {
            nodes.iter().find(|node| match &node.etcd {
                Etcd::Found(target) => same(target),
                Etcd::Absent { .. } | Etcd::Unknown { .. } | Etcd::External { .. } => false,
            })
        };
        found(&|target| {
            member
                .peer_urls
                .iter()
                .any(|url| target.peer_urls.contains(url))
        })
        .or_else(|| found(&|target| member.started() && target.member_name == member.name))
        .map(|node| node.name.clone())
    };
    let mut rows: Vec<MemberRow> = members
        .iter()
        .map(|member| MemberRow {
            id: member.id.to_string(),
            name: member.started().then(|| member.name.clone()),
            node: node_of(member),
            learner: member.is_learner,
            started: member.started(),
            peer_urls: member.peer_urls.clone(),
            client_urls: member.client_urls.clone(),
        })
        .collect();
    // etcd lists them by id, which means nothing to people; those without a name come last.
    rows.sort_by_key(|member| (member.name.is_none(), member.name.clone()));
    rows
}
