//! What a peer sent and nobody has taken yet.
//!
//! Lines end at LF; a CR before it belongs to the line end. People at telnet and scripts send a
//! bare LF, so command lines accept it (message data does not: see `dot`). A line longer than its
//! limit is reported once and then dropped as it arrives, so an endless line holds no memory
//! (LIM-11, LIM-18, LIM-33).

use bytes::{Buf, Bytes, BytesMut};

/// An endless line is given up after this many dropped bytes (LIM-11).
pub const DROPPED_LINE_BYTES_MAX: usize = 64 * 1024;

/// The unread bytes of one direction of a connection.
#[derive(Debug, Default)]
pub struct Input {
    bytes: BytesMut,
    /// No LF stands before this offset: a slowly growing line is searched once.
    searched: usize,
    dropping: Option<usize>,
}

/// What [`Input::line`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A whole line, without its end.
    Whole(Bytes),
    /// Not yet.
    NeedMore,
    /// Longer than allowed. Said once a line; the rest of it is dropped silently.
    TooLong,
    /// A line that was too long and still does not end: close the connection.
    Endless,
}

impl Input {
    /// An empty input.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Unread bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes are unread.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is unread.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes up to `count` bytes.
    pub fn take(&mut self, count: usize) -> Bytes {
        let count = count.min(self.bytes.len());
        self.searched = self.searched.saturating_sub(count);
        self.bytes.split_to(count).freeze()
    }

    /// Drops up to `count` bytes.
    pub fn skip(&mut self, count: usize) {
        let count = count.min(self.bytes.len());
        self.searched = self.searched.saturating_sub(count);
        self.bytes.advance(count);
    }

    /// The next line of at most `max` bytes, its end not counted.
    pub fn line(&mut self, max: usize) -> Line {
        if let Some(dropped) = self.dropping
            && let Some(answer) = self.drop_line(dropped)
        {
            return answer;
        }
        let unsearched = self.bytes.get(self.searched..).unwrap_or_default();
        let Some(found) = memchr::memchr(b'\n', unsearched) else {
            self.searched = self.bytes.len();
            // One byte more may be the CR of the line end.
            if self.bytes.len() > max + 1 {
                self.dropping = Some(0);
                self.drop_line(0);
                return Line::TooLong;
            }
            return Line::NeedMore;
        };
        let end = self.searched + found;
        let mut line = self.take(end + 1);
        self.searched = 0;
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        if line.len() > max {
            Line::TooLong
        } else {
            Line::Whole(line)
        }
    }

    /// Goes on dropping; `None` when the line's end was found and the next line may be read.
    fn drop_line(&mut self, dropped: usize) -> Option<Line> {
        if let Some(end) = memchr::memchr(b'\n', &self.bytes) {
            self.skip(end + 1);
            self.dropping = None;
            return None;
        }
        let dropped = dropped.saturating_add(self.bytes.len());
        self.release();
        self.dropping = Some(dropped);
        Some(if dropped > DROPPED_LINE_BYTES_MAX {
            Line::Endless
        } else {
            Line::NeedMore
        })
    }

    /// Forgets everything, and the memory with it.
    pub fn release(&mut self) {
        self.bytes = BytesMut::new();
        self.searched = 0;
    }

    /// Gives the memory back when nothing is unread: what an idle connection holds (LIM-36).
    pub fn release_if_empty(&mut self) {
        if self.bytes.is_empty() {
            self.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines_of(input: &mut Input, max: usize, out: &mut Vec<Line>) {
        loop {
            match input.line(max) {
                Line::NeedMore => return,
                Line::Endless => {
                    out.push(Line::Endless);
                    return;
                }
                line => out.push(line),
            }
        }
    }

    #[test]
    fn crlf_and_bare_lf_both_end_a_line() {
        let mut input = Input::new();
        input.push(b"HELP\nNOOP\r\n\r\nQU");
        assert_eq!(input.line(100), Line::Whole(Bytes::from_static(b"HELP")));
        assert_eq!(input.line(100), Line::Whole(Bytes::from_static(b"NOOP")));
        assert_eq!(input.line(100), Line::Whole(Bytes::new()));
        assert_eq!(input.line(100), Line::NeedMore);
        input.push(b"IT\r\n");
        assert_eq!(input.line(100), Line::Whole(Bytes::from_static(b"QUIT")));
    }

    #[test]
    fn lim_11_a_line_at_its_limit_passes_and_one_byte_more_does_not() {
        for (length, ok) in [(9, true), (10, true), (11, false)] {
            let mut input = Input::new();
            input.push(&[b'x'; 20][..length]);
            input.push(b"\r\nNEXT\r\n");
            let line = input.line(10);
            assert_eq!(matches!(line, Line::Whole(_)), ok, "{length}");
            assert_eq!(input.line(10), Line::Whole(Bytes::from_static(b"NEXT")));
        }
    }

    #[test]
    fn lim_11_an_endless_line_holds_no_memory_and_is_given_up() {
        let mut input = Input::new();
        let mut said = Vec::new();
        for _ in 0..(DROPPED_LINE_BYTES_MAX / 1000 + 3) {
            input.push(&[b'x'; 1000]);
            lines_of(&mut input, 512, &mut said);
            assert!(input.len() <= 1000);
        }
        assert_eq!(said.first(), Some(&Line::TooLong));
        assert_eq!(said.get(1), Some(&Line::Endless));
    }

    proptest! {
        #[test]
        fn splitting_input_changes_nothing(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>(), Just(b'a')], 0..200),
            cut in 0_usize..200,
        ) {
            let mut whole = Input::new();
            whole.push(&bytes);
            let mut expected = Vec::new();
            lines_of(&mut whole, 8, &mut expected);
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            let mut split = Input::new();
            let mut found = Vec::new();
            split.push(a);
            lines_of(&mut split, 8, &mut found);
            split.push(b);
            lines_of(&mut split, 8, &mut found);
            // A line that is too long may be reported before or after its end arrived: once either
            // way.
            prop_assert_eq!(found, expected);
        }
    }
}
