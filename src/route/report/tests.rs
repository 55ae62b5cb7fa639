//! What reports say, part by part.

use super::{original::LINE_BYTES_MAX, status::mta_name, *};

fn built(event: Event, to: &str, recipient: &str, why: &Diagnosis, original: &[u8]) -> String {
    let (to, recipient) = (
        Address::parse(to).unwrap(),
        Address::parse(recipient).unwrap(),
    );
    let facts = Facts {
        id: MessageId::from_bytes([1; 16]),
        original: MessageId::from_bytes([2; 16]),
        options: &MailOptions::default(),
        reporter: "mail.here.example",
        to: &to,
        received: Timestamp::from_secs(1_000_000_000),
        now: Timestamp::from_secs(1_000_003_600),
        recipients: &[Entry {
            address: &recipient,
            original: None,
            event,
            why: Some(why),
            attempted: Some(Timestamp::from_secs(1_000_003_599)),
            late: false,
        }],
        beginning: original,
        whole: false,
    };
    let built = build(&facts);
    assert_eq!(built.smtputf8, !to.is_ascii());
    let text = String::from_utf8_lossy(&built.bytes).into_owned();
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{text}");
    text
}

fn refused() -> Diagnosis {
    let host = Some("mx.there.example [192.0.2.1]");
    Diagnosis::new(host, 550, Status(5, 1, 1), "no such user\r\nX-Injected: 1")
}

const ORIGINAL: &[u8] = b"Message-ID: <a@b>\r\nReferences: <x@b>\r\n bad <y@b>\r\n\
    Subject: hello\r\n folded\r\n\r\nsecret body\r\n";

#[test]
fn a_failure_is_reported_in_three_parts() {
    let text = built(
        Event::Failed,
        "a@here.example",
        "b@there.example",
        &refused(),
        ORIGINAL,
    );
    for line in [
        "Date: Sun, 9 Sep 2001 02:46:40 +0000",
        "To: <a@here.example>",
        "From: Mail Delivery System <MAILER-DAEMON@mail.here.example>",
        "Subject: Undelivered: hello folded",
        "In-Reply-To: <a@b>",
        "References: <x@b> <y@b> <a@b>",
        "Auto-Submitted: auto-replied",
        "Reporting-MTA: dns; mail.here.example",
        "Arrival-Date: Sun, 9 Sep 2001 01:46:40 +0000",
        "Final-Recipient: rfc822; b@there.example",
        "Action: failed",
        "Status: 5.1.1",
        "Remote-MTA: dns; mx.there.example",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user  X-Injected: 1",
        "Last-Attempt-Date: Sun, 9 Sep 2001 02:46:39 +0000",
        "Content-Type: text/rfc822-headers",
        "Subject: hello",
        " folded",
    ] {
        assert!(text.lines().any(|is| is == line), "{line} in\n{text}");
    }
    assert!(!text.contains("secret body") && !text.contains("Will-Retry-Until"));
    // RFC 2046 5.1.1: the delimiters are as the header says.
    let boundary = text
        .split("boundary=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert_eq!(text.matches(&format!("\r\n--{boundary}\r\n")).count(), 3);
    assert!(text.ends_with(&format!("\r\n--{boundary}--\r\n")));
}

#[test]
fn people_read_first_which_message_which_address_why_and_what_to_do() {
    let (to, recipient) = ("a@here.example", "b@there.example");
    let text = built(Event::Failed, to, recipient, &refused(), ORIGINAL);
    let human = text.split("\r\n\r\n--").nth(1).unwrap();
    let mut from = 0;
    for line in [
        "This is the mail server mail.here.example.",
        "    Subject: hello folded",
        "COULD NOT BE DELIVERED to the recipients below. No more attempts are made.",
        "<b@there.example>",
        "    There is no such address at its server. Look for a mistake in it, or ask",
        "    mx.there.example [192.0.2.1] said:",
        "        550 5.1.1 no such user X-Injected: 1",
    ] {
        let at = human[from..].find(&format!("\n{line}"));
        from += 1 + at.unwrap_or_else(|| panic!("{line} in\n{human}"));
    }
    // Words that the server did not say are not put into its mouth.
    let plain = Diagnosis::new(Some("mx"), 550, Status(5, 0, 0), &"no ".repeat(100));
    let text = built(Event::Failed, to, recipient, &plain, b"\r\n");
    assert!(text.contains("Status: 5.0.0\r\n") && text.contains("        550 no no "));
    assert!(text.contains("Diagnostic-Code: smtp; 550 no no "));
    assert!(text.contains("Subject: Undelivered: your message\r\n"));
    let lines = text.lines().filter(|line| line.starts_with("        no"));
    assert!(lines.clone().count() > 3 && lines.into_iter().all(|line| line.len() <= 76));
}

#[test]
fn subjects_are_read_by_people_and_written_for_programs() {
    let original = "Subject: =?utf-8?q?caf=C3=A9?=\r\n\r\n";
    let (to, recipient) = ("a@here.example", "b@there.example");
    let text = built(
        Event::Failed,
        to,
        recipient,
        &refused(),
        original.as_bytes(),
    );
    assert!(text.contains("    Subject: caf\u{e9}\r\n"));
    let subject = text.lines().find(|line| line.starts_with("Subject: "));
    let value = subject.unwrap().strip_prefix("Subject: ").unwrap();
    assert!(value.is_ascii());
    assert_eq!(words::decode(value.as_bytes()), "Undelivered: caf\u{e9}");
    let long = format!("Subject: {}\r\n\r\n", "x".repeat(600));
    let text = built(Event::Failed, to, recipient, &refused(), long.as_bytes());
    assert!(text.contains(&format!("    Subject: {}...\r\n", "x".repeat(100))));
}

#[test]
fn hosts_are_named_as_rfc_3464_wants_them() {
    for (host, name) in [
        ("mx.example [192.0.2.1]", "mx.example"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("[::1]", "[IPv6:::1]"),
    ] {
        assert_eq!(mta_name(host), name);
    }
}

#[test]
fn a_delay_says_until_when_attempts_go_on() {
    let until = Timestamp::from_secs(1_000_432_000);
    let why = Diagnosis::new(None, 0, Status(4, 4, 1), "connection timed out");
    let text = built(
        Event::Delayed { until },
        "a@b.example",
        "c@d.example",
        &why,
        ORIGINAL,
    );
    for line in [
        "Action: delayed",
        "Status: 4.4.1",
        "Diagnostic-Code: x-buzon; connection timed out",
        "Will-Retry-Until: Fri, 14 Sep 2001 01:46:40 +0000",
        "Subject: Delayed: hello folded",
        "DELAYED, NOT LOST: you need not send it again. Attempts go on until Fri, 14",
    ] {
        assert!(text.lines().any(|is| is == line), "{line} in\n{text}");
    }
    assert!(!text.contains("Remote-MTA"));
}

#[test]
fn internationalized_addresses_are_spelt_in_ascii_in_the_status_part() {
    let why = Diagnosis::new(None, 0, Status(5, 6, 7), "\u{fc}");
    let text = built(
        Event::Failed,
        "\u{e4}@b.example",
        "\u{fc}@d.example",
        &why,
        b"\r\n",
    );
    assert!(text.contains("Final-Recipient: utf-8; \\x{FC}@d.example\r\n"));
    assert!(text.contains("Diagnostic-Code: x-buzon; ?\r\n"));
    assert!(text.contains("To: <\u{e4}@b.example>\r\n"));
}

#[test]
fn what_goes_back_of_the_original_is_bounded_and_clean() {
    let line = "X-Filler: ".to_owned() + &"x".repeat(2000) + "\r\n";
    let original = line.repeat(100) + "\r\nbody";
    let text = built(
        Event::Failed,
        "a@b.example",
        "c@d.example",
        &refused(),
        original.as_bytes(),
    );
    assert!(text.len() < HEADER_BYTES_MAX + 4096);
    assert!(text.lines().all(|line| line.len() <= 998));
    let odd = b"A: b\rc\0d\nE: f\n\nbody";
    let text = built(Event::Failed, "a@b.example", "c@d.example", &refused(), odd);
    assert!(text.contains("\r\nA: b c d\r\nE: f\r\n\r\n--"));
}

#[test]
fn a_whole_message_goes_back_only_where_it_can_stand_in_another() {
    let (to, address) = (
        Address::parse("a@b.example").unwrap(),
        Address::parse("c@d.example").unwrap(),
    );
    let long = format!("A: b\r\n\r\n{}\r\n", "x".repeat(LINE_BYTES_MAX + 1));
    let why = refused();
    for (original, kind, encoding) in [
        (&b"A: b\r\n\r\ntext\r\n"[..], "message/rfc822", "7bit"),
        (b"A: b\r\n\r\nno end", "message/rfc822", "7bit"),
        (
            "A: b\r\n\r\n\u{e9}\r\n".as_bytes(),
            "message/rfc822",
            "8bit",
        ),
        (
            "A: \u{e9}\r\n\r\nx\r\n".as_bytes(),
            "message/global",
            "8bit",
        ),
        (b"A: b\r\n\r\nbare\nline\r\n", "text/rfc822-headers", "7bit"),
        (b"A: b\r\n\r\nbare\rline\r\n", "text/rfc822-headers", "7bit"),
        (b"A: b\r\n\r\n\0\r\n", "text/rfc822-headers", "7bit"),
        (long.as_bytes(), "text/rfc822-headers", "7bit"),
    ] {
        let built = build(&Facts {
            id: MessageId::from_bytes([1; 16]),
            original: MessageId::from_bytes([2; 16]),
            options: &MailOptions::default(),
            reporter: "mail.here.example",
            to: &to,
            received: Timestamp::from_secs(1),
            now: Timestamp::from_secs(2),
            recipients: &[Entry {
                address: &address,
                original: None,
                event: Event::Failed,
                why: Some(&why),
                attempted: None,
                late: false,
            }],
            beginning: original,
            whole: true,
        });
        let text = String::from_utf8(built.bytes).unwrap();
        assert!(
            text.contains(&format!("\r\nContent-Type: {kind}\r\n")),
            "{text}"
        );
        assert_eq!(built.eight_bit, encoding == "8bit");
        let labels = text.matches("Content-Transfer-Encoding: 8bit").count();
        assert_eq!(labels, 2 * usize::from(built.eight_bit), "{text}");
    }
}
