//! Survivors of real three-member clusters, killed at random moments under load: the one ranked first holds every
//! acknowledged write that any of them holds.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use etcd_datadir::datadir::{DataDir, InspectOptions, Verdict, inspect, rank};
use etcd_datadir::progress::ignore;
use etcd_datadir::wal::commit_to_the_end;
use testbed::local::{Etcd, Place, server};

/// A random number below `n`, of the standard library's own seed.
fn random(n: u64) -> u64 {
    RandomState::new().hash_one(0) % n
}

fn start_all(line: &str, places: &[Place], dir: &Path) -> Result<Vec<Etcd>> {
    let binary = server(line)?;
    let start = |place: &Place| {
        Etcd::start(
            &binary,
            place,
            places,
            &dir.join(&place.name),
            &["--snapshot-count", "100"],
        )
    };
    let mut etcds = places.iter().map(start).collect::<Result<Vec<_>>>()?;
    for etcd in &mut etcds {
        etcd.wait_ready()?;
    }
    Ok(etcds)
}

type Acknowledged = Arc<Mutex<Vec<String>>>;

/// Writes through one member until told to stop, noting what was acknowledged.
fn writer(
    port: u16,
    name: String,
    stop: Arc<AtomicBool>,
    acknowledged: Acknowledged,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for i in 0.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let key = format!("{name}-{i}");
            if testbed::local::put(port, &key, "v").is_ok() {
                acknowledged.lock().expect("no writer panics").push(key);
            } else {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    })
}

/// Loads a cluster, kills its members one after the other, and gives what was acknowledged.
fn load_and_kill(etcds: &mut [Etcd]) -> Vec<String> {
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Acknowledged::default());
    let writers: Vec<_> = etcds
        .iter()
        .flat_map(|etcd| [0, 1].map(|n| (etcd.place.client, format!("{}-{n}", etcd.place.name))))
        .map(|(port, name)| writer(port, name, Arc::clone(&stop), Arc::clone(&acknowledged)))
        .collect();
    std::thread::sleep(Duration::from_millis(1000 + random(2000)));
    let first = usize::try_from(random(3)).unwrap_or(0);
    for i in 0..3 {
        etcds[(first + i) % 3].kill();
        // Sometimes at once, sometimes long enough for a new leader and more writes.
        std::thread::sleep(Duration::from_millis(random(2) * random(2500)));
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.join().expect("no writer panics");
    }
    let acknowledged = acknowledged.lock().expect("no writer panics");
    acknowledged.clone()
}

fn look(places: &[Place], dir: &Path) -> Result<Vec<DataDir>> {
    let one = |place: &Place| {
        Ok(inspect(
            &dir.join(&place.name),
            &InspectOptions::default(),
            &mut ignore,
        )?)
    };
    places.iter().map(one).collect()
}

/// All keys of a member that goes on alone from this directory.
fn keys_of(line: &str, place: &Place, data_dir: &Path) -> Result<HashMap<String, ()>> {
    commit_to_the_end(&data_dir.join("member/wal"))?;
    let alone = std::slice::from_ref(place);
    let mut etcd = Etcd::start(
        &server(line)?,
        place,
        alone,
        data_dir,
        &["--force-new-cluster"],
    )?;
    etcd.wait_ready()?;
    Ok(etcd.keys()?.into_iter().map(|key| (key, ())).collect())
}

fn round(line: &str, round: usize) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let places = Place::several(3)?;
    let mut etcds = start_all(line, &places, dir.path())?;
    let acknowledged = load_and_kill(&mut etcds);
    let dirs = look(&places, dir.path())?;
    for found in &dirs {
        let starts = matches!(
            found.verdict,
            Verdict::Starts(_) | Verdict::StartsWithLoss(..)
        );
        assert!(
            starts,
            "{line}, round {round}: {}: {:?}",
            found.path.display(),
            found.verdict
        );
    }
    // Any two of three are a majority. Which one is lost differs from round to round.
    let lost = usize::try_from(random(4)).unwrap_or(0);
    let left: Vec<DataDir> = dirs
        .into_iter()
        .enumerate()
        .filter(|(i, _)| *i != lost)
        .map(|(_, dir)| dir)
        .collect();
    let comparison = rank(&left);
    assert!(
        comparison.majority && comparison.voters == 3,
        "{comparison:?}"
    );
    let best = comparison.best().context("none is best")?;
    let best_dir: PathBuf = left[best.which].path.clone();
    let place = places
        .iter()
        .find(|place| best_dir.ends_with(&place.name))
        .context("whose?")?;
    let keys = keys_of(line, place, &best_dir)?;
    let missing: Vec<&String> = acknowledged
        .iter()
        .filter(|key| !keys.contains_key(*key))
        .collect();
    assert!(
        missing.is_empty(),
        "{line}, round {round}: of {} acknowledged, missing {missing:?}\n{comparison:?}",
        acknowledged.len()
    );
    assert!(
        acknowledged.len() > 20,
        "the load was no load: {}",
        acknowledged.len()
    );
    Ok(())
}

#[test]
fn the_first_ranked_holds_every_acknowledged_write_on_3_5() -> Result<()> {
    (0..4).try_for_each(|i| round("3.5", i))
}

#[test]
fn the_first_ranked_holds_every_acknowledged_write_on_3_7() -> Result<()> {
    (0..3).try_for_each(|i| round("3.7", i))
}
