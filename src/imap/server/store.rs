//! STORE and UID STORE.
//!
//! RFC 3501 6.4.6, RFC 2180 4.2, RFC 7162 3.1.3. One change of the store for the whole command,
//! then the new flags are told from the index in chunks. What other sessions changed meanwhile is
//! told as well, silent or not; what this command changed silently is not.

use super::{
    fault::{Refusal, Stop, deleted, refusal_of},
    flags, message_limit, resync,
    select::{Selected, Shown, Uids, Which, uids_of},
    session::Outcome,
    updates::{self, News, Telling},
};
use crate::{
    base::ids::{ModSeq, Uid},
    imap::proto::{
        command::StoreMode, dialog::Imap, enabled::Enabled, flag::FlagList, response::Code,
        verbs::Numbers,
    },
    mailbox::{FlagChange, FlagMode, Stored},
    net::{Gone, Turn},
};

/// What STORE does.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) mode: StoreMode,
    /// Only where nothing has changed since.
    pub(super) unchanged_since: Option<ModSeq>,
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
    let (mut shown, flags) = match (selected.shown(which), flags::stored(&change.flags)) {
        (Ok(shown), Ok(flags)) => (shown, flags),
        (Err(refusal), _) | (_, Err(refusal)) => return Ok(Err(refusal)),
    };
    let cut = which.limit.cut(&mut shown, |message| message.uid);
    // What others did before is told first, so that our own change can be told from it.
    if let News::MailboxDeleted = updates::tell(selected, Numbers::Used, which.uids, turn).await? {
        return Ok(Err(deleted()));
    }
    if change.unchanged_since.is_some() {
        resync::enable(Enabled::CONDSTORE, Some(selected), turn).await?;
    }
    let flag_change = FlagChange {
        mode: mode_of(change.mode),
        flags,
    };
    let (uids, mailbox) = (uids_of(&shown), &selected.mailbox);
    let stored = match change.unchanged_since {
        Some(since) => {
            mailbox
                .store_flags_unless_changed(&uids, &flag_change, since)
                .await
        }
        None => mailbox.store_flags(&uids, &flag_change).await,
    };
    let stored = match stored {
        Ok(stored) => stored,
        Err(error) => return Ok(Err(refusal_of(error)?)),
    };
    let modified = modified(&shown, &stored, which.uids);
    if cut.is_some() {
        // RFC 9738 3.1
        shown.reverse();
    }
    updates::tell_keywords(selected, turn).await?;
    tell_own(selected, &shown, which.uids, (change, &stored), turn).await?;
    updates::tell_known(selected, Numbers::Used, which.uids, Some(&stored), turn).await?;
    // RFC 2180 4.2: silently, what is there was changed and all is well; else the client must know.
    if !change.silent && which.uids == Uids::Silent && selected.misses_any(&uids) {
        let code = modified.unwrap_or(Code::ExpungeIssued);
        let refusal = Refusal::no(code, "some of the messages are gone");
        return Ok(message_limit::conclude(cut, Err(refusal), turn).await?);
    }
    Ok(message_limit::conclude(cut, Ok(modified), turn).await?)
}

/// Tells what became of the messages: all of it, or what a silent change leaves unknown.
async fn tell_own(
    selected: &Selected,
    shown: &[Shown],
    uids: Uids,
    (change, stored): (&Change, &Stored),
    turn: &mut Turn<'_, Imap>,
) -> Result<(), Gone> {
    if !change.silent {
        return updates::tell_flags(selected, shown, Telling::news(uids), turn).await;
    }
    if !turn.dialogue().enabled().contains(Enabled::CONDSTORE) {
        return Ok(());
    }
    // RFC 7162 3.1.3: of a conditional change all MODSEQs are told, and why it was not made.
    let (refused, passed) = parted(shown, &stored.refused);
    let passed = match change.unchanged_since {
        Some(_) => passed,
        None => parted(shown, &stored.changed).0,
    };
    let silently = Telling::only_modseq(uids);
    updates::tell_flags(selected, &passed, silently, turn).await?;
    updates::tell_flags(selected, &refused, Telling::news(uids), turn).await
}

/// Those of messages whose UIDs are among ascending ones, and the others.
fn parted(shown: &[Shown], uids: &[Uid]) -> (Vec<Shown>, Vec<Shown>) {
    let is_in = |message: &Shown| {
        let found = uids.binary_search_by_key(&message.uid, |uid| uid.number());
        found.is_ok()
    };
    shown.iter().copied().partition(is_in)
}

/// RFC 7162 3.1.3: messages that were left alone, as the command names them.
fn modified(shown: &[Shown], stored: &Stored, uids: Uids) -> Option<Code> {
    let (refused, _) = parted(shown, &stored.refused);
    let numbers = refused.iter().map(|message| match uids {
        Uids::Said => message.uid,
        Uids::Silent => message.number,
    });
    (!refused.is_empty()).then(|| Code::Modified(numbers.collect()))
}

fn mode_of(mode: StoreMode) -> FlagMode {
    match mode {
        StoreMode::Replace => FlagMode::Replace,
        StoreMode::Add => FlagMode::Add,
        StoreMode::Remove => FlagMode::Remove,
    }
}
