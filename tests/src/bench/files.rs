//! Work on a large snapshot, beside etcdutl's: cold cache, warm cache, and in a small control group.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::fs::Advice;

use super::Times;
use super::noise::Noise;
use super::pairs::{Pair, peak_kib};
use crate::cgroup::Groups;
use crate::local::{Etcd, Place, put_all, server};
use crate::process::say;
use crate::{parts, paths};

const MIB: u64 = 2048;
const RUNS: usize = 5;
/// What a control group for a tool on a small control-plane node may have.
const SMALL: u64 = 256 << 20;
const GROUP: &str = "kubectl-etcd-bench";
/// How often is looked how much memory a program has.
const LOOK: Duration = Duration::from_millis(5);

/// In which state the file's pages are when a program starts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cache {
    Cold,
    Warm,
    /// Cold, and the program has no more memory than [`SMALL`].
    Small,
}

/// A program that is measured, and the most memory it was seen to have.
struct Measured<'a> {
    program: &'a Path,
    arguments: Vec<&'a OsStr>,
    peak_kib: Cell<u64>,
}

pub(super) fn run(args: &[String], out: &mut dyn Write) -> Result<()> {
    let number = |at: usize, usual: u64| {
        let given = args.get(at).map(|text| text.parse::<u64>());
        given.transpose().map(|given| given.unwrap_or(usual))
    };
    let what = "the arguments are how many MiB and how many runs";
    let mib = number(0, MIB).context(what)?;
    let runs = usize::try_from(number(1, RUNS as u64).context(what)?)?;
    let file = snapshot(mib)?;
    let ours = parts::shipped_plugin()?;
    let library = parts::datadir_example("verify")?;
    let etcdutl = parts::etcd("3.6")?.etcdutl;
    let size = std::fs::metadata(&file)?.len();
    writeln!(out, "a snapshot of {} MiB; etcdutl 3.6", size >> 20)?;

    let status = ["snapshot", "status"].map(OsStr::new);
    let verify = ["snapshot", "verify"].map(OsStr::new);
    let work = Work {
        file: &file,
        target: file.with_extension("restored"),
    };
    // The slow ones less often: a few say enough of a ratio of eight, and one of a ratio of twenty.
    let few = runs.min(3);
    for (title, cache, runs, bar) in [
        ("verify, cold cache", Cache::Cold, few, 1.0 / 8.0),
        ("verify, warm cache", Cache::Warm, runs, 1.0),
    ] {
        let pair = [
            Measured::new(&ours, &verify),
            Measured::new(&etcdutl, &status),
        ];
        work.pair(title, cache, &pair, (runs, bar), out)?;
    }
    let flags = ["--no-sha", "--no-records"].map(OsStr::new);
    let pair = [
        Measured::new(&library, &flags),
        Measured::new(&etcdutl, &status),
    ];
    let title = "verify with no more checks than etcdutl's, warm cache";
    work.pair(title, Cache::Warm, &pair, (runs, 0.5), out)?;
    let restore = ["snapshot", "restore", "--data-dir"].map(OsStr::new);
    let restore = [&restore[..], &[work.target.as_os_str()]].concat();
    let pair = || {
        [
            Measured::new(&ours, &restore),
            Measured::new(&etcdutl, &restore),
        ]
    };
    let title = "restore, warm cache";
    work.pair(title, Cache::Warm, &pair(), (runs, 0.5), out)?;
    work.usage(&ours, runs, out)?;
    let title = "restore, in 256 MiB of memory";
    work.pair(title, Cache::Small, &pair(), (1, 1.0 / 20.0), out)?;
    let pair = [
        Measured::new(&ours, &verify),
        Measured::new(&etcdutl, &status),
    ];
    let title = "verify, in 256 MiB of memory";
    work.pair(title, Cache::Small, &pair, (1, 1.0 / 20.0), out)
}

/// What is done to the snapshot, and with what is left of it.
struct Work<'a> {
    file: &'a Path,
    /// Where restores go.
    target: PathBuf,
}

impl Work<'_> {
    fn pair(
        &self,
        title: &str,
        cache: Cache,
        [ours, theirs]: &[Measured<'_>; 2],
        (runs, bar): (usize, f64),
        out: &mut dyn Write,
    ) -> Result<()> {
        say(title);
        // What has to be done before is not measured.
        let (mut took_ours, mut took_theirs) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            for (program, took) in [(ours, &mut took_ours), (theirs, &mut took_theirs)] {
                took.push(self.once(cache, program)?);
            }
        }
        Pair::print(
            title,
            (ours.name(), &Times::new(took_ours)),
            (theirs.name(), &Times::new(took_theirs)),
            bar,
            out,
        )?;
        Ok(writeln!(
            out,
            "  peak memory {} MiB, {} MiB",
            ours.peak_kib.get() >> 10,
            theirs.peak_kib.get() >> 10
        )?)
    }

    fn usage(&self, ours: &Path, runs: usize, out: &mut dyn Write) -> Result<()> {
        let usage = Measured::new(ours, &["snapshot", "usage"].map(OsStr::new));
        let took = (0..runs).map(|_| self.once(Cache::Warm, &usage));
        let took = Times::new(took.collect::<Result<_>>()?);
        let mib = usage.peak_kib.get() >> 10;
        Ok(writeln!(
            out,
            "usage, warm cache\n  {took}; peak memory {mib} MiB"
        )?)
    }

    fn once(&self, cache: Cache, program: &Measured<'_>) -> Result<Duration> {
        match std::fs::remove_dir_all(&self.target) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        // What is still to be written of what was removed or written before would be waited for by the next.
        rustix::fs::sync();
        match cache {
            Cache::Warm => drop(std::io::copy(
                &mut File::open(self.file)?,
                &mut std::io::sink(),
            )?),
            Cache::Cold | Cache::Small => {
                rustix::fs::fadvise(File::open(self.file)?, 0, None, Advice::DontNeed)?;
            }
        }
        if cache != Cache::Small {
            return program.run(self.file, "");
        }
        let groups = Groups::named(GROUP)?;
        groups.create()?;
        let ran = groups
            .limit_memory(SMALL)
            .and_then(|()| program.run(self.file, &groups.entering()));
        groups.destroy()?;
        ran
    }
}

impl<'a> Measured<'a> {
    fn new(program: &'a Path, arguments: &[&'a OsStr]) -> Self {
        Self {
            program,
            arguments: arguments.to_vec(),
            peak_kib: Cell::new(0),
        }
    }

    fn name(&self) -> &str {
        let name = self.program.file_name().unwrap_or_default();
        name.to_str().unwrap_or_default()
    }

    /// Runs it on the file, after these shell lines.
    fn run(&self, file: &Path, before: &str) -> Result<Duration> {
        let began = std::time::Instant::now();
        let mut child = Command::new("sh")
            .args(["-c", &format!("{before}exec \"$@\""), "sh"])
            .arg(self.program)
            .args(&self.arguments)
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let status = loop {
            self.peak_kib
                .set(self.peak_kib.get().max(peak_kib(child.id())));
            if let Some(status) = child.try_wait()? {
                break status;
            }
            std::thread::sleep(LOOK);
        };
        let took = began.elapsed();
        ensure!(status.success(), "{}: {status}", self.name());
        Ok(took)
    }
}

/// A snapshot of a real etcd with so many MiB: half a million revisions of objects of 1 to 7 KiB, as a cluster has them.
fn snapshot(mib: u64) -> Result<PathBuf> {
    let folder = paths::benchmarks()?;
    let file = folder.join(format!("{mib}-mib.db"));
    if file.exists() {
        return Ok(file);
    }
    say(&format!("making a database of {mib} MiB"));
    let dir = tempfile::tempdir_in(&folder)?;
    let data = dir.path().join("etcd");
    let place = Place::new("m1")?;
    let flags = ["--quota-backend-bytes=17179869184", "--unsafe-no-fsync"];
    let cluster = std::slice::from_ref(&place);
    let mut etcd = Etcd::start(&server("3.6")?, &place, cluster, &data, &flags)?;
    etcd.wait_ready()?;
    // A database takes about so much more than the values in it.
    fill(etcd.place.client, (mib << 20) * 100 / 128)?;
    let unfinished = dir.path().join("snapshot");
    etcd.snapshot(&parts::etcd("3.6")?.etcdctl, &unfinished)?;
    std::fs::rename(&unfinished, &file)?;
    Ok(file)
}

/// Each object has about four revisions.
fn fill(port: u16, bytes: u64) -> Result<()> {
    const RESOURCES: [&str; 5] = ["pods", "configmaps", "secrets", "events", "leases"];
    const BATCH: u64 = 100;
    let (mut noise, mut written) = (Noise::new(), 0);
    let pool: Vec<u8> = (0..1 << 19)
        .flat_map(|_| noise.next().to_le_bytes())
        .collect();
    let objects = bytes / (4 * 4096);
    // Neighbours in a transaction must be different objects.
    let mut object = 0;
    while written < bytes {
        let mut pairs = Vec::new();
        for _ in 0..BATCH {
            object = (object + 7919) % objects.max(BATCH + 1);
            let resource = RESOURCES[usize::try_from(object % 5)?];
            let length = 1024 + usize::try_from(noise.next() % 6144)?;
            let from = usize::try_from(noise.next() % (pool.len() - length) as u64)?;
            let key = format!("/registry/{resource}/ns-{}/object-{object:08}", object % 97);
            pairs.push((key, &pool[from..from + length]));
            written += length as u64;
        }
        put_all(port, &pairs)?;
    }
    Ok(())
}
