//! Which part of a message a FETCH asks for (RFC 3501 6.4.5, `section` of 9).

/// `BODY[...]`: a part, and which of its texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Part numbers from the outside in; empty for the message itself.
    pub path: Vec<u32>,
    /// Which text of it; `None` for all of the message, or the content of the part.
    pub text: Option<SectionText>,
}

/// The text of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SectionText {
    /// `HEADER`: the header of a message.
    Header,
    /// `HEADER.FIELDS` and `HEADER.FIELDS.NOT`: some of a message's header fields.
    HeaderFields {
        /// The names asked for.
        names: Vec<FieldName>,
        /// All fields but these.
        not: bool,
    },
    /// `TEXT`: a message without its header.
    Text,
    /// `MIME`: the header of a part; never without a path.
    Mime,
}

/// The name of a header field (RFC 5322 2.2): printable ASCII without a colon, so it can be said
/// back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName(String);

impl FieldName {
    /// The name with this spelling; `None` when it is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let valid = !text.is_empty() && text.iter().all(|b| b.is_ascii_graphic() && *b != b':');
        let name = std::str::from_utf8(text).ok()?;
        valid.then(|| Self(name.to_owned()))
    }

    /// As given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `<first.length>`: some octets of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// How many octets are left out before it.
    pub first: u64,
    /// At most how many octets; never zero.
    pub length: u64,
}
