//! A Debian machine that has nothing, to try on it what a command does first: a file system of its own, this machine's
//! kernel and network. It goes when it is dropped.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::process::run;
use crate::{parts, paths};

/// The machine. Programs see what earlier ones left.
#[derive(Debug)]
pub struct BareMachine {
    /// The file system that all such machines begin with.
    base: PathBuf,
    /// What this one has written.
    own: TempDir,
    /// Files and folders of this machine that it has, at the same place.
    brought: Vec<PathBuf>,
    /// Folders with programs that it has beside Debian's.
    programs: Vec<PathBuf>,
}

/// Mounts everything, then becomes the machine: its file system, the user, the command.
const ENTER: &str = r#"
base=$1 own=$2 user=$3; shift 3
mount --make-rprivate /
root=$own/root
mkdir -p "$root" "$own/upper" "$own/work" "$own/home"
mount -t overlay -o "lowerdir=$base,upperdir=$own/upper,workdir=$own/work" overlay "$root"
mount -t proc proc "$root/proc"
# Not on the overlay: an overlay of its own would not take it.
mount --bind "$own/home" "$root/root"
for shared in /sys /dev; do mount --rbind "$shared" "$root$shared"; done
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then
        mkdir -p "$root$1"
    else
        mkdir -p "$root${1%/*}"
        [ -e "$root$1" ] || : > "$root$1"
    fi
    mount --rbind "$1" "$root$1"
    shift
done
shift
exec chroot --userspec="$user" "$root" "$@"
"#;

impl BareMachine {
    /// A machine with nothing but Debian's smallest system, a C compiler, and this machine's Go and Rust.
    ///
    /// # Errors
    /// When its file system cannot be made, or Go or Rust are not found.
    pub fn new() -> Result<Self> {
        let base = parts::bare_machine()?;
        let own = tempfile::Builder::new()
            .prefix("bare-")
            .tempdir_in(paths::clusters()?)?;
        // Another user enters its root, too.
        std::fs::set_permissions(own.path(), std::fs::Permissions::from_mode(0o755))?;
        let go = told(&mut Command::new("go"), &["env", "GOROOT"])?;
        let rust = told(&mut Command::new("rustc"), &["--print", "sysroot"])?;
        let programs = [&go, &rust].map(|folder| folder.join("bin")).to_vec();
        // Names of hosts, and who is trusted.
        let network = ["/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs"].map(PathBuf::from);
        let mut brought = vec![go, rust];
        brought.extend(network.into_iter().filter(|path| path.exists()));
        Ok(Self {
            base,
            own,
            brought,
            programs,
        })
    }

    /// Brings a file or folder of this machine, at the same place.
    pub fn bring(&mut self, path: &Path) {
        self.brought.push(path.to_owned());
    }

    /// The path by which a file of the machine is written from outside.
    #[must_use]
    pub fn written(&self, path: &str) -> PathBuf {
        self.own
            .path()
            .join("upper")
            .join(path.trim_start_matches('/'))
    }

    /// A command on the machine, as a user with this number. Of this machine's environment it has what tells about the network.
    ///
    /// # Errors
    /// When Go does not tell its settings.
    pub fn command(&self, user: u32, program: &Path) -> Result<Command> {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--kill-child"])
            .args(["sh", "-ec", ENTER, "sh"])
            .arg(&self.base)
            .arg(self.own.path())
            .arg(format!("{user}:{user}"))
            .args(&self.brought)
            .arg("--")
            .arg(program)
            .current_dir("/")
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| of_network(&name.to_string_lossy())))
            .envs(go_settings()?)
            .env("HOME", "/root")
            .env("PATH", self.path()?);
        Ok(command)
    }

    fn path(&self) -> Result<std::ffi::OsString> {
        let usual = [
            "/usr/local/sbin",
            "/usr/local/bin",
            "/usr/sbin",
            "/usr/bin",
            "/sbin",
            "/bin",
        ];
        let folders = self
            .programs
            .iter()
            .cloned()
            .chain(usual.map(PathBuf::from));
        std::env::join_paths(folders).context("a folder's name has a colon")
    }

    /// Removes a program of the machine's file system.
    ///
    /// # Errors
    /// When it is not there.
    pub fn remove(&self, program: &str) -> Result<()> {
        let done = self
            .command(0, Path::new("/bin/rm"))?
            .arg(program)
            .status()?;
        anyhow::ensure!(done.success(), "{program} cannot be removed: {done}");
        Ok(())
    }
}

fn told(command: &mut Command, args: &[&str]) -> Result<PathBuf> {
    let told = crate::process::success(command.args(args).current_dir("/"))?;
    Ok(PathBuf::from(told.trim()))
}

/// Whether an environment variable tells how registries are reached.
fn of_network(name: &str) -> bool {
    let lower = name.to_lowercase();
    lower.ends_with("_proxy")
        || [
            "CARGO_HTTP_",
            "CARGO_NET_",
            "CARGO_REGISTR",
            "CARGO_SOURCE_",
        ]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// How Go fetches modules here, which may be set in a file as well.
fn go_settings() -> Result<Vec<(&'static str, String)>> {
    let names = [
        "GOPROXY",
        "GOSUMDB",
        "GONOSUMDB",
        "GONOPROXY",
        "GOPRIVATE",
        "GOINSECURE",
    ];
    let told = run("go", ["env"].iter().chain(&names))?;
    Ok(names
        .into_iter()
        .zip(told.lines().map(str::to_owned))
        .collect())
}
