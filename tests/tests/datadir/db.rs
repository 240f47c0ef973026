//! Databases of real etcds, and some made by hand, are read as etcdutl and the servers themselves read them.

#[path = "../../../jobs/datadir/tests/support/mod.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "made for the library's own tests, where all of it is used and a panic is a failure"
)]
mod support;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use etcd_datadir::hash::{hashkv, hashkv_compacted};
use etcd_datadir::inspect::inspect;
use etcd_datadir::progress::ignore;
use etcd_datadir::source::FileSource;
use etcd_datadir::usage::{UsageOptions, UsageStream, usage};
use etcd_datadir::verify::{Verdict, Verification, VerifyOptions, verify};
use serde_json::Value;
use support::Numbers;
use support::bolt::{Shape, build, with_trailer};
use support::model::{History, Model};
use testbed::local::{Etcd, Place, fill, run, server};
use testbed::parts;

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("path")
}

fn verified(file: &Path) -> Result<Verification> {
    Ok(verify(
        &FileSource::open(file)?,
        &VerifyOptions::default(),
        None,
        &mut ignore,
    )?)
}

/// Compares our status of a file with that of etcdutl of every line.
fn same_status(file: &Path, verdict: Verdict) -> Result<()> {
    let verification = verified(file)?;
    ensure!(
        verification.verdict == verdict,
        "{}: {verification:?}",
        file.display()
    );
    let ours = verification.status.context("no status")?;
    for line in ["3.5", "3.6", "3.7"] {
        let args = ["snapshot", "status", text(file)?, "-w", "json"];
        let theirs: Value = serde_json::from_str(&run(&parts::etcd(line)?.etcdutl, &args)?)?;
        let keys = if line == "3.5" {
            ours.total_keys_all
        } else {
            ours.total_keys_live
        };
        let version = if line == "3.5" { "" } else { &ours.version };
        let same = theirs["hash"] == ours.hash
            && theirs["revision"] == ours.revision
            && theirs["totalKey"] == keys
            && theirs["totalSize"] == ours.total_size
            && theirs["version"].as_str().unwrap_or_default() == version;
        ensure!(
            same,
            "{}: etcdutl {line}: {theirs}, ours: {ours:?}",
            file.display()
        );
    }
    same_usage(file)
}

/// What a file says of its usage, its snapshot's stream must say as well.
fn same_usage(file: &Path) -> Result<()> {
    let options = UsageOptions::default();
    let by_file = usage(&FileSource::open(file)?, &options, &mut ignore)?;
    let bytes = std::fs::read(file)?;
    if bytes.len() % 512 == 32 {
        let mut stream = UsageStream::new("stream");
        bytes
            .chunks(32 << 10)
            .try_for_each(|blob| stream.push(blob))?;
        ensure!(
            stream.finish(&options)?.0 == by_file,
            "{}: the stream says otherwise",
            file.display()
        );
    }
    inspect(&FileSource::open(file)?, "/registry", &mut ignore)?;
    Ok(())
}

/// Compares our hashkv of a snapshot with the running server's.
fn same_hashkv(file: &Path, etcd: &Etcd, etcdctl: &Path, revisions: &[u64]) -> Result<()> {
    for revision in revisions {
        let (hash, compacted) = etcd.hashkv(etcdctl, *revision)?;
        let ours = hashkv(&FileSource::open(file)?, *revision, &mut ignore)?;
        let our_compaction = ours.compact_revision.map_or(-1, u64::cast_signed);
        ensure!(
            (u64::from(ours.hash), our_compaction.max(0)) == (hash, compacted.max(0)),
            "{} at {revision}: etcd says {hash} compacted at {compacted}, ours: {ours:?}",
            file.display()
        );
    }
    Ok(())
}

/// Compares our hashkv of a snapshot with the server's after that was compacted further.
fn same_hashkv_later(file: &Path, etcd: &Etcd, etcdctl: &Path, revision: u64) -> Result<()> {
    let (hash, compacted) = etcd.hashkv(etcdctl, revision)?;
    let source = FileSource::open(file)?;
    let at = u64::try_from(compacted)?;
    ensure!(hashkv(&source, revision, &mut ignore)?.compact_revision < Some(at));
    let ours = hashkv_compacted(&source, revision, at, &mut ignore)?;
    ensure!(
        (u64::from(ours.hash), ours.compact_revision) == (hash, Some(at)),
        "{} at {revision}: etcd says {hash} compacted at {compacted}, ours: {ours:?}",
        file.display()
    );
    ensure!(hashkv_compacted(&source, at - 1, at, &mut ignore).is_err());
    Ok(())
}

struct Source {
    dir: tempfile::TempDir,
    etcd: Etcd,
    etcdctl: PathBuf,
    taken: usize,
}

impl Source {
    fn new(line: &str, more: &[&str]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let place = Place::new("m1")?;
        let cluster = std::slice::from_ref(&place);
        let mut etcd = Etcd::start(
            &server(line)?,
            &place,
            cluster,
            &dir.path().join("data"),
            more,
        )?;
        etcd.wait_ready()?;
        Ok(Self {
            dir,
            etcd,
            etcdctl: parts::etcd("3.5")?.etcdctl,
            taken: 0,
        })
    }

    fn ctl(&self, args: &[&str]) -> Result<String> {
        let endpoint = self.etcd.place.client_url();
        run(&self.etcdctl, &[&["--endpoints", &endpoint], args].concat())
    }

    /// Takes a snapshot and compares what is said of it.
    fn compare(&mut self) -> Result<PathBuf> {
        self.taken += 1;
        let file = self.dir.path().join(format!("{}.snapshot", self.taken));
        self.etcd.snapshot(&self.etcdctl, &file)?;
        same_status(&file, Verdict::Reliable)?;
        Ok(file)
    }
}

/// One etcd's life, looked at after every turn.
fn a_life(line: &str) -> Result<()> {
    let mut source = Source::new(line, &[])?;
    source.compare().context("empty")?;
    source.etcd.put("one", "value")?;
    source.compare().context("one key")?;
    fill(&source.etcd, 120, 100)?;
    let file = source.compare().context("small")?;
    let now = source.etcd.revision()?;
    same_hashkv(&file, &source.etcd, &source.etcdctl, &[0, 2, now / 2, now])?;

    for i in 0..20 {
        source.etcd.put(
            &format!("/registry/configmaps/default/c{i}"),
            &"y".repeat(1000 * i),
        )?;
    }
    source.compare().context("overflow values")?;
    source.ctl(&["lease", "grant", "600"])?;
    source.ctl(&["user", "add", "root:secret"])?;
    source.ctl(&["role", "add", "reader"])?;
    source.ctl(&[
        "member",
        "add",
        "--learner",
        "new",
        "--peer-urls",
        "http://127.0.0.1:1",
    ])?;
    let file = source.compare().context("lease, user, role, learner")?;
    let inspection = inspect(&FileSource::open(&file)?, "/registry", &mut ignore)?;
    ensure!(
        (
            inspection.leases,
            inspection.auth.users,
            inspection.auth.roles
        ) == (1, 1, 1),
        "{inspection:?}"
    );
    ensure!(
        inspection.members.len() == 2 && inspection.members.iter().any(|member| member.is_learner)
    );
    let learner = inspection
        .members
        .iter()
        .find(|member| member.is_learner)
        .context("no learner")?
        .id;
    source.ctl(&["member", "remove", &learner.to_string()])?;
    let file = source.compare().context("removed member")?;
    let inspection = inspect(&FileSource::open(&file)?, "/registry", &mut ignore)?;
    ensure!(inspection.removed_members == [learner], "{inspection:?}");

    let (last, compacted) = (source.etcd.revision()?, now * 2 / 3);
    source.etcd.compact(compacted)?;
    fill(&source.etcd, 30, 50)?;
    let revisions = [0, compacted + 1, last];
    same_hashkv_later(&file, &source.etcd, &source.etcdctl, last)?;
    let file = source.compare().context("compacted")?;
    same_hashkv(&file, &source.etcd, &source.etcdctl, &revisions)?;
    source.etcd.defragment()?;
    let file = source.compare().context("defragmented")?;
    same_hashkv(&file, &source.etcd, &source.etcdctl, &revisions)?;
    a_raw_copy(&mut source)?;
    bumped(&source, &file)
}

/// The database file of an etcd that was killed: no trailer, a tail that was never used.
fn a_raw_copy(source: &mut Source) -> Result<()> {
    source.etcd.kill();
    let file = source.dir.path().join("copy.db");
    std::fs::copy(source.dir.path().join("data/member/snap/db"), &file)?;
    same_status(&file, Verdict::NoTrailer).context("raw copy")
}

/// The database that `etcdutl snapshot restore --bump-revision` makes.
fn bumped(source: &Source, snapshot: &Path) -> Result<()> {
    let dir = source.dir.path().join("bumped");
    let tools = parts::etcd("3.6")?;
    let args = [
        "snapshot",
        "restore",
        text(snapshot)?,
        "--data-dir",
        text(&dir)?,
    ];
    run(
        &tools.etcdutl,
        &[
            &args[..],
            &["--bump-revision", "1000000", "--mark-compacted"],
        ]
        .concat(),
    )?;
    let file = dir.join("member/snap/db");
    same_status(&file, Verdict::NoTrailer).context("bumped")?;
    let ours = hashkv(&FileSource::open(&file)?, 0, &mut ignore)?;
    // etcdutl opens the file for writing and compacts it, so it gets it last.
    let text = run(&tools.etcdutl, &["hashkv", text(&file)?, "-w", "json"])?;
    let theirs: Value = serde_json::from_str(&text)?;
    ensure!(
        theirs["hash"] == ours.hash,
        "etcdutl: {theirs}, ours: {ours:?}"
    );
    Ok(())
}

#[test]
fn databases_of_3_4_are_read_as_etcdutl_reads_them() -> Result<()> {
    a_life("3.4")
}

#[test]
fn databases_of_3_5_are_read_as_etcdutl_reads_them() -> Result<()> {
    a_life("3.5")
}

#[test]
fn databases_of_3_6_are_read_as_etcdutl_reads_them() -> Result<()> {
    a_life("3.6")
}

#[test]
fn databases_of_3_7_are_read_as_etcdutl_reads_them() -> Result<()> {
    a_life("3.7")
}

#[test]
fn an_alarm_is_told_of() -> Result<()> {
    let mut source = Source::new("3.5", &["--quota-backend-bytes=300000"])?;
    let full = (0..100).find(|i| {
        source
            .etcd
            .put(&format!("k{i}"), &"z".repeat(20_000))
            .is_err()
    });
    ensure!(full.is_some(), "the quota was never reached");
    let file = source.compare()?;
    let inspection = inspect(&FileSource::open(&file)?, "/registry", &mut ignore)?;
    ensure!(inspection.alarms.len() == 1, "{inspection:?}");
    Ok(())
}

#[test]
fn auth_that_is_on_is_told_of() -> Result<()> {
    for line in ["3.4", "3.5", "3.6", "3.7"] {
        let source = Source::new(line, &[])?;
        fill(&source.etcd, 20, 100)?;
        source.ctl(&["user", "add", "root:secret"])?;
        source.ctl(&["auth", "enable"])?;
        let file = source.dir.path().join("auth.snapshot");
        let save = ["--user", "root:secret", "snapshot", "save", text(&file)?];
        source.ctl(&save)?;
        same_status(&file, Verdict::Reliable).context(line)?;
        let auth = inspect(&FileSource::open(&file)?, "/registry", &mut ignore)?.auth;
        ensure!(
            (auth.enabled, auth.users, auth.roles) == (true, 1, 1),
            "{line}: {auth:?}"
        );
    }
    Ok(())
}

#[test]
fn databases_of_other_page_sizes_are_read_as_etcdutl_reads_them() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for (number, page_size) in [1024, 2048, 4096, 8192, 16384, 65536]
        .into_iter()
        .enumerate()
    {
        for freelist in [false, true] {
            let seed = number as u64;
            let history = History {
                changes: 400,
                keys: 90,
                value_len: 700,
                compacted_percent: 30,
                seed,
            };
            let shape = Shape {
                page_size,
                leaf_bytes: page_size * 9 / 10,
                children: 7,
                inline: number % 2 == 0,
                shuffled: true,
                free_percent: 20,
                freelist,
                seed,
            };
            let model = Model::new(&history);
            let file = dir.path().join(format!("{page_size}-{freelist}.snapshot"));
            std::fs::write(&file, with_trailer(build(&model.buckets(), &shape)))?;
            same_status(&file, Verdict::Reliable)?;
            let ours = hashkv(&FileSource::open(&file)?, 0, &mut ignore)?;
            let theirs = run(
                &parts::etcd("3.6")?.etcdutl,
                &["hashkv", text(&file)?, "-w", "json"],
            )?;
            let theirs: Value = serde_json::from_str(&theirs)?;
            ensure!(
                theirs["hash"] == ours.hash,
                "{page_size}: etcdutl: {theirs}, ours: {ours:?}"
            );
        }
    }
    Ok(())
}

/// What etcdutl makes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Theirs {
    Accepted,
    Refused,
    Crashed,
    Hung,
}

fn theirs(etcdutl: &Path, file: &Path) -> Result<Theirs> {
    // To a file: a crash says more than a pipe holds.
    let says = file.with_extension("stderr");
    let mut child = Command::new(etcdutl)
        .args(["snapshot", "status", text(file)?])
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&says)?)
        .spawn()?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > Duration::from_secs(20) {
            child.kill()?;
            child.wait()?;
            return Ok(Theirs::Hung);
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = String::from_utf8_lossy(&std::fs::read(&says)?).into_owned();
    let crashed = said.contains("goroutine ") || status.code().is_none();
    Ok(match (status.success(), crashed) {
        (true, _) => Theirs::Accepted,
        (false, true) => Theirs::Crashed,
        (false, false) => Theirs::Refused,
    })
}

const PAGE: usize = 4096;

type Damage = (&'static str, fn(&mut Vec<u8>, &mut Numbers));

fn flip(bytes: &mut [u8], from: usize, to: usize, numbers: &mut Numbers) {
    let bit = numbers.below((to - from) * 8);
    bytes[from + bit / 8] ^= 1 << (bit % 8);
}

fn some_page(bytes: &[u8], numbers: &mut Numbers) -> usize {
    PAGE * (2 + numbers.below(bytes.len() / PAGE - 2))
}

/// Leaf or branch pages, found by their header.
fn page_of_kind(bytes: &[u8], kind: u8, numbers: &mut Numbers) -> usize {
    loop {
        let at = some_page(bytes, numbers);
        if bytes[at + 8] == kind && bytes[at + 10] > 2 {
            return at;
        }
    }
}

const DAMAGES: [Damage; 14] = [
    ("one bit anywhere", |bytes, numbers| {
        let len = bytes.len();
        flip(bytes, 0, len, numbers);
    }),
    ("one bit in a page's header or table", |bytes, numbers| {
        let at = some_page(bytes, numbers);
        flip(bytes, at, at + 48, numbers);
    }),
    ("one bit in a branch page", |bytes, numbers| {
        let at = page_of_kind(bytes, 1, numbers);
        flip(bytes, at, at + 200, numbers);
    }),
    ("a page of zeros", |bytes, numbers| {
        let at = some_page(bytes, numbers);
        bytes[at..at + PAGE].fill(0);
    }),
    ("two pages swapped", |bytes, numbers| {
        let (a, b) = (
            page_of_kind(bytes, 2, numbers),
            page_of_kind(bytes, 2, numbers),
        );
        let page = bytes[a..a + PAGE].to_vec();
        bytes.copy_within(b..b + PAGE, a);
        bytes[b..b + PAGE].copy_from_slice(&page);
    }),
    ("wild pointer", |bytes, numbers| {
        let at = page_of_kind(bytes, 1, numbers) + 16 + 16 + 8;
        bytes[at..at + 8].copy_from_slice(&(1u64 << 40).to_le_bytes());
    }),
    ("cycle", |bytes, numbers| {
        let at = page_of_kind(bytes, 1, numbers);
        let own = ((at / PAGE) as u64).to_le_bytes();
        bytes[at + 16 + 8..at + 16 + 16].copy_from_slice(&own);
    }),
    ("duplicate child", |bytes, numbers| {
        let at = page_of_kind(bytes, 1, numbers) + 16;
        bytes.copy_within(at + 8..at + 16, at + 16 + 8);
    }),
    ("children in the wrong order", |bytes, numbers| {
        let at = page_of_kind(bytes, 1, numbers) + 16;
        let first = bytes[at + 8..at + 16].to_vec();
        bytes.copy_within(at + 24..at + 32, at + 8);
        bytes[at + 24..at + 32].copy_from_slice(&first);
    }),
    ("count too high", |bytes, numbers| {
        let at = page_of_kind(bytes, 2, numbers) + 10;
        bytes[at..at + 2].copy_from_slice(&40_000u16.to_le_bytes());
    }),
    ("both metas bad", |bytes, _| {
        bytes[20] ^= 1;
        bytes[PAGE + 20] ^= 1;
    }),
    ("cut in the middle", |bytes, numbers| {
        let to = bytes.len() / 2 + numbers.below(bytes.len() / 4);
        bytes.truncate(to);
    }),
    ("cut by a page, trailer kept", |bytes, _| {
        let at = bytes.len() - 32 - PAGE;
        bytes.drain(at..at + PAGE);
    }),
    ("wrong trailer", |bytes, numbers| {
        let len = bytes.len();
        flip(bytes, len - 32, len, numbers);
    }),
];

/// The table in plugin/docs/snapshots.md: what each tool catches. Ours must catch all of it.
#[test]
fn damage_that_etcdutl_passes_or_dies_of_is_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let history = History {
        changes: 900,
        keys: 300,
        value_len: 700,
        compacted_percent: 0,
        seed: 2,
    };
    let shape = Shape {
        children: 12,
        ..Shape::default()
    };
    let snapshot = with_trailer(build(&Model::new(&history).buckets(), &shape));
    let file = dir.path().join("damaged.snapshot");
    std::fs::write(&file, &snapshot)?;
    same_status(&file, Verdict::Reliable)?;
    let tools = parts::etcd("3.6")?.etcdutl;
    let mut table =
        String::from("damage | etcdutl accepts | refuses | crashes | hangs | ours refuses\n");
    for (name, damage) in DAMAGES {
        let (mut counts, mut numbers, runs) = ([0; 4], Numbers::new(6), 12);
        for _ in 0..runs {
            let mut damaged = snapshot.clone();
            damage(&mut damaged, &mut numbers);
            if damaged == snapshot {
                continue;
            }
            // etcdutl 3.6 writes nothing to it, but it must not meet the last one's remains.
            std::fs::write(&file, &damaged)?;
            let verification = verified(&file)?;
            ensure!(
                verification.verdict == Verdict::Damaged,
                "{name}: {verification:?}"
            );
            counts[theirs(&tools, &file)? as usize] += 1;
        }
        let [accepted, refused, crashed, hung] = counts;
        let all: i32 = counts.iter().sum();
        table += &format!("{name} | {accepted} | {refused} | {crashed} | {hung} | {all}\n");
    }
    std::io::stdout().write_all(table.as_bytes())?;
    Ok(())
}

/// A copy of a database that etcd writes to is never called reliable, and a torn one is found at least as often as by
/// etcdutl.
#[test]
fn a_torn_copy_of_a_live_database_is_found() -> Result<()> {
    let source = Source::new("3.5", &[])?;
    fill(&source.etcd, 400, 3000)?;
    let tools = parts::etcd("3.6")?.etcdutl;
    let database = source.dir.path().join("data/member/snap/db");
    let (mut torn, mut whole) = (0, 0);
    for round in 0..6 {
        let copy = source.dir.path().join(format!("copy-{round}.db"));
        let (mut from, mut to) = (
            std::fs::File::open(&database)?,
            std::fs::File::create(&copy)?,
        );
        let mut buffer = vec![0; 64 << 10];
        for number in 0.. {
            let n = from.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            to.write_all(&buffer[..n])?;
            source.etcd.put(
                &format!("/registry/pods/default/p{}", number % 400),
                &"w".repeat(3000),
            )?;
        }
        let verification = verified(&copy)?;
        ensure!(
            verification.verdict != Verdict::Reliable,
            "{verification:?}"
        );
        let theirs = theirs(&tools, &copy)?;
        let ours_finds = verification.verdict == Verdict::Damaged;
        ensure!(
            ours_finds || theirs == Theirs::Accepted,
            "etcdutl: {theirs:?}, ours: {verification:?}"
        );
        if ours_finds { torn += 1 } else { whole += 1 }
    }
    std::io::stdout().write_all(format!("{torn} copies torn, {whole} whole\n").as_bytes())?;
    Ok(())
}
