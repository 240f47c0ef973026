//! Files damaged as by a bad disk or a torn write.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::Node;

impl Node {
    /// Overwrites bytes of a file at an offset.
    ///
    /// # Errors
    /// When the file is not there.
    pub fn damage(&self, file: &str, offset: u64, bytes: &[u8]) -> Result<()> {
        let path = self.path(file);
        let file = File::options()
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        file.write_all_at(bytes, offset)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Overwrites a part of a file with zeros, as after a write that was torn at a page.
    ///
    /// # Errors
    /// When the file is not there.
    pub fn zero(&self, file: &str, offset: u64, length: usize) -> Result<()> {
        self.damage(file, offset, &vec![0; length])
    }

    /// Cuts a file at a length.
    ///
    /// # Errors
    /// When the file is not there.
    pub fn cut(&self, file: &str, length: u64) -> Result<()> {
        let path = self.path(file);
        let file = File::options()
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        file.set_len(length)
            .with_context(|| format!("cannot cut {}", path.display()))
    }

    /// The WAL files of its etcd, oldest first, as paths on the node.
    ///
    /// # Errors
    /// When there is no WAL.
    pub fn wal_files(&self) -> Result<Vec<String>> {
        let folder = "/var/lib/etcd/member/wal";
        let mut names: Vec<String> = list(&self.path(folder))?
            .iter()
            .filter(|p| p.extension().is_some_and(|e| e == "wal"))
            .filter_map(|p| Some(format!("{folder}/{}", p.file_name()?.to_str()?)))
            .collect();
        names.sort();
        Ok(names)
    }
}

/// The database of a member, as a path on its node.
pub const DATABASE: &str = "/var/lib/etcd/member/snap/db";

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    entries.map(|e| Ok(e?.path())).collect()
}
