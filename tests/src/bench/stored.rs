//! What a compressed snapshot costs that is kept on the control-plane node, and its way to the workstation.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::pairs::{Pair, nothing};
use super::plugin::{BY_HAND, Peaks, copier, copy_out, fill, forget, settle};
use crate::{Cluster, Spec, Workstation};

const MIB: u64 = 2048;
const RUNS: usize = 3;
const LIMIT: Duration = Duration::from_secs(600);
/// Beside etcd's own data, where `etcdctl` puts its own too.
const FOLDER: &str = "/var/lib/etcd-bench";

pub(super) fn run(args: &[String], out: &mut dyn Write) -> Result<()> {
    let what = "the arguments are how many MiB and how many runs";
    let mib = args
        .first()
        .map_or(Ok(MIB), |text| text.parse())
        .context(what)?;
    let runs = args
        .get(1)
        .map_or(Ok(RUNS), |text| text.parse())
        .context(what)?;
    let cluster = Cluster::start(Spec::masters(1))?;
    cluster.set_etcd_quota((2 * mib) << 20)?;
    let person = Workstation::of(&cluster)?;
    let m1 = cluster.node("m1")?;
    fill(&cluster, mib, false)?;
    person.etcd(["status", "--via", "job"])?.code(0)?;
    copier(&cluster, "m1")?;
    settle(&cluster)?;

    let mut peaks = Peaks::default();
    let mut watched = |args: &[&str]| -> Result<()> {
        let mut running = person.start(args)?;
        while !running.ended()? {
            peaks.look(running.pid(), m1);
            std::thread::sleep(Duration::from_millis(20));
        }
        running.wait(LIMIT)?.code(0).map(drop)
    };
    let on_node = format!("--on-node={FOLDER}");
    let empty = || -> Result<()> { m1.run(["rm", "-rf", FOLDER])?.success().map(drop) };
    Pair {
        ours: (
            "kubectl etcd snapshot save --on-node --compress",
            &mut || {
                empty()?;
                watched(&[
                    "snapshot",
                    "save",
                    &on_node,
                    "--compress",
                    "--timeout",
                    "10m",
                ])
            },
        ),
        theirs: (
            "etcdctl snapshot save on the control-plane node",
            &mut || {
                forget(&m1.path(BY_HAND))?;
                let to = m1.path(BY_HAND).to_string_lossy().into_owned();
                cluster
                    .etcdctl(m1, ["snapshot", "save", &to])?
                    .success()
                    .map(drop)
            },
        ),
        after: &mut nothing,
        bar: 0.9,
    }
    .measure(
        "save, verify and compress, kept on the control-plane node (with the Job's start and end)",
        runs,
        out,
    )?;

    let (kept, size) = kept(&m1.path(FOLDER))?;
    let one = format!("m1/{kept}");
    let (ours, theirs) = (
        person.folder().join("ours.zst"),
        person.folder().join("theirs.db"),
    );
    Pair {
        ours: ("kubectl etcd snapshot get", &mut || {
            forget(&ours)?;
            forget(&person.folder().join("ours.zst.json"))?;
            watched(&["snapshot", "get", &one, "ours.zst", "--folder", FOLDER])
        }),
        theirs: ("kubectl exec … cat of the plain snapshot", &mut || {
            forget(&theirs)?;
            copy_out(&cluster, &theirs)
        }),
        after: &mut nothing,
        bar: 0.5,
    }
    .measure("fetching it", runs, out)?;
    Ok(writeln!(
        out,
        "  {} MiB, compressed {} MiB; peak memory: plugin {} MiB, job {} MiB, aimed at 64 each",
        std::fs::metadata(&theirs)?.len() >> 20,
        size >> 20,
        peaks.plugin_kib >> 10,
        peaks.job_kib >> 10
    )?)
}

/// The one snapshot in a folder, and its size.
fn kept(folder: &Path) -> Result<(String, u64)> {
    let entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let paths: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
    let path = paths
        .iter()
        .find(|path| path.extension().is_some_and(|end| end == "zst"))
        .context("nothing is kept")?;
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .context("name")?;
    Ok((name.to_owned(), path.metadata()?.len()))
}
