//! Identifiers and rights in commands about access control lists, as text (RFC 4314 2, 3).

/// Whom an entry of a list is for, as the client names him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identifier {
    /// His name without the dash.
    pub name: String,
    /// A dash stood before it: this is about negative rights.
    pub negative: bool,
}

/// How the rights of a SETACL change what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RightsChange {
    /// What stands before the letters.
    pub sign: Sign,
    /// Lower-case letters; perhaps none, perhaps some that name no right.
    pub letters: String,
}

/// What stands before the letters of a SETACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Nothing: they replace what is there.
    None,
    /// They are added.
    Plus,
    /// They are taken away.
    Minus,
}

impl Identifier {
    /// The identifier of this spelling.
    pub fn parse(mut text: String) -> Option<Self> {
        let negative = text.starts_with('-');
        if negative {
            text.remove(0);
        }
        let fits = !text.is_empty() && !text.chars().any(char::is_control);
        fits.then_some(Self {
            name: text,
            negative,
        })
    }

    /// As it was sent.
    pub fn said(&self) -> String {
        match self.negative {
            true => format!("-{}", self.name),
            false => self.name.clone(),
        }
    }
}

impl RightsChange {
    /// The change of this spelling. RFC 4314 2: upper-case letters are not allowed, and digits name
    /// nothing here.
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, letters) = match text.as_bytes().first() {
            Some(b'+') => (Sign::Plus, text.get(1..)?),
            Some(b'-') => (Sign::Minus, text.get(1..)?),
            _ => (Sign::None, text),
        };
        let fits = letters.bytes().all(|byte| byte.is_ascii_lowercase());
        fits.then(|| Self {
            sign,
            letters: letters.to_owned(),
        })
    }
}
