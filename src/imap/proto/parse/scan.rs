//! The tokens of the command grammar (RFC 3501 9): atoms, strings, dates, flags, names.
//!
//! Strict, but for what `quirk` names.

use std::borrow::Cow;

use super::{Mistake, Parsed};
use crate::{
    base::clock::Timestamp,
    imap::proto::{
        command::AnnouncedLiteral,
        date::{self, Day, NotADateTime},
        enabled::Enabled,
        flag::{FlagList, SystemFlags},
        limits::FLAGS_MAX,
        mutf7, quirk,
        response::Code,
    },
    wire::literal::{Cursor, NotQuoted, Piece},
};

/// Reads a command's arguments from left to right.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    cursor: Cursor<'a>,
    message: Option<AnnouncedLiteral>,
    enabled: Enabled,
}

impl<'a> Scanner<'a> {
    /// At the beginning of `pieces`; `message` is what was announced at the end of the last one
    /// and not read.
    pub fn new(pieces: &'a [Piece<'a>], message: Option<AnnouncedLiteral>) -> Self {
        let cursor = Cursor::new(pieces);
        Self {
            cursor,
            message,
            enabled: Enabled::NONE,
        }
    }

    /// Reads as a client speaks that has `enabled` this.
    #[must_use]
    pub fn of_client(self, enabled: Enabled) -> Self {
        Self { enabled, ..self }
    }

    /// What the client has enabled.
    pub fn enabled(&self) -> Enabled {
        self.enabled
    }

    /// Takes the bytes that `wanted` accepts.
    pub fn run(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        self.cursor.run(wanted)
    }

    /// The next byte, not taken; none at the end of the text.
    pub fn peek(&self) -> Option<u8> {
        self.cursor.peek()
    }

    /// Takes `byte` if it is next.
    pub fn eat(&mut self, byte: u8) -> bool {
        self.cursor.eat(byte)
    }

    /// Takes `byte`, which must be next.
    pub fn expect(&mut self, byte: u8, rule: &'static str) -> Parsed<()> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(Mistake::bad(rule))
        }
    }

    /// Whether nothing is left.
    pub fn is_at_end(&self) -> bool {
        self.cursor.is_at_end() && self.message.is_none()
    }

    /// Nothing may be left.
    pub fn end(&self) -> Parsed<()> {
        if self.is_at_end() {
            Ok(())
        } else {
            Err(Mistake::bad(
                "there is more behind the last argument than this command takes",
            ))
        }
    }

    /// RFC 3501 9: exactly one space.
    pub fn space(&mut self) -> Parsed<()> {
        if self.cursor.is_at_end() {
            return Err(Mistake::bad("an argument is missing"));
        }
        self.expect(b' ', "arguments are separated by exactly one space")
    }

    /// The literal at the end of this text.
    fn literal(&mut self) -> Option<Parsed<&'a [u8]>> {
        let octets = self.cursor.literal()?;
        // RFC 3501 9: a literal has CHAR8s, which exclude NUL.
        Some(if octets.contains(&0) {
            Err(Mistake::bad(
                "a zero byte may not stand anywhere in a command",
            ))
        } else {
            Ok(octets)
        })
    }

    /// The literal that was announced and is next.
    pub fn announced(&mut self) -> Option<AnnouncedLiteral> {
        self.message.take_if(|_| self.cursor.is_at_end())
    }

    /// `atom`
    pub fn atom(&mut self) -> Parsed<&'a [u8]> {
        non_empty(
            self.run(is_atom_byte),
            "an atom is expected: a word without specials",
        )
    }

    /// A word of letters, digits, dots and signs; the keywords of the grammar.
    pub fn word(&mut self) -> &'a [u8] {
        self.run(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+'))
    }

    /// `string`, if one is next.
    fn string_if_next(&mut self) -> Option<Parsed<Cow<'a, [u8]>>> {
        if self.eat(b'"') {
            return Some(self.quoted());
        }
        self.literal().map(|literal| literal.map(Cow::Borrowed))
    }

    /// `quoted`, behind its opening quote.
    fn quoted(&mut self) -> Parsed<Cow<'a, [u8]>> {
        let text = self.cursor.quoted().map_err(|error| match error {
            NotQuoted::Escape => {
                Mistake::bad("a backslash in quotes stands before a quote or a backslash")
            }
            NotQuoted::Open => {
                Mistake::bad("a quoted string must end on its line, and hold no CR and no NUL")
            }
        })?;
        quotable(&text)?;
        Ok(text)
    }

    /// `string`
    pub fn string(&mut self) -> Parsed<Cow<'a, [u8]>> {
        self.string_if_next().unwrap_or_else(|| {
            Err(Mistake::bad(
                "a string is expected: in quotes, or a literal",
            ))
        })
    }

    /// `nstring`
    pub fn nstring(&mut self) -> Parsed<Option<Cow<'a, [u8]>>> {
        if let Some(string) = self.string_if_next() {
            return string.map(Some);
        }
        if self.word().eq_ignore_ascii_case(b"NIL") {
            Ok(None)
        } else {
            Err(Mistake::bad("a string or NIL is expected"))
        }
    }

    /// RFC 5464 5: `nstring / literal8`
    pub fn value(&mut self) -> Parsed<Option<Cow<'a, [u8]>>> {
        if self.eat(b'~') {
            // RFC 3516 4.4: any octets.
            let octets = self.cursor.literal();
            let octets = octets.ok_or_else(|| Mistake::bad("a literal is expected behind ~"));
            return octets.map(|octets| Some(Cow::Borrowed(octets)));
        }
        self.nstring()
    }

    /// `astring`
    pub fn astring(&mut self) -> Parsed<Cow<'a, [u8]>> {
        if let Some(string) = self.string_if_next() {
            return string;
        }
        let atom = self.run(|byte| is_atom_byte(byte) || byte == b']');
        non_empty(atom, "a word, a quoted string or a literal is expected").map(Cow::Borrowed)
    }

    /// An `astring` that is text.
    pub fn text(&mut self) -> Parsed<String> {
        utf8(&self.astring()?).map(str::to_owned)
    }

    /// `date`, with or without quotes.
    pub fn date(&mut self) -> Parsed<Day> {
        let quoted = self.eat(b'"');
        let text = self.run(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let closed = !quoted || self.eat(b'"');
        date::parse_date(text)
            .filter(|_| closed)
            .ok_or_else(|| Mistake::bad("a date is expected, as in 1-Feb-2024"))
    }

    /// `date-time`
    pub fn date_time(&mut self) -> Parsed<Timestamp> {
        let opened = self.eat(b'"');
        let text = self.run(|byte| byte != b'"');
        let quoted = opened && self.eat(b'"');
        match date::parse_date_time(text) {
            Ok(instant) if quoted => Ok(instant),
            Err(NotADateTime::Before1970) if quoted => {
                Err(Mistake::bad("a message cannot be older than 1970 here"))
            }
            _ => Err(Mistake::bad(
                "a date and time is expected, as in \" 1-Feb-2024 12:00:00 +0000\"",
            )),
        }
    }

    /// `flag-list`
    pub fn flag_list(&mut self) -> Parsed<FlagList> {
        self.expect(b'(', "a list of flags in parentheses is expected")?;
        if self.eat(b')') {
            return Ok(FlagList::default());
        }
        let flags = self.flags()?;
        self.expect(b')', "a list of flags ends with a parenthesis")?;
        Ok(flags)
    }

    /// `flag *(SP flag)`
    pub fn flags(&mut self) -> Parsed<FlagList> {
        let mut flags = FlagList::default();
        for _ in 0..FLAGS_MAX {
            self.flag(&mut flags)?;
            if !self.eat(b' ') {
                return Ok(flags);
            }
        }
        // LIM-24
        Err(Mistake::no(Code::Limit, "a list may have 512 flags"))
    }

    fn flag(&mut self, flags: &mut FlagList) -> Parsed<()> {
        if self.eat(b'\\') {
            let name = self.atom()?;
            let known = SystemFlags::named(name)
                .or_else(|| quirk::UNKNOWN_SYSTEM_FLAGS.then_some(SystemFlags::NONE))
                .ok_or_else(|| Mistake::bad("this flag cannot be set"))?;
            flags.system = flags.system.union(known);
            return Ok(());
        }
        let keyword = utf8(self.atom()?)?;
        let said = |known: &String| known.eq_ignore_ascii_case(keyword);
        if !flags.keywords.iter().any(said) {
            flags.keywords.push(keyword.to_owned());
        }
        Ok(())
    }

    /// `mailbox`, decoded.
    pub fn mailbox(&mut self) -> Parsed<String> {
        let bytes = self.astring()?;
        if self.enabled.names_are_utf8() {
            // RFC 6855 3, RFC 9051 5.1: names are what they say.
            return utf8(&bytes).map(str::to_owned);
        }
        decode_name(&bytes)
    }

    /// `list-mailbox`, as sent.
    pub fn list_mailbox(&mut self) -> Parsed<Cow<'a, [u8]>> {
        if let Some(string) = self.string_if_next() {
            return string;
        }
        let chars = self.run(|byte| is_atom_byte(byte) || matches!(byte, b']' | b'%' | b'*'));
        non_empty(chars, "a name with % and * is expected").map(Cow::Borrowed)
    }
}

/// A name from its modified UTF-7.
fn decode_name(bytes: &[u8]) -> Parsed<String> {
    mutf7::decode(bytes).ok_or_else(|| {
        Mistake::bad("a mailbox name is in modified UTF-7: RFC 3501 5.1.3, & is written &-")
    })
}

/// Text, as RFC 9051 4.3 allows it.
pub fn utf8(bytes: &[u8]) -> Parsed<&str> {
    std::str::from_utf8(bytes).map_err(|_| Mistake::bad("text must be ASCII or UTF-8"))
}

/// What may stand between quotes.
fn quotable(bytes: &[u8]) -> Parsed<()> {
    if !quirk::UTF8_IN_QUOTED && !bytes.is_ascii() {
        return Err(Mistake::bad("a quoted string is ASCII"));
    }
    utf8(bytes).map(drop)
}

fn non_empty<'a>(token: &'a [u8], rule: &'static str) -> Parsed<&'a [u8]> {
    if token.is_empty() {
        Err(Mistake::bad(rule))
    } else {
        Ok(token)
    }
}

/// RFC 3501 9: ATOM-CHAR.
pub fn is_atom_byte(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &'static [u8]) -> [Piece<'static>; 1] {
        [Piece {
            text,
            literal: None,
        }]
    }

    fn astring(text: &'static [u8]) -> Option<Vec<u8>> {
        let pieces = line(text);
        let mut scanner = Scanner::new(&pieces, None);
        let string = scanner.astring().ok()?.into_owned();
        scanner.is_at_end().then_some(string)
    }

    #[test]
    fn astrings_are_atoms_or_strings() {
        for (text, string) in [
            (&b"abc"[..], Some(&b"abc"[..])),
            (b"a]b", Some(b"a]b")),
            (b"a'b,c;d", Some(b"a'b,c;d")),
            (b"\"\"", Some(b"")),
            (b"\"a b\"", Some(b"a b")),
            (b"\"a\\\"\\\\b\"", Some(b"a\"\\b")),
            (b"\"\xc3\xa9\"", Some(b"\xc3\xa9")),
            (b"", None),
            (b"a b", None),
            (b"a\"", None),
            (b"a\\b", None),
            (b"a(b", None),
            (b"a%", None),
            (b"a*", None),
            (b"a{b", None),
            (b"\"a", None),
            (b"\"a\\n\"", None),
            (b"\"a\\", None),
            (b"\"a\rb\"", None),
            (b"\"a\0b\"", None),
            (b"\"\\\"\0\"", None),
            (b"\"\xff\"", None),
            (b"\"\\\"\xff\"", None),
            (b"\xc3\xa9", None),
            (b"a\x7f", None),
        ] {
            assert_eq!(astring(text).as_deref(), string, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_literal_stands_where_its_text_ends() {
        let pieces = [
            Piece {
                text: b"a ",
                literal: Some(b"x\r\ny"),
            },
            Piece {
                text: b"",
                literal: Some(b""),
            },
            Piece {
                text: b" b",
                literal: None,
            },
        ];
        let mut scanner = Scanner::new(&pieces, None);
        assert_eq!(scanner.astring().unwrap().as_ref(), b"a");
        assert!(scanner.string().is_err());
        scanner.space().unwrap();
        assert!(!scanner.is_at_end());
        assert_eq!(scanner.string().unwrap().as_ref(), b"x\r\ny");
        assert_eq!(scanner.string().unwrap().as_ref(), b"");
        scanner.space().unwrap();
        assert_eq!(scanner.astring().unwrap().as_ref(), b"b");
        assert!(scanner.is_at_end() && scanner.end().is_ok());
        assert!(scanner.space().is_err() && scanner.astring().is_err());
    }

    #[test]
    fn a_literal_holds_no_nul() {
        let pieces = [
            Piece {
                text: b"",
                literal: Some(b"\0"),
            },
            Piece {
                text: b"",
                literal: None,
            },
        ];
        assert!(Scanner::new(&pieces, None).astring().is_err());
    }

    #[test]
    fn flags_that_nobody_can_set_are_left_out() {
        let pieces = line(b"(\\Seen \\recent \\DELETED \\Junk $Forwarded work WORK)");
        let flags = Scanner::new(&pieces, None).flag_list().unwrap();
        assert_eq!(flags.system, SystemFlags::SEEN.union(SystemFlags::DELETED));
        assert_eq!(flags.keywords, ["$Forwarded", "work"]);
        for bad in [
            &b"(\\)"[..],
            b"(\\*)",
            b"(a  b)",
            b"(a",
            b"a)",
            b"( a)",
            b"(a )",
            b"(\"a\")",
        ] {
            let pieces = line(bad);
            assert!(Scanner::new(&pieces, None).flag_list().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lim_24_a_list_of_512_flags_is_read_and_one_more_is_not() {
        for (count, ok) in [
            (FLAGS_MAX - 1, true),
            (FLAGS_MAX, true),
            (FLAGS_MAX + 1, false),
        ] {
            let list = format!("({})", vec!["a"; count].join(" "));
            let pieces = [Piece {
                text: list.as_bytes(),
                literal: None,
            }];
            assert_eq!(
                Scanner::new(&pieces, None).flag_list().is_ok(),
                ok,
                "{count}"
            );
        }
    }

    #[test]
    fn dates_may_be_quoted() {
        for (text, ok) in [
            (&b"1-Feb-2024"[..], true),
            (b"\"1-Feb-2024\"", true),
            (b"\"1-Feb-2024", false),
            (b"x", false),
        ] {
            let pieces = line(text);
            assert_eq!(Scanner::new(&pieces, None).date().is_ok(), ok, "{text:?}");
        }
        for (text, ok) in [
            (&b"\" 1-Feb-2024 12:00:00 +0000\""[..], true),
            (b" 1-Feb-2024 12:00:00 +0000", false),
            (b"\" 1-Feb-2024 12:00:00 +0000", false),
        ] {
            let pieces = line(text);
            assert_eq!(
                Scanner::new(&pieces, None).date_time().is_ok(),
                ok,
                "{text:?}"
            );
        }
    }
}
