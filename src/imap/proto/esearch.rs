//! The ESEARCH response (RFC 4731 3.1, RFC 4466 2.6.2, RFC 9051 7.3.4), written item by item.
//!
//! Results may be as many as messages, so they are not a value: the server writes sets number by
//! number with [`super::sequence::SetWriter`].

use super::{command::Tag, enabled::Enabled, encode, search::PartialRange};
use crate::wire::Output;

/// `* ESEARCH (TAG "...")`, and `UID` when the numbers are UIDs. The line is the caller's to end.
pub fn begin(out: &mut Output, tag: &Tag, uid: bool) {
    open(out, tag);
    close(out, uid);
}

/// As [`begin`] for a result of UIDs in the mailbox that is named (RFC 7377 2.1).
pub fn begin_in(out: &mut Output, tag: &Tag, name: &str, uid_validity: u32, enabled: Enabled) {
    open(out, tag);
    out.bytes(b" MAILBOX ");
    encode::mailbox(out, enabled, name);
    out.bytes(b" UIDVALIDITY ").number(u64::from(uid_validity));
    close(out, true);
}

fn open(out: &mut Output, tag: &Tag) {
    // A tag holds no quote and no backslash (RFC 3501 9).
    out.bytes(b"* ESEARCH (TAG \"")
        .bytes(tag.as_bytes())
        .bytes(b"\"");
}

fn close(out: &mut Output, uid: bool) {
    out.bytes(if uid { b") UID".as_slice() } else { b")" });
}

/// ` MIN 1` and its like.
pub fn item(out: &mut Output, name: &str, number: u64) {
    out.bytes(b" ").text(name).bytes(b" ").number(number);
}

/// ` PARTIAL (1:100 `: the set, or `NIL`, and a parenthesis follow (RFC 9394 4).
pub fn partial(out: &mut Output, range: PartialRange) {
    let sign = if range.from_end { "-" } else { "" };
    out.bytes(b" PARTIAL (")
        .text(sign)
        .number(u64::from(range.first));
    out.bytes(b":")
        .text(sign)
        .number(u64::from(range.last))
        .bytes(b" ");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_the_results_is_as_the_grammar_says() {
        let mut out = Output::new();
        begin(&mut out, &Tag::parse(b"a]1").unwrap(), true);
        item(&mut out, "MIN", 4_294_967_295);
        for from_end in [false, true] {
            let range = PartialRange {
                first: 1,
                last: 100,
                from_end,
            };
            partial(&mut out, range);
        }
        let expected =
            b"* ESEARCH (TAG \"a]1\") UID MIN 4294967295 PARTIAL (1:100  PARTIAL (-1:-100 ";
        assert_eq!(out.as_bytes(), expected);
        for (enabled, name) in [
            (Enabled::NONE, "\"b &AOk-\""),
            (Enabled::IMAP4REV2, "\"b \u{e9}\""),
        ] {
            let mut out = Output::new();
            begin_in(
                &mut out,
                &Tag::parse(b"a1").unwrap(),
                "b \u{e9}",
                7,
                enabled,
            );
            let expected = format!("* ESEARCH (TAG \"a1\" MAILBOX {name} UIDVALIDITY 7) UID");
            assert_eq!(out.as_bytes(), expected.as_bytes());
        }
    }
}
