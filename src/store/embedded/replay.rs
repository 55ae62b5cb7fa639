//! From the journal back to the state: what a start and a rebuild do.
//!
//! Reads segments in order from a position and applies their batches to overlays. Knows the one
//! rule that separates a torn end from damage: a record that a later record calls synced was
//! promised to somebody; it is reported when it cannot be read, and the rest goes on. What no later
//! record calls synced was promised to nobody; the newest segment is cut there. docs/STORE.md has
//! the argument.

use std::{collections::HashMap, io, mem, path::PathBuf, sync::Arc};

use super::{
    disk::{File, read_exact_at},
    index::{Index, IndexError},
    overlay::{Overlay, Position},
    record::{BatchMeta, Extent, FileId, Header, Held, Kind, NamedBody, Piece, Place, piece_meta},
    scan::{Found, Record, Scanner},
    segment::{
        FIRST, HEADER_BYTES, MISSING, Segments, StoreId, header_is_intact, missing, read_header,
    },
};

/// What a start or a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records read.
    pub records: u64,
    /// Whether the index was made again from the journal.
    pub rebuilt: bool,
    /// Bytes of unfinished, never acknowledged records cut off the journal's end.
    pub cut_bytes: u64,
    /// What was acknowledged once and cannot be read.
    pub damaged: Vec<Damage>,
}

/// An item that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What is lost.
    pub what: String,
}

/// Why a replay stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplayError {
    #[error("the journal could not be read")]
    Journal(#[from] io::Error),
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// A replay under way.
pub(super) struct Replay<'a> {
    segments: &'a Segments,
    store: StoreId,
    /// Set when the whole index is being made: overlays that have grown go there.
    rebuild: Option<(&'a Index, usize)>,
    overlay: Overlay,
    /// Pieces met that no batch has named yet.
    pieces: HashMap<u64, Extent>,
    position: Position,
    report: Report,
}

/// What a replay leaves.
pub(super) struct Replayed {
    pub(super) overlay: Overlay,
    /// Behind the last good record.
    pub(super) end: Position,
    pub(super) report: Report,
}

impl<'a> Replay<'a> {
    /// A replay from `position`, in memory.
    pub(super) fn from(segments: &'a Segments, store: StoreId, position: Position) -> Self {
        Self {
            segments,
            store,
            rebuild: None,
            overlay: Overlay::starting_at(position),
            pieces: HashMap::new(),
            position,
            report: Report::default(),
        }
    }

    /// A replay of the whole journal into `index`, through overlays of `overlay_bytes`.
    pub(super) fn rebuild(
        segments: &'a Segments,
        store: StoreId,
        index: &'a Index,
        overlay_bytes: usize,
    ) -> Self {
        let start = Position {
            segment: 0,
            offset: 0,
            sequence: 1,
        };
        let mut replay = Self::from(segments, store, start);
        replay.rebuild = Some((index, overlay_bytes));
        replay.report.rebuilt = true;
        replay
    }

    /// Reports it when the journal ends before the position: something other than a crash cut it.
    pub(super) fn check_start(&mut self, files: &[FileId]) -> io::Result<()> {
        let start = self.position;
        let first = files.first().filter(|file| file.segment == start.segment);
        let length = match first {
            Some(file) => self.segments.file(*file)?.len()?,
            None => 0,
        };
        if length < start.offset {
            let file = FileId {
                segment: start.segment,
                generation: 0,
            };
            self.damage(
                file,
                length,
                "the journal ends before what the index has seen".to_owned(),
            );
        }
        Ok(())
    }

    /// Reads `files`, all that there are from the position's segment on, one generation of each.
    pub(super) fn run(mut self, files: &[FileId]) -> Result<Replayed, ReplayError> {
        let first = match self.rebuild {
            Some(_) => FIRST,
            // What the index has seen of the first one, `check_start` compares.
            None => files.first().map_or(FIRST, |first| first.segment),
        };
        for file in missing(files, first) {
            self.damage(file, 0, MISSING.to_owned());
        }
        for (n, file) in files.iter().enumerate() {
            self.segment(*file, n + 1 == files.len())?;
            self.flush_if_grown()?;
        }
        self.overlay.set_position(self.position);
        Ok(Replayed {
            overlay: self.overlay,
            end: self.position,
            report: self.report,
        })
    }

    fn segment(&mut self, id: FileId, newest: bool) -> Result<(), ReplayError> {
        let file = self.segments.file(id)?;
        if !header_is_intact(&read_header(&*file)?, self.store, id) {
            self.damage(id, 0, "the segment's header".to_owned());
        }
        let start = match self.position.segment == id.segment {
            true => self.position.offset,
            false => HEADER_BYTES as u64,
        };
        let last = self.position.sequence - 1;
        let salt = self.store.salt();
        // A newer segment is begun only when this one is synced as a whole.
        let synced_below = match newest {
            true => Scanner::new(Arc::clone(&file), salt, start, last)?.synced_below()?,
            false => u64::MAX,
        };
        let verify_bodies = newest || self.rebuild.is_none();
        let mut scanner = Scanner::new(Arc::clone(&file), salt, start, last)?;
        let mut end = start;
        loop {
            let sequence = scanner.last_sequence() + 1;
            let torn = sequence >= synced_below;
            match scanner.next()? {
                None => break,
                Some(Found::Damage { from, to }) => {
                    if torn {
                        self.cut(&*file, from)?;
                        break;
                    }
                    let lost = format!("{} bytes of records from number {sequence}", to - from);
                    self.damage(id, from, lost);
                    end = to;
                }
                Some(Found::Record(record)) => {
                    if verify_bodies && !scanner.body_is_intact(&record)? {
                        if record.header.sequence >= synced_below {
                            self.cut(&*file, record.offset)?;
                            break;
                        }
                        let number = record.header.sequence;
                        self.damage(id, record.offset, format!("a body of record {number}"));
                    }
                    end = record.end();
                    self.apply(id, &record)?;
                    self.position.sequence = record.header.sequence + 1;
                }
            }
            self.position.sequence = self.position.sequence.max(scanner.last_sequence() + 1);
            self.position.segment = id.segment;
            self.position.offset = end;
            self.flush_if_grown()?;
        }
        self.position.segment = id.segment;
        self.position.offset = end;
        Ok(())
    }

    fn apply(&mut self, file: FileId, record: &Record) -> Result<(), ReplayError> {
        self.report.records += 1;
        let body_length = record.header.body_length;
        match record.header.kind {
            Kind::Piece => {
                let extent = Extent {
                    file,
                    offset: record.body_offset(),
                    length: body_length,
                };
                self.pieces.insert(record.header.sequence, extent);
            }
            Kind::Batch => {
                let Some(meta) = BatchMeta::decode(&record.meta) else {
                    let number = record.header.sequence;
                    self.damage(
                        file,
                        record.offset,
                        format!("record {number} makes no sense"),
                    );
                    return Ok(());
                };
                let mut offset = record.body_offset();
                for body in &meta.bodies {
                    let place = match &body.held {
                        Held::Gone => None,
                        Held::Inline => Some(inline(body, file, offset)),
                        Held::Pieces(pieces) => Some(self.staged(body, pieces)?),
                    };
                    if body.held == Held::Inline {
                        offset += body.length;
                    }
                    self.overlay.put_body(body.id, place.map(Arc::new));
                }
                for change in meta.changes {
                    self.overlay.apply(change);
                }
                let overhead = record.header.record_length() - body_length;
                self.overlay.add_overhead(file.segment, overhead);
            }
        }
        Ok(())
    }

    /// The place of a body in pieces. A piece that is gone leaves it incomplete, which a later drop
    /// of the body makes right, or a reader reports.
    fn staged(&mut self, body: &NamedBody, pieces: &[Piece]) -> Result<Place, ReplayError> {
        let mut extents = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match self.pieces.remove(&piece.sequence) {
                Some(extent) => extents.push(extent),
                None if self.is_there(piece)? => extents.push(piece.extent),
                None => {}
            }
        }
        Ok(Place {
            length: body.length,
            crc: body.crc,
            staged: true,
            extents,
        })
    }

    /// Whether a piece from before the replay's start is where its batch says.
    fn is_there(&self, piece: &Piece) -> Result<bool, ReplayError> {
        let front = Header::BYTES + piece_meta(0).len();
        let Some(start) = piece.extent.offset.checked_sub(front as u64) else {
            return Ok(false);
        };
        let Ok(file) = self.segments.file(piece.extent.file) else {
            return Ok(false);
        };
        let mut header = [0; Header::BYTES];
        match read_exact_at(&*file, &mut header, start) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        let header = Header::decode(&header, self.store.salt());
        Ok(header.is_some_and(|header| {
            header.sequence == piece.sequence && header.body_length == piece.extent.length
        }))
    }

    fn flush_if_grown(&mut self) -> Result<(), ReplayError> {
        let Some((index, overlay_bytes)) = self.rebuild else {
            return Ok(());
        };
        if self.overlay.bytes() > overlay_bytes {
            let mut overlay = mem::take(&mut self.overlay);
            overlay.set_position(self.position);
            index.checkpoint(&overlay)?;
        }
        Ok(())
    }

    fn cut(&mut self, file: &dyn File, at: u64) -> Result<(), ReplayError> {
        self.report.cut_bytes += file.len()?.saturating_sub(at);
        file.set_len(at)?;
        Ok(())
    }

    fn damage(&mut self, file: FileId, offset: u64, what: String) {
        let path = self.segments.path(file);
        tracing::error!(path = %path.display(), offset, what, "damage in the journal");
        self.report.damaged.push(Damage { path, offset, what });
    }
}

fn inline(body: &NamedBody, file: FileId, offset: u64) -> Place {
    let extents = match body.length {
        0 => Vec::new(),
        length => vec![Extent {
            file,
            offset,
            length,
        }],
    };
    Place {
        length: body.length,
        crc: body.crc,
        staged: false,
        extents,
    }
}
