//! What tests pay for a cluster.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;

use super::Times;
use crate::{Cluster, Spec};

pub(super) fn run(args: &[String], out: &mut dyn Write) -> Result<()> {
    let mut numbers = args.iter().map(|a| a.parse::<u8>());
    let masters = numbers.next().transpose()?.unwrap_or(3);
    let runs = numbers.next().transpose()?.unwrap_or(3);
    // The first makes the checkpoint if there is none.
    let first = Instant::now();
    drop(Cluster::start(Spec::masters(masters))?);
    writeln!(
        out,
        "first start and removal, {masters} master(s): {:.1} s",
        first.elapsed().as_secs_f64()
    )?;
    let mut removals = Vec::new();
    let mut starts = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        let cluster = Cluster::start(Spec::masters(masters))?;
        starts.push(start.elapsed());
        let removal = Instant::now();
        drop(cluster);
        removals.push(removal.elapsed());
    }
    writeln!(
        out,
        "start until ready, from the checkpoint: {}",
        Times::new(starts)
    )?;
    Ok(writeln!(out, "removal: {}", Times::new(removals))?)
}
