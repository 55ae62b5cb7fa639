//! Delivery status notifications: what a sender is told of a failure or a delay.
//!
//! Pure: facts in, a message out. RFC 3464 (message/delivery-status), RFC 6522 (multipart/report,
//! text/rfc822-headers), RFC 6533 3 (internationalized addresses in ASCII), RFC 3834 5
//! (Auto-Submitted). People come first: which message, which address, what to do (`advice`), the
//! other server's words; then the fields for machines, then the header of the original. Its body is
//! never returned, its header is bounded. Whether a report may be sent at all is the caller's
//! question.

use std::{fmt::Write, net::IpAddr};

use super::advice;

use crate::{
    base::{clock::Timestamp, ids::MessageId},
    mail::{
        address::Address,
        date::HeaderDate,
        header::{FieldText, Fields, field, header_length},
        words,
    },
    queue::record::{Diagnosis, Status},
};

/// What a report is about.
#[derive(Clone, Debug)]
pub(super) struct Facts<'a> {
    /// What happened.
    pub(super) kind: Kind,
    /// Names the report.
    pub(super) id: MessageId,
    /// The message it is about.
    pub(super) original: MessageId,
    /// Our name.
    pub(super) reporter: &'a str,
    /// The sender of the original.
    pub(super) to: &'a Address,
    /// When the original was accepted.
    pub(super) received: Timestamp,
    /// Now.
    pub(super) now: Timestamp,
    /// Who did not get it, and why.
    pub(super) recipients: &'a [Entry<'a>],
    /// The beginning of the original, from its first byte.
    pub(super) beginning: &'a [u8],
}

/// What happened to the recipients of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// They will not get the message.
    Failed,
    /// They did not get it yet; attempts go on until then.
    Delayed {
        /// When they end.
        until: Timestamp,
    },
}

/// One recipient of a report.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// Who did not get the message.
    pub(super) address: &'a Address,
    /// Why.
    pub(super) why: &'a Diagnosis,
    /// When the last attempt was made, if one was.
    pub(super) attempted: Option<Timestamp>,
}

/// A report as a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Built {
    /// Its bytes, with CRLF line ends.
    pub(super) bytes: Vec<u8>,
    /// RFC 6531: an address in its header is internationalized.
    pub(super) smtputf8: bool,
    /// RFC 6152: it holds octets beyond ASCII.
    pub(super) eight_bit: bool,
}

/// Writes the report.
pub(super) fn build(facts: &Facts<'_>) -> Built {
    let boundary = format!("{}/{}", facts.id, facts.reporter);
    let human = human_part(facts);
    let header = original_header(facts.beginning);
    let mut out = header_fields(facts, &boundary);
    let part = |out: &mut Vec<u8>, kind: &str, what: &str, content: &[u8]| {
        let encoding = if content.is_ascii() { "7bit" } else { "8bit" };
        let head = format!(
            "--{boundary}\r\nContent-Type: {kind}\r\nContent-Description: {what}\r\n\
             Content-Transfer-Encoding: {encoding}\r\n\r\n"
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(content);
        out.extend_from_slice(b"\r\n");
    };
    let text = "text/plain; charset=utf-8";
    part(&mut out, text, "What happened", human.as_bytes());
    let status = status_part(facts);
    let kind = "message/delivery-status";
    part(&mut out, kind, "The same for programs", status.as_bytes());
    // RFC 6522 4: the header is enough to know the message by, and nobody gets a body back that is
    // not his.
    let kind = "text/rfc822-headers";
    part(&mut out, kind, "Header of the message", &header);
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Built {
        eight_bit: !out.is_ascii(),
        smtputf8: !facts.to.is_ascii(),
        bytes: out,
    }
}

/// The header of the report, with its empty line.
fn header_fields(facts: &Facts<'_>, boundary: &str) -> Vec<u8> {
    let reporter = facts.reporter;
    let event = match facts.kind {
        Kind::Failed => "Undelivered",
        Kind::Delayed { .. } => "Delayed",
    };
    let subject = match original_subject(facts.beginning) {
        Some(subject) => words::encode(&format!("{event}: {subject}")),
        None => format!("{event}: your message"),
    };
    let mut out = Vec::new();
    let mut add = |name, text: String| {
        out.extend_from_slice(&field(name, &FieldText::sanitised(text.as_bytes())));
    };
    add("Date", HeaderDate(facts.now.secs()).to_string());
    add(
        "From",
        format!("Mail Delivery System <MAILER-DAEMON@{reporter}>"),
    );
    add("To", format!("<{}>", facts.to));
    add("Subject", subject);
    add("Message-ID", format!("<{}@{reporter}>", facts.id));
    if let Some((id, references)) = thread(facts.beginning) {
        add("In-Reply-To", id);
        add("References", references);
    }
    // RFC 3834 5: no machine shall answer this.
    add("Auto-Submitted", "auto-replied".to_owned());
    add("MIME-Version", "1.0".to_owned());
    let kind = "multipart/report; report-type=delivery-status;";
    add("Content-Type", format!("{kind} boundary=\"{boundary}\""));
    out.extend_from_slice(b"\r\n");
    out
}

/// What a person reads.
fn human_part(facts: &Facts<'_>) -> String {
    let date = |time: Timestamp| HeaderDate(time.secs());
    let mut out = format!("This is the mail server {}.\r\n\r\n", facts.reporter);
    let about = match facts.kind {
        Kind::Failed => "Your message".to_owned(),
        Kind::Delayed { until } => {
            let text = format!(
                "DELAYED, NOT LOST: you need not send it again. Attempts go on until {}, and if \
                 they fail for good you will be told. Your message",
                date(until)
            );
            text
        }
    };
    out.push_str(&wrapped(&about, ""));
    out.push_str("\r\n");
    if let Some(subject) = original_subject(facts.beginning) {
        let _ = write!(out, "    Subject: {subject}\r\n");
    }
    let _ = write!(out, "    Accepted: {}\r\n", date(facts.received));
    let _ = write!(out, "    Number in our log: {}\r\n\r\n", facts.original);
    out.push_str(match facts.kind {
        Kind::Failed => {
            "COULD NOT BE DELIVERED to the recipients below. No more attempts are made."
        }
        Kind::Delayed { .. } => "could not be delivered so far to the recipients below.",
    });
    out.push_str("\r\nRecipients who are not named here are not concerned.\r\n");
    for entry in facts.recipients {
        let _ = write!(out, "\r\n<{}>\r\n", entry.address);
        if facts.kind == Kind::Failed {
            // The report itself may have waited since.
            let tried = entry.attempted.unwrap_or(facts.now).since(facts.received);
            let text = advice::after_failure(entry.why.status, tried);
            out.push_str(&wrapped(&text, "    "));
        }
        out.push_str(&reason(entry.why));
    }
    out
}

/// Who said what, for a person.
fn reason(why: &Diagnosis) -> String {
    let ours = || format!("{} ({})", why.text(), why.status);
    match &why.host {
        Some(host) if why.code > 0 => {
            format!("    {host} said:\r\n{}", wrapped(&said(why), "        "))
        }
        Some(host) => format!("    {host}:\r\n{}", wrapped(&ours(), "        ")),
        None => wrapped(&ours(), "    "),
    }
}

/// The reply of the other server. A status that it did not give is not put into its mouth.
fn said(why: &Diagnosis) -> String {
    match why.status {
        Status(_, 0, 0) => format!("{} {}", why.code, why.text()),
        status => format!("{} {status} {}", why.code, why.text()),
    }
}

/// `text` in lines that a terminal shows whole, each behind `indent`.
fn wrapped(text: &str, indent: &str) -> String {
    let (mut out, mut line) = (String::new(), indent.to_owned());
    for word in text.split_whitespace() {
        let begun = line.len() > indent.len();
        if begun && line.chars().count() + word.chars().count() >= TEXT_CHARACTERS_MAX {
            let _ = write!(out, "{line}\r\n");
            line.truncate(indent.len());
        } else if begun {
            line.push(' ');
        }
        line.push_str(word);
    }
    out + &line + "\r\n"
}

/// RFC 3464 2: fields for the message, then fields for each recipient.
fn status_part(facts: &Facts<'_>) -> String {
    let mut out = format!("Reporting-MTA: dns; {}\r\n", facts.reporter);
    let _ = write!(out, "X-Buzon-Message: {}\r\n", facts.original);
    let date = |time: Timestamp| HeaderDate(time.secs());
    let _ = write!(out, "Arrival-Date: {}\r\n", date(facts.received));
    for entry in facts.recipients {
        let why = entry.why;
        let action = match facts.kind {
            Kind::Failed => "failed",
            Kind::Delayed { .. } => "delayed",
        };
        out.push_str("\r\n");
        let _ = write!(out, "Final-Recipient: {}\r\n", typed(entry.address));
        let _ = write!(out, "Action: {action}\r\nStatus: {}\r\n", why.status);
        if why.code > 0 {
            // RFC 3464 2.3.6: with a Remote-MTA the words are its own.
            if let Some(host) = &why.host {
                let _ = write!(out, "Remote-MTA: dns; {}\r\n", mta_name(host));
            }
            let _ = write!(out, "Diagnostic-Code: smtp; {}\r\n", ascii(&said(why)));
        } else {
            let _ = write!(out, "Diagnostic-Code: x-buzon; {}\r\n", ascii(why.text()));
        }
        if let Some(at) = entry.attempted {
            let _ = write!(out, "Last-Attempt-Date: {}\r\n", date(at));
        }
        if let Kind::Delayed { until } = facts.kind {
            let _ = write!(out, "Will-Retry-Until: {}\r\n", date(until));
        }
    }
    out
}

/// An address with its type; RFC 6533 3 utf-8-addr-xtext where ASCII does not do.
fn typed(address: &Address) -> String {
    let text = address.to_string();
    if text.is_ascii() {
        return format!("rfc822; {text}");
    }
    let mut out = "utf-8; ".to_owned();
    for c in text.chars() {
        if c.is_ascii_graphic() && !matches!(c, '\\' | '+' | '=') {
            out.push(c);
        } else {
            let _ = write!(out, "\\x{{{:X}}}", u32::from(c));
        }
    }
    out
}

/// RFC 3464 2.1: the status part is seven-bit.
fn ascii(text: &str) -> String {
    let shown = |c: char| {
        if c == ' ' || c.is_ascii_graphic() {
            c
        } else {
            '?'
        }
    };
    text.chars().map(shown).collect()
}

/// The header of the original, line by line, bounded.
fn original_header(beginning: &[u8]) -> Vec<u8> {
    let length = header_length(beginning).min(HEADER_BYTES_MAX);
    let mut out = Vec::with_capacity(length);
    for line in beginning
        .get(..length)
        .unwrap_or_default()
        .split(|b| *b == b'\n')
    {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        let line = line.get(..LINE_BYTES_MAX).unwrap_or(line);
        out.extend(
            line.iter()
                .map(|b| if matches!(b, b'\r' | 0) { b' ' } else { *b }),
        );
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// RFC 3464 2.3.5: the name of a host, without the address that is shown to people behind it.
fn mta_name(host: &str) -> String {
    let name = host.split(" [").next().unwrap_or(host);
    let literal = name.trim_start_matches('[').trim_end_matches(']');
    match literal.parse() {
        Ok(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
        Ok(IpAddr::V4(_)) | Err(_) => ascii(name),
    }
}

/// The value of the first field of the original that is called `name`.
fn original_field(beginning: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut fields = Fields::new(beginning.get(..HEADER_BYTES_MAX).unwrap_or(beginning));
    let found = fields.find(|field| field.is(name))?;
    Some(found.unfolded().into_owned())
}

/// The subject of the original as people know it, bounded and on one line.
fn original_subject(beginning: &[u8]) -> Option<String> {
    let subject = words::decode(&original_field(beginning, "Subject")?);
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let subject: String = subject.chars().map(shown).collect();
    let subject = subject.trim();
    let short: String = subject.chars().take(SUBJECT_CHARACTERS_MAX).collect();
    let cut = if short.len() < subject.len() {
        "..."
    } else {
        ""
    };
    (!short.is_empty()).then(|| short + cut)
}

/// RFC 5322 3.6.4: what the report answers, and the thread that it belongs to, as far as there is
/// room for it.
fn thread(beginning: &[u8]) -> Option<(String, String)> {
    let id = original_field(beginning, "Message-ID")?;
    let id = message_ids(&id).next()?;
    let parents = original_field(beginning, "References").unwrap_or_default();
    let parents: Vec<_> = message_ids(&parents).collect();
    let mut references = id.clone();
    for parent in parents.iter().rev() {
        if references.len() + parent.len() >= REFERENCES_BYTES_MAX {
            break;
        }
        references = format!("{parent} {references}");
    }
    Some((id, references))
}

/// The message ids of a field that can be repeated.
fn message_ids(value: &[u8]) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(value).into_owned();
    let sound = |id: &String| {
        id.len() <= 250
            && id.starts_with('<')
            && id.ends_with('>')
            && id.bytes().all(|b| b.is_ascii_graphic())
    };
    let ids: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
    ids.into_iter().filter(sound)
}

/// Lines of the text for people.
const TEXT_CHARACTERS_MAX: usize = 76;
/// How much of the subject is repeated.
const SUBJECT_CHARACTERS_MAX: usize = 100;
/// How much of the thread.
const REFERENCES_BYTES_MAX: usize = 450;
/// How much of the original's header goes back at most.
pub(super) const HEADER_BYTES_MAX: usize = 32 * 1024;
/// RFC 5322 2.1.1.
const LINE_BYTES_MAX: usize = 998;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::record::Status;

    fn built(kind: Kind, to: &str, recipient: &str, why: &Diagnosis, original: &[u8]) -> String {
        let (to, recipient) = (
            Address::parse(to).unwrap(),
            Address::parse(recipient).unwrap(),
        );
        let facts = Facts {
            kind,
            id: MessageId::from_bytes([1; 16]),
            original: MessageId::from_bytes([2; 16]),
            reporter: "mail.here.example",
            to: &to,
            received: Timestamp::from_secs(1_000_000_000),
            now: Timestamp::from_secs(1_000_003_600),
            recipients: &[Entry {
                address: &recipient,
                why,
                attempted: Some(Timestamp::from_secs(1_000_003_599)),
            }],
            beginning: original,
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
            Kind::Failed,
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
        let text = built(Kind::Failed, to, recipient, &refused(), ORIGINAL);
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
        let text = built(Kind::Failed, to, recipient, &plain, b"\r\n");
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
        let text = built(Kind::Failed, to, recipient, &refused(), original.as_bytes());
        assert!(text.contains("    Subject: caf\u{e9}\r\n"));
        let subject = text.lines().find(|line| line.starts_with("Subject: "));
        let value = subject.unwrap().strip_prefix("Subject: ").unwrap();
        assert!(value.is_ascii());
        assert_eq!(words::decode(value.as_bytes()), "Undelivered: caf\u{e9}");
        let long = format!("Subject: {}\r\n\r\n", "x".repeat(600));
        let text = built(Kind::Failed, to, recipient, &refused(), long.as_bytes());
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
            Kind::Delayed { until },
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
            Kind::Failed,
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
            Kind::Failed,
            "a@b.example",
            "c@d.example",
            &refused(),
            original.as_bytes(),
        );
        assert!(text.len() < HEADER_BYTES_MAX + 4096);
        assert!(text.lines().all(|line| line.len() <= 998));
        let odd = b"A: b\rc\0d\nE: f\n\nbody";
        let text = built(Kind::Failed, "a@b.example", "c@d.example", &refused(), odd);
        assert!(text.contains("\r\nA: b c d\r\nE: f\r\n\r\n--"));
    }
}
