//! The file around the store: name, checksum, raft's configuration.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::disk::if_there;
use crate::raft::wire::{WireError, each_field, put_bytes, put_uint};
use crate::raft::{ConfState, LogPosition};

use super::store::{StoreError, V2Store};

/// Largest `.snap` file that is read, in bytes. Without v2 data of users one has some KiB.
pub const MAX_SNAP_BYTES: u64 = 64 << 20;

/// Name of a `.snap` file. Ordered as etcd tries them, the newest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapName(pub LogPosition);

impl SnapName {
    /// Reads a file name.
    #[must_use]
    pub fn parse(file_name: &str) -> Option<Self> {
        let (term, index) = file_name.strip_suffix(".snap")?.split_once('-')?;
        let hex = |digits: &str| {
            let is_hex = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            is_hex
                .then(|| u64::from_str_radix(digits, 16).ok())
                .flatten()
        };
        Some(Self(LogPosition {
            term: hex(term)?,
            index: hex(index)?,
        }))
    }
}

impl fmt::Display for SnapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}.snap", self.0.term, self.0.index)
    }
}

/// Why a `.snap` file is of no use; etcd passes such a file over.
#[derive(Debug, Error)]
pub enum SnapError {
    /// The disk failed, or the file is longer than is read here.
    #[error("cannot be read")]
    Io(#[from] io::Error),
    /// Empty, or without data or crc.
    #[error("empty")]
    Empty,
    /// The data do not give the crc.
    #[error("its crc is {stated:08x}, its data give {found:08x}")]
    CrcMismatch {
        /// In the file.
        stated: u32,
        /// Computed.
        found: u32,
    },
    /// Not the message it should be.
    #[error("not a snapshot file: {0}")]
    Wire(#[from] WireError),
    /// The store inside cannot be read.
    #[error("its store cannot be read: {0}")]
    Store(#[from] StoreError),
}

/// A `.snap` file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapFile {
    /// Last entry it stands for.
    pub position: LogPosition,
    /// Raft's configuration there.
    pub conf_state: ConfState,
    /// The members there.
    pub store: V2Store,
}

impl SnapFile {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`SnapError`]; never because of the disk.
    pub fn decode(file: &[u8]) -> Result<Self, SnapError> {
        let (mut stated, mut data) = (0u32, &[][..]);
        each_field!(file, field, {
            1 => {
                stated = u32::try_from(field.varint()?)
                    .map_err(|_| WireError::OutOfRange { field: 1 })?;
            },
            2 => data = field.bytes()?,
        });
        if data.is_empty() || stated == 0 {
            return Err(SnapError::Empty);
        }
        let found = crc32c::crc32c(data);
        if found != stated {
            return Err(SnapError::CrcMismatch { stated, found });
        }
        let (mut store, mut metadata) = (&[][..], &[][..]);
        each_field!(data, field, {
            1 => store = field.bytes()?,
            2 => metadata = field.bytes()?,
        });
        let (conf_state, position) = decode_metadata(metadata)?;
        Ok(Self {
            position,
            conf_state,
            store: V2Store::decode(store)?,
        })
    }

    /// A file's bytes as etcd 3.5 and 3.6 write them, around a store's JSON.
    #[must_use]
    pub fn encode(position: LogPosition, conf_state: &ConfState, store_json: &str) -> Vec<u8> {
        let mut metadata = Vec::new();
        put_bytes(&mut metadata, 1, &conf_state.encode());
        put_uint(&mut metadata, 2, position.index);
        put_uint(&mut metadata, 3, position.term);
        let mut data = Vec::with_capacity(store_json.len() + metadata.len() + 16);
        put_bytes(&mut data, 1, store_json.as_bytes());
        put_bytes(&mut data, 2, &metadata);
        let mut file = Vec::with_capacity(data.len() + 16);
        put_uint(&mut file, 1, u64::from(crc32c::crc32c(&data)));
        put_bytes(&mut file, 2, &data);
        file
    }
}

fn decode_metadata(metadata: &[u8]) -> Result<(ConfState, LogPosition), WireError> {
    let (mut conf_state, mut position) = (ConfState::default(), LogPosition::default());
    each_field!(metadata, field, {
        1 => conf_state = ConfState::decode(field.bytes()?)?,
        2 => position.index = field.varint()?,
        3 => position.term = field.varint()?,
    });
    Ok((conf_state, position))
}

/// Reads a `.snap` file.
///
/// # Errors
/// [`SnapError`].
pub fn read_snap(path: &Path) -> Result<SnapFile, SnapError> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_SNAP_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_SNAP_BYTES {
        let message = format!("it has more than {MAX_SNAP_BYTES} bytes");
        return Err(SnapError::Io(io::Error::new(
            io::ErrorKind::FileTooLarge,
            message,
        )));
    }
    SnapFile::decode(&bytes)
}

/// A `.snap` file in a directory, whole or not.
#[derive(Debug)]
pub struct SnapFound {
    /// Where it is.
    pub path: PathBuf,
    /// What its name says.
    pub name: SnapName,
    /// What is in it.
    pub content: Result<SnapFile, SnapError>,
}

/// Names of the `.snap` files in a directory, newest first, as etcd tries them.
///
/// # Errors
/// When the directory cannot be read; one that is not there has none.
pub fn list_snaps(snap_dir: &Path) -> io::Result<Vec<SnapName>> {
    let mut names = Vec::new();
    let entries = if_there(std::fs::read_dir(snap_dir))?;
    for entry in entries.into_iter().flatten() {
        if let Some(name) = entry?.file_name().to_str().and_then(SnapName::parse) {
            names.push(name);
        }
    }
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}
