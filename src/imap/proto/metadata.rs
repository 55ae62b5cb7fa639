//! What GETMETADATA asks for (RFC 5464 4.2).

/// How far below a name entries are asked for (RFC 5464 4.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// `0`: only the entry of this name.
    #[default]
    Zero,
    /// `1`: those directly below it, too.
    One,
    /// `infinity`: all below it, too.
    Infinity,
}

/// Which entries are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataQuery {
    /// Names, as they were spelled; at least one (LIM-27).
    pub entries: Vec<String>,
    /// How far below them.
    pub depth: Depth,
    /// Longer values are left out.
    pub size_max: Option<u32>,
}
