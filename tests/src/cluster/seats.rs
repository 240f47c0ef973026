//! How many clusters a program has at once, and those that its tests share.
//!
//! Tests mostly wait: two clusters side by side take little more of the machine than one, and half of the time. Clusters
//! of other programs are waited for.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use anyhow::Result;

use super::{Cluster, Spec};
use crate::lock::{self, Lock};

/// So many clusters of a program are there at once. Three control-plane nodes take some 2 GiB of memory.
const SEATS: usize = 2;

static DESK: Mutex<Desk> = Mutex::new(Desk {
    taken: 0,
    free: Vec::new(),
});

/// A seat or a shared cluster is free again.
static FREED: Condvar = Condvar::new();

/// What this program's clusters have in common: no other program has any meanwhile.
static MACHINE: Mutex<Weak<Lock>> = Mutex::new(Weak::new());

#[derive(Debug)]
struct Desk {
    /// Seats, those of free clusters among them.
    taken: usize,
    /// Shared clusters that no test has now.
    free: Vec<(Spec, Cluster)>,
}

/// The right to have a cluster. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    _machine: Arc<Lock>,
    _counted: Counted,
}

#[derive(Debug)]
struct Counted;

/// What a test gets to work with.
pub(super) enum Place {
    /// A shared cluster, as the test before left it.
    Cluster(Box<Cluster>),
    /// Room for one.
    Seat(Seat),
}

/// A shared cluster of this kind that nobody has, else room for one; waits until there is one of them.
///
/// # Errors
/// When the lock between programs cannot be taken.
pub(super) fn cluster_or_seat(kind: Spec) -> Result<Place> {
    find(Some(kind))
}

/// Room for a cluster; waits until there is some.
///
/// # Errors
/// When the lock between programs cannot be taken.
pub(super) fn seat() -> Result<Seat> {
    match find(None)? {
        Place::Seat(seat) => Ok(seat),
        Place::Cluster(_) => unreachable!("no kind was asked for"),
    }
}

/// A test has done with a shared cluster.
pub(super) fn give_back(kind: Spec, cluster: Cluster) {
    desk().free.push((kind, cluster));
    FREED.notify_all();
}

fn find(kind: Option<Spec>) -> Result<Place> {
    let mut desk = desk();
    loop {
        let fitting = desk.free.iter().position(|(one, _)| Some(*one) == kind);
        if let Some(at) = fitting {
            let (_, cluster) = desk.free.swap_remove(at);
            return Ok(Place::Cluster(Box::new(cluster)));
        }
        if desk.taken < SEATS {
            desk.taken += 1;
            let counted = Counted;
            drop(desk);
            return Ok(Place::Seat(Seat {
                _machine: machine()?,
                _counted: counted,
            }));
        }
        match desk.free.pop() {
            Some(other) => {
                // Its removal takes a while and frees its seat.
                drop(desk);
                drop(other);
                desk = self::desk();
            }
            None => desk = FREED.wait(desk).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// Waits until no other program of this user has clusters for tests.
fn machine() -> Result<Arc<Lock>> {
    let mut held = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(lock) = held.upgrade() {
        return Ok(lock);
    }
    let lock = Arc::new(lock::take(
        "exclusive",
        "waiting for the test clusters of another program to end",
    )?);
    *held = Arc::downgrade(&lock);
    Ok(lock)
}

fn desk() -> MutexGuard<'static, Desk> {
    DESK.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Counted {
    fn drop(&mut self) {
        desk().taken -= 1;
        FREED.notify_all();
    }
}
