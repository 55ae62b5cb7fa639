//! The journal's records as bytes. Pure: no files here.
//!
//! A record is a header, metadata, body bytes and padding to eight. The header has its own
//! checksum, so a reader can tell "these lengths are right, the metadata is not" from "nothing here
//! can be trusted". That checksum begins with the store's salt, which no peer knows: bytes of a
//! message are never taken for a record while a reader looks for the next good one behind damage.
//! Body bytes have their own checksum in the metadata, because they are elided when they die.
//! docs/STORE.md shows the layout.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use crc32fast::Hasher;

use crate::{
    base::ids::{BlobId, SortedId},
    store::resolve::Change,
};

/// What stands at the front of each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) meta_length: u32,
    pub(super) meta_crc: u32,
    /// Bytes behind the metadata, without the padding.
    pub(super) body_length: u64,
    /// Position in the journal's order: 1, 2, 3, ... A compacted segment has gaps.
    pub(super) sequence: u64,
    /// All records with lower numbers were durable when this one was written.
    pub(super) synced_before: u64,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A batch: changes and bodies.
    Batch,
    /// A piece of a staged body.
    Piece,
}

impl Header {
    pub(super) const BYTES: usize = 48;

    pub(super) fn encode(&self, salt: u32) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..4].copy_from_slice(&MAGIC);
        out[8] = match self.kind {
            Kind::Batch => 1,
            Kind::Piece => 2,
        };
        out[12..16].copy_from_slice(&self.meta_length.to_le_bytes());
        out[16..20].copy_from_slice(&self.meta_crc.to_le_bytes());
        out[24..32].copy_from_slice(&self.body_length.to_le_bytes());
        out[32..40].copy_from_slice(&self.sequence.to_le_bytes());
        out[40..48].copy_from_slice(&self.synced_before.to_le_bytes());
        let crc = salted_crc(&out[8..], salt);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` for anything but an intact header of this store.
    pub(super) fn decode(bytes: &[u8], salt: u32) -> Option<Self> {
        let mut bytes = bytes.get(..Self::BYTES)?;
        if bytes[..4] != MAGIC {
            return None;
        }
        bytes.advance(4);
        let crc = bytes.get_u32_le();
        if crc != salted_crc(bytes, salt) {
            return None;
        }
        let kind = match bytes.get_u32_le() {
            1 => Kind::Batch,
            2 => Kind::Piece,
            _ => return None,
        };
        let meta_length = bytes.get_u32_le();
        let meta_crc = bytes.get_u32_le();
        bytes.advance(4);
        let body_length = bytes.get_u64_le();
        let sequence = bytes.get_u64_le();
        let synced_before = bytes.get_u64_le();
        let sane = meta_length <= META_BYTES_MAX && body_length <= BODY_BYTES_MAX;
        let header = Self {
            kind,
            meta_length,
            meta_crc,
            body_length,
            sequence,
            synced_before,
        };
        sane.then_some(header)
    }

    /// Bytes from the record's start to its body.
    pub(super) fn body_start(&self) -> u64 {
        Self::BYTES as u64 + u64::from(self.meta_length)
    }

    /// Bytes of the whole record.
    pub(super) fn record_length(&self) -> u64 {
        padded(self.body_start() + self.body_length)
    }
}

/// The next multiple of eight.
pub(super) fn padded(length: u64) -> u64 {
    length.next_multiple_of(ALIGN)
}

fn salted_crc(bytes: &[u8], salt: u32) -> u32 {
    let mut hasher = Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize()
}

/// One file of the journal: a segment and how often it was compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileId {
    pub(super) segment: u32,
    pub(super) generation: u32,
}

/// Some bytes of a journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) file: FileId,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Where a body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) length: u64,
    pub(super) crc: u32,
    /// Whether the extents are piece records of their own, not part of the batch's record.
    pub(super) staged: bool,
    /// In order. When they do not add up to the length, part of the body is lost.
    pub(super) extents: Vec<Extent>,
}

impl Place {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(13 + EXTENT_BYTES * self.extents.len());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.push(u8::from(self.staged));
        for extent in &self.extents {
            push_extent(&mut out, extent);
        }
        out
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let length = bytes.try_get_u64_le().ok()?;
        let crc = bytes.try_get_u32_le().ok()?;
        let staged = bytes.try_get_u8().ok()? != 0;
        let mut extents = Vec::with_capacity(bytes.len() / EXTENT_BYTES);
        while !bytes.is_empty() {
            extents.push(take_extent(&mut bytes)?);
        }
        Some(Self {
            length,
            crc,
            staged,
            extents,
        })
    }

    /// Whether every byte has a place.
    pub(super) fn is_whole(&self) -> bool {
        self.extents.iter().map(|extent| extent.length).sum::<u64>() == self.length
    }
}

/// A body as a batch record names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedBody {
    pub(super) id: BlobId,
    pub(super) length: u64,
    pub(super) crc: u32,
    pub(super) held: Held,
}

/// Where a batch record says that a body's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// In this record, behind the metadata and the inline bodies named before.
    Inline,
    /// In piece records before this one.
    Pieces(Arc<[Piece]>),
    /// Nowhere: the body was dropped and this segment compacted since.
    Gone,
}

/// A piece record as a batch names it. The number is for ever; the extent was right when written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) sequence: u64,
    pub(super) extent: Extent,
}

/// A batch record's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BatchMeta {
    /// Wall time of the commit in milliseconds; for restoring the state of a moment.
    pub(super) time: u64,
    pub(super) bodies: Vec<NamedBody>,
    pub(super) changes: Vec<Change>,
}

impl BatchMeta {
    /// Appends the encoding to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        encode_batch(out, self.time, &self.bodies, &self.changes);
    }

    /// `None` when the bytes are not a batch's metadata. Keys and values share `bytes`.
    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut rest = bytes.clone();
        let time = rest.try_get_u64_le().ok()?;
        let count = rest.try_get_u32_le().ok()?;
        let mut bodies = Vec::new();
        for _ in 0..count {
            bodies.push(take_body(&mut rest)?);
        }
        let count = rest.try_get_u32_le().ok()?;
        let mut changes = Vec::new();
        for _ in 0..count {
            changes.push(take_change(&mut rest)?);
        }
        rest.is_empty().then_some(Self {
            time,
            bodies,
            changes,
        })
    }
}

/// Appends a batch's metadata to `out`.
pub(super) fn encode_batch(out: &mut Vec<u8>, time: u64, bodies: &[NamedBody], changes: &[Change]) {
    out.extend_from_slice(&time.to_le_bytes());
    push_count(out, bodies.len());
    for body in bodies {
        out.extend_from_slice(body.id.as_bytes());
        out.extend_from_slice(&body.length.to_le_bytes());
        out.extend_from_slice(&body.crc.to_le_bytes());
        match &body.held {
            Held::Inline => out.push(1),
            Held::Gone => out.push(3),
            Held::Pieces(pieces) => {
                out.push(2);
                push_count(out, pieces.len());
                for piece in pieces.iter() {
                    out.extend_from_slice(&piece.sequence.to_le_bytes());
                    push_extent(out, &piece.extent);
                }
            }
        }
    }
    push_count(out, changes.len());
    for change in changes {
        match change {
            Change::Put(key, value) => {
                out.push(1);
                push_bytes(out, key);
                push_bytes(out, value);
            }
            Change::Delete(key) => {
                out.push(2);
                push_bytes(out, key);
            }
            Change::DropBody(id) => {
                out.push(3);
                out.extend_from_slice(id.as_bytes());
            }
        }
    }
}

/// A piece record's metadata: the checksum of its bytes.
pub(super) fn piece_meta(crc: u32) -> [u8; 4] {
    crc.to_le_bytes()
}

/// The checksum in a piece record's metadata.
pub(super) fn piece_crc(meta: &[u8]) -> Option<u32> {
    meta.try_into().ok().map(u32::from_le_bytes)
}

fn take_body(rest: &mut Bytes) -> Option<NamedBody> {
    let id = take_id(rest)?;
    let length = rest.try_get_u64_le().ok()?;
    let crc = rest.try_get_u32_le().ok()?;
    let held = match rest.try_get_u8().ok()? {
        1 => Held::Inline,
        2 => {
            let count = rest.try_get_u32_le().ok()?;
            let mut pieces = Vec::new();
            for _ in 0..count {
                let sequence = rest.try_get_u64_le().ok()?;
                pieces.push(Piece {
                    sequence,
                    extent: take_extent(rest)?,
                });
            }
            Held::Pieces(pieces.into())
        }
        3 => Held::Gone,
        _ => return None,
    };
    Some(NamedBody {
        id,
        length,
        crc,
        held,
    })
}

fn take_change(rest: &mut Bytes) -> Option<Change> {
    Some(match rest.try_get_u8().ok()? {
        1 => Change::Put(take_bytes(rest)?, take_bytes(rest)?),
        2 => Change::Delete(take_bytes(rest)?),
        3 => Change::DropBody(take_id(rest)?),
        _ => return None,
    })
}

fn take_id(rest: &mut Bytes) -> Option<BlobId> {
    let id = *rest.first_chunk::<16>()?;
    rest.advance(16);
    Some(SortedId::from_bytes(id))
}

fn take_bytes(rest: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(rest.try_get_u32_le().ok()?).ok()?;
    (length <= rest.len()).then(|| rest.split_to(length))
}

fn take_extent(rest: &mut impl Buf) -> Option<Extent> {
    let segment = rest.try_get_u32_le().ok()?;
    let generation = rest.try_get_u32_le().ok()?;
    let offset = rest.try_get_u64_le().ok()?;
    let length = rest.try_get_u64_le().ok()?;
    Some(Extent {
        file: FileId {
            segment,
            generation,
        },
        offset,
        length,
    })
}

fn push_extent(out: &mut Vec<u8>, extent: &Extent) {
    out.extend_from_slice(&extent.file.segment.to_le_bytes());
    out.extend_from_slice(&extent.file.generation.to_le_bytes());
    out.extend_from_slice(&extent.offset.to_le_bytes());
    out.extend_from_slice(&extent.length.to_le_bytes());
}

fn push_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("a batch is bounded to 8 MiB");
    out.extend_from_slice(&count.to_le_bytes());
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Records begin at multiples of this.
pub(super) const ALIGN: u64 = 8;
const MAGIC: [u8; 4] = *b"BzR1";
const EXTENT_BYTES: usize = 24;
/// A batch is at most 8 MiB without its bodies and what names them; a reader believes no more than
/// this.
const META_BYTES_MAX: u32 = 64 * 1024 * 1024;
const BODY_BYTES_MAX: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn bytes() -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..20).prop_map(Bytes::from)
    }

    fn id() -> impl Strategy<Value = BlobId> {
        any::<[u8; 16]>().prop_map(SortedId::from_bytes)
    }

    fn extent() -> impl Strategy<Value = Extent> {
        any::<(u32, u32, u64, u64)>().prop_map(|(segment, generation, offset, length)| Extent {
            file: FileId {
                segment,
                generation,
            },
            offset,
            length,
        })
    }

    fn body() -> impl Strategy<Value = NamedBody> {
        let piece = (any::<u64>(), extent());
        let piece = piece.prop_map(|(sequence, extent)| Piece { sequence, extent });
        let held = prop_oneof![
            Just(Held::Inline),
            Just(Held::Gone),
            vec(piece, 0..4).prop_map(|pieces| Held::Pieces(pieces.into())),
        ];
        (id(), any::<u64>(), any::<u32>(), held).prop_map(|(id, length, crc, held)| NamedBody {
            id,
            length,
            crc,
            held,
        })
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            (bytes(), bytes()).prop_map(|(key, value)| Change::Put(key, value)),
            bytes().prop_map(Change::Delete),
            id().prop_map(Change::DropBody),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn batches_survive_their_encoding_and_no_part_of_it_is_a_batch(
            time in any::<u64>(), bodies in vec(body(), 0..4), changes in vec(change(), 0..6),
        ) {
            let meta = BatchMeta { time, bodies, changes };
            let mut out = Vec::new();
            meta.encode(&mut out);
            let out = Bytes::from(out);
            prop_assert_eq!(BatchMeta::decode(&out), Some(meta));
            for end in 0..out.len() {
                prop_assert_eq!(BatchMeta::decode(&out.slice(..end)), None);
            }
        }

        #[test]
        fn places_survive_their_encoding(
            length in any::<u64>(), crc in any::<u32>(), staged in any::<bool>(),
            extents in vec(extent(), 0..4),
        ) {
            let place = Place { length, crc, staged, extents };
            prop_assert_eq!(Place::decode(&place.encode()), Some(place));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..200)) {
            BatchMeta::decode(&Bytes::from(bytes.clone()));
            Place::decode(&bytes);
            prop_assert_eq!(Header::decode(&bytes, 1), None);
        }
    }

    #[test]
    fn a_changed_bit_or_another_salt_makes_no_header() {
        let header = Header {
            kind: Kind::Piece,
            meta_length: 4,
            meta_crc: 5,
            body_length: 6,
            sequence: 7,
            synced_before: 3,
        };
        let bytes = header.encode(99);
        assert_eq!(Header::decode(&bytes, 99), Some(header));
        assert_eq!(Header::decode(&bytes, 98), None);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&damaged, 99), None, "bit {bit}");
        }
        assert_eq!(header.record_length(), 64);
    }
}
