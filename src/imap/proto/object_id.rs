//! Identifiers that outlive names and numbers: of mailboxes, emails and threads (RFC 8474).
//!
//! Pure. An id begins with a letter for its kind, so ids of two kinds never meet. A mailbox is told
//! by account, number and UIDVALIDITY, because an INBOX that began anew is another mailbox to
//! clients. An email is told by its stored body, which COPY and MOVE keep, to other accounts too.

use std::fmt;

use crate::base::ids::{AccountId, BlobId, MailboxId};

/// An object identifier: up to 255 letters, digits, `_` and `-` (RFC 8474 7).
#[derive(Clone, PartialEq, Eq)]
pub struct ObjectId(String);

impl ObjectId {
    /// MAILBOXID of the mailbox with this UIDVALIDITY.
    pub fn mailbox(account: AccountId, mailbox: MailboxId, uid_validity: u32) -> Self {
        let (account, mailbox) = (account.0, mailbox.0);
        Self(format!("F{account:x}-{mailbox:x}-{uid_validity:x}"))
    }

    /// EMAILID of what is stored as this body.
    pub fn email(blob: BlobId) -> Self {
        Self(format!("M{blob}"))
    }

    /// As it stands in responses.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_the_grammar_and_tell_their_kinds_apart() {
        let most = ObjectId::mailbox(AccountId(u64::MAX), MailboxId(u64::MAX), u32::MAX);
        let email = ObjectId::email(BlobId::from_bytes([255; 16]));
        assert_eq!(
            ObjectId::mailbox(AccountId(1), MailboxId(26), 255).as_str(),
            "F1-1a-ff"
        );
        for (id, kind) in [(most, 'F'), (email, 'M')] {
            let id = id.as_str();
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            assert!(id.len() <= 255 && id.chars().all(allowed), "{id}");
            assert!(id.starts_with(kind), "{id}");
        }
    }
}
