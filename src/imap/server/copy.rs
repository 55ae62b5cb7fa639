//! COPY and MOVE.
//!
//! RFC 3501 6.4.7, RFC 6851, RFC 4315 3. A COPY happens whole or not at all; a message that moves
//! is in the source or in the target at any time (RFC 6851 3.3). Messages that another session has
//! removed meanwhile are passed over by the UID commands; by number, nothing is done then (RFC 2180
//! 4.4.1). MESSAGELIMIT refuses a COPY and cuts a MOVE (RFC 9738 3.1).

use super::{
    fault::{Refusal, Stop, target_refusal_of},
    lookup, message_limit, place,
    select::{Selected, Uids, Which, uids_of},
    session::{Account, Outcome},
};
use crate::{
    base::ids::Uid,
    imap::proto::{
        dialog::Imap,
        response::{Code, Response},
    },
    mailbox::Copied,
    net::Turn,
};

/// COPY and UID COPY.
pub(super) async fn copy(
    account: Account<'_>,
    selected: &Selected,
    which: &Which,
    target: &str,
) -> Result<Outcome, Stop> {
    let mut uids = match chosen(selected, which).await? {
        Ok(uids) => uids,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(cut) = which.limit.cut(&mut uids, |uid| uid.number()) {
        // RFC 9738 3.1: a COPY is whole or not at all.
        return Ok(Err(cut.refusal()));
    }
    let target = match place::target(account, target).await? {
        Ok(target) => target,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if uids.is_empty() {
        return Ok(Ok(None));
    }
    let target = target.target(account);
    Ok(match selected.mailbox.copy(&uids, &target).await {
        Ok(copied) => Ok(code_of(&copied)),
        Err(error) => Err(target_refusal_of(error, &target)?),
    })
}

/// MOVE and UID MOVE.
pub(super) async fn move_away(
    account: Account<'_>,
    selected: &Selected,
    which: &Which,
    target: &str,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    let mut uids = match chosen(selected, which).await? {
        Ok(uids) => uids,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let target = match place::target(account, target).await? {
        Ok(target) => target,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if uids.is_empty() {
        return Ok(Ok(None));
    }
    let target = target.target(account);
    let cut = which.limit.cut(&mut uids, |uid| uid.number());
    let copied = match selected.mailbox.move_away(&uids, &target).await {
        Ok(copied) => copied,
        Err(error) => return Ok(Err(target_refusal_of(error, &target)?)),
    };
    if let Some(code) = code_of(&copied) {
        // RFC 6851 4.3: the client learns the new UIDs before the EXPUNGE responses.
        turn.reply(&Response::note(code, "moved")).await?;
    }
    Ok(message_limit::conclude(cut, Ok(None), turn).await?)
}

/// The messages a command is about that are still there.
async fn chosen(selected: &Selected, which: &Which) -> Result<Result<Vec<Uid>, Refusal>, Stop> {
    let shown = match selected.shown(which) {
        Ok(shown) => shown,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Err(refusal) = selected.refresh().await? {
        return Ok(Err(refusal));
    }
    let mut present = uids_of(&shown);
    selected
        .mailbox
        .read(|index| lookup::keep(index, &mut present, |_| true));
    if which.uids == Uids::Silent && present.len() < shown.len() {
        let text = "some of the messages are gone; nothing was done";
        return Ok(Err(Refusal::no(Code::ExpungeIssued, text)));
    }
    Ok(Ok(present))
}

/// RFC 4315 3: nothing is said when nothing was copied.
fn code_of(copied: &Copied) -> Option<Code> {
    let numbers = |uids: &[Uid]| uids.iter().map(|uid| uid.number()).collect();
    (!copied.from.is_empty()).then(|| Code::CopyUid {
        uid_validity: copied.uid_validity,
        from: numbers(&copied.from),
        to: numbers(&copied.to),
    })
}
