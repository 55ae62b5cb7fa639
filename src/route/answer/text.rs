//! An answer as a message. Text of people beyond ASCII goes in Base64, so it passes every server.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::super::report::original::{original_subject, thread};
use crate::{
    base::{clock::Timestamp, ids::MessageId},
    mail::{
        address::Address,
        date::HeaderDate,
        header::{FieldText, field},
        words,
    },
};

/// What an answer is made of.
#[derive(Clone, Copy, Debug)]
pub(in crate::route) struct Answer<'a> {
    /// Names it.
    pub id: MessageId,
    /// Our name, for its Message-ID.
    pub host: &'a str,
    /// The account, by the address that was written to.
    pub from: &'a Address,
    /// Who is answered.
    pub to: &'a Address,
    /// Now.
    pub now: Timestamp,
    /// Empty for that of the message it answers.
    pub subject: &'a str,
    /// What it says.
    pub text: &'a str,
    /// The header of the message it answers.
    pub header: &'a [u8],
}

/// The message.
pub(in crate::route) fn written(answer: &Answer<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |name, text: String| {
        out.extend_from_slice(&field(name, &FieldText::sanitised(text.as_bytes())));
    };
    add("Date", HeaderDate(answer.now.secs()).to_string());
    add("From", format!("<{}>", answer.from));
    add("To", format!("<{}>", answer.to));
    add("Subject", subject(answer));
    add("Message-ID", format!("<{}@{}>", answer.id, answer.host));
    // RFC 3834 3.1.6, RFC 5230 5.8.
    if let Some((id, references)) = thread(answer.header) {
        add("In-Reply-To", id);
        add("References", references);
    }
    // RFC 3834 3.1.7, 5.1.
    add("Auto-Submitted", "auto-replied".to_owned());
    add("MIME-Version", "1.0".to_owned());
    add("Content-Type", "text/plain; charset=utf-8".to_owned());
    let (encoding, body) = body(answer.text);
    add("Content-Transfer-Encoding", encoding.to_owned());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body.as_bytes());
    out
}

/// RFC 3834 3.1.5: one that tells it from an answer by a person.
fn subject(answer: &Answer<'_>) -> String {
    let subject = match (answer.subject, original_subject(answer.header)) {
        ("", Some(original)) => format!("Auto: {original}"),
        ("", None) => "Auto: your message".to_owned(),
        (own, _) => own
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect(),
    };
    words::encode(&subject)
}

/// The text in lines that may be sent, and how it is encoded.
fn body(text: &str) -> (&'static str, String) {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() => ' ',
        c => c,
    };
    let text: String = text.replace("\r\n", "\n").chars().map(shown).collect();
    let lines = text.trim_end().lines();
    let text: String = lines
        .map(|line| format!("{}\r\n", line.trim_end()))
        .collect();
    if text.is_ascii() && text.lines().all(|line| line.len() <= LINE_BYTES_MAX) {
        return ("7bit", text);
    }
    let encoded = BASE64_STANDARD.encode(text);
    let mut folded = String::new();
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(ENCODED_CHARS).unwrap_or((rest, ""));
        folded.push_str(line);
        folded.push_str("\r\n");
        rest = after;
    }
    ("base64", folded)
}

/// RFC 5322 2.1.1.
const LINE_BYTES_MAX: usize = 998;
/// RFC 2045 6.8.
const ENCODED_CHARS: usize = 76;
