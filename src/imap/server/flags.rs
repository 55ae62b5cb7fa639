//! Flags between the three forms they have: in commands, in the store, on the wire.
//!
//! `\Recent` is a session's and never stored (RFC 3501 2.3.2). FETCH of FLAGS is the hottest answer
//! of the server, so its writer appends straight to the output, without a value in between.

use super::fault::Refusal;
use crate::{
    imap::proto::{
        flag::{self, FlagList},
        response::Code,
    },
    mailbox::{EntryRef, FlagClasses, FlagSet, Keyword, NotAKeyword, SystemFlags},
    wire::Output,
};

/// Flags of a command as the store keeps them.
pub(super) fn stored(list: &FlagList) -> Result<FlagSet, Refusal> {
    let keywords = list.keywords.iter().map(|text| Keyword::parse(text));
    let keywords = keywords
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| match error {
            NotAKeyword::Syntax => Refusal::bad("a keyword is an atom"),
            NotAKeyword::TooLong => Refusal::no(Code::Limit, "a keyword has at most 128 bytes"),
        })?;
    Ok(FlagSet::new(stored_system(list.system), keywords))
}

/// All flags a mailbox has, for FLAGS and PERMANENTFLAGS.
pub(super) fn list_of(keywords: &[Keyword]) -> FlagList {
    FlagList {
        system: flag::SystemFlags::ALL
            .into_iter()
            .fold(flag::SystemFlags::NONE, |all, (one, _)| all.union(one)),
        keywords: keywords
            .iter()
            .map(|keyword| keyword.as_str().to_owned())
            .collect(),
    }
}

/// Those of `list` that are of these classes.
pub(super) fn changeable(list: &FlagList, classes: FlagClasses) -> FlagList {
    let system = PAIRS
        .into_iter()
        .filter(|(wire, kept)| list.system.contains(*wire) && classes.system.contains(*kept))
        .fold(flag::SystemFlags::NONE, |all, (wire, _)| all.union(wire));
    FlagList {
        system,
        keywords: match classes.keywords {
            true => list.keywords.clone(),
            false => Vec::new(),
        },
    }
}

/// No flag at all.
pub(super) fn none() -> FlagList {
    FlagList {
        system: flag::SystemFlags::NONE,
        keywords: Vec::new(),
    }
}

/// Writes the flags of a message as an item of a FETCH response.
pub(super) fn write(out: &mut Output, entry: &EntryRef<'_>, recent: bool) {
    out.bytes(b"FLAGS (");
    let mut separator: &[u8] = b"";
    let system = entry.system.names();
    for name in system.chain(recent.then_some("\\Recent")) {
        out.bytes(separator).text(name);
        separator = b" ";
    }
    for keyword in entry.keywords() {
        out.bytes(separator).text(keyword.as_str());
        separator = b" ";
    }
    out.bytes(b")");
}

/// Writes the MODSEQ of a message as an item of a FETCH response (RFC 7162 7).
pub(super) fn write_modseq(out: &mut Output, entry: &EntryRef<'_>) {
    out.bytes(b"MODSEQ (").number(entry.modseq.0).bytes(b")");
}

fn stored_system(said: flag::SystemFlags) -> SystemFlags {
    PAIRS
        .into_iter()
        .fold(SystemFlags::NONE, |all, (wire, kept)| {
            if said.contains(wire) {
                all.union(kept)
            } else {
                all
            }
        })
}

/// The system flags on the wire and in the store.
const PAIRS: [(flag::SystemFlags, SystemFlags); 5] = [
    (flag::SystemFlags::ANSWERED, SystemFlags::ANSWERED),
    (flag::SystemFlags::FLAGGED, SystemFlags::FLAGGED),
    (flag::SystemFlags::DELETED, SystemFlags::DELETED),
    (flag::SystemFlags::SEEN, SystemFlags::SEEN),
    (flag::SystemFlags::DRAFT, SystemFlags::DRAFT),
];
