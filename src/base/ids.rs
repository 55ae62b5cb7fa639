//! Identifiers shared by several floors, as types that cannot be mixed up.

use std::{fmt, num::NonZeroU32, str::FromStr};

use super::{clock::Timestamp, random::Random};

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// An account of this installation; assigned by a counter, never reused.
    AccountId
);
number_id!(
    /// A mailbox within one account; assigned by a counter, never reused, kept by RENAME.
    MailboxId
);
number_id!(
    /// A stored email within one account; COPY keeps it.
    EmailId
);
number_id!(
    /// Modification sequence of one account: each change takes the next number (RFC 7162).
    ModSeq
);

/// What a right password proves: whose it is, and which of the account's credentials it was checked
/// against. It holds until they change (AUTH-06).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Whose.
    pub account: AccountId,
    /// The number of the credentials; every change of them takes the next.
    pub credentials: u64,
}

/// Unique identifier of a message within a mailbox (RFC 3501 2.3.1.1): never zero, only rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub NonZeroU32);

impl Uid {
    /// The UID with this number; `None` for zero.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number.
    pub fn number(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Sixteen bytes that sort by time of making and are unique everywhere: 48 bits of milliseconds,
/// then 80 random bits. Shown as 26 characters of Crockford's base32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SortedId([u8; 16]);

impl SortedId {
    /// A fresh identifier.
    pub fn fresh(now: Timestamp, random: &Random) -> Self {
        let mut bytes = random.bytes::<16>();
        bytes[..6].copy_from_slice(&now.0.to_be_bytes()[2..]);
        Self(bytes)
    }

    /// From its stored bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// As stored: big-endian, so byte order is age order.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// When it was made, to the millisecond.
    pub fn time(&self) -> Timestamp {
        Timestamp(
            self.0
                .iter()
                .take(6)
                .fold(0, |at, byte| at << 8 | u64::from(*byte)),
        )
    }

    /// The id right behind this one.
    #[must_use]
    pub fn successor(self) -> Self {
        Self(u128::from_be_bytes(self.0).saturating_add(1).to_be_bytes())
    }
}

const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl fmt::Display for SortedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u128::from_be_bytes(self.0);
        let mut text = [0_u8; 26];
        for place in text.iter_mut().rev() {
            *place = BASE32[usize::try_from(rest & 31).unwrap_or(0)];
            rest >>= 5;
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for SortedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not an identifier: it needs 26 characters of lower-case Crockford base32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: 26 characters of 0-9 and a-z without i, l, o, u are needed")]
pub struct NotAnId;

impl FromStr for SortedId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text.len() != 26 {
            return Err(NotAnId);
        }
        let mut value: u128 = 0;
        for byte in text.bytes() {
            let byte = byte.to_ascii_lowercase();
            let digit = BASE32.iter().position(|b| *b == byte).ok_or(NotAnId)?;
            if value >> 123 != 0 {
                return Err(NotAnId);
            }
            value = value << 5 | u128::try_from(digit).map_err(|_| NotAnId)?;
        }
        Ok(Self(value.to_be_bytes()))
    }
}

/// Names one stored body (message bytes) in the store.
pub type BlobId = SortedId;

/// Names one message from its acceptance to the last reply about it; the id in the mail log, in the
/// Received field, in the 250 reply and in `buzon queue`.
pub type MessageId = SortedId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_ids_sort_by_time_and_survive_their_text() {
        let random = Random::seeded(1);
        let early = SortedId::fresh(Timestamp(1_000), &random);
        let late = SortedId::fresh(Timestamp(1_001), &random);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
        assert_eq!("short".parse::<SortedId>(), Err(NotAnId));
        assert_eq!(
            "zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<SortedId>(),
            Err(NotAnId)
        );
        assert_eq!(Uid::new(0), None);
    }
}
