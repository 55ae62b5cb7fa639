//! ENVELOPE and BODYSTRUCTURE in the form they have on an IMAP connection.
//!
//! RFC 3501 7.4.2 and 9, RFC 9051 7.5.2. Values are written as they stand in the header, not
//! decoded. Strings are quoted where that is safe and literals otherwise, so no value can end its
//! string. Not here: parsing of commands and responses (`imap::proto`).

mod envelope;
mod structure;

pub use self::{
    envelope::{EnvelopeRoom, whole_envelope, write_envelope},
    structure::{Structure, write_structure},
};

pub(super) use self::structure::without;

/// Writes a string: quoted, or as a literal when it has bytes that quotes cannot hold.
pub fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    let (mut quotable, mut escapes) = (text.len() <= QUOTED_BYTES_MAX, 0_usize);
    for byte in text {
        match byte {
            b'"' | b'\\' => escapes = escapes.saturating_add(1),
            b' '..=b'~' => {}
            _ => quotable = false,
        }
    }
    if !quotable || escapes > ESCAPES_MAX {
        out.extend_from_slice(format!("{{{}}}\r\n", text.len()).as_bytes());
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// Writes a string, or NIL for nothing.
fn write_nstring(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        Some(text) => write_string(out, text),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// Longer strings become literals, which clients read without looking for the closing quote.
const QUOTED_BYTES_MAX: usize = 1_000;
/// More escapes become a literal: it is shorter, and not every client undoes them well.
const ESCAPES_MAX: usize = 10;

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A value as a client reads it.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(in crate::mail) enum Value {
        Nil,
        Number(u64),
        Text(Vec<u8>),
        List(Vec<Self>),
    }

    /// Reads one value; panics on anything that RFC 3501's body and envelope grammar does not know.
    pub(in crate::mail) fn read(wire: &[u8]) -> Value {
        let (value, rest) = read_value(wire);
        assert_eq!(rest, b"", "bytes after the value");
        value
    }

    fn read_value(wire: &[u8]) -> (Value, &[u8]) {
        match wire {
            [b'(', rest @ ..] => read_list(rest),
            [b'"', rest @ ..] => read_quoted(rest),
            [b'{', rest @ ..] => {
                let close = rest.iter().position(|b| *b == b'}').unwrap();
                let length: usize = std::str::from_utf8(&rest[..close])
                    .unwrap()
                    .parse()
                    .unwrap();
                let rest = rest[close + 1..].strip_prefix(b"\r\n").unwrap();
                assert!(!rest[..length].contains(&0));
                (Value::Text(rest[..length].to_vec()), &rest[length..])
            }
            [b'N', b'I', b'L', rest @ ..] => (Value::Nil, rest),
            _ => {
                let end = wire
                    .iter()
                    .position(|b| !b.is_ascii_digit())
                    .unwrap_or(wire.len());
                let digits = std::str::from_utf8(&wire[..end]).unwrap();
                (Value::Number(digits.parse().unwrap()), &wire[end..])
            }
        }
    }

    fn read_list(mut rest: &[u8]) -> (Value, &[u8]) {
        let mut values = Vec::new();
        loop {
            if let [b')', after @ ..] = rest {
                return (Value::List(values), after);
            }
            // Address structures and parts of a multipart follow each other without a space.
            let spaced = rest.strip_prefix(b" ").filter(|_| !values.is_empty());
            let adjoins = matches!((values.last(), rest[0]), (Some(Value::List(_)), b'('));
            assert!(values.is_empty() || spaced.is_some() || adjoins);
            let (value, after) = read_value(spaced.unwrap_or(rest));
            values.push(value);
            rest = after;
        }
    }

    fn read_quoted(rest: &[u8]) -> (Value, &[u8]) {
        let (mut text, mut at) = (Vec::new(), 0);
        while rest[at] != b'"' {
            at += usize::from(rest[at] == b'\\');
            assert!(rest[at].is_ascii() && !matches!(rest[at], b'\r' | b'\n' | 0));
            text.push(rest[at]);
            at += 1;
        }
        (Value::Text(text), &rest[at + 1..])
    }

    #[test]
    fn strings_are_quoted_or_literal() {
        let written = |text: &[u8]| {
            let mut out = Vec::new();
            write_string(&mut out, text);
            String::from_utf8_lossy(&out).into_owned()
        };
        assert_eq!(written(b""), "\"\"");
        assert_eq!(written(b"a \"b\" \\"), "\"a \\\"b\\\" \\\\\"");
        assert_eq!(written("\u{e9}".as_bytes()), "{2}\r\n\u{e9}");
        assert_eq!(written(b"a\tb"), "{3}\r\na\tb");
        assert_eq!(
            written(&[b'"'; 11]),
            format!("{{11}}\r\n{}", "\"".repeat(11))
        );
        assert!(written(&[b'x'; 1_000]).starts_with('"'));
        assert!(written(&[b'x'; 1_001]).starts_with("{1001}"));
    }

    proptest! {
        #[test]
        fn any_string_is_read_back(text in prop::collection::vec(1_u8.., 0..50)) {
            let mut out = Vec::new();
            write_string(&mut out, &text);
            prop_assert_eq!(read(&out), Value::Text(text));
        }
    }
}
