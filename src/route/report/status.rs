//! The part of a report that programs read (RFC 3464 2): fields of the message, then fields of each
//! recipient, all in ASCII.

use std::{fmt::Write, net::IpAddr};

use super::{Event, Facts, said};
use crate::{
    base::clock::Timestamp,
    mail::{date::HeaderDate, dsn::typed},
    queue::record::Status,
};

/// RFC 3464 2: fields for the message, then fields for each recipient.
pub(super) fn status_part(facts: &Facts<'_>) -> String {
    let mut out = String::new();
    if let Some(id) = &facts.options.envelope_id {
        // RFC 3461 6.3 (a).
        let _ = write!(out, "Original-Envelope-Id: {}\r\n", id.decoded());
    }
    let _ = write!(out, "Reporting-MTA: dns; {}\r\n", facts.reporter);
    let _ = write!(out, "X-Buzon-Message: {}\r\n", facts.original);
    let date = |time: Timestamp| HeaderDate(time.secs());
    let _ = write!(out, "Arrival-Date: {}\r\n", date(facts.received));
    if let Some(by) = facts.options.deliver_by {
        // RFC 2852 5.
        let _ = write!(out, "Deliver-By-Date: {}\r\n", date(by.at));
    }
    if let Some(release) = facts.options.release {
        // RFC 4865 5.
        let _ = write!(out, "Future-Release-Request: {release}\r\n");
    }
    for entry in facts.recipients {
        out.push_str("\r\n");
        if let Some(original) = entry.original {
            // RFC 3461 6.3 (d).
            let _ = write!(out, "Original-Recipient: {}\r\n", original.typed());
        }
        let _ = write!(out, "Final-Recipient: {}\r\n", typed(entry.address));
        let status = match entry.late {
            // RFC 2852 4.
            true => Status(4, 4, 7),
            false => entry.why.map_or(Status(2, 0, 0), |why| why.status),
        };
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

/// RFC 3464 2.3.5: the name of a host, without the address that is shown to people behind it.
pub(super) fn mta_name(host: &str) -> String {
    let name = host.split(" [").next().unwrap_or(host);
    let literal = name.trim_start_matches('[').trim_end_matches(']');
    match literal.parse() {
        Ok(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
        Ok(IpAddr::V4(_)) | Err(_) => ascii(name),
    }
}
