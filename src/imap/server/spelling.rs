//! By which name a mailbox goes, told to clients of IMAP4rev2 that spelled it otherwise, or know it
//! by an older one (RFC 9051 6.3.2, 6.3.4, 6.3.9.7).
//!
//! No other names are read for it, but for what others share below.

use super::{
    fault::{Stop, stop},
    place::{self, Place},
    session::Account,
    tree::Row,
};
use crate::{
    base::text::Causes,
    imap::proto::{
        dialog::Imap,
        enabled::Enabled,
        list::{OTHER_USERS, SHARED},
        response::Response,
    },
    mailbox::Name,
    net::{Gone, Halt, Turn},
};

/// The line of one name, which the client spelled as `said`, and of what it leads to (RFC 9051
/// 6.3.2). No other names are read, but for what others share below it.
pub(super) async fn line_of(
    account: Account<'_>,
    (name, place): (&Name, Option<Place>),
    said: &str,
) -> Result<Response, Stop> {
    let row = Row {
        place,
        subscribed: false,
    };
    let old_name = Some(said).filter(|said| *said != name.as_str());
    let has_children = has_children(account, name).await?;
    Ok(row.told(name, has_children, old_name, false))
}

/// Whether LIST tells mailboxes below this name.
async fn has_children(account: Account<'_>, name: &Name) -> Result<bool, Stop> {
    let (user, mailboxes) = (account.id(), account.mailboxes());
    if mailboxes.has_below(user, name).await.map_err(stop)? {
        return Ok(true);
    }
    if !matches!(name.levels().next(), Some(OTHER_USERS | SHARED)) {
        return Ok(false);
    }
    let shared = mailboxes.shared_with(user).await.map_err(stop)?;
    let people = &*account.services.people;
    let mut shared = shared
        .into_iter()
        .filter_map(|shared| Place::shared(people, shared));
    Ok(shared.any(|place| place.name.is_under(name)))
}

/// Tells a client of IMAP4rev2 by which name a mailbox goes, where it spelled that otherwise, or
/// the name that it had until now (RFC 9051 6.3.9.7).
pub(super) async fn tell(
    account: Account<'_>,
    (old, new): (&str, &str),
    turn: &mut Turn<'_, Imap>,
) -> Result<(), Gone> {
    if !turn.dialogue().enabled().contains(Enabled::IMAP4REV2) {
        return Ok(());
    }
    // RFC 9051 6.3.4: the delimiter at the end only says what is meant to be below it.
    let spelled = |said: &str| {
        said.strip_suffix(Name::SEPARATOR)
            .unwrap_or(said)
            .to_owned()
    };
    let (old, new) = (spelled(old), spelled(new));
    let renames = old != new;
    let is_other = |said: &str| {
        Name::parse(said).is_ok_and(|name| match renames {
            // INBOX stays what it is, however it is spelled.
            true => !name.as_str().eq_ignore_ascii_case(said),
            false => name.as_str() != said,
        })
    };
    if !is_other(&old) && !is_other(&new) {
        return Ok(());
    }
    let Ok(name) = Name::parse(&new) else {
        return Ok(());
    };
    // RFC 9051 6.3.6: INBOX is there after its RENAME, so it is nothing's old name.
    let keeps_old = Name::parse(&old).is_ok_and(|name| name.is_inbox());
    let old = if renames && keeps_old { &new } else { &old };
    match spelling(account, &name, old).await {
        Ok(line) => turn.reply(&line).await,
        Err(Halt::Gone(gone)) => Err(gone),
        // What the command did is done (DUR-01): a client that hears NO does it again.
        Err(Halt::Fault(cause)) => {
            tracing::error!(error = %Causes(&cause), "what a name became cannot be told now");
            Ok(())
        }
    }
}

async fn spelling(account: Account<'_>, name: &Name, said: &str) -> Result<Response, Stop> {
    let place = place::find(account, name.as_str()).await?;
    // RFC 4314 6: what one has no right to is as absent as what is not there.
    let place = place.filter(|place| !place.rights.is_empty());
    line_of(account, (name, place), said).await
}
