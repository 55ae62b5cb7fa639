//! What a change of a key is about, for those who listen to its account.
//!
//! It is read from keys alone, so a commit's notices are made of what it writes and need no word
//! of who made it. Keys that clients see nothing of are about nothing.

use super::{Key, space};
use crate::base::ids::{AccountId, MailboxId};

/// What changed in an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// Messages of a mailbox, or their flags.
    Messages(MailboxId),
    /// Which mailboxes there are, what they are called, who may see them, which are subscribed.
    Names,
    /// One annotation.
    Annotation {
        /// Of which mailbox; zero is the account itself.
        mailbox: MailboxId,
        /// Who may see it; zero is everybody.
        viewer: AccountId,
        /// The name of the entry.
        name: Box<str>,
    },
}

impl About {
    /// Whose key this is, which may have holes, and what it is about.
    pub fn of(key: &[u8]) -> Option<(AccountId, Self)> {
        let (&space, fields) = key.split_first()?;
        let (account, rest) = number(fields)?;
        let about = match space {
            space::LOG => Self::Messages(MailboxId(number(rest)?.0)),
            space::MAILBOX | space::MAILBOX_NAME | space::NAME_OF => Self::Names,
            space::SUBSCRIPTION | space::ACL => Self::Names,
            space::METADATA => {
                let (mailbox, rest) = number(rest)?;
                let (viewer, name) = number(rest)?;
                Self::Annotation {
                    mailbox: MailboxId(mailbox),
                    viewer: AccountId(viewer),
                    name: std::str::from_utf8(name).ok()?.into(),
                }
            }
            _ => return None,
        };
        Some((AccountId(account), about))
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

impl Key {
    /// Whose key this is, and what it is about.
    pub fn about(&self) -> Option<(AccountId, About)> {
        About::of(self.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::ids::ModSeq, store::key};

    #[test]
    fn keys_are_about_what_clients_see() {
        let (account, mailbox) = (AccountId(7), MailboxId(9));
        let annotation = About::Annotation {
            mailbox,
            viewer: AccountId(0),
            name: "/shared/comment".into(),
        };
        for (key, about) in [
            (
                key::log(account, mailbox, ModSeq(3)),
                Some(About::Messages(mailbox)),
            ),
            (key::mailbox(account, mailbox), Some(About::Names)),
            (key::mailbox_name(account, "x"), Some(About::Names)),
            (key::name_of(account, mailbox), Some(About::Names)),
            (key::acl(account, mailbox), Some(About::Names)),
            (key::subscription(account, "x"), Some(About::Names)),
            (
                key::metadata(account, mailbox, AccountId(0), "/shared/comment"),
                Some(annotation),
            ),
            (key::snapshot(account, mailbox), None),
            (key::recent(account, mailbox), None),
            (key::grant(1, account, mailbox), None),
            (key::modseq(account), None),
        ] {
            assert_eq!(key.about(), about.map(|about| (account, about)), "{key:?}");
        }
        let numbered = key::log_numbered(account, mailbox, 0);
        let expected = Some((account, About::Messages(mailbox)));
        assert_eq!(About::of(&numbered.bytes), expected);
        assert_eq!(About::of(&[]), None);
        assert_eq!(About::of(&[space::LOG, 1]), None);
    }
}
