//! Cargo, called by a program that cargo itself may have started.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::progress::Build;
use crate::process::{self, success};

fn workspace() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the test bed lies in no workspace")
}

/// A cargo that works on the workspace as if a person had called it.
///
/// # Errors
/// When the test bed was built outside of a workspace.
pub(crate) fn cargo_command() -> Result<Command> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace()?);
    without_caller(&mut command);
    Ok(command)
}

/// The same for a script of the workspace that calls cargo.
pub(crate) fn script(path: &str) -> Result<Command> {
    let mut command = Command::new(workspace()?.join(path));
    command.current_dir(workspace()?);
    without_caller(&mut command);
    Ok(command)
}

/// What the cargo that started this program says of the program's package, or what tells libtest how to show tests, would
/// have dependencies (ring, anyhow) built anew.
fn without_caller(command: &mut Command) {
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || name == "RUSTC_BOOTSTRAP"
        {
            command.env_remove(&variable);
        }
    }
}

/// A file of the workspace.
pub(crate) fn in_workspace(path: &str) -> Result<PathBuf> {
    Ok(workspace()?.join(path))
}

/// The folder that cargo builds into.
///
/// # Errors
/// When cargo does not tell.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let mut command = cargo_command()?;
    command.args(["metadata", "--format-version=1", "--no-deps", "--offline"]);
    let told: Value = serde_json::from_str(&success(&mut command)?)?;
    let folder = told["target_directory"].as_str();
    folder
        .map(PathBuf::from)
        .context("cargo does not tell its target directory")
}

/// Whether a build gives way to everything else that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    Normal,
    Low,
}

/// Builds; answers cargo's messages, a JSON object a line.
pub(super) fn build(
    name: &str,
    what: &[&str],
    env: &[(&str, &str)],
    priority: Priority,
) -> Result<String> {
    let mut command = cargo_command()?;
    command
        .args(["build", "--locked", "--quiet"])
        .arg("--message-format=json-render-diagnostics")
        .args(what)
        .envs(env.iter().copied());
    let mut command = match priority {
        Priority::Normal => command,
        Priority::Low => niced(&command),
    };
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let (progress, mut messages) = (Build::begin(name, "crates"), String::new());
    for line in BufReader::new(stdout).lines() {
        process::end_when_cancelled(&mut child)?;
        messages.push_str(&line?);
        messages.push('\n');
        progress.count();
    }
    if !child.wait()?.success() {
        bail!("{name} does not build (cargo's messages are above)");
    }
    progress.done();
    Ok(messages)
}

/// The same command for when nothing else wants the processors.
fn niced(command: &Command) -> Command {
    let mut niced = Command::new("nice");
    niced
        .args(["-n", "10"])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        niced.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => niced.env(name, value),
            None => niced.env_remove(name),
        };
    }
    niced
}

/// Finds a program in cargo's messages.
pub(super) fn executable(messages: &str, name: &str, kind: &str) -> Result<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| {
            let target = message.get("target")?;
            let program = target.get("name")?.as_str()? == name
                && target.get("kind")?.as_array()?.iter().any(|k| k == kind);
            program
                .then(|| message.get("executable")?.as_str().map(PathBuf::from))
                .flatten()
        })
        .with_context(|| format!("cargo did not say where {name} is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_told_from_libraries_and_scripts() {
        let messages = r#"{"reason":"compiler-artifact","target":{"kind":["custom-build"],"name":"kubectl-etcd"},"executable":"/x"}
not json
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"kubectl-etcd"},"executable":"/target/kubectl-etcd"}"#;
        assert_eq!(
            executable(messages, "kubectl-etcd", "bin").ok(),
            Some(PathBuf::from("/target/kubectl-etcd"))
        );
        assert!(executable(messages, "other", "bin").is_err());
    }

    #[test]
    fn a_command_that_gives_way_is_the_same_command() {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $A $(nice)"])
            .env("A", "1")
            .current_dir("/");
        assert_eq!(process::success(&mut niced(&command)).unwrap(), "1 10\n");
    }
}
