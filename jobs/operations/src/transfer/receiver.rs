//! The receiving side: verified bytes only, over as many connections as it takes.

use sha2::{Digest, Sha256};

use super::{Decoder, Frame, MAX_PAYLOAD, TransferError, Whole, hex};

/// Takes a file in. After an error, [`Receiver::reconnected`] and a new stream from [`Receiver::verified`] on go on where it
/// stopped.
#[derive(Debug)]
pub struct Receiver {
    decoder: Decoder,
    sha: Sha256,
    verified: u64,
    end: Option<(u64, [u8; 32])>,
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// Before the first byte.
    pub fn new() -> Self {
        Self {
            decoder: Decoder::new(0),
            sha: Sha256::new(),
            verified: 0,
            end: None,
        }
    }

    /// With what an earlier run left of the file: all of these bytes. Whether they are the file's shows at its end.
    ///
    /// # Errors
    /// As reading.
    pub fn resumed(mut left: impl std::io::Read) -> std::io::Result<Self> {
        let mut receiver = Self::new();
        let mut buffer = vec![0; MAX_PAYLOAD];
        loop {
            match left.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    receiver.sha.update(&buffer[..n]);
                    receiver.verified += n as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        receiver.reconnected();
        Ok(receiver)
    }

    /// How many bytes of the file are here and right: the offset at which a new stream has to begin.
    pub fn verified(&self) -> u64 {
        self.verified
    }

    /// A new stream begins, at [`Receiver::verified`].
    pub fn reconnected(&mut self) {
        self.decoder = Decoder::new(self.verified);
        self.end = None;
    }

    /// Takes the bytes that come next; what of the file is verified goes to `sink`, in order, each byte once.
    /// Gives back whether the end has come: then the acknowledgement is due, and [`Receiver::finish`].
    ///
    /// # Errors
    /// When the stream is not right, the sender failed, or `sink` does. After an error of `sink` the receiver is of no
    /// more use: it is not known how much was stored.
    pub fn push(
        &mut self,
        bytes: &[u8],
        mut sink: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<bool, TransferError> {
        let Self {
            decoder,
            sha,
            verified,
            end,
        } = self;
        decoder.push(bytes, |frame| match frame {
            Frame::Data { bytes, .. } => {
                sink(&bytes).map_err(TransferError::Sink)?;
                sha.update(&bytes);
                *verified += bytes.len() as u64;
                Ok(())
            }
            Frame::End { size, sha256 } => {
                *end = Some((size, sha256));
                Ok(())
            }
            Frame::Failed(failure) => Err(TransferError::Sender(failure)),
        })?;
        Ok(self.end.is_some())
    }

    /// The stream is over.
    ///
    /// # Errors
    /// [`TransferError::Cut`] without an end, [`TransferError::Checksum`] when the whole is not the file.
    pub fn finish(self) -> Result<Whole, TransferError> {
        let Some((size, expected)) = self.end.filter(|(size, _)| *size == self.verified) else {
            return Err(TransferError::Cut {
                verified: self.verified,
            });
        };
        let (expected, found) = (hex(&expected), hex(&self.sha.finalize()));
        if expected != found {
            return Err(TransferError::Checksum { expected, found });
        }
        Ok(Whole {
            size_bytes: size,
            sha256: found,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transfer::FrameWriter;

    /// The stream of a file from an offset on.
    fn stream(file: &[u8], offset: usize, frame: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = FrameWriter::new(&mut out, offset as u64).unwrap();
        for part in file[offset..].chunks(frame) {
            writer.data(part).unwrap();
        }
        writer.end(&Sha256::digest(file).into()).unwrap();
        out
    }

    proptest! {
        #[test]
        fn over_many_broken_connections_the_file_comes_whole(
            file in prop::collection::vec(any::<u8>(), 0..3000),
            frame in 1usize..400,
            faults in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..6),
        ) {
            let (mut receiver, mut stored) = (Receiver::new(), Vec::new());
            for (at, flip) in faults {
                let mut bytes = stream(&file, usize::try_from(receiver.verified()).unwrap(), frame);
                let at = at.index(bytes.len());
                if flip { bytes[at] ^= 0x20 } else { bytes.truncate(at) }
                let result = receiver.push(&bytes, |part| { stored.extend_from_slice(part); Ok(()) });
                prop_assert!(!matches!(result, Ok(true)));
                prop_assert_eq!(receiver.verified(), stored.len() as u64);
                receiver.reconnected();
            }
            let bytes = stream(&file, stored.len(), frame);
            let ended = receiver.push(&bytes, |part| { stored.extend_from_slice(part); Ok(()) });
            prop_assert!(ended.unwrap());
            let whole = receiver.finish().unwrap();
            prop_assert_eq!(whole.size_bytes, file.len() as u64);
            prop_assert_eq!(whole.sha256, hex(&Sha256::digest(&file)));
            prop_assert_eq!(stored, file);
        }
    }

    #[test]
    fn a_file_that_changed_between_two_connections_is_not_accepted() {
        let mut receiver = Receiver::new();
        let first = stream(b"aaaabbbb", 0, 4);
        assert!(receiver.push(&first[..8 + 16 + 4], |_| Ok(())).is_ok());
        assert_eq!(receiver.verified(), 4);
        receiver.reconnected();
        receiver
            .push(&stream(b"xxxxbbbb", 4, 4), |_| Ok(()))
            .unwrap();
        assert!(matches!(
            receiver.finish(),
            Err(TransferError::Checksum { .. })
        ));
    }

    #[test]
    fn nothing_at_all_is_a_cut() {
        assert!(matches!(
            Receiver::new().finish(),
            Err(TransferError::Cut { verified: 0 })
        ));
    }
}
