//! What a LIST asks for (RFC 3501 6.3.8, RFC 5258, RFC 6154) and which names a pattern means.

use super::status::StatusItem;

/// A LIST: which names, and what to say about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// What the patterns are relative to; decoded. Usually empty.
    pub reference: String,
    /// Patterns with `%` and `*`, decoded; at least one (LIM-26). One empty pattern asks for the delimiter.
    pub patterns: Vec<String>,
    /// Whether the command used a form that RFC 5258 added.
    pub extended: bool,
    /// Only subscribed names (`SUBSCRIBED`), also absent ones.
    pub select_subscribed: bool,
    /// Only names with a special use (`SPECIAL-USE`, RFC 6154 3).
    pub select_special_use: bool,
    /// Also the ancestors of selected names (`RECURSIVEMATCH`).
    pub recursive_match: bool,
    /// Say `\Subscribed`.
    pub return_subscribed: bool,
    /// Say `\HasChildren` or `\HasNoChildren`.
    pub return_children: bool,
    /// Say special uses (RFC 6154 2).
    pub return_special_use: bool,
    /// A STATUS for each name (RFC 5819); empty for none.
    pub return_status: Vec<StatusItem>,
}

/// An attribute of a name in a LIST response (RFC 3501 7.2.2, RFC 5258, RFC 6154).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// `\Noselect`
    NoSelect,
    /// `\NonExistent` (RFC 5258), includes `\Noselect`.
    NonExistent,
    /// `\Noinferiors`
    NoInferiors,
    /// `\HasChildren` (RFC 3348)
    HasChildren,
    /// `\HasNoChildren`
    HasNoChildren,
    /// `\Subscribed`
    Subscribed,
    /// What it is for.
    Use(SpecialUse),
}

impl Attribute {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSelect => "\\Noselect",
            Self::NonExistent => "\\NonExistent",
            Self::NoInferiors => "\\Noinferiors",
            Self::HasChildren => "\\HasChildren",
            Self::HasNoChildren => "\\HasNoChildren",
            Self::Subscribed => "\\Subscribed",
            Self::Use(special_use) => special_use.name(),
        }
    }
}

/// What a mailbox is for (RFC 6154 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialUse {
    /// `\All`
    All,
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Flagged`
    Flagged,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

impl SpecialUse {
    /// Every special use.
    pub const ALL: [Self; 7] = [
        Self::All,
        Self::Archive,
        Self::Drafts,
        Self::Flagged,
        Self::Junk,
        Self::Sent,
        Self::Trash,
    ];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "\\All",
            Self::Archive => "\\Archive",
            Self::Drafts => "\\Drafts",
            Self::Flagged => "\\Flagged",
            Self::Junk => "\\Junk",
            Self::Sent => "\\Sent",
            Self::Trash => "\\Trash",
        }
    }

    /// The special use of this name, in any case of letters.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.name().as_bytes().eq_ignore_ascii_case(name))
    }
}
