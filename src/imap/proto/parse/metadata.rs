//! Arguments of the commands about annotations (RFC 5464 5).

use bytes::Bytes;

use super::{Mistake, Parsed, Scanner};
use crate::imap::proto::{
    command::CommandBody,
    limits::METADATA_ENTRIES_MAX,
    metadata::{Depth, MetadataQuery},
    response::Code,
};

/// RFC 9590: what stands behind the return option METADATA of LIST: perhaps options, and entries.
pub fn query(scanner: &mut Scanner<'_>) -> Parsed<MetadataQuery> {
    let mut query = MetadataQuery::default();
    options_if_next(scanner, &mut query)?;
    query.entries = entries(scanner)?;
    Ok(query)
}

/// RFC 5464 5: `"GETMETADATA" [SP getmetadata-options] SP mailbox SP entries`. Its examples have
/// the options behind the mailbox, and so have clients.
pub fn get_metadata(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    let mut query = MetadataQuery::default();
    scanner.space()?;
    let has_options = options_if_next(scanner, &mut query)?;
    let mailbox = scanner.mailbox()?;
    scanner.space()?;
    if !has_options {
        options_if_next(scanner, &mut query)?;
    }
    query.entries = entries(scanner)?;
    scanner.end()?;
    Ok(CommandBody::GetMetadata { mailbox, query })
}

/// Reads `getmetadata-options` and the space behind them, if they are next.
fn options_if_next(scanner: &mut Scanner<'_>, query: &mut MetadataQuery) -> Parsed<bool> {
    let mut ahead = scanner.clone();
    // No name of an entry is a word: it begins with a slash.
    if !ahead.eat(b'(') || ahead.word().is_empty() {
        return Ok(false);
    }
    scanner.eat(b'(');
    options(scanner, query)?;
    scanner.space()?;
    Ok(true)
}

/// `getmetadata-options`, behind its opening parenthesis.
fn options(scanner: &mut Scanner<'_>, query: &mut MetadataQuery) -> Parsed<()> {
    const RULE: &str = "the options of GETMETADATA are MAXSIZE and DEPTH 0, 1 or infinity";
    loop {
        match scanner.word().to_ascii_uppercase().as_slice() {
            b"MAXSIZE" => {
                scanner.space()?;
                query.size_max = Some(scanner.number()?);
            }
            b"DEPTH" => {
                scanner.space()?;
                query.depth = match scanner.word().to_ascii_uppercase().as_slice() {
                    b"0" => Depth::Zero,
                    b"1" => Depth::One,
                    b"INFINITY" => Depth::Infinity,
                    _ => return Err(Mistake::bad(RULE)),
                };
            }
            _ => return Err(Mistake::bad(RULE)),
        }
        if scanner.eat(b')') {
            return Ok(());
        }
        scanner.space()?;
    }
}

/// `entries`: one name, or several in parentheses.
fn entries(scanner: &mut Scanner<'_>) -> Parsed<Vec<String>> {
    if !scanner.eat(b'(') {
        return Ok(vec![scanner.text()?]);
    }
    let mut entries = Vec::new();
    loop {
        entries.push(scanner.text()?);
        if scanner.eat(b')') {
            return Ok(entries);
        }
        if entries.len() == METADATA_ENTRIES_MAX {
            // LIM-27
            return Err(Mistake::bad("one command may name 1000 entries"));
        }
        scanner.space()?;
    }
}

/// RFC 5464 5: `"SETMETADATA" SP mailbox SP "(" entry SP value *(SP entry SP value) ")"`
pub fn set_metadata(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    const RULE: &str = "SETMETADATA takes names and values, as in (/private/comment \"x\")";
    scanner.space()?;
    let mailbox = scanner.mailbox()?;
    scanner.space()?;
    scanner.expect(b'(', RULE)?;
    let mut entries = Vec::new();
    loop {
        let entry = scanner.text()?;
        scanner.space()?;
        let value = scanner.value()?;
        entries.push((entry, value.map(|value| Bytes::copy_from_slice(&value))));
        if scanner.eat(b')') {
            break;
        }
        if entries.len() == METADATA_ENTRIES_MAX {
            // LIM-27; RFC 5464 4.3
            return Err(Mistake::no(
                Code::MetadataTooMany,
                "one command may set 1000 entries",
            ));
        }
        scanner.space()?;
    }
    scanner.end()?;
    Ok(CommandBody::SetMetadata { mailbox, entries })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::proto::parse::tests::{assert_all_refused, parse, parsed};

    fn query(entries: &[&str], depth: Depth, size_max: Option<u32>) -> MetadataQuery {
        MetadataQuery {
            entries: entries.iter().map(|&entry| entry.to_owned()).collect(),
            depth,
            size_max,
        }
    }

    #[test]
    fn getmetadata_is_read_with_options_on_either_side() {
        for (text, mailbox, expected) in [
            (
                "\"\" /shared/x",
                "",
                query(&["/shared/x"], Depth::Zero, None),
            ),
            (
                "INBOX (/a \"/b\")",
                "INBOX",
                query(&["/a", "/b"], Depth::Zero, None),
            ),
            (
                "(MAXSIZE 7 depth 1) INBOX /a",
                "INBOX",
                query(&["/a"], Depth::One, Some(7)),
            ),
            (
                "INBOX (DEPTH infinity) (/a)",
                "INBOX",
                query(&["/a"], Depth::Infinity, None),
            ),
        ] {
            let body = CommandBody::GetMetadata {
                mailbox: mailbox.to_owned(),
                query: expected,
            };
            assert_eq!(parsed(&format!("GETMETADATA {text}")), Some(body), "{text}");
        }
        assert_all_refused(&[
            "GETMETADATA",
            "GETMETADATA INBOX",
            "GETMETADATA INBOX ()",
            "GETMETADATA INBOX (/a",
            "GETMETADATA INBOX /a /b",
            "GETMETADATA (DEPTH 2) INBOX /a",
            "GETMETADATA (MAXSIZE) INBOX /a",
            "GETMETADATA () INBOX /a",
            "GETMETADATA (DEPTH 1) INBOX (DEPTH 1) /a",
        ]);
    }

    #[test]
    fn setmetadata_is_read_as_the_grammar_says() {
        let body = CommandBody::SetMetadata {
            mailbox: "INBOX".to_owned(),
            entries: vec![
                ("/private/a".to_owned(), Some(Bytes::from_static(b"x y"))),
                ("/private/b".to_owned(), None),
            ],
        };
        let text = "SETMETADATA INBOX (/private/a \"x y\" /private/b nil)";
        assert_eq!(parsed(text), Some(body));
        assert_all_refused(&[
            "SETMETADATA INBOX",
            "SETMETADATA INBOX ()",
            "SETMETADATA INBOX /private/a x",
            "SETMETADATA INBOX (/private/a)",
            "SETMETADATA INBOX (/private/a x)",
            "SETMETADATA INBOX (/private/a \"x\" /private/b)",
            "SETMETADATA INBOX (/private/a \"x\") y",
        ]);
    }

    #[test]
    fn lim_27_a_thousand_entries_are_read_and_one_more_is_not() {
        for (count, ok) in [
            (METADATA_ENTRIES_MAX, true),
            (METADATA_ENTRIES_MAX + 1, false),
        ] {
            let entries = vec!["/a NIL"; count].join(" ");
            let set = parse(&format!("SETMETADATA x ({entries})"));
            assert_eq!(set.is_ok(), ok);
            let entries = vec!["/a"; count].join(" ");
            assert_eq!(parse(&format!("GETMETADATA x ({entries})")).is_ok(), ok);
        }
    }
}
