//! Restores a snapshot for one new member, for measuring: `restore SNAPSHOT DATA_DIR [REVISIONS_TO_BUMP]`.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Instant;

use etcd_datadir::progress::ignore;
use etcd_datadir::restore::{NewMember, RestoreOptions, RestoreTarget, restore};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(snapshot), Some(data_dir)) = (args.next(), args.next()) else {
        return Err("usage: restore SNAPSHOT DATA_DIR [REVISIONS_TO_BUMP]".into());
    };
    let mut options = RestoreOptions::new(NewMember::parse_list("m1=http://127.0.0.1:2380")?);
    if let Some(bump) = args.next() {
        options.bump_revision = bump
            .to_str()
            .and_then(|bump| bump.parse::<NonZeroU64>().ok());
    }
    let target = RestoreTarget::new("m1", PathBuf::from(data_dir));
    let began = Instant::now();
    let report = restore(&PathBuf::from(snapshot), &[target], &options, &mut ignore)?;
    println!(
        "{:.2} s, revision {} -> {}",
        began.elapsed().as_secs_f64(),
        report.revision_before,
        report.revision_after
    );
    println!("{:?}", report.status);
    Ok(())
}
