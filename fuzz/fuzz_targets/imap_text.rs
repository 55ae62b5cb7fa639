//! Any message, told as IMAP tells it: ENVELOPE, BODY and BODYSTRUCTURE are one well-formed list
//! each, of the members that RFC 3501 7.4.2 names, whatever the message holds.
#![no_main]

use buzon::mail::{
    facts::Facts,
    imap_text::whole_envelope,
    mime::{Bounds, Scanner},
};
use libfuzzer_sys::fuzz_target;

/// The bytes behind the value that `text` begins with, and how many members it has if it is a
/// list.
fn value(text: &[u8], depth: u32) -> (&[u8], Option<usize>) {
    assert!(depth < 1_000);
    match text.first().expect("a value stands here") {
        b'(' => {
            let (mut rest, mut members) = (&text[1..], 0);
            while rest[0] != b')' {
                // Parts follow each other without a space.
                if members > 0 && rest[0] != b'(' {
                    assert_eq!(rest[0], b' ');
                }
                rest = rest.strip_prefix(b" ").unwrap_or(rest);
                rest = value(rest, depth + 1).0;
                members += 1;
            }
            assert!(members > 0, "an empty list");
            (&rest[1..], Some(members))
        }
        b'"' => {
            let mut at = 1;
            while text[at] != b'"' {
                assert!(!matches!(text[at], b'\r' | b'\n' | 0) && text[at].is_ascii());
                at += if text[at] == b'\\' { 2 } else { 1 };
            }
            (&text[at + 1..], None)
        }
        b'{' => {
            let close = text.iter().position(|byte| *byte == b'}').unwrap();
            let count: usize = std::str::from_utf8(&text[1..close]).unwrap().parse().unwrap();
            assert_eq!(&text[close + 1..close + 3], b"\r\n");
            let content = &text[close + 3..close + 3 + count];
            assert!(!content.contains(&0));
            (&text[close + 3 + count..], None)
        }
        _ => {
            let end = text.iter().position(|byte| matches!(byte, b' ' | b')'));
            let (atom, rest) = text.split_at(end.unwrap_or(text.len()));
            assert!(atom == b"NIL" || !atom.is_empty() && atom.iter().all(u8::is_ascii_digit));
            (rest, None)
        }
    }
}

fuzz_target!(|message: &[u8]| {
    let mut scanner = Scanner::new(Bounds::default());
    scanner.feed(message);
    let facts = Facts::from(&scanner.finish());
    for envelope in [&facts.envelope, &whole_envelope(message)] {
        let (rest, members) = value(envelope, 0);
        assert!(rest.is_empty());
        assert_eq!(members, Some(10));
    }
    for structure in [&facts.structure, &facts.basic_structure()] {
        let (rest, members) = value(structure, 0);
        assert!(rest.is_empty());
        assert!(members.is_some_and(|members| members >= 2));
    }
});
