//! A small disk of its own for etcd, so that it can be full.
//!
//! It is a tmpfs of limited size over `/var/lib/etcd`, filled at power-on from the node's disk and written back at
//! power-off.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::Node;
use crate::process::run;

const FILLER: &str = "/var/lib/etcd/filler";

impl Node {
    fn limit_file(&self) -> PathBuf {
        self.folder.join("etcd-disk-bytes")
    }

    /// The size of the disk that `/var/lib/etcd` has of its own, if it has one.
    #[must_use]
    pub fn etcd_disk_limit(&self) -> Option<u64> {
        fs::read_to_string(self.limit_file())
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// Gives `/var/lib/etcd` a disk of this size from the next power-on, or takes it away again with `None`.
    ///
    /// etcd preallocates 64 MB for each WAL file and keeps one ahead: less than about 200 MB is full at once.
    ///
    /// # Errors
    /// When the node is on.
    pub fn limit_etcd_disk(&self, size_bytes: Option<u64>) -> Result<()> {
        if self.is_on() {
            bail!(
                "{} is on: etcd's disk can only be changed while it is off",
                self.name
            );
        }
        match size_bytes {
            Some(size) => Ok(fs::write(self.limit_file(), size.to_string())?),
            None if self.limit_file().exists() => Ok(fs::remove_file(self.limit_file())?),
            None => Ok(()),
        }
    }

    /// Fills etcd's own disk to the last byte; gives back how many bytes that took.
    ///
    /// # Errors
    /// When it has none (see [`Node::limit_etcd_disk`]) or the node is off.
    pub fn fill_etcd_disk(&self) -> Result<u64> {
        if self.etcd_disk_limit().is_none() {
            bail!(
                "{} has no disk of its own for etcd: filling would fill this machine",
                self.name
            );
        }
        self.init()?;
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.path(FILLER))?;
        let mut written = 0;
        // Large steps first, then single bytes into the last page.
        for step in [1 << 20, 4096, 1] {
            let block = vec![0; step];
            loop {
                match file.write(&block) {
                    Ok(0) => break,
                    Ok(bytes) => written += bytes as u64,
                    Err(e) if e.kind() == ErrorKind::StorageFull => break,
                    Err(e) => return Err(e).context("cannot fill etcd's disk"),
                }
            }
        }
        Ok(written)
    }

    /// Frees what [`Node::fill_etcd_disk`] took.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn free_etcd_disk(&self) -> Result<()> {
        Ok(fs::remove_file(self.path(FILLER))?)
    }

    pub(super) fn mounting_etcd_disk(&self) -> String {
        self.etcd_disk_limit().map_or_else(String::new, |size| {
            format!(
                "mount -t tmpfs -o size={size},mode=700 tmpfs /var/lib/etcd\ncp -a --sparse=always /run/testbed/node/disk/var/lib/etcd/. /var/lib/etcd/"
            )
        })
    }

    /// Copies etcd's disk to where it survives the node; the node is frozen from then on.
    pub(super) fn keep_etcd_disk(&self) -> Result<()> {
        self.freeze()?;
        let live = self.path("/var/lib/etcd");
        let kept = self.disk().join("var/lib/etcd");
        let new = self.folder.join("etcd.new");
        run(
            "cp",
            [
                "-a".as_ref(),
                "--sparse=always".as_ref(),
                live.as_os_str(),
                new.as_os_str(),
            ],
        )?;
        fs::remove_dir_all(&kept)?;
        Ok(fs::rename(new, kept)?)
    }
}
