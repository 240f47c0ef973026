//! `etcd-job version`: which program this is, and what formats it speaks.

use std::io::{Write, stdout};
use std::process::ExitCode;

use etcd_operations::{transfer, wire};

pub(crate) fn version() -> ExitCode {
    let object = serde_json::json!({
        "program": "etcd-job",
        "version": env!("CARGO_PKG_VERSION"),
        "reportFormat": wire::VERSION,
        "transferFormat": String::from_utf8_lossy(&transfer::MAGIC).trim_end(),
    });
    match writeln!(stdout(), "{object}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
