//! GETQUOTA, GETQUOTAROOT and SETQUOTA: what an account may hold, and what it holds.
//!
//! RFC 9208. An account has one quota root, named by the empty string, for all of its mailboxes,
//! and one resource, STORAGE. An account without a bound has no root: there is no limit to tell.
//! Limits are the operator's to set.

use super::{
    fault::{Refusal, Stop, stop},
    place,
    session::{Account, Outcome},
};
use crate::{
    imap::proto::{
        dialog::Imap,
        response::{Code, Response},
    },
    mailbox::Rights,
    net::Turn,
};

/// GETQUOTA.
pub(super) async fn of_root(
    account: Account<'_>,
    root: &[u8],
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    let known = root
        .is_empty()
        .then_some(account.quota_bytes_of(account.id()))
        .flatten();
    let Some(limit) = known else {
        return Ok(Err(Refusal::no(Code::NonExistent, "no such quota root")));
    };
    tell(account, limit, turn).await?;
    Ok(Ok(None))
}

/// GETQUOTAROOT. RFC 9208 4.1.2: the mailbox need not exist.
pub(super) async fn of_mailbox(
    account: Account<'_>,
    mailbox: String,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    // What others may hold is not told (RFC 9208 8).
    let found = place::find(account, &mailbox).await?;
    // RFC 4314 6: what may not be seen is as absent.
    let seen = found.filter(|place| place.rights.contains(Rights::LOOKUP));
    let is_own = seen.is_none_or(|place| place.owner == account.id());
    let limit = account.quota_bytes_of(account.id()).filter(|_| is_own);
    let has_root = limit.is_some();
    turn.reply(&Response::QuotaRoot { mailbox, has_root })
        .await?;
    if let Some(limit) = limit {
        tell(account, limit, turn).await?;
    }
    Ok(Ok(None))
}

/// SETQUOTA, which is not announced (QUOTASET).
pub(super) fn set() -> Outcome {
    Err(Refusal::no(Code::NoPerm, "quotas are set by the operator"))
}

async fn tell(account: Account<'_>, limit: u64, turn: &mut Turn<'_, Imap>) -> Result<(), Stop> {
    let used = account.mailboxes().used_bytes(account.id()).await;
    // RFC 9208 5.1: units of 1024 octets.
    turn.reply(&Response::Quota {
        used: used.map_err(stop)?.div_ceil(1024),
        limit: limit / 1024,
    })
    .await?;
    Ok(())
}
