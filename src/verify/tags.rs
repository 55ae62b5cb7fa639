//! Lists of tags, `name=value; name=value` (RFC 6376 3.2): in signatures, keys and seals. Pure.

use std::collections::BTreeMap;

/// The tags of a list. No name comes twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tags<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Tags<'a> {
    /// Reads a list, which may be folded.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut tags = BTreeMap::new();
        let mut specs = text.split(';').peekable();
        while let Some(spec) = specs.next() {
            let spec = spec.trim_matches(is_space);
            if spec.is_empty() && specs.peek().is_none() {
                break;
            }
            let (name, value) = spec.split_once('=')?;
            let name = name.trim_end_matches(is_space);
            let fit = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.bytes().all(fit) {
                return None;
            }
            let value = value.trim_start_matches(is_space);
            // RFC 6376 3.2: a list in which a name comes twice is not valid as a whole.
            if tags.insert(name, value).is_some() {
                return None;
            }
        }
        Some(Self(tags))
    }

    pub(super) fn find(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied()
    }

    /// A value without any white space in it: Base64, names, lists of names.
    pub(super) fn compact(&self, name: &str) -> Option<String> {
        let value = self.find(name)?;
        Some(value.chars().filter(|c| !is_space(*c)).collect())
    }

    /// A decimal number.
    pub(super) fn number(&self, name: &str) -> Option<Result<u64, ()>> {
        let value = self.compact(name)?;
        let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        Some(match digits {
            // RFC 6376 3.5: up to 76 digits; what is beyond our numbers is as good as endless.
            true if value.len() <= 76 => Ok(value.parse().unwrap_or(u64::MAX)),
            _ => Err(()),
        })
    }
}

/// Folding white space.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_6376_3_2_lists_of_tags() {
        let tags = Tags::parse(" v = 1;\r\n\ta=rsa-sha256; b = a b\r\n c= ;t=12 ; ").unwrap();
        assert_eq!(tags.find("v"), Some("1"));
        assert_eq!(tags.compact("b").as_deref(), Some("abc="));
        assert_eq!(tags.number("t"), Some(Ok(12)));
        assert_eq!(tags.number("a"), Some(Err(())));
        assert_eq!(tags.find("x"), None);
        for bad in ["a=1; a=2", "a", "=1", "a=1;;b=2", "1a=2", "a b=2"] {
            assert_eq!(Tags::parse(bad), None, "{bad}");
        }
        assert!(Tags::parse("").is_some());
        assert!(Tags::parse("a=").is_some());
    }
}
