//! Delivery status notifications: what a sender is told of a failure, a delay, or a success.
//!
//! Pure: facts in, a message out. RFC 3464 (message/delivery-status), RFC 6522 (multipart/report,
//! text/rfc822-headers), RFC 6533 3 (internationalized addresses in ASCII), RFC 3834 5
//! (Auto-Submitted), RFC 3461 6 (what senders ask for). People come first: which message, which
//! address, what to do (`advice`), the other server's words; then the fields for machines, then the
//! original: its header, or all of it where the sender asked and it is fit for that. Whether a
//! report may be sent at all is the caller's question.

use std::{fmt::Write, net::IpAddr};

use super::advice;

use crate::{
    base::{clock::Timestamp, ids::MessageId},
    mail::{
        address::Address,
        date::HeaderDate,
        dsn::{OriginalRecipient, typed},
        envelope::MailOptions,
        header::{FieldText, Fields, field, header_length},
        words,
    },
    queue::record::{Diagnosis, Status},
};

/// What a report is about.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Names the report.
    pub id: MessageId,
    /// The message it is about.
    pub original: MessageId,
    /// What its sender said of it.
    pub options: &'a MailOptions,
    /// Our name.
    pub reporter: &'a str,
    /// The sender of the original.
    pub to: &'a Address,
    /// When the original was accepted.
    pub received: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// What became of whom; at least one.
    pub recipients: &'a [Entry<'a>],
    /// The beginning of the original, from its first byte.
    pub beginning: &'a [u8],
    /// Whether that is all of it, and its sender wants all of it back.
    pub whole: bool,
}

/// What happened to a recipient (RFC 3464 2.3.3), the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// He will not get the message.
    Failed,
    /// He did not get it yet; attempts go on until then.
    Delayed {
        /// When they end.
        until: Timestamp,
    },
    /// It is in his mailbox.
    Delivered,
    /// Another server took it, and will not say what became of it.
    Relayed,
    /// It goes on to everybody that the address stands for.
    Expanded,
}

/// One recipient of a report.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Who.
    pub address: &'a Address,
    /// Who he was to the sender.
    pub original: Option<&'a OriginalRecipient>,
    /// What happened.
    pub event: Event,
    /// Why, or who said so.
    pub why: Option<&'a Diagnosis>,
    /// When the last attempt was made, if one was.
    pub attempted: Option<Timestamp>,
}

/// A report as a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Its bytes, with CRLF line ends.
    pub bytes: Vec<u8>,
    /// RFC 6531: an address in its header is internationalized.
    pub smtputf8: bool,
    /// RFC 6152: it holds octets beyond ASCII.
    pub eight_bit: bool,
}

/// Writes the report.
pub fn build(facts: &Facts<'_>) -> Built {
    let boundary = format!("{}/{}", facts.id, facts.reporter);
    let mut parts = Vec::new();
    let mut part = |kind: &str, what: &str, content: &[u8]| {
        let encoding = if content.is_ascii() { "7bit" } else { "8bit" };
        let head = format!(
            "--{boundary}\r\nContent-Type: {kind}\r\nContent-Description: {what}\r\n\
             Content-Transfer-Encoding: {encoding}\r\n\r\n"
        );
        parts.extend_from_slice(head.as_bytes());
        parts.extend_from_slice(content);
        parts.extend_from_slice(b"\r\n");
    };
    let text = "text/plain; charset=utf-8";
    part(text, "What happened", human_part(facts).as_bytes());
    let kind = "message/delivery-status";
    let status = status_part(facts);
    part(kind, "The same for programs", status.as_bytes());
    if facts.whole && is_returnable(facts.beginning) {
        // RFC 6533 4: a header beyond ASCII makes it a message of the other type.
        let length = header_length(facts.beginning);
        let ascii = facts.beginning.get(..length).is_some_and(<[u8]>::is_ascii);
        let kind = ["message/global", "message/rfc822"][usize::from(ascii)];
        part(kind, "The message", facts.beginning);
    } else {
        // RFC 6522 4: the header is enough to know the message by, and nobody gets a body back
        // that he did not ask for.
        let header = original_header(facts.beginning);
        part("text/rfc822-headers", "Header of the message", &header);
    }
    parts.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let eight_bit = !parts.is_ascii();
    let mut bytes = header_fields(facts, &boundary, eight_bit);
    bytes.append(&mut parts);
    Built {
        eight_bit,
        smtputf8: !facts.to.is_ascii(),
        bytes,
    }
}

/// Whether the original can stand within another message as it is: in lines of a length that may
/// be sent, without what no message has.
fn is_returnable(original: &[u8]) -> bool {
    let mut lines = original.split(|byte| *byte == b'\n');
    // Behind the last line end there is nothing, or a line without one.
    let rest = lines.next_back().unwrap_or_default();
    let sound =
        |line: &[u8]| line.len() <= LINE_BYTES_MAX && !line.iter().any(|b| b"\r\0".contains(b));
    sound(rest) && lines.all(|line| line.strip_suffix(b"\r").is_some_and(sound))
}

/// The header of the report, with its empty line.
fn header_fields(facts: &Facts<'_>, boundary: &str, eight_bit: bool) -> Vec<u8> {
    let reporter = facts.reporter;
    let event = match worst(facts) {
        Event::Failed => "Undelivered",
        Event::Delayed { .. } => "Delayed",
        Event::Delivered => "Delivered",
        Event::Relayed | Event::Expanded => "Passed on",
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
    if eight_bit {
        // RFC 2045 6.4: what holds such a part says so, too.
        add("Content-Transfer-Encoding", "8bit".to_owned());
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// What the report is mostly about.
fn worst(facts: &Facts<'_>) -> Event {
    let mut events = facts.recipients.iter().map(|entry| entry.event);
    let first = events.next().unwrap_or(Event::Failed);
    events.fold(first, |worst, event| {
        if event.rank() < worst.rank() {
            event
        } else {
            worst
        }
    })
}

impl Event {
    /// RFC 3464 2.3.3.
    fn action(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed { .. } => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }

    /// The worst is the first to be told.
    fn rank(self) -> u8 {
        match self {
            Self::Failed => 0,
            Self::Delayed { .. } => 1,
            Self::Delivered => 2,
            Self::Relayed => 3,
            Self::Expanded => 4,
        }
    }

    /// What became of the message, for a person.
    fn told(self) -> &'static str {
        match self {
            Self::Failed => {
                "COULD NOT BE DELIVERED to the recipients below. No more attempts are made."
            }
            Self::Delayed { .. } => "could not be delivered so far to the recipients below.",
            Self::Delivered => "WAS DELIVERED to the mailboxes of the recipients below.",
            Self::Relayed => {
                "WAS PASSED ON to the servers of the recipients below. They will tell you if it \
                 fails, but not that it was delivered."
            }
            Self::Expanded => "WAS PASSED ON to everybody whom the addresses below stand for.",
        }
    }
}

/// What a person reads.
fn human_part(facts: &Facts<'_>) -> String {
    let date = |time: Timestamp| HeaderDate(time.secs());
    let mut out = format!("This is the mail server {}.\r\n\r\n", facts.reporter);
    let about = match worst(facts) {
        Event::Delayed { until } => format!(
            "DELAYED, NOT LOST: you need not send it again. Attempts go on until {}, and if they \
             fail for good you will be told. Your message",
            date(until)
        ),
        _ => "Your message".to_owned(),
    };
    out.push_str(&wrapped(&about, ""));
    out.push_str("\r\n");
    if let Some(subject) = original_subject(facts.beginning) {
        let _ = write!(out, "    Subject: {subject}\r\n");
    }
    let _ = write!(out, "    Accepted: {}\r\n", date(facts.received));
    let _ = write!(out, "    Number in our log: {}\r\n\r\n", facts.original);
    let mut entries: Vec<_> = facts.recipients.iter().collect();
    entries.sort_by_key(|entry| entry.event.rank());
    for (at, group) in entries
        .chunk_by(|a, b| a.event.rank() == b.event.rank())
        .enumerate()
    {
        let told = group.first().map_or("", |entry| entry.event.told());
        if at == 0 {
            out.push_str(&wrapped(told, ""));
            out.push_str("Recipients who are not named here are not concerned.\r\n");
        } else {
            out.push_str("\r\n");
            out.push_str(&wrapped(&format!("It {told}"), ""));
        }
        for entry in group {
            human_entry(facts, entry, &mut out);
        }
    }
    out
}

/// One recipient, for a person.
fn human_entry(facts: &Facts<'_>, entry: &Entry<'_>, out: &mut String) {
    let _ = write!(out, "\r\n<{}>\r\n", entry.address);
    let Some(why) = entry.why else {
        return;
    };
    if entry.event == Event::Failed {
        // The report itself may have waited since.
        let tried = entry.attempted.unwrap_or(facts.now).since(facts.received);
        let text = advice::after_failure(why.status, tried);
        out.push_str(&wrapped(&text, "    "));
    }
    out.push_str(&reason(why));
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
    let mut out = String::new();
    if let Some(id) = &facts.options.envelope_id {
        // RFC 3461 6.3 (a).
        let _ = write!(out, "Original-Envelope-Id: {}\r\n", id.decoded());
    }
    let _ = write!(out, "Reporting-MTA: dns; {}\r\n", facts.reporter);
    let _ = write!(out, "X-Buzon-Message: {}\r\n", facts.original);
    let date = |time: Timestamp| HeaderDate(time.secs());
    let _ = write!(out, "Arrival-Date: {}\r\n", date(facts.received));
    for entry in facts.recipients {
        out.push_str("\r\n");
        if let Some(original) = entry.original {
            // RFC 3461 6.3 (d).
            let _ = write!(out, "Original-Recipient: {}\r\n", original.typed());
        }
        let _ = write!(out, "Final-Recipient: {}\r\n", typed(entry.address));
        let status = entry.why.map_or(Status(2, 0, 0), |why| why.status);
        let action = entry.event.action();
        let _ = write!(out, "Action: {action}\r\nStatus: {status}\r\n");
        match entry.why {
            Some(why) if why.code > 0 => {
                // RFC 3464 2.3.6: with a Remote-MTA the words are its own.
                if let Some(host) = &why.host {
                    let _ = write!(out, "Remote-MTA: dns; {}\r\n", mta_name(host));
                }
                let _ = write!(out, "Diagnostic-Code: smtp; {}\r\n", ascii(&said(why)));
            }
            Some(why) => {
                let _ = write!(out, "Diagnostic-Code: x-buzon; {}\r\n", ascii(why.text()));
            }
            None => {}
        }
        if let Some(at) = entry.attempted {
            let _ = write!(out, "Last-Attempt-Date: {}\r\n", date(at));
        }
        if let Event::Delayed { until } = entry.event {
            let _ = write!(out, "Will-Retry-Until: {}\r\n", date(until));
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
pub const HEADER_BYTES_MAX: usize = 32 * 1024;
/// RFC 3461 6.2: a longer message never goes back whole; what has no more is in memory anyway
/// (LIM-36).
pub const WHOLE_BYTES_MAX: u64 = 256 * 1024;
/// RFC 5322 2.1.1.
const LINE_BYTES_MAX: usize = 998;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::record::Status;

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
}
