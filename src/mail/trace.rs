//! Trace fields: Received and Return-Path (RFC 5321 4.4, RFC 3848, RFC 6531 4.3).
//!
//! Every text of a peer is cut down to characters that can neither close the comment it stands in
//! nor start a clause or a line. Who was authenticated is not told: the transmission type says that
//! somebody was.

use std::{fmt::Write, net::IpAddr};

use super::{
    address::{Address, Domain},
    date::HeaderDate,
    envelope::ReversePath,
    urgency::Priority,
};

/// How a message reached us: gives the protocol name of the `with` clause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transmission {
    /// By LMTP (RFC 2033).
    pub lmtp: bool,
    /// The client said EHLO.
    pub extended: bool,
    /// Over TLS.
    pub encrypted: bool,
    /// After AUTH.
    pub authenticated: bool,
    /// The transaction had SMTPUTF8.
    pub smtputf8: bool,
}

impl Transmission {
    /// RFC 3848 and RFC 6531 4.3 (registry "Mail Transmission Types").
    pub fn name(self) -> &'static str {
        if self.lmtp {
            return self.lmtp_name();
        }
        if !self.extended {
            return "SMTP";
        }
        match (self.smtputf8, self.encrypted, self.authenticated) {
            (false, false, false) => "ESMTP",
            (false, true, false) => "ESMTPS",
            (false, false, true) => "ESMTPA",
            (false, true, true) => "ESMTPSA",
            (true, false, false) => "UTF8SMTP",
            (true, true, false) => "UTF8SMTPS",
            (true, false, true) => "UTF8SMTPA",
            (true, true, true) => "UTF8SMTPSA",
        }
    }

    fn lmtp_name(self) -> &'static str {
        match (self.smtputf8, self.encrypted, self.authenticated) {
            (false, false, false) => "LMTP",
            (false, true, false) => "LMTPS",
            (false, false, true) => "LMTPA",
            (false, true, true) => "LMTPSA",
            (true, false, false) => "UTF8LMTP",
            (true, true, false) => "UTF8LMTPS",
            (true, false, true) => "UTF8LMTPA",
            (true, true, true) => "UTF8LMTPSA",
        }
    }
}

/// What a Received field tells.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The argument of EHLO or HELO, as sent.
    pub helo: &'a [u8],
    /// The name that the client's address has in the DNS, if that was verified.
    pub reverse_name: Option<&'a str>,
    /// The client's address, if it is known.
    pub client: Option<IpAddr>,
    /// This host.
    pub by: &'a Domain,
    /// How it came.
    pub with: Transmission,
    /// TLS version and cipher suite, for the comment.
    pub tls: Option<&'a str>,
    /// The id of the message here.
    pub id: &'a str,
    /// RFC 6710: its priority, if its sender gave one.
    pub priority: Option<Priority>,
    /// The recipient, only when there is exactly one (RFC 5321 7.6: others would learn of it).
    pub recipient: Option<&'a Address>,
    /// When it came, in seconds since 1970.
    pub secs: i64,
}

impl Received<'_> {
    /// The field with its line endings.
    pub fn to_field(&self) -> Vec<u8> {
        let name = self.reverse_name.map(|name| word(name.as_bytes()));
        let client = self.client.map(|ip| Domain::from_ip(ip.to_canonical()));
        // RFC 5321 4.4: without an address it is no more than a comment.
        let known = match (name, client) {
            (Some(name), Some(client)) => format!("{name} {client}"),
            (None, Some(client)) => client.to_string(),
            (Some(name), None) => name,
            (None, None) => "unknown".to_owned(),
        };
        let mut out = format!("Received: from {} ({known})\r\n\tby ", word(self.helo));
        out.push_str(self.by.as_str());
        out.push_str(" with ");
        out.push_str(self.with.name());
        if let Some(tls) = self.tls {
            out.push_str(" (");
            out.push_str(&comment(tls.as_bytes()));
            out.push(')');
        }
        out.push_str("\r\n\tid ");
        out.push_str(&word(self.id.as_bytes()));
        // RFC 6531 3.7.3: an address beyond ASCII may stand only in a UTF8SMTP trace.
        if let Some(address) = self
            .recipient
            .filter(|a| self.with.smtputf8 || a.is_ascii())
        {
            out.push_str(" for <");
            out.push_str(&address.to_string());
            out.push('>');
        }
        // RFC 6710 4: a registered clause.
        if let Some(priority) = self.priority {
            let _ = write!(out, "\r\n\tPRIORITY {priority}");
        }
        out.push_str(";\r\n\t");
        // Writing to a String cannot fail.
        let _ = write!(out, "{}", HeaderDate(self.secs));
        out.push_str("\r\n");
        out.into_bytes()
    }
}

/// The Return-Path field of final delivery (RFC 5321 4.4).
pub fn return_path(sender: &ReversePath) -> Vec<u8> {
    format!("Return-Path: {sender}\r\n").into_bytes()
}

/// A word of a peer inside a clause: a space in it would start the next clause.
fn word(bytes: &[u8]) -> String {
    comment(bytes).replace(' ', "?")
}

/// The letters, digits and marks of host names, literals and cipher suites; the rest as `?`.
fn comment(bytes: &[u8]) -> String {
    let keep = |b: &u8| match b {
        b if b.is_ascii_alphanumeric() => char::from(*b),
        b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'/' | b' ' => char::from(*b),
        _ => '?',
    };
    let text: String = bytes
        .trim_ascii()
        .iter()
        .take(PEER_TEXT_BYTES_MAX)
        .map(keep)
        .collect();
    if text.is_empty() {
        "unknown".to_owned()
    } else {
        text
    }
}

/// RFC 5321 4.5.3.1.2: a domain has at most 255 octets.
const PEER_TEXT_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::header::Fields;

    fn received(helo: &[u8], recipient: Option<&Address>, with: Transmission) -> String {
        let by = Domain::parse("mx.example").unwrap();
        let field = Received {
            helo,
            reverse_name: Some("client.example"),
            client: Some("::ffff:192.0.2.1".parse().unwrap()),
            by: &by,
            with,
            tls: Some("TLSv1.3 TLS_AES_128_GCM_SHA256"),
            id: "01abc",
            priority: Priority::new(-3).filter(|_| with.encrypted),
            recipient,
            secs: 0,
        };
        String::from_utf8(field.to_field()).unwrap()
    }

    #[test]
    fn received_tells_its_story_in_rfc_5321_order() {
        let to = Address::parse("user@example.org").unwrap();
        let with = Transmission {
            extended: true,
            encrypted: true,
            ..Transmission::default()
        };
        assert_eq!(
            received(b"client.example", Some(&to), with),
            "Received: from client.example (client.example [192.0.2.1])\r\n\
             \tby mx.example with ESMTPS (TLSv1.3 TLS_AES_128_GCM_SHA256)\r\n\
             \tid 01abc for <user@example.org>\r\n\
             \tPRIORITY -3;\r\n\
             \tThu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
    }

    #[test]
    fn hdr_01_peer_text_can_leave_neither_its_place_nor_its_line() {
        let helo = b"x) by evil.example; (\r\nBcc: y\0\xff";
        let field = received(helo, None, Transmission::default());
        assert_eq!(Fields::new(field.as_bytes()).count(), 1);
        assert!(
            field.starts_with("Received: from x??by?evil.example?????"),
            "{field}"
        );
        assert!(received(b"", None, Transmission::default()).contains("from unknown ("));
        assert!(received(&[b'h'; 9999], None, Transmission::default()).len() < 600);
    }

    #[test]
    fn unicode_recipients_stand_only_in_unicode_traces() {
        let to = Address::parse("us\u{e9}r@example.org").unwrap();
        let with = |smtputf8| Transmission {
            extended: true,
            smtputf8,
            ..Default::default()
        };
        assert!(!received(b"h", Some(&to), with(false)).contains("for <"));
        assert!(received(b"h", Some(&to), with(true)).contains("for <us\u{e9}r@example.org>;"));
        assert_eq!(with(true).name(), "UTF8SMTP");
    }

    #[test]
    fn return_path_has_the_null_path_too() {
        assert_eq!(return_path(&ReversePath::Null), b"Return-Path: <>\r\n");
    }
}
