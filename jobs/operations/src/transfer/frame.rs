//! Frames: written to anything, read from whatever pieces they come in.

use std::io::{self, Write};

use super::{MAGIC, MAX_PAYLOAD, TransferError};
use crate::failure::Failure;

const HEADER: usize = 16;
const LENGTH_BITS: u32 = 30;
const DATA: u32 = 0;
const END: u32 = 1;
const FAILED: u32 = 2;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of the file; none at all: the sender is alive.
    Data {
        /// Where they are in the file.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The end of the file.
    End {
        /// The file's size.
        size: u64,
        /// The SHA-256 of the whole file.
        sha256: [u8; 32],
    },
    /// The sender cannot go on.
    Failed(Failure),
}

/// Writes a stream of frames.
#[derive(Debug)]
pub struct FrameWriter<W> {
    out: W,
    offset: u64,
}

impl<W: Write> FrameWriter<W> {
    /// Begins a stream at an offset of the file.
    ///
    /// # Errors
    /// As writing.
    pub fn new(mut out: W, offset: u64) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        Ok(Self { out, offset })
    }

    /// The offset of the next byte.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes of the file. None at all tells the receiver that we are alive.
    ///
    /// # Errors
    /// As writing.
    pub fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return self.frame(DATA, bytes);
        }
        for part in bytes.chunks(MAX_PAYLOAD) {
            self.frame(DATA, part)?;
            self.offset += part.len() as u64;
        }
        Ok(())
    }

    /// The end: everything up to the current offset was the file.
    ///
    /// # Errors
    /// As writing.
    pub fn end(&mut self, sha256: &[u8; 32]) -> io::Result<()> {
        self.frame(END, sha256)
    }

    /// The end that is none.
    ///
    /// # Errors
    /// As writing.
    pub fn failed(&mut self, failure: &Failure) -> io::Result<()> {
        let mut json = serde_json::to_vec(failure)?;
        // Cut it is no JSON any more, and still says that the sender failed.
        json.truncate(MAX_PAYLOAD);
        self.frame(FAILED, &json)
    }

    fn frame(&mut self, kind: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&self.offset.to_le_bytes());
        header[8..12].copy_from_slice(&(kind << LENGTH_BITS | length).to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..12]), payload);
        header[12..].copy_from_slice(&crc.to_le_bytes());
        self.out.write_all(&header)?;
        self.out.write_all(payload)?;
        self.out.flush()
    }
}

/// Puts frames together from the pieces in which they come. Holds one frame at most, and what came with it.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    begun: bool,
    offset: u64,
    ended: bool,
}

impl Decoder {
    /// A stream whose first data is expected at this offset of the file.
    pub fn new(offset: u64) -> Self {
        Self {
            buffer: Vec::new(),
            begun: false,
            offset,
            ended: false,
        }
    }

    /// Takes the bytes that come next and gives back every frame that is now complete and right.
    ///
    /// # Errors
    /// At the first byte that is not as it must be; nothing after it is looked at. Frames before it were given back.
    pub fn push(
        &mut self,
        bytes: &[u8],
        mut on_frame: impl FnMut(Frame) -> Result<(), TransferError>,
    ) -> Result<(), TransferError> {
        self.buffer.extend_from_slice(bytes);
        let mut at = 0;
        let result = loop {
            match self.next(&mut at) {
                Ok(Some(frame)) => {
                    if let Err(error) = on_frame(frame) {
                        break Err(error);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.buffer.drain(..at);
        result
    }

    /// Whether the end (or the sender's failure) has come.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The next frame from `at` on, if it is all there; moves `at` behind it.
    fn next(&mut self, at: &mut usize) -> Result<Option<Frame>, TransferError> {
        if !self.begun {
            let there = self.buffer.len().min(MAGIC.len());
            if self.buffer[..there] != MAGIC[..there] {
                return Err(TransferError::Foreign);
            }
            if there < MAGIC.len() {
                return Ok(None);
            }
            (self.begun, *at) = (true, MAGIC.len());
        }
        let rest = &self.buffer[*at..];
        if self.ended {
            return if rest.is_empty() {
                Ok(None)
            } else {
                Err(TransferError::AfterEnd)
            };
        }
        let Some((header, rest)) = rest.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let (offset, kind_and_length, crc) = fields(header);
        let (kind, length) = (
            kind_and_length >> LENGTH_BITS,
            (kind_and_length & ((1 << LENGTH_BITS) - 1)) as usize,
        );
        let damaged = TransferError::Damaged {
            offset: self.offset,
        };
        // Looked at before the checksum can be: a damaged length must not make us wait for what never comes.
        if length > MAX_PAYLOAD || kind > FAILED {
            return Err(damaged);
        }
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        if crc32c::crc32c_append(crc32c::crc32c(&header[..12]), payload) != crc {
            return Err(damaged);
        }
        if offset != self.offset {
            return Err(TransferError::Gap {
                expected: self.offset,
                found: offset,
            });
        }
        let frame = match kind {
            DATA => Frame::Data {
                offset,
                bytes: payload.to_vec(),
            },
            END => Frame::End {
                size: offset,
                sha256: payload.try_into().map_err(|_| damaged)?,
            },
            _ => Frame::Failed(failure(payload)),
        };
        *at += HEADER + length;
        self.ended = kind != DATA;
        if kind == DATA {
            self.offset += length as u64;
        }
        Ok(Some(frame))
    }
}

fn fields(header: &[u8; HEADER]) -> (u64, u32, u32) {
    let number = |range: std::ops::Range<usize>| {
        header[range]
            .iter()
            .rev()
            .fold(0u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let short = |range| u32::try_from(number(range)).unwrap_or(u32::MAX);
    (number(0..8), short(8..12), short(12..16))
}

fn failure(payload: &[u8]) -> Failure {
    use crate::failure::FailureKind;
    serde_json::from_slice(payload).unwrap_or_else(|_| {
        Failure::new(
            FailureKind::Other,
            "the sender failed and its reason cannot be read",
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::failure::FailureKind;

    fn stream(pieces: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
        let mut out = Vec::new();
        let mut writer = FrameWriter::new(&mut out, 0).unwrap();
        for piece in pieces {
            writer.data(piece).unwrap();
        }
        writer.end(&[7; 32]).unwrap();
        (out, pieces.concat())
    }

    /// All data a stream gives, and whether its end came.
    fn read<'s>(
        chunks: impl IntoIterator<Item = &'s [u8]>,
    ) -> (Vec<u8>, bool, Option<TransferError>) {
        let (mut decoder, mut data, mut end) = (Decoder::new(0), Vec::new(), false);
        for chunk in chunks {
            let result = decoder.push(chunk, |frame| {
                match frame {
                    Frame::Data { bytes, .. } => data.extend(bytes),
                    Frame::End { .. } => end = true,
                    Frame::Failed(_) => {}
                }
                Ok(())
            });
            if let Err(error) = result {
                return (data, end, Some(error));
            }
        }
        (data, end, None)
    }

    #[test]
    fn long_data_is_split_and_a_failure_is_told() {
        let mut out = Vec::new();
        let mut writer = FrameWriter::new(&mut out, 5).unwrap();
        writer.data(&vec![1; MAX_PAYLOAD + 1]).unwrap();
        writer.data(&[]).unwrap();
        assert_eq!(writer.offset(), 5 + MAX_PAYLOAD as u64 + 1);
        let failure = Failure::new(FailureKind::NoSpace, "disk full").hint("free some");
        writer.failed(&failure).unwrap();
        let mut frames = Vec::new();
        let mut decoder = Decoder::new(5);
        decoder
            .push(&out, |frame| {
                frames.push(frame);
                Ok(())
            })
            .unwrap();
        assert_eq!(frames.len(), 4);
        assert_eq!(frames[3], Frame::Failed(failure));
        assert!(decoder.is_ended());
        assert!(matches!(
            decoder.push(b"x", |_| Ok(())),
            Err(TransferError::AfterEnd)
        ));
    }

    #[test]
    fn a_stream_of_something_else_is_refused_at_once() {
        assert!(matches!(
            read([b"error: ".as_slice()]).2,
            Some(TransferError::Foreign)
        ));
        let (bytes, _) = stream(&[vec![1, 2, 3]]);
        let mut decoder = Decoder::new(9);
        let gap = decoder.push(&bytes, |_| Ok(()));
        assert!(matches!(
            gap,
            Err(TransferError::Gap {
                expected: 9,
                found: 0
            })
        ));
    }

    prop_compose! {
        fn pieces()(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8)) -> Vec<Vec<u8>> {
            pieces
        }
    }

    proptest! {
        #[test]
        fn in_whatever_pieces_it_comes_it_reads_the_same(pieces in pieces(), cut in 1usize..700) {
            let (bytes, data) = stream(&pieces);
            let (got, end, error) = read(bytes.chunks(cut));
            prop_assert!(end && error.is_none());
            prop_assert_eq!(got, data);
        }

        #[test]
        fn cut_anywhere_it_has_no_end(pieces in pieces(), at in any::<prop::sample::Index>()) {
            let (bytes, data) = stream(&pieces);
            let (got, end, error) = read([&bytes[..at.index(bytes.len())]]);
            prop_assert!(!end && error.is_none());
            prop_assert!(data.starts_with(&got));
        }

        #[test]
        fn changed_anywhere_it_gives_only_what_was_sent(
            pieces in pieces(), at in any::<prop::sample::Index>(), with in 1u8..,
        ) {
            let (mut bytes, data) = stream(&pieces);
            let at = at.index(bytes.len());
            bytes[at] ^= with;
            let (got, end, error) = read([bytes.as_slice()]);
            prop_assert!(data.starts_with(&got));
            // Either it is seen, or the frame waits for bytes that do not come.
            prop_assert!(!end, "accepted with {error:?}");
        }

        #[test]
        fn any_bytes_are_read_without_trouble(mut bytes in prop::collection::vec(any::<u8>(), 0..400), magic: bool) {
            if magic {
                bytes.splice(0..0, MAGIC);
            }
            let (_, end, _) = read(bytes.chunks(7));
            prop_assert!(!end);
        }
    }
}
