//! All tests of the workspace, with everything that they need.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, setpriority_process};
use serde_json::Value;

use crate::needs::{self, Wanted, Work};
use crate::parts::{self, rounded};
use crate::paths;
use crate::process::{self, say};

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

/// How nice tests without clusters are to those with.
const LATER: i32 = 15;

/// The test programs that start clusters of nodes.
const WITH_CLUSTERS: [&str; 4] = ["cluster", "cluster_kinds", "plans", "testbed"];

/// Runs `cargo test --workspace` with more arguments; gives back the exit code. Missing parts of clusters are built beside it.
///
/// Where no tests are chosen, those without clusters run beside the others, which mostly wait.
///
/// # Errors
/// When something is missing that cannot be installed, or cargo cannot be started.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    needs::ensure(&wanted())?;
    if chosen(arguments) {
        // Of some tests nobody knows what they need: it is built when they ask for it.
        return code(cargo_test(&[], arguments)?.status());
    }
    let builder = Builder::start()?;
    let built = cargo_test(&["--no-run".to_owned()], arguments)?.status();
    if !built.as_ref().is_ok_and(ExitStatus::success) {
        return code(built);
    }
    let others = without_clusters()?;
    let mut others = cargo_test(&others, arguments)?;
    // The clusters need the machine, too.
    others.env("RUST_TEST_THREADS", "1");
    let mut docs = cargo_test(&["--doc".to_owned()], arguments)?;
    let mut clusters = cargo_test(&named(WITH_CLUSTERS), arguments)?;
    let ended = std::thread::scope(|scope| {
        let beside = scope.spawn(|| [shown_at_the_end(&mut others), shown_at_the_end(&mut docs)]);
        let clusters = clusters.status();
        let beside = beside.join().expect("running cargo does not panic");
        [clusters].into_iter().chain(beside)
    });
    if let Some(builder) = builder {
        builder.wait()?;
    }
    for status in ended {
        if !status.as_ref().is_ok_and(ExitStatus::success) {
            return code(status);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn cargo_test(which: &[String], arguments: &[String]) -> Result<Command> {
    let mut command = parts::cargo_command()?;
    // Always of the whole workspace: for fewer packages cargo would choose other features, and build anew.
    command
        .args(["test", "--workspace"])
        .args(which)
        .args(arguments);
    needs::mark_checked(&mut command);
    Ok(command)
}

fn code(status: io::Result<ExitStatus>) -> Result<ExitCode> {
    let code = status.context("cannot start cargo")?.code();
    let code = code.and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// Its output is shown in one piece, so that it does not get into the middle of another's. The clusters go first: what they
/// answer in time is measured.
fn shown_at_the_end(command: &mut Command) -> io::Result<ExitStatus> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn()?;
    setpriority_process(Some(Pid::from_child(&child)), LATER)?;
    let done = child.wait_with_output()?;
    io::stderr().write_all(&done.stderr)?;
    io::stdout().write_all(&done.stdout)?;
    Ok(done.status)
}

fn named(programs: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    let each = programs.into_iter();
    each.flat_map(|name| ["--test".to_owned(), name.into()])
        .collect()
}

/// What has cargo test all libraries, programs and test programs but [`WITH_CLUSTERS`].
fn without_clusters() -> Result<Vec<String>> {
    let mut metadata = parts::cargo_command()?;
    metadata.args(["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&process::success(&mut metadata)?)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let others = targets
        .filter(|target| target["kind"][0] == "test")
        .filter_map(|target| target["name"].as_str())
        .filter(|name| !WITH_CLUSTERS.contains(name));
    let mut which = vec!["--lib".to_owned(), "--bins".to_owned()];
    which.extend(named(others));
    Ok(which)
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
    fn every_test_program_runs_once() {
        let others = without_clusters().unwrap();
        for program in ["program", "transcripts", "packaging", "operations"] {
            assert!(others.iter().any(|name| name == program), "{others:?}");
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        for program in WITH_CLUSTERS {
            assert!(!others.iter().any(|name| name == program), "{others:?}");
            let places = [format!("{program}.rs"), format!("{program}/main.rs")];
            assert!(places.iter().any(|place| folder.join(place).exists()));
        }
    }

    #[test]
    fn parts_are_built_beside_all_tests_and_not_beside_some() {
        for (arguments, expected) in [
            ("", false),
            ("--locked --no-fail-fast", false),
            ("--no-fail-fast -- --nocapture", false),
            ("--test datadir_db damage_that -- --nocapture", true),
            ("--test=datadir_db", true),
            ("some_name", true),
            ("--lib", true),
            ("--no-run", true),
        ] {
            let words: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
            assert_eq!(chosen(&words), expected, "{arguments}");
        }
    }
}
