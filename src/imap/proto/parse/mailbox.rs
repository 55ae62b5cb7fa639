//! Arguments of the commands about mailboxes (RFC 3501 6.3, RFC 5258, RFC 5819, RFC 6154).

use super::{Mistake, Parsed, Scanner, metadata, resync};
use crate::imap::proto::{
    command::CommandBody,
    enabled::Enabled,
    limits::{LIST_PATTERN_BYTES_MAX, LIST_PATTERNS_MAX},
    list::{ListQuery, SpecialUse},
    mutf7,
    response::Code,
    resync::SelectParameters,
    status::StatusItem,
};

/// The one argument of several commands.
fn only_mailbox(scanner: &mut Scanner<'_>) -> Parsed<String> {
    scanner.space()?;
    let mailbox = scanner.mailbox()?;
    scanner.end()?;
    Ok(mailbox)
}

/// RFC 3501 9: `"SELECT" SP mailbox`
pub fn select(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    let (mailbox, parameters) = selected(scanner)?;
    Ok(CommandBody::Select {
        mailbox,
        parameters,
    })
}

/// RFC 3501 9: `"EXAMINE" SP mailbox`
pub fn examine(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    let (mailbox, parameters) = selected(scanner)?;
    Ok(CommandBody::Examine {
        mailbox,
        parameters,
    })
}

fn selected(scanner: &mut Scanner<'_>) -> Parsed<(String, SelectParameters)> {
    scanner.space()?;
    let mailbox = scanner.mailbox()?;
    let parameters = resync::select_parameters(scanner)?;
    scanner.end()?;
    Ok((mailbox, parameters))
}

/// RFC 3501 9: `"DELETE" SP mailbox`
pub fn delete(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    only_mailbox(scanner).map(|mailbox| CommandBody::Delete { mailbox })
}

/// RFC 3501 9: `"SUBSCRIBE" SP mailbox`
pub fn subscribe(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    only_mailbox(scanner).map(|mailbox| CommandBody::Subscribe { mailbox })
}

/// RFC 3501 9: `"UNSUBSCRIBE" SP mailbox`
pub fn unsubscribe(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    only_mailbox(scanner).map(|mailbox| CommandBody::Unsubscribe { mailbox })
}

/// RFC 6154 6: `"CREATE" SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"]`
pub fn create(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    scanner.space()?;
    let mut mailbox = scanner.mailbox()?;
    // RFC 3501 6.3.3: a delimiter at the end only declares that there will be names below.
    if mailbox.len() > 1 && mailbox.ends_with('/') {
        mailbox.pop();
    }
    let special_use = if scanner.is_at_end() {
        None
    } else {
        scanner.space()?;
        create_use(scanner)?
    };
    scanner.end()?;
    Ok(CommandBody::Create {
        mailbox,
        special_use,
    })
}

fn create_use(scanner: &mut Scanner<'_>) -> Parsed<Option<SpecialUse>> {
    const RULE: &str = "the only parameter of CREATE is a special use, as in (USE (\\Drafts))";
    scanner.expect(b'(', RULE)?;
    if !scanner.word().eq_ignore_ascii_case(b"USE") {
        return Err(Mistake::bad(RULE));
    }
    scanner.space()?;
    scanner.expect(b'(', RULE)?;
    let mut names = Vec::new();
    while !scanner.eat(b')') {
        if !names.is_empty() {
            scanner.space()?;
        }
        scanner.expect(b'\\', RULE)?;
        names.push(scanner.atom()?);
    }
    scanner.expect(b')', RULE)?;
    match names.as_slice() {
        [] => Ok(None),
        [name] => SpecialUse::named(name)
            .map(Some)
            .ok_or_else(|| Mistake::no(Code::UseAttr, "this special use is unknown here")),
        _ => Err(Mistake::no(
            Code::UseAttr,
            "a mailbox has one special use here",
        )),
    }
}

/// RFC 3501 9: `"RENAME" SP mailbox SP mailbox`
pub fn rename(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    scanner.space()?;
    let from = scanner.mailbox()?;
    scanner.space()?;
    let to = scanner.mailbox()?;
    scanner.end()?;
    Ok(CommandBody::Rename { from, to })
}

/// RFC 3501 9: `"LSUB" SP mailbox SP list-mailbox`
pub fn lsub(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    scanner.space()?;
    let reference = reference(scanner)?;
    scanner.space()?;
    let pattern = pattern(scanner)?;
    scanner.end()?;
    Ok(CommandBody::Lsub { reference, pattern })
}

/// RFC 5258 6: `"LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]`
pub fn list(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    let mut query = ListQuery::default();
    scanner.space()?;
    if scanner.eat(b'(') {
        query.extended = true;
        select_options(scanner, &mut query)?;
        scanner.space()?;
    }
    query.reference = reference(scanner)?;
    scanner.space()?;
    if scanner.eat(b'(') {
        query.extended = true;
        loop {
            query.patterns.push(pattern(scanner)?);
            if scanner.eat(b')') {
                break;
            }
            scanner.space()?;
            if query.patterns.len() == LIST_PATTERNS_MAX {
                return Err(Mistake::bad("a LIST may have 32 patterns"));
            }
        }
    } else {
        query.patterns.push(pattern(scanner)?);
    }
    if !scanner.is_at_end() {
        query.extended = true;
        scanner.space()?;
        if !scanner.word().eq_ignore_ascii_case(b"RETURN") {
            return Err(Mistake::bad(
                "only RETURN may stand behind the patterns of a LIST",
            ));
        }
        scanner.space()?;
        scanner.expect(b'(', "return options stand in parentheses")?;
        return_options(scanner, &mut query)?;
    }
    scanner.end()?;
    Ok(CommandBody::List(Box::new(query)))
}

/// `list-select-opts`, behind its opening parenthesis.
fn select_options(scanner: &mut Scanner<'_>, query: &mut ListQuery) -> Parsed<()> {
    let mut first = true;
    while !scanner.eat(b')') {
        if !first {
            scanner.space()?;
        }
        first = false;
        match scanner.word().to_ascii_uppercase().as_slice() {
            b"SUBSCRIBED" => query.select_subscribed = true,
            b"SPECIAL-USE" => query.select_special_use = true,
            b"RECURSIVEMATCH" => query.recursive_match = true,
            // All there is, is here.
            b"REMOTE" => {}
            _ => {
                return Err(Mistake::bad(
                    "this selection option of LIST is unknown here",
                ));
            }
        }
    }
    // RFC 5258 3.1: RECURSIVEMATCH changes another option.
    if query.recursive_match && !query.select_subscribed && !query.select_special_use {
        return Err(Mistake::bad(
            "RECURSIVEMATCH needs another selection option, as SUBSCRIBED",
        ));
    }
    // RFC 5258 3.1: selecting subscribed names says that they are.
    query.return_subscribed |= query.select_subscribed;
    query.return_special_use |= query.select_special_use;
    Ok(())
}

/// The options of `list-return-opts`, behind their opening parenthesis.
fn return_options(scanner: &mut Scanner<'_>, query: &mut ListQuery) -> Parsed<()> {
    let mut first = true;
    while !scanner.eat(b')') {
        if !first {
            scanner.space()?;
        }
        first = false;
        match scanner.word().to_ascii_uppercase().as_slice() {
            b"SUBSCRIBED" => query.return_subscribed = true,
            b"CHILDREN" => query.return_children = true,
            b"SPECIAL-USE" => query.return_special_use = true,
            b"MYRIGHTS" => query.return_rights = true,
            b"METADATA" => {
                scanner.space()?;
                query.return_metadata = Some(metadata::query(scanner)?);
            }
            b"STATUS" => {
                scanner.space()?;
                query.return_status = status_items(scanner)?;
            }
            _ => return Err(Mistake::bad("this return option of LIST is unknown here")),
        }
    }
    Ok(())
}

fn reference(scanner: &mut Scanner<'_>) -> Parsed<String> {
    let bytes = scanner.astring()?;
    fits(&bytes)?;
    Ok(decode_pattern(&bytes, scanner.enabled()))
}

fn pattern(scanner: &mut Scanner<'_>) -> Parsed<String> {
    let bytes = scanner.list_mailbox()?;
    fits(&bytes)?;
    Ok(decode_pattern(&bytes, scanner.enabled()))
}

/// A pattern, spelled as names are. What is no name matches nothing.
fn decode_pattern(bytes: &[u8], enabled: Enabled) -> String {
    let pattern = match enabled.names_are_utf8() {
        true => std::str::from_utf8(bytes).ok().map(str::to_owned),
        false => mutf7::decode(bytes),
    };
    pattern.unwrap_or_else(|| MATCHES_NOTHING.to_owned())
}

/// No name holds a control character (RFC 9051 5.1).
const MATCHES_NOTHING: &str = "\0";

/// LIM-26
fn fits(pattern: &[u8]) -> Parsed<()> {
    if pattern.len() > LIST_PATTERN_BYTES_MAX {
        return Err(Mistake::bad("a reference or pattern may have 256 bytes"));
    }
    Ok(())
}

/// RFC 3501 9: `"STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"`
pub fn status(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    scanner.space()?;
    let mailbox = scanner.mailbox()?;
    scanner.space()?;
    let items = status_items(scanner)?;
    scanner.end()?;
    Ok(CommandBody::Status { mailbox, items })
}

fn status_items(scanner: &mut Scanner<'_>) -> Parsed<Vec<StatusItem>> {
    const RULE: &str =
        "a STATUS asks for MESSAGES, RECENT, UIDNEXT, UIDVALIDITY, UNSEEN or SIZE, in parentheses";
    scanner.expect(b'(', RULE)?;
    let mut items = Vec::new();
    loop {
        let item = StatusItem::named(scanner.word()).ok_or_else(|| Mistake::bad(RULE))?;
        if !items.contains(&item) {
            items.push(item);
        }
        if scanner.eat(b')') {
            return Ok(items);
        }
        scanner.space()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::proto::list::Pattern;
    use crate::imap::proto::{
        parse::tests::{assert_all_refused, parse, parsed},
        response::Status,
    };

    #[test]
    fn commands_about_one_mailbox_take_its_name() {
        let name = || "Entw\u{fc}rfe".to_owned();
        for (verb, body) in [
            (
                "SELECT",
                CommandBody::Select {
                    mailbox: name(),
                    parameters: SelectParameters::default(),
                },
            ),
            (
                "EXAMINE",
                CommandBody::Examine {
                    mailbox: name(),
                    parameters: SelectParameters::default(),
                },
            ),
            ("DELETE", CommandBody::Delete { mailbox: name() }),
            ("SUBSCRIBE", CommandBody::Subscribe { mailbox: name() }),
            ("UNSUBSCRIBE", CommandBody::Unsubscribe { mailbox: name() }),
        ] {
            assert_eq!(
                parsed(&format!("{verb} Entw&APw-rfe")),
                Some(body),
                "{verb}"
            );
            assert_all_refused(&[
                verb,
                &format!("{verb} "),
                &format!("{verb} a b"),
                &format!("{verb} a "),
                &format!("{verb}  a"),
                &format!("{verb} a&b"),
                &format!("{verb} \"Entw\u{fc}rfe\""),
                &format!("{verb} a%"),
                &format!("{verb} (a)"),
            ]);
        }
        assert_eq!(
            parsed("SELECT \"a \\\"b\""),
            Some(CommandBody::Select {
                mailbox: "a \"b".to_owned(),
                parameters: SelectParameters::default(),
            })
        );
    }

    #[test]
    fn create_may_name_a_special_use() {
        let created = |mailbox: &str, special_use| {
            Some(CommandBody::Create {
                mailbox: mailbox.to_owned(),
                special_use,
            })
        };
        assert_eq!(parsed("CREATE a/b/"), created("a/b", None));
        assert_eq!(parsed("CREATE /"), created("/", None));
        assert_eq!(parsed("CREATE a (USE ())"), created("a", None));
        assert_eq!(
            parsed("CREATE a (use (\\drafts))"),
            created("a", Some(SpecialUse::Drafts))
        );
        for text in [
            "CREATE a (USE (\\Important))",
            "CREATE a (USE (\\Sent \\Trash))",
        ] {
            let mistake = parse(text).unwrap_err();
            assert_eq!(mistake.status, Status::No, "{text}");
            assert_eq!(mistake.code, Some(Code::UseAttr), "{text}");
        }
        assert_all_refused(&[
            "CREATE",
            "CREATE a ",
            "CREATE a ()",
            "CREATE a (USE)",
            "CREATE a (USE (Drafts))",
            "CREATE a (USE (\\Drafts)",
            "CREATE a (USE (\\Drafts)) x",
            "CREATE a (SIZE (1))",
        ]);
    }

    #[test]
    fn rename_takes_two_names() {
        assert_eq!(
            parsed("RENAME a \"b c\""),
            Some(CommandBody::Rename {
                from: "a".to_owned(),
                to: "b c".to_owned()
            })
        );
        assert_all_refused(&["RENAME", "RENAME a", "RENAME a ", "RENAME a b c"]);
    }

    fn query(text: &str) -> Option<ListQuery> {
        match parsed(text)? {
            CommandBody::List(query) => Some(*query),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn list_has_a_plain_and_an_extended_form() {
        let plain = |reference: &str, pattern: &str| ListQuery {
            reference: reference.to_owned(),
            patterns: vec![pattern.to_owned()],
            ..ListQuery::default()
        };
        assert_eq!(query("LIST \"\" *"), Some(plain("", "*")));
        assert_eq!(query("LIST \"\" \"\""), Some(plain("", "")));
        assert_eq!(query("LIST a/ %/&APw-"), Some(plain("a/", "%/\u{fc}")));
        assert_eq!(query("LIST \"\" \"a *\""), Some(plain("", "a *")));
        let extended = query(
            "LIST (SUBSCRIBED RECURSIVEMATCH REMOTE) \"\" (a% \"b\") \
             RETURN (CHILDREN SPECIAL-USE STATUS (MESSAGES unseen))",
        );
        assert_eq!(
            extended,
            Some(ListQuery {
                patterns: vec!["a%".to_owned(), "b".to_owned()],
                extended: true,
                select_subscribed: true,
                recursive_match: true,
                return_subscribed: true,
                return_children: true,
                return_special_use: true,
                return_status: vec![StatusItem::Messages, StatusItem::Unseen],
                ..ListQuery::default()
            })
        );
        let special = query("LIST (SPECIAL-USE) \"\" * RETURN ()").unwrap();
        assert!(special.select_special_use && special.return_special_use && special.extended);
        assert_all_refused(&[
            "LIST",
            "LIST \"\"",
            "LIST \"\" ",
            "LIST \"\" * x",
            "LIST \"\" ()",
            "LIST \"\" (a b",
            "LIST \"\" (a  b)",
            "LIST (RECURSIVEMATCH) \"\" *",
            "LIST (RECURSIVEMATCH REMOTE) \"\" *",
            "LIST (OTHER) \"\" *",
            "LIST (SUBSCRIBED \"\" *",
            "LIST \"\" * RETURN",
            "LIST \"\" * RETURN (OTHER)",
            "LIST \"\" * RETURN (STATUS)",
            "LIST \"\" * RETURN (CHILDREN",
            "LIST \"\" * OTHER (CHILDREN)",
        ]);
    }

    #[test]
    fn patterns_that_are_no_modified_utf_7_match_nothing() {
        for line in [
            "LIST \"\" a&b",
            "LIST \"\" *&*",
            "LIST \"\" \"&AO*\"",
            "LIST & *",
        ] {
            let query = query(line).unwrap();
            assert_eq!(query.patterns.len(), 1, "{line}");
            for pattern in query.patterns {
                let pattern = Pattern::new(&query.reference, &pattern);
                for name in ["", "a", "a&b", "INBOX"] {
                    assert!(!pattern.matches(name), "{line} {name}");
                }
            }
        }
    }

    #[test]
    fn lim_26_32_patterns_of_256_bytes_pass_and_one_more_does_not() {
        for (count, bytes, ok) in [
            (LIST_PATTERNS_MAX - 1, 1, true),
            (LIST_PATTERNS_MAX, LIST_PATTERN_BYTES_MAX, true),
            (LIST_PATTERNS_MAX + 1, 1, false),
            (1, LIST_PATTERN_BYTES_MAX + 1, false),
        ] {
            let pattern = "a".repeat(bytes);
            let patterns = vec![pattern.as_str(); count].join(" ");
            let listed = query(&format!("LIST \"\" ({patterns})"));
            assert_eq!(listed.is_some(), ok, "{count} {bytes}");
            let lsub = parsed(&format!("LSUB {pattern} {pattern}"));
            assert_eq!(lsub.is_some(), bytes <= LIST_PATTERN_BYTES_MAX, "{bytes}");
        }
    }

    #[test]
    fn lsub_and_status_are_read_as_the_grammar_says() {
        assert_eq!(
            parsed("LSUB \"\" %"),
            Some(CommandBody::Lsub {
                reference: String::new(),
                pattern: "%".to_owned()
            })
        );
        assert_eq!(
            parsed("STATUS INBOX (uidnext MESSAGES UIDNEXT size)"),
            Some(CommandBody::Status {
                mailbox: "INBOX".to_owned(),
                items: vec![StatusItem::UidNext, StatusItem::Messages, StatusItem::Size]
            })
        );
        assert_all_refused(&[
            "LSUB",
            "LSUB \"\"",
            "LSUB \"\" (a b)",
            "LSUB \"\" a b",
            "STATUS INBOX",
            "STATUS INBOX ()",
            "STATUS INBOX MESSAGES",
            "STATUS INBOX (MESSAGES",
            "STATUS INBOX (MESSAGES )",
            "STATUS INBOX (LOWESTMODSEQ)",
            "STATUS INBOX (MESSAGES) x",
        ]);
    }
}
