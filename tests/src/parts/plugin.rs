//! The project's own programs.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};

use super::cargo::{self, Priority, executable};

/// Environment variable that names a plugin to use instead of building one.
pub const PLUGIN_VARIABLE: &str = "KUBECTL_ETCD_PLUGIN";

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The plugin: the development build, with what it carries. Built at most once in a process, together with everything
/// else of the workspace: features are the same then as those of its tests, and nothing is compiled twice.
///
/// # Errors
/// When the build fails, or `KUBECTL_ETCD_PLUGIN` names no file.
pub fn plugin() -> Result<PathBuf> {
    given_plugin().unwrap_or_else(|| developed("kubectl-etcd", "bin"))
}

/// The plugin, built as quickly as it can be: it alone, with the program that it carries in the profile for development. The
/// build gives way to everything else that runs, so that it can go on beside another.
///
/// # Errors
/// When the build fails, or `KUBECTL_ETCD_PLUGIN` names no file.
pub fn quick_plugin() -> Result<PathBuf> {
    given_plugin().unwrap_or_else(|| {
        let name = "kubectl-etcd";
        let what = ["--package", name, "--bin", name];
        executable(
            &cargo::build("the plugin", &what, &[], Priority::Low)?,
            name,
            "bin",
        )
    })
}

fn given_plugin() -> Option<Result<PathBuf>> {
    let given = std::env::var_os(PLUGIN_VARIABLE).filter(|v| !v.is_empty())?;
    let path = PathBuf::from(given);
    let found = path.canonicalize();
    Some(found.with_context(|| format!("{PLUGIN_VARIABLE} names no file: {}", path.display())))
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
        cargo::build("the workspace", &what, &[], Priority::Normal).map_err(|e| format!("{e:#}"))
    });
    let messages = messages.as_ref().map_err(|e| anyhow!(e.clone()))?;
    executable(messages, name, kind)
}

fn build(name: &str, kind: &str, what: &[&str]) -> Result<PathBuf> {
    // The target is named, because procedural macros cannot be static.
    let whole = ["--profile", "release", "--target", TARGET];
    let env = [("RUSTFLAGS", "-C target-feature=+crt-static")];
    let messages = cargo::build(name, &[&whole, what].concat(), &env, Priority::Normal)?;
    executable(&messages, name, kind)
}
