//! Verbs about mailboxes by name: CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, STATUS.
//!
//! RFC 3501 6.3.3 to 6.3.7 and 6.3.10, RFC 6154 3. What the store accepts as a name is
//! `mailbox::Name`'s to say; a name that cannot exist is refused like one that does not, except
//! where it should be made.

use super::{
    fault::{Refusal, Stop, forbidden, nonexistent, refusal_of},
    place::{self, Place, Realm, new_name},
    resync,
    select::Selected,
    session::{Account, Outcome},
};
use crate::{
    base::ids::{AccountId, MailboxId},
    imap::proto::{
        dialog::Imap,
        enabled::Enabled,
        list,
        object_id::ObjectId,
        response::{Code, Response},
        status::{StatusItem, StatusValue},
    },
    mailbox::{Mailbox, Name, Rights, SpecialUse},
    net::{Gone, Turn},
};

/// CREATE.
pub(super) async fn create(
    account: Account<'_>,
    mailbox: &str,
    special_use: Option<list::SpecialUse>,
) -> Result<Outcome, Stop> {
    let name = match new_name(mailbox) {
        Ok(name) => name,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let special_use = match special_use.map(stored_use) {
        None => None,
        Some(Some(special_use)) => Some(special_use),
        // RFC 6154 3: a use that we cannot give.
        Some(None) => {
            return Ok(Err(Refusal::no(
                Code::UseAttr,
                "this special use cannot be given",
            )));
        }
    };
    let mailboxes = account.mailboxes();
    let (owner, created) = match place::realm(account, &name).await? {
        Realm::Own(name) => {
            let created = mailboxes.create(account.id(), &name, special_use).await;
            (account.id(), created)
        }
        Realm::Of(..) if special_use.is_some() => {
            let text = "special uses are for the mailboxes of one's own";
            return Ok(Err(Refusal::no(Code::UseAttr, text)));
        }
        Realm::Of(owner, theirs) => {
            // RFC 4314 4: "k" of the mailbox above it.
            let created = mailboxes.create_as_guest(account.id(), owner, &theirs);
            (owner, created.await)
        }
        Realm::Nobody if name.levels().count() == 1 => {
            let text = "this name stands above the mailboxes of others";
            return Ok(Err(Refusal::no(Code::Cannot, text)));
        }
        // As of an account that gives no right.
        Realm::Nobody => return Ok(Err(forbidden())),
    };
    Ok(match created {
        Ok(entry) => {
            // RFC 8474 4.1
            let id = ObjectId::mailbox(owner, entry.id, entry.uid_validity);
            Ok(Some(Code::MailboxId(id)))
        }
        Err(error) => Err(refusal_of(error)?),
    })
}

/// DELETE; answers which mailbox it was.
pub(super) async fn delete(
    account: Account<'_>,
    mailbox: &str,
) -> Result<Result<(AccountId, MailboxId), Refusal>, Stop> {
    let Ok(name) = Name::parse(mailbox) else {
        return Ok(Err(nonexistent()));
    };
    let (user, mailboxes) = (account.id(), account.mailboxes());
    let (owner, deleted) = match place::realm(account, &name).await? {
        Realm::Own(name) => (user, mailboxes.delete(user, &name).await),
        // RFC 4314 4: "x" of the mailbox.
        Realm::Of(owner, theirs) => {
            let deleted = mailboxes.delete_as_guest(user, owner, &theirs);
            (owner, deleted.await)
        }
        Realm::Nobody => return Ok(Err(nonexistent())),
    };
    Ok(match deleted {
        Ok(deleted) => Ok((owner, deleted)),
        Err(error) => Err(refusal_of(error)?),
    })
}

/// RENAME.
pub(super) async fn rename(account: Account<'_>, from: &str, to: &str) -> Result<Outcome, Stop> {
    let Ok(name) = Name::parse(from) else {
        return Ok(Err(nonexistent()));
    };
    let to = match new_name(to) {
        Ok(to) => to,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (user, mailboxes) = (account.id(), account.mailboxes());
    let to = place::realm(account, &to).await?;
    match (place::realm(account, &name).await?, to) {
        (Realm::Own(from), Realm::Own(to)) => done(mailboxes.rename(user, &from, &to).await),
        // RFC 4314 4: "x" of the mailbox, and "k" of the one above its new name.
        (Realm::Of(owner, from), Realm::Of(other, to)) if owner == other => {
            let renamed = mailboxes.rename_as_guest(user, owner, &from, &to);
            done(renamed.await)
        }
        _ => {
            let place = place::find_with(account, name.as_str(), Rights::DELETE_MAILBOX).await?;
            Ok(Err(place.err().unwrap_or_else(|| {
                let text = "a mailbox stays with its account; COPY carries messages to another";
                Refusal::no(Code::Cannot, text)
            })))
        }
    }
}

/// SUBSCRIBE. RFC 3501 6.3.6: the name need not exist.
pub(super) async fn subscribe(account: Account<'_>, mailbox: &str) -> Result<Outcome, Stop> {
    match new_name(mailbox) {
        Ok(name) => done(account.mailboxes().subscribe(account.id(), &name).await),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// UNSUBSCRIBE. What is not subscribed is unsubscribed already.
pub(super) async fn unsubscribe(account: Account<'_>, mailbox: &str) -> Result<Outcome, Stop> {
    match Name::parse(mailbox) {
        Ok(name) => done(account.mailboxes().unsubscribe(account.id(), &name).await),
        Err(_) => Ok(Ok(None)),
    }
}

/// STATUS.
pub(super) async fn status(
    account: Account<'_>,
    selected: Option<&Selected>,
    mailbox: &str,
    items: &[StatusItem],
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    let place = match place::find_with(account, mailbox, Rights::READ).await? {
        Ok(place) => place,
        Err(refusal) => return Ok(Err(refusal)),
    };
    note_items(items, selected, turn).await?;
    match status_of(account, selected, &place, items).await? {
        Ok(response) => turn.reply(&response).await?,
        Err(refusal) => return Ok(Err(refusal)),
    }
    Ok(Ok(None))
}

/// RFC 7162 3.1: who asks for HIGHESTMODSEQ knows MODSEQ.
pub(super) async fn note_items(
    items: &[StatusItem],
    selected: Option<&Selected>,
    turn: &mut Turn<'_, Imap>,
) -> Result<(), Gone> {
    if items.contains(&StatusItem::HighestModSeq) {
        resync::enable(Enabled::CONDSTORE, selected, turn).await?;
    }
    Ok(())
}

/// What STATUS says of one mailbox.
pub(super) async fn status_of(
    account: Account<'_>,
    selected: Option<&Selected>,
    place: &Place,
    items: &[StatusItem],
) -> Result<Result<Response, Refusal>, Stop> {
    let mailbox = match account.mailboxes().open(place.owner, place.entry.id).await {
        Ok(mailbox) => mailbox,
        Err(error) => return Ok(Err(refusal_of(error)?)),
    };
    let recent = match selected.filter(|selected| selected.id() == place.id()) {
        // In the selected mailbox recent is what this session was told.
        Some(selected) => u64::from(selected.recent()),
        // RFC 3501 6.3.10: STATUS must not take \Recent from anybody.
        None => recent_of(&mailbox),
    };
    let items = mailbox.read(|index| {
        let value = |item: &StatusItem| match item {
            StatusItem::Messages => (index.len() as u64).into(),
            StatusItem::Recent => recent.into(),
            StatusItem::UidNext => u64::from(index.uid_next()).into(),
            StatusItem::UidValidity => u64::from(mailbox.uid_validity()).into(),
            StatusItem::Unseen => (index.unseen() as u64).into(),
            StatusItem::Size => index.bytes().into(),
            StatusItem::Deleted => index.deleted().0.into(),
            StatusItem::DeletedStorage => index.deleted().1.into(),
            StatusItem::MailboxId => StatusValue::Id(object_id(&mailbox)),
            StatusItem::HighestModSeq => index.modseq().0.into(),
            // RFC 7889 3.1: the same for all.
            StatusItem::AppendLimit => account.services.options.message_bytes_max.into(),
        };
        items.iter().map(|item| (*item, value(item))).collect()
    });
    Ok(Ok(Response::Status {
        name: place.name.as_str().to_owned(),
        items,
    }))
}

/// MAILBOXID of an open mailbox (RFC 8474 4).
pub(super) fn object_id(mailbox: &Mailbox) -> ObjectId {
    ObjectId::mailbox(mailbox.account(), mailbox.id(), mailbox.uid_validity())
}

fn recent_of(mailbox: &Mailbox) -> u64 {
    mailbox.read(|index| {
        let first = mailbox.claim_recent(index, false);
        index.positions(first, u32::MAX).len() as u64
    })
}

fn done(outcome: Result<(), crate::mailbox::ChangeError>) -> Result<Outcome, Stop> {
    Ok(match outcome {
        Ok(()) => Ok(None),
        Err(error) => Err(refusal_of(error)?),
    })
}

fn stored_use(special_use: list::SpecialUse) -> Option<SpecialUse> {
    Some(match special_use {
        list::SpecialUse::Archive => SpecialUse::Archive,
        list::SpecialUse::Drafts => SpecialUse::Drafts,
        list::SpecialUse::Junk => SpecialUse::Junk,
        list::SpecialUse::Sent => SpecialUse::Sent,
        list::SpecialUse::Trash => SpecialUse::Trash,
        list::SpecialUse::All | list::SpecialUse::Flagged => return None,
    })
}
