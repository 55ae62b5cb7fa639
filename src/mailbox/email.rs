//! What is stored of an email beside its body: which body it is, and what FETCH needs without
//! reading it.
//!
//! The facts are opaque here; the mail floor writes and reads them, and keeps them within a stored
//! value.

use bytes::Bytes;

use super::codec::{Reader, Undecodable, put_number};
use crate::base::ids::{BlobId, EmailId};

/// What is stored of an email beside its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// Its number.
    pub id: EmailId,
    /// Its body.
    pub blob: BlobId,
    /// Bytes of the body.
    pub size: u64,
    /// What FETCH needs, encoded.
    pub facts: Bytes,
}

const VERSION: u8 = 1;

/// The value of an email's record.
pub(super) fn encode(blob: BlobId, size: u64, facts: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + facts.len());
    out.push(VERSION);
    out.extend_from_slice(blob.as_bytes());
    put_number(&mut out, size);
    out.extend_from_slice(facts);
    out
}

impl Email {
    pub(super) fn decode(id: EmailId, value: &Bytes) -> Result<Self, Undecodable> {
        let mut reader = Reader::new(value);
        if reader.byte()? != VERSION {
            return Err(Undecodable);
        }
        let blob = BlobId::from_bytes(reader.array()?);
        let size = reader.number()?;
        Ok(Self {
            id,
            blob,
            size,
            facts: value.slice_ref(reader.rest()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{clock::Timestamp, random::Random},
        mail::facts::FACTS_BYTES_MAX,
    };

    #[test]
    fn records_survive_and_fit_into_a_value() {
        let blob = BlobId::fresh(Timestamp(9), &Random::seeded(3));
        for length in [0, 2_000, FACTS_BYTES_MAX] {
            let facts = vec![7; length];
            let value = Bytes::from(encode(blob, u64::MAX, &facts));
            assert!(value.len() <= 64 * 1024);
            let email = Email::decode(EmailId(5), &value).unwrap();
            assert_eq!(
                (email.id, email.blob, email.size),
                (EmailId(5), blob, u64::MAX)
            );
            assert_eq!(email.facts, facts);
        }
        let cut = Bytes::from_static(b"\x01abc");
        assert_eq!(Email::decode(EmailId(1), &cut), Err(Undecodable));
    }
}
