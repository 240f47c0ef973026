//! `etcd-job scheduled`: what a schedule says in, JSON lines out.

use std::process::ExitCode;

use etcd_operations::report::Report;
use etcd_operations::routine::{NODE_VARIABLE, NOT_PRUNED, Routine};
use etcd_operations::run::scheduled as operate;
use etcd_operations::wire::{Event, request};
use etcd_operations::work::Events;

use crate::run::{Stop, end, in_runtime, told};

pub(crate) fn scheduled(routine: &str) -> ExitCode {
    in_runtime(async {
        let begun = request::<Routine>(routine, "the routine");
        let (routine, mut stop) = match begun.and_then(|routine| Ok((routine, Stop::listen()?))) {
            Ok(begun) => begun,
            Err(failure) => return end(Event::Failed { failure }),
        };
        let node = std::env::var(NODE_VARIABLE).ok();
        let work = async |events: &mut Events<'_>| {
            Box::pin(operate(&routine, node.as_deref(), events)).await
        };
        let report = match told("the scheduled run", work, &mut stop).await {
            Ok(report) => report,
            Err(failure) => return end(Event::Failed { failure }),
        };
        let not_pruned = report.not_pruned().is_some();
        let report = Report::Scheduled(report);
        match end(Event::Report { report }) {
            ExitCode::SUCCESS if not_pruned => ExitCode::from(NOT_PRUNED),
            code => code,
        }
    })
}
