//! Lines no longer than any peer takes (LIM-12, RFC 5321 4.5.3.1.6): a longer one goes on behind a
//! space in the next, as others do it too, but not within a character.
//!
//! Not here: line ends and dots. What was folded once stays as it is.

/// Writes lines, folding them where they are too long.
#[derive(Debug, Default)]
pub struct Fold {
    /// Bytes written since the last line end.
    column: usize,
}

impl Fold {
    /// Whether nothing was written since the last line end.
    pub fn at_start(&self) -> bool {
        self.column == 0
    }

    /// Ends the line.
    pub fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        self.column = 0;
    }

    /// Writes text without line ends, in any portions.
    pub fn text(&mut self, mut text: &[u8], out: &mut Vec<u8>) {
        while !text.is_empty() {
            let (bulk, rest) = text.split_at(self.sure().min(text.len()));
            out.extend_from_slice(bulk);
            self.column = self.column.saturating_add(bulk.len());
            let Some((byte, rest)) = rest.split_first() else {
                return;
            };
            if self.column.saturating_add(width(*byte)) > LINE_BYTES_MAX {
                out.extend_from_slice(b"\r\n ");
                self.column = 1;
            }
            out.push(*byte);
            self.column = self.column.saturating_add(1);
            text = rest;
        }
    }

    /// Passes over lines that need no folding for sure, each with CRLF at its end but for the last
    /// one; when there may be any that does, nothing happens.
    pub fn pass(&mut self, lines: &[u8]) -> bool {
        let mut passed = Self {
            column: self.column,
        };
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\r\n");
            if text.unwrap_or(line).len() > passed.sure() {
                return false;
            }
            passed.column = match text {
                Some(_) => 0,
                None => passed.column.saturating_add(line.len()),
            };
        }
        *self = passed;
        true
    }

    /// Bytes of which none can go beyond the limit.
    fn sure(&self) -> usize {
        (LINE_BYTES_MAX - CHARACTER_BYTES_MAX + 1).saturating_sub(self.column)
    }
}

/// Bytes of the UTF-8 character that begins with `byte`; one for all others.
fn width(byte: u8) -> usize {
    match byte {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xff => 4,
        _ => 1,
    }
}

/// LIM-12: longest line ever sent, without its CRLF.
pub const LINE_BYTES_MAX: usize = 998;
const CHARACTER_BYTES_MAX: usize = 4;
