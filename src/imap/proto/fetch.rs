//! What a FETCH asks for (RFC 3501 6.4.5).

use super::{
    search::PartialRange,
    section::{Partial, Section},
};
use crate::base::ids::ModSeq;

/// One data item of a FETCH; macros are already spelled out, and no item comes twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchItem {
    /// `ENVELOPE`
    Envelope,
    /// `FLAGS`
    Flags,
    /// `INTERNALDATE`
    InternalDate,
    /// `RFC822`: as `BODY[]`, sets `\Seen`.
    Rfc822,
    /// `RFC822.HEADER`: as `BODY.PEEK[HEADER]`.
    Rfc822Header,
    /// `RFC822.SIZE`
    Rfc822Size,
    /// `RFC822.TEXT`: as `BODY[TEXT]`, sets `\Seen`.
    Rfc822Text,
    /// `BODY`: the structure without extension data.
    Body,
    /// `BODYSTRUCTURE`
    BodyStructure,
    /// `SAVEDATE` (RFC 8514)
    SaveDate,
    /// `EMAILID` (RFC 8474)
    EmailId,
    /// `THREADID` (RFC 8474)
    ThreadId,
    /// `PREVIEW`, lazy or not (RFC 8970)
    Preview,
    /// `UID`
    Uid,
    /// `MODSEQ` (RFC 7162 3.1.4.2)
    ModSeq,
    /// `BODY[...]<...>`, `BODY.PEEK[...]<...>`
    Section {
        /// Which.
        section: Section,
        /// Which octets of it.
        partial: Option<Partial>,
        /// Leaves `\Seen` alone.
        peek: bool,
    },
    /// `BINARY[...]<...>`, `BINARY.PEEK[...]<...>` (RFC 3516 4.2)
    Binary {
        /// Part numbers from the outside in; empty for the message itself.
        path: Vec<u32>,
        /// Which octets of what it decodes to.
        partial: Option<Partial>,
        /// Leaves `\Seen` alone.
        peek: bool,
    },
    /// `BINARY.SIZE[...]` (RFC 3516 4.2)
    BinarySize {
        /// Part numbers.
        path: Vec<u32>,
    },
}

/// Of which of the messages that a FETCH names it asks (RFC 4466 2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchModifiers {
    /// Those at these places among them (RFC 9394 3.3).
    pub partial: Option<PartialRange>,
    /// Those that changed since (RFC 7162 3.1.4.1).
    pub changed_since: Option<ModSeq>,
    /// Also which of them are gone since (RFC 7162 3.2.6).
    pub vanished: bool,
}

impl FetchItem {
    /// Whether fetching it sets `\Seen` (RFC 3501 6.4.5).
    pub fn sets_seen(&self) -> bool {
        matches!(
            self,
            Self::Rfc822
                | Self::Rfc822Text
                | Self::Section { peek: false, .. }
                | Self::Binary { peek: false, .. }
        )
    }
}
