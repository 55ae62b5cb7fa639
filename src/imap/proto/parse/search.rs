//! Arguments of SEARCH, ESEARCH and CANCELUPDATE, but their keys (RFC 3501 6.4.4, RFC 4466 2.6,
//! RFC 5267, RFC 7377): what is returned, in which charset the texts are.

use super::{
    Mistake, Parsed, Scanner, fetch,
    search_key::{keys, next_word},
    sources,
};
use crate::imap::proto::{
    command::{CommandBody, Tag},
    enabled::Enabled,
    fetch::FetchItem,
    search::{Charset, PartialRange, Query, Returns, SearchKey},
    sources::Source,
};

/// `search`
pub fn search(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    search_by(scanner, false)
}

/// `"UID" SP search`
pub fn uid_search(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    search_by(scanner, true)
}

fn search_by(scanner: &mut Scanner<'_>, uid: bool) -> Parsed<CommandBody> {
    scanner.space()?;
    let first = next_word(scanner);
    program(scanner, uid, first).map(CommandBody::Search)
}

/// RFC 5267 5: `"CANCELUPDATE" 1*(SP quoted)`
pub fn cancel_update(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    let mut tags = Vec::new();
    while !scanner.is_at_end() || tags.is_empty() {
        scanner.space()?;
        let tag = Tag::parse(&scanner.string()?);
        tags.push(tag.ok_or_else(|| Mistake::bad("CANCELUPDATE takes tags in quotes"))?);
    }
    Ok(CommandBody::CancelUpdate(tags))
}

/// RFC 7377 4: `esearch`
pub fn esearch(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    scanner.space()?;
    let mut first = next_word(scanner);
    // RFC 7377 2.2: the selected mailbox, unless others are named.
    let mut sources = vec![Source::Selected];
    if first == b"IN" {
        scanner.space()?;
        sources = sources::sources(scanner)?;
        scanner.space()?;
        first = next_word(scanner);
    }
    let query = program(scanner, true, first)?;
    Ok(CommandBody::MultiSearch { sources, query })
}

/// What is returned, the charset, the keys, and the end of the command; `first` is the first word.
fn program(scanner: &mut Scanner<'_>, uid: bool, mut first: Vec<u8>) -> Parsed<Query> {
    let (mut returns, mut update_items) = (None, Vec::new());
    if first == b"RETURN" {
        // RFC 4466 2.6.1
        scanner.space()?;
        returns = Some(returns_list(scanner, &mut update_items)?);
        scanner.space()?;
        first = next_word(scanner);
    }
    let mut charset = Charset::Utf8;
    if first == b"CHARSET" {
        if scanner.enabled().contains(Enabled::UTF8_ACCEPT) {
            // RFC 6855 3
            return Err(Mistake::bad("no CHARSET: everything is UTF-8 here"));
        }
        scanner.space()?;
        charset = charset_named(&scanner.astring()?);
        scanner.space()?;
        first = next_word(scanner);
    }
    let key = keys(scanner, &charset, first)?;
    scanner.end()?;
    if returns.is_some_and(|returns: Returns| returns.relevancy) {
        relevancy_of(&key)?;
    }
    Ok(Query {
        uid,
        returns,
        update_items,
        charset,
        key,
    })
}

/// RFC 6203 4, 6: nothing is more or less relevant "unless a FUZZY search key is also given".
pub(super) fn relevancy_of(key: &SearchKey) -> Parsed<()> {
    match key.is_fuzzy() {
        true => Ok(()),
        false => Err(Mistake::bad("RELEVANCY is for searches with FUZZY")),
    }
}

/// Texts are compared as UTF-8, which holds ASCII.
fn charset_named(name: &[u8]) -> Charset {
    match name.to_ascii_uppercase().as_slice() {
        b"UTF-8" | b"UTF8" | b"US-ASCII" | b"ASCII" => Charset::Utf8,
        _ => Charset::Unsupported,
    }
}

/// RFC 5256 5: `search-criteria`, and the end of the command.
pub(super) fn with_charset(scanner: &mut Scanner<'_>) -> Parsed<(Charset, SearchKey)> {
    let charset = charset_named(&scanner.astring()?);
    scanner.space()?;
    let word = next_word(scanner);
    let key = keys(scanner, &charset, word)?;
    scanner.end()?;
    Ok((charset, key))
}

/// RFC 4466 2.6.1: `"(" [search-return-opt *(SP search-return-opt)] ")"`; also gives what
/// `modifier-update` names (RFC 5465 8).
pub(super) fn returns_list(
    scanner: &mut Scanner<'_>,
    update_items: &mut Vec<FetchItem>,
) -> Parsed<Returns> {
    scanner.expect(
        b'(',
        "RETURN is followed by a list, as in RETURN (MIN COUNT)",
    )?;
    if scanner.eat(b')') {
        return Ok(Returns::ALL);
    }
    let mut returns = Returns::default();
    loop {
        match next_word(scanner).as_slice() {
            b"MIN" => returns.min = true,
            b"MAX" => returns.max = true,
            b"ALL" => returns.all = true,
            b"COUNT" => returns.count = true,
            b"SAVE" => returns.save = true,
            b"UPDATE" => {
                returns.update = true;
                let mut ahead = scanner.clone();
                if ahead.eat(b' ') && ahead.peek() == Some(b'(') {
                    // As the example of RFC 5465 7 has it; the grammar has no space.
                    *scanner = ahead;
                }
                if scanner.peek() == Some(b'(') {
                    *update_items = fetch::fetch_items(scanner)?;
                }
            }
            b"CONTEXT" => returns.context = true,
            b"RELEVANCY" => returns.relevancy = true,
            b"PARTIAL" if returns.partial.is_none() => {
                scanner.space()?;
                returns.partial = Some(partial_range(scanner)?);
            }
            b"PARTIAL" => return Err(one_partial_or_all()),
            _ => {
                return Err(Mistake::bad(
                    "RETURN knows MIN, MAX, ALL, COUNT, SAVE, PARTIAL, UPDATE, CONTEXT, RELEVANCY",
                ));
            }
        }
        if scanner.eat(b')') {
            break;
        }
        scanner.space()?;
    }
    if returns.all && returns.partial.is_some() {
        return Err(one_partial_or_all());
    }
    Ok(returns)
}

/// RFC 9394 3.1
fn one_partial_or_all() -> Mistake {
    Mistake::bad("RETURN takes one PARTIAL, or ALL, not both")
}

/// RFC 9394 4: `partial-range`
pub(super) fn partial_range(scanner: &mut Scanner<'_>) -> Parsed<PartialRange> {
    let from_end = scanner.eat(b'-');
    let first = scanner.nz_number()?;
    scanner.expect(b':', PARTIAL_RULE)?;
    if scanner.eat(b'-') != from_end {
        return Err(Mistake::bad(PARTIAL_RULE));
    }
    let last = scanner.nz_number()?;
    Ok(PartialRange {
        first,
        last,
        from_end,
    })
}

const PARTIAL_RULE: &str = "PARTIAL takes a range, as in 1:100 or -1:-100";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::proto::parse::tests::{assert_all_refused, parsed};

    #[test]
    fn what_is_returned_is_read_as_the_grammar_says() {
        let none = Returns::default();
        let partial = |first, last, from_end| {
            Some(PartialRange {
                first,
                last,
                from_end,
            })
        };
        for (text, expected) in [
            ("", None),
            ("RETURN () ", Some(Returns::ALL)),
            ("return (all) ", Some(Returns::ALL)),
            ("RETURN (SAVE) ", Some(Returns { save: true, ..none })),
            (
                "RETURN (MIN max Count SAVE) ",
                Some(Returns {
                    min: true,
                    max: true,
                    count: true,
                    save: true,
                    ..none
                }),
            ),
            (
                "RETURN (UPDATE CONTEXT) ",
                Some(Returns {
                    update: true,
                    context: true,
                    ..none
                }),
            ),
            (
                "RETURN (RELEVANCY COUNT) FUZZY ",
                Some(Returns {
                    relevancy: true,
                    count: true,
                    ..none
                }),
            ),
            (
                "RETURN (PARTIAL 1:100) ",
                Some(Returns {
                    partial: partial(1, 100, false),
                    ..none
                }),
            ),
            (
                "RETURN (PARTIAL -100:-1) CHARSET UTF-8 ",
                Some(Returns {
                    partial: partial(100, 1, true),
                    ..none
                }),
            ),
        ] {
            let Some(CommandBody::Search(query)) = parsed(&format!("SEARCH {text}ALL")) else {
                panic!("{text}");
            };
            assert_eq!(query.returns, expected, "{text}");
        }
    }

    #[test]
    fn rfc_5465_8_an_update_may_name_items() {
        for text in ["UPDATE (UID FLAGS) COUNT", "COUNT UPDATE(UID FLAGS)"] {
            let Some(CommandBody::Search(query)) = parsed(&format!("SEARCH RETURN ({text}) ALL"))
            else {
                panic!("{text}");
            };
            assert_eq!(query.update_items, [FetchItem::Uid, FetchItem::Flags]);
            assert!(
                query
                    .returns
                    .is_some_and(|returns| returns.update && returns.count)
            );
        }
        assert_all_refused(&[
            "SEARCH RETURN (UPDATE ()) ALL",
            "SEARCH RETURN (UPDATE (ALL)) ALL",
            "SEARCH RETURN (UPDATE (UID) ALL",
            "SEARCH RETURN (COUNT (UID)) ALL",
        ]);
    }

    #[test]
    fn relevancy_needs_a_fuzzy_key() {
        for (text, ok) in [
            ("SEARCH RETURN (RELEVANCY) TEXT x", false),
            ("SEARCH RETURN (RELEVANCY) SEEN NOT FUZZY TEXT x", true),
            ("SORT (RELEVANCY) UTF-8 FUZZY (SEEN TEXT x)", true),
            ("SORT (REVERSE relevancy DATE) UTF-8 TEXT x", false),
            ("SORT RETURN (RELEVANCY) (DATE) UTF-8 TEXT x", false),
            (
                "UID SORT RETURN (RELEVANCY) (DATE) UTF-8 OR FUZZY SEEN ALL",
                true,
            ),
            ("ESEARCH IN (personal) RETURN (RELEVANCY) ALL", false),
            ("ESEARCH IN (personal) RETURN (RELEVANCY) FUZZY ALL", true),
            ("SEARCH FUZZY", false),
            ("SEARCH FUZZY ", false),
            ("SEARCH FUZZY()", false),
            ("SEARCH FUZZY FUZZY NOT FUZZY ALL", true),
        ] {
            assert_eq!(parsed(text).is_some(), ok, "{text}");
        }
    }

    #[test]
    fn updates_are_cancelled_by_tags_in_quotes() {
        let tags = ["a1", "b]"].map(|tag| Tag::parse(tag.as_bytes()).unwrap());
        assert_eq!(
            parsed("CANCELUPDATE \"a1\" \"b]\""),
            Some(CommandBody::CancelUpdate(tags.to_vec()))
        );
        assert_all_refused(&[
            "CANCELUPDATE",
            "CANCELUPDATE ",
            "CANCELUPDATE a1",
            "CANCELUPDATE \"a 1\"",
            "CANCELUPDATE \"a1\" ",
            "CANCELUPDATE \"a1\"\"b\"",
        ]);
    }

    #[test]
    fn charsets_are_known_or_answered_with_no() {
        for (text, expected) in [
            ("SEARCH CHARSET UTF-8 ALL", Charset::Utf8),
            ("SEARCH CHARSET \"us-ascii\" ALL", Charset::Utf8),
            ("UID SEARCH CHARSET ISO-8859-1 TEXT x", Charset::Unsupported),
            ("SEARCH ALL", Charset::Utf8),
        ] {
            let Some(CommandBody::Search(query)) = parsed(text) else {
                panic!("{text}");
            };
            assert_eq!(query.charset, expected, "{text}");
            assert_eq!(query.uid, text.starts_with("UID"));
        }
    }
}
