//! Delivery status notifications: what a sender is told of a failure, a delay, or a success.
//!
//! Pure: facts in, a message out. RFC 3464 (message/delivery-status), RFC 6522 (multipart/report,
//! text/rfc822-headers), RFC 6533 3 (internationalized addresses in ASCII), RFC 3834 5
//! (Auto-Submitted), RFC 3461 6 (what senders ask for). People come first: which message, which
//! address, what to do (`advice`), the other server's words; then the fields for machines, then the
//! original: its header, or all of it where the sender asked and it is fit for that. Whether a
//! report may be sent at all is the caller's question.

mod human;
pub(super) mod original;
mod status;
#[cfg(test)]
mod tests;

use human::human_part;
use original::{is_returnable, original_header, original_subject, thread};
use status::status_part;

pub use original::{HEADER_BYTES_MAX, WHOLE_BYTES_MAX};

use crate::{
    base::{clock::Timestamp, ids::MessageId},
    mail::{
        address::Address,
        date::HeaderDate,
        dsn::OriginalRecipient,
        envelope::MailOptions,
        header::{FieldText, field, header_length},
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
    /// RFC 2852: what happened is that the time is over in which the message was wanted.
    pub late: bool,
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

/// The reply of the other server. A status that it did not give is not put into its mouth.
fn said(why: &Diagnosis) -> String {
    match why.status {
        Status(_, 0, 0) => format!("{} {}", why.code, why.text()),
        status => format!("{} {status} {}", why.code, why.text()),
    }
}
