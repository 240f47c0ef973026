//! Programs this machine has to have, and the Debian packages that bring them.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::process::{run, say};

/// Program and package. Go and Rust are not among them: the README asks for those.
const NEEDED: [(&str, &str); 6] = [
    ("runc", "runc"),
    ("ip", "iproute2"),
    ("cc", "gcc"),
    ("ssh-keygen", "openssh-client"),
    ("sshd", "openssh-server"),
    ("systemd", "systemd"),
];

/// Makes sure that the programs are there: installs what is missing as root on Debian, else says what to install.
///
/// # Errors
/// When something is missing and cannot be installed.
pub fn ensure() -> Result<()> {
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(program, _)| !present(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !rustix::process::geteuid().is_root() || !present("apt-get") {
        bail!(
            "missing on this machine: {list} (names of Debian packages)\ninstall them: apt-get install --no-install-recommends {list}"
        );
    }
    say(&format!("installing {list} with apt-get"));
    let install = |update: bool| {
        if update {
            run("apt-get", ["-q", "update"])?;
        }
        let mut args = vec![
            "-q",
            "-y",
            "-o",
            "Dpkg::Use-Pty=0",
            "install",
            "--no-install-recommends",
        ];
        args.extend(&missing);
        run(
            "env",
            [
                &["DEBIAN_FRONTEND=noninteractive", "apt-get"],
                args.as_slice(),
            ]
            .concat(),
        )
    };
    install(false)
        .or_else(|_| install(true))
        .with_context(|| format!("cannot install {list}"))?;
    match NEEDED.iter().find(|(program, _)| !present(program)) {
        None => Ok(()),
        Some((program, package)) => bail!("{package} is installed, but there is no {program}"),
    }
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
