//! What the jobs of a run tell of one another's nodes.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use etcd_operations::report::{Member, Report, StatusReport};
use etcd_operations::target::Target;
use tokio::time::Instant;

use crate::limits;

/// What else is known of the nodes while a kubelet is unreachable: is it merely slow?
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// When a kubelet has last taken a pod of ours.
    taken: Mutex<Option<Instant>>,
    /// When a job of ours has last reported.
    reported: Mutex<Option<Instant>>,
    /// The peer URLs of members that have answered another node's job: their nodes are on.
    alive: Mutex<BTreeSet<String>>,
}

impl Heard {
    pub(super) fn taken(&self) {
        *held(&self.taken) = Some(Instant::now());
    }

    /// Remembers that a job has reported, and which members have answered it.
    pub(super) fn reported(&self, report: &Report) {
        if let Report::Status(report) = report {
            self.peers(report);
        }
        *held(&self.reported) = Some(Instant::now());
    }

    /// Whether a job begun together with this one has even reported, so that this one is overdue.
    pub(super) fn overdue(&self, begun: Instant, pod_seen: Instant) -> bool {
        is_since(&self.reported, begun) && pod_seen.elapsed() >= limits::KUBELET_AFTER_OTHERS
    }

    /// Whether others begun together with this one were taken, but got no further: then this one may merely be slow too.
    pub(super) fn all_are_slow(&self, begun: Instant) -> bool {
        is_since(&self.taken, begun) && !is_since(&self.reported, begun)
    }

    fn peers(&self, report: &StatusReport) {
        let members = report.members.ok().map_or(&[][..], |list| &list.members);
        let answered = |member: &&Member| {
            let mut peers = report.peers.iter();
            peers.any(|peer| peer.member_id == member.id && peer.answer.ok().is_some())
        };
        let urls = members.iter().filter(answered).flat_map(|m| &m.peer_urls);
        held(&self.alive).extend(urls.cloned());
    }

    pub(super) fn etcd_answers(&self, target: &Target) -> bool {
        let alive = held(&self.alive);
        target.peer_urls.iter().any(|url| alive.contains(url))
    }
}

fn held<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_since(last: &Mutex<Option<Instant>>, since: Instant) -> bool {
    held(last).is_some_and(|last| last >= since)
}
