//! One mailbox as a search sees it: what is there, and which message has which number.

use super::{search_key::Ground, select::Selected};
use crate::{
    base::clock::Timestamp,
    imap::{
        proto::{search::SearchKey, sequence::SequenceSet},
        view::View,
    },
    mailbox::Mailbox,
};

/// A mailbox to be searched.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) mailbox: &'a Mailbox,
    pub(super) view: &'a View,
    /// What `$` stands for.
    pub(super) saved: &'a SequenceSet,
}

impl Scope<'_> {
    /// What is looked for now, for a search that is kept current: the key, and what `$` in it
    /// stands for.
    pub(super) fn fixed(&self, key: &SearchKey, now: Timestamp) -> (SearchKey, SequenceSet) {
        let saved = match key.any(|key| *key == SearchKey::Saved) {
            true => self.saved.clone(),
            false => SequenceSet::of_ranges(Vec::new()),
        };
        (key.fixed(self.ground(now)), saved)
    }

    /// What keys refer to.
    pub(super) fn ground(&self, now: Timestamp) -> Ground<'_> {
        Ground {
            uids: self.view.uids(),
            saved: self.saved,
            now,
        }
    }
}

impl Selected {
    /// The selected mailbox, as its client knows it.
    pub(super) fn scope(&self) -> Scope<'_> {
        Scope {
            mailbox: &self.mailbox,
            view: &self.view,
            saved: &self.saved,
        }
    }
}
