//! The project's own programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};

use crate::process::say;

/// Environment variable that names a plugin to use instead of building one.
pub const PLUGIN_VARIABLE: &str = "KUBECTL_ETCD_PLUGIN";

const TARGET: &str = "x86_64-unknown-linux-gnu";

fn workspace() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the test bed lies in no workspace")
}

/// The plugin: the development build, with what it carries. Built at most once in a process, together with everything
/// else of the workspace: features are the same then as those of its tests, and nothing is compiled twice.
///
/// # Errors
/// When the build fails, or `KUBECTL_ETCD_PLUGIN` names no file.
pub fn plugin() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os(PLUGIN_VARIABLE).filter(|v| !v.is_empty()) {
        let path = PathBuf::from(given);
        return path
            .canonicalize()
            .with_context(|| format!("{PLUGIN_VARIABLE} names no file: {}", path.display()));
    }
    developed("kubectl-etcd", "bin")
}

/// The plugin as it is shipped: a static release build.
///
/// # Errors
/// When the build fails.
pub fn shipped_plugin() -> Result<PathBuf> {
    build("kubectl-etcd", "bin", &["-p", "kubectl-etcd"])
}

/// An example of the library for etcd's files, by its name: a static release build.
///
/// # Errors
/// When the build fails.
pub fn datadir_example(name: &str) -> Result<PathBuf> {
    build(name, "example", &["-p", "etcd-datadir", "--example", name])
}

/// An example of the plugin's library, by its name: the development build.
///
/// # Errors
/// When the build fails, or there is none of that name.
pub fn plugin_example(name: &str) -> Result<PathBuf> {
    developed(name, "example")
}

/// A program of the development build.
fn developed(name: &str, kind: &str) -> Result<PathBuf> {
    static MESSAGES: OnceLock<Result<String, String>> = OnceLock::new();
    let messages = MESSAGES.get_or_init(|| {
        let what = ["--workspace", "--bins", "--examples"];
        cargo("the workspace", &what, &[]).map_err(|e| format!("{e:#}"))
    });
    let messages = messages.as_ref().map_err(|e| anyhow!(e.clone()))?;
    executable(messages, name, kind)
}

fn build(name: &str, kind: &str, what: &[&str]) -> Result<PathBuf> {
    // The target is named, because procedural macros cannot be static.
    let whole = ["--profile", "release", "--target", TARGET];
    let env = [("RUSTFLAGS", "-C target-feature=+crt-static")];
    executable(&cargo(name, &[&whole, what].concat(), &env)?, name, kind)
}

/// Builds; answers cargo's messages, a JSON object a line.
fn cargo(name: &str, what: &[&str], env: &[(&str, &str)]) -> Result<String> {
    say(&format!("building {name} (cargo)"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // What the cargo that runs the tests says of their package would have a dependency (ring) built anew.
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&variable);
        }
    }
    let done = command
        .current_dir(workspace()?)
        .args(["build", "--locked"])
        .arg("--message-format=json-render-diagnostics")
        .args(what)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !done.status.success() {
        bail!("{name} does not build (cargo's messages are above)");
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Finds the program in cargo's messages.
fn executable(messages: &str, name: &str, kind: &str) -> Result<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
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

/// The job image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobImage {
    /// Its name, for `--image`.
    pub reference: String,
    /// The archive that [`Node::load_image`](crate::Node::load_image) takes.
    pub archive: PathBuf,
}

/// The job image, made by `images/build`. Built at most once in a process.
///
/// # Errors
/// When the build fails or does not tell what it made.
pub fn job_image() -> Result<JobImage> {
    static IMAGE: OnceLock<Result<JobImage, String>> = OnceLock::new();
    IMAGE
        .get_or_init(|| build_image().map_err(|e| format!("{e:#}")))
        .clone()
        .map_err(|e| anyhow!(e))
}

fn build_image() -> Result<JobImage> {
    super::debian::ensure_one("buildah")?;
    let script = workspace()?.join("images/build");
    say("building the job image (images/build)");
    let done = Command::new(&script)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", script.display()))?;
    let stdout = String::from_utf8_lossy(&done.stdout);
    if !done.status.success() {
        bail!("{} failed: {stdout}", script.display());
    }
    // It prints the image's name first and the archive's path last.
    let reference = stdout.lines().next().unwrap_or_default().trim().to_owned();
    let archive = workspace()?.join(stdout.lines().last().unwrap_or_default().trim());
    if !archive.is_file() {
        bail!(
            "the last line that {} printed names no file: {stdout}",
            script.display()
        );
    }
    Ok(JobImage { reference, archive })
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
}
