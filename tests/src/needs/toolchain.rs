//! Go, and the registries that modules and crates are fetched from.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::parts::versions::Kubernetes;
use crate::parts::{GO, Part, cargo_command};
use crate::process::{Output, output};

/// How long a registry has for its answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// What is to be said about Go; `None` when it is new enough, or nothing has to be built with it.
pub(super) fn go(parts: &[Part]) -> Option<String> {
    if parts.iter().all(Part::is_there) {
        return None;
    }
    let (major, minor) = GO;
    let wanted = format!("Go {major}.{minor} or later");
    let where_from = "install it from https://go.dev/dl/ and put its bin folder on PATH";
    let Ok((version, toolchain)) = installed_go() else {
        return Some(format!("{wanted} is missing: {where_from}"));
    };
    (!suffices(&version, &toolchain))
        .then(|| format!("{wanted} is needed, {version} is installed: {where_from}"))
}

/// The version of Go that is installed, and its setting that tells whether it fetches a newer one by itself.
fn installed_go() -> Result<(String, String)> {
    let ask = |variable: &str, toolchain: Option<&str>| {
        let mut command = Command::new("go");
        command.args(["env", variable]).current_dir("/");
        command.envs(toolchain.map(|setting| ("GOTOOLCHAIN", setting)));
        let told = output(&mut command)?.success()?;
        anyhow::Ok(told.trim().to_owned())
    };
    Ok((ask("GOVERSION", Some("local"))?, ask("GOTOOLCHAIN", None)?))
}

fn suffices(version: &str, toolchain: &str) -> bool {
    let Some(installed) = parse(version) else {
        // A development version.
        return true;
    };
    // From 1.21 on, Go fetches the version that a module asks for, unless it is set not to.
    let fetches = installed >= (1, 21) && !toolchain.starts_with("local") && toolchain != "path";
    installed >= GO || fetches
}

/// Major and minor version of `go1.26.8`, `go1.26rc1`, ….
fn parse(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version
        .strip_prefix("go")?
        .split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// What is to be said about the Go module proxy; `None` when it answers, or nothing has to be fetched.
pub(super) fn module_proxy(parts: &[Part]) -> Option<String> {
    if parts.iter().all(Part::is_there) {
        return None;
    }
    let error = ask_module_proxy().err()?;
    Some(format!(
        "Go modules cannot be fetched: see `go env GOPROXY` and this machine's network ({error:#})"
    ))
}

fn ask_module_proxy() -> Result<()> {
    // Nothing that was fetched before answers for it.
    let empty = tempfile::tempdir()?;
    let module = format!("k8s.io/kubernetes@{}", Kubernetes::V1_36.version());
    let mut command = Command::new("go");
    command
        .args(["list", "-m", &module])
        .current_dir(empty.path())
        .env("GOMODCACHE", empty.path())
        .env("GOFLAGS", "-mod=mod -modcacherw");
    last_words(&within(&mut command, PATIENCE)?)
}

/// What a program said last when it failed: the cause, after what it was needed for.
fn last_words(done: &Output) -> Result<()> {
    let last = done.stderr.trim().lines().next_back();
    ensure!(done.ok(), "{}", last.unwrap_or_default().trim());
    Ok(())
}

/// What is to be said about the crates of the workspace; `None` when they are here, or were fetched just now.
pub(super) fn crates() -> Option<String> {
    let fetch = |more: &[&str]| -> Result<()> {
        let mut command = cargo_command()?;
        command
            .args(["fetch", "--locked", "--quiet"])
            .args(["--target", "x86_64-unknown-linux-gnu"])
            .args(more);
        last_words(&output(&mut command)?)
    };
    if fetch(&["--offline"]).is_ok() {
        return None;
    }
    let error = fetch(&["--config=http.timeout=5", "--config=net.retry=1"]).err()?;
    Some(format!(
        "crates cannot be fetched: see this machine's network ({error:#})"
    ))
}

/// Runs a command that is killed when it takes too long.
fn within(command: &mut Command, limit: Duration) -> Result<Output> {
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    while child.try_wait()?.is_none() {
        if begun.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("no answer within {} s", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let done = child.wait_with_output()?;
    Ok(Output {
        code: done.status.code().unwrap_or(-1),
        stdout: String::new(),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_suffices_when_it_is_new_enough_or_fetches_a_newer_one() {
        for (version, toolchain, expected) in [
            ("go1.26.8", "local", true),
            ("go1.27rc1", "local", true),
            ("go2.0", "local", true),
            ("go1.25.1", "local", false),
            ("go1.25.1", "auto", true),
            ("go1.25.1", "path", false),
            ("go1.19.8", "", false),
            ("devel go1.27-abcdef", "local", true),
        ] {
            assert_eq!(suffices(version, toolchain), expected, "{version}");
        }
    }

    #[test]
    fn of_what_a_program_said_the_cause_is_told() {
        let done = Output {
            code: 1,
            stdout: String::new(),
            stderr: "error: no `x`\n\nCaused by:\n  no route to host\n".to_owned(),
        };
        assert_eq!(
            last_words(&done).unwrap_err().to_string(),
            "no route to host"
        );
    }

    #[test]
    fn what_does_not_answer_is_ended() {
        let begun = Instant::now();
        let error = within(Command::new("sleep").arg("60"), Duration::from_millis(100));
        let text = error.unwrap_err().to_string();
        assert!(text.contains("no answer"), "{text}");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
