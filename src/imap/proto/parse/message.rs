//! Arguments of the commands about messages, but SEARCH (RFC 3501 6.4, RFC 4315, RFC 6851).

use super::{Mistake, Parsed, Scanner, section};
use crate::imap::proto::{
    command::{CommandBody, StoreMode},
    fetch::FetchItem,
    limits::FETCH_ITEMS_MAX,
    sequence::SequenceSet,
};

/// RFC 4315 2.1: `"UID" SP "EXPUNGE" SP sequence-set`
pub fn uid_expunge(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    scanner.space()?;
    let set = scanner.set()?;
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

fn set_and_mailbox(scanner: &mut Scanner<'_>) -> Parsed<(SequenceSet, String)> {
    scanner.space()?;
    let set = scanner.set()?;
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
    let set = scanner.set()?;
    scanner.space()?;
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
        silent,
        flags,
    })
}

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
    let set = scanner.set()?;
    scanner.space()?;
    let mut items = Vec::new();
    if scanner.eat(b'(') {
        loop {
            let item = fetch_item(scanner)?;
            add(&mut items, item)?;
            if scanner.eat(b')') {
                break;
            }
            scanner.space()?;
        }
    } else {
        items = fetch_macro_or_item(scanner)?;
    }
    scanner.end()?;
    Ok(CommandBody::Fetch { uid, set, items })
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
        _ => {
            return Err(Mistake::bad(
                "FETCH does not know this item; try (UID FLAGS ENVELOPE)",
            ));
        }
    })
}
