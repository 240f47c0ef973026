//! A manifest's file: read as kubelet reads it, replaced so that kubelet and a loss of power see the old or the new one.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use sha2::{Digest, Sha256};

use super::Manifest;
use crate::disk::files::{self, Begin, nofollow, open_part, sync_folder_of, trouble};
use crate::failure::{Failure, FailureKind};
use crate::limits::MANIFEST_BYTES;
use crate::root;
use crate::shell::CommandLine;
use crate::transfer::hex;

/// How the dot-files end that are renamed to manifests.
const UNFINISHED: &str = ".kubectl-etcd";

/// A manifest and where it was read.
#[derive(Debug, Clone)]
pub struct ManifestFile {
    /// Its file.
    pub path: PathBuf,
    /// What it says.
    pub manifest: Manifest,
}

impl ManifestFile {
    /// Reads a file as kubelet does: a link is followed.
    ///
    /// # Errors
    /// [`FailureKind::Missing`] when it cannot be read or is no file, [`FailureKind::Other`] when it is no pod's manifest.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        Self::read_below(Path::new("/"), path)
    }

    /// That it gives a key twice, if it does: the file, the keys and which one counts.
    pub fn key_twice(&self) -> Option<String> {
        let keys = self.manifest.twice();
        (!keys.is_empty()).then(|| {
            let (path, keys) = (self.path.display(), keys.join(", "));
            format!(
                "{path} gives {keys} twice: kubelet takes the last one, and so does kubectl etcd"
            )
        })
    }

    /// The same of a node whose file system is found at `root`. The path is the node's, and links lead where they do there.
    pub(super) fn read_below(root: &Path, path: &Path) -> Result<Self, Failure> {
        let found = root::below(root, path).map_err(|error| trouble("read", path, &error))?;
        let bytes = open(&found, Links::Followed).and_then(|file| content(&found, &file))?;
        Ok(Self {
            path: path.to_owned(),
            manifest: Manifest::parse(&bytes)?,
        })
    }
}

/// What becomes of a link in the place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    Followed,
    Refused,
}

/// Opens a file, and nothing else that has a name: opening a pipe would wait for somebody at its other end.
pub(super) fn open(path: &Path, links: Links) -> Result<File, Failure> {
    let found = match links {
        Links::Followed => path.metadata(),
        Links::Refused => path.symlink_metadata(),
    };
    let found = found.map_err(|error| trouble("read", path, &error))?;
    if found.is_symlink() {
        return Err(linked(path));
    }
    if !found.is_file() {
        let message = format!("{} is no file", path.display());
        return Err(Failure::missing(message).hint("move it out of the folder"));
    }
    let flags = match links {
        Links::Followed => 0,
        Links::Refused => nofollow(),
    };
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    file.map_err(|error| trouble("read", path, &error))
}

/// All of a file's bytes, as far as kubelet would take them.
pub(super) fn content(path: &Path, file: &File) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    file.take(MANIFEST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| trouble("read", path, &error))?;
    if bytes.len() as u64 > MANIFEST_BYTES {
        let message = format!(
            "{} is longer than 10 MiB: kubelet rejects it",
            path.display()
        );
        return Err(Failure::other(message).hint("move it out of the folder"));
    }
    Ok(bytes)
}

/// A rename would put a file in the place of the link, and a change of what it leads to is seen by kubelet only at its next
/// look through the folder, after up to 20 s.
fn linked(path: &Path) -> Failure {
    let shown = path.display();
    let aside = path.with_file_name(".manifest");
    let (from, to) = (path.display(), aside.display());
    let put = CommandLine::new("cp -pL").operand(&from).operand(&to);
    let put = put.and(&CommandLine::new("mv -T").operand(&to).operand(&from));
    Failure::refused(format!(
        "{shown} is a link: whoever made it would write over a change"
    ))
    .hint(format!(
        "change the file it leads to, or put that file itself in its place: {put}"
    ))
}

/// How files are told apart.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Whether there is a file at the path that is not the one with this sha256: somebody else has put it there or written to it.
///
/// # Errors
/// What the disk says.
pub(crate) fn holds_another(path: &Path, digest: &str) -> Result<bool, Failure> {
    if path.symlink_metadata().is_err() {
        return Ok(false);
    }
    match open(path, Links::Refused).and_then(|file| content(path, &file)) {
        Ok(bytes) => Ok(sha256(&bytes) != digest),
        // A link in its place is not what was put there.
        Err(failure) if failure.kind == FailureKind::Refused => Ok(true),
        Err(failure) => Err(failure),
    }
}

/// Whether a manifest is the one a record was made for, by its sha256.
pub(super) fn is_prepared(manifest: &Manifest, digest: &str) -> Result<(), Failure> {
    if sha256(manifest.bytes()) == digest {
        return Ok(());
    }
    let message = "the new manifest is not the prepared one";
    Err(Failure::other(message))
}

/// The dot-file beside a manifest that becomes it. kubelet does not read it.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(UNFINISHED);
    path.with_file_name(name)
}

/// Whether a name is of a file that was to become a manifest.
pub(super) fn is_unfinished(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.len() > UNFINISHED.len() + 1
        && name.starts_with(b".")
        && name.ends_with(UNFINISHED.as_bytes())
}

/// What must be at the path when a new file takes its place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Over<'s> {
    /// Nothing.
    Nothing,
    /// A file with this sha256.
    File(&'s str),
}

/// Writes a file under a temporary name, with the mode, owner and attributes of another or as 0600, onto the disk; gives it
/// its name; and the name onto the disk. Killed at any moment, it leaves what was there before or the new file.
///
/// Another name of the old file, a hard link, keeps the old bytes. Somebody who replaces the file between the last look at it and the rename loses his change; that is a matter of
/// microseconds, and kubelet would take an exchange, which could be looked at afterwards, for a removal.
pub(super) fn put(
    path: &Path,
    temporary: &Path,
    bytes: &[u8],
    like: Option<&File>,
    over: Over<'_>,
) -> Result<(), Failure> {
    let mut file = open_part(temporary, Begin::Empty).map_err(|failure| match failure.hint {
        None if failure.kind == FailureKind::Refused => failure.hint("begin again when it is done"),
        _ => failure,
    })?;
    let put = file
        .write_all(bytes)
        .and_then(|()| like.map_or(Ok(()), |like| take_after(&file, like)))
        .and_then(|()| file.sync_all())
        .map_err(|error| trouble("write", temporary, &error))
        .and_then(|()| match over {
            Over::Nothing => files::name(temporary, path),
            Over::File(digest) => {
                unchanged(path, digest)?;
                std::fs::rename(temporary, path).map_err(|error| trouble("name", path, &error))
            }
        });
    if put.is_err() {
        // It is locked, so it is nobody else's.
        std::fs::remove_file(temporary).ok();
    }
    put?;
    sync_folder_of(path)
}

fn unchanged(path: &Path, digest: &str) -> Result<(), Failure> {
    let now = open(path, Links::Refused).and_then(|file| content(path, &file))?;
    if sha256(&now) == digest {
        Ok(())
    } else {
        Err(changed(path))
    }
}

pub(super) fn changed(path: &Path) -> Failure {
    let message = format!("{} was changed by somebody else meanwhile", path.display());
    Failure::refused(message).hint("look at it, then begin again")
}

/// Mode, owner and extended attributes (access lists, SELinux labels) of another file.
fn take_after(file: &File, like: &File) -> io::Result<()> {
    let (own, wanted) = (file.metadata()?, like.metadata()?);
    if (own.uid(), own.gid()) != (wanted.uid(), wanted.gid()) {
        fchown(file, Some(wanted.uid()), Some(wanted.gid()))?;
    }
    copy_attributes(file, like)?;
    // Behind the owner, whose change takes bits away.
    file.set_permissions(std::fs::Permissions::from_mode(wanted.mode() & 0o7777))
}

fn copy_attributes(file: &File, like: &File) -> io::Result<()> {
    let mut names = vec![0; 64 << 10];
    let length = match flistxattr(like, &mut names) {
        Ok(length) => length,
        // A file system that has none.
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(error.into()),
    };
    let names = names.get(..length).unwrap_or_default();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; 64 << 10];
        let length = fgetxattr(like, name, &mut value)?;
        let value = value.get(..length).unwrap_or_default();
        match fsetxattr(file, name, value, XattrFlags::empty()) {
            // The other file system's own.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
