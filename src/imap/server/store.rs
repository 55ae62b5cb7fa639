//! STORE and UID STORE.
//!
//! RFC 3501 6.4.6, RFC 2180 4.2. One change of the store for the whole command, then the new flags
//! are told from the index in chunks. What other sessions changed meanwhile is told as well, silent
//! or not; what this command changed silently is not.

use super::{
    fault::{Refusal, Stop, deleted, refusal_of},
    flags,
    select::{Selected, Uids, Which, uids_of},
    session::Outcome,
    updates::{self, News},
};
use crate::{
    imap::proto::{
        command::StoreMode, dialog::Imap, flag::FlagList, response::Code, verbs::Numbers,
    },
    mailbox::{FlagChange, FlagMode},
    net::Turn,
};

/// What STORE does.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) mode: StoreMode,
    /// The new flags are not told.
    pub(super) silent: bool,
    pub(super) flags: FlagList,
}

/// STORE and UID STORE.
pub(super) async fn store(
    selected: &mut Selected,
    which: &Which,
    change: &Change,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    let (shown, flags) = match (selected.shown(which), flags::stored(&change.flags)) {
        (Ok(shown), Ok(flags)) => (shown, flags),
        (Err(refusal), _) | (_, Err(refusal)) => return Ok(Err(refusal)),
    };
    // What others did before is told first, so that our own change can be told from it.
    if let News::MailboxDeleted = updates::tell(selected, Numbers::Used, which.uids, turn).await? {
        return Ok(Err(deleted()));
    }
    let flag_change = FlagChange {
        mode: mode_of(change.mode),
        flags,
    };
    let uids = uids_of(&shown);
    let stored = match selected.mailbox.store_flags(&uids, &flag_change).await {
        Ok(stored) => stored,
        Err(error) => return Ok(Err(refusal_of(error)?)),
    };
    updates::tell_keywords(selected, turn).await?;
    if !change.silent {
        updates::tell_flags(selected, &shown, which.uids, turn).await?;
    }
    updates::tell_known(selected, Numbers::Used, which.uids, Some(&stored), turn).await?;
    // RFC 2180 4.2: silently, what is there was changed and all is well; else the client must know.
    if !change.silent && which.uids == Uids::Silent && selected.misses_any(&uids) {
        return Ok(Err(Refusal::no(
            Code::ExpungeIssued,
            "some of the messages are gone",
        )));
    }
    Ok(Ok(None))
}

fn mode_of(mode: StoreMode) -> FlagMode {
    match mode {
        StoreMode::Replace => FlagMode::Replace,
        StoreMode::Add => FlagMode::Add,
        StoreMode::Remove => FlagMode::Remove,
    }
}
