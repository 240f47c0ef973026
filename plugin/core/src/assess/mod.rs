//! From what the nodes answered to how the cluster is. Pure: no clock, no network, no terminal.
//!
//! Evidence is what etcd and the nodes say. The API's word on Pods and Nodes is not used: a crash-looping etcd is shown
//! there as `1/1 Running`, a dead node as `Ready` for minutes.

pub mod doctor;
mod evidence;
pub mod files;
pub mod health;
mod majority;
pub mod model;
pub mod order;
mod quorum;
mod rows;
pub mod same;
mod snapshots;
mod verdict;
pub mod votes;
mod warnings;

pub use majority::Standing;
pub use rows::alarm_word;

#[cfg(any(test, feature = "testing"))]
#[expect(clippy::unwrap_used, reason = "made up for tests")]
pub mod fixtures;

use std::time::Duration;

use etcd_operations::advice::Advice;
use etcd_operations::report::StatusReport;
use jiff::Timestamp;

use crate::discovery::{LeftAlone, Node};
use crate::outcome::Outcome;
use doctor::Doctor;
use evidence::Evidence;
use health::Health;
use model::Status;
use same::Comparison;

/// Share of the quota from which a database is said to be near it, in per cent.
pub const NEAR_QUOTA_PERCENT: u64 = 80;
/// Databases smaller than this are never called worth defragmenting: 100 MiB.
pub(crate) const WORTH_DEFRAGMENTING_BYTES: u64 = 100 * 1024 * 1024;
/// From so many entries behind the leader on a member is said to lag. etcd refuses requests from 5,000 unapplied entries on.
pub const LAG_ENTRIES: u64 = 1_000;
/// What is in force when `--quota-backend-bytes` is not given or zero: 2 GiB (etcd, `DefaultQuotaBytes`).
pub(crate) const DEFAULT_QUOTA_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// A value that advises something.
pub trait Advises {
    /// All that it advises.
    fn advice(&mut self) -> Vec<&mut Advice>;
}

impl Advises for Status {
    fn advice(&mut self) -> Vec<&mut Advice> {
        let problems = self.rows.iter_mut().filter_map(|row| row.problem.as_mut());
        let of_problems = problems.filter_map(|problem| problem.hint.as_mut());
        let warnings = self.warnings.iter_mut();
        let of_warnings = warnings.filter_map(|warning| warning.hint.as_mut());
        of_problems.chain(of_warnings).collect()
    }
}

impl Advises for Health {
    fn advice(&mut self) -> Vec<&mut Advice> {
        let problems = self
            .members
            .iter_mut()
            .filter_map(|row| row.problem.as_mut());
        problems
            .filter_map(|problem| problem.hint.as_mut())
            .collect()
    }
}

impl Advises for Doctor {
    fn advice(&mut self) -> Vec<&mut Advice> {
        let next = self.situations.iter_mut().map(|one| &mut one.next);
        next.flat_map(|next| [&mut next.command].into_iter().chain(&mut next.note))
            .collect()
    }
}

/// What was asked, and what came back.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The control-plane nodes that were asked.
    pub nodes: &'a [Node],
    /// Their answers to [`etcd_operations::operation::Status`], in any order.
    pub outcomes: &'a [Outcome<StatusReport>],
    /// The pods that say they are an etcd and are not believed.
    pub left_alone: &'a [LeftAlone],
    /// Which nodes these are.
    pub scope: Scope,
    /// The schedules for snapshots there are; none where that was not asked.
    pub schedules: &'a [Scheduled],
    /// Whether the members have the same data, as far as that was compared.
    pub same: &'a Comparison,
    /// The time, for ages.
    pub now: Timestamp,
}

/// A schedule for snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// Its name.
    pub name: String,
    /// The one node it takes snapshots on; none: any.
    pub node: Option<String>,
    /// How often it is due.
    pub interval: Duration,
    /// When it was made.
    pub made: Timestamp,
    /// When it last succeeded, by Kubernetes' word.
    pub last_success: Option<Timestamp>,
    /// Whether its snapshots lie where the nodes look for them.
    pub in_usual_folder: bool,
}

impl Scheduled {
    /// Whether something is wrong when so long ago the last one succeeded: one run may fail, two in a row may not.
    pub(crate) fn is_late(&self, since: Duration) -> bool {
        since > self.interval * 2
    }
}

/// Which of the control-plane nodes were asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All there are: a member on none of them is remarkable.
    All,
    /// All that anybody knows of without an apiserver: one more may have come since.
    Known,
    /// Those named with `--node`: only they are shown.
    Named,
    /// Some hosts, of which this one may be the only one, without an apiserver that knows the others: the other members are
    /// shown as these see them.
    SomeHosts,
}

impl Scope {
    /// Whether a member that is on none of the nodes counts among those that do not answer.
    fn is_all(self) -> bool {
        matches!(self, Self::All | Self::Known)
    }
}

/// How the cluster is, by these answers.
pub fn assess(asked: Asked<'_>) -> Status {
    let evidence = Evidence::gather(asked);
    let rows = rows::rows(&evidence);
    let warnings = warnings::warnings(&evidence, &rows);
    let quorum = quorum::count(&evidence);
    verdict::status(&evidence, quorum, rows, warnings)
}
