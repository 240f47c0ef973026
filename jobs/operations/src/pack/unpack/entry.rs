//! The header of a bundle's entry, read as strictly as it is written.

use tar::{EntryType, Header};

/// Bytes of a tar block: headers are one, and files are filled up to whole ones.
pub(super) const BLOCK: usize = 512;

/// A regular file in a bundle.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The folder that all of the bundle is in.
    pub(super) top: String,
    /// Its path below that.
    pub(super) path: String,
    /// Its size in bytes.
    pub(super) size: u64,
    /// Its permission bits.
    pub(super) mode: u32,
    /// When it was last changed, in seconds since 1970.
    pub(super) modified: u64,
}

impl Entry {
    /// Reads a header block; an error says what is wrong with the entry, as in "the entry …".
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self, String> {
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        let mut right = header.clone();
        right.set_cksum();
        if header.cksum().ok() != right.cksum().ok() {
            return Err("has a header with a wrong checksum".to_owned());
        }
        let shown = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        if let Some(kind) = foreign(header.entry_type()) {
            return Err(format!("{shown:?} is {kind}"));
        }
        if header.as_ustar().is_none() {
            return Err(format!("{shown:?} is not written as ustar"));
        }
        let path = std::str::from_utf8(&header.path_bytes())
            .map_err(|_| format!("{shown:?} has a name that is not UTF-8"))?
            .to_owned();
        if let Some(what) = unsafe_in(&path) {
            return Err(format!("{path:?} has {what} in its path"));
        }
        let (top, path) = path
            .split_once('/')
            .ok_or_else(|| format!("{path:?} is not in a folder"))?;
        let size = header
            .entry_size()
            .map_err(|_| format!("{shown:?} has no size that can be read"))?;
        let mode = header
            .mode()
            .map_err(|_| format!("{shown:?} has no mode that can be read"))?;
        // Extracted by root, it would be root's, and run as root by whoever runs it.
        if mode & !0o777 != 0 {
            let what = "a mode with more than permissions (setuid, setgid or sticky)";
            return Err(format!("{shown:?} has {what}: {mode:04o}"));
        }
        let modified = header
            .mtime()
            .map_err(|_| format!("{shown:?} has no time that can be read"))?;
        Ok(Self {
            top: top.to_owned(),
            path: path.to_owned(),
            size,
            mode,
            modified,
        })
    }
}

/// The path of an entry below its top folder, if its header has the form in which this project writes them: a
/// regular file as ustar, of the owner 0 without a name. Other programs write the owner's name, and most another form.
pub(super) fn path_of_ours(block: &[u8; BLOCK]) -> Option<String> {
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    let ustar = header.as_ustar()?;
    let nameless = [ustar.uname, ustar.gname]
        .as_flattened()
        .iter()
        .all(|byte| *byte == 0);
    let roots = [header.uid(), header.gid()]
        .iter()
        .all(|id| matches!(id, Ok(0) | Err(_)));
    if !nameless || !roots || header.entry_type() != EntryType::Regular {
        return None;
    }
    let path = std::str::from_utf8(&header.path_bytes()).ok()?.to_owned();
    let (top, path) = path.split_once('/')?;
    let is_folder = unsafe_in(top).is_none();
    is_folder.then(|| path.to_owned())
}

/// What an entry is that is not a regular file.
fn foreign(kind: EntryType) -> Option<&'static str> {
    Some(match kind {
        EntryType::Regular => return None,
        EntryType::Link => "a hard link",
        EntryType::Symlink => "a symbolic link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Directory => "a folder",
        EntryType::Fifo => "a named pipe",
        EntryType::GNULongName | EntryType::GNULongLink => "a long name as GNU tar writes it",
        EntryType::XHeader | EntryType::XGlobalHeader => "an extended header (pax)",
        EntryType::GNUSparse => "a sparse file",
        _ => "of an unknown kind",
    })
}

/// What makes a path lead elsewhere, or mean something else to a terminal.
fn unsafe_in(path: &str) -> Option<&'static str> {
    if path.starts_with('/') {
        return Some("a slash at the beginning");
    }
    if path.chars().any(char::is_control) {
        return Some("a control character");
    }
    path.split('/').find_map(|part| match part {
        "" => Some("an empty part"),
        "." => Some("`.`"),
        ".." => Some("`..`"),
        _ => None,
    })
}
