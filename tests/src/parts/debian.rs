//! Programs this machine has to have, and the Debian packages that bring them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{run, say, success};

/// Program and package. Go and Rust are not among them: the README asks for those.
const NEEDED: [(&str, &str); 9] = [
    ("runc", "runc"),
    ("ip", "iproute2"),
    ("cc", "gcc"),
    ("ssh-keygen", "openssh-client"),
    ("sshd", "openssh-server"),
    ("sudo", "sudo"),
    ("systemd", "systemd"),
    // As people open bundles.
    ("tar", "tar"),
    ("zstd", "zstd"),
];

/// Makes sure that the programs of nodes are there: installs what is missing as root on Debian, else says what to
/// install.
///
/// # Errors
/// When something is missing and cannot be installed.
pub fn ensure() -> Result<()> {
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(program, _)| !present(program))
        .map(|(_, package)| *package)
        .collect();
    install(&missing)?;
    match NEEDED.iter().find(|(program, _)| !present(program)) {
        None => Ok(()),
        Some((program, package)) => bail!("{package} is installed, but there is no {program}"),
    }
}

/// Makes sure that a program is there whose package has its name.
pub(super) fn ensure_one(program: &str) -> Result<()> {
    match present(program) {
        true => Ok(()),
        false => install(&[program]),
    }
}

fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !rustix::process::geteuid().is_root() || !present("apt-get") {
        bail!(
            "missing on this machine: {list} (names of Debian packages)\n\
             install them: apt-get install --no-install-recommends {list}"
        );
    }
    say(&format!("installing {list} with apt-get"));
    let install = || {
        let mut args = vec![
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "-q",
            "-y",
            "-o",
            "Dpkg::Use-Pty=0",
        ];
        args.extend(["install", "--no-install-recommends"]);
        run("env", args.iter().chain(packages)).map(drop)
    };
    // The lists of a fresh machine may be missing or old.
    install()
        .or_else(|_| {
            run("apt-get", ["-q", "update"])
                .map(drop)
                .and_then(|()| install())
        })
        .with_context(|| format!("cannot install {list}"))
}

/// Unpacks a package into a folder without installing it: what it would start with the machine is not wanted.
pub(super) fn unpack(package: &str, out: &Path) -> Result<()> {
    let download = || {
        let mut command = Command::new("apt-get");
        success(command.args(["-q", "download", package]).current_dir(out))
    };
    download()
        .or_else(|_| run("apt-get", ["-q", "update"]).and_then(|_| download()))
        .with_context(|| format!("cannot download the Debian package {package}"))?;
    let entries = std::fs::read_dir(out)?.collect::<Result<Vec<_>, _>>()?;
    let mut paths = entries.iter().map(std::fs::DirEntry::path);
    let archive = paths
        .find(|path| path.extension().is_some_and(|ending| ending == "deb"))
        .with_context(|| format!("apt-get left no package in {}", out.display()))?;
    let done = success(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(out));
    done.with_context(|| format!("cannot unpack {}", archive.display()))?;
    Ok(std::fs::remove_file(archive)?)
}

fn present(program: &str) -> bool {
    let usual = [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
        "/lib/systemd",
    ];
    usual
        .iter()
        .any(|folder| Path::new(folder).join(program).exists())
}
