//! Restored directories against etcd and etcdutl themselves: equal files, and etcds that run on them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use etcd_datadir::progress::ignore;
use etcd_datadir::restore::{
    EtcdVersion, NewMember, RawDatabase, RestoreError, RestoreOptions, RestoreReport,
    RestoreTarget, StoragePolicy, Token, restore,
};
use serde_json::{Value, json};
use testbed::local::{Etcd, Place, fill, initial_cluster, run, server};
use testbed::parts;

const TOKEN: &str = "etcd-cluster";
const BUMP: u64 = 1_000_000_000;

/// A snapshot of an etcd of this line with so many keys.
fn snapshot(
    dir: &Path,
    line: &str,
    keys: usize,
    value_bytes: usize,
) -> Result<(PathBuf, (u64, i64))> {
    let etcdctl = parts::etcd("3.5")?.etcdctl;
    let file = dir.join(format!("{line}-{keys}.snapshot"));
    let etcd = Etcd::alone(&server(line)?, &dir.join(format!("source-{line}-{keys}")))?;
    fill(&etcd, keys, value_bytes)?;
    etcd.snapshot(&etcdctl, &file)?;
    Ok((file, etcd.hashkv(&etcdctl, 0)?))
}

fn options(places: &[Place]) -> Result<RestoreOptions> {
    Ok(RestoreOptions::new(NewMember::parse_list(
        &initial_cluster(places),
    )?))
}

fn ours(
    snapshot: &Path,
    places: &[Place],
    dir: &Path,
    options: &RestoreOptions,
) -> Result<RestoreReport> {
    let target = |place: &Place| RestoreTarget::new(&place.name, dir.join(&place.name));
    let targets: Vec<_> = places.iter().map(target).collect();
    Ok(restore(snapshot, &targets, options, &mut ignore)?)
}

fn theirs(
    etcdutl: &Path,
    snapshot: &Path,
    places: &[Place],
    me: &Place,
    dir: &Path,
    more: &[&str],
) -> Result<()> {
    let mut args = vec!["snapshot", "restore", snapshot.to_str().context("path")?];
    let (peer, cluster, dir) = (
        me.peer_url(),
        initial_cluster(places),
        dir.to_str().context("path")?,
    );
    args.extend(["--name", &me.name, "--initial-advertise-peer-urls", &peer]);
    args.extend([
        "--initial-cluster",
        &cluster,
        "--initial-cluster-token",
        TOKEN,
        "--data-dir",
        dir,
    ]);
    args.extend(more);
    run(etcdutl, &args).map(drop)
}

fn only_file(dir: &Path, ending: &str) -> Result<PathBuf> {
    let names = std::fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let mut found = names
        .iter()
        .map(std::fs::DirEntry::path)
        .filter(|p| p.to_string_lossy().ends_with(ending));
    let one = found
        .next()
        .with_context(|| format!("no *{ending} in {}", dir.display()))?;
    anyhow::ensure!(found.next().is_none(), "several *{ending}");
    Ok(one)
}

fn status(etcdutl: &Path, data_dir: &Path) -> Result<Value> {
    let db = data_dir.join("member/snap/db");
    let text = run(
        etcdutl,
        &[
            "snapshot",
            "status",
            db.to_str().context("path")?,
            "-w",
            "json",
        ],
    )?;
    Ok(serde_json::from_str(&text)?)
}

/// Restores with etcdutl and with ours and compares every file.
fn compare(etcdutl: &Path, file: &Path, places: &[Place], dir: &Path, bump: bool) -> Result<()> {
    let bump_by = BUMP.to_string();
    let more: &[&str] = if bump {
        &["--bump-revision", &bump_by, "--mark-compacted"]
    } else {
        &[]
    };
    let mut options = options(places)?;
    options.token = Token::Given(TOKEN.to_owned());
    options.bump_revision = NonZeroU64::new(BUMP).filter(|_| bump);
    let report = ours(file, places, &dir.join("ours"), &options)?;
    for place in places {
        let (our_dir, their_dir) = (
            dir.join("ours").join(&place.name),
            dir.join("theirs").join(&place.name),
        );
        std::fs::create_dir_all(dir.join("theirs"))?;
        theirs(etcdutl, file, places, place, &their_dir, more)?;
        for (sub, ending) in [("member/wal", ".wal"), ("member/snap", ".snap")] {
            let (our_file, their_file) = (
                only_file(&our_dir.join(sub), ending)?,
                only_file(&their_dir.join(sub), ending)?,
            );
            assert_eq!(our_file.file_name(), their_file.file_name());
            let equal = std::fs::read(&our_file)? == std::fs::read(&their_file)?;
            assert!(
                equal,
                "{} differs from {}",
                our_file.display(),
                their_file.display()
            );
        }
        let (our_status, their_status) = (status(etcdutl, &our_dir)?, status(etcdutl, &their_dir)?);
        for field in ["hash", "revision", "totalKey"] {
            assert_eq!(
                our_status[field], their_status[field],
                "{field} of {}",
                place.name
            );
        }
        assert_eq!(our_status["hash"], json!(report.status.hash));
        assert_eq!(our_status["revision"], json!(report.revision_after));
    }
    Ok(())
}

#[test]
fn files_are_those_of_etcdutl_to_the_byte() -> Result<()> {
    let etcdutl = parts::etcd("3.5")?.etcdutl;
    // No key at all, one leaf page, overflow values, two levels of branches.
    let kinds = [(0, 0), (3, 10), (5, 9000), (9000, 20)];
    std::thread::scope(|scope| {
        let all = kinds.map(|(keys, bytes)| {
            let etcdutl = &etcdutl;
            scope.spawn(move || files_of(etcdutl, keys, bytes))
        });
        all.into_iter()
            .try_for_each(|one| one.join().expect("its panic is shown"))
    })
}

fn files_of(etcdutl: &Path, keys: usize, value_bytes: usize) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (file, _) = snapshot(dir.path(), "3.5", keys, value_bytes)?;
    for members in [1, 3, 7] {
        for bump in [false, true] {
            let sub = dir.path().join(format!("{members}-{bump}"));
            compare(etcdutl, &file, &Place::several(members)?, &sub, bump).with_context(|| {
                format!("{keys} keys of {value_bytes}, {members} members, bump {bump}")
            })?;
        }
    }
    Ok(())
}

#[test]
fn newer_etcdutls_make_the_same_ids_and_records() -> Result<()> {
    for line in ["3.6", "3.7"] {
        let dir = tempfile::tempdir()?;
        let (file, _) = snapshot(dir.path(), line, 10, 10)?;
        let places = Place::several(3)?;
        let mut options = options(&places)?;
        options.token = Token::Given(TOKEN.to_owned());
        ours(&file, &places, &dir.path().join("ours"), &options)?;
        let etcdutl = parts::etcd(line)?.etcdutl;
        for place in &places {
            let (our_dir, their_dir) = (
                dir.path().join("ours").join(&place.name),
                dir.path().join(&place.name),
            );
            theirs(&etcdutl, &file, &places, place, &their_dir, &[])?;
            assert_eq!(
                status(&etcdutl, &our_dir)?["hash"],
                status(&etcdutl, &their_dir)?["hash"]
            );
            let [our_wal, their_wal] = [&our_dir, &their_dir].map(|dir| wal(dir));
            let (our_wal, their_wal) = (our_wal?, their_wal?);
            assert_eq!(our_wal.metadata, their_wal.metadata);
            assert_eq!(our_wal.changes, their_wal.changes);
            assert_eq!(
                (our_wal.hard_state, our_wal.last),
                (their_wal.hard_state, their_wal.last)
            );
            assert_eq!(our_wal.snapshots, their_wal.snapshots);
            let [our_snap, their_snap] =
                [&our_dir, &their_dir].map(|dir| only_file(&dir.join("member/snap"), ".snap"));
            let (our_snap, their_snap) = (our_snap?, their_snap?);
            let read = etcd_datadir::snap::read_snap;
            assert_eq!(read(&our_snap)?, read(&their_snap)?);
        }
    }
    Ok(())
}

fn wal(data_dir: &Path) -> Result<etcd_datadir::wal::WalSummary> {
    let wal = etcd_datadir::wal::read_wal(&data_dir.join("member/wal"), &mut ignore)?;
    wal.context("no WAL")
}

/// What must work on a member after a restore.
fn use_it(etcd: &Etcd, revision: u64) -> Result<()> {
    assert_eq!(etcd.revision()?, revision);
    assert_eq!(etcd.put("after", "the restore")?, revision + 1);
    etcd.compact(revision + 1)?;
    etcd.defragment()?;
    assert_eq!(etcd.get("after")?.as_deref(), Some("the restore"));
    Ok(())
}

/// Restores for one member without and with a bump and runs an etcd of `line` on it.
fn runs_on(line: &str, from: &str) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (file, hashkv) = snapshot(dir.path(), from, 200, 50)?;
    let (binary, etcdctl) = (server(line)?, parts::etcd("3.5")?.etcdctl);
    for bump in [None, NonZeroU64::new(BUMP)] {
        let places = Place::several(1)?;
        let mut options = options(&places)?;
        options.bump_revision = bump;
        options.for_etcd = EtcdVersion::parse(line);
        options.storage = StoragePolicy::Lower;
        let sub = dir.path().join(format!("{bump:?}"));
        let report = ours(&file, &places, &sub, &options)?;
        let data_dir = sub.join("m1");
        let mut etcd = Etcd::start(&binary, &places[0], &places, &data_dir, &[])?;
        etcd.wait_ready()?;
        match bump {
            None => assert_eq!(etcd.hashkv(&etcdctl, 0)?, hashkv, "{from} on {line}"),
            Some(_) => {
                let answer = etcd.watch_from(report.revision_before)?;
                assert_eq!(answer["canceled"], json!(true), "{answer}");
                assert_eq!(
                    answer["compact_revision"],
                    json!(report.revision_after.to_string()),
                    "{answer}"
                );
            }
        }
        use_it(&etcd, report.revision_after)?;
        etcd.kill();
        let mut etcd = Etcd::start(&binary, &places[0], &places, &data_dir, &[])?;
        etcd.wait_ready()?;
        assert_eq!(etcd.get("after")?.as_deref(), Some("the restore"));
        assert_eq!(
            etcd.get("/registry/pods/default/p1")?.map(|v| v.len()),
            Some("1-1-".len() + 50)
        );
    }
    Ok(())
}

#[test]
fn one_member_runs_on_3_4() -> Result<()> {
    runs_on("3.4", "3.4")
}

#[test]
fn one_member_runs_on_3_5() -> Result<()> {
    runs_on("3.5", "3.4")?;
    runs_on("3.5", "3.6")
}

#[test]
fn one_member_runs_on_3_6() -> Result<()> {
    runs_on("3.6", "3.5")?;
    // With the storage version lowered, which etcd 3.6 would otherwise refuse.
    runs_on("3.6", "3.7")
}

#[test]
fn one_member_runs_on_3_7() -> Result<()> {
    runs_on("3.7", "3.5")?;
    runs_on("3.7", "3.7")
}

#[test]
fn what_etcd_would_refuse_is_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (file, _) = snapshot(dir.path(), "3.7", 3, 3)?;
    let places = Place::several(1)?;
    let mut options = options(&places)?;
    options.for_etcd = EtcdVersion::parse("3.6");
    let target = [RestoreTarget::new("m1", dir.path().join("refused"))];
    let refused = restore(&file, &target, &options, &mut ignore);
    assert!(
        matches!(refused, Err(RestoreError::StorageVersion { .. })),
        "{refused:?}"
    );
    assert!(!dir.path().join("refused").exists());
    // etcd itself, to see that it is so.
    options.for_etcd = None;
    ours(&file, &places, dir.path(), &options)?;
    let mut etcd = Etcd::start(
        &server("3.6")?,
        &places[0],
        &places,
        &dir.path().join("m1"),
        &[],
    )?;
    let log = etcd.wait_end()?;
    assert!(log.contains("is not supported"), "{log}");
    Ok(())
}

/// Restores for three members and runs an etcd of its line on each.
fn three_run(lines: [&str; 3]) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (file, hashkv) = snapshot(dir.path(), "3.5", 200, 50)?;
    let etcdctl = parts::etcd("3.5")?.etcdctl;
    let places = Place::several(3)?;
    let report = ours(&file, &places, dir.path(), &options(&places)?)?;
    let mut etcds = Vec::new();
    for (place, line) in places.iter().zip(lines) {
        etcds.push(Etcd::start(
            &server(line)?,
            place,
            &places,
            &dir.path().join(&place.name),
            &[],
        )?);
    }
    for etcd in &mut etcds {
        etcd.wait_ready()?;
    }
    for etcd in &etcds {
        assert_eq!(
            etcd.hashkv(&etcdctl, report.revision_after)?,
            hashkv,
            "{}",
            etcd.place.name
        );
    }
    etcds[0].put("to", "all")?;
    for etcd in &etcds {
        assert_eq!(etcd.get("to")?.as_deref(), Some("all"));
    }
    Ok(())
}

#[test]
fn three_members_run_on_3_4() -> Result<()> {
    three_run(["3.4", "3.4", "3.4"])
}

#[test]
fn three_members_run_on_3_5_and_3_6_mixed() -> Result<()> {
    three_run(["3.5", "3.6", "3.5"])
}

#[test]
fn three_members_run_on_3_7() -> Result<()> {
    three_run(["3.7", "3.7", "3.7"])
}

#[test]
fn a_raw_database_needs_a_word_and_must_not_be_in_use() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let etcdctl = parts::etcd("3.5")?.etcdctl;
    let mut etcd = Etcd::alone(&server("3.5")?, &dir.path().join("source"))?;
    fill(&etcd, 50, 50)?;
    let hashkv = etcd.hashkv(&etcdctl, 0)?;
    etcd.snapshot(&etcdctl, &dir.path().join("snapshot"))?;
    let db = dir.path().join("source/member/snap/db");
    let places = Place::several(1)?;
    let mut options = options(&places)?;
    let targets = [RestoreTarget::new("m1", dir.path().join("m1"))];
    let refused = restore(&db, &targets, &options, &mut ignore);
    assert!(
        matches!(refused, Err(RestoreError::Raw { .. })),
        "{refused:?}"
    );
    options.raw = RawDatabase::AcceptAfterCheck;
    let refused = restore(&db, &targets, &options, &mut ignore);
    assert!(
        matches!(refused, Err(RestoreError::InUse { .. })),
        "{refused:?}"
    );
    etcd.kill();
    restore(&db, &targets, &options, &mut ignore)?;
    let mut etcd = Etcd::start(
        &server("3.5")?,
        &places[0],
        &places,
        &dir.path().join("m1"),
        &[],
    )?;
    etcd.wait_ready()?;
    assert_eq!(etcd.hashkv(&etcdctl, 0)?, hashkv);
    Ok(())
}

/// A snapshot of some megabytes, so that a restore takes a while.
fn large_snapshot(dir: &Path) -> Result<PathBuf> {
    Ok(snapshot(dir, "3.5", 700, 100_000)?.0)
}

const CHILD: &str = "DATADIR_RESTORE_CHILD";

#[test]
#[ignore = "what the test below runs as a process of its own, to kill it"]
fn restore_child() -> Result<()> {
    let dir = PathBuf::from(std::env::var(CHILD).context("run by the test that kills it only")?);
    let options = RestoreOptions::new(NewMember::parse_list("m1=http://127.0.0.1:2380")?);
    let target = [RestoreTarget::new("m1", dir.join("target"))];
    restore(&dir.join("snapshot"), &target, &options, &mut ignore)?;
    Ok(())
}

#[test]
fn killed_at_any_moment_the_target_is_absent_or_complete() -> Result<()> {
    use etcd_datadir::datadir::{InspectOptions, Verdict, inspect};
    let dir = tempfile::tempdir()?;
    std::fs::rename(large_snapshot(dir.path())?, dir.path().join("snapshot"))?;
    let target = dir.path().join("target");
    let start = || {
        let mut child = std::process::Command::new(std::env::current_exe()?);
        child
            .args(["--ignored", "--exact", "restore::restore_child"])
            .env(CHILD, dir.path());
        child
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        Ok::<_, anyhow::Error>(child.spawn()?)
    };
    let began = std::time::Instant::now();
    anyhow::ensure!(
        start()?.wait()?.success(),
        "the child does not restore at all"
    );
    let whole = began.elapsed();
    let (mut absent, mut complete) = (0, 0);
    const ROUNDS: u32 = 24;
    for round in 0..2 * ROUNDS {
        // On a busy machine most of them may come before the end, or after it.
        if round >= ROUNDS && absent > 3 && complete > 3 {
            break;
        }
        if target.exists() {
            std::fs::remove_dir_all(&target)?;
        }
        let mut child = start()?;
        // How long a restore takes differs with the load: some rounds go by what the child has done, not by the clock.
        match round % 6 {
            0 => wait_for(&mut child, || target.exists())?,
            1 => {
                // By name: it also removes what killed ones left, so their number may stay the same.
                let before = entries(dir.path())?;
                wait_for(&mut child, || {
                    entries(dir.path()).is_ok_and(|now| !now.is_subset(&before))
                })?;
            }
            _ => std::thread::sleep(whole * (round % ROUNDS + 1) * 5 / (ROUNDS * 4)),
        }
        child.kill()?;
        child.wait()?;
        if !target.exists() {
            absent += 1;
            continue;
        }
        complete += 1;
        let found = inspect(&target, &InspectOptions::default(), &mut ignore)?;
        assert!(
            matches!(found.verdict, Verdict::Starts(_)),
            "round {round}: {:?}",
            found.verdict
        );
        assert!(found.database.is_whole());
    }
    assert!(
        absent > 3 && complete > 3,
        "{absent} absent, {complete} complete: the kills did not hit"
    );
    Ok(())
}

fn entries(dir: &Path) -> Result<BTreeSet<OsString>> {
    let names = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name()));
    names.collect()
}

/// Waits closely for something a child does; a child that ends without it is an error.
fn wait_for(child: &mut std::process::Child, done: impl Fn() -> bool) -> Result<()> {
    while !done() {
        anyhow::ensure!(
            child.try_wait()?.is_none() || done(),
            "the child ended before"
        );
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    Ok(())
}

/// A small file system in memory.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Result<Self> {
        std::fs::create_dir_all(at)?;
        let path = at.to_str().context("path")?;
        run(
            Path::new("mount"),
            &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", path],
        )?;
        Ok(Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_an_error_that_leaves_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = large_snapshot(dir.path())?;
    let options = RestoreOptions::new(NewMember::parse_list("m1=http://127.0.0.1:2380")?);
    // Not even room for the WAL; room for that but not for the database.
    for size in ["32m", "100m"] {
        let disk = SmallDisk::mount(&dir.path().join(size), size)?;
        let target = [RestoreTarget::new("m1", disk.0.join("target"))];
        let failed = restore(&file, &target, &options, &mut ignore);
        let Err(RestoreError::Files(etcd_datadir::Error::Io { source, .. })) = &failed else {
            panic!("{size}: {failed:?}")
        };
        assert_eq!(
            source.kind(),
            std::io::ErrorKind::StorageFull,
            "{size}: {source}"
        );
        assert_eq!(
            std::fs::read_dir(&disk.0)?.count(),
            0,
            "{size}: something was left"
        );
    }
    Ok(())
}

#[test]
fn a_damaged_snapshot_is_refused_and_leaves_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (file, _) = snapshot(dir.path(), "3.5", 200, 500)?;
    let whole = std::fs::read(&file)?;
    let options = RestoreOptions::new(NewMember::parse_list("m1=http://127.0.0.1:2380")?);
    let out = dir.path().join("out");
    std::fs::create_dir(&out)?;
    // A flipped bit anywhere: trailer, page header, key, value, free page.
    for i in 0..40 {
        let mut bytes = whole.clone();
        let at = bytes.len() / 40 * i + 17;
        bytes[at] ^= 1 << (i % 8);
        std::fs::write(&file, &bytes)?;
        let target = [RestoreTarget::new("m1", out.join("target"))];
        let refused = restore(&file, &target, &options, &mut ignore);
        assert!(
            matches!(
                refused,
                Err(RestoreError::Files(etcd_datadir::Error::Damaged { .. }))
            ),
            "byte {at}: {refused:?}"
        );
        assert_eq!(std::fs::read_dir(&out)?.count(), 0);
    }
    Ok(())
}

#[test]
fn nothing_is_restored_over_a_directory() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (file, _) = snapshot(dir.path(), "3.5", 3, 3)?;
    let options = RestoreOptions::new(NewMember::parse_list("m1=http://127.0.0.1:2380")?);
    let data_dir = dir.path().join("data");
    std::fs::create_dir(&data_dir)?;
    let mut target = RestoreTarget::new("m1", &data_dir);
    let again = |target: &RestoreTarget| {
        restore(&file, std::slice::from_ref(target), &options, &mut ignore)
    };
    assert!(matches!(again(&target), Err(RestoreError::Exists(_))));
    // A disk of its own has something in it already, only no member.
    std::fs::create_dir(data_dir.join("lost+found"))?;
    target.into_existing = true;
    target.wal_dir = Some(dir.path().join("wal"));
    again(&target)?;
    assert!(data_dir.join("member/snap/db").exists() && data_dir.join("lost+found").exists());
    assert!(
        dir.path()
            .join("wal/0000000000000000-0000000000000000.wal")
            .exists()
    );
    assert!(matches!(again(&target), Err(RestoreError::Exists(_))));
    Ok(())
}
