//! EXPUNGE, UID EXPUNGE and the end of CLOSE: what is marked `\Deleted` goes for good.
//!
//! RFC 3501 6.4.2 and 6.4.3, RFC 4315 2.1. The EXPUNGE responses are told where all changes are
//! told, before the completion.

use super::{
    fault::{Stop, forbidden, refusal_of},
    lookup, message_limit,
    select::{Selected, Which, uids_of},
    session::Outcome,
};
use crate::{
    base::ids::Uid,
    imap::proto::{dialog::Imap, enabled::Enabled},
    mailbox::{EntryRef, Rights, SystemFlags},
    net::Turn,
};

/// EXPUNGE: all messages with `\Deleted`, also those that the client was not told of yet
/// (RFC 3501 6.4.3).
pub(super) async fn expunge(selected: &Selected) -> Result<Outcome, Stop> {
    if !selected.mailbox.rights().contains(Rights::EXPUNGE) {
        return Ok(Err(forbidden()));
    }
    if let Err(refusal) = selected.refresh().await? {
        return Ok(Err(refusal));
    }
    let deleted = selected.mailbox.read(|index| {
        let mut uids = index
            .uids()
            .iter()
            .filter_map(|uid| Uid::new(*uid))
            .collect();
        lookup::keep(index, &mut uids, is_deleted);
        uids
    });
    remove(selected, &deleted).await
}

/// UID EXPUNGE: those of them that the set names (RFC 4315 2.1).
pub(super) async fn uid_expunge(
    selected: &Selected,
    which: &Which,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    if !selected.mailbox.rights().contains(Rights::EXPUNGE) {
        return Ok(Err(forbidden()));
    }
    if let Err(refusal) = selected.refresh().await? {
        return Ok(Err(refusal));
    }
    let mut uids = match selected.shown(which) {
        Ok(shown) => uids_of(&shown),
        Err(refusal) => return Ok(Err(refusal)),
    };
    selected
        .mailbox
        .read(|index| lookup::keep(index, &mut uids, is_deleted));
    // RFC 9738 3.1: those with `\Deleted` count. EXPUNGE and CLOSE have no limit.
    let cut = which.limit.cut(&mut uids, |uid| uid.number());
    let outcome = remove(selected, &uids).await?;
    match (cut, outcome) {
        (Some(cut), Ok(_)) if turn.dialogue().enabled().contains(Enabled::QRESYNC) => {
            // RFC 7162 3.2.9: the completion says HIGHESTMODSEQ.
            cut.tell(turn).await?;
            Ok(Ok(None))
        }
        (cut, Ok(code)) => Ok(message_limit::conclude(cut, Ok(code), turn).await?),
        (_, Err(refusal)) => Ok(Err(refusal)),
    }
}

/// CLOSE: an expunge, unless the mailbox may only be read (RFC 3501 6.4.2) or this user has no
/// right to one (RFC 4314 4).
pub(super) async fn close(selected: &Selected) -> Result<Outcome, Stop> {
    if selected.is_read_only() || !selected.mailbox.rights().contains(Rights::EXPUNGE) {
        return Ok(Ok(None));
    }
    expunge(selected).await
}

async fn remove(selected: &Selected, uids: &[Uid]) -> Result<Outcome, Stop> {
    if uids.is_empty() {
        return Ok(Ok(None));
    }
    Ok(match selected.mailbox.expunge(uids).await {
        Ok(_gone) => Ok(None),
        Err(error) => Err(refusal_of(error)?),
    })
}

fn is_deleted(entry: &EntryRef<'_>) -> bool {
    entry.system.contains(SystemFlags::DELETED)
}
