//! What is in the mailboxes: as the model says, and as the server's index shows it.

use std::collections::{BTreeMap, BTreeSet};

use buzon::{base::ids::AccountId, mailbox::Name};

use crate::support::server::TestServer;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) flags: BTreeSet<String>,
    /// The email's number: what it contains. Zero until the server has shown it.
    pub(super) email: u64,
}

/// A mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mailbox {
    pub(super) uid_validity: u32,
    pub(super) uid_next: u32,
    pub(super) messages: BTreeMap<u32, Message>,
}

/// What the server has of a mailbox, with mod-sequences.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) mailbox: Mailbox,
    pub(super) highest: u64,
    pub(super) modseqs: BTreeMap<u32, u64>,
    /// What is gone, and at what mod-sequence at least.
    pub(super) gone: BTreeMap<u32, u64>,
}

/// All mailboxes that are used, by name.
pub(super) type Model = BTreeMap<&'static str, Mailbox>;

pub(super) const NAMES: [&str; 3] = ["INBOX", "Archive", "fleeting"];

/// What the server has of a mailbox; nothing when there is none.
pub(super) async fn look(server: &TestServer, account: AccountId, name: &str) -> Option<Seen> {
    let wanted = Name::parse(name).unwrap();
    let entry = server.mailboxes.find(account, &wanted).await.unwrap()?;
    let opened = server.mailboxes.open(account, entry.id).await.unwrap();
    opened.refresh().await.unwrap();
    let uid_validity = opened.uid_validity();
    Some(opened.read(|index| {
        let mut seen = Seen {
            highest: index.modseq().0,
            ..Seen::default()
        };
        seen.mailbox.uid_validity = uid_validity;
        seen.mailbox.uid_next = index.uid_next();
        for position in 0..index.len() {
            let entry = index.entry(position).unwrap();
            let system = entry.system.names().map(str::to_owned);
            let keywords = entry.keywords().map(|keyword| keyword.as_str().to_owned());
            let message = Message {
                flags: system.chain(keywords).collect(),
                email: entry.email.0,
            };
            let uid = entry.uid.number();
            seen.mailbox.messages.insert(uid, message);
            seen.modseqs.insert(uid, entry.modseq.0);
        }
        seen
    }))
}

impl Seen {
    /// What follows `self` in the same mailbox: its numbers only rise, and say what changed.
    pub(super) fn follow(&mut self, next: Self) {
        let before = std::mem::take(self);
        if before.mailbox.uid_validity != next.mailbox.uid_validity {
            assert!(next.mailbox.uid_validity > before.mailbox.uid_validity);
            *self = next;
            return;
        }
        assert!(next.highest >= before.highest, "HIGHESTMODSEQ fell");
        assert!(next.mailbox.uid_next >= before.mailbox.uid_next);
        let mut gone = before.gone;
        for (uid, message) in &before.mailbox.messages {
            let Some(now) = next.mailbox.messages.get(uid) else {
                assert!(next.highest > before.highest, "an expunge without a number");
                gone.insert(*uid, before.highest + 1);
                continue;
            };
            assert_eq!(now.email, message.email, "UID {uid} is another message");
            let (old, new) = (before.modseqs[uid], next.modseqs[uid]);
            if now.flags != message.flags {
                assert!(new > before.highest, "flags of {uid} changed unnoticed");
            }
            // A flag that came and went between two looks is a change as well.
            assert!(new == old || new > before.highest, "MODSEQ of {uid}");
        }
        for uid in next.mailbox.messages.keys() {
            if !before.mailbox.messages.contains_key(uid) {
                assert!(*uid >= before.mailbox.uid_next, "UID {uid} came late");
                assert!(next.modseqs[uid] > before.highest);
            }
        }
        assert!(next.modseqs.values().all(|modseq| *modseq <= next.highest));
        *self = Self { gone, ..next };
    }
}
