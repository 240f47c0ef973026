//! Prints what is in a snapshot: `usage [--stream | --inspect | --hashkv] FILE`.

#![expect(clippy::print_stdout, reason = "a program to try the library with")]

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use etcd_datadir::hash::hashkv;
use etcd_datadir::inspect::inspect;
use etcd_datadir::progress::ignore;
use etcd_datadir::source::FileSource;
use etcd_datadir::usage::{UsageOptions, UsageStream, usage};

fn main() -> Result<(), Box<dyn Error>> {
    let (options, mut how) = (UsageOptions::default(), String::new());
    for argument in std::env::args().skip(1) {
        let path = Path::new(&argument);
        let text = match how.as_str() {
            _ if argument.starts_with("--") => {
                how = argument;
                continue;
            }
            "--stream" => serde_json::to_string_pretty(&stream(path, &options)?)?,
            "--inspect" => serde_json::to_string_pretty(&inspect(
                &FileSource::open(path)?,
                "/registry",
                &mut ignore,
            )?)?,
            "--hashkv" => {
                serde_json::to_string_pretty(&hashkv(&FileSource::open(path)?, 0, &mut ignore)?)?
            }
            _ => serde_json::to_string_pretty(&usage(
                &FileSource::open(path)?,
                &options,
                &mut ignore,
            )?)?,
        };
        println!("{text}");
    }
    Ok(())
}

fn stream(
    path: &Path,
    options: &UsageOptions,
) -> Result<etcd_datadir::usage::Usage, Box<dyn Error>> {
    let (mut file, mut usage) = (
        File::open(path)?,
        UsageStream::new(path.display().to_string()),
    );
    let mut buffer = vec![0; 32 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(usage.finish(options)?.0),
            n => usage.push(&buffer[..n])?,
        }
    }
}
