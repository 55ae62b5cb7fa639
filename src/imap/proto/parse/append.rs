//! Arguments of APPEND, REPLACE and UID REPLACE: the text before the first literal, and the texts
//! between literals.
//!
//! RFC 3501 6.3.11, RFC 3502, RFC 3516 4.4, RFC 4469 5, RFC 6855 4, RFC 8508 5. A text ends where
//! its line does or where a literal is announced; what may stand behind a literal depends on
//! nothing but the literal's [`Place`].

use super::{Mistake, Parsed, Scanner};
use crate::{
    imap::proto::{
        append::{AppendLiteral, AppendPart, Appending, Place},
        command::{AnnouncedLiteral, CommandBody},
        flag::FlagList,
        sequence::{MessageSet, SequenceSet},
    },
    wire::literal::Piece,
};

/// RFC 3502: `"APPEND" SP mailbox 1*append-message`
pub fn append(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    scanner.space()?;
    let mailbox = scanner.mailbox()?;
    let coming = messages(scanner, true)?;
    Ok(CommandBody::Append { mailbox, coming })
}

/// RFC 8508 5: `"REPLACE" SP seq-number SP mailbox append-message`
pub fn replace(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    replace_by(scanner, false)
}

/// `"UID" SP replace`
pub fn uid_replace(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    replace_by(scanner, true)
}

fn replace_by(scanner: &mut Scanner<'_>, uid: bool) -> Parsed<CommandBody> {
    scanner.space()?;
    let number = scanner.run(|byte| byte.is_ascii_digit() || byte == b'*');
    let set = SequenceSet::parse(number)
        .map_err(|_| Mistake::bad("REPLACE names one message, by its number"))?;
    scanner.space()?;
    let mailbox = scanner.mailbox()?;
    let coming = messages(scanner, false)?;
    Ok(CommandBody::Replace {
        uid,
        set: MessageSet::Listed(set),
        mailbox,
        coming,
    })
}

/// What a text behind a literal says.
pub(in crate::imap::proto) fn behind(
    text: &[u8],
    announced: Option<AnnouncedLiteral>,
    place: Place,
    many: bool,
) -> Parsed<Appending> {
    let pieces = [Piece {
        text,
        literal: None,
    }];
    let mut scanner = Scanner::new(&pieces, announced);
    let scanner = &mut scanner;
    let mut parts = Vec::new();
    if matches!(place, Place::Utf8 | Place::Utf8Part) {
        scanner.expect(b')', "a message in UTF8 (...) ends with a parenthesis")?;
    }
    let awaited = match place {
        Place::Message | Place::Utf8 => None,
        Place::Part | Place::Utf8Part if goes_on(scanner)? => cat_parts(scanner, &mut parts)?,
        Place::Part | Place::Utf8Part => None,
    };
    rest(scanner, parts, awaited, many)
}

/// `1*append-message`, or one.
fn messages(scanner: &mut Scanner<'_>, many: bool) -> Parsed<Appending> {
    let mut parts = Vec::new();
    scanner.space()?;
    let awaited = message(scanner, &mut parts)?;
    rest(scanner, parts, awaited, many)
}

/// All that comes up to the next literal, when the message under way awaits this one or none.
fn rest(
    scanner: &mut Scanner<'_>,
    mut parts: Vec<AppendPart>,
    mut awaited: Option<(AppendLiteral, Place)>,
    many: bool,
) -> Parsed<Appending> {
    loop {
        if let Some((literal, place)) = awaited {
            return Ok(Appending {
                parts,
                literal: Some(literal),
                place,
                many,
            });
        }
        parts.push(AppendPart::End);
        if scanner.is_at_end() {
            return Ok(Appending {
                parts,
                literal: None,
                place: Place::Message,
                many,
            });
        }
        if !many {
            return Err(Mistake::bad(
                "REPLACE takes one message, and nothing behind it",
            ));
        }
        scanner.space()?;
        awaited = message(scanner, &mut parts)?;
    }
}

/// `append-message`, behind its space; the literal that it awaits.
fn message(
    scanner: &mut Scanner<'_>,
    parts: &mut Vec<AppendPart>,
) -> Parsed<Option<(AppendLiteral, Place)>> {
    let mut flags = FlagList::default();
    if scanner.peek() == Some(b'(') {
        flags = scanner.flag_list()?;
        scanner.space()?;
    }
    let mut date = None;
    if scanner.peek() == Some(b'"') {
        date = Some(scanner.date_time()?);
        scanner.space()?;
    }
    parts.push(AppendPart::Message { flags, date });
    if let Some(announced) = scanner.announced() {
        return Ok(Some((octets(announced), Place::Message)));
    }
    match scanner.word().to_ascii_uppercase().as_slice() {
        b"UTF8" => Ok(Some((utf8(scanner)?, Place::Utf8))),
        b"CATENATE" => {
            scanner.space()?;
            scanner.expect(b'(', "the parts of a message stand in parentheses")?;
            cat_parts(scanner, parts)
        }
        _ => Err(Mistake::bad(
            "a message is a literal, UTF8 (a literal) or CATENATE (its parts)",
        )),
    }
}

/// `cat-part *(SP cat-part) ")"`; the literal that they await.
fn cat_parts(
    scanner: &mut Scanner<'_>,
    parts: &mut Vec<AppendPart>,
) -> Parsed<Option<(AppendLiteral, Place)>> {
    loop {
        match scanner.word().to_ascii_uppercase().as_slice() {
            b"TEXT" => {
                scanner.space()?;
                let announced = scanner.announced();
                let announced = announced.ok_or_else(|| Mistake::bad("TEXT is a literal"))?;
                return Ok(Some((octets(announced), Place::Part)));
            }
            b"UTF8" => return Ok(Some((utf8(scanner)?, Place::Utf8Part))),
            b"URL" => {
                scanner.space()?;
                if let Some(announced) = scanner.announced() {
                    let literal = AppendLiteral {
                        announced,
                        is_url: true,
                    };
                    return Ok(Some((literal, Place::Part)));
                }
                parts.push(AppendPart::Url(scanner.astring()?.into_owned()));
            }
            _ => {
                return Err(Mistake::bad(
                    "a part of a message is TEXT, URL or UTF8 (...)",
                ));
            }
        }
        if !goes_on(scanner)? {
            return Ok(None);
        }
    }
}

/// Whether another part comes, or the list of parts ends.
fn goes_on(scanner: &mut Scanner<'_>) -> Parsed<bool> {
    if scanner.eat(b')') {
        return Ok(false);
    }
    scanner.space()?;
    Ok(true)
}

/// RFC 6855 4: `"UTF8" SP "(" literal8 ")"`, behind its word.
fn utf8(scanner: &mut Scanner<'_>) -> Parsed<AppendLiteral> {
    scanner.space()?;
    scanner.expect(b'(', "a message in UTF-8 stands in parentheses")?;
    let announced = scanner.announced().filter(|literal| literal.binary);
    announced
        .map(octets)
        .ok_or_else(|| Mistake::bad("a message in UTF-8 is a literal as ~{5}"))
}

fn octets(announced: AnnouncedLiteral) -> AppendLiteral {
    AppendLiteral {
        announced,
        is_url: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::proto::{
        flag::SystemFlags,
        parse::tests::{assert_all_refused, parsed},
    };

    const LITERAL: AnnouncedLiteral = AnnouncedLiteral {
        size_bytes: 3,
        synchronizing: true,
        binary: false,
    };
    const BINARY: AnnouncedLiteral = AnnouncedLiteral {
        binary: true,
        ..LITERAL
    };

    fn begun() -> AppendPart {
        AppendPart::Message {
            flags: FlagList::default(),
            date: None,
        }
    }

    fn url(text: &str) -> AppendPart {
        AppendPart::Url(text.as_bytes().to_vec())
    }

    /// What a text says that stands behind the literal of an ordinary message.
    fn said(text: &str, literal: Option<AnnouncedLiteral>) -> Option<Appending> {
        behind(text.as_bytes(), literal, Place::Message, true).ok()
    }

    #[test]
    fn a_message_is_a_literal_or_made_of_parts() {
        let next = |announced, place, is_url| {
            let literal = AppendLiteral { announced, is_url };
            (Some(literal), place)
        };
        let end = || AppendPart::End;
        for (text, literal, parts, (awaited, place)) in [
            ("", None, vec![end()], (None, Place::Message)),
            (
                " ",
                Some(LITERAL),
                vec![end(), begun()],
                next(LITERAL, Place::Message, false),
            ),
            (
                " ",
                Some(BINARY),
                vec![end(), begun()],
                next(BINARY, Place::Message, false),
            ),
            (
                " utf8 (",
                Some(BINARY),
                vec![end(), begun()],
                next(BINARY, Place::Utf8, false),
            ),
            (
                " CATENATE (URL \"/a b\" url x TEXT ",
                Some(LITERAL),
                vec![end(), begun(), url("/a b"), url("x")],
                next(LITERAL, Place::Part, false),
            ),
            (
                " CATENATE (URL ",
                Some(LITERAL),
                vec![end(), begun()],
                next(LITERAL, Place::Part, true),
            ),
            (
                " CATENATE (UTF8 (",
                Some(BINARY),
                vec![end(), begun()],
                next(BINARY, Place::Utf8Part, false),
            ),
            (
                " CATENATE (URL a) CATENATE (URL b)",
                None,
                vec![end(), begun(), url("a"), end(), begun(), url("b"), end()],
                (None, Place::Message),
            ),
        ] {
            let expected = Appending {
                parts,
                literal: awaited,
                place,
                many: true,
            };
            assert_eq!(said(text, literal), Some(expected), "{text}");
        }
    }

    #[test]
    fn each_message_has_flags_and_a_date_of_its_own() {
        let text = " (\\Seen) \" 1-Jan-1970 00:00:01 +0000\" ";
        let appending = said(text, Some(LITERAL)).unwrap();
        let flags = FlagList {
            system: SystemFlags::SEEN,
            keywords: Vec::new(),
        };
        let date = Some(crate::base::clock::Timestamp(1000));
        let message = AppendPart::Message { flags, date };
        assert_eq!(appending.parts, [AppendPart::End, message]);
    }

    #[test]
    fn what_may_not_stand_behind_a_literal_is_refused() {
        for (text, literal) in [
            ("", Some(LITERAL)),
            ("x", None),
            (" ", None),
            ("  ", Some(LITERAL)),
            (")", None),
            (" (\\Seen", Some(LITERAL)),
            (" (\\Seen)", Some(LITERAL)),
            (" (\\Seen) ", None),
            (" UTF8 (", Some(LITERAL)),
            (" UTF8 (", None),
            (" UTF8(", Some(BINARY)),
            (" CATENATE ()", None),
            (" CATENATE (", Some(LITERAL)),
            (" CATENATE (TEXT", Some(LITERAL)),
            (" CATENATE (TEXT x)", None),
            (" CATENATE (URL)", None),
            (" CATENATE (URL a", None),
            (" CATENATE (URL a )", None),
            (" CATENATE (URL a)x", None),
            (" CATENATE (URL a)", Some(LITERAL)),
            (" CATENATE URL a", None),
        ] {
            assert_eq!(said(text, literal), None, "{text} {literal:?}");
        }
    }

    #[test]
    fn what_stands_behind_a_part_depends_on_the_part() {
        for (place, text, fits) in [
            (Place::Utf8, ")", true),
            (Place::Utf8, "", false),
            (Place::Utf8, "))", false),
            (Place::Part, ")", true),
            (Place::Part, " URL a)", true),
            (Place::Part, "", false),
            (Place::Part, " )", false),
            (Place::Part, "URL a)", false),
            (Place::Utf8Part, "))", true),
            (Place::Utf8Part, ") URL a)", true),
            (Place::Utf8Part, ")", false),
        ] {
            let said = behind(text.as_bytes(), None, place, true);
            assert_eq!(said.is_ok(), fits, "{place:?} {text}");
        }
    }

    #[test]
    fn only_one_message_replaces_another() {
        assert!(behind(b"", None, Place::Message, false).is_ok());
        for text in [" ", " (\\Seen) "] {
            let said = behind(text.as_bytes(), Some(LITERAL), Place::Message, false);
            assert!(said.is_err(), "{text}");
        }
        for text in [
            "REPLACE 4 x CATENATE (URL a)",
            "UID REPLACE * x CATENATE (URL a)",
        ] {
            assert!(parsed(text).is_some(), "{text}");
        }
        for text in [
            "REPLACE 4,5 x CATENATE (URL a)",
            "REPLACE 4:5 x CATENATE (URL a)",
            "REPLACE 0 x CATENATE (URL a)",
            "REPLACE x CATENATE (URL a)",
            "REPLACE 4 CATENATE (URL a)",
            "REPLACE 4 x CATENATE (URL a) CATENATE (URL a)",
            "REPLACE 4 x",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn append_needs_its_message() {
        assert_all_refused(&[
            "APPEND",
            "APPEND INBOX",
            "APPEND INBOX \"text\"",
            "APPEND INBOX (\\Seen)",
            "APPEND INBOX (\\Seen) \" 1-Feb-2024 12:00:00 +0000\"",
        ]);
    }
}
