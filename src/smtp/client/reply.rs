//! Replies of a server: RFC 5321 4.2, enhanced status codes of RFC 2034 and 3463.
//!
//! Pure. The parser takes bytes in any portions and is bounded in both directions. A parsed
//! reply cannot hold a control character or a line break, so its text is safe in a report, a record
//! and a log. A lone LF ends a line as CRLF does, and a code may stand alone on its line: servers
//! do both.

/// One reply, of one or more lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// RFC 3463 code, when the text begins with one whose class fits.
    pub enhanced: Option<Enhanced>,
    /// The text of each line, after code and separator, without the enhanced code.
    pub lines: Vec<String>,
}

/// RFC 3463: class, subject, detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enhanced(pub u8, pub u16, pub u16);

impl Reply {
    /// The lines joined by spaces.
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// 2yz.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 5yz.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }
}

/// What a server sent is not a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line does not begin with a code between 200 and 599 and a separator.
    #[error("a line of the reply has no valid code")]
    BadCode,
    /// RFC 5321 4.2.1: the lines of one reply have different codes.
    #[error("the lines of the reply have different codes")]
    MixedCodes,
    ///
    #[error("a line of the reply is longer than 4 KiB")]
    LineTooLong,
    ///
    #[error("the reply has more than 100 lines")]
    TooManyLines,
}

/// Gathers replies from bytes as they arrive.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    code: Option<u16>,
    lines: Vec<String>,
}

impl Parser {
    /// Takes bytes up to the end of a reply. Returns how many it took, and the reply once it is
    /// whole. After an error the connection is of no further use.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        let mut taken = 0;
        for portion in bytes.split_inclusive(|b| *b == b'\n') {
            if self.line.len() + portion.len() > LINE_BYTES_MAX {
                return Err(ReplyError::LineTooLong);
            }
            taken += portion.len();
            self.line.extend_from_slice(portion);
            if !portion.ends_with(b"\n") {
                break;
            }
            if let Some(reply) = self.end_line()? {
                return Ok((taken, Some(reply)));
            }
        }
        Ok((taken, None))
    }

    /// Whether a reply has begun and not ended.
    pub(super) fn is_within(&self) -> bool {
        self.code.is_some() || !self.line.is_empty()
    }

    fn end_line(&mut self) -> Result<Option<Reply>, ReplyError> {
        let line = std::mem::take(&mut self.line);
        let (code, last, text) = split_line(line.trim_ascii_end())?;
        if self.code.is_some_and(|first| first != code) {
            return Err(ReplyError::MixedCodes);
        }
        if self.lines.len() >= LINES_MAX {
            return Err(ReplyError::TooManyLines);
        }
        self.code = Some(code);
        self.lines.push(printable(text));
        if !last {
            return Ok(None);
        }
        self.code = None;
        let mut lines = std::mem::take(&mut self.lines);
        let enhanced = take_enhanced(code, &mut lines);
        Ok(Some(Reply {
            code,
            enhanced,
            lines,
        }))
    }
}

/// Code, whether this is the last line, text.
fn split_line(line: &[u8]) -> Result<(u16, bool, &[u8]), ReplyError> {
    let (digits, rest) = line.split_at_checked(3).ok_or(ReplyError::BadCode)?;
    let code = digits.iter().try_fold(0_u16, |code, b| {
        b.is_ascii_digit()
            .then(|| code * 10 + u16::from(b.wrapping_sub(b'0')))
    });
    let code = code.filter(|code| (200..600).contains(code));
    let code = code.ok_or(ReplyError::BadCode)?;
    match rest.split_first() {
        None => Ok((code, true, rest)),
        Some((b' ', text)) => Ok((code, true, text)),
        Some((b'-', text)) => Ok((code, false, text)),
        Some(_) => Err(ReplyError::BadCode),
    }
}

/// Text without control characters; what is not UTF-8 becomes the replacement character.
fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// RFC 2034 4: the code stands at the beginning of every line. Taken from the first, removed from
/// all.
fn take_enhanced(code: u16, lines: &mut [String]) -> Option<Enhanced> {
    let (enhanced, _) = read_enhanced(lines.first()?)?;
    if u16::from(enhanced.0) != code / 100 {
        return None;
    }
    for line in lines {
        if let Some((same, rest)) = read_enhanced(line)
            && same == enhanced
        {
            *line = rest.to_owned();
        }
    }
    Some(enhanced)
}

/// `class "." subject "." detail` and what follows it after a space.
fn read_enhanced(line: &str) -> Option<(Enhanced, &str)> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut parts = word.split('.');
    let class = parts.next()?.parse().ok()?;
    let subject = number(parts.next()?)?;
    let detail = number(parts.next()?)?;
    let known = matches!(class, 2 | 4 | 5) && parts.next().is_none();
    known.then_some((Enhanced(class, subject, detail), rest))
}

/// One to three digits.
fn number(digits: &str) -> Option<u16> {
    let sound = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    sound.then(|| digits.parse().ok()).flatten()
}

/// longest line of a reply, with its line end.
const LINE_BYTES_MAX: usize = 4096;
/// most lines of a reply.
const LINES_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All replies in `bytes`, fed in portions.
    fn parse(portions: &[&[u8]]) -> (Vec<Reply>, Option<ReplyError>) {
        let (mut parser, mut replies) = (Parser::default(), Vec::new());
        for portion in portions {
            let mut rest = *portion;
            while !rest.is_empty() {
                match parser.feed(rest) {
                    Ok((taken, reply)) => {
                        rest = &rest[taken..];
                        replies.extend(reply);
                    }
                    Err(error) => return (replies, Some(error)),
                }
            }
        }
        (replies, None)
    }

    fn one(bytes: &[u8]) -> Result<Reply, ReplyError> {
        match parse(&[bytes]) {
            (mut replies, None) => Ok(replies.remove(0)),
            (_, Some(error)) => Err(error),
        }
    }

    #[test]
    fn replies_are_read() {
        for (bytes, code, enhanced, lines) in [
            (&b"250 OK\r\n"[..], 250, None, vec!["OK"]),
            (b"250\r\n", 250, None, vec![""]),
            (b"250 \n", 250, None, vec![""]),
            (
                b"250 2.1.0 Sender ok\r\n",
                250,
                Some(Enhanced(2, 1, 0)),
                vec!["Sender ok"],
            ),
            (
                b"550-5.1.1 No such\r\n550 5.1.1 user\r\n",
                550,
                Some(Enhanced(5, 1, 1)),
                vec!["No such", "user"],
            ),
            // A class that does not fit the code is text.
            (b"450 5.1.1 x\r\n", 450, None, vec!["5.1.1 x"]),
            (b"220 1.2.3.4 ready\r\n", 220, None, vec!["1.2.3.4 ready"]),
            (b"421 4.3.2", 0, None, vec![]),
            (
                b"550 a\x1b[31m\x00b\xff\r\n",
                550,
                None,
                vec!["a [31m b\u{fffd}"],
            ),
        ] {
            if code == 0 {
                assert_eq!(parse(&[bytes]), (vec![], None));
                continue;
            }
            let reply = one(bytes).unwrap();
            assert_eq!((reply.code, reply.enhanced), (code, enhanced));
            assert_eq!(reply.lines, lines);
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for (bytes, error) in [
            (&b"hello\r\n"[..], ReplyError::BadCode),
            (b"\r\n", ReplyError::BadCode),
            (b"99 x\r\n", ReplyError::BadCode),
            (b"199 x\r\n", ReplyError::BadCode),
            (b"600 x\r\n", ReplyError::BadCode),
            (b"250x\r\n", ReplyError::BadCode),
            (b"2\xb25 x\r\n", ReplyError::BadCode),
            (b"250-a\r\n251 b\r\n", ReplyError::MixedCodes),
        ] {
            assert_eq!(one(bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn q_06_lines_are_bounded_in_length_and_number() {
        let line = |length: usize| {
            let mut line = b"250 ".to_vec();
            line.resize(length - 2, b'x');
            line.extend_from_slice(b"\r\n");
            line
        };
        assert!(one(&line(LINE_BYTES_MAX - 1)).is_ok());
        assert!(one(&line(LINE_BYTES_MAX)).is_ok());
        assert_eq!(one(&line(LINE_BYTES_MAX + 1)), Err(ReplyError::LineTooLong));
        // Without any line end, nothing is held beyond the limit either.
        let endless = vec![b'2'; LINE_BYTES_MAX + 1];
        assert_eq!(one(&endless), Err(ReplyError::LineTooLong));

        let lines = |count: usize| {
            let mut reply = b"250-x\r\n".repeat(count - 1);
            reply.extend_from_slice(b"250 x\r\n");
            reply
        };
        assert_eq!(one(&lines(LINES_MAX)).unwrap().lines.len(), LINES_MAX);
        assert_eq!(one(&lines(LINES_MAX + 1)), Err(ReplyError::TooManyLines));
    }

    proptest! {
        #[test]
        fn splitting_input_changes_nothing(
            bytes in "([245][0-9]{2}[ -]([245]\\.[0-9]\\.[0-9] )?[a-z]{0,9}\r?\n|\\PC{0,9}\n){0,6}",
            cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let bytes = bytes.as_bytes();
            let (a, b) = (cut.0.index(bytes.len() + 1), cut.1.index(bytes.len() + 1));
            let (a, b) = (a.min(b), a.max(b));
            prop_assert_eq!(parse(&[&bytes[..a], &bytes[a..b], &bytes[b..]]), parse(&[bytes]));
        }

        #[test]
        fn no_bytes_panic_or_leave_controls(bytes in any::<Vec<u8>>()) {
            let (replies, _) = parse(&[&bytes]);
            for line in replies.iter().flat_map(|reply| &reply.lines) {
                prop_assert!(!line.chars().any(char::is_control));
            }
        }
    }
}
