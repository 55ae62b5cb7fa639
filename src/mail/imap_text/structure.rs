//! BODYSTRUCTURE of a message, and BODY, which is the same without the extension data.
//!
//! RFC 3501 7.4.2 and 9. Iterative: parts stand before
//! their children, so one pass with a stack of open lists writes the nested form. The places of
//! the extension data are noted; BODY is what remains without them.

use std::ops::Range;

use super::{EnvelopeRoom, write_envelope, write_nstring, write_string};
use crate::mail::mime::{Parameter, Part, PartKind, Text};

/// A written structure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Structure {
    /// The extensible form, for BODYSTRUCTURE.
    pub extensible: Vec<u8>,
    /// Where the extension data stand in it, in order.
    pub extensions: Vec<Range<usize>>,
    /// Where the text of each part begins in it.
    pub starts: Vec<usize>,
}

impl Structure {
    /// The form without extension data, for BODY.
    pub fn basic(&self) -> Vec<u8> {
        without(&self.extensible, self.extensions.iter().cloned())
    }
}

/// `text` without the ranges `cuts`, which are in order.
pub(in crate::mail) fn without(text: &[u8], cuts: impl Iterator<Item = Range<usize>>) -> Vec<u8> {
    let mut kept = Vec::with_capacity(text.len());
    let mut at = 0;
    for cut in cuts {
        kept.extend_from_slice(text.get(at..cut.start).unwrap_or_default());
        at = cut.end;
    }
    kept.extend_from_slice(text.get(at..).unwrap_or_default());
    kept
}

/// Writes the structure of `parts`, whose first is the message and whose parents stand before their
/// children in the order of the text.
pub fn write_structure(parts: &[Part]) -> Structure {
    let mut writer = Writer {
        parts,
        open: Vec::new(),
        written: Structure::default(),
    };
    for (index, part) in parts.iter().enumerate() {
        while writer
            .open
            .last()
            .is_some_and(|open| Some(*open) != part.parent)
        {
            writer.close();
        }
        writer.start(index, part);
    }
    while !writer.open.is_empty() {
        writer.close();
    }
    writer.written
}

struct Writer<'a> {
    parts: &'a [Part],
    /// The multipart and message parts whose closing parenthesis is not written yet.
    open: Vec<usize>,
    written: Structure,
}

impl Writer<'_> {
    fn start(&mut self, index: usize, part: &Part) {
        let out = &mut self.written.extensible;
        self.written.starts.push(out.len());
        out.push(b'(');
        match part.kind {
            PartKind::Multipart => self.open.push(index),
            PartKind::Message => {
                write_basic_fields(out, part);
                out.push(b' ');
                let entity = self.parts.get(index.saturating_add(1));
                let fields = entity.and_then(|entity| entity.envelope.clone());
                write_envelope(out, &fields.unwrap_or_default(), EnvelopeRoom::NESTED);
                out.push(b' ');
                self.open.push(index);
            }
            PartKind::Leaf => {
                write_basic_fields(out, part);
                if part.content_type.is_kind("text") {
                    write_number(out, part.lines);
                }
                self.end_leaf(part);
            }
        }
    }

    /// Writes what follows the parts of the innermost open list.
    fn close(&mut self) {
        let Some(index) = self.open.pop() else { return };
        let Some(part) = self.parts.get(index) else {
            return;
        };
        let out = &mut self.written.extensible;
        if part.kind == PartKind::Message {
            write_number(out, part.lines);
            self.end_leaf(part);
            return;
        }
        out.push(b' ');
        write_string(out, &part.content_type.subtype);
        let basic = out.len();
        out.push(b' ');
        write_parameters(out, &part.content_type.parameters);
        self.end_extensions(part, basic);
    }

    /// RFC 3501 9 body-ext-1part.
    fn end_leaf(&mut self, part: &Part) {
        let out = &mut self.written.extensible;
        let basic = out.len();
        out.push(b' ');
        write_nstring(out, part.md5.as_deref());
        self.end_extensions(part, basic);
    }

    /// Disposition, languages and location, common to all parts, and the end of the list.
    fn end_extensions(&mut self, part: &Part, basic: usize) {
        let out = &mut self.written.extensible;
        out.push(b' ');
        match &part.disposition {
            Some(disposition) => {
                out.push(b'(');
                write_string(out, &disposition.kind);
                out.push(b' ');
                write_parameters(out, &disposition.parameters);
                out.push(b')');
            }
            None => out.extend_from_slice(b"NIL"),
        }
        out.push(b' ');
        write_list(out, part.languages.iter());
        out.push(b' ');
        write_nstring(out, part.location.as_deref());
        self.written.extensions.push(basic..out.len());
        out.push(b')');
    }
}

/// Type, subtype, parameters, id, description, encoding and size.
fn write_basic_fields(out: &mut Vec<u8>, part: &Part) {
    write_string(out, &part.content_type.kind);
    out.push(b' ');
    write_string(out, &part.content_type.subtype);
    out.push(b' ');
    write_parameters(out, &part.content_type.parameters);
    for text in [&part.id, &part.description] {
        out.push(b' ');
        write_nstring(out, text.as_deref());
    }
    out.push(b' ');
    write_string(out, part.encoding.as_deref().unwrap_or(b"7bit"));
    write_number(out, part.body.length);
}

/// A space and a number.
fn write_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(format!(" {number}").as_bytes());
}

fn write_parameters(out: &mut Vec<u8>, parameters: &[Parameter]) {
    write_list(out, parameters.iter().flat_map(|p| [&p.name, &p.value]));
}

/// Strings in parentheses, or NIL for none.
fn write_list<'a>(out: &mut Vec<u8>, texts: impl Iterator<Item = &'a Text>) {
    let start = out.len();
    for text in texts {
        out.push(if out.len() == start { b'(' } else { b' ' });
        write_string(out, text);
    }
    out.extend_from_slice(if out.len() == start { b"NIL" } else { b")" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{
        imap_text::tests::{Value, read},
        mime::{Bounds, Scanned, Scanner},
    };

    fn scan(message: &str) -> Scanned {
        let mut scanner = Scanner::new(Bounds::default());
        scanner.feed(message.as_bytes());
        scanner.finish()
    }

    /// The extensible and the basic form of a message's structure.
    fn written(message: &str) -> (String, String) {
        let structure = write_structure(&scan(message).parts);
        let (extensible, basic) = (structure.extensible.clone(), structure.basic());
        read(&extensible);
        read(&basic);
        (
            String::from_utf8(extensible).unwrap(),
            String::from_utf8(basic).unwrap(),
        )
    }

    #[test]
    fn single_parts_have_their_fields_in_order() {
        let (extensible, basic) = written("Subject: x\r\n\r\none\r\ntwo\r\n");
        assert_eq!(
            extensible,
            "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 10 2 NIL NIL NIL NIL)"
        );
        assert_eq!(
            basic,
            "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 10 2)"
        );
        let (extensible, _) = written(
            "Content-Type: image/png; name=\"a b\"\nContent-ID: <i>\nContent-Description: d\n\
             Content-Transfer-Encoding: BASE64\nContent-MD5: m\nContent-Language: en, de\n\
             Content-Disposition: inline; filename*=utf-8''x\nContent-Location: l\n\nAAAA",
        );
        assert_eq!(
            extensible,
            "(\"image\" \"png\" (\"name\" \"a b\") \"<i>\" \"d\" \"BASE64\" 4 \"m\" \
             (\"inline\" (\"filename*\" \"utf-8''x\")) (\"en\" \"de\") \"l\")"
        );
    }

    #[test]
    fn nested_parts_stand_in_their_multipart() {
        let message = "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\
             Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\n\
             Content-Type: text/html\r\n\r\nyy\r\n--b--\r\n--a\r\n\
             Content-Type: message/rfc822\r\n\r\nSubject: s\r\n\r\nz\r\n--a--\r\n";
        let (extensible, basic) = written(message);
        assert_eq!(
            basic,
            "(((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0)\
             (\"text\" \"html\" NIL NIL NIL \"7bit\" 2 0) \"alternative\")\
             (\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 15 \
             (NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL) \
             (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0) 2) \"mixed\")"
        );
        assert!(extensible.ends_with(
            " 1 0 NIL NIL NIL NIL) 2 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"a\") NIL NIL NIL)"
        ));
    }

    #[test]
    fn a_multipart_without_parts_is_text() {
        for body in ["x\n", "--b\n", "--a--\n", ""] {
            let (_, basic) = written(&format!(
                "Content-Type: multipart/mixed; boundary=a\n\n{body}"
            ));
            let (octets, lines) = (body.len(), body.lines().count());
            let text = "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\"";
            assert_eq!(basic, format!("{text} {octets} {lines})"), "{body}");
        }
    }

    #[test]
    fn a_message_in_utf_8_is_told_like_any_other_type() {
        let (_, basic) = written("Content-Type: message/global\n\nSubject: s\n\nx\n");
        assert_eq!(basic, "(\"message\" \"global\" NIL NIL NIL \"7bit\" 14)");
    }

    #[test]
    fn lim_28_the_deepest_structure_is_written_without_recursion() {
        let mut message = String::new();
        for level in 0..5_000 {
            message.push_str(&format!(
                "Content-Type: multipart/mixed; boundary=b{level:05}\n\n--b{level:05}\n"
            ));
        }
        let structure = write_structure(&scan(&message).parts);
        assert_eq!(structure.starts.len(), 100);
        assert!(matches!(read(&structure.extensible), Value::List(_)));
    }
}
