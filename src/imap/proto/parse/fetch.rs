//! Arguments of FETCH (RFC 3501 6.4.5, RFC 4466 2.4): items, sections, modifiers.

use super::{Mistake, Parsed, Scanner, resync, search, section};
use crate::imap::proto::{
    command::CommandBody,
    enabled::Enabled,
    fetch::{FetchItem, FetchModifiers},
    limits::FETCH_ITEMS_MAX,
};

/// RFC 3501 9: `fetch`
pub fn fetch(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    fetch_by(scanner, false)
}

/// `"UID" SP fetch`
pub fn uid_fetch(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    fetch_by(scanner, true)
}

fn fetch_by(scanner: &mut Scanner<'_>, uid: bool) -> Parsed<CommandBody> {
    scanner.space()?;
    let set = scanner.message_set()?;
    scanner.space()?;
    let items = match scanner.peek() {
        Some(b'(') => fetch_items(scanner)?,
        _ => fetch_macro_or_item(scanner)?,
    };
    let modifiers = fetch_modifiers(scanner, uid)?;
    scanner.end()?;
    Ok(CommandBody::Fetch {
        uid,
        set,
        items,
        modifiers,
    })
}

/// `"(" fetch-att *(SP fetch-att) ")"`
pub(super) fn fetch_items(scanner: &mut Scanner<'_>) -> Parsed<Vec<FetchItem>> {
    scanner.expect(b'(', "items stand in parentheses")?;
    let mut items = Vec::new();
    loop {
        let item = fetch_item(scanner)?;
        add(&mut items, item)?;
        if scanner.eat(b')') {
            return Ok(items);
        }
        scanner.space()?;
    }
}

/// RFC 4466 2.4: `[SP "(" fetch-modifier *(SP fetch-modifier) ")"]`
fn fetch_modifiers(scanner: &mut Scanner<'_>, uid: bool) -> Parsed<FetchModifiers> {
    let mut modifiers = FetchModifiers::default();
    if !scanner.eat(b' ') {
        return Ok(modifiers);
    }
    scanner.expect(
        b'(',
        "behind the items of a FETCH may stand a list of modifiers",
    )?;
    loop {
        match scanner.word().to_ascii_uppercase().as_slice() {
            // RFC 9394 3.3: only of UID FETCH.
            b"PARTIAL" if uid && modifiers.partial.is_none() => {
                scanner.space()?;
                modifiers.partial = Some(search::partial_range(scanner)?);
            }
            b"CHANGEDSINCE" if modifiers.changed_since.is_none() => {
                scanner.space()?;
                modifiers.changed_since = Some(resync::modseq(scanner)?);
            }
            // RFC 7162 3.2.6: only of UID FETCH, and after ENABLE QRESYNC.
            b"VANISHED" if uid && scanner.enabled().contains(Enabled::QRESYNC) => {
                modifiers.vanished = true;
            }
            _ => return Err(Mistake::bad("this FETCH does not take this modifier")),
        }
        if scanner.eat(b')') {
            break;
        }
        scanner.space()?;
    }
    if modifiers.vanished && modifiers.changed_since.is_none() {
        // RFC 7162 3.2.6
        return Err(Mistake::bad("VANISHED goes with CHANGEDSINCE"));
    }
    Ok(modifiers)
}

fn add(items: &mut Vec<FetchItem>, item: FetchItem) -> Parsed<()> {
    if items.contains(&item) {
        return Ok(());
    }
    if items.len() == FETCH_ITEMS_MAX {
        // LIM-19
        return Err(Mistake::bad("a FETCH may ask for 128 different items"));
    }
    items.push(item);
    Ok(())
}

/// RFC 3501 6.4.5: a macro stands alone.
fn fetch_macro_or_item(scanner: &mut Scanner<'_>) -> Parsed<Vec<FetchItem>> {
    use FetchItem::{Body, Envelope, Flags, InternalDate, Rfc822Size};
    let word = scanner.word();
    Ok(match word.to_ascii_uppercase().as_slice() {
        b"ALL" => vec![Flags, InternalDate, Rfc822Size, Envelope],
        b"FAST" => vec![Flags, InternalDate, Rfc822Size],
        b"FULL" => vec![Flags, InternalDate, Rfc822Size, Envelope, Body],
        _ => vec![item_named(word, scanner)?],
    })
}

fn fetch_item(scanner: &mut Scanner<'_>) -> Parsed<FetchItem> {
    let word = scanner.word();
    item_named(word, scanner)
}

fn item_named(word: &[u8], scanner: &mut Scanner<'_>) -> Parsed<FetchItem> {
    let sectioned = scanner.peek() == Some(b'[');
    Ok(match word.to_ascii_uppercase().as_slice() {
        b"BODY" if sectioned => section::section_item(scanner, false)?,
        b"BODY.PEEK" if sectioned => section::section_item(scanner, true)?,
        b"BINARY" if sectioned => section::binary_item(scanner, false)?,
        b"BINARY.PEEK" if sectioned => section::binary_item(scanner, true)?,
        b"BINARY.SIZE" if sectioned => FetchItem::BinarySize {
            path: section::binary_path(scanner)?,
        },
        b"ENVELOPE" => FetchItem::Envelope,
        b"FLAGS" => FetchItem::Flags,
        b"INTERNALDATE" => FetchItem::InternalDate,
        b"RFC822" => FetchItem::Rfc822,
        b"RFC822.HEADER" => FetchItem::Rfc822Header,
        b"RFC822.SIZE" => FetchItem::Rfc822Size,
        b"RFC822.TEXT" => FetchItem::Rfc822Text,
        b"BODY" => FetchItem::Body,
        b"BODYSTRUCTURE" => FetchItem::BodyStructure,
        b"UID" => FetchItem::Uid,
        b"MODSEQ" => FetchItem::ModSeq,
        b"SAVEDATE" => FetchItem::SaveDate,
        b"EMAILID" => FetchItem::EmailId,
        b"THREADID" => FetchItem::ThreadId,
        b"PREVIEW" => preview(scanner)?,
        _ => {
            return Err(Mistake::bad(
                "FETCH does not know this item; try (UID FLAGS ENVELOPE)",
            ));
        }
    })
}

/// RFC 8970 6: `"PREVIEW" [SP "(" preview-mod *(SP preview-mod) ")"]`; what stands behind the name.
fn preview(scanner: &mut Scanner<'_>) -> Parsed<FetchItem> {
    let mut ahead = scanner.clone();
    let is_lazy = |ahead: &mut Scanner<'_>| ahead.word().eq_ignore_ascii_case(b"LAZY");
    // Other parentheses behind an item are modifiers of the whole FETCH (RFC 4466 2.4).
    if ahead.space().is_err() || !ahead.eat(b'(') || !is_lazy(&mut ahead) {
        return Ok(FetchItem::Preview);
    }
    while !ahead.eat(b')') {
        ahead.space()?;
        if !is_lazy(&mut ahead) {
            return Err(Mistake::bad("the only modifier of PREVIEW is LAZY"));
        }
    }
    *scanner = ahead;
    Ok(FetchItem::Preview)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::proto::{
        parse::tests::{assert_all_refused, parsed},
        search::PartialRange,
        section::{FieldName, Partial, Section, SectionText},
    };

    fn items(text: &str) -> Option<Vec<FetchItem>> {
        match parsed(text)? {
            CommandBody::Fetch { items, .. } => Some(items),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fetch_macros_stand_for_their_items() {
        use FetchItem::{Body, Envelope, Flags, InternalDate, Rfc822Size};
        for (text, expected) in [
            ("FETCH 1 FAST", vec![Flags, InternalDate, Rfc822Size]),
            (
                "FETCH 1 all",
                vec![Flags, InternalDate, Rfc822Size, Envelope],
            ),
            (
                "UID FETCH 1 FULL",
                vec![Flags, InternalDate, Rfc822Size, Envelope, Body],
            ),
        ] {
            assert_eq!(items(text), Some(expected), "{text}");
        }
        assert_all_refused(&[
            "FETCH 1 (FAST)",
            "FETCH 1 FAST FLAGS",
            "FETCH 1 (ALL FLAGS)",
        ]);
    }

    #[test]
    fn fetch_items_are_said_once() {
        assert_eq!(
            items(
                "FETCH 1 (UID flags UID RFC822 RFC822.HEADER RFC822.TEXT RFC822.SIZE BODYSTRUCTURE)"
            ),
            Some(vec![
                FetchItem::Uid,
                FetchItem::Flags,
                FetchItem::Rfc822,
                FetchItem::Rfc822Header,
                FetchItem::Rfc822Text,
                FetchItem::Rfc822Size,
                FetchItem::BodyStructure,
            ])
        );
        assert_eq!(items("FETCH 1 BODY"), Some(vec![FetchItem::Body]));
        assert_all_refused(&[
            "FETCH",
            "FETCH 1",
            "FETCH 1 ",
            "FETCH 1 ()",
            "FETCH 1 (UID",
            "FETCH 1 (UID )",
            "FETCH 1 (UID  FLAGS)",
            "FETCH 1 UID FLAGS",
            "FETCH 1 UID (PARTIAL 1:2)",
            "UID FETCH 1 UID ()",
            "UID FETCH 1 UID (PARTIAL)",
            "UID FETCH 1 UID (PARTIAL 1:2) ",
            "UID FETCH 1 UID (PARTIAL 1:2 PARTIAL 1:2)",
            "UID FETCH 1 UID (X)",
            "FETCH $1 UID",
            "FETCH 1 BODY.PEEK",
            "FETCH 1 X",
            "FETCH 0 UID",
        ]);
    }

    #[test]
    fn a_uid_fetch_may_ask_for_a_part_of_the_messages() {
        let Some(CommandBody::Fetch { modifiers, .. }) =
            parsed("UID FETCH 1:* (UID FLAGS) (PARTIAL -1:-30)")
        else {
            panic!()
        };
        let range = PartialRange {
            first: 1,
            last: 30,
            from_end: true,
        };
        assert_eq!(modifiers.partial, Some(range));
    }

    #[test]
    fn sections_are_read_as_the_grammar_says() {
        let section = |path: &[u32], text: Option<SectionText>| Section {
            path: path.to_vec(),
            text,
        };
        let fields = |names: &[&str], not| {
            let names = names
                .iter()
                .map(|name| FieldName::parse(name.as_bytes()).unwrap());
            Some(SectionText::HeaderFields {
                names: names.collect(),
                not,
            })
        };
        for (text, expected) in [
            ("[]", section(&[], None)),
            ("[1]", section(&[1], None)),
            ("[1.2.3]", section(&[1, 2, 3], None)),
            ("[HEADER]", section(&[], Some(SectionText::Header))),
            ("[text]", section(&[], Some(SectionText::Text))),
            ("[4.MIME]", section(&[4], Some(SectionText::Mime))),
            ("[4.2.HEADER]", section(&[4, 2], Some(SectionText::Header))),
            (
                "[HEADER.FIELDS (From \"To\")]",
                section(&[], fields(&["From", "To"], false)),
            ),
            (
                "[1.header.fields.not (DATE)]",
                section(&[1], fields(&["DATE"], true)),
            ),
        ] {
            for (form, peek) in [("BODY", false), ("body.peek", true)] {
                for (cut, partial) in [
                    ("", None),
                    (
                        "<0.1>",
                        Some(Partial {
                            first: 0,
                            length: 1,
                        }),
                    ),
                ] {
                    let item = FetchItem::Section {
                        section: expected.clone(),
                        partial,
                        peek,
                    };
                    assert_eq!(item.sets_seen(), !peek);
                    let alone = format!("FETCH 1 {form}{text}{cut}");
                    assert_eq!(items(&alone), Some(vec![item.clone()]), "{alone}");
                    let listed = format!("FETCH 1 (UID {form}{text}{cut} FLAGS)");
                    assert_eq!(
                        items(&listed),
                        Some(vec![FetchItem::Uid, item, FetchItem::Flags]),
                        "{listed}"
                    );
                }
            }
        }
    }

    #[test]
    fn binary_items_name_parts_only() {
        let binary = |path: &[u32], partial, peek| FetchItem::Binary {
            path: path.to_vec(),
            partial,
            peek,
        };
        let partial = Some(Partial {
            first: 5,
            length: 9,
        });
        for (text, item) in [
            ("BINARY[]", binary(&[], None, false)),
            ("binary.peek[1.2]", binary(&[1, 2], None, true)),
            ("BINARY[1]<5.9>", binary(&[1], partial, false)),
            ("BINARY.SIZE[4]", FetchItem::BinarySize { path: vec![4] }),
        ] {
            assert_eq!(
                items(&format!("FETCH 1 ({text})")),
                Some(vec![item]),
                "{text}"
            );
        }
        for bad in ["", "[", "[HEADER]", "[1.MIME]", "[1.]", "[0]", "[1]<5>"] {
            assert_all_refused(&[&format!("FETCH 1 BINARY{bad}")]);
        }
        assert_all_refused(&["FETCH 1 BINARY.SIZE[1]<0.1>", "FETCH 1 BINARY.SIZE"]);
    }

    #[test]
    fn what_is_no_section_is_refused() {
        for bad in [
            "[",
            "]",
            "[0]",
            "[01]",
            "[1.]",
            "[.1]",
            "[1..2]",
            "[MIME]",
            "[1.MIME.2]",
            "[HEADER.1]",
            "[ ]",
            "[HEADER.FIELDS]",
            "[HEADER.FIELDS ()]",
            "[HEADER.FIELDS (a:)]",
            "[HEADER.FIELDS (\"a b\")]",
            "[HEADER.FIELDS (a )]",
            "[HEADER.FIELDS (\"\")]",
            "[X]",
            "[]<>",
            "[]<0>",
            "[]<0.0>",
            "[]<.1>",
            "[]<0.1",
            "[]<0.1>x",
            "[4294967296]",
        ] {
            assert_all_refused(&[&format!("FETCH 1 BODY{bad}")]);
        }
    }

    #[test]
    fn lim_19_a_fetch_may_ask_for_128_items_and_256_fields() {
        for (count, ok) in [(FETCH_ITEMS_MAX, true), (FETCH_ITEMS_MAX + 1, false)] {
            let parts: Vec<String> = (1..=count).map(|n| format!("BODY[{n}]")).collect();
            let text = format!("FETCH 1 ({} BODY[1])", parts.join(" "));
            assert_eq!(items(&text).is_some(), ok, "{count}");
        }
        for (count, ok) in [
            (crate::imap::proto::limits::HEADER_FIELDS_MAX, true),
            (crate::imap::proto::limits::HEADER_FIELDS_MAX + 1, false),
        ] {
            let text = format!(
                "FETCH 1 BODY[HEADER.FIELDS ({})]",
                vec!["a"; count].join(" ")
            );
            assert_eq!(items(&text).is_some(), ok, "{count}");
        }
    }

    #[test]
    fn lim_28_a_part_number_has_100_levels_and_not_one_more() {
        for (depth, ok) in [(99, true), (100, true), (101, false)] {
            let text = format!("FETCH 1 BODY[{}]", vec!["1"; depth].join("."));
            assert_eq!(items(&text).is_some(), ok, "{depth}");
        }
    }
}
