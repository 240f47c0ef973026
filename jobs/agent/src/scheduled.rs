//! `etcd-job scheduled`: what a schedule says in, JSON lines out.

use std::process::ExitCode;

use etcd_operations::report::Report;
use etcd_operations::routine::{NODE_VARIABLE, NOT_PRUNED, Routine};
use etcd_operations::run::{Cancel, scheduled as operate};
use etcd_operations::wire::Event;
use etcd_operations::work::Events;

use crate::run::{Stop, end, in_runtime, refused, told};

pub(crate) fn scheduled(routine: &str) -> ExitCode {
    in_runtime(async {
        let routine: Routine = match serde_json::from_str(routine) {
            Ok(routine) => routine,
            Err(error) => return refused("the routine", &error),
        };
        let mut stop = match Stop::listen() {
            Ok(stop) => stop,
            Err(failure) => return end(&Event::Failed { failure }),
        };
        let node = std::env::var(NODE_VARIABLE).ok();
        let work = async |events: &mut Events<'_>, cancel: &Cancel| {
            Box::pin(operate(&routine, node.as_deref(), events, cancel)).await
        };
        let result = told(work, &mut stop).await;
        let report = match result {
            Ok(report) => report,
            Err(failure) => return end(&Event::Failed { failure }),
        };
        let not_pruned =
            matches!(&report, Report::Scheduled(report) if report.not_pruned().is_some());
        match end(&Event::Report { report }) {
            ExitCode::SUCCESS if not_pruned => ExitCode::from(NOT_PRUNED),
            code => code,
        }
    })
}
