//! The file system of a Debian machine that has nothing but what it cannot run without, and a C compiler, without which
//! there is no Rust.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::part::Part;
use crate::process::{run, success};

/// What is there beside Debian's smallest system: the linker that Rust needs, and what TLS needs.
const INCLUDED: &str = "gcc,libc6-dev,ca-certificates";

pub(super) fn part() -> Part {
    Part::new("debian-bare", 60, 500)
}

/// A folder with that file system, made by debootstrap when missing (1 minute), of this machine's own release and from where
/// this machine has its packages. It is not to be written to.
///
/// # Errors
/// When this is no Debian, or debootstrap fails.
pub fn bare_machine() -> Result<PathBuf> {
    let folder = part().built(|out| {
        let (release, mirror) = source()?;
        let root = out.join("root");
        let mut command = Command::new("debootstrap");
        command
            .args(["--variant=minbase", &format!("--include={INCLUDED}")])
            .arg(&release)
            .arg(&root)
            .arg(&mirror);
        success(&mut command)?;
        take_over_proxies(&root)?;
        // What a later update fetches again anyway.
        for cache in ["var/cache/apt/archives", "var/lib/apt/lists"] {
            run(
                "find",
                [
                    root.join(cache).as_os_str(),
                    "-type".as_ref(),
                    "f".as_ref(),
                    "-delete".as_ref(),
                ],
            )?;
        }
        Ok(())
    })?;
    Ok(folder.join("root"))
}

/// This machine's release of Debian, and where it has the packages from: of what apt-get is set up to use, the first.
fn source() -> Result<(String, String)> {
    let told = run(
        "apt-get",
        [
            "indextargets",
            "--format",
            "$(RELEASE) $(REPO_URI) $(COMPONENT)",
            "Created-By: Packages",
        ],
    )?;
    first_source(&told).with_context(|| format!("apt-get has no source of Debian itself: {told}"))
}

/// Of lines `RELEASE ADDRESS COMPONENT`: updates and security have names with a dash or a slash, others no component `main`.
fn first_source(told: &str) -> Option<(String, String)> {
    told.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (release, mirror, component) = (words.next()?, words.next()?, words.next()?);
        let itself = component == "main"
            && !release.contains(['-', '/'])
            && mirror.trim_end_matches('/').ends_with("/debian");
        itself.then(|| (release.to_owned(), mirror.to_owned()))
    })
}

/// Gives the machine the proxies through which this one reaches Debian's packages.
fn take_over_proxies(root: &Path) -> Result<()> {
    let all = run(
        "apt-config",
        ["dump", "--format", "%f \"%v\";%n", "Acquire"],
    )?;
    let proxies = all
        .lines()
        .filter(|line| line.to_lowercase().contains("::proxy ") && !line.contains("\"\""));
    let text: String = proxies.flat_map(|line| [line, "\n"]).collect();
    let file = root.join("etc/apt/apt.conf.d/99proxies");
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_itself_is_found_among_other_sources() {
        let told = "cloud https://packages.example/apt main\n\
                    bookworm-updates http://mirror.example/debian/ main\n\
                    bookworm http://mirror.example/debian/ contrib\n\
                    bookworm http://mirror.example/debian/ main\n";
        assert_eq!(
            first_source(told),
            Some((
                "bookworm".to_owned(),
                "http://mirror.example/debian/".to_owned()
            ))
        );
        assert_eq!(
            first_source("cloud https://packages.example/apt main\n"),
            None
        );
    }
}
