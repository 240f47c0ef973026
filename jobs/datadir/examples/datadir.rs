//! Looks at data directories and ranks them: `datadir DIR…`.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::path::Path;

use etcd_datadir::datadir::{InspectOptions, inspect, rank};
use etcd_datadir::progress::ignore;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut dirs = Vec::new();
    for path in std::env::args_os().skip(1) {
        let dir = inspect(Path::new(&path), &InspectOptions::default(), &mut ignore)?;
        println!("{}: {:?}", dir.path.display(), dir.verdict);
        if let (Some(member), Some(cluster)) = (dir.member_id, dir.cluster_id) {
            println!("  member {member} of cluster {cluster}");
        }
        if let Some(wal) = &dir.wal {
            println!("  log up to {}, committed up to {}", wal.last, wal.commit());
        }
        if let Some(facts) = dir.database.facts() {
            println!(
                "  database: revision {}, applied up to {}",
                facts.revision,
                facts.consistent_index()
            );
        }
        for finding in &dir.findings {
            println!("  {finding}");
        }
        dirs.push(dir);
    }
    for ranked in rank(&dirs).order {
        println!("{}: {:?}", dirs[ranked.which].path.display(), ranked.reach);
    }
    Ok(())
}
