//! What STATUS says of a mailbox that is not selected, and which of it is news (RFC 5465 5.1 to
//! 5.3).

use super::picture::State;
use crate::{
    imap::proto::{
        notify::Events,
        response::Response,
        status::{StatusItem, StatusValue},
    },
    mailbox::{Index, Mailbox, Name},
};

impl State {
    pub(super) fn of(mailbox: &Mailbox, index: &Index) -> Self {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            uid_validity: mailbox.uid_validity(),
            uid_next: index.uid_next(),
            messages: number(index.len()),
            unseen: number(index.unseen()),
            modseq: index.modseq().0,
        }
    }

    /// Whether no message was ever in it.
    pub(super) fn is_pristine(&self) -> bool {
        self.uid_next <= 1
    }

    /// What is told of it to a client that was told of it as it was `before`.
    pub(super) fn news(
        &self,
        before: Option<Self>,
        events: Events,
        condstore: bool,
    ) -> Vec<StatusItem> {
        let old = before.filter(|before| before.uid_validity == self.uid_validity);
        let differs = |of: fn(&Self) -> u64| old.is_none_or(|old| of(&old) != of(self));
        let mut items = Vec::new();
        let messages = differs(|state| u64::from(state.uid_next))
            || differs(|state| u64::from(state.messages));
        if messages {
            items.extend([StatusItem::UidNext, StatusItem::Messages]);
        }
        let flags = events.contains(Events::FLAG_CHANGE);
        if flags && differs(|state| u64::from(state.unseen)) {
            items.push(StatusItem::Unseen);
        }
        let modseq = condstore && (messages || flags) && differs(|state| state.modseq);
        // RFC 5465 5.1: the one is told with the other.
        if old.is_none() || modseq && flags {
            items.push(StatusItem::UidValidity);
        }
        if modseq {
            items.push(StatusItem::HighestModSeq);
        }
        items
    }

    /// A STATUS response with these items.
    pub(super) fn said(&self, name: &Name, items: &[StatusItem]) -> Response {
        let value = |item: &StatusItem| -> Option<(StatusItem, StatusValue)> {
            let value = match item {
                StatusItem::Messages => u64::from(self.messages),
                StatusItem::UidNext => u64::from(self.uid_next),
                StatusItem::UidValidity => u64::from(self.uid_validity),
                StatusItem::Unseen => u64::from(self.unseen),
                StatusItem::HighestModSeq => self.modseq,
                _ => return None,
            };
            Some((*item, value.into()))
        };
        Response::Status {
            name: name.as_str().to_owned(),
            items: items.iter().filter_map(value).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_news() {
        use StatusItem::{HighestModSeq, Messages, UidNext, UidValidity, Unseen};
        let state = |uid_next, messages, unseen, modseq| State {
            uid_validity: 7,
            uid_next,
            messages,
            unseen,
            modseq,
        };
        let pair = Events::MESSAGE_NEW.with(Events::MESSAGE_EXPUNGE);
        let all = Events::OF_MESSAGES;
        let before = Some(state(5, 3, 1, 90));
        let new = State {
            uid_validity: 8,
            ..state(5, 3, 1, 90)
        };
        for (now, before, events, condstore, expected) in [
            (state(5, 3, 1, 90), before, all, true, &[][..]),
            (
                state(6, 4, 2, 91),
                before,
                pair,
                false,
                &[UidNext, Messages],
            ),
            (
                state(6, 4, 2, 91),
                before,
                all,
                false,
                &[UidNext, Messages, Unseen],
            ),
            (
                state(6, 4, 2, 91),
                before,
                pair,
                true,
                &[UidNext, Messages, HighestModSeq],
            ),
            (
                state(5, 2, 1, 91),
                before,
                pair,
                false,
                &[UidNext, Messages],
            ),
            (state(5, 3, 0, 91), before, pair, true, &[]),
            (state(5, 3, 0, 91), before, all, false, &[Unseen]),
            (state(5, 3, 1, 91), before, all, false, &[]),
            (
                state(5, 3, 1, 91),
                before,
                all,
                true,
                &[UidValidity, HighestModSeq],
            ),
            (new, before, pair, false, &[UidNext, Messages, UidValidity]),
            (
                new,
                None,
                all,
                true,
                &[UidNext, Messages, Unseen, UidValidity, HighestModSeq],
            ),
        ] {
            let news = now.news(before, events, condstore);
            assert_eq!(news, expected, "{now:?} {before:?} {events:?} {condstore}");
        }
    }
}
