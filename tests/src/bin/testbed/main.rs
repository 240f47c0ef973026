//! `testbed`: real Kubernetes clusters on this machine, for people.
#![expect(clippy::print_stdout, reason = "a command line talks to the terminal")]

mod arguments;
mod commands;

use std::process::ExitCode;

use clap::Parser;
use testbed::process::say;

fn main() -> ExitCode {
    match commands::run(arguments::Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
