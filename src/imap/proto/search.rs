//! What a SEARCH looks for (RFC 3501 6.4.4), as a tree of bounded depth and size (LIM-20).

use super::{date::Day, section::FieldName, sequence::SequenceSet};

/// A search key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchKey {
    /// Every message.
    All,
    /// All of these; several keys in a row, or in parentheses.
    And(Vec<Self>),
    /// One of the two.
    Or(Box<Self>, Box<Self>),
    /// Not this.
    Not(Box<Self>),
    /// These message numbers.
    Numbers(SequenceSet),
    /// These UIDs.
    Uid(SequenceSet),
    /// With this flag; `UNSEEN` and its like are the negation.
    Flag(SearchFlag),
    /// With this keyword.
    Keyword(String),
    /// Internal date before this day.
    Before(Day),
    /// Internal date on this day.
    On(Day),
    /// Internal date on this day or later.
    Since(Day),
    /// `Date` field before this day.
    SentBefore(Day),
    /// `Date` field on this day.
    SentOn(Day),
    /// `Date` field on this day or later.
    SentSince(Day),
    /// More octets than this.
    Larger(u32),
    /// Fewer octets than this.
    Smaller(u32),
    /// This text in an address or subject field (`FROM`, `TO`, `CC`, `BCC`, `SUBJECT`), or in any
    /// other field (`HEADER`); empty text: the field is there.
    Header(FieldName, String),
    /// This text in the body.
    Body(String),
    /// This text in the header or the body.
    Text(String),
}

/// A flag that SEARCH names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchFlag {
    /// `ANSWERED`
    Answered,
    /// `FLAGGED`
    Flagged,
    /// `DELETED`
    Deleted,
    /// `SEEN`
    Seen,
    /// `DRAFT`
    Draft,
    /// `RECENT`; `NEW` is `RECENT UNSEEN`, `OLD` is `NOT RECENT`.
    Recent,
}

/// What the texts of a search are written in (RFC 3501 6.4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charset {
    /// US-ASCII, UTF-8, or nothing said: the keys hold the texts as they are.
    Utf8,
    /// Another one; answer `NO [BADCHARSET]`, the texts of the keys mean nothing.
    Unsupported,
}
