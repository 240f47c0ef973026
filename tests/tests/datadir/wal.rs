//! Data directories of real etcds, damaged as disks and people do it: what the inspection says and what etcd does.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use etcd_datadir::datadir::{DataDir, Finding, InspectOptions, Loss, Refusal, Verdict, inspect};
use etcd_datadir::membership::Source;
use etcd_datadir::progress::ignore;
use etcd_datadir::wal::{WalDamageKind, list_segments, read_wal};
use testbed::local::{Etcd, Place, fill, initial_cluster, run, server};
use testbed::parts;

fn look(data_dir: &Path) -> Result<DataDir> {
    Ok(inspect(data_dir, &InspectOptions::default(), &mut ignore)?)
}

/// Copies a directory, so that one source can be damaged in many ways.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A stopped member of its own with some writes, and where it listened.
fn stopped(dir: &Path, line: &str, more: &[&str]) -> Result<(PathBuf, Place)> {
    let data_dir = dir.join("source");
    let place = Place::new("m1")?;
    let mut etcd = Etcd::start(
        &server(line)?,
        &place,
        std::slice::from_ref(&place),
        &data_dir,
        more,
    )?;
    etcd.wait_ready()?;
    fill(&etcd, 100, 50)?;
    // So that all of it is in the database, too.
    etcd.snapshot(&parts::etcd("3.5")?.etcdctl, &dir.join("snapshot"))?;
    etcd.kill();
    Ok((data_dir, place))
}

fn last_segment(data_dir: &Path) -> Result<PathBuf> {
    let wal_dir = data_dir.join("member/wal");
    let last = list_segments(&wal_dir)?.pop().context("no segment")?;
    Ok(wal_dir.join(last.to_string()))
}

/// Where the last segment's records end.
fn used(data_dir: &Path) -> Result<u64> {
    let wal = read_wal(&data_dir.join("member/wal"), &mut ignore)?.context("no WAL")?;
    Ok(wal.segments.last().context("no segment")?.used_bytes)
}

/// Starts etcd; whether it serves and what its log says.
fn starts(line: &str, data_dir: &Path, place: &Place) -> Result<(bool, String)> {
    let mut etcd = Etcd::start(
        &server(line)?,
        place,
        std::slice::from_ref(place),
        data_dir,
        &[],
    )?;
    let serves = etcd.wait_ready().is_ok();
    Ok((serves, etcd.log_end()))
}

#[test]
fn a_whole_directory_of_each_release_starts_as_it_is() -> Result<()> {
    for line in ["3.4", "3.5", "3.6", "3.7"] {
        let dir = tempfile::tempdir()?;
        let (data_dir, place) = stopped(dir.path(), line, &["--snapshot-count", "50"])?;
        let found = look(&data_dir)?;
        assert!(
            matches!(found.verdict, Verdict::Starts(_)),
            "{line}: {:?}",
            found.verdict
        );
        assert_eq!(found.membership.differences, [], "{line}");
        let sources: Vec<Source> = found
            .membership
            .views
            .iter()
            .map(|(source, _)| *source)
            .collect();
        // etcd 3.7 writes no .snap file.
        let expected = [Source::Wal, Source::Snap, Source::Database];
        assert!(
            expected
                .iter()
                .filter(|s| line != "3.7" || **s != Source::Snap)
                .all(|s| sources.contains(s)),
            "{line}: {sources:?}"
        );
        let id = found.member_id.context("no member id")?;
        for (source, view) in &found.membership.views {
            let member = view
                .members
                .get(&id)
                .with_context(|| format!("{line}: not in {source}"))?;
            if *source != Source::Wal {
                assert_eq!(member.peer_urls.as_deref(), Some(&[place.peer_url()][..]));
            }
        }
        let facts = found.database.facts().context("no database")?;
        let wal = found.wal.as_ref().context("no WAL")?;
        assert!(facts.consistent_index() <= wal.last.index && wal.commit() <= wal.last.index);
        assert!(found.database.is_whole());
    }
    Ok(())
}

#[test]
fn a_running_etcd_is_noticed_and_not_disturbed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data_dir = dir.path().join("data");
    let etcd = Etcd::alone(&server("3.5")?, &data_dir)?;
    assert_eq!(look(&data_dir)?.verdict, Verdict::Running);
    etcd.put("still", "alive")?;
    // The WAL alone tells it, too.
    let copied = dir.path().join("no-db");
    fs::create_dir_all(&copied)?;
    let options = InspectOptions {
        wal_dir: Some(data_dir.join("member/wal")),
        ..InspectOptions::default()
    };
    assert_eq!(
        inspect(&copied, &options, &mut ignore)?.verdict,
        Verdict::Running
    );
    Ok(())
}

#[test]
fn a_tail_that_etcd_repairs_is_read_the_same() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (source, place) = stopped(dir.path(), "3.5", &[])?;
    let (end, before) = (used(&source)?, look(&source)?);
    let before_last = before.wal.context("no WAL")?.last;
    // A record of 4000 bytes of which only the first sectors came to disk; with and without the rest of the file.
    let torn = [&4000u64.to_le_bytes()[..], &[7; 1000]].concat();
    let tails: [(u64, &[u8], bool); 5] = [
        (1, &[], true),
        (9, &[], true),
        (0, &torn[..3], true),
        (0, &torn[..100], true),
        (0, &torn, false),
    ];
    for (i, (cut, more, short)) in tails.into_iter().enumerate() {
        let data_dir = dir.path().join(format!("tail-{i}"));
        copy(&source, &data_dir)?;
        let segment = fs::File::options()
            .write(true)
            .open(last_segment(&data_dir)?)?;
        segment.write_all_at(more, end - cut)?;
        if short {
            segment.set_len(end - cut + more.len() as u64)?;
        }
        let found = look(&data_dir)?;
        let Verdict::StartsWithLoss(_, losses) = &found.verdict else {
            panic!("tail {i}: {:?}", found.verdict)
        };
        let [Loss::TornRecord { offset, .. }] = losses.as_slice() else {
            panic!("{losses:?}")
        };
        let ours = found.wal.as_ref().context("no WAL")?.last;
        assert!(ours <= before_last);
        let (serves, log) = starts("3.5", &data_dir, &place)?;
        assert!(serves, "{log}");
        let broken = last_segment(&data_dir)?.with_extension("wal.broken");
        assert!(broken.exists(), "etcd repaired nothing");
        // etcd cut where we said it would: what it wrote since begins there.
        let repaired = look(&data_dir)?;
        assert!(
            matches!(repaired.verdict, Verdict::Starts(_)),
            "{:?}",
            repaired.verdict
        );
        let wal = fs::read(last_segment(&data_dir)?)?;
        assert_eq!(
            wal[..usize::try_from(*offset)?],
            fs::read(broken)?[..usize::try_from(*offset)?]
        );
        assert!(repaired.wal.context("no WAL")?.last.index > ours.index);
    }
    Ok(())
}

/// What is done to a copy of a directory, what the inspection must say and whether etcd starts.
struct Case {
    name: &'static str,
    damage: fn(&Path) -> Result<()>,
    expected: fn(&Verdict) -> bool,
    etcd_starts: bool,
}

fn flip(path: &Path, offset: u64) -> Result<()> {
    let file = fs::File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    file.write_all_at(&[byte[0] ^ 0x10], offset)?;
    Ok(())
}

fn segments(data_dir: &Path) -> Result<Vec<PathBuf>> {
    let wal_dir = data_dir.join("member/wal");
    Ok(list_segments(&wal_dir)?
        .iter()
        .map(|name| wal_dir.join(name.to_string()))
        .collect())
}

const CASES: &[Case] = &[
    Case {
        name: "a flipped bit in an entry",
        damage: |dir| {
            let path = &segments(dir)?[0];
            let value = fs::read(path)?
                .windows(40)
                .position(|bytes| bytes == [b'x'; 40])
                .context("no value")?;
            flip(path, value as u64 + 20)
        },
        expected: |v| matches!(v, Verdict::RestoreFrom(Refusal::WalDamaged(d)) if matches!(d.kind, WalDamageKind::CrcMismatch { .. })),
        etcd_starts: false,
    },
    Case {
        name: "a missing segment in the middle",
        damage: |dir| Ok(fs::remove_file(&segments(dir)?[1])?),
        expected: |v| matches!(v, Verdict::RestoreFrom(Refusal::WalDamaged(d)) if matches!(d.kind, WalDamageKind::MissingSegments { count: 1, .. })),
        etcd_starts: false,
    },
    Case {
        name: "the last segment is missing",
        damage: |dir| {
            Ok(fs::remove_file(
                segments(dir)?.last().context("no segment")?,
            )?)
        },
        expected: |v| {
            matches!(
                v,
                Verdict::RestoreFrom(
                    Refusal::DatabaseAhead { .. } | Refusal::CommitBeyondLog { .. }
                )
            )
        },
        // It starts, into a log that is shorter than what the database holds: writes are lost in silence.
        etcd_starts: true,
    },
    Case {
        name: "no WAL",
        damage: |dir| Ok(fs::remove_dir_all(dir.join("member/wal"))?),
        expected: |v| matches!(v, Verdict::RestoreFrom(Refusal::NoWal { .. })),
        etcd_starts: true,
    },
    Case {
        name: "no database",
        damage: |dir| Ok(fs::remove_file(dir.join("member/snap/db"))?),
        expected: |v| matches!(v, Verdict::BeyondUse(Refusal::DatabaseMissing)),
        etcd_starts: false,
    },
    Case {
        name: "a page of the database is zeroed",
        damage: |dir| {
            let path = dir.join("member/snap/db");
            let file = fs::File::options().write(true).open(path)?;
            for page in 2..6 {
                file.write_all_at(&[0; 4096], page * 4096)?;
            }
            Ok(())
        },
        expected: |v| matches!(v, Verdict::BeyondUse(Refusal::DatabaseDamaged(_))),
        etcd_starts: false,
    },
];

#[test]
fn damage_is_told_apart_and_etcd_agrees() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (source, place) = stopped(dir.path(), "3.5", &["--snapshot-count", "50"])?;
    grow_segments(&source, &place)?;
    assert!(segments(&source)?.len() >= 3, "{:?}", segments(&source)?);
    for (i, case) in CASES.iter().enumerate() {
        let data_dir = dir.path().join(format!("case-{i}"));
        copy(&source, &data_dir)?;
        (case.damage)(&data_dir)?;
        let found = look(&data_dir)?;
        assert!(
            (case.expected)(&found.verdict),
            "{}: {:?}",
            case.name,
            found.verdict
        );
        let (serves, log) = starts("3.5", &data_dir, &place)?;
        assert_eq!(serves, case.etcd_starts, "{}: {log}", case.name);
    }
    Ok(())
}

/// Makes a WAL of several segments by writing more than 64 MB into each.
fn grow_segments(data_dir: &Path, place: &Place) -> Result<()> {
    let more = ["--snapshot-count", "50", "--max-request-bytes", "10000000"];
    let mut etcd = Etcd::start(
        &server("3.5")?,
        place,
        std::slice::from_ref(place),
        data_dir,
        &more,
    )?;
    etcd.wait_ready()?;
    let value = "v".repeat(5_000_000);
    for i in 0..30 {
        etcd.put(&format!("big-{}", i % 3), &value)?;
    }
    etcd.snapshot(
        &parts::etcd("3.5")?.etcdctl,
        &data_dir.with_extension("again"),
    )?;
    etcd.kill();
    Ok(())
}

#[test]
fn a_log_from_the_first_entry_on_makes_up_for_a_lost_database() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (data_dir, place) = stopped(dir.path(), "3.5", &[])?;
    fs::remove_file(data_dir.join("member/snap/db"))?;
    let found = look(&data_dir)?;
    assert!(
        matches!(&found.verdict, Verdict::Starts(start) if start.rebuilds_database),
        "{:?}",
        found.verdict
    );
    assert!(found.findings.contains(&Finding::DatabaseRebuilt));
    let mut etcd = Etcd::start(
        &server("3.5")?,
        &place,
        std::slice::from_ref(&place),
        &data_dir,
        &[],
    )?;
    etcd.wait_ready()?;
    assert!(etcd.get("/registry/pods/default/p1")?.is_some());
    Ok(())
}

#[test]
fn directories_restored_by_etcdutl_are_read() -> Result<()> {
    let dir = tempfile::tempdir()?;
    stopped(dir.path(), "3.5", &[])?;
    let places = Place::several(3)?;
    let cluster = initial_cluster(&places);
    let file = dir.path().join("snapshot");
    let file = file.to_str().context("path")?;
    for (name, tool) in [
        ("3.4", parts::etcdctl_of_debian()?),
        ("3.5", parts::etcd("3.5")?.etcdutl),
        ("3.6", parts::etcd("3.6")?.etcdutl),
        ("3.7", parts::etcd("3.7")?.etcdutl),
    ] {
        let data_dir = dir.path().join(name);
        let (peer, path) = (places[1].peer_url(), data_dir.to_str().context("path")?);
        let args = [
            "snapshot",
            "restore",
            file,
            "--name",
            "m2",
            "--initial-advertise-peer-urls",
            &peer,
        ];
        run(
            &tool,
            &[
                &args[..],
                &["--initial-cluster", &cluster, "--data-dir", path],
            ]
            .concat(),
        )?;
        let found = look(&data_dir)?;
        assert!(
            matches!(found.verdict, Verdict::Starts(_)),
            "{name}: {:?}",
            found.verdict
        );
        let wal = found.wal.as_ref().context("no WAL")?;
        assert_eq!(
            (wal.last.term, wal.last.index, wal.commit()),
            (1, 3, 3),
            "{name}"
        );
        let snap = found.membership.view(Source::Snap).context("no .snap")?;
        assert_eq!(snap.members.len(), 3);
        // The membership etcdctl 3.4 leaves in the database is the old one: what makes etcd 3.6 panic.
        assert_eq!(
            found.membership.differences.is_empty(),
            name != "3.4",
            "{name}: {:?}",
            found.membership.differences
        );
    }
    Ok(())
}
