//! Whether an etcd holds a file, found out without disturbing it.
//!
//! bbolt takes an exclusive `flock(2)` on the database, etcd an open file description lock (`F_OFD_SETLK`) on each WAL
//! segment it has open for writing. Both hold across containers of one host, and end with the process however it ends.
//! On network file systems they tell nothing.

use std::fs::{File, TryLockError};
use std::path::Path;

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use crate::Error;

/// Who has a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Nobody who says so.
    Nobody,
    /// A process that holds etcd's lock: a running etcd, or a tool of its kind.
    Etcd,
}

/// Whether somebody has the database open for writing, as a running etcd has.
///
/// A shared lock is taken for a moment to find out; an etcd that starts in this moment waits 50 ms and tries again.
///
/// # Errors
/// [`Error::Io`] when the file system knows no locks.
pub fn database_holder(file: &File, name: &str) -> Result<Holder, Error> {
    Ok(match share_database(file, name)? {
        Some(_) => Holder::Nobody,
        None => Holder::Etcd,
    })
}

/// A shared lock on a database. As long as it is held, an etcd that starts on the database waits.
#[derive(Debug)]
pub struct SharedLock<'f>(&'f File);

impl Drop for SharedLock<'_> {
    fn drop(&mut self) {
        // Whatever becomes of this, closing the file releases the lock.
        let _ = self.0.unlock();
    }
}

/// Takes a shared lock on a database; `None` when somebody has it open for writing, as a running etcd has.
///
/// # Errors
/// [`Error::Io`] when the file system knows no locks.
pub(crate) fn share_database<'f>(
    file: &'f File,
    name: &str,
) -> Result<Option<SharedLock<'f>>, Error> {
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(SharedLock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(Error::io(name, "try the lock of", e)),
    }
}

/// Whether somebody has a WAL segment open for writing.
///
/// A shared lock is tried for a moment. An etcd that opens its WAL in this very moment would give up, so ask for the
/// database first: etcd locks that before it opens the WAL.
///
/// # Errors
/// [`Error::Io`] when the file system knows no locks.
pub(crate) fn segment_holder(path: &Path) -> Result<Holder, Error> {
    let fail = |action: &str, e| Error::io(&path.display().to_string(), action, e);
    let file = File::open(path).map_err(|e| fail("open", e))?;
    match fcntl_lock(&file, FlockOperation::NonBlockingLockShared) {
        // Closing the file releases the lock.
        Ok(()) => Ok(Holder::Nobody),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(Holder::Etcd),
        Err(e) => Err(fail("try the lock of", e.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_and_its_end_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let held = File::create(&path).unwrap();
        let looked_at = File::open(&path).unwrap();
        assert_eq!(database_holder(&looked_at, "db").unwrap(), Holder::Nobody);
        held.lock().unwrap();
        assert_eq!(database_holder(&looked_at, "db").unwrap(), Holder::Etcd);
        drop(held);
        assert_eq!(database_holder(&looked_at, "db").unwrap(), Holder::Nobody);
        assert_eq!(segment_holder(&path).unwrap(), Holder::Nobody);
    }

    #[test]
    fn a_shared_lock_keeps_etcd_out_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let (etcd, ours) = (File::create(&path).unwrap(), File::open(&path).unwrap());
        let shared = share_database(&ours, "db").unwrap();
        assert!(shared.is_some() && etcd.try_lock().is_err());
        drop(shared);
        assert!(etcd.try_lock().is_ok());
        assert!(share_database(&ours, "db").unwrap().is_none());
    }
}
