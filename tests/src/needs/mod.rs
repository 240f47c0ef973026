//! What a command needs of this machine, checked in its first seconds, before anything long begins.
//!
//! [`list`] is the one list. What is missing and is a Debian package is installed where that may be done (root, apt-get);
//! everything else is named, each in one sentence with the command or the setting that helps.

mod debian;
mod list;
mod permissions;
mod room;
mod toolchain;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};

use debian::{Installer, Package};
use list::Need;

use crate::parts::Part;

/// What is going to be done. Each later one needs what the earlier ones need, and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Bring up clusters.
    Cluster,
    /// Build the plugin and use it on a cluster: the demonstration, benchmarks.
    Plugin,
    /// Run every test.
    Tests,
}

/// What is going to be done, and with what.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The work.
    pub work: Work,
    /// The parts of clusters that are used; those that are missing are built.
    pub parts: Vec<Part>,
    /// How many control-plane nodes are going to run at once, beside those that run already.
    pub nodes: u8,
}

/// Environment variable of a command that has checked everything, for the programs that it starts.
const CHECKED_VARIABLE: &str = "KUBECTL_ETCD_TESTBED_CHECKED";

/// Checks everything that is wanted and installs the Debian packages that are missing. The same work is checked once in a
/// process.
///
/// # Errors
/// When something is missing and cannot be installed: one sentence for each, with what helps.
pub fn ensure(wanted: &Wanted) -> Result<()> {
    static CHECKED: Mutex<Option<Work>> = Mutex::new(None);
    if std::env::var_os(CHECKED_VARIABLE).is_some() {
        return Ok(());
    }
    let mut checked = CHECKED.lock().unwrap_or_else(PoisonError::into_inner);
    if *checked < Some(wanted.work) {
        check(wanted)?;
        *checked = Some(wanted.work);
    }
    Ok(())
}

/// Tells a program that is going to be started that everything was checked.
pub fn mark_checked(command: &mut Command) {
    command.env(CHECKED_VARIABLE, "1");
}

fn check(wanted: &Wanted) -> Result<()> {
    let needs = list::needs(wanted.work);
    let machine = Machine::this();
    let missing = missing_packages(&needs, &machine);
    // Without these nothing else is worth a look.
    refuse(platform().or_else(|| machine.installer.refusal(&missing)))?;
    refuse(needs.iter().filter_map(|need| of_machine(need, wanted)))?;
    debian::install(&missing)?;
    let still_missing = missing_packages(&needs, &machine).into_iter();
    refuse(still_missing.map(|package| {
        format!(
            "the Debian package {} is installed, but there is no {}",
            package.name, package.known_by
        )
    }))?;
    refuse(needs.iter().filter_map(|need| with_packages(need, wanted)))
}

fn missing_packages(needs: &[Need], machine: &Machine) -> Vec<&'static Package> {
    let packages = needs.iter().filter_map(|need| match need {
        Need::Package(package) => Some(*package),
        _ => None,
    });
    packages
        .filter(|package| !package.known_by.is_there(&machine.root))
        .collect()
}

/// What stands in the way and is seen at once, without the packages.
fn of_machine(need: &Need, wanted: &Wanted) -> Option<String> {
    match need {
        Need::Go => toolchain::go(&wanted.parts),
        Need::Memory => room::memory(wanted.nodes),
        Need::Disk => room::disk(wanted),
        Need::Package(_) | Need::ModuleProxy | Need::Crates | Need::Permission(_) => None,
    }
}

/// What stands in the way and is tried: with programs of the packages, or over the network.
fn with_packages(need: &Need, wanted: &Wanted) -> Option<String> {
    match need {
        Need::ModuleProxy => toolchain::module_proxy(&wanted.parts),
        Need::Crates => toolchain::crates(),
        Need::Permission(permission) => permission.refusal(),
        Need::Package(_) | Need::Go | Need::Memory | Need::Disk => None,
    }
}

fn refuse(told: impl IntoIterator<Item = String>) -> Result<()> {
    let told: Vec<String> = told.into_iter().collect();
    match told.as_slice() {
        [] => Ok(()),
        [one] => bail!("{one}"),
        several => bail!(
            "this machine lacks what is needed:\n  {}",
            several.join("\n  ")
        ),
    }
}

fn platform() -> Option<String> {
    let (system, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    (system != "linux" || processor != "x86_64")
        .then(|| format!("clusters need Linux on x86-64; this machine is {system} on {processor}"))
}

/// What packages are looked for on.
struct Machine {
    root: PathBuf,
    installer: Installer,
}

impl Machine {
    fn this() -> Self {
        let root = Path::new("/").to_owned();
        let is_root = rustix::process::geteuid().is_root();
        Self {
            installer: Installer::of(&root, is_root),
            root,
        }
    }
}
