//! A file that is sent to a host: in frames, checked, and named when it is whole.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sha2::{Digest, Sha256};

use super::unreadable;
use crate::disk::files::{Begin, name, open_part, sync_folder_of, trouble};
use crate::failure::{Failure, FailureKind};
use crate::stored::part::{Part, make_room};
use crate::transfer::{FrameWriter, MAX_PAYLOAD, Receiver, TransferError, Whole, hex, part_of};

/// How long nothing may come before the sender is taken for gone: its host lost power, or the line was cut.
const SILENCE: Timespec = Timespec {
    tv_sec: 20,
    tv_nsec: 0,
};

/// How long one that is not known to be gone may keep another from sending the same file: longer than [`SILENCE`].
const STALE: Duration = Duration::from_secs(25);

/// Sends a file of this host in the frames of [`crate::transfer`], telling how many bytes have gone.
///
/// # Errors
/// [`FailureKind::Interrupted`] when the receiver is gone; else what is wrong with the file.
pub fn send(path: &Path, out: impl Write, told: &mut dyn FnMut(u64)) -> Result<Whole, Failure> {
    let gone = |error: io::Error| {
        let message = format!("the receiver of {} is gone: {error}", path.display());
        Failure::new(FailureKind::Interrupted, message)
    };
    let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut out = FrameWriter::new(out, 0).map_err(gone)?;
    let (mut sha, mut size_bytes, mut buffer) = (Sha256::new(), 0, vec![0; MAX_PAYLOAD]);
    loop {
        let n = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let failure = unreadable(path, &error);
                out.failed(&failure).map_err(gone)?;
                return Err(failure);
            }
        };
        sha.update(&buffer[..n]);
        out.data(&buffer[..n]).map_err(gone)?;
        size_bytes += n as u64;
        told(size_bytes);
    }
    let digest = sha.finalize();
    out.end(&digest.into()).map_err(gone)?;
    Ok(Whole {
        size_bytes,
        sha256: hex(&digest),
    })
}

/// Copies a file of this host to another place on it, 0600, which gets its name when it is whole and on the disk. One that
/// is there already stays.
///
/// # Errors
/// What the disk says.
pub fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    if to.symlink_metadata().is_ok() {
        return Ok(());
    }
    let part = part_of(to);
    let mut source = File::open(from).map_err(|error| unreadable(from, &error))?;
    let mut copy = open_part(&part, Begin::Empty)?;
    io::copy(&mut source, &mut copy)
        .and_then(|_| copy.sync_all())
        .map_err(|error| trouble("write", &part, &error))?;
    name(&part, to)?;
    sync_folder_of(to)
}

/// Takes in a file of so many bytes, 0600, in the frames of [`crate::transfer`]. It has its name only when it is the sender's to the
/// last byte and on the disk; one that is cut leaves nothing.
///
/// # Errors
/// [`FailureKind::Refused`] when there is something at the path, [`FailureKind::NoSpace`] when it does not fit,
/// [`FailureKind::Interrupted`] when it does not come whole; else what the disk says.
pub fn receive(path: &Path, size_bytes: u64, mut from: impl Read) -> Result<Whole, Failure> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    make_room(folder, size_bytes)?;
    let mut part = part_within(path, STALE)?;
    let mut receiver = Receiver::new();
    let mut buffer = vec![0; MAX_PAYLOAD];
    loop {
        let n = match from.read(&mut buffer) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(Path::new("what is sent"), &error)),
        };
        let pushed = receiver.push(&buffer[..n], |bytes| part.write(bytes));
        if n == 0 || pushed.map_err(|error| refused(path, &error))? {
            break;
        }
    }
    let whole = receiver.finish().map_err(|error| refused(path, &error))?;
    part.complete(None)?;
    Ok(whole)
}

/// The file's part, as soon as a sender that is gone without a word is known to be.
fn part_within(path: &Path, patience: Duration) -> Result<Part, Failure> {
    let begun = Instant::now();
    loop {
        match Part::create(path) {
            Err(failure)
                if failure.kind == FailureKind::Refused
                    && begun.elapsed() < patience
                    && part_of(path).exists()
                    && path.symlink_metadata().is_err() => {}
            made => return made,
        }
    }
}

/// Reads what a sender sends, who is never silent for long as long as it lives.
#[derive(Debug)]
pub struct Impatient<R>(pub R);

impl<R: Read + AsFd> Read for Impatient<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut ready = [PollFd::new(&self.0, PollFlags::IN)];
        if poll(&mut ready, Some(&SILENCE))? == 0 {
            let message = format!("nothing came for {} s", SILENCE.tv_sec);
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        self.0.read(buffer)
    }
}

fn refused(path: &Path, error: &TransferError) -> Failure {
    if let TransferError::Sender(failure) = error {
        return failure.clone();
    }
    let kind = match error {
        TransferError::Sink(error) if error.kind() == io::ErrorKind::StorageFull => {
            FailureKind::NoSpace
        }
        TransferError::Sink(_) => FailureKind::Other,
        _ => FailureKind::Interrupted,
    };
    let cause = crate::client::chain(error);
    Failure::new(kind, format!("{} did not arrive: {cause}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn sent(bytes: &[u8]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("local");
        std::fs::write(&path, bytes).unwrap();
        let (mut stream, mut gone) = (Vec::new(), 0);
        let whole = send(&path, &mut stream, &mut |bytes| gone = bytes).unwrap();
        assert_eq!(
            (whole.size_bytes, gone),
            (bytes.len() as u64, bytes.len() as u64)
        );
        stream
    }

    #[test]
    fn it_has_its_name_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder/file");
        let bytes = vec![7; 3_000_000];
        let whole = receive(&path, 3_000_000, &sent(&bytes)[..]).unwrap();
        assert_eq!(whole.size_bytes, 3_000_000);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        let again = receive(&path, 3, &sent(b"abc")[..]).unwrap_err();
        assert_eq!(again.kind, FailureKind::Refused);
    }

    #[test]
    fn another_sender_is_waited_for_and_then_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let first = Part::create(&path).unwrap();
        let second = part_within(&path, Duration::ZERO).unwrap_err();
        assert!(
            second.message.starts_with("another run is writing"),
            "{second}"
        );
        let waiting = std::thread::spawn(move || part_within(&path, STALE).map(drop));
        drop(first);
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn what_is_cut_or_changed_or_too_large_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let stream = sent(&[1; 5000]);
        let cut = receive(&path, 5000, &stream[..stream.len() - 1]).unwrap_err();
        assert_eq!(cut.kind, FailureKind::Interrupted, "{cut}");
        let mut changed = stream.clone();
        changed[40] ^= 1;
        let changed = receive(&path, 5000, &changed[..]).unwrap_err();
        assert_eq!(changed.kind, FailureKind::Interrupted, "{changed}");
        let large = receive(&path, u64::MAX / 2, &stream[..]).unwrap_err();
        assert_eq!(large.kind, FailureKind::NoSpace);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
