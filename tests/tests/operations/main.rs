//! Every operation against real etcds that speak TLS: whole, without a quorum, frozen, full, with wrong certificates.

mod members;
mod membership;
mod pki;

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use etcd_datadir::verify::{Verdict, VerifyOptions, verify};
use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::operation::{AlarmDisarm, Operation, SnapshotSave, Usage};
use etcd_operations::pack::unpack::{Spool, open};
use etcd_operations::pack::{Level, Packing, Wanted};
use etcd_operations::report::{AlarmKind, Consistency, Report, SnapshotReport};
use members::{Members, run_on, timed};
use serde_json::Value;
use testbed::parts;

const LINES: [&str; 4] = ["3.4", "3.5", "3.6", "3.7"];

/// A status is complete by then, whatever is broken.
const STATUS_LIMIT: Duration = Duration::from_secs(3);

fn kind<T>(result: Result<T, Failure>) -> Option<FailureKind> {
    result.err().map(|failure| failure.kind)
}

fn save(cluster: &Members, at: usize, folder: &std::path::Path) -> Result<SnapshotReport> {
    let operation = Operation::SnapshotSave(SnapshotSave {
        folder: folder.to_owned(),
        name: "s.db".into(),
        packing: Packing::Plain,
        numbered: false,
        hold_seconds: 0,
    });
    match cluster.run(at, operation)? {
        Report::Snapshot(saved) => Ok(saved.snapshot),
        other => bail!("{other:?}"),
    }
}

/// What etcdutl says of a snapshot.
fn etcdutl_status(snapshot: &std::path::Path) -> Result<Value> {
    let etcdutl = parts::etcd("3.6")?.etcdutl;
    let path = snapshot.to_str().context("path")?;
    Ok(serde_json::from_str(&testbed::local::run(
        &etcdutl,
        &["snapshot", "status", path, "-w", "json"],
    )?)?)
}

#[test]
fn every_line_of_etcd_answers_every_operation() -> Result<()> {
    for line in LINES {
        let cluster = Members::start(line, 1, &[])?;
        cluster.fill(30)?;
        let status = cluster.status(0)?;
        let own = status
            .own
            .ok()
            .with_context(|| format!("{line}: {status:?}"))?;
        assert!(own.version.starts_with(line), "{own:?}");
        assert_eq!(own.leader, Some(own.member_id), "{line}");
        assert_eq!(
            own.quota_bytes.is_some(),
            !matches!(line, "3.4" | "3.5"),
            "{line}: {own:?}"
        );
        assert_eq!(
            own.storage_version.is_some(),
            !matches!(line, "3.4" | "3.5"),
            "{line}: {own:?}"
        );
        assert_eq!(
            status.alarms.ok().map(Vec::len),
            Some(0),
            "{line}: {status:?}"
        );

        let Report::Members(list) = cluster.run(0, Operation::Members)? else {
            bail!("no list")
        };
        assert_eq!(
            (list.consistency, list.members.len()),
            (Consistency::Linearizable, 1),
            "{line}"
        );
        let health = cluster.health(0, 5000)?;
        assert!(
            health.read_us.ok().is_some() && health.member_id == Some(own.member_id),
            "{line}: {health:?}"
        );

        let folder = tempfile::tempdir()?;
        let snapshot = save(&cluster, 0, folder.path())?;
        let theirs = etcdutl_status(&snapshot.path)?;
        assert_eq!(theirs["hash"], snapshot.hash, "{line}");
        assert_eq!(theirs["revision"], snapshot.revision, "{line}");
        assert_eq!(theirs["totalKey"], snapshot.total_keys, "{line}");
        let sum = testbed::process::run("sha256sum", [&snapshot.path])?;
        assert!(sum.starts_with(&snapshot.sha256), "{line}: {sum}");
        let beside: SnapshotReport =
            serde_json::from_slice(&std::fs::read(folder.path().join("s.db.json"))?)?;
        assert_eq!(beside, snapshot, "{line}");
        packed_snapshots_hold_the_same(&cluster).with_context(|| line.to_owned())?;

        let Report::Usage(usage) = cluster.run(0, Operation::Usage(Usage { top: 5 }))? else {
            bail!("no usage")
        };
        assert_eq!(
            (usage.total.objects, usage.resources[0].name.as_str()),
            (30, "configmaps"),
            "{line}: {usage:?}"
        );

        let Report::Defrag(defrag) = cluster.run(0, Operation::Defrag)? else {
            bail!("no defrag")
        };
        assert!(
            defrag.after_bytes <= defrag.before_bytes && defrag.after_bytes > 3_000_000,
            "{line}: {defrag:?}"
        );
    }
    Ok(())
}

/// Compressed and in a bundle: what comes out is what was described, and nothing else is left in the folder.
fn packed_snapshots_hold_the_same(cluster: &Members) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let level = Level::default();
    for wanted in [Wanted::Zstd { level }, Wanted::Bundle { level, pki: true }] {
        let name = format!("x{}", wanted.ending());
        let operation = Operation::SnapshotSave(SnapshotSave {
            folder: folder.path().to_owned(),
            packing: wanted.on_node(&name, folder.path(), true),
            name,
            numbered: false,
            hold_seconds: 0,
        });
        let Report::Snapshot(saved) = cluster.run(0, operation)? else {
            bail!("no snapshot")
        };
        let saved = saved.snapshot;
        let packed = saved.packed.clone().context("it is not packed")?;
        let spool = Spool::new(folder.path());
        let opened = open(&saved.path, &spool, &mut |_| ControlFlow::Continue(()))?;
        let unpacked = opened.unpacked.context("it was read in place")?;
        assert_eq!(unpacked.input.sha256, saved.sha256);
        assert_eq!(unpacked.snapshot.sha256, packed.sha256);
        assert_eq!(unpacked.snapshot.size_bytes, packed.size_bytes);
        let verified = verify(&opened.source, &VerifyOptions::default(), None, &mut |_| {
            ControlFlow::Continue(())
        })?;
        assert_eq!(verified.verdict, Verdict::Reliable);
        let status = verified.status.context("no status")?;
        assert_eq!(status.hash, saved.hash);
    }
    // Two snapshots, each with its description.
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 4);
    Ok(())
}

#[test]
fn without_a_quorum_each_member_still_tells_what_it_knows() -> Result<()> {
    let mut cluster = Members::start("3.6", 3, &[])?;
    cluster.members[1].kill()?;
    cluster.members[2].kill()?;
    testbed::wait::until(
        "the leader is given up",
        Duration::from_secs(20),
        || match cluster
            .status(0)
            .map_err(|error| error.to_string())?
            .own
            .ok()
        {
            Some(own) if own.leader.is_none() => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )?;
    let (took, status) = timed(|| cluster.status(0));
    let status = status?;
    assert!(took < STATUS_LIMIT, "{took:?}");
    assert_eq!(
        status.own.ok().context("own")?.errors,
        ["etcdserver: no leader"]
    );
    assert_eq!(
        status.alarms.failure().map(|failure| failure.kind),
        Some(FailureKind::NoQuorum)
    );
    assert_eq!(status.members.ok().context("members")?.members.len(), 3);
    for peer in &status.peers {
        assert_eq!(
            peer.answer.failure().map(|failure| failure.kind),
            Some(FailureKind::Unreachable),
            "{peer:?}"
        );
    }
    let Report::Members(list) = cluster.run(0, Operation::Members)? else {
        bail!("no list")
    };
    assert_eq!(
        (list.consistency, list.members.len()),
        (Consistency::Serializable, 3)
    );
    let health = cluster.health(0, 1000)?;
    assert_eq!(
        health.read_us.failure().map(|failure| failure.kind),
        Some(FailureKind::NoQuorum)
    );
    assert_eq!(
        kind(cluster.run(0, Operation::AlarmList)),
        Some(FailureKind::NoQuorum)
    );
    // What needs no quorum works.
    let folder = tempfile::tempdir()?;
    save(&cluster, 0, folder.path())?;
    cluster.run(0, Operation::Defrag)?;

    let (took, stopped) = timed(|| cluster.status(1));
    let stopped = stopped?;
    assert!(took < STATUS_LIMIT, "{took:?}");
    let failure = stopped.own.failure().context("own")?;
    assert!(
        failure.kind == FailureKind::Unreachable && failure.message.contains("Connection refused"),
        "{failure}"
    );
    let evidence = stopped.evidence.context("evidence")?;
    assert_eq!(evidence.db_locked, Some(false));
    assert!(evidence.db_file_bytes.is_some());
    Ok(())
}

#[test]
fn a_frozen_member_holds_nobody_up() -> Result<()> {
    let cluster = Members::start("3.5", 3, &[])?;
    cluster.members[2].freeze()?;
    for at in [0, 2] {
        let (took, status) = timed(|| cluster.status(at));
        assert!(took < STATUS_LIMIT, "status of member {at}: {took:?}");
        let status = status?;
        if at == 2 {
            assert_eq!(
                status.own.failure().map(|failure| failure.kind),
                Some(FailureKind::Unreachable)
            );
            assert_eq!(
                status.evidence.context("evidence")?.db_locked,
                Some(true),
                "it still has its database"
            );
        } else {
            assert!(status.own.ok().is_some(), "{status:?}");
            let silent = status
                .peers
                .iter()
                .filter(|peer| peer.answer.ok().is_none())
                .count();
            assert_eq!(silent, 1, "{status:?}");
        }
    }
    for operation in [
        Operation::Members,
        Operation::AlarmList,
        Operation::Defrag,
        Operation::Usage(Usage { top: 1 }),
    ] {
        let name = operation.name();
        let (took, result) = timed(|| cluster.run(2, operation));
        assert_eq!(kind(result), Some(FailureKind::Unreachable), "{name}");
        assert!(took < STATUS_LIMIT, "{name}: {took:?}");
    }
    Ok(())
}

#[test]
fn a_full_etcd_tells_its_alarm_and_only_what_was_raised_is_taken_back() -> Result<()> {
    let cluster = Members::start("3.5", 1, &["--quota-backend-bytes=8000000"])?;
    let refused = cluster
        .fill(200)
        .expect_err("the quota was not reached")
        .to_string();
    assert!(refused.contains("database space exceeded"), "{refused}");
    let disarm = |alarm| match cluster.run(
        0,
        Operation::AlarmDisarm(AlarmDisarm {
            alarm,
            member: None,
        }),
    ) {
        Ok(Report::AlarmDisarm(report)) => Ok(report.alarms.len()),
        other => bail!("{other:?}"),
    };
    assert_eq!(
        disarm(AlarmKind::Corrupt)?,
        0,
        "an alarm of another kind was disarmed"
    );
    let health = cluster.health(0, 3000)?;
    assert!(health.read_us.ok().is_some(), "reads go on: {health:?}");
    let Report::AlarmList(alarms) = cluster.run(0, Operation::AlarmList)? else {
        bail!("no alarms")
    };
    assert_eq!(
        alarms
            .alarms
            .iter()
            .map(|alarm| alarm.alarm)
            .collect::<Vec<_>>(),
        [AlarmKind::NoSpace]
    );
    cluster.etcdctl(0, &["del", "--prefix", "/registry"])?;
    let revision = cluster
        .status(0)?
        .own
        .ok()
        .context("own")?
        .revision
        .to_string();
    cluster.etcdctl(0, &["compact", "--physical", &revision])?;
    let Report::Defrag(defrag) = cluster.run(0, Operation::Defrag)? else {
        bail!("no defrag")
    };
    assert!(defrag.after_bytes < 1_000_000, "{defrag:?}");
    assert_eq!(disarm(AlarmKind::NoSpace)?, 1);
    assert_eq!(disarm(AlarmKind::NoSpace)?, 0);
    cluster.etcdctl(0, &["put", "a", "b"])?;
    Ok(())
}

#[test]
fn certificates_that_do_not_fit_are_named() -> Result<()> {
    let cluster = Members::start("3.6", 1, &[])?;
    let foreign = tempfile::tempdir()?;
    let foreign = pki::make(foreign.path())?;
    let mut target = cluster.target(0);
    let tls = target.tls.as_mut().context("tls")?;
    tls.ca = foreign.ca.clone();
    let failure = run_on(target, Operation::Members).expect_err("a wrong CA was taken");
    assert_eq!(failure.kind, FailureKind::Unauthorized);
    assert!(
        failure.message.contains("invalid peer certificate"),
        "{failure}"
    );
    assert!(failure.hint.is_some(), "{failure}");

    // More than once: what is seen first, the refusal or the close, is a matter of luck.
    for _ in 0..10 {
        let mut target = cluster.target(0);
        let tls = target.tls.as_mut().context("tls")?;
        (tls.cert, tls.key) = (foreign.cert.clone(), foreign.key.clone());
        let failure =
            run_on(target, Operation::Members).expect_err("a foreign certificate was taken");
        assert_eq!(failure.kind, FailureKind::Unauthorized, "{failure}");
    }

    let mut target = cluster.target(0);
    target.tls.as_mut().context("tls")?.key = "/nowhere/server.key".into();
    let failure = run_on(target, Operation::Members).expect_err("no key was needed");
    assert_eq!(failure.kind, FailureKind::Missing);

    let mut target = cluster.target(0);
    target.tls = None;
    target.client_urls[0] = target.client_urls[0].replace("https", "http");
    let (took, result) = timed(|| run_on(target, Operation::Members));
    assert!(
        kind(result).is_some() && took < STATUS_LIMIT,
        "plain HTTP: {took:?}"
    );
    Ok(())
}

#[test]
fn a_learner_tells_its_status_and_gives_a_snapshot_and_refuses_the_rest() -> Result<()> {
    let mut cluster = Members::start("3.6", 1, &[])?;
    cluster.add_learner("3.6")?;
    let status = cluster.status(1)?;
    assert!(
        status.own.ok().is_some_and(|own| own.is_learner),
        "{status:?}"
    );
    let folder = tempfile::tempdir()?;
    save(&cluster, 1, folder.path())?;
    for operation in [Operation::Members, Operation::AlarmList, Operation::Defrag] {
        let name = operation.name();
        let failure = cluster
            .run(1, operation)
            .expect_err("a learner did a voter's work");
        assert_eq!(failure.kind, FailureKind::Refused, "{name}: {failure}");
        assert!(failure.hint.is_some(), "{name}: {failure}");
    }
    Ok(())
}
