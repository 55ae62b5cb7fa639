//! SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS (RFC 4314 3).
//!
//! Identifiers are `anyone` and the names that accounts log in with; what is answered is the
//! account's first address. Who is no account here has no rights to be told of, and the words for
//! that are no other than a sender of mail to him hears. The owner always has all rights.

use super::{
    fault::{Refusal, Stop, nonexistent, refusal_of, stop},
    place::{self, Place},
    session::{Account, Outcome},
};
use crate::{
    imap::proto::{
        acl::{Identifier as Said, RightsChange, Sign},
        dialog::Imap,
        response::{Code, Response},
    },
    mailbox::{AclChange, AclMode, Identifier, Rights},
    net::Turn,
};

/// SETACL.
pub(super) async fn set(
    account: Account<'_>,
    mailbox: &str,
    said: &Said,
    change: &RightsChange,
) -> Result<Outcome, Stop> {
    // RFC 4314 3.1: a right that is unknown is a BAD.
    let Ok(rights) = Rights::parse(&change.letters) else {
        return Ok(Err(Refusal::bad("the rights are l r s w i p k x t e a")));
    };
    let mode = match change.sign {
        Sign::None => AclMode::Replace,
        Sign::Plus => AclMode::Add,
        Sign::Minus => AclMode::Remove,
    };
    change_of(account, mailbox, said, (mode, rights)).await
}

/// DELETEACL.
pub(super) async fn delete(
    account: Account<'_>,
    mailbox: &str,
    said: &Said,
) -> Result<Outcome, Stop> {
    change_of(account, mailbox, said, (AclMode::Replace, Rights::NONE)).await
}

/// A mailbox whose rights the client may change, and whose rights there it asks about.
async fn administered(
    account: Account<'_>,
    mailbox: &str,
    said: &Said,
) -> Result<Result<(Place, Identifier), Refusal>, Stop> {
    let place = match place::find_with(account, mailbox, Rights::ADMINISTER).await? {
        Ok(place) => place,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let who = identified(account, said);
    Ok(who.map(|who| (place, who)).ok_or_else(unknown))
}

async fn change_of(
    account: Account<'_>,
    mailbox: &str,
    said: &Said,
    (mode, rights): (AclMode, Rights),
) -> Result<Outcome, Stop> {
    let (place, who) = match administered(account, mailbox, said).await? {
        Ok(found) => found,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if who == Identifier::Account(place.owner) {
        let takes_nothing = match mode {
            AclMode::Replace => rights == Rights::ALL,
            AclMode::Add => true,
            AclMode::Remove => rights.is_empty(),
        };
        return Ok(match takes_nothing && !said.negative {
            true => Ok(None),
            false => Err(Refusal::no(Code::Cannot, "the owner always has all rights")),
        });
    }
    let change = AclChange {
        who,
        negative: said.negative,
        mode,
        rights,
    };
    let changed = account
        .mailboxes()
        .change_acl(place.owner, place.entry.id, &change);
    Ok(match changed.await {
        Ok(()) => Ok(None),
        Err(error) => Err(refusal_of(error)?),
    })
}

/// GETACL.
pub(super) async fn get(
    account: Account<'_>,
    mailbox: &str,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    let place = match place::find_with(account, mailbox, Rights::ADMINISTER).await? {
        Ok(place) => place,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let acl = account.mailboxes().acl(place.owner, place.entry.id).await;
    let acl = acl.map_err(stop)?;
    let mut entries = Vec::new();
    if let Some(owner) = name_of(account, Identifier::Account(place.owner)) {
        entries.push((owner, Rights::ALL.to_string()));
    }
    for entry in acl.entries() {
        // Of an account that was just removed nothing is said.
        let Some(name) = name_of(account, entry.who) else {
            continue;
        };
        if !entry.granted.is_empty() {
            entries.push((name.clone(), entry.granted.to_string()));
        }
        if !entry.denied.is_empty() {
            entries.push((format!("-{name}"), entry.denied.to_string()));
        }
    }
    let name = place.name.as_str().to_owned();
    turn.reply(&Response::Acl { name, entries }).await?;
    Ok(Ok(None))
}

/// LISTRIGHTS.
pub(super) async fn list(
    account: Account<'_>,
    mailbox: &str,
    said: &Said,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    let (place, who) = match administered(account, mailbox, said).await? {
        Ok(found) => found,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let is_owner = who == Identifier::Account(place.owner);
    let (required, optional) = match (is_owner, said.negative) {
        (true, false) => (Rights::ALL.to_string(), Vec::new()),
        (true, true) => (String::new(), Vec::new()),
        // No rights are tied together. RFC 4314 2.1.1: c and d are said, too.
        (false, _) => {
            let all = Rights::LETTERS.into_iter().chain(Rights::OBSOLETE);
            let letters = all.map(|(_, letter)| letter.to_string());
            (String::new(), letters.collect())
        }
    };
    let listed = Response::ListRights {
        name: place.name.as_str().to_owned(),
        // RFC 4314 3.4: the same form as the client's.
        identifier: said.said(),
        required,
        optional,
    };
    turn.reply(&listed).await?;
    Ok(Ok(None))
}

/// MYRIGHTS.
pub(super) async fn mine(
    account: Account<'_>,
    mailbox: &str,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    let place = place::find(account, mailbox).await?;
    let Some(place) = place.filter(|place| place.rights.intersects(TELLING)) else {
        return Ok(Err(nonexistent()));
    };
    turn.reply(&rights_of(&place)).await?;
    Ok(Ok(None))
}

/// What MYRIGHTS says of a mailbox.
pub(super) fn rights_of(place: &Place) -> Response {
    Response::MyRights {
        name: place.name.as_str().to_owned(),
        rights: place.rights.to_string(),
    }
}

/// RFC 4314 4: who has one of these is told what he has.
const TELLING: Rights = Rights::LOOKUP
    .union(Rights::READ)
    .union(Rights::INSERT)
    .union(Rights::CREATE)
    .union(Rights::DELETE_MAILBOX)
    .union(Rights::ADMINISTER);

/// RFC 4314 2: identifiers that have a meaning here.
fn identified(account: Account<'_>, said: &Said) -> Option<Identifier> {
    if said.name == ANYONE {
        return Some(Identifier::Anyone);
    }
    account
        .services
        .people
        .account(&said.name)
        .map(Identifier::Account)
}

fn name_of(account: Account<'_>, who: Identifier) -> Option<String> {
    match who {
        Identifier::Anyone => Some(ANYONE.to_owned()),
        Identifier::Account(id) => Some(account.services.people.person(id)?.address),
    }
}

/// RFC 4314 2: everybody who logs in.
const ANYONE: &str = "anyone";

fn unknown() -> Refusal {
    Refusal::no(Code::Cannot, "there is no such user here")
}
