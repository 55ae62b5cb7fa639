//! Which mailboxes a command means that is about several (RFC 7377 2.2, RFC 5465 6).

/// One source: a mailbox or a group of them, as a client names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `selected`
    Selected,
    /// `inboxes`: where mail is delivered to; any mailbox of the account may be that.
    Inboxes,
    /// `personal`: all of the account's own.
    Personal,
    /// `subscribed`
    Subscribed,
    /// `subtree`: these and all below them.
    Subtree(Vec<String>),
    /// `subtree-one`: these and what is one level below them.
    SubtreeOne(Vec<String>),
    /// `mailboxes`: these; no wildcards.
    Mailboxes(Vec<String>),
}
