//! The pass over a message that finds its parts.
//!
//! RFC 2046 5.1 and 5.2. A line ends at a line feed; the ending before a boundary line belongs to
//! the boundary. The stack of open parts is explicit and LIM-28 deep at most; no step looks at
//! more than one line. Invariants: a part's index is above its parent's; its spans lie within its
//! parent's body; siblings do not overlap.

use memchr::memchr;

use super::{
    Bounds, ContentType, Part, PartKind, Scanned, Span,
    fields::{Findings, OpenHeader, Owner},
    line::{Boundaries, Match},
};
use crate::mail::excerpt::Excerpt;

/// Takes a message in pieces and finds its structure.
#[derive(Debug)]
pub struct Scanner {
    bounds: Bounds,
    found: Scanned,
    state: State,
    /// The open parts, from the message to the one whose bytes come now.
    stack: Vec<Open>,
    /// What separates the parts of open multiparts, by their place on the stack.
    boundaries: Boundaries,
    header: OpenHeader,
    /// How many bytes of field values may still be held.
    room: usize,
    line: HeldLine,
    /// The length of the ending of the line before this one.
    ending_before: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the header of the innermost open part.
    Header,
    /// In its body.
    Body,
    /// LIM-28: in an opaque part that lasts to the end of the message.
    Rest,
}

#[derive(Debug)]
struct Open {
    part: usize,
    /// Line feeds before its body.
    lines_before: u64,
}

/// The beginning of a line that has not ended within the bytes fed so far.
#[derive(Debug, Default)]
struct HeldLine {
    text: Vec<u8>,
    length: u64,
    /// The last byte and the one before it, even when the text is cut.
    last_two: (u8, u8),
}

impl Scanner {
    /// A scan that has seen nothing.
    pub fn new(bounds: Bounds) -> Self {
        let mut scanner = Self {
            bounds,
            found: Scanned::default(),
            state: State::Header,
            stack: Vec::new(),
            boundaries: Boundaries::default(),
            header: OpenHeader::default(),
            room: bounds.held_bytes,
            line: HeldLine::default(),
            ending_before: 0,
        };
        scanner.start_part(None, Owner::Message, 0);
        scanner
    }

    /// Takes the next bytes of the message.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(feed) = memchr(b'\n', rest) {
            let (line, tail) = rest
                .split_at_checked(feed.saturating_add(1))
                .unwrap_or((rest, &[]));
            self.feed_line(line);
            rest = tail;
        }
        if !rest.is_empty() {
            self.hold(rest);
        }
    }

    /// The message is complete.
    pub fn finish(mut self) -> Scanned {
        if self.line.length > 0 {
            self.end_held_line(0);
        }
        // A header without an empty line is told apart by it.
        self.header.excerpt = None;
        let end = self.found.size;
        // A message part at the very end opens the header of its message, so this can take two
        // steps.
        while self.state == State::Header {
            self.end_header(end);
        }
        let lines = self.found.lines;
        while let Some(open) = self.stack.pop() {
            self.close(&open, end, lines);
        }
        self.found
    }

    /// A piece that ends with the line feed of the current line.
    fn feed_line(&mut self, line: &[u8]) {
        if self.line.length > 0 {
            self.hold(line);
            self.end_held_line(if self.line.last_two == (b'\r', b'\n') {
                2
            } else {
                1
            });
        } else {
            let ending = if line.ends_with(b"\r\n") { 2 } else { 1 };
            self.end_line(line, length_of(line), ending);
        }
    }

    /// Keeps the beginning of a line, as much as can matter.
    fn hold(&mut self, piece: &[u8]) {
        let max = match self.state {
            State::Header => self.bounds.field_bytes,
            State::Body => self.boundary_line_bytes(),
            State::Rest => 0,
        };
        self.line.push(piece, max);
    }

    fn end_held_line(&mut self, ending: u64) {
        let held = std::mem::take(&mut self.line);
        self.end_line(&held.text, held.length, ending);
        // The buffer is used again, unless one long line made it large.
        if held.text.capacity() <= LINE_BUFFER_KEPT {
            self.line.text = held.text;
            self.line.text.clear();
        }
    }

    /// One line; `text` may be cut, `length` is not and includes the `ending`.
    fn end_line(&mut self, text: &[u8], length: u64, ending: u64) {
        let content = length.saturating_sub(ending);
        let boundary = if text.first() == Some(&b'-') {
            self.boundary(text)
        } else {
            None
        };
        let start = self.found.size;
        if let Some(found) = boundary {
            self.close_at_boundary(found.level, start);
        }
        self.found.size = start.saturating_add(length);
        self.found.lines = self.found.lines.saturating_add(u64::from(ending > 0));
        match (boundary, self.state) {
            (Some(found), _) => self.after_boundary(found),
            (None, State::Header) if content == 0 => self.end_header(self.found.size),
            (None, State::Header) => self.header_line(text, length),
            (None, State::Body | State::Rest) => {}
        }
        self.ending_before = ending;
    }

    fn boundary_line_bytes(&self) -> usize {
        self.bounds.boundary_bytes.saturating_add(BOUNDARY_MARGIN)
    }

    fn boundary(&self, line: &[u8]) -> Option<Match> {
        if self.state == State::Rest {
            return None;
        }
        // As much as a held line keeps, so that pieces make no difference.
        let line = line.get(..self.boundary_line_bytes()).unwrap_or(line);
        self.boundaries.find(line)
    }

    fn header_line(&mut self, text: &[u8], length: u64) {
        let Self {
            header,
            found,
            stack,
            bounds,
            room,
            ..
        } = self;
        let Scanned { parts, .. } = found;
        if let Some(part) = stack.last().and_then(|open| parts.get_mut(open.part)) {
            header.line(text, length, &mut Findings { part, bounds, room });
        }
    }

    /// The header of the innermost part ends before `end`, and its body begins there.
    fn end_header(&mut self, end: u64) {
        let depth = self.stack.len();
        let Self {
            header,
            found,
            stack,
            bounds,
            room,
            ..
        } = self;
        let Scanned {
            parts,
            lines,
            excerpt,
            ..
        } = found;
        let Some(open) = stack.last_mut() else { return };
        let parent = parts.get(open.part).and_then(|part| part.parent);
        let around = parent
            .and_then(|parent| parts.get(parent))
            .map_or(0, |p| p.body.offset);
        let Some(part) = parts.get_mut(open.part) else {
            return;
        };
        header.end_field(&mut Findings {
            part: &mut *part,
            bounds,
            room,
        });
        if let Some(taken) = header.excerpt.take() {
            *excerpt = taken.finish();
        }
        // Two boundary lines in a row leave an empty part, which began after `end`.
        let end = end.max(around);
        part.header = Span::between(part.header.offset.min(end), end);
        part.body = Span {
            offset: end,
            length: 0,
        };
        open.lines_before = *lines;
        self.state = State::Body;
        let index = open.part;
        settle_type(parts, index);
        match self.contents(index, depth) {
            Contents::Nothing => {}
            Contents::Parts(boundary) => {
                self.set_kind(index, PartKind::Multipart);
                self.boundaries.open(depth.saturating_sub(1), boundary);
            }
            Contents::Message => {
                self.set_kind(index, PartKind::Message);
                self.start_part(Some(index), Owner::Message, end);
            }
            Contents::Opaque => {
                if let Some(part) = self.found.parts.get_mut(index) {
                    part.content_type = ContentType::opaque();
                }
            }
            Contents::Unusable => {
                if let Some(part) = self.found.parts.get_mut(index) {
                    part.content_type = ContentType::plain_text();
                }
            }
        }
    }

    /// What the body of a part with a complete header is looked at as.
    fn contents(&self, index: usize, depth: usize) -> Contents {
        let Some(part) = self.found.parts.get(index) else {
            return Contents::Nothing;
        };
        let content = &part.content_type;
        if content.is_kind("multipart") {
            let boundary = content.boundary().map(|b| b.trim_ascii_end().to_vec());
            match boundary.filter(|boundary| !boundary.is_empty()) {
                None => Contents::Unusable,
                Some(b) if b.len() > self.bounds.boundary_bytes => Contents::Opaque,
                Some(_) if depth >= self.bounds.depth => Contents::Opaque,
                Some(boundary) => Contents::Parts(boundary),
            }
        } else if content.is("message", "rfc822") {
            // RFC 3501 9 media-message: message/global has its form only where IMAP clients ask
            // for UTF-8.
            // RFC 2046 5.2.1 forbids an encoding here; one that is there hides the message.
            let encoding = part.encoding.as_deref().unwrap_or(b"7bit");
            let encoded = encoding.eq_ignore_ascii_case(b"base64")
                || encoding.eq_ignore_ascii_case(b"quoted-printable");
            let hidden = encoded || depth >= self.bounds.depth;
            if hidden {
                Contents::Opaque
            } else {
                Contents::Message
            }
        } else {
            Contents::Nothing
        }
    }

    fn set_kind(&mut self, index: usize, kind: PartKind) {
        if let Some(part) = self.found.parts.get_mut(index) {
            part.kind = kind;
        }
    }

    /// Closes all parts within the multipart at `level` of the stack: a boundary line begins at
    /// `start`.
    fn close_at_boundary(&mut self, level: usize, start: u64) {
        let end = start.saturating_sub(self.ending_before);
        while self.state == State::Header {
            self.end_header(end);
        }
        let (mut end, mut lines) = (end, self.found.lines.saturating_sub(1));
        while self.stack.len() > level.saturating_add(1) {
            let Some(open) = self.stack.pop() else { break };
            // Right after a header, the line ending is the header's, also for the parts around it.
            if self
                .found
                .parts
                .get(open.part)
                .is_some_and(|part| part.body.offset > end)
            {
                (end, lines) = (start, self.found.lines);
            }
            self.close(&open, end, lines);
        }
        self.boundaries.close_from(level.saturating_add(1));
    }

    /// The line of a boundary is over: the next part begins, or the epilogue.
    fn after_boundary(&mut self, found: Match) {
        if found.closes {
            self.boundaries.close_from(found.level);
        } else if let Some(open) = self.stack.get(found.level) {
            self.start_part(Some(open.part), Owner::Part, self.found.size);
        }
    }

    /// Opens a part whose first byte is at `offset`; the last one that the bounds allow is opaque.
    fn start_part(&mut self, parent: Option<usize>, owner: Owner, offset: u64) {
        let here = Span { offset, length: 0 };
        let index = self.found.parts.len();
        let mut part = Part {
            parent,
            header: here,
            body: here,
            ..Part::default()
        };
        self.state = State::Header;
        if index.saturating_add(1) >= self.bounds.parts && parent.is_some() {
            part.content_type = ContentType::opaque();
            self.state = State::Rest;
        }
        if owner != Owner::Part {
            part.envelope = Some(Box::default());
        }
        self.found.parts.push(part);
        let excerpt = parent.is_none().then(Excerpt::default);
        self.header = OpenHeader::new(owner, excerpt);
        self.stack.push(Open {
            part: index,
            lines_before: self.found.lines,
        });
    }

    /// The body of a part ends at `end`, before which the message has `lines` line feeds.
    fn close(&mut self, open: &Open, end: u64, lines: u64) {
        if let Some(part) = self.found.parts.get_mut(open.part) {
            part.body = Span::between(part.body.offset, end);
            part.lines = lines.saturating_sub(open.lines_before);
        }
        let has_parts = open.part.saturating_add(1) < self.found.parts.len();
        if let Some(part) = self.found.parts.get_mut(open.part)
            && part.kind == PartKind::Multipart
            && !has_parts
        {
            // Its boundary never came: like one without a boundary, it can only be read as text.
            part.kind = PartKind::Leaf;
            part.content_type = ContentType::plain_text();
        }
    }
}

impl HeldLine {
    fn push(&mut self, piece: &[u8], max: usize) {
        let room = max.saturating_sub(self.text.len());
        self.text
            .extend_from_slice(piece.get(..room).unwrap_or(piece));
        self.length = self.length.saturating_add(length_of(piece));
        self.last_two = match piece {
            [.., before, last] => (*before, *last),
            [last] => (self.last_two.1, *last),
            [] => self.last_two,
        };
    }
}

/// What a body holds.
enum Contents {
    /// Nothing that is looked at.
    Nothing,
    Parts(Vec<u8>),
    Message,
    /// Something that exceeds a bound or is hidden by an encoding.
    Opaque,
    /// A multipart that lacks its boundary, which people can only read as text.
    Unusable,
}

/// Gives a part the type it has when its header names none (RFC 2045 5.2, RFC 2046 5.1.5).
fn settle_type(parts: &mut [Part], index: usize) {
    let parent = parts.get(index).and_then(|part| part.parent);
    let in_digest = parent
        .and_then(|parent| parts.get(parent))
        .is_some_and(|parent| parent.content_type.is("multipart", "digest"));
    let Some(part) = parts.get_mut(index) else {
        return;
    };
    if part.content_type == ContentType::default() {
        part.content_type = match in_digest {
            true => ContentType::bare(b"message", b"rfc822"),
            false => ContentType::plain_text(),
        };
    }
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// A held line keeps this much more than the longest boundary, to see whether it ends there.
const BOUNDARY_MARGIN: usize = 100;
/// LIM-36: a line buffer that grew beyond this is given back.
const LINE_BUFFER_KEPT: usize = 4 * 1024;

#[cfg(test)]
mod tests;
