//! The header fields that mail clients list messages with, kept beside the facts.
//!
//! RFC 3501 6.4.5 HEADER.FIELDS. A client that opens a mailbox asks for a dozen fields of every
//! message; the excerpt holds them as they stand in the header, so that the messages themselves
//! need not be read. It is whole or not there: a header with too much of these fields, a field
//! that was cut or no empty line has none. No field that a server puts before a message that has
//! arrived (Received, Return-Path, Authentication-Results, DKIM-Signature) may be among them.

use super::header::{Select, select_fields, split_name};

/// Takes the fields of a header, one after the other.
#[derive(Debug, Default)]
pub struct Excerpt {
    bytes: Vec<u8>,
    header_bytes: u64,
    is_void: bool,
}

impl Excerpt {
    /// Takes the next field with its line endings; `length` is its true one.
    pub fn field(&mut self, field: &[u8], length: u64) {
        self.header_bytes = self.header_bytes.saturating_add(length);
        if !is_among(split_name(field).0) {
            return;
        }
        let is_cut = u64::try_from(field.len()) != Ok(length);
        let room = EXCERPT_BYTES_MAX.saturating_sub(self.bytes.len());
        self.is_void |= is_cut || field.len() > room;
        if !self.is_void {
            self.bytes.extend_from_slice(field);
        }
    }

    /// The header has ended with an empty line: what of it is kept, with such a line.
    pub fn finish(mut self) -> Option<Box<[u8]>> {
        if self.is_void || self.header_bytes > HEADER_BYTES_MAX {
            return None;
        }
        self.bytes.extend_from_slice(b"\r\n");
        Some(self.bytes.into())
    }
}

/// The wanted fields of the header that `excerpt` was made of, as [`select_fields`] has them;
/// `None` when the excerpt cannot tell.
pub fn select<N: AsRef<[u8]>>(excerpt: &[u8], names: &[N], select: Select) -> Option<Vec<u8>> {
    let can_tell = select == Select::Only && names.iter().all(|name| is_among(name.as_ref()));
    can_tell.then(|| select_fields(excerpt, names, select))
}

fn is_among(name: &[u8]) -> bool {
    let of_length = |known: &&&str| known.len() == name.len();
    let mut candidates = NAMES.iter().filter(of_length);
    candidates.any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// What Thunderbird, mutt, K-9, Roundcube and their like ask for to show a list of messages.
const NAMES: &[&str] = &[
    "Bcc",
    "Cc",
    "Chat-Version",
    "Content-Description",
    "Content-Type",
    "Date",
    "Disposition-Notification-To",
    "From",
    "Importance",
    "In-Reply-To",
    "Lines",
    "List-Id",
    "List-Post",
    "List-Subscribe",
    "List-Unsubscribe",
    "Mail-Followup-To",
    "Mail-Reply-To",
    "Message-ID",
    "MIME-Version",
    "Newsgroups",
    "Priority",
    "References",
    "Reply-To",
    "Resent-Message-ID",
    "Sender",
    "Subject",
    "To",
    "X-K9mail-Identity",
    "X-Label",
    "X-Original-To",
    "X-Priority",
];
/// LIM-30: an excerpt with more bytes is not kept.
const EXCERPT_BYTES_MAX: usize = 4 * 1024;
/// LIM-29: of a header this long not all fields are looked at by everybody.
const HEADER_BYTES_MAX: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::mime::{Bounds, Scanner};

    fn excerpt_of(message: &[u8]) -> Option<Box<[u8]>> {
        let mut scanner = Scanner::new(Bounds::default());
        scanner.feed(message);
        scanner.finish().excerpt
    }

    #[test]
    fn an_excerpt_has_the_listed_fields_as_they_stand() {
        let message =
            "Received: x\r\nsubject : a\r\n\tb\nX: y\r\nnone\r\nTo: c\r\n\r\nFrom: d\r\n\r\n";
        let excerpt = excerpt_of(message.as_bytes()).unwrap();
        assert_eq!(&*excerpt, b"subject : a\r\n\tb\nTo: c\r\n\r\n");
        let selected = |names: &[&str], how| select(&excerpt, names, how);
        assert_eq!(
            selected(&["TO", "cc"], Select::Only).as_deref(),
            Some(&b"To: c\r\n\r\n"[..])
        );
        assert_eq!(selected(&["To", "X"], Select::Only), None);
        assert_eq!(selected(&["To"], Select::Except), None);
    }

    #[test]
    fn lim_30_too_much_for_an_excerpt_is_none() {
        let long = |bytes| format!("To: {}\r\n\r\n", "a".repeat(bytes));
        assert!(excerpt_of(long(EXCERPT_BYTES_MAX - 6).as_bytes()).is_some());
        assert!(excerpt_of(long(EXCERPT_BYTES_MAX - 5).as_bytes()).is_none());
        // LIM-29: fields that are cut, headers that are not read to their end.
        assert!(excerpt_of(long(200 * 1024).as_bytes()).is_none());
        let header = format!("{}To: a\r\n\r\n", "X: yyyyyyyy\r\n".repeat(22_000));
        assert!(excerpt_of(header.as_bytes()).is_none());
        for message in ["To: a\r\n", "To: a", ""] {
            assert_eq!(excerpt_of(message.as_bytes()), None, "{message}");
        }
        assert_eq!(excerpt_of(b"\r\nTo: a\r\n").as_deref(), Some(&b"\r\n"[..]));
    }

    proptest! {
        #[test]
        fn an_excerpt_tells_what_the_header_tells(
            lines in prop::collection::vec(
                "((to|Cc|X|SUBJECT|date|)( ?:)?)?[ \ta:]{0,9}(\r\n|\n|\r)",
                0..12,
            ),
            names in prop::collection::vec("(to|CC|x|Subject|date)", 1..4),
        ) {
            let message = [lines.concat().as_bytes(), b"\r\n"].concat();
            if let Some(excerpt) = excerpt_of(&message)
                && let Some(selected) = select(&excerpt, &names, Select::Only)
            {
                prop_assert_eq!(selected, select_fields(&message, &names, Select::Only));
            }
        }
    }
}
