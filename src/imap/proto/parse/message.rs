//! Arguments of the commands about messages, but FETCH and SEARCH (RFC 3501 6.4, RFC 4315,
//! RFC 6851).

use super::{Mistake, Parsed, Scanner, resync};
use crate::imap::proto::{
    command::{CommandBody, StoreMode},
    sequence::MessageSet,
};

/// RFC 4315 2.1: `"UID" SP "EXPUNGE" SP sequence-set`
pub fn uid_expunge(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    scanner.space()?;
    let set = scanner.message_set()?;
    scanner.end()?;
    Ok(CommandBody::UidExpunge(set))
}

/// `"COPY" SP sequence-set SP mailbox`
pub fn copy(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    let (set, mailbox) = set_and_mailbox(scanner)?;
    Ok(CommandBody::Copy {
        uid: false,
        set,
        mailbox,
    })
}

/// `"UID" SP copy`
pub fn uid_copy(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    let (set, mailbox) = set_and_mailbox(scanner)?;
    Ok(CommandBody::Copy {
        uid: true,
        set,
        mailbox,
    })
}

/// RFC 6851 3.1: as COPY.
pub fn mov(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    let (set, mailbox) = set_and_mailbox(scanner)?;
    Ok(CommandBody::Move {
        uid: false,
        set,
        mailbox,
    })
}

/// RFC 6851 3.2: as UID COPY.
pub fn uid_move(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    let (set, mailbox) = set_and_mailbox(scanner)?;
    Ok(CommandBody::Move {
        uid: true,
        set,
        mailbox,
    })
}

fn set_and_mailbox(scanner: &mut Scanner<'_>) -> Parsed<(MessageSet, String)> {
    scanner.space()?;
    let set = scanner.message_set()?;
    scanner.space()?;
    let mailbox = scanner.mailbox()?;
    scanner.end()?;
    Ok((set, mailbox))
}

/// RFC 3501 9: `store`
pub fn store(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    store_by(scanner, false)
}

/// `"UID" SP store`
pub fn uid_store(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    store_by(scanner, true)
}

fn store_by(scanner: &mut Scanner<'_>, uid: bool) -> Parsed<CommandBody> {
    scanner.space()?;
    let set = scanner.message_set()?;
    scanner.space()?;
    let unchanged_since = resync::store_modifier(scanner)?;
    let mode = if scanner.eat(b'+') {
        StoreMode::Add
    } else if scanner.eat(b'-') {
        StoreMode::Remove
    } else {
        StoreMode::Replace
    };
    let silent = match scanner.word().to_ascii_uppercase().as_slice() {
        b"FLAGS" => false,
        b"FLAGS.SILENT" => true,
        _ => {
            return Err(Mistake::bad(
                "STORE changes FLAGS, +FLAGS or -FLAGS, each perhaps .SILENT",
            ));
        }
    };
    scanner.space()?;
    let flags = if scanner.peek() == Some(b'(') {
        scanner.flag_list()?
    } else {
        scanner.flags()?
    };
    scanner.end()?;
    Ok(CommandBody::Store {
        uid,
        set,
        mode,
        unchanged_since,
        silent,
        flags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::proto::{
        flag::{FlagList, SystemFlags},
        parse::tests::{assert_all_refused, parsed},
        sequence::SequenceSet,
    };

    fn set(text: &str) -> MessageSet {
        MessageSet::Listed(SequenceSet::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn copy_move_and_uid_expunge_are_read_as_the_grammar_says() {
        let (set, mailbox) = (set("1:*"), "b c".to_owned());
        for (text, body) in [
            (
                "COPY 1:* \"b c\"",
                CommandBody::Copy {
                    uid: false,
                    set: set.clone(),
                    mailbox: mailbox.clone(),
                },
            ),
            (
                "UID COPY 1:* \"b c\"",
                CommandBody::Copy {
                    uid: true,
                    set: set.clone(),
                    mailbox: mailbox.clone(),
                },
            ),
            (
                "MOVE 1:* \"b c\"",
                CommandBody::Move {
                    uid: false,
                    set: set.clone(),
                    mailbox: mailbox.clone(),
                },
            ),
            (
                "UID MOVE 1:* \"b c\"",
                CommandBody::Move {
                    uid: true,
                    set: set.clone(),
                    mailbox,
                },
            ),
            ("UID EXPUNGE 1:*", CommandBody::UidExpunge(set)),
        ] {
            assert_eq!(parsed(text), Some(body), "{text}");
        }
        assert_all_refused(&[
            "COPY",
            "COPY 1",
            "COPY 1 ",
            "COPY 0 a",
            "COPY 1, a",
            "COPY 1 a b",
            "COPY a 1",
            "MOVE 1",
            "UID COPY 1",
            "UID EXPUNGE",
            "UID EXPUNGE 1 2",
            "UID EXPUNGE a",
        ]);
    }

    #[test]
    fn store_has_three_modes_and_may_be_silent() {
        let stored = |uid, mode, silent, system, keywords: &[&str]| {
            Some(CommandBody::Store {
                uid,
                set: set("2"),
                mode,
                unchanged_since: None,
                silent,
                flags: FlagList {
                    system,
                    keywords: keywords.iter().map(|text| (*text).to_owned()).collect(),
                },
            })
        };
        let seen = SystemFlags::SEEN;
        for (text, body) in [
            (
                "STORE 2 FLAGS (\\Seen x)",
                stored(false, StoreMode::Replace, false, seen, &["x"]),
            ),
            (
                "STORE 2 +flags.silent \\Seen",
                stored(false, StoreMode::Add, true, seen, &[]),
            ),
            (
                "UID STORE 2 -FLAGS \\Seen x y",
                stored(true, StoreMode::Remove, false, seen, &["x", "y"]),
            ),
            (
                "STORE 2 FLAGS ()",
                stored(false, StoreMode::Replace, false, SystemFlags::NONE, &[]),
            ),
        ] {
            assert_eq!(parsed(text), body, "{text}");
        }
        assert_all_refused(&[
            "STORE",
            "STORE 2",
            "STORE 2 FLAGS",
            "STORE 2 FLAGS ",
            "STORE 2 ++FLAGS x",
            "STORE 2 + FLAGS x",
            "STORE 2 FLAG x",
            "STORE 2 FLAGS.LOUD x",
            "STORE 2 FLAGS (x",
            "STORE 2 FLAGS (x) y",
            "STORE 2 FLAGS x ",
            "STORE x FLAGS x",
        ]);
    }

    #[test]
    fn what_a_search_saved_may_stand_for_a_set() {
        for text in [
            "FETCH $ UID",
            "UID FETCH $ UID",
            "STORE $ FLAGS ()",
            "COPY $ a",
            "UID MOVE $ a",
            "UID EXPUNGE $",
        ] {
            let (CommandBody::Fetch { set, .. }
            | CommandBody::Store { set, .. }
            | CommandBody::Copy { set, .. }
            | CommandBody::Move { set, .. }
            | CommandBody::UidExpunge(set)) = parsed(text).unwrap()
            else {
                panic!("{text}")
            };
            assert_eq!(set, MessageSet::Saved, "{text}");
        }
    }
}
