//! What CONDSTORE and QRESYNC add to commands (RFC 7162), as values.
//!
//! Read by `parse::resync`, bounded there (LIM-38).

use super::sequence::SequenceSet;
use crate::base::ids::ModSeq;

/// Parameters of SELECT and EXAMINE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectParameters {
    /// RFC 7162 3.1.8
    pub condstore: bool,
    /// RFC 7162 3.2.5
    pub qresync: Option<Box<Qresync>>,
}

/// What a client knew of a mailbox when it was there last (RFC 7162 3.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qresync {
    /// UIDVALIDITY then.
    pub uid_validity: u32,
    /// HIGHESTMODSEQ then.
    pub modseq: ModSeq,
    /// The UIDs it knows; all of them, when nothing is said.
    pub known: Option<SequenceSet>,
    /// Some message numbers and the UIDs they had, both ascending.
    pub matches: Vec<(u32, u32)>,
}
