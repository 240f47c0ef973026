//! On a machine that has nothing, a command finds in its first seconds what is missing, and installs or names it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testbed::BareMachine;

const TESTBED: &str = env!("CARGO_BIN_EXE_testbed");

/// How soon a command says what it lacks.
const SOON: Duration = Duration::from_secs(5);

/// Programs and files of packages that the demonstration needs, and Debian's smallest system has not.
const MISSING: [&str; 7] = [
    "/usr/bin/protoc",
    "/usr/include/google/protobuf/descriptor.proto",
    "/usr/sbin/runc",
    "/lib/systemd/systemd",
    "/bin/ip",
    "/usr/sbin/sshd",
    "/usr/bin/sudo",
];

/// The machine, with this workspace as it was cloned and built.
fn machine() -> Result<BareMachine> {
    let mut machine = BareMachine::new()?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    machine.bring(workspace.context("no workspace")?);
    let program = Path::new(TESTBED).parent().context("no folder")?;
    machine.bring(program);
    let crates = std::env::var_os("CARGO_HOME").map(Into::into);
    let crates = crates.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    machine.bring(&crates.context("no home")?);
    Ok(machine)
}

/// What a command said, and when it said the first of it.
struct Told {
    first_after: Duration,
    code: Option<i32>,
    text: String,
}

fn needs_of_demo(machine: &BareMachine, user: u32) -> Result<Told> {
    let begun = Instant::now();
    let mut command = machine.command(user, Path::new(TESTBED))?;
    let mut child = command
        .args(["needs", "demo"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stderr = BufReader::new(child.stderr.take().context("no standard error")?);
    let mut text = String::new();
    stderr.read_line(&mut text)?;
    let first_after = begun.elapsed();
    for line in stderr.lines() {
        text.push_str(&line?);
        text.push('\n');
    }
    let code = child.wait()?.code();
    Ok(Told {
        first_after,
        code,
        text,
    })
}

#[test]
fn root_gets_what_is_missing_installed_before_anything_is_built() -> Result<()> {
    let machine = machine()?;
    let told = needs_of_demo(&machine, 0)?;
    ensure!(told.code == Some(0), "{}", told.text);
    ensure!(
        told.first_after < SOON,
        "the first line came after {:?}",
        told.first_after
    );
    let first = told.text.lines().next().unwrap_or_default();
    for package in ["protobuf-compiler", "libprotobuf-dev", "runc", "systemd"] {
        ensure!(first.contains(package), "{package} is not in: {first}");
    }
    for file in MISSING {
        let check = machine
            .command(0, Path::new("/usr/bin/test"))?
            .args(["-e", file])
            .status()?;
        ensure!(check.success(), "{file} is not there");
    }
    ensure!(
        !machine.written("/usr/sbin/policy-rc.d").exists(),
        "services stay forbidden"
    );

    let again = needs_of_demo(&machine, 0)?;
    ensure!(
        again.code == Some(0) && again.text.is_empty(),
        "{}",
        again.text
    );
    ensure!(again.first_after < SOON, "it took {:?}", again.first_after);
    Ok(())
}

#[test]
fn a_user_is_told_in_one_sentence_and_nothing_is_installed() -> Result<()> {
    let machine = machine()?;
    let told = needs_of_demo(&machine, 65_534)?;
    ensure!(
        told.code == Some(1) && told.first_after < SOON,
        "{}",
        told.text
    );
    ensure!(told.text.lines().count() == 1, "{}", told.text);
    for part in [
        "error: clusters need root",
        "sudo apt-get install --no-install-recommends",
        "protobuf-compiler libprotobuf-dev",
    ] {
        ensure!(told.text.contains(part), "{part} is not in: {}", told.text);
    }
    ensure!(
        !machine.written("/usr/bin/protoc").exists(),
        "it was installed"
    );
    Ok(())
}

#[test]
fn where_there_is_no_apt_get_the_files_that_are_missing_are_named() -> Result<()> {
    let machine = machine()?;
    machine.remove("/usr/bin/apt-get")?;
    let told = needs_of_demo(&machine, 0)?;
    ensure!(
        told.code == Some(1) && told.first_after < SOON,
        "{}",
        told.text
    );
    ensure!(told.text.lines().count() == 1, "{}", told.text);
    ensure!(
        told.text.contains("no apt-get, and lacks runc") && told.text.contains("protoc"),
        "{}",
        told.text
    );
    Ok(())
}
