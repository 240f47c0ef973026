//! All tests of the workspace, with everything that they need.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::needs::{self, Wanted, Work};
use crate::parts::{self, rounded};
use crate::paths;
use crate::process::say;

/// What all tests together need of this machine.
#[must_use]
pub fn wanted() -> Wanted {
    Wanted {
        work: Work::Tests,
        parts: parts::of_tests(),
        // Two clusters of three run side by side.
        nodes: 6,
    }
}

/// Runs `cargo test --workspace` with more arguments; gives back its exit code. Missing parts of clusters are built beside it.
///
/// # Errors
/// When something is missing that cannot be installed, or cargo cannot be started.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    needs::ensure(&wanted())?;
    // Of some tests nobody knows what they need: it is built when they ask for it.
    let builder = if chosen(arguments) {
        None
    } else {
        Builder::start()?
    };
    let mut command = parts::cargo_command()?;
    command.args(["test", "--workspace"]).args(arguments);
    needs::mark_checked(&mut command);
    let status = command.status().context("cannot start cargo")?;
    if let Some(builder) = builder {
        builder.wait()?;
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// Whether the arguments choose some tests, or choose not to run them.
fn chosen(arguments: &[String]) -> bool {
    const CHOICES: [&str; 11] = [
        "--lib",
        "--bin",
        "--bins",
        "--test",
        "--tests",
        "--example",
        "--examples",
        "--doc",
        "--no-run",
        "--package",
        "--exclude",
    ];
    let own = arguments.iter().take_while(|argument| *argument != "--");
    own.map(|argument| argument.split('=').next().unwrap_or_default())
        .any(|argument| CHOICES.contains(&argument) || !argument.starts_with('-'))
}

/// Builds missing parts while the tests are compiled, and while the first ones wait. A test that needs a part before it is built
/// waits for it; when it cannot be built, that test tries again and says why.
struct Builder {
    child: Child,
}

impl Builder {
    fn start() -> Result<Option<Self>> {
        let parts = parts::of_tests();
        let missing = || parts.iter().filter(|part| !part.is_there());
        if missing().next().is_none() {
            return Ok(None);
        }
        let log = paths::root()?.join("parts.log");
        let seconds = missing().map(|part| part.seconds).sum();
        say(&format!(
            "beside the tests, missing parts of clusters are built (about {} on 2 cores; what is said goes to {})",
            rounded(seconds),
            log.display()
        ));
        let output =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new("nice");
        command
            // The program as it is now: cargo may put another one in its place.
            .args(["-n", "19", "--"])
            .arg(
                Path::new("/proc")
                    .join(std::process::id().to_string())
                    .join("exe"),
            )
            .args(["build", "--for-tests"])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        needs::mark_checked(&mut command);
        let child = command.spawn().context("cannot start nice")?;
        Ok(Some(Self { child }))
    }

    /// Waits for its end. That it failed is not an error: the tests have told what they could not get.
    fn wait(mut self) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            say("waiting for the build of the last parts");
        }
        self.child.wait()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_built_beside_all_tests_and_not_beside_some() {
        for (arguments, expected) in [
            ("", false),
            ("--locked --no-fail-fast", false),
            ("--no-fail-fast -- --nocapture", false),
            ("--test datadir damage_that -- --nocapture", true),
            ("--test=datadir", true),
            ("some_name", true),
            ("--lib", true),
            ("--no-run", true),
        ] {
            let words: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
            assert_eq!(chosen(&words), expected, "{arguments}");
        }
    }
}
