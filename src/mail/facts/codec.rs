//! The stored form of facts: a version byte, then numbers of variable length and byte strings.
//!
//! Decoding checks everything it relies on and never panics; a newer version is [`Damaged`] like
//! any other bytes that are not facts. Numbers are written seven bits to a byte, the lowest
//! first.

use std::ops::Range;

use super::{Facts, Head, PartFacts};
use crate::mail::{
    body_text::TransferEncoding,
    date::Moment,
    mime::{PartKind, Span},
};

/// The bytes are not facts that this version can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored facts about an email are damaged or newer than this program")]
pub struct Damaged;

impl Facts {
    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_number(&mut out, self.size);
        let sent = u64::from(self.sent.is_some());
        let envelope_is_cut = u64::from(self.envelope_is_cut) << 1;
        let excerpt = u64::from(self.excerpt.is_some()) << 2;
        put_number(&mut out, sent | envelope_is_cut | excerpt);
        if let Some(sent) = self.sent {
            put_signed(&mut out, sent.secs);
            put_signed(&mut out, sent.day);
        }
        put_bytes(&mut out, &self.envelope);
        put_bytes(&mut out, &self.references);
        if let Some(excerpt) = &self.excerpt {
            put_bytes(&mut out, excerpt);
        }
        put_bytes(&mut out, &self.structure);
        put_length(&mut out, self.extensions.len());
        let mut at = 0_usize;
        for range in &self.extensions {
            put_length(&mut out, range.start.saturating_sub(at));
            put_length(&mut out, range.len());
            at = range.end;
        }
        put_length(&mut out, self.parts.len());
        for (index, part) in self.parts.iter().enumerate() {
            put_part(&mut out, part, index);
        }
        out
    }

    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader(bytes);
        let (size, flags, head) = reader.head()?;
        let excerpt = match flags & 4 {
            0 => None,
            _ => Some(reader.bytes()?.into()),
        };
        let structure = reader.bytes()?.to_vec();
        let extensions = reader.ranges(structure.len())?;
        let count = reader.length()?;
        // Each part takes several bytes, so a count cannot make us allocate more than we were
        // given.
        let mut parts = Vec::with_capacity(count.min(reader.0.len() / PART_BYTES_MIN));
        for index in 0..count {
            parts.push(reader.part(index, size)?);
        }
        let is_whole = reader.0.is_empty() && !parts.is_empty() && flags <= 7;
        let envelope_is_cut = flags & 2 != 0;
        let facts = Self {
            size,
            sent: head.sent,
            envelope: head.envelope.to_vec(),
            envelope_is_cut,
            references: head.references.to_vec(),
            structure,
            extensions,
            excerpt,
            parts,
        };
        if is_whole { Ok(facts) } else { Err(Damaged) }
    }

    /// Reads only the beginning of the stored form.
    pub fn head(bytes: &[u8]) -> Result<Head<'_>, Damaged> {
        let (_, _, head) = Reader(bytes).head()?;
        Ok(head)
    }
}

fn put_part(out: &mut Vec<u8>, part: &PartFacts, index: usize) {
    // The distance to the parent; zero for the message itself.
    put_length(
        out,
        part.parent.map_or(0, |parent| index.saturating_sub(parent)),
    );
    let kind = match part.kind {
        PartKind::Leaf => 0,
        PartKind::Multipart => 1,
        PartKind::Message => 2,
    };
    let encoding = match part.encoding {
        TransferEncoding::Identity => 0,
        TransferEncoding::Unknown => 1,
        TransferEncoding::QuotedPrintable => 2,
        TransferEncoding::Base64 => 3,
    };
    let is_text = u8::from(part.text_charset.is_some());
    out.push(kind | encoding << 2 | is_text << 4);
    put_number(out, part.header.offset);
    put_number(out, part.header.length);
    put_number(out, part.body_length);
    if let Some(charset) = &part.text_charset {
        put_bytes(out, charset);
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        out.push(low | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or_default());
}

/// Small numbers of either sign take few bytes.
fn put_signed(out: &mut Vec<u8>, number: i64) {
    let magnitude = number.unsigned_abs();
    let folded = u128::from(magnitude) << 1 | u128::from(number < 0);
    // Times and days are far from the ends of their type.
    put_number(out, u64::try_from(folded).unwrap_or(0));
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    put_number(out, u64::try_from(length).unwrap_or(u64::MAX));
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Size, flags, and what [`Head`] tells.
    fn head(&mut self) -> Result<(u64, u64, Head<'a>), Damaged> {
        if self.byte()? != VERSION {
            return Err(Damaged);
        }
        let size = self.number()?;
        let flags = self.number()?;
        let sent = match flags & 1 {
            0 => None,
            _ => Some(Moment {
                secs: self.signed()?,
                day: self.signed()?,
            }),
        };
        let head = Head {
            sent,
            envelope: self.bytes()?,
            references: self.bytes()?,
        };
        Ok((size, flags, head))
    }

    fn byte(&mut self) -> Result<u8, Damaged> {
        let (byte, rest) = self.0.split_first().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let low = u64::from(byte & 0x7f);
            let placed = low << shift;
            // The same number has one form only: nothing is lost at the top, no empty last byte.
            let is_last = byte & 0x80 == 0;
            if placed >> shift != low || (is_last && byte == 0 && shift > 0) {
                return Err(Damaged);
            }
            number |= placed;
            if is_last {
                return Ok(number);
            }
        }
        Err(Damaged)
    }

    fn signed(&mut self) -> Result<i64, Damaged> {
        let folded = self.number()?;
        let magnitude = i64::try_from(folded >> 1).map_err(|_| Damaged)?;
        match (folded & 1, magnitude) {
            (0, _) => Ok(magnitude),
            (_, 0) => Err(Damaged),
            _ => Ok(-magnitude),
        }
    }

    fn length(&mut self) -> Result<usize, Damaged> {
        usize::try_from(self.number()?).map_err(|_| Damaged)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let length = self.length()?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Damaged)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Ranges in order, none beyond `end`.
    fn ranges(&mut self, end: usize) -> Result<Vec<Range<usize>>, Damaged> {
        let count = self.length()?;
        let mut ranges = Vec::with_capacity(count.min(self.0.len() / 2));
        let mut at = 0_usize;
        for _ in 0..count {
            let start = at.checked_add(self.length()?).ok_or(Damaged)?;
            at = start.checked_add(self.length()?).ok_or(Damaged)?;
            ranges.push(start..at);
        }
        if at <= end { Ok(ranges) } else { Err(Damaged) }
    }

    fn part(&mut self, index: usize, size: u64) -> Result<PartFacts, Damaged> {
        let parent = match (self.length()?, index) {
            (0, 0) => None,
            (0, _) => return Err(Damaged),
            (distance, _) => Some(index.checked_sub(distance).ok_or(Damaged)?),
        };
        let flags = self.byte()?;
        let kind = match flags & 3 {
            0 => PartKind::Leaf,
            1 => PartKind::Multipart,
            2 => PartKind::Message,
            _ => return Err(Damaged),
        };
        let encoding = match flags >> 2 & 3 {
            0 => TransferEncoding::Identity,
            1 => TransferEncoding::Unknown,
            2 => TransferEncoding::QuotedPrintable,
            _ => TransferEncoding::Base64,
        };
        let header = Span {
            offset: self.number()?,
            length: self.number()?,
        };
        let body_length = self.number()?;
        let end = header
            .offset
            .checked_add(header.length)
            .and_then(|h| h.checked_add(body_length));
        if end.is_none_or(|end| end > size) || flags >> 5 != 0 {
            return Err(Damaged);
        }
        let text_charset = match flags >> 4 & 1 {
            0 => None,
            _ => Some(self.bytes()?.into()),
        };
        Ok(PartFacts {
            parent,
            kind,
            header,
            body_length,
            encoding,
            text_charset,
        })
    }
}

const VERSION: u8 = 3;
/// Parent, flags, and three numbers.
const PART_BYTES_MIN: usize = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::facts::tests::{check, facts_of};

    const MESSAGE: &[u8] = b"Date: 1 Jan 1960 00:00 +0000\r\nFrom: a@b\r\n\
        Content-Type: multipart/mixed; boundary=a\r\n\r\n\
        --a\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n\
        --a\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny\r\n--a--\r\n";

    #[test]
    fn facts_survive_their_stored_form() {
        let facts = facts_of(MESSAGE);
        check(&facts);
        assert!(facts.sent.unwrap().secs < 0);
        assert!(facts.encode().len() < 800);
    }

    #[test]
    fn other_versions_and_cut_bytes_are_damaged() {
        let stored = facts_of(MESSAGE).encode();
        for length in 0..stored.len() {
            assert_eq!(Facts::decode(&stored[..length]), Err(Damaged));
        }
        let newer = [&[VERSION + 1], &stored[1..]].concat();
        assert_eq!(Facts::decode(&newer), Err(Damaged));
        assert_eq!(
            Facts::decode(&[stored.as_slice(), b"\0"].concat()),
            Err(Damaged)
        );
    }

    proptest! {
        #[test]
        fn numbers_survive(number in any::<u64>(), signed in -(1_i64 << 62)..1 << 62) {
            let mut out = Vec::new();
            put_number(&mut out, number);
            put_signed(&mut out, signed);
            let mut reader = Reader(&out);
            prop_assert_eq!(reader.number(), Ok(number));
            prop_assert_eq!(reader.signed(), Ok(signed));
        }

        #[test]
        fn damaged_bytes_never_panic(
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            noise in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut stored = facts_of(MESSAGE).encode();
            let place = at.index(stored.len());
            stored[place] = byte;
            for bytes in [stored, noise] {
                if let Ok(facts) = Facts::decode(&bytes) {
                    prop_assert_eq!(&facts.encode(), &bytes);
                    let _ = facts.basic_structure();
                    let _ = facts.part(&[2, 1]);
                }
            }
        }

        #[test]
        fn facts_of_any_message_survive(lines in prop::collection::vec("\\PC{0,30}\r\n", 0..20)) {
            check(&facts_of(lines.concat().as_bytes()));
        }
    }
}
