//! Debian packages: what shows that one is there, and how what is missing is installed.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Work;
use crate::debian_archive::update;
use crate::process::{run, say};

/// A package that some work needs.
#[derive(Debug)]
pub(super) struct Package {
    /// Its Debian name.
    pub(super) name: &'static str,
    pub(super) known_by: KnownBy,
    /// The least work that needs it.
    pub(super) from: Work,
}

/// What shows that a package is there, whichever distribution brought it.
#[derive(Debug)]
pub(super) enum KnownBy {
    Program(&'static str),
    /// An absolute path.
    File(&'static str),
}

/// Where programs are, beside `PATH`, which has no folders for root's programs on some machines.
const FOLDERS: [&str; 7] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/lib/systemd",
];

impl KnownBy {
    /// Whether it is there, in the file system that begins at `root`.
    pub(super) fn is_there(&self, root: &Path) -> bool {
        let under = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        match self {
            Self::File(path) => under(Path::new(path)).exists(),
            Self::Program(name) => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let of_path = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
                FOLDERS
                    .iter()
                    .map(PathBuf::from)
                    .chain(of_path)
                    .any(|folder| under(&folder).join(name).exists())
            }
        }
    }
}

impl fmt::Display for KnownBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Program(what) | Self::File(what)) = self;
        f.write_str(what)
    }
}

/// Whether this command can install packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Installer {
    /// It is run by root.
    pub(super) is_root: bool,
    /// There is apt-get: this is Debian, or a system made from it.
    pub(super) has_apt: bool,
}

impl Installer {
    pub(super) fn of(root: &Path, is_root: bool) -> Self {
        Self {
            is_root,
            has_apt: KnownBy::Program("apt-get").is_there(root),
        }
    }

    /// The sentence for a user who is not root, or about packages that this command cannot install; `None` when nothing of
    /// that stands in the way.
    pub(super) fn refusal(self, missing: &[&Package]) -> Option<String> {
        let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
        let files: Vec<String> = missing.iter().map(|p| p.known_by.to_string()).collect();
        let (files, packages) = (files.join(", "), names.join(" "));
        let install = format!("sudo apt-get install --no-install-recommends {packages}");
        let lacks = format!(
            "this machine has no apt-get, and lacks {files}: install what brings them (on Debian: {install})"
        );
        match (self.is_root, self.has_apt, missing.is_empty()) {
            (true, true, _) | (true, false, true) => None,
            (true, false, false) => Some(lacks),
            (false, _, true) => Some(NO_ROOT.to_owned()),
            (false, true, false) => Some(format!(
                "{NO_ROOT}; it then installs missing packages, which this does too: {install}"
            )),
            (false, false, false) => Some(format!("{NO_ROOT}; {lacks}")),
        }
    }
}

const NO_ROOT: &str = "clusters need root, for namespaces, control groups and network links: run the command as root (sudo -i)";

/// Installs packages; says which before.
///
/// # Errors
/// When apt-get fails, with its words.
pub(super) fn install(packages: &[&Package]) -> Result<()> {
    let names: Vec<&str> = packages.iter().map(|package| package.name).collect();
    if names.is_empty() {
        return Ok(());
    }
    let list = names.join(" ");
    say(&format!("installing {list} (apt-get)"));
    let _guard = NoServices::begin()?;
    let install = || {
        let mut args = vec![
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "-q",
            "-y",
            "-o",
            "Dpkg::Use-Pty=0",
            "-o",
            "DPkg::Lock::Timeout=120",
        ];
        args.extend(["install", "--no-install-recommends"]);
        run("env", args.iter().chain(&names)).map(drop)
    };
    // The lists of a fresh machine may be missing or old.
    install()
        .or_else(|_| update().and_then(|()| install()))
        .with_context(|| format!("cannot install {list}"))
}

/// The file that Debian's packages ask whether they may start their services.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Keeps packages from starting services while it lives: a machine that shows a demonstration is not to get an ssh server.
struct NoServices {
    made: bool,
}

impl NoServices {
    fn begin() -> Result<Self> {
        let made = !Path::new(POLICY).exists();
        if made {
            // Of a command that was killed it stays behind: then it permits everything.
            let text = format!(
                "#!/bin/sh\n# Of a command that installs packages; without that process it means nothing.\n[ -e /proc/{}/cmdline ] || exit 0\nexit 101\n",
                std::process::id()
            );
            fs::write(POLICY, text).with_context(|| format!("cannot write {POLICY}"))?;
            fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { made })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.made {
            drop(fs::remove_file(POLICY));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOC: Package = Package {
        name: "protobuf-compiler",
        known_by: KnownBy::Program("protoc"),
        from: Work::Plugin,
    };
    const FILES: Package = Package {
        name: "libprotobuf-dev",
        known_by: KnownBy::File("/usr/include/x.proto"),
        from: Work::Plugin,
    };

    #[test]
    fn a_package_is_known_by_its_program_or_file() {
        let root = tempfile::tempdir().unwrap();
        for (package, file) in [(PROTOC, "usr/bin/protoc"), (FILES, "usr/include/x.proto")] {
            assert!(!package.known_by.is_there(root.path()));
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
            assert!(package.known_by.is_there(root.path()));
        }
    }

    #[test]
    fn who_may_not_install_gets_one_sentence_with_the_command() {
        let missing = [&PROTOC, &FILES];
        let command =
            "sudo apt-get install --no-install-recommends protobuf-compiler libprotobuf-dev";
        let told = |is_root, has_apt, missing: &[&Package]| {
            Installer { is_root, has_apt }.refusal(missing)
        };
        for has_apt in [true, false] {
            assert_eq!(told(true, has_apt, &[]), None);
            assert_eq!(told(false, has_apt, &[]).unwrap(), NO_ROOT);
            let user = told(false, has_apt, &missing).unwrap();
            assert!(
                user.starts_with(NO_ROOT) && user.contains(command),
                "{user}"
            );
        }
        assert_eq!(told(true, true, &missing), None);
        assert_eq!(
            told(true, false, &missing).unwrap(),
            format!(
                "this machine has no apt-get, and lacks protoc, /usr/include/x.proto: install what brings them (on Debian: {command})"
            )
        );
    }

    #[test]
    fn a_system_made_from_debian_is_known_by_apt_get() {
        let root = tempfile::tempdir().unwrap();
        assert!(!Installer::of(root.path(), true).has_apt);
        fs::create_dir_all(root.path().join("usr/bin")).unwrap();
        fs::write(root.path().join("usr/bin/apt-get"), "").unwrap();
        assert!(Installer::of(root.path(), true).has_apt);
    }
}
