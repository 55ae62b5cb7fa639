//! NOTIFY (RFC 5465): what a client wants to hear of at any time.
//!
//! Pure values. Which mailboxes a filter leads to, and who may hear of them, is the server's to
//! say.

use super::{fetch::FetchItem, sources::Source};

/// NOTIFY SET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// RFC 5465 3.1: the state of each mailbox is told at once.
    pub status: bool,
    /// What of the selected mailbox; nothing when it was not named.
    pub selected: SelectedEvents,
    /// What of which others, as they were named.
    pub groups: Vec<Group>,
}

/// What of the selected mailbox is told (RFC 5465 6.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectedEvents {
    /// RFC 5465 6.1.2: EXPUNGE waits for a command that allows it.
    pub delayed: bool,
    /// Which.
    pub events: Events,
    /// What is told of new messages.
    pub items: Vec<FetchItem>,
}

/// `event-group` of mailboxes that are not selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Which mailboxes.
    pub source: Source,
    /// What of them.
    pub events: Events,
}

/// A set of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(u8);

impl Events {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Messages came (RFC 5465 5.2).
    pub const MESSAGE_NEW: Self = Self(1);
    /// Messages went (RFC 5465 5.3).
    pub const MESSAGE_EXPUNGE: Self = Self(2);
    /// Flags changed (RFC 5465 5.1).
    pub const FLAG_CHANGE: Self = Self(4);
    /// A mailbox came, went or was renamed (RFC 5465 5.4).
    pub const MAILBOX_NAME: Self = Self(8);
    /// Subscribed or not any more (RFC 5465 5.5).
    pub const SUBSCRIPTION_CHANGE: Self = Self(16);
    /// Annotations of a mailbox changed (RFC 5465 5.6).
    pub const MAILBOX_METADATA_CHANGE: Self = Self(32);
    /// Annotations of the server changed (RFC 5465 5.7).
    pub const SERVER_METADATA_CHANGE: Self = Self(64);
    /// `message-event`
    pub const OF_MESSAGES: Self = Self(7);
    /// Those about annotations.
    pub const OF_METADATA: Self = Self(32 | 64);

    /// The event of this name, in any case of letters; none for what is not supported.
    pub fn named(name: &[u8]) -> Option<Self> {
        let known = EVENTS.into_iter().find(|(known, _)| {
            let known: &str = known;
            known.as_bytes().eq_ignore_ascii_case(name)
        });
        known.map(|(_, event)| event)
    }

    /// The names of all that are supported.
    pub fn names() -> impl Iterator<Item = &'static str> {
        EVENTS.into_iter().map(|(name, _)| name)
    }

    /// Whether all of `other` are in it.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether some of `other` are in it.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What is in either.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What is supported. AnnotationChange is of RFC 5257, which is not.
const EVENTS: [(&str, Events); 7] = [
    ("MessageNew", Events::MESSAGE_NEW),
    ("MessageExpunge", Events::MESSAGE_EXPUNGE),
    ("FlagChange", Events::FLAG_CHANGE),
    ("MailboxName", Events::MAILBOX_NAME),
    ("SubscriptionChange", Events::SUBSCRIPTION_CHANGE),
    ("MailboxMetadataChange", Events::MAILBOX_METADATA_CHANGE),
    ("ServerMetadataChange", Events::SERVER_METADATA_CHANGE),
];
