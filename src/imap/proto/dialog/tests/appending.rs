//! Commands whose literals their verbs pull: when they are given out, and what stands behind.

use super::*;
use crate::imap::proto::append::AppendPart;

/// What an APPEND or REPLACE says before its first literal.
fn coming(bytes: &[u8]) -> (String, Appending) {
    match command(WRITING, bytes).body {
        CommandBody::Append { mailbox, coming }
        | CommandBody::Replace {
            mailbox, coming, ..
        } => (mailbox, coming),
        other => panic!("{other:?}"),
    }
}

#[test]
fn append_is_given_out_when_its_first_literal_is_announced() {
    let with_all =
        b"a1 APPEND {5}\r\nINBOX (\\Seen x) \" 1-Jan-1970 00:00:01 +0000\" {99999999999+}\r\n";
    for (bytes, mailbox, size_bytes, synchronizing) in [
        (&b"a1 APPEND INBOX {3}\r\n"[..], "INBOX", 3, true),
        (b"a1 APPEND \"a b\" {3+}\r\n", "a b", 3, false),
        (with_all, "INBOX", 99_999_999_999, false),
        (b"a1 REPLACE 4 {5}\r\nINBOX {3}\r\n", "INBOX", 3, true),
        (b"a1 UID REPLACE 4 \"a b\" () {3}\r\n", "a b", 3, true),
        (b"a1 APPEND INBOX ~{3}\r\n", "INBOX", 3, true),
        (b"a1 APPEND INBOX UTF8 (~{3+}\r\n", "INBOX", 3, false),
        (b"a1 APPEND INBOX CATENATE (URL {3}\r\n", "INBOX", 3, true),
    ] {
        let (name, coming) = coming(bytes);
        let announced = coming.literal.unwrap().announced;
        assert_eq!(
            (name.as_str(), announced.size_bytes, announced.synchronizing),
            (mailbox, size_bytes, synchronizing),
            "{}",
            bytes.escape_ascii()
        );
    }
    let (_, coming) = coming(with_all);
    let [AppendPart::Message { flags, date }] = &coming.parts[..] else {
        panic!("{coming:?}");
    };
    assert_eq!(flags.keywords, ["x"]);
    assert_eq!(date.map(|date| date.0), Some(1000));
}

#[test]
fn after_an_append_the_dialogue_goes_on() {
    assert_said(
        READY,
        b"a1 APPEND INBOX {9+}\r\nx LOGOUT\n\r\na2 NOOP\r\n",
        &["a1 Append", "message", "a2 Noop"],
    );
    assert_said(
        READY,
        b"a1 APPEND INBOX {1+}\r\nx (\\Seen) ~{10+}\r\nx LOGOUT\r\n\r\na2 NOOP\r\n",
        &["a1 Append", "message", "a2 Noop"],
    );
    assert_said(
        READY,
        b"a1 APPEND INBOX CATENATE (URL /a/;UID=1 TEXT {8+}\r\nx NOOP\r\n)\r\na2 NOOP\r\n",
        &["a1 Append", "message", "a2 Noop"],
    );
    // What may not stand behind a message must not be read as commands.
    assert_said(
        READY,
        b"a1 APPEND INBOX {1+}\r\nx{10+}\r\nx LOGOUT\r\n\r\n",
        &["a1 Append", "broken"],
    );
    for bad in [
        &b"a1 APPEND INBOX UTF8 ({3}\r\n"[..],
        b"a1 APPEND INBOX CATENATE {3}\r\n",
        b"a1 APPEND INBOX{3}\r\n",
        b"a1 APPEND{3}\r\n",
        b"a1 APPEND ~{3}\r\n",
        b"a1 SELECT ~{3}\r\n",
        b"a1 APPEND INBOX (\\Seen{3}\r\n",
        b"a1 APPEND INBOX \"x\" {3}\r\n",
    ] {
        assert_said(READY, bad, &["refuse a1 BAD"]);
    }
}
