//! Source options of ESEARCH (RFC 7377 4), which are the mailbox filters of RFC 5465 8.

use super::{Mistake, Parsed, Scanner};
use crate::imap::proto::{limits::SOURCE_NAMES_MAX, response::Code, sources::Source};

/// `"(" source-mbox ")"`. Scope options are refused: there are none.
pub(super) fn sources(scanner: &mut Scanner<'_>) -> Parsed<Vec<Source>> {
    scanner.expect(b'(', SOURCES_RULE)?;
    let (mut sources, mut names) = (Vec::new(), 0);
    loop {
        sources.push(source(scanner, &mut names)?);
        if scanner.eat(b')') {
            return Ok(sources);
        }
        scanner.space()?;
    }
}

/// `filter-mailboxes`
pub(super) fn source(scanner: &mut Scanner<'_>, names: &mut usize) -> Parsed<Source> {
    let word = scanner.word().to_ascii_lowercase();
    *names += 1;
    Ok(match word.as_slice() {
        _ if *names > SOURCE_NAMES_MAX => return Err(too_many()),
        b"selected" => Source::Selected,
        b"inboxes" => Source::Inboxes,
        b"personal" => Source::Personal,
        b"subscribed" => Source::Subscribed,
        b"subtree" => Source::Subtree(mailboxes(scanner, names)?),
        b"subtree-one" => Source::SubtreeOne(mailboxes(scanner, names)?),
        b"mailboxes" => Source::Mailboxes(mailboxes(scanner, names)?),
        _ => return Err(Mistake::bad(SOURCES_RULE)),
    })
}

/// `one-or-more-mailbox`
fn mailboxes(scanner: &mut Scanner<'_>, names: &mut usize) -> Parsed<Vec<String>> {
    scanner.space()?;
    if !scanner.eat(b'(') {
        return Ok(vec![scanner.mailbox()?]);
    }
    let mut mailboxes = Vec::new();
    loop {
        *names += 1;
        if *names > SOURCE_NAMES_MAX {
            return Err(too_many());
        }
        mailboxes.push(scanner.mailbox()?);
        if scanner.eat(b')') {
            return Ok(mailboxes);
        }
        scanner.space()?;
    }
}

/// RFC 7377 2.4
fn too_many() -> Mistake {
    Mistake::no(Code::Limit, "a search may name 1000 mailboxes")
}

const SOURCES_RULE: &str =
    "IN takes a list of selected, personal, inboxes, subscribed, subtree, subtree-one, mailboxes";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::proto::{
        command::CommandBody,
        parse::tests::{assert_all_refused, parsed},
        search::{Charset, Query, Returns, SearchKey},
    };

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn esearch_is_read_as_the_grammar_says() {
        for (text, expected) in [
            ("ESEARCH ALL", None),
            ("ESEARCH IN (selected) ALL", Some(vec![Source::Selected])),
            (
                "esearch in (PERSONAL inboxes Subscribed) ALL",
                Some(vec![Source::Personal, Source::Inboxes, Source::Subscribed]),
            ),
            (
                "ESEARCH IN (mailboxes \"folder 1\" subtree folder2) ALL",
                Some(vec![
                    Source::Mailboxes(names(&["folder 1"])),
                    Source::Subtree(names(&["folder2"])),
                ]),
            ),
            (
                "ESEARCH IN (subtree-one (a b/c) mailboxes (d)) ALL",
                Some(vec![
                    Source::SubtreeOne(names(&["a", "b/c"])),
                    Source::Mailboxes(names(&["d"])),
                ]),
            ),
        ] {
            let query = Query {
                uid: true,
                returns: None,
                update_items: Vec::new(),
                charset: Charset::Utf8,
                key: SearchKey::All,
            };
            let sources = expected.unwrap_or_else(|| vec![Source::Selected]);
            let body = CommandBody::MultiSearch { sources, query };
            assert_eq!(parsed(text), Some(body), "{text}");
        }
        let Some(CommandBody::MultiSearch { query, .. }) =
            parsed("ESEARCH IN (personal) RETURN (COUNT) CHARSET UTF-8 UNSEEN")
        else {
            panic!()
        };
        assert_eq!(
            query.returns.map(|returns| returns == Returns::ALL),
            Some(false)
        );
        assert_all_refused(&[
            "ESEARCH",
            "ESEARCH ",
            "ESEARCH IN ALL",
            "ESEARCH IN () ALL",
            "ESEARCH IN (personal)",
            "ESEARCH IN (personal )ALL",
            "ESEARCH IN (selected-delayed) ALL",
            "ESEARCH IN (mailboxes) ALL",
            "ESEARCH IN (mailboxes ()) ALL",
            "ESEARCH IN (personal (scope 1)) ALL",
            "ESEARCH IN (nowhere) ALL",
            "ESEARCH RETURN (MIN) IN (personal) ALL",
        ]);
    }

    #[test]
    fn lim_20_a_search_may_name_a_thousand_mailboxes_and_not_one_more() {
        for (count, ok) in [(SOURCE_NAMES_MAX - 1, true), (SOURCE_NAMES_MAX, false)] {
            let listed = format!(
                "ESEARCH IN (mailboxes ({})) ALL",
                vec!["a"; count].join(" ")
            );
            assert_eq!(parsed(&listed).is_some(), ok, "{count}");
            let single = format!("ESEARCH IN ({}) ALL", vec!["personal"; count + 1].join(" "));
            assert_eq!(parsed(&single).is_some(), ok, "{count}");
        }
    }
}
