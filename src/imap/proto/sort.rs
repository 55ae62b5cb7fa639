//! What SORT sorts by and how THREAD threads (RFC 5256 3, RFC 5957).

/// One criterion of a SORT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortCriterion {
    /// By what.
    pub key: SortKey,
    /// Descending.
    pub reverse: bool,
}

/// What messages are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// `ARRIVAL`: internal date.
    Arrival,
    /// `CC`: mailbox of the first address.
    Cc,
    /// `DATE`: sent date.
    Date,
    /// `DISPLAYFROM`: name or address of the first author.
    DisplayFrom,
    /// `DISPLAYTO`: name or address of the first recipient.
    DisplayTo,
    /// `FROM`: mailbox of the first address.
    From,
    /// `RELEVANCY`: how relevant it is to a fuzzy search, most relevant first (RFC 6203 6).
    Relevancy,
    /// `SIZE`
    Size,
    /// `SUBJECT`: base subject.
    Subject,
    /// `TO`: mailbox of the first address.
    To,
}

impl SortKey {
    const ALL: [(&'static [u8], Self); 10] = [
        (b"ARRIVAL", Self::Arrival),
        (b"CC", Self::Cc),
        (b"DATE", Self::Date),
        (b"DISPLAYFROM", Self::DisplayFrom),
        (b"DISPLAYTO", Self::DisplayTo),
        (b"FROM", Self::From),
        (b"RELEVANCY", Self::Relevancy),
        (b"SIZE", Self::Size),
        (b"SUBJECT", Self::Subject),
        (b"TO", Self::To),
    ];

    /// The key of this name, in capitals.
    pub fn named(name: &[u8]) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name)?;
        Some(found.1)
    }
}

/// How THREAD threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    /// `ORDEREDSUBJECT`
    OrderedSubject,
    /// `REFERENCES`
    References,
}
