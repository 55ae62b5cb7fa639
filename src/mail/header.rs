//! Header fields: reading a header block field by field, and writing single fields.
//!
//! RFC 5322 2.2. Reading is tolerant and loses nothing: the fields' spans join to the block. A
//! header ends at the first empty line and nowhere else; a line may end in CRLF or in LF alone.
//! What we write goes through [`FieldText`], which cannot hold a line break. Not here: trace
//! fields (`mail::trace`), the meaning of values (`mail::mime`, `mail::date`, `mail::words`).

use std::{borrow::Cow, fmt, ops::Range};

use memchr::memchr;

/// One header field of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name without the white space before its colon; empty for a line that has no colon.
    pub name: &'a [u8],
    /// All after the colon, still folded, without the last line's ending.
    pub value: &'a [u8],
    /// Where the field stands in the block, with all its line endings.
    pub span: Range<usize>,
}

impl Field<'_> {
    /// Whether the field has this name; case does not matter (RFC 5322 1.2.2).
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value on one line, without white space at its ends.
    pub fn unfolded(&self) -> Cow<'_, [u8]> {
        unfold(self.value)
    }
}

/// Iterates over the fields of a header block, up to its empty line or its end.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// Over the fields of `block`, which may go on after the empty line with a body.
    pub fn new(block: &'a [u8]) -> Self {
        Self { block, at: 0 }
    }

    /// The length of the line that begins at `at`, with its ending.
    fn line_length(&self, at: usize) -> usize {
        let rest = self.block.get(at..).unwrap_or_default();
        memchr(b'\n', rest).map_or(rest.len(), |lf| lf.saturating_add(1))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let start = self.at;
        let mut end = start.saturating_add(self.line_length(start));
        if is_empty_line(self.block.get(start..end)?) {
            return None;
        }
        while let Some(b' ' | b'\t') = self.block.get(end) {
            end = end.saturating_add(self.line_length(end));
        }
        self.at = end;
        let content = without_ending(self.block.get(start..end)?);
        let (name, value) = split_name(content);
        Some(Field {
            name,
            value,
            span: start..end,
        })
    }
}

/// How many bytes of `message` are its header, with the empty line if there is one.
pub fn header_length(message: &[u8]) -> usize {
    let mut fields = Fields::new(message);
    let end = fields.by_ref().last().map_or(0, |last| last.span.end);
    let line = message
        .get(end..end.saturating_add(fields.line_length(end)))
        .unwrap_or_default();
    if is_empty_line(line) {
        end.saturating_add(line.len())
    } else {
        end
    }
}

/// The name and the value of a field's text; the name is empty when there is no colon.
pub(super) fn split_name(field: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b':', field).and_then(|colon| field.split_at_checked(colon)) {
        // RFC 5322 4.5.8 lets white space stand before the colon.
        Some((name, value)) => (name.trim_ascii_end(), value.get(1..).unwrap_or_default()),
        None => (&[], field),
    }
}

/// The value on one line: line endings and NULs gone, the white space that folded it kept.
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    if value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
        let kept = value
            .iter()
            .copied()
            .filter(|b| !matches!(b, b'\r' | b'\n' | 0));
        Cow::Owned(kept.collect())
    } else {
        Cow::Borrowed(value)
    }
}

/// RFC 3501 6.4.5 HEADER.FIELDS and HEADER.FIELDS.NOT: which fields are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// Only the named ones.
    Only,
    /// All but the named ones.
    Except,
}

/// The wanted fields of a header block, exactly as they stand there, and an empty line if the block
/// has one (RFC 3501 6.4.5: the delimiting blank line is included, except when there is none).
pub fn select_fields<N: AsRef<[u8]>>(block: &[u8], names: &[N], select: Select) -> Vec<u8> {
    let mut selected = Vec::new();
    let mut fields = Fields::new(block);
    for field in fields.by_ref() {
        let named = names
            .iter()
            .any(|name| field.name.eq_ignore_ascii_case(name.as_ref()));
        if !field.name.is_empty() && named == (select == Select::Only) {
            selected.extend_from_slice(block.get(field.span).unwrap_or_default());
        }
    }
    if fields.at < block.len() {
        selected.extend_from_slice(b"\r\n");
    }
    selected
}

fn is_empty_line(line: &[u8]) -> bool {
    matches!(line, b"\r\n" | b"\n" | b"")
}

fn without_ending(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Text that may stand in a header field: no line break, no NUL, no other control but the tab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldText(String);

impl FieldText {
    /// The text, unless it holds a control.
    pub fn new(text: &str) -> Result<Self, NotFieldText> {
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(NotFieldText);
        }
        Ok(Self(text.to_owned()))
    }

    /// Any bytes: what may not stand there becomes a question mark, what is too long is cut.
    pub fn sanitised(bytes: &[u8]) -> Self {
        let safe = |c: char| {
            if c.is_control() || c == '\u{fffd}' {
                '?'
            } else {
                c
            }
        };
        let bytes = bytes.get(..SANITISED_BYTES_MAX).unwrap_or(bytes);
        Self(String::from_utf8_lossy(bytes).chars().map(safe).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text holds a control character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a header field cannot hold control characters")]
pub struct NotFieldText;

/// Writes one field, folded between words at 78 characters where that is possible (RFC 5322 2.1.1).
pub fn field(name: &'static str, text: &FieldText) -> Vec<u8> {
    let mut out = format!("{name}:");
    let mut line = out.len();
    for word in text.0.split([' ', '\t']).filter(|word| !word.is_empty()) {
        let length = word.chars().count().saturating_add(1);
        if line.saturating_add(length) > LINE_CHARACTERS_MAX && line > name.len().saturating_add(1)
        {
            out.push_str("\r\n");
            line = 0;
        }
        out.push(' ');
        out.push_str(word);
        line = line.saturating_add(length);
    }
    out.push_str("\r\n");
    out.into_bytes()
}

/// RFC 5322 2.1.1: lines should not be longer.
const LINE_CHARACTERS_MAX: usize = 78;
/// Longest text of a peer that is copied into a field of ours.
const SANITISED_BYTES_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(block: &[u8]) -> Vec<String> {
        Fields::new(block)
            .map(|f| String::from_utf8_lossy(f.name).into_owned())
            .collect()
    }

    #[test]
    fn fields_are_found_whatever_their_line_endings() {
        let block = b"From: a\r\nSubject : b\r\n\tc\r\nno colon\r\nX:\nTo: d\n\nBody: not\n";
        assert_eq!(names(block), ["From", "Subject", "", "X", "To"]);
        let subject = Fields::new(block).find(|f| f.is("subject")).unwrap();
        assert_eq!(subject.unfolded().as_ref(), b"b\tc");
        assert_eq!(&block[subject.span], b"Subject : b\r\n\tc\r\n");
        assert_eq!(header_length(block), block.len() - b"Body: not\n".len());
        assert_eq!(header_length(b""), 0);
        assert_eq!(header_length(b"\r\nbody"), 2);
        assert_eq!(header_length(b"A: b"), 4);
        assert_eq!(header_length(b"A: b\r\n \r\n\r\nx"), 11);
        assert_eq!(Fields::new(b"A: b").next().unwrap().value, b" b");
    }

    #[test]
    fn selected_fields_stand_as_they_were_and_end_with_an_empty_line() {
        let block = b"From: a\r\nTo: b\r\n\tc\r\nfrom: d\r\nCc: e\r\n\r\nbody";
        let only = select_fields(block, &["FROM"], Select::Only);
        assert_eq!(only, b"From: a\r\nfrom: d\r\n\r\n");
        let except = select_fields(block, &["from", "cc"], Select::Except);
        assert_eq!(except, b"To: b\r\n\tc\r\n\r\n");
        assert_eq!(select_fields(block, &["x"], Select::Only), b"\r\n");
        for block in [&b"A: b"[..], b"A: b\r\n", b"A: b\n"] {
            assert_eq!(select_fields(block, &["a"], Select::Only), block);
            assert_eq!(select_fields(block, &["a"], Select::Except), b"");
            assert_eq!(select_fields(block, &["x"], Select::Only), b"");
        }
        assert_eq!(select_fields(b"\r\n", &["x"], Select::Only), b"\r\n");
        assert_eq!(select_fields(b"\nx", &["x"], Select::Only), b"\r\n");
    }

    #[test]
    fn field_text_cannot_hold_a_line_break() {
        assert_eq!(FieldText::new("a\r\nBcc: b"), Err(NotFieldText));
        assert_eq!(FieldText::new("a\0"), Err(NotFieldText));
        assert_eq!(FieldText::new("a\u{85}"), Err(NotFieldText));
        assert_eq!(FieldText::sanitised(b"a\r\nb\xff\0").as_str(), "a??b??");
        let text = FieldText::new(&"word ".repeat(40)).unwrap();
        let written = String::from_utf8(field("Subject", &text)).unwrap();
        assert!(
            written
                .lines()
                .all(|line| line.len() <= LINE_CHARACTERS_MAX)
        );
        assert_eq!(
            unfold(Fields::new(written.as_bytes()).next().unwrap().value).len(),
            199
        );
    }

    proptest! {
        #[test]
        fn spans_join_to_the_header(bytes in "([A-Za-z:\\- \t]{0,9}(\r\n|\n|\r)){0,9}") {
            let block = bytes.as_bytes();
            let mut at = 0;
            for field in Fields::new(block) {
                prop_assert_eq!(field.span.start, at);
                prop_assert!(field.span.end > at);
                at = field.span.end;
            }
            let length = header_length(block);
            prop_assert!(length == at || is_empty_line(&block[at..length]));
        }
    }
}
