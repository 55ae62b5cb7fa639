//! Identifiers that outlive names and numbers: of mailboxes, emails and threads (RFC 8474).
//!
//! Pure. An id begins with a letter for its kind, so ids of two kinds never meet. A mailbox is told
//! by account, number and UIDVALIDITY, because an INBOX that began anew is another mailbox to
//! clients. An email is told by its stored body, which COPY and MOVE keep, to other accounts too.
//! A thread is told by the id of the message that began it, so nobody has to know the others of it.

use std::fmt;

use ring::digest::{SHA256, digest};

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

    /// THREADID of the thread that the message with this id began; without one the message is a
    /// thread of its own. The account is not in it: emails with one EMAILID have one THREADID (RFC
    /// 8474 5.2), in whosever mailbox they are.
    pub fn thread(first: Option<&[u8]>, blob: BlobId) -> Self {
        let Some(first) = first else {
            return Self(format!("T{blob}"));
        };
        let digest = digest(&SHA256, first);
        let bytes = digest.as_ref().iter().take(THREAD_BYTES);
        let text: String = bytes.map(|byte| format!("{byte:02x}")).collect();
        Self(format!("T{text}"))
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

/// Of a digest: nobody finds two ids with these in common.
const THREAD_BYTES: usize = 16;

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
        let blob = BlobId::from_bytes([255; 16]);
        let thread = ObjectId::thread(Some(b"\xff a@b"), blob);
        let alone = ObjectId::thread(None, blob);
        assert_ne!(thread, alone);
        assert_ne!(thread, ObjectId::thread(Some(b"a@b"), blob));
        for (id, kind) in [(most, 'F'), (email, 'M'), (thread, 'T'), (alone, 'T')] {
            let id = id.as_str();
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            assert!(id.len() <= 255 && id.chars().all(allowed), "{id}");
            assert!(id.starts_with(kind), "{id}");
        }
    }
}
