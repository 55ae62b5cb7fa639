//! Where in the file a key stands, so that an error found later still carries a line.

use toml::de::{DeTable, DeValue};

/// The line (from 1) of `key`, dotted as in error messages; `None` when the file does not set it.
pub fn line_of(text: &str, key: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let mut at = None;
    let mut here = table.get_ref();
    for part in key.split('.') {
        let (name, value) = here.iter().find(|(name, _)| name.get_ref() == part)?;
        at = Some(name.span().start);
        match value.get_ref() {
            DeValue::Table(inner) => here = inner,
            _ => break,
        }
    }
    at.map(|offset| text.get(..offset).unwrap_or_default().matches('\n').count() + 1)
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
    }
}
