//! Locks between processes. A lock ends with the process that holds it, however that ends.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;

use anyhow::{Context, Result};

use crate::paths;
use crate::process::say;

/// A held lock; dropping it releases it.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct Lock {
    _file: File,
}

/// Takes the named lock of this user's test bed; waits for it, and says so with the given reason.
///
/// # Errors
/// When the lock file cannot be opened or locked.
pub fn take(name: &str, why_waiting: &str) -> Result<Lock> {
    let path = paths::locks()?.join(format!("{name}.lock"));
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => say(why_waiting),
        Err(TryLockError::Error(e)) => {
            return Err(e).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    loop {
        match file.lock() {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e).with_context(|| format!("cannot lock {}", path.display())),
        }
    }
}
