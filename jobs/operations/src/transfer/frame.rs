//! Frames: written to anything, read from whatever pieces they come in.

use std::io::{self, Write};

use zstd::bulk::Compressor;

use super::{MAGIC, MAX_PAYLOAD, TransferError};
use crate::failure::Failure;

const HEADER: usize = 16;
const LENGTH_BITS: u32 = 30;
const DATA: u32 = 0;
const END: u32 = 1;
const FAILED: u32 = 2;
const COMPRESSED: u32 = 3;

/// Fast enough for one core beside everything else, and what the apiserver stores shrinks to a fraction all the same.
const LEVEL: i32 = 1;
/// What is shorter is not worth it.
const LEAST_COMPRESSED: usize = 4096;
/// How many frames go as they are after one that did not shrink by an eighth: the next will not either.
const TRUSTED: u32 = 7;

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
pub struct FrameWriter<W> {
    out: W,
    offset: u64,
    compressor: Compressor<'static>,
    compressed: Vec<u8>,
    /// So many frames are not tried to compress.
    as_they_are: u32,
}

impl<W: Write> FrameWriter<W> {
    /// Begins a stream at an offset of the file.
    ///
    /// # Errors
    /// As writing.
    pub fn new(mut out: W, offset: u64) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        Ok(Self {
            out,
            offset,
            compressor: Compressor::new(LEVEL)?,
            compressed: Vec::new(),
            as_they_are: 0,
        })
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
            if self.shrinks(part)? {
                let compressed = std::mem::take(&mut self.compressed);
                self.frame(COMPRESSED, &compressed)?;
                self.compressed = compressed;
            } else {
                self.frame(DATA, part)?;
            }
            self.offset += part.len() as u64;
        }
        Ok(())
    }

    /// Compresses it and says whether that is worth it.
    fn shrinks(&mut self, part: &[u8]) -> io::Result<bool> {
        if part.len() < LEAST_COMPRESSED {
            return Ok(false);
        }
        if self.as_they_are > 0 {
            self.as_they_are -= 1;
            return Ok(false);
        }
        self.compressed.clear();
        self.compressed
            .reserve(zstd::zstd_safe::compress_bound(part.len()));
        self.compressor
            .compress_to_buffer(part, &mut self.compressed)?;
        let shrinks = self.compressed.len() < part.len() / 8 * 7;
        if !shrinks {
            self.as_they_are = TRUSTED;
        }
        Ok(shrinks)
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
    pub(crate) fn is_ended(&self) -> bool {
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
        if length > MAX_PAYLOAD {
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
        let frame = frame(kind, offset, payload).ok_or(damaged)?;
        *at += HEADER + length;
        match &frame {
            Frame::Data { bytes, .. } => self.offset += bytes.len() as u64,
            Frame::End { .. } | Frame::Failed(_) => self.ended = true,
        }
        Ok(Some(frame))
    }
}

/// A frame of this kind; none: what is in it is not of this kind.
fn frame(kind: u32, offset: u64, payload: &[u8]) -> Option<Frame> {
    Some(match kind {
        DATA => Frame::Data {
            offset,
            bytes: payload.to_vec(),
        },
        COMPRESSED => Frame::Data {
            offset,
            bytes: zstd::bulk::decompress(payload, MAX_PAYLOAD).ok()?,
        },
        END => Frame::End {
            size: offset,
            sha256: payload.try_into().ok()?,
        },
        _ => Frame::Failed(failure(payload)),
    })
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
    serde_json::from_slice(payload)
        .unwrap_or_else(|_| Failure::other("the sender failed and its reason cannot be read"))
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

    /// Some that are sent as they are, some that are compressed.
    fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let plain = prop::collection::vec(any::<u8>(), 0..300);
        let again = (prop::collection::vec(any::<u8>(), 1..40), 4100_usize..6000);
        let again = again.prop_map(|(some, len)| some.into_iter().cycle().take(len).collect());
        prop::collection::vec(prop_oneof![2 => plain, 1 => again], 0..8)
    }

    #[test]
    fn what_repeats_is_sent_in_less_and_what_does_not_as_it_is() {
        let text = "apiVersion: v1, kind: Pod\n".repeat(20_000);
        let (bytes, _) = stream(&[text.clone().into_bytes()]);
        assert!(bytes.len() < text.len() / 20, "{}", bytes.len());
        let mut state = 1_u64;
        let noise: Vec<u8> = (0..1 << 17)
            .flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .collect();
        let (bytes, _) = stream(std::slice::from_ref(&noise));
        assert!(bytes.len() < noise.len() + 200, "{}", bytes.len());
    }

    #[test]
    fn what_would_grow_beyond_a_frame_is_damage() {
        let bomb = zstd::bulk::compress(&vec![0; MAX_PAYLOAD + 1], 1).unwrap();
        let mut out = Vec::new();
        let mut writer = FrameWriter::new(&mut out, 0).unwrap();
        writer.frame(COMPRESSED, &bomb).unwrap();
        assert!(matches!(
            read([out.as_slice()]).2,
            Some(TransferError::Damaged { offset: 0 })
        ));
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
