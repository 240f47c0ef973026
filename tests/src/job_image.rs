//! The job image, for clusters that get it instead of what the plugin carries.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};

use crate::needs::{self, Wanted, Work};
use crate::parts;
use crate::process::say;

/// The job image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobImage {
    /// Its name, for `--image`.
    pub reference: String,
    /// The archive that [`Node::load_image`](crate::Node::load_image) takes.
    pub archive: PathBuf,
}

/// The job image, made by `images/build`. Built at most once in a process.
///
/// # Errors
/// When the build fails or does not tell what it made.
pub fn job_image() -> Result<JobImage> {
    static IMAGE: OnceLock<Result<JobImage, String>> = OnceLock::new();
    IMAGE
        .get_or_init(|| build_image().map_err(|e| format!("{e:#}")))
        .clone()
        .map_err(|e| anyhow!(e))
}

fn build_image() -> Result<JobImage> {
    needs::ensure(&Wanted {
        work: Work::Tests,
        parts: Vec::new(),
        nodes: 0,
    })?;
    let script = "images/build";
    say(&format!("building the job image ({script})"));
    let done = parts::script(script)?
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {script}"))?;
    let stdout = String::from_utf8_lossy(&done.stdout);
    if !done.status.success() {
        bail!("{script} failed: {stdout}");
    }
    // It prints the image's name first and the archive's path last.
    let reference = stdout.lines().next().unwrap_or_default().trim().to_owned();
    let archive = parts::in_workspace(stdout.lines().last().unwrap_or_default().trim())?;
    if !archive.is_file() {
        bail!("the last line that {script} printed names no file: {stdout}");
    }
    Ok(JobImage { reference, archive })
}
