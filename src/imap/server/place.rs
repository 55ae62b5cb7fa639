//! Where a name leads: the mailbox that a client means, whose it is, and what may be done with it.
//!
//! Every verb about a mailbox by name comes through here, and asks the [`Place`] for the right it
//! needs. What may not be known to exist is as absent as what does not (RFC 4314 6).

use super::{
    fault::{Refusal, Stop, no_target, nonexistent, stop},
    session::Account,
};
use crate::{
    base::ids::{AccountId, MailboxId},
    imap::proto::response::Code,
    mailbox::{Entry, Name, NotAName, Rights},
};

/// A mailbox that a name leads to.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Whose it is; that need not be the session's account.
    pub(super) owner: AccountId,
    /// Its name, as this session calls it.
    pub(super) name: Name,
    /// What it is to its owner.
    pub(super) entry: Entry,
    /// What the session may do with it.
    pub(super) rights: Rights,
}

impl Place {
    /// The session's own mailbox.
    pub(super) fn own(account: Account<'_>, entry: Entry) -> Self {
        Self {
            owner: account.id(),
            name: entry.name.clone(),
            entry,
            rights: Rights::ALL,
        }
    }

    /// Which mailbox of all.
    pub(super) fn id(&self) -> (AccountId, MailboxId) {
        (self.owner, self.entry.id)
    }

    /// This place, for those who have all of these rights.
    pub(super) fn with(self, needed: Rights) -> Result<Self, Refusal> {
        if self.rights.contains(needed) {
            return Ok(self);
        }
        match self.rights.contains(Rights::LOOKUP) {
            true => Err(forbidden()),
            false => Err(nonexistent()),
        }
    }
}

/// RFC 5530 NOPERM.
pub(super) fn forbidden() -> Refusal {
    Refusal::no(Code::NoPerm, "this mailbox gives you no right to do that")
}

/// The mailbox that a client calls `mailbox`; a text that cannot be a name names none.
pub(super) async fn find(account: Account<'_>, mailbox: &str) -> Result<Option<Place>, Stop> {
    let Ok(name) = Name::parse(mailbox) else {
        return Ok(None);
    };
    let found = account.mailboxes().find(account.id(), &name).await;
    Ok(found.map_err(stop)?.map(|entry| Place::own(account, entry)))
}

/// The mailbox that a client calls `mailbox`, for those who have these rights.
pub(super) async fn find_with(
    account: Account<'_>,
    mailbox: &str,
    needed: Rights,
) -> Result<Result<Place, Refusal>, Stop> {
    let found = find(account, mailbox).await?;
    Ok(found
        .ok_or_else(nonexistent)
        .and_then(|place| place.with(needed)))
}

/// The mailbox that messages go to. RFC 3501 6.3.11, 6.4.7: TRYCREATE only where CREATE can help.
pub(super) async fn target(
    account: Account<'_>,
    mailbox: &str,
) -> Result<Result<Place, Refusal>, Stop> {
    if let Err(refusal) = new_name(mailbox) {
        return Ok(Err(refusal));
    }
    let found = find(account, mailbox).await?;
    Ok(found
        .ok_or_else(no_target)
        .and_then(|place| place.with(Rights::INSERT)))
}

/// The name of something that is not there yet.
pub(super) fn new_name(mailbox: &str) -> Result<Name, Refusal> {
    Name::parse(mailbox).map_err(|error| match error {
        NotAName::Syntax => Refusal::no(
            Code::Cannot,
            "a name has no empty level, no . or .., no control character",
        ),
        NotAName::TooLong => Refusal::no(
            Code::Limit,
            "a name has at most 1000 bytes in UTF-8, 255 in a level, and 32 levels",
        ),
    })
}
