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
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            depth: 100,
            parts: 5_000,
            parameters: 128,
            boundary_bytes: 200,
            comment_depth: 50,
            field_bytes: 128 * 1024,
            header_bytes: 1024 * 1024,
            fields: 2_000,
            addresses: 5_000,
            held_bytes: 512 * 1024,
        }
    }
}
