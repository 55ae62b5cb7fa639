//! Reads one segment file from front to back: good records, and where there are none.
//!
//! Says what it finds and judges nothing: whether damage is a torn end or lost mail is for the
//! caller, who knows what was synced. Body bytes are skipped unless asked for.

use std::{io, sync::Arc};

use bytes::Bytes;

use super::{
    disk::{File, read_exact_at},
    record::{ALIGN, BatchMeta, Header, Held, Kind, piece_crc},
    segment::HEADER_BYTES,
};

/// A reader of one segment file.
#[derive(Debug)]
pub(super) struct Scanner {
    file: Arc<dyn File>,
    salt: u32,
    length: u64,
    offset: u64,
    last_sequence: u64,
    window: Vec<u8>,
    window_start: u64,
}

/// What stands at a place of a segment.
#[derive(Debug)]
pub(super) enum Found {
    /// A record with intact header and metadata.
    Record(Record),
    /// No record can be read from `from` to `to`.
    Damage { from: u64, to: u64 },
}

/// A record of a segment.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) offset: u64,
    pub(super) header: Header,
    pub(super) meta: Bytes,
}

impl Record {
    /// Where its body bytes begin.
    pub(super) fn body_offset(&self) -> u64 {
        self.offset + self.header.body_start()
    }

    /// Where the next record begins.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.header.record_length()
    }
}

impl Scanner {
    /// Reads from `offset`, behind a record numbered `last_sequence` or lower.
    pub(super) fn new(
        file: Arc<dyn File>,
        salt: u32,
        offset: u64,
        last_sequence: u64,
    ) -> io::Result<Self> {
        let length = file.len()?;
        let offset = offset.max(HEADER_BYTES as u64);
        let (window, window_start) = (Vec::new(), 0);
        Ok(Self {
            file,
            salt,
            length,
            offset,
            last_sequence,
            window,
            window_start,
        })
    }

    /// The next record or gap; `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        if self.offset >= self.length {
            return Ok(None);
        }
        let from = self.offset;
        let Some(header) = self.header_at(from)? else {
            self.offset = self.next_header(from + ALIGN)?;
            return Ok(Some(Found::Damage {
                from,
                to: self.offset,
            }));
        };
        let meta_start = from + Header::BYTES as u64;
        let meta_length = usize::try_from(header.meta_length).unwrap_or(usize::MAX);
        // The header is intact, so its lengths are right: the next record is behind this one.
        self.offset = (from + header.record_length()).min(self.length);
        let damage = Found::Damage {
            from,
            to: self.offset,
        };
        if from + header.record_length() > self.length || header.sequence <= self.last_sequence {
            return Ok(Some(damage));
        }
        let Some(meta) = self
            .bytes(meta_start, meta_length)?
            .map(Bytes::copy_from_slice)
        else {
            return Ok(Some(damage));
        };
        self.last_sequence = header.sequence;
        if crc32fast::hash(&meta) != header.meta_crc {
            return Ok(Some(damage));
        }
        Ok(Some(Found::Record(Record {
            offset: from,
            header,
            meta,
        })))
    }

    /// Number of the last record met, or what the scan began with.
    pub(super) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Length of the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The lowest number that may not have been durable when the last intact header from here to
    /// the end was written. Consumes the scanner.
    pub(super) fn synced_below(mut self) -> io::Result<u64> {
        let mut below = 0;
        while let Some(found) = self.next()? {
            if let Found::Record(record) = found {
                below = below.max(record.header.synced_before);
            }
        }
        Ok(below)
    }

    /// Whether all body bytes in the record have their checksums.
    pub(super) fn body_is_intact(&mut self, record: &Record) -> io::Result<bool> {
        match record.header.kind {
            Kind::Piece => {
                let crc = piece_crc(&record.meta);
                let found = self.crc(record.body_offset(), record.header.body_length)?;
                Ok(crc.is_some() && crc == found)
            }
            Kind::Batch => {
                let Some(meta) = BatchMeta::decode(&record.meta) else {
                    return Ok(true);
                };
                let mut offset = record.body_offset();
                for body in meta.bodies.iter().filter(|body| body.held == Held::Inline) {
                    if self.crc(offset, body.length)? != Some(body.crc) {
                        return Ok(false);
                    }
                    offset += body.length;
                }
                Ok(true)
            }
        }
    }

    /// Checksum of some bytes of the file; `None` when it ends before.
    pub(super) fn crc(&mut self, mut offset: u64, length: u64) -> io::Result<Option<u32>> {
        let Some(end) = offset.checked_add(length).filter(|end| *end <= self.length) else {
            return Ok(None);
        };
        let mut hasher = crc32fast::Hasher::new();
        while offset < end {
            let part = (end - offset).min(WINDOW_BYTES as u64);
            let part = usize::try_from(part).unwrap_or(WINDOW_BYTES);
            let Some(bytes) = self.bytes(offset, part)? else {
                return Ok(None);
            };
            hasher.update(bytes);
            offset += part as u64;
        }
        Ok(Some(hasher.finalize()))
    }

    fn header_at(&mut self, offset: u64) -> io::Result<Option<Header>> {
        let salt = self.salt;
        let bytes = self.bytes(offset, Header::BYTES)?;
        Ok(bytes.and_then(|bytes| Header::decode(bytes, salt)))
    }

    /// Where the next intact header is, from `offset` on; the end of the file when there is none.
    fn next_header(&mut self, mut offset: u64) -> io::Result<u64> {
        while offset < self.length {
            if self.header_at(offset)?.is_some() {
                return Ok(offset);
            }
            offset += ALIGN;
        }
        Ok(self.length)
    }

    /// `length` bytes at `offset`; `None` when the file ends before.
    fn bytes(&mut self, offset: u64, length: usize) -> io::Result<Option<&[u8]>> {
        if offset + length as u64 > self.length {
            return Ok(None);
        }
        let window_end = self.window_start + self.window.len() as u64;
        if offset < self.window_start || offset + length as u64 > window_end {
            let wanted = (self.length - offset).min(WINDOW_BYTES as u64);
            let wanted = usize::try_from(wanted).unwrap_or(WINDOW_BYTES).max(length);
            self.window.resize(wanted, 0);
            self.window_start = offset;
            let file = Arc::clone(&self.file);
            if let Err(error) = read_exact_at(&*file, &mut self.window, offset) {
                self.window.clear();
                return Err(error);
            }
        }
        let start = usize::try_from(offset - self.window_start).unwrap_or(usize::MAX);
        Ok(self.window.get(start..start + length))
    }
}

/// Bytes read from the disk at once.
const WINDOW_BYTES: usize = 256 * 1024;
