//! The part of a report that people read: which message, what became of it, whom it concerns, what
//! to do, and the other server's words.

use std::fmt::Write;

use super::{Entry, Event, Facts, original::original_subject, said, worst};
use crate::{
    base::clock::Timestamp, mail::date::HeaderDate, queue::record::Diagnosis, route::advice,
};

/// What a person reads.
pub(super) fn human_part(facts: &Facts<'_>) -> String {
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
    match entry.event {
        Event::Failed => {
            // The report itself may have waited since.
            let tried = entry.attempted.unwrap_or(facts.now).since(facts.received);
            out.push_str(&wrapped(&advice::after_failure(why, tried), "    "));
        }
        Event::Delayed { .. } => {
            if let Some(text) = advice::of_delay(why.class) {
                out.push_str(&wrapped(text, "    "));
            }
        }
        _ => {}
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

/// Lines of the text for people.
const TEXT_CHARACTERS_MAX: usize = 76;
