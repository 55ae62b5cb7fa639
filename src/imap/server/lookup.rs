//! Finding the messages of a view in the shared index, which may have moved on.

use crate::{
    base::ids::Uid,
    mailbox::{EntryRef, Index},
};

/// Finds messages by ascending UID: usually the next one asked for is the next one there.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    next: usize,
}

impl Cursor {
    /// The message with this UID, when it is there.
    pub(super) fn seek<'i>(&mut self, index: &'i Index, uid: u32) -> Option<EntryRef<'i>> {
        let uid = Uid::new(uid)?;
        let position = match index.uid_at(self.next) {
            Some(there) if there == uid => self.next,
            _ => index.position(uid)?,
        };
        self.next = position + 1;
        index.entry(position)
    }
}

/// The message with this UID, when it is there.
pub(super) fn find(index: &Index, uid: u32) -> Option<EntryRef<'_>> {
    Cursor::default().seek(index, uid)
}

/// Keeps the UIDs of messages that are there and `fits`.
pub(super) fn keep(index: &Index, uids: &mut Vec<Uid>, fits: impl Fn(&EntryRef<'_>) -> bool) {
    let mut cursor = Cursor::default();
    uids.retain(|uid| {
        cursor
            .seek(index, uid.number())
            .is_some_and(|entry| fits(&entry))
    });
}
