//! Verifies a snapshot and prints what was found: `verify [--no-sha] [--no-records] FILE`.

#![expect(clippy::print_stdout, reason = "a program to try the library with")]

use std::error::Error;
use std::path::Path;

use etcd_datadir::progress::ignore;
use etcd_datadir::source::FileSource;
use etcd_datadir::verify::{VerifyOptions, verify};

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = VerifyOptions::default();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--no-sha" => options.sha256 = false,
            "--no-records" => options.records = false,
            file => {
                let source = FileSource::open(Path::new(file))?;
                let verification = verify(&source, &options, None, &mut ignore)?;
                println!("{}", serde_json::to_string_pretty(&verification)?);
            }
        }
    }
    Ok(())
}
