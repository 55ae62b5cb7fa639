//! Where in the file a key stands, so that an error found later still carries a line.

use toml::de::{DeTable, DeValue};

/// The line (from 1) of `key`, dotted as in error messages; `None` when the file does not set it.
pub fn line_of(text: &str, key: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let offset = offset_of(table.get_ref(), key)?;
    Some(text.get(..offset)?.matches('\n').count() + 1)
}

/// Names may have dots themselves: the longest that is there is meant.
fn offset_of(table: &DeTable<'_>, key: &str) -> Option<usize> {
    let fits = |name: &str| {
        let rest = key.strip_prefix(name)?;
        rest.is_empty()
            .then_some("")
            .or_else(|| rest.strip_prefix('.'))
    };
    let fitting = table
        .iter()
        .filter_map(|(name, value)| Some((name, value, fits(name.get_ref())?)));
    let (name, value, rest) = fitting.max_by_key(|(name, ..)| name.get_ref().len())?;
    match value.get_ref() {
        _ if rest.is_empty() => Some(name.span().start),
        DeValue::Table(inner) => offset_of(inner, rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_tables_and_dotted_form() {
        let text = "[server]\nhostname = \"a\"\n\n[tls]\ncertificate = \"c\"\n";
        assert_eq!(line_of(text, "tls.certificate"), Some(5));
        assert_eq!(line_of(text, "server.hostname"), Some(2));
        assert_eq!(line_of(text, "tls.key"), None);
        assert_eq!(line_of("a.b = 1\n", "a.b"), Some(1));
        let text = "[r.s]\n\"a.example\" = 1\n";
        assert_eq!(line_of(text, "r.s.a.example"), Some(2));
        let text = "[r.\"a.example\"]\nport = 1\n[r.a]\nport = 2\n";
        assert_eq!(line_of(text, "r.a.example.port"), Some(2));
        assert_eq!(line_of(text, "r.a.port"), Some(4));
        assert_eq!(line_of(text, "r.a.example.host"), None);
    }
}
