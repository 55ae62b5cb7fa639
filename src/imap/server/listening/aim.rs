//! What a client wants to hear of which mailboxes: the groups of a NOTIFY as one (RFC 5465 6).
//!
//! Pure. Several groups may be about one mailbox: what it is told of is all that they name.

use std::collections::HashMap;

use crate::{
    imap::proto::{
        list::{OTHER_USERS, SHARED},
        notify::{Events, Wishes},
        sources::Source,
    },
    mailbox::Name,
};

/// What is told of which names, but of the selected mailbox.
#[derive(Debug, Default)]
pub(super) struct Aim {
    own: Events,
    subscribed: Events,
    named: HashMap<Name, Events>,
    /// These and all below them.
    below: HashMap<Name, Events>,
    /// What is in any group.
    all: Events,
}

impl Aim {
    pub(super) fn new(wishes: &Wishes) -> Self {
        let mut aim = Self::default();
        for group in &wishes.groups {
            let events = group.events;
            let add = |known: &mut HashMap<Name, Events>, texts: &[String]| {
                for name in texts.iter().filter_map(|text| Name::parse(text).ok()) {
                    let known = known.entry(name).or_default();
                    *known = known.with(events);
                }
            };
            match &group.source {
                Source::Selected => {}
                // RFC 5465 6.3: filters of people may deliver to any.
                Source::Inboxes | Source::Personal => aim.own = aim.own.with(events),
                Source::Subscribed => aim.subscribed = aim.subscribed.with(events),
                Source::Subtree(names) | Source::SubtreeOne(names) => add(&mut aim.below, names),
                // RFC 5465 6.6: no wildcards.
                Source::Mailboxes(names) => add(&mut aim.named, names),
            }
            aim.all = aim.all.with(events);
        }
        aim
    }

    /// What is told of something of this name.
    pub(super) fn events(&self, name: &Name, is_own: bool, subscribed: bool) -> Events {
        let mut events = self.named.get(name).copied().unwrap_or_default();
        if is_own {
            events = events.with(self.own);
        }
        if subscribed {
            events = events.with(self.subscribed);
        }
        if !self.below.is_empty() {
            for top in std::iter::successors(Some(name.clone()), Name::parent) {
                events = events.with(self.below.get(&top).copied().unwrap_or_default());
            }
        }
        events
    }

    /// Whether something may be told of a mailbox of this name, subscribed or not.
    pub(super) fn reaches(&self, name: &Name, is_own: bool) -> bool {
        self.events(name, is_own, true) != Events::NONE
    }

    /// Whether it matters what is subscribed.
    pub(super) fn asks_for_subscriptions(&self) -> bool {
        self.subscribed != Events::NONE || self.all.contains(Events::SUBSCRIPTION_CHANGE)
    }

    /// What is told of anything at all.
    pub(super) fn all(&self) -> Events {
        self.all
    }
}

/// Whether a name that has no mailbox would be one of the account's own (RFC 2342 5).
pub(super) fn is_personal(name: &Name) -> bool {
    !matches!(name.levels().next(), Some(OTHER_USERS | SHARED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::proto::notify::Group;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn groups_about_one_mailbox_add_up() {
        let group = |source: Source, events: Events| Group { source, events };
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let (new, names) = (Events::OF_MESSAGES, Events::MAILBOX_NAME);
        let change = Events::SUBSCRIPTION_CHANGE;
        let aim = Aim::new(&Wishes {
            status: false,
            selected: crate::imap::proto::notify::SelectedEvents::default(),
            groups: vec![
                group(Source::Personal, names),
                group(Source::Subscribed, change),
                group(Source::Subtree(texts(&["a/b", "Shared"])), new),
                group(
                    Source::Mailboxes(texts(&["inbox", "a", "a*", "..", ""])),
                    new,
                ),
            ],
        });
        for (text, is_own, subscribed, expected) in [
            ("INBOX", true, false, names.with(new)),
            ("a", true, true, names.with(new).with(change)),
            ("a/b", true, false, names.with(new)),
            ("a/b/c/d", true, false, names.with(new)),
            ("a/bc", true, false, names),
            ("ax", true, false, names),
            ("a*", false, false, new),
            ("Shared/x@y/z", false, false, new),
            ("Other Users/x@y", false, false, Events::NONE),
            ("Other Users/x@y", false, true, change),
        ] {
            let events = aim.events(&name(text), is_own, subscribed);
            assert_eq!(events, expected, "{text}");
        }
        assert_eq!(aim.all(), names.with(new).with(change));
        assert!(!is_personal(&name("Shared/x")) && is_personal(&name("Sharedx")));
    }
}
