//! Entry
use super::name::Name;
use crate::base::ids::MailboxId;

/// What a mailbox is for (RFC 6154 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpecialUse {
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

/// A mailbox of an account, as LIST and SELECT need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number; kept by RENAME.
    pub id: MailboxId,
    /// Its name.
    pub name: Name,
    /// RFC 3501 2.3.1.1.
    pub uid_validity: u32,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
}
