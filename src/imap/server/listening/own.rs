//! What a session does to names itself, which its client need not be told (RFC 5465 5).
//!
//! The picture of what the client knows is changed as the command says, whatever the store has by
//! now: what others did to the same names meanwhile is a difference, and told.

use super::{Listening, picture::Seen};
use crate::{
    base::ids::MailboxId,
    imap::{
        proto::command::CommandBody,
        server::{place, session::Account},
    },
    mailbox::{Name, Rights},
};

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::imap::server) enum Own {
    Created(Name),
    Deleted(Name),
    Renamed(Name, Name),
    Subscribed(Name, bool),
}

impl Own {
    /// What this command will have done, if it is of that kind.
    pub(in crate::imap::server) fn of(body: &CommandBody) -> Option<Self> {
        let name = |text: &str| Name::parse(text).ok();
        Some(match body {
            CommandBody::Create { mailbox, .. } => Self::Created(name(mailbox)?),
            CommandBody::Delete { mailbox } => Self::Deleted(name(mailbox)?),
            CommandBody::Rename { from, to } => Self::Renamed(name(from)?, name(to)?),
            CommandBody::Subscribe { mailbox } => Self::Subscribed(name(mailbox)?, true),
            CommandBody::Unsubscribe { mailbox } => Self::Subscribed(name(mailbox)?, false),
            _ => return None,
        })
    }
}

impl Listening {
    /// The session has done this.
    pub(in crate::imap::server) async fn note_own(&mut self, account: Account<'_>, own: Own) {
        match own {
            Own::Created(name) => self.note_created(account, name).await,
            Own::Deleted(name) => self.picture.remove(&name),
            // RFC 5465 5.4: INBOX is there as before.
            Own::Renamed(from, to) if from.is_inbox() => self.note_created(account, to).await,
            Own::Renamed(from, to) => self.picture.rename(&from, &to),
            Own::Subscribed(name, is) if self.aim.asks_for_subscriptions() => {
                self.picture.subscribe(&name, is);
            }
            Own::Subscribed(..) => {}
        }
    }

    async fn note_created(&mut self, account: Account<'_>, name: Name) {
        // Who cannot be sure is told by the next look.
        let Ok(place) = place::find(account, name.as_str()).await else {
            return;
        };
        let nobody = (account.id(), MailboxId(u64::MAX));
        let seen = Seen {
            id: place.as_ref().map_or(nobody, place::Place::id),
            is_own: place
                .as_ref()
                .is_none_or(|place| place.owner == account.id()),
            uid_validity: place.as_ref().map_or(0, |place| place.entry.uid_validity),
            readable: place.is_none_or(|place| place.rights.contains(Rights::READ)),
            name,
            told: None,
        };
        if self.aim.reaches(&seen.name, seen.is_own) {
            self.picture.add(seen);
        }
    }
}
