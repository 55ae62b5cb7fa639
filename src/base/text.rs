//! Bytes of peers made safe for a log line or an error text (LOG-01), and errors with their causes.

use std::{
    error::Error,
    fmt::{self, Write},
};

/// Longest quoted text in bytes; what is longer is cut and marked.
pub const QUOTED_BYTES_MAX: usize = 512;

/// Displays peer bytes on one line: printable ASCII and harmless Unicode as they are, everything
/// that could move a cursor, change direction or fake a line break as an escape; cut at
/// [`QUOTED_BYTES_MAX`].
#[derive(Clone, Copy)]
pub struct Quoted<'a>(pub &'a [u8]);

impl<'a> Quoted<'a> {
    /// Quotes a string.
    pub fn str(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = self.0.len() > QUOTED_BYTES_MAX;
        let shown = self.0.get(..QUOTED_BYTES_MAX).unwrap_or(self.0);
        for chunk in shown.utf8_chunks() {
            for c in chunk.valid().chars() {
                if unsafe_to_show(c) {
                    write!(f, "{}", c.escape_unicode())?;
                } else {
                    f.write_char(c)?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        if cut { f.write_str("...") } else { Ok(()) }
    }
}

impl fmt::Debug for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// C0, C1, DEL, backslash and quote, line separators, bidirectional controls, zero-width marks.
fn unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(c, '\\' | '"')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
        || c == '\u{feff}'
}

/// Displays an error and its causes on one line, for whoever handles it and nobody before.
#[derive(Clone, Copy, Debug)]
pub struct Causes<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the shop is shut")]
    struct Shut(#[source] std::io::Error);

    #[test]
    fn an_error_is_shown_with_its_causes() {
        let shut = Shut(std::io::Error::other("no bread"));
        assert_eq!(Causes(&shut).to_string(), "the shop is shut: no bread");
    }

    #[test]
    fn log_01_controls_escapes_and_direction_marks_are_shown_escaped() {
        let shown = Quoted(b"a\r\n\x1b[31m\xff\xc3\xa9\xe2\x80\xae").to_string();
        assert_eq!(shown, "a\\u{d}\\u{a}\\u{1b}[31m\\xff\u{e9}\\u{202e}");
    }

    #[test]
    fn log_01_long_text_is_cut_at_512_bytes() {
        let long = [b'x'; QUOTED_BYTES_MAX + 1];
        assert_eq!(
            Quoted(&long[..QUOTED_BYTES_MAX]).to_string().len(),
            QUOTED_BYTES_MAX
        );
        assert!(Quoted(&long).to_string().ends_with("x..."));
    }
}
