//! A part of a cluster: built once, kept by name and version.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::say;
use crate::{lock, paths};

/// The name of a part, and what it takes to build it. The figures are of 2 cores with nothing in Go's caches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The name of its folder, with its version.
    pub name: String,
    /// How long its build takes.
    pub seconds: u32,
    /// What it holds when it is built.
    pub megabytes: u64,
    /// What its build leaves in Go's cache of compiled packages.
    pub compiled_megabytes: u64,
    /// What its build leaves in Go's cache of modules.
    pub module_megabytes: u64,
}

impl Part {
    /// A part that is not compiled here.
    pub(super) fn new(name: impl Into<String>, seconds: u32, megabytes: u64) -> Self {
        Self {
            name: name.into(),
            seconds,
            megabytes,
            compiled_megabytes: 0,
            module_megabytes: 0,
        }
    }

    /// With what its build leaves in Go's caches: compiled packages and modules.
    pub(super) fn of_go(self, compiled_megabytes: u64, module_megabytes: u64) -> Self {
        Self {
            compiled_megabytes,
            module_megabytes,
            ..self
        }
    }

    /// Whether it is built.
    #[must_use]
    pub fn is_there(&self) -> bool {
        paths::parts().is_ok_and(|parts| parts.join(&self.name).exists())
    }

    /// Its folder, built by the closure (in a folder of another name) when it is not there.
    pub(super) fn built(&self, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let (parts, name) = (paths::parts()?, &self.name);
        let done = parts.join(name);
        if done.exists() {
            return Ok(done);
        }
        let _lock = lock::take(
            &format!("part-{name}"),
            &format!("waiting for another run that builds {name}"),
        )?;
        if done.exists() {
            return Ok(done);
        }
        let unfinished = parts.join(format!(".{name}.part"));
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)
                .with_context(|| format!("cannot remove {}", unfinished.display()))?;
        }
        fs::create_dir_all(&unfinished)
            .with_context(|| format!("cannot create {}", unfinished.display()))?;
        say(&format!("building {name} (once; {})", self.time()));
        build(&unfinished).with_context(|| format!("cannot build {name}"))?;
        fs::rename(&unfinished, &done)
            .with_context(|| format!("cannot create {}", done.display()))?;
        Ok(done)
    }

    /// How long its build takes, for people.
    #[must_use]
    pub fn time(&self) -> String {
        format!("about {} on 2 cores", rounded(self.seconds))
    }
}

/// A time for people: whole minutes from one and a half on, before that tens of seconds.
#[must_use]
pub fn rounded(seconds: u32) -> String {
    match seconds {
        0..90 => format!("{} s", seconds.div_ceil(10) * 10),
        _ => format!("{} minutes", (seconds + 30) / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_tell_them() {
        for (seconds, expected) in [
            (7, "10 s"),
            (45, "50 s"),
            (90, "2 minutes"),
            (360, "6 minutes"),
        ] {
            assert_eq!(rounded(seconds), expected);
        }
    }
}
