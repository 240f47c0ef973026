//! The project's own programs, built as they are shipped.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};

use crate::process::say;

/// Environment variable that names a plugin to use instead of building one.
pub const PLUGIN_VARIABLE: &str = "KUBECTL_ETCD_PLUGIN";

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The workspace's profile for the plugin in tests, which says what sets it apart from the release.
const TESTED: &str = "tested";

fn workspace() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the test bed lies in no workspace")
}

/// The plugin: a static build, as it is shipped but for optimization. Built at most once in a process.
///
/// # Errors
/// When the build fails, or `KUBECTL_ETCD_PLUGIN` names no file.
pub fn plugin() -> Result<PathBuf> {
    static PLUGIN: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PLUGIN
        .get_or_init(|| build_plugin().map_err(|e| format!("{e:#}")))
        .clone()
        .map_err(|e| anyhow!(e))
}

fn build_plugin() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os(PLUGIN_VARIABLE).filter(|v| !v.is_empty()) {
        let path = PathBuf::from(given);
        return path
            .canonicalize()
            .with_context(|| format!("{PLUGIN_VARIABLE} names no file: {}", path.display()));
    }
    build("kubectl-etcd", "bin", TESTED, &["-p", "kubectl-etcd"])
}

/// An example of the library for etcd's files, by its name: a static release build.
///
/// # Errors
/// When the build fails.
pub fn datadir_example(name: &str) -> Result<PathBuf> {
    let what = ["-p", "etcd-datadir", "--example", name];
    build(name, "example", "release", &what)
}

fn build(name: &str, kind: &str, profile: &str, what: &[&str]) -> Result<PathBuf> {
    say(&format!("building {name} (cargo, profile {profile})"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(cargo)
        .current_dir(workspace()?)
        .args(["build", "--profile", profile, "--locked"])
        // Named, because procedural macros cannot be static.
        .args(["--target", TARGET])
        .arg("--message-format=json-render-diagnostics")
        .args(what)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !done.status.success() {
        bail!("{name} does not build (cargo's messages are above)");
    }
    executable(&String::from_utf8_lossy(&done.stdout), name, kind)
        .with_context(|| format!("cargo did not say where {name} is"))
}

/// Finds the program in cargo's messages.
fn executable(messages: &str, name: &str, kind: &str) -> Option<PathBuf> {
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
    super::debian::ensure_any(&["buildah", "docker"], "buildah")?;
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
            executable(messages, "kubectl-etcd", "bin"),
            Some(PathBuf::from("/target/kubectl-etcd"))
        );
        assert_eq!(executable(messages, "other", "bin"), None);
    }
}
