//! The journal's writing end: a group of records, one write, one sync.
//!
//! Only the committer has it. A group is composed in memory (small bytes copied once, large bodies
//! by reference), written behind the last good end of the newest segment, and counts only when it
//! is synced. A new segment is begun between groups, after the old one is synced: only the newest
//! can have a torn end.

use std::{
    io::{self, ErrorKind, IoSlice},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;

use super::{
    disk::{File, OpenMode, is_full, write_all_at},
    overlay::Position,
    record::{
        Extent, FileId, Header, Held, Kind, NamedBody, Piece, Place, encode_batch, padded,
        piece_meta,
    },
    segment::{HEADER_BYTES, Segments, StoreId, encode_header},
};
use crate::store::resolve::Change;

/// The newest segment, and where its next record goes.
#[derive(Debug)]
pub(super) struct Journal {
    segments: Arc<Segments>,
    store: StoreId,
    segment_bytes: u64,
    file: Arc<dyn File>,
    id: FileId,
    end: u64,
    next_sequence: u64,
    synced_before: u64,
}

/// Why a group was not written.
#[derive(Debug)]
pub(super) enum JournalError {
    /// No room. The file ends where it ended before.
    Full,
    /// The disk failed; what is in the file cannot be known any more.
    Broken(io::Error),
}

impl Journal {
    /// Goes on behind `position`, the good and synced end of the newest segment.
    pub(super) fn resume(
        segments: Arc<Segments>,
        store: StoreId,
        segment_bytes: u64,
        position: Position,
    ) -> io::Result<Self> {
        let id = FileId {
            segment: position.segment,
            generation: 0,
        };
        let file = segments.file(id)?;
        Ok(Self {
            segments,
            store,
            segment_bytes,
            file,
            id,
            end: position.offset,
            next_sequence: position.sequence,
            synced_before: position.sequence,
        })
    }

    /// Where the next record goes.
    pub(super) fn position(&self) -> Position {
        let (segment, offset, sequence) = (self.id.segment, self.end, self.next_sequence);
        Position {
            segment,
            offset,
            sequence,
        }
    }

    /// Whether the newest segment is long enough.
    pub(super) fn wants_turn(&self) -> bool {
        self.end >= self.segment_bytes
    }

    /// Begins a group.
    pub(super) fn begin(&self, buffer: Vec<u8>) -> Group {
        Group {
            buffer,
            parts: Vec::new(),
            salt: self.store.salt(),
            file: self.id,
            end: self.end,
            next_sequence: self.next_sequence,
            synced_before: self.synced_before,
        }
    }

    /// Writes the group; it is not durable yet.
    pub(super) fn write(&mut self, group: &Group) -> Result<(), JournalError> {
        if let Err(error) = self.write_parts(group) {
            if !is_full(&error) {
                return Err(JournalError::Broken(error));
            }
            // Synced, so that no crash brings back what is now refused.
            let cut = self.file.set_len(self.end).and_then(|()| self.file.sync());
            cut.map_err(JournalError::Broken)?;
            return Err(JournalError::Full);
        }
        self.end = group.end;
        self.next_sequence = group.next_sequence;
        Ok(())
    }

    /// Makes everything written durable. After an error nothing may be written any more (DUR-03).
    pub(super) fn sync(&mut self) -> Result<(), JournalError> {
        if self.synced_before < self.next_sequence {
            self.file.sync().map_err(JournalError::Broken)?;
            self.synced_before = self.next_sequence;
        }
        Ok(())
    }

    /// Goes on in a new segment, whose header is durable: the index may name it before any record
    /// is there.
    pub(super) fn turn(&mut self) -> Result<(), JournalError> {
        self.sync()?;
        let id = FileId {
            segment: self.id.segment + 1,
            generation: 0,
        };
        match create(&self.segments, self.store, id) {
            Ok(file) => {
                self.file = file;
                self.id = id;
                self.end = HEADER_BYTES as u64;
                Ok(())
            }
            Err(error) if is_full(&error) => {
                // What is left of it, if anything, is cleared by the next attempt or the next
                // start. An empty one must not come back beside a segment that goes on.
                let removed = self.segments.remove(id);
                let _ = removed.and_then(|()| self.segments.disk().sync_dir(self.segments.dir()));
                Err(JournalError::Full)
            }
            Err(error) => Err(JournalError::Broken(error)),
        }
    }

    fn write_parts(&self, group: &Group) -> io::Result<()> {
        let mut offset = self.end;
        let mut slices = group.slices();
        let mut slices = slices.as_mut_slice();
        while !slices.is_empty() {
            let n = self.file.write_at(slices, offset)?;
            if n == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            offset += n as u64;
            IoSlice::advance_slices(&mut slices, n);
        }
        Ok(())
    }
}

/// Makes an empty segment file with a durable header and name.
pub(super) fn create(segments: &Segments, store: StoreId, id: FileId) -> io::Result<Arc<dyn File>> {
    let path = segments.path(id);
    let file: Arc<dyn File> = match segments.disk().open(&path, OpenMode::New) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            // Left by an attempt that failed for want of room; no record was ever written to it.
            let file = segments.disk().open(&path, OpenMode::Existing)?;
            file.set_len(0)?;
            file
        }
        opened => opened?,
    }
    .into();
    write_all_at(&*file, &encode_header(store, id), 0)?;
    file.sync()?;
    segments.disk().sync_dir(segments.dir())?;
    segments.insert_new(id, Arc::clone(&file));
    Ok(file)
}

/// Records to be written together.
#[derive(Debug)]
pub(super) struct Group {
    buffer: Vec<u8>,
    parts: Vec<Part>,
    salt: u32,
    file: FileId,
    end: u64,
    next_sequence: u64,
    synced_before: u64,
}

#[derive(Debug)]
enum Part {
    Buffered(Range<usize>),
    Shared(Bytes),
}

impl Group {
    /// Adds a batch with its small bodies; answers where they will be and how many bytes of the
    /// record are not body. `bodies` and `contents` are parallel; a staged body has no content.
    pub(super) fn add_batch(
        &mut self,
        time: u64,
        bodies: &[NamedBody],
        contents: &[Option<Bytes>],
        changes: &[Change],
    ) -> (Vec<Place>, u64) {
        let body_length = contents
            .iter()
            .flatten()
            .map(|bytes| bytes.len() as u64)
            .sum();
        let start = self.open_record();
        encode_batch(&mut self.buffer, time, bodies, changes);
        let header = self.close_meta(Kind::Batch, start, body_length);
        let mut offset = self.end + header.body_start();
        let mut places = Vec::with_capacity(bodies.len());
        for (body, content) in bodies.iter().zip(contents) {
            let (staged, extents) = match &body.held {
                Held::Pieces(pieces) => (true, pieces.iter().map(|piece| piece.extent).collect()),
                _ if body.length == 0 => (false, Vec::new()),
                _ => (
                    false,
                    vec![Extent {
                        file: self.file,
                        offset,
                        length: body.length,
                    }],
                ),
            };
            places.push(Place {
                length: body.length,
                crc: body.crc,
                staged,
                extents,
            });
            if let Some(content) = content {
                offset += content.len() as u64;
                self.push_content(content);
            }
        }
        self.pad(&header);
        (places, header.record_length() - body_length)
    }

    /// Adds a piece of a staged body.
    pub(super) fn add_piece(&mut self, bytes: &Bytes, crc: u32) -> Piece {
        let start = self.open_record();
        self.buffer.extend_from_slice(&piece_meta(crc));
        let header = self.close_meta(Kind::Piece, start, bytes.len() as u64);
        let offset = self.end + header.body_start();
        let extent = Extent {
            file: self.file,
            offset,
            length: bytes.len() as u64,
        };
        self.push_content(bytes);
        self.pad(&header);
        Piece {
            sequence: header.sequence,
            extent,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The buffer, for the next group.
    pub(super) fn into_buffer(mut self) -> Vec<u8> {
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT);
        self.buffer
    }

    fn open_record(&mut self) -> usize {
        let start = self.buffer.len();
        self.buffer.resize(start + Header::BYTES, 0);
        start
    }

    fn close_meta(&mut self, kind: Kind, start: usize, body_length: u64) -> Header {
        let meta = &self.buffer[start + Header::BYTES..];
        let header = Header {
            kind,
            meta_length: u32::try_from(meta.len()).expect("a batch is bounded to 8 MiB"),
            meta_crc: crc32fast::hash(meta),
            body_length,
            sequence: self.next_sequence,
            synced_before: self.synced_before,
        };
        self.next_sequence += 1;
        let bytes = header.encode(self.salt);
        self.buffer[start..start + Header::BYTES].copy_from_slice(&bytes);
        self.push_buffered(start);
        header
    }

    fn push_content(&mut self, content: &Bytes) {
        if content.len() >= SHARED_FROM {
            self.parts.push(Part::Shared(content.clone()));
        } else {
            let start = self.buffer.len();
            self.buffer.extend_from_slice(content);
            self.push_buffered(start);
        }
    }

    fn pad(&mut self, header: &Header) {
        let length = header.body_start() + header.body_length;
        let start = self.buffer.len();
        let padding = usize::try_from(padded(length) - length).unwrap_or(0);
        self.buffer.resize(start + padding, 0);
        self.push_buffered(start);
        self.end += header.record_length();
    }

    /// Everything in the buffer from `start` on belongs to the group.
    fn push_buffered(&mut self, start: usize) {
        let end = self.buffer.len();
        match self.parts.last_mut() {
            Some(Part::Buffered(last)) if last.end == start => last.end = end,
            _ if start == end => {}
            _ => self.parts.push(Part::Buffered(start..end)),
        }
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        let bytes = self.parts.iter().map(|part| match part {
            Part::Buffered(range) => &self.buffer[range.clone()],
            Part::Shared(bytes) => bytes,
        });
        bytes.map(IoSlice::new).collect()
    }
}

/// Bodies from this length on are written from where they are, not copied into the buffer.
const SHARED_FROM: usize = 16 * 1024;
/// Buffer capacity kept between groups.
const BUFFER_KEPT: usize = 4 * 1024 * 1024;
