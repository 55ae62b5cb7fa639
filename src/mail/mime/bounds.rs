//! How much structure of a message is looked at (LIM-28, LIM-29, LIM-30).
//!
//! Beyond a bound the rest is opaque or ignored; the bytes of the message are never affected.
//! Limits on acceptance are elsewhere: they compare what a scan reports.

/// The bounds of one scan. All are finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// LIM-28: parts within parts.
    pub depth: usize,
    /// LIM-28: parts of one message.
    pub parts: usize,
    /// LIM-28: parameters of one field.
    pub parameters: usize,
    /// LIM-28: bytes of a boundary; a multipart with a longer one is opaque.
    pub boundary_bytes: usize,
    /// LIM-28: comments within comments.
    pub comment_depth: usize,
    /// LIM-29: bytes of one field.
    pub field_bytes: usize,
    /// LIM-29: bytes of one header whose fields are looked at.
    pub header_bytes: u64,
    /// LIM-29: fields of one header that are looked at.
    pub fields: u32,
    /// LIM-30: addresses of one field.
    pub addresses: usize,
    /// LIM-36: bytes of field values held for one message.
    pub held_bytes: usize,
    /// LIM-30: bytes of one envelope field that are held.
    pub envelope: EnvelopeBounds,
}

/// How much of the fields of an envelope is held. Of longer ones it is whole addresses and whole
/// message ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvelopeBounds {
    /// Date.
    pub date_bytes: usize,
    /// Subject.
    pub subject_bytes: usize,
    /// Each of the address fields.
    pub address_bytes: usize,
    /// In-Reply-To.
    pub in_reply_to_bytes: usize,
    /// Message-ID.
    pub message_id_bytes: usize,
    /// References, of which the first id and the end are held.
    pub references_bytes: usize,
}

impl EnvelopeBounds {
    /// For what is stored of every message.
    pub const SHORT: Self = Self {
        date_bytes: 250,
        subject_bytes: 4 * 1024,
        address_bytes: 32 * 1024,
        in_reply_to_bytes: 2 * 1024,
        message_id_bytes: 1_000,
        references_bytes: 12 * 1024,
    };
    /// LIM-29: fields as long as they are looked at.
    pub const WHOLE: Self = Self {
        date_bytes: FIELD_BYTES_MAX,
        subject_bytes: FIELD_BYTES_MAX,
        address_bytes: FIELD_BYTES_MAX,
        in_reply_to_bytes: FIELD_BYTES_MAX,
        message_id_bytes: FIELD_BYTES_MAX,
        // No envelope shows it.
        references_bytes: 0,
    };
}

const FIELD_BYTES_MAX: usize = 128 * 1024;
const HEADER_BYTES_MAX: usize = 1024 * 1024;

impl Bounds {
    /// For a header by itself, whose envelope fields are wanted whole.
    pub fn of_whole_envelope() -> Self {
        Self {
            // What is looked at of a header, and what joins fields that stand more than once.
            held_bytes: 2 * HEADER_BYTES_MAX,
            envelope: EnvelopeBounds::WHOLE,
            ..Self::default()
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            depth: 100,
            parts: 5_000,
            parameters: 128,
            boundary_bytes: 200,
            comment_depth: 50,
            field_bytes: FIELD_BYTES_MAX,
            header_bytes: 1024 * 1024,
            fields: 2_000,
            addresses: 5_000,
            held_bytes: 512 * 1024,
            envelope: EnvelopeBounds::SHORT,
        }
    }
}
