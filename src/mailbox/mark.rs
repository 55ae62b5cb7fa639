//! Sweep marks: what lost a place in a mailbox and may have lost its last one.
//!
//! Pure. Marks are written by the change itself, so that nothing is forgotten in a crash, and read
//! by the sweep when they are old enough that no session shows what they name.

use super::{
    codec::{Reader, Undecodable, put_number, put_step},
    limits::VALUE_BYTES_MAX,
};
use crate::base::{clock::Timestamp, ids::MailboxId};

/// What a mark says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// These emails were expunged from a mailbox.
    Emails(Timestamp, Vec<u64>),
    /// This mailbox was deleted, with all that was in it.
    Mailbox(Timestamp, MailboxId),
}

const VERSION: u8 = 1;
const EMAILS: u8 = 1;
const MAILBOX: u8 = 2;
/// Emails of one mark: at most ten bytes each.
const EMAILS_MAX: usize = VALUE_BYTES_MAX / 10 - 8;

/// The values of marks for these emails.
pub(super) fn of_emails(now: Timestamp, emails: &[u64]) -> Vec<Vec<u8>> {
    let marks = emails.chunks(EMAILS_MAX).map(|emails| {
        let mut out = vec![VERSION, EMAILS];
        put_number(&mut out, now.0);
        put_number(&mut out, emails.len() as u64);
        let mut before = 0;
        for email in emails {
            put_step(&mut out, before, *email);
            before = *email;
        }
        out
    });
    marks.collect()
}

/// The value of a mark for a deleted mailbox.
pub(super) fn of_mailbox(now: Timestamp, mailbox: MailboxId) -> Vec<u8> {
    let mut out = vec![VERSION, MAILBOX];
    put_number(&mut out, now.0);
    put_number(&mut out, mailbox.0);
    out
}

impl Mark {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != VERSION {
            return Err(Undecodable);
        }
        let kind = reader.byte()?;
        let at = Timestamp(reader.number()?);
        let mark = match kind {
            EMAILS => {
                let mut emails = Vec::new();
                let mut before = 0;
                for _ in 0..reader.count(1)? {
                    before = reader.step(before)?;
                    emails.push(before);
                }
                Self::Emails(at, emails)
            }
            MAILBOX => Self::Mailbox(at, MailboxId(reader.number()?)),
            _ => return Err(Undecodable),
        };
        reader.end()?;
        Ok(mark)
    }

    /// When it was written.
    pub(super) fn at(&self) -> Timestamp {
        let (Self::Emails(at, _) | Self::Mailbox(at, _)) = self;
        *at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn marks_survive_and_fit(
            at in any::<u64>(), emails in prop::collection::vec(any::<u64>(), 0..9000),
        ) {
            let at = Timestamp(at);
            let mut found = Vec::new();
            for value in of_emails(at, &emails) {
                prop_assert!(value.len() <= VALUE_BYTES_MAX);
                match Mark::decode(&value) {
                    Ok(Mark::Emails(then, part)) if then == at => found.extend(part),
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            prop_assert_eq!(found, emails);
            let deleted = Mark::Mailbox(at, MailboxId(at.0));
            prop_assert_eq!(Mark::decode(&of_mailbox(at, MailboxId(at.0))), Ok(deleted));
        }

        #[test]
        fn dur_10_any_bytes_are_decoded_without_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let _ = Mark::decode(&bytes);
            let _ = Mark::decode(&[&[VERSION, EMAILS][..], &bytes].concat());
        }
    }
}
