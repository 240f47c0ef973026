//! Building programs out of Go modules, without a clone of their repositories.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::progress::Build;
use crate::process::{self, success};

/// The Go that the parts of a cluster are built with, at least: major and minor version.
pub(crate) const GO: (u32, u32) = (1, 26);

/// An empty module of our own that requires the modules to be built.
#[derive(Debug)]
pub(super) struct Module {
    folder: PathBuf,
}

impl Module {
    /// A module that requires these modules at these versions; its files lie in a folder that goes away with it.
    pub(super) fn requiring<'a>(
        out: &Path,
        modules: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self> {
        let folder = out.join("module");
        fs::create_dir_all(&folder)?;
        let (major, minor) = GO;
        let mut text = format!("module testbed\n\ngo {major}.{minor}.0\n\n");
        for (path, version) in modules {
            let _ = writeln!(text, "require {path} {version}");
        }
        fs::write(folder.join("go.mod"), text)?;
        Ok(Self { folder })
    }

    /// A module that requires Kubernetes.
    ///
    /// Its go.mod points the staging modules into its own tree, by relative paths that mean nothing from outside.
    /// Each is also a module of its own, of version 0 for 1, which they are replaced by.
    pub(super) fn kubernetes(out: &Path, version: &str) -> Result<Self> {
        let module = Self::requiring(out, [("k8s.io/kubernetes", version)])?;
        success(
            module
                .go()
                .args(["mod", "download", &format!("k8s.io/kubernetes@{version}")]),
        )?;
        let cache = success(module.go().args(["env", "GOMODCACHE"]))?;
        let source = PathBuf::from(cache.trim()).join(format!("k8s.io/kubernetes@{version}"));
        let theirs = fs::read_to_string(source.join("go.mod"))
            .context("Kubernetes' module has no go.mod")?;
        let mut ours = fs::read_to_string(module.folder.join("go.mod"))?;
        ours.push_str(&staging_replacements(&theirs, version));
        fs::write(module.folder.join("go.mod"), ours)?;
        fs::copy(source.join("go.sum"), module.folder.join("go.sum"))?;
        Ok(module)
    }

    fn go(&self) -> Command {
        let mut command = Command::new("go");
        // The caller's flags and workspace would change what is built.
        command
            .current_dir(&self.folder)
            .env("GOFLAGS", "-mod=mod")
            .env("GOWORK", "off")
            .env("CGO_ENABLED", "0");
        command
    }

    /// Builds packages to a file, or to a folder when its name ends with a slash, and shows how far it is.
    pub(super) fn build(
        &self,
        link_flags: &str,
        tags: &str,
        to: &Path,
        packages: &[&str],
    ) -> Result<()> {
        let mut command = self.go();
        command
            .args([
                "build",
                "-v",
                "-trimpath",
                // Nothing is debugged: a quarter less is written into Go's cache.
                "-gcflags=all=-dwarf=false",
                "-buildvcs=false",
                "-ldflags",
                link_flags,
                "-tags",
                tags,
                "-o",
            ])
            .arg(to)
            .args(packages);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start go: Go 1.26 or later has to be installed")?;
        let stderr = child
            .stderr
            .take()
            .context("go's standard error is not there")?;
        let names: Vec<&str> = packages
            .iter()
            .filter_map(|p| p.trim_end_matches("/v3").rsplit('/').next())
            .collect();
        let build = Build::begin(&names.join(" "), "packages");
        let mut told = Vec::new();
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            process::end_when_cancelled(&mut child)?;
            // A line that is not an import path is a download or an error.
            if !line.contains(' ') {
                build.count();
            }
            told.push(line);
            // The last lines tell the error if there is one.
            if told.len() > 40 {
                told.remove(0);
            }
        }
        if child.wait()?.success() {
            build.done();
            return Ok(());
        }
        bail!(
            "go build of {} failed:\n{}",
            packages.join(" "),
            told.join("\n")
        )
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // What is left behind would be removed with the unfinished part anyway.
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn staging_replacements(go_mod: &str, version: &str) -> String {
    let staging = version.trim_start_matches("v1.");
    go_mod
        .lines()
        .filter(|l| l.contains("=> ./staging/"))
        .filter_map(|l| l.split_whitespace().find(|w| w.starts_with("k8s.io/")))
        .fold(String::new(), |mut text, path| {
            let _ = writeln!(text, "replace {path} => {path} v0.{staging}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staging_modules_are_replaced_by_the_modules_of_their_own() {
        let theirs = "replace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n)\nrequire k8s.io/klog/v2 v2.1.0\n";
        assert_eq!(
            staging_replacements(theirs, "v1.36.3"),
            "replace k8s.io/api => k8s.io/api v0.36.3\n"
        );
    }
}
