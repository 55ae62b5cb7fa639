//! Commands made of lines and counted literals (RFC 3501 4.3, RFC 7888, RFC 5804 4).
//!
//! A line may end in the announcement of a literal; behind the literal the next line of the same
//! command begins. [`Reader`] takes such parts out of the input, [`Gathered`] keeps and counts
//! them, [`Cursor`] reads them when all are there. What a command means, what is a body and what
//! is refused is the protocol's to say; a body is pulled by its verb or discarded by the driver,
//! and the line goes on behind it. Nothing is allocated by an announced size (LIM-18).

use std::borrow::Cow;

use bytes::Bytes;

use super::input::{DROPPED_LINE_BYTES_MAX, Input, Line};

/// Takes lines and literals out of the input, one by one.
#[derive(Debug, Default)]
pub struct Reader {
    expect: Expect,
}

/// What the next bytes are.
#[derive(Debug, Default)]
enum Expect {
    #[default]
    Line,
    /// A literal of this size.
    Literal(usize),
    /// The rest of a line that is too long; so much of it was dropped.
    LongLine(usize),
}

/// What [`Reader::part`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nothing before more input arrives.
    NeedMore,
    /// A whole line, without its end.
    Line(Bytes),
    /// The literal that was expected.
    Literal(Bytes),
    /// A line longer than its limit begins the input. It is dropped from now on.
    LongLine,
    /// That line is over.
    LongLineEnd {
        /// A literal behind it is on its way, which must not be read as commands.
        literal_comes: bool,
    },
    /// That line does not end: close the connection.
    Endless,
}

/// `{n}` or `{n+}` at the end of a line, or `~{n}` (RFC 3516 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Where the text before it ends.
    pub at: usize,
    /// Octets of the literal.
    pub size_bytes: u64,
    /// The client waits to be invited; otherwise the literal is on its way.
    pub synchronizing: bool,
    /// It may hold NUL: `~` stands before it.
    pub binary: bool,
}

/// Bounds of one command (LIM-18, LIM-19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandLimits {
    /// Longest line, its end not counted.
    pub line_bytes_max: usize,
    /// Longest literal; bodies are not counted.
    pub literal_bytes_max: u64,
    /// Lines and literals together.
    pub command_bytes_max: u64,
    /// Literals in one command.
    pub literals_max: usize,
    /// Opening parentheses in the lines of one command, quoted or not.
    pub parentheses_max: usize,
}

/// Which bound a command exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// [`CommandLimits::parentheses_max`]
    Parentheses,
    /// [`CommandLimits::command_bytes_max`], by its lines.
    Command,
    /// [`CommandLimits::literal_bytes_max`], or the whole command by this literal.
    Literal,
    /// [`CommandLimits::literals_max`]
    Literals,
}

/// What was read of one command.
#[derive(Default)]
pub struct Gathered {
    /// Texts and literals one behind the other: copies, as many small shares of large buffers
    /// would hold those.
    bytes: Vec<u8>,
    /// Ends of each text and of the literal behind it.
    ends: Vec<(usize, usize)>,
    /// All that was sent of it, kept or not.
    sent_bytes: u64,
    parentheses: usize,
}

/// Some text of a command, and the literal that stands behind it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Piece<'a> {
    /// One line without its end and without the announcement of the literal.
    pub text: &'a [u8],
    /// What was announced at its end; none for the last line.
    pub literal: Option<&'a [u8]>,
}

/// Reads the pieces of a command from left to right.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    here: Piece<'a>,
    behind: &'a [Piece<'a>],
}

/// What is wrong with a quoted string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotQuoted {
    /// A backslash stands before something else than a quote or a backslash.
    Escape,
    /// It does not end on its line, or holds a CR or a NUL.
    Open,
}

impl Reader {
    /// The next part is the literal that was announced.
    pub fn expect(&mut self, announced: Announced) {
        let size = usize::try_from(announced.size_bytes).unwrap_or(usize::MAX);
        self.expect = Expect::Literal(size);
    }

    /// The next part, if it is there. A literal is given out when all of it is.
    pub fn part(&mut self, input: &mut Input, line_bytes_max: usize) -> Part {
        match self.expect {
            Expect::Line if is_too_long(input.bytes(), line_bytes_max) => {
                self.expect = Expect::LongLine(0);
                Part::LongLine
            }
            Expect::Line => match input.line(line_bytes_max) {
                Line::NeedMore => Part::NeedMore,
                Line::Whole(line) => Part::Line(line),
                // Longer lines were found before.
                Line::TooLong | Line::Endless => Part::Endless,
            },
            Expect::Literal(size) if input.len() < size => Part::NeedMore,
            Expect::Literal(size) => {
                self.expect = Expect::Line;
                Part::Literal(input.take(size))
            }
            Expect::LongLine(dropped) => self.drop_line(input, dropped, line_bytes_max),
        }
    }

    /// Drops a line that is too long, but looks at its end: a literal behind it would be read as
    /// commands.
    fn drop_line(&mut self, input: &mut Input, dropped: usize, line_bytes_max: usize) -> Part {
        let bytes = input.bytes();
        let end = memchr::memchr(b'\n', bytes);
        if dropped + end.unwrap_or(bytes.len()) > line_bytes_max + DROPPED_LINE_BYTES_MAX {
            return Part::Endless;
        }
        let Some(end) = end else {
            let passed = bytes.len().saturating_sub(ANNOUNCED_BYTES_MAX);
            input.skip(passed);
            self.expect = Expect::LongLine(dropped + passed);
            return Part::NeedMore;
        };
        let line = bytes.get(..end).unwrap_or_default();
        let announced = Announced::find(line.strip_suffix(b"\r").unwrap_or(line));
        let literal_comes = announced.is_some_and(|announced| !announced.synchronizing);
        input.skip(end + 1);
        self.expect = Expect::Line;
        Part::LongLineEnd { literal_comes }
    }
}

impl Announced {
    /// What `line` announces at its end.
    pub fn find(line: &[u8]) -> Option<Self> {
        let inner = line.strip_suffix(b"}")?;
        let (inner, synchronizing) = match inner.strip_suffix(b"+") {
            Some(inner) => (inner, false),
            None => (inner, true),
        };
        let digits = inner
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (before, digits) = inner.split_at(inner.len() - digits);
        let before = before
            .strip_suffix(b"{")
            .filter(|_| (1..=DIGITS_MAX).contains(&digits.len()))?;
        let (before, binary) = match before.strip_suffix(b"~") {
            Some(before) => (before, true),
            None => (before, false),
        };
        let size_bytes = digits.iter().fold(0_u64, |size, digit| {
            size.saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'))
        });
        Some(Self {
            at: before.len(),
            size_bytes,
            synchronizing,
            binary,
        })
    }
}

impl Gathered {
    /// Counts a line.
    pub fn count(&mut self, line: &[u8], limits: &CommandLimits) -> Result<(), Excess> {
        self.sent_bytes = self.sent_bytes.saturating_add(line.len() as u64 + 2);
        self.parentheses += line.iter().filter(|byte| **byte == b'(').count();
        if self.parentheses > limits.parentheses_max {
            Err(Excess::Parentheses)
        } else if self.sent_bytes > limits.command_bytes_max {
            Err(Excess::Command)
        } else {
            Ok(())
        }
    }

    /// Whether a literal may be kept.
    pub fn has_room_for(&self, announced: Announced, limits: &CommandLimits) -> Result<(), Excess> {
        let sent = self.sent_bytes.saturating_add(announced.size_bytes);
        if announced.size_bytes > limits.literal_bytes_max || sent > limits.command_bytes_max {
            Err(Excess::Literal)
        } else if self.ends.len() >= limits.literals_max {
            Err(Excess::Literals)
        } else {
            Ok(())
        }
    }

    /// Counts a literal that is skipped, of a command that is refused; whether all of them stay
    /// within `max` bytes, which an ordinary literal does.
    pub fn skips(&mut self, announced: Announced, max: u64, limits: &CommandLimits) -> bool {
        let max = max.max(limits.literal_bytes_max);
        self.sent_bytes = self.sent_bytes.saturating_add(announced.size_bytes);
        announced.size_bytes <= max && self.sent_bytes <= max.max(limits.command_bytes_max)
    }

    /// Keeps a text whose literal is to come.
    pub fn add_text(&mut self, text: &[u8], announced: Announced) {
        self.sent_bytes = self.sent_bytes.saturating_add(announced.size_bytes);
        self.bytes.extend_from_slice(text);
        if announced.binary {
            // Whether it may be one is for who reads the text to say.
            self.bytes.push(b'~');
        }
        self.ends.push((self.bytes.len(), self.bytes.len()));
    }

    /// Keeps the literal behind the last text.
    pub fn add_literal(&mut self, literal: &[u8]) {
        self.bytes.extend_from_slice(literal);
        if let Some((_, end)) = self.ends.last_mut() {
            *end = self.bytes.len();
        }
    }

    /// Whether no literal was kept so far: the text is still the first.
    pub fn is_first_text(&self) -> bool {
        self.ends.is_empty()
    }

    /// All of it, from byte `start` of the first text on; `last` is the text that was not kept.
    pub fn pieces<'a>(&'a self, start: usize, last: &'a [u8]) -> Vec<Piece<'a>> {
        let mut pieces = Vec::with_capacity(self.ends.len() + 1);
        let (mut from, mut start) = (0, start);
        for (text_end, end) in &self.ends {
            let text = self.bytes.get(from..*text_end).unwrap_or_default();
            pieces.push(Piece {
                text: text.get(start..).unwrap_or_default(),
                literal: self.bytes.get(*text_end..*end),
            });
            (from, start) = (*end, 0);
        }
        pieces.push(Piece {
            text: last.get(start..).unwrap_or_default(),
            literal: None,
        });
        pieces
    }
}

impl std::fmt::Debug for Gathered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // There may be a password in it.
        write!(f, "{} bytes", self.bytes.len())
    }
}

impl<'a> Cursor<'a> {
    /// At the beginning of `pieces`.
    pub fn new(pieces: &'a [Piece<'a>]) -> Self {
        let mut cursor = Self {
            here: Piece::default(),
            behind: pieces,
        };
        cursor.advance();
        cursor
    }

    /// Goes on to the next piece.
    fn advance(&mut self) {
        let (next, behind) = match self.behind {
            [next, behind @ ..] => (*next, behind),
            [] => (Piece::default(), self.behind),
        };
        (self.here, self.behind) = (next, behind);
    }

    /// Takes `count` bytes of the current text, or what there is.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let text = self.here.text;
        let (taken, rest) = text.split_at_checked(count).unwrap_or((text, b""));
        self.here.text = rest;
        taken
    }

    /// Takes the bytes that `wanted` accepts.
    pub fn run(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.here.text.iter().position(|byte| !wanted(*byte));
        self.take(end.unwrap_or(self.here.text.len()))
    }

    /// The next byte, not taken; none at the end of the text.
    pub fn peek(&self) -> Option<u8> {
        self.here.text.first().copied()
    }

    /// Takes `byte` if it is next.
    pub fn eat(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        if next {
            self.take(1);
        }
        next
    }

    /// Whether nothing is left.
    pub fn is_at_end(&self) -> bool {
        self.here.text.is_empty() && self.here.literal.is_none()
    }

    /// Takes the literal, if one is next.
    pub fn literal(&mut self) -> Option<&'a [u8]> {
        let literal = self.here.literal.filter(|_| self.here.text.is_empty())?;
        self.advance();
        Some(literal)
    }

    /// Takes a quoted string, behind its opening quote (RFC 3501 9, RFC 5804 4).
    pub fn quoted(&mut self) -> Result<Cow<'a, [u8]>, NotQuoted> {
        let is_plain = |byte| !matches!(byte, b'"' | b'\\' | b'\r' | 0);
        let plain = self.run(is_plain);
        if self.eat(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_vec();
        loop {
            match self.take(1) {
                b"\"" => return Ok(Cow::Owned(text)),
                b"\\" => match self.take(1) {
                    [escaped @ (b'"' | b'\\')] => text.push(*escaped),
                    _ => return Err(NotQuoted::Escape),
                },
                _ => return Err(NotQuoted::Open),
            }
            text.extend_from_slice(self.run(is_plain));
        }
    }
}

/// Whether the line that begins `bytes` is longer than `max`, its end not counted.
fn is_too_long(bytes: &[u8], max: usize) -> bool {
    let Some(start) = bytes.get(..max + 2) else {
        return false;
    };
    match memchr::memchr(b'\n', start) {
        Some(end) => end == max + 1 && start.get(max) != Some(&b'\r'),
        None => true,
    }
}

/// Digits of the largest 64-bit number; a longer number is no announcement.
const DIGITS_MAX: usize = 20;
/// The longest announcement with the CR behind it.
const ANNOUNCED_BYTES_MAX: usize = DIGITS_MAX + 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn announcements_stand_at_the_end_of_a_line() {
        for (line, announced) in [
            (&b"a {0}"[..], Some((2, 0, true, false))),
            (b"{12+}", Some((0, 12, false, false))),
            (b"{00012}", Some((0, 12, true, false))),
            (b"{99999999999999999999}", Some((0, u64::MAX, true, false))),
            (b"a ~{12}", Some((2, 12, true, true))),
            (b"~{12+}", Some((0, 12, false, true))),
            (b"{~12}", None),
            (b"{999999999999999999999}", None),
            (b"{}", None),
            (b"{+}", None),
            (b"{1-}", None),
            (b"{1} ", None),
            (b"1}", None),
            (b"{a}", None),
            (b"", None),
        ] {
            let found = Announced::find(line);
            let found = found.map(|found| {
                let Announced {
                    at,
                    size_bytes,
                    synchronizing,
                    binary,
                } = found;
                (at, size_bytes, synchronizing, binary)
            });
            assert_eq!(found, announced, "{line:?}");
        }
    }

    /// All parts of `input`, each announced literal expected; ends where the input does.
    fn parts(reader: &mut Reader, input: &mut Input, max: usize, found: &mut Vec<Part>) {
        while found.last() != Some(&Part::Endless) {
            let part = reader.part(input, max);
            match &part {
                Part::NeedMore => return,
                Part::Line(line) => {
                    if let Some(announced) = Announced::find(line) {
                        reader.expect(announced);
                    }
                }
                _ => {}
            }
            found.push(part);
        }
    }

    fn parts_of(bytes: &[u8], max: usize) -> Vec<Part> {
        let (mut input, mut found) = (Input::new(), Vec::new());
        input.push(bytes);
        parts(&mut Reader::default(), &mut input, max, &mut found);
        found
    }

    #[test]
    fn a_line_goes_on_behind_its_literal() {
        let line = |text: &'static [u8]| Part::Line(Bytes::from_static(text));
        let found = parts_of(b"a {3+}\r\nx\r\n b {0}\r\n\r\nnext\n", 80);
        let literal = |text: &'static [u8]| Part::Literal(Bytes::from_static(text));
        let expected = [
            line(b"a {3+}"),
            literal(b"x\r\n"),
            line(b" b {0}"),
            literal(b""),
            line(b""),
            line(b"next"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn lim_18_a_line_that_is_too_long_is_dropped_and_its_end_is_looked_at() {
        for (line, literal_comes) in [
            (&b"123456789\r\n"[..], false),
            (b"123456 {9+}\n", true),
            (b"1234567 {9}\r\n", false),
        ] {
            let found = parts_of(&[line, b"next\r\n"].concat(), 8);
            assert_eq!(found.get(1), Some(&Part::LongLineEnd { literal_comes }));
            assert_eq!(found.get(2), Some(&Part::Line(Bytes::from_static(b"next"))));
        }
        let endless = vec![b'x'; DROPPED_LINE_BYTES_MAX + 9];
        assert_eq!(parts_of(&endless, 8), [Part::LongLine, Part::Endless]);
    }

    #[test]
    fn a_cursor_reads_texts_literals_and_quoted_strings() {
        let pieces = [
            Piece {
                text: b"a ",
                literal: Some(b"x\r\ny"),
            },
            Piece {
                text: b" \"q\\\\\\\"\"\"p\"",
                literal: None,
            },
        ];
        let mut cursor = Cursor::new(&pieces);
        assert_eq!(cursor.run(|byte| byte != b' '), b"a");
        assert_eq!(cursor.literal(), None, "there is text before it");
        assert!(cursor.eat(b' ') && !cursor.is_at_end());
        assert_eq!(cursor.literal(), Some(&b"x\r\ny"[..]));
        assert!(cursor.eat(b' ') && cursor.eat(b'"'));
        assert_eq!(cursor.quoted().unwrap().as_ref(), b"q\\\"");
        assert!(cursor.eat(b'"'));
        assert_eq!(cursor.quoted().unwrap().as_ref(), b"p");
        assert!(cursor.is_at_end() && cursor.literal().is_none());
        for (text, error) in [
            (&b"a"[..], NotQuoted::Open),
            (b"a\rb\"", NotQuoted::Open),
            (b"a\0\"", NotQuoted::Open),
            (b"a\\n\"", NotQuoted::Escape),
            (b"a\\", NotQuoted::Escape),
        ] {
            let pieces = [Piece {
                text,
                literal: None,
            }];
            assert_eq!(Cursor::new(&pieces).quoted(), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn splitting_input_changes_nothing(
            words in proptest::collection::vec(
                prop_oneof![
                    "[a{}+0-3]{1,9}", Just("\r\n".to_owned()), "\\{[0-9]\\+?\\}\r\n",
                ],
                0..20,
            ),
            cuts in proptest::collection::vec(1_usize..9, 1..20),
        ) {
            let bytes = words.concat().into_bytes();
            let (mut reader, mut input, mut found) =
                (Reader::default(), Input::new(), Vec::new());
            let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                input.push(piece);
                parts(&mut reader, &mut input, 12, &mut found);
                rest = behind;
            }
            prop_assert_eq!(found, parts_of(&bytes, 12));
        }
    }
}
