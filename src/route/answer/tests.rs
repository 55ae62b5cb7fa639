//! Every reason not to answer, and what an answer is.

use super::*;
use crate::base::{clock::Timestamp, ids::MessageId};

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

#[test]
fn rfc_3834_2_what_a_person_did_not_write_is_not_answered() {
    let plain = "From: Ann <ann@author.example>\r\nSubject: hello\r\n";
    let sender = address("ann@author.example");
    for (field, why) in [
        ("", None),
        ("Auto-Submitted: no", None),
        ("Auto-Submitted: No (a person)", None),
        ("Auto-Submitted: auto-replied", Some(Silence::Automatic)),
        (
            "AUTO-SUBMITTED: auto-generated; x=y",
            Some(Silence::Automatic),
        ),
        ("Auto-Submitted: auto-notified", Some(Silence::Automatic)),
        ("Auto-Submitted:", Some(Silence::Automatic)),
        ("Precedence: bulk", Some(Silence::Bulk)),
        ("Precedence: Junk", Some(Silence::Bulk)),
        ("precedence:\r\n\tlist", Some(Silence::Bulk)),
        ("Precedence: auto_reply", Some(Silence::Bulk)),
        ("Precedence: first-class", None),
        ("List-Id: <a.example>", Some(Silence::List)),
        ("List-Unsubscribe: <https://a.example>", Some(Silence::List)),
        ("List-Post: NO", Some(Silence::List)),
        ("List-Help: x", Some(Silence::List)),
        ("List-Owner: x", Some(Silence::List)),
        ("List-Archive: x", Some(Silence::List)),
        ("List-Subscribe: x", Some(Silence::List)),
        ("Listening: x", None),
        (
            "X-Auto-Response-Suppress: DR, OOF",
            Some(Silence::Automatic),
        ),
        ("X-Auto-Response-Suppress: All", Some(Silence::Automatic)),
        (
            "X-Auto-Response-Suppress: AutoReply",
            Some(Silence::Automatic),
        ),
        ("X-Auto-Response-Suppress: DR", None),
        ("X-Autoreply: yes", Some(Silence::Automatic)),
        ("X-Autorespond: x", Some(Silence::Automatic)),
        ("X-Spam-Flag: YES", Some(Silence::Bulk)),
        ("X-Spam-Flag: NO", None),
        (
            "Content-Type: multipart/report; report-type=delivery-status",
            Some(Silence::Report),
        ),
        (
            "Content-Type: Multipart/Report; report-type=disposition-notification",
            Some(Silence::Report),
        ),
        ("Content-Type: text/plain", None),
        ("Sender: no-reply@author.example", Some(Silence::Program)),
        ("From: X <noreply@author.example>", Some(Silence::Program)),
        ("X: \u{fffd}", None),
    ] {
        let header = format!("{plain}{field}\r\n");
        assert_eq!(silence(header.as_bytes(), &sender), why, "{field}");
    }
}

#[test]
fn rfc_5230_4_6_programs_are_not_answered() {
    for local in [
        "MAILER-DAEMON",
        "mailer-daemon+x",
        "Postmaster",
        "owner-list",
        "list-owner",
        "list-request",
        "LIST-REQUEST",
        "list-bounces",
        "list-bounces+ann=author.example",
        "bounce",
        "bounces+123-abc",
        "bounce-123",
        "noreply",
        "no-reply",
        "no_reply",
        "noreply+token",
        "do-not-reply",
        "donotreply",
        "shop-noreply",
        "listserv",
        "majordomo",
        "SRS0=ab=cd=shop.example=noreply",
        "prvs=1234abcd=no-reply",
        "nobody",
    ] {
        let sender = Address {
            local: LocalPart::from_unquoted(local).unwrap(),
            domain: Domain::parse("a.example").unwrap(),
        };
        assert_eq!(silence(b"", &sender), Some(Silence::Program), "{local}");
    }
    for local in [
        "ann",
        "reply",
        "owner",
        "request",
        "an=noreply=x",
        "SRS0=ab=cd=a.example=ann",
    ] {
        let sender = address(&format!("{local}@a.example"));
        assert_eq!(silence(b"", &sender), None, "{local}");
    }
}

#[test]
fn rfc_5230_4_5_only_who_is_named_is_written_to() {
    let own = ["alice@example.org", "a@example.org"].map(address);
    for (header, found) in [
        ("To: alice@example.org\r\n", Some(0)),
        ("To: x@y.example, Alice <alice@example.org>\r\n", Some(0)),
        ("Cc: \"alice\"@EXAMPLE.org\r\n", Some(0)),
        ("cc: friends: x@y.example, a@example.org;\r\n", Some(1)),
        ("Resent-To: a@example.org\r\nTo: x@y.example\r\n", Some(1)),
        ("Resent-Cc: a@example.org\r\n", Some(1)),
        ("Bcc: a@example.org\r\n", Some(1)),
        ("To: undisclosed-recipients:;\r\n", None),
        (
            "To: list@y.example\r\nReply-To: alice@example.org\r\n",
            None,
        ),
        ("X-To: alice@example.org\r\n", None),
        ("To: \"alice@example.org\" <x@y.example>\r\n", None),
        ("", None),
    ] {
        let is_own = |address: &Address| own.contains(address);
        let expected = found.map(|at: usize| own[at].clone());
        assert_eq!(addressed(header.as_bytes(), is_own), expected, "{header}");
    }
    let many = "x@y.example, ".repeat(RECIPIENTS_MAX);
    let header = format!("To: {many}alice@example.org\r\n");
    assert_eq!(
        addressed(header.as_bytes(), |address| own.contains(address)),
        None
    );
}

#[test]
fn rfc_3834_3_an_answer_says_what_it_is_and_what_it_answers() {
    let (from, to) = (address("alice@example.org"), address("ann@author.example"));
    let answer = Answer {
        id: MessageId::from_bytes([7; 16]),
        host: "mx.example.org",
        from: &from,
        to: &to,
        now: Timestamp::from_secs(0),
        subject: "",
        text: "I am away.\n\nAlice\n",
        header: b"Subject: =?utf-8?q?caf=C3=A9?=\r\nMessage-ID: <1@a.example>\r\n\
            References: <0@a.example>\r\n",
    };
    let text = String::from_utf8(written(&answer)).unwrap();
    let id = answer.id;
    assert_eq!(
        text,
        format!(
            "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\nFrom: <alice@example.org>\r\n\
             To: <ann@author.example>\r\nSubject: {}\r\nMessage-ID: <{id}@mx.example.org>\r\n\
             In-Reply-To: <1@a.example>\r\nReferences: <0@a.example> <1@a.example>\r\n\
             Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
             I am away.\r\n\r\nAlice\r\n",
            crate::mail::words::encode("Auto: caf\u{e9}")
        )
    );
    let other = Answer {
        subject: "Gone\r\nBcc: x@y.example",
        text: &"\u{e9} \r.\n".repeat(40),
        header: b"",
        ..answer
    };
    let text = String::from_utf8(written(&other)).unwrap();
    assert!(
        text.contains("Subject: Gone Bcc: x@y.example\r\n"),
        "{text}"
    );
    assert!(!text.contains("In-Reply-To") && text.is_ascii(), "{text}");
    let (_, body) = text.split_once("base64\r\n\r\n").unwrap();
    assert!(body.lines().all(|line| line.len() <= 76));
    assert!(body.ends_with("\r\n"));
}
