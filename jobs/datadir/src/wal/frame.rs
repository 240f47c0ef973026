//! Frames: where a record begins and ends in a segment.

use std::io::{self, Read};

use super::damage::TornReason;

/// Longest record that is read; the buffer grows only as far as the file really goes.
const MAX_RECORD_BYTES: u64 = 64 << 20;
/// Unit in which disks write; etcd's decoder judges torn records by it.
const SECTOR: u64 = 512;
const LENGTH_FIELD: u64 = 8;

/// What comes next in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A record of this length, now in [`FrameReader::record`].
    Record,
    /// The end: of the file, or a length field of zero (`zeros`).
    End { zeros: bool },
    /// The frame cannot be complete.
    Cut(TornReason),
    /// The record is longer than is read here.
    TooLarge(u64),
}

/// Reads the frames of one segment, one at a time.
pub(crate) struct FrameReader<R> {
    reader: R,
    file_len: u64,
    /// Offset of the frame to be read next, or being judged.
    offset: u64,
    record_len: usize,
    buffer: Vec<u8>,
}

impl<R: Read> FrameReader<R> {
    pub(crate) fn new(reader: R, file_len: u64) -> Self {
        Self {
            reader,
            file_len,
            offset: 0,
            record_len: 0,
            buffer: Vec::new(),
        }
    }

    /// Offset behind the last record accepted.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The record last read, without padding.
    pub(crate) fn record(&self) -> &[u8] {
        &self.buffer[..self.record_len]
    }

    /// Reads the next frame; [`Self::accept`] moves past it.
    pub(crate) fn next(&mut self) -> io::Result<Frame> {
        let mut field = [0u8; 8];
        match read_fully(&mut self.reader, &mut field)? {
            0 => return Ok(Frame::End { zeros: false }),
            8 => {}
            _ => return Ok(Frame::Cut(TornReason::ShortFrame)),
        }
        let field = u64::from_le_bytes(field);
        if field == 0 {
            return Ok(Frame::End { zeros: true });
        }
        let record = field & 0x00ff_ffff_ffff_ffff;
        let padding = if field >> 63 == 1 { field >> 56 & 7 } else { 0 };
        // etcd's own limit forgets the length field, but reading then ends short: the same verdict.
        if record + padding > self.file_len.saturating_sub(self.offset + LENGTH_FIELD) {
            return Ok(Frame::Cut(TornReason::LengthBeyondFile));
        }
        if record > MAX_RECORD_BYTES {
            return Ok(Frame::TooLarge(record));
        }
        self.buffer.clear();
        let wanted = record + padding;
        let got = self
            .reader
            .by_ref()
            .take(wanted)
            .read_to_end(&mut self.buffer)? as u64;
        if got < wanted {
            return Ok(Frame::Cut(TornReason::ShortFrame));
        }
        // At most 64 MiB, checked above.
        self.record_len = self.buffer.len() - usize::try_from(padding).unwrap_or(0);
        Ok(Frame::Record)
    }

    /// The record last read is good: what follows it is next.
    pub(crate) fn accept(&mut self) {
        self.offset += LENGTH_FIELD + self.buffer.len() as u64;
    }

    /// Whether a sector of the record last read is all zero (`isTornEntry` in etcd's decoder): then it was never
    /// completely written. Padding counts as part of the record, and so does a last piece of padding alone.
    pub(crate) fn has_zero_sector(&self) -> bool {
        let mut at = self.offset + LENGTH_FIELD;
        let mut rest = self.buffer.as_slice();
        while !rest.is_empty() {
            let to_boundary = usize::try_from(SECTOR - at % SECTOR).unwrap_or(1);
            let (sector, tail) = rest.split_at(to_boundary.min(rest.len()));
            if sector.iter().all(|&b| b == 0) {
                return true;
            }
            at += sector.len() as u64;
            rest = tail;
        }
        false
    }

    /// The bytes behind the last length field read, for looking at what follows the end.
    pub(crate) fn rest(&mut self) -> &mut R {
        &mut self.reader
    }
}

/// Fills `buffer` as far as there are bytes; says how many there were.
pub(crate) fn read_fully(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Appends a record as a frame.
pub(crate) fn put_frame(out: &mut Vec<u8>, record: &[u8]) {
    let length = record.len() as u64;
    let padding = (8 - length % 8) % 8;
    let field = if padding == 0 {
        length
    } else {
        length | (0x80 | padding) << 56
    };
    out.extend_from_slice(&field.to_le_bytes());
    out.extend_from_slice(record);
    out.resize(out.len() + usize::try_from(padding).unwrap_or(0), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8]) -> FrameReader<&[u8]> {
        FrameReader::new(bytes, bytes.len() as u64)
    }

    #[test]
    fn frames_of_every_padding_come_back() {
        for len in 1..40 {
            let record: Vec<u8> = (1..=len).collect();
            let mut file = Vec::new();
            put_frame(&mut file, &record);
            put_frame(&mut file, b"next");
            assert_eq!(file.len() % 8, 0);
            let mut frames = reader(&file);
            assert_eq!(frames.next().unwrap(), Frame::Record);
            assert_eq!(frames.record(), record);
            frames.accept();
            assert_eq!(frames.next().unwrap(), Frame::Record);
            assert_eq!(frames.record(), b"next");
            frames.accept();
            assert_eq!(frames.offset(), file.len() as u64);
            assert_eq!(frames.next().unwrap(), Frame::End { zeros: false });
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let mut file = Vec::new();
        put_frame(&mut file, b"twelve bytes");
        for len in 1..file.len() {
            assert!(
                matches!(reader(&file[..len]).next().unwrap(), Frame::Cut(_)),
                "{len}"
            );
        }
        assert_eq!(reader(&[]).next().unwrap(), Frame::End { zeros: false });
        assert_eq!(reader(&[0; 16]).next().unwrap(), Frame::End { zeros: true });
    }

    #[test]
    fn a_length_of_56_bits_neither_allocates_nor_overflows() {
        assert_eq!(
            reader(&[0xff; 64]).next().unwrap(),
            Frame::Cut(TornReason::LengthBeyondFile)
        );
    }

    #[test]
    fn a_sector_never_written_is_seen() {
        let mut file = Vec::new();
        put_frame(&mut file, &[7; 2000]);
        let mut whole = reader(&file);
        assert_eq!(whole.next().unwrap(), Frame::Record);
        assert!(!whole.has_zero_sector());
        file[512..1024].fill(0);
        let mut torn = reader(&file);
        assert_eq!(torn.next().unwrap(), Frame::Record);
        assert!(torn.has_zero_sector());
    }
}
