//! How a host's member joins a cluster that serves.

use super::HostView;
use super::cluster::{NewMember, edits_for_joining};
use super::stages::start;
use crate::control_plane::ControlPlane;
use crate::failure::Failure;
use crate::plan::{Action, AddLearner, PromoteLearner, Readiness, Stages, SwapData};
use crate::target::Target;

/// The member that is asked to change who is a member.
#[derive(Debug, Clone, Copy)]
pub(super) struct AskedMember<'a> {
    /// On which host it is asked.
    pub(super) node: &'a str,
    /// Where it is reached from there.
    pub(super) target: &'a Target,
}

/// One host's member joins, by the word of another member. Its own etcd and apiserver are stopped.
pub(super) fn join(
    stages: &mut Stages,
    by: AskedMember<'_>,
    host: &HostView,
    new: &NewMember,
    members: &[NewMember],
) -> Result<(), Failure> {
    let node = host.node();
    let of_by = |action: Action| [(by.node.to_owned(), action)];
    let own = |action: Action| [(node.to_owned(), action)];
    stages
        .stage(
            format!("move the old data of {node} aside"),
            own(Action::SwapData(SwapData {
                target: host.etcd()?.target.clone(),
                restored: false,
            })),
        )
        .stage(
            format!("add {node} as a learner"),
            of_by(Action::AddLearner(AddLearner {
                target: by.target.clone(),
                name: new.name.clone(),
                peer_urls: new.peer_urls.clone(),
            })),
        )
        .stage(
            format!("start etcd on {node}"),
            own(start(
                host,
                ControlPlane::Etcd,
                edits_for_joining(host.etcd()?, members)?,
                Readiness::Answers,
            )),
        )
        .stage(
            format!("promote {node}"),
            of_by(Action::Promote(PromoteLearner {
                target: by.target.clone(),
                peer_urls: new.peer_urls.clone(),
                name: new.name.clone(),
            })),
        );
    Ok(())
}
