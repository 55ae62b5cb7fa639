//! URLs of messages and their parts, as CATENATE has them (RFC 4469 3, RFC 5092).
//!
//! Only what names a message of the login's own server: a path, no scheme and no server. The path
//! begins with a mailbox, or, where one is selected, with the message.

use super::{
    parse::{Scanner, section},
    section::{Partial, Section},
};
use crate::wire::literal::Piece;

/// `/mailbox;UIDVALIDITY=n/;UID=n/;SECTION=s/;PARTIAL=n.n`
#[derive(Debug, PartialEq, Eq)]
pub struct MessageUrl {
    /// The mailbox; none for the selected one.
    pub mailbox: Option<String>,
    /// What its UIDVALIDITY must be.
    pub uid_validity: Option<u32>,
    /// Which message.
    pub uid: u32,
    /// Which part of it.
    pub section: Section,
    /// Which octets of that.
    pub partial: Option<Partial>,
}

impl MessageUrl {
    /// The URL that is spelled so; `None` when it is none, or names something else than a message.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.starts_with("//") {
            return None;
        }
        let at = find(text, ";UID=")?;
        let (before, rest) = text.split_at_checked(at)?;
        let (mailbox, uid_validity) = match before {
            "" => (None, None),
            path => {
                let path = path.strip_suffix('/')?;
                let (mailbox, uid_validity) = mailbox(path.strip_prefix('/').unwrap_or(path))?;
                (Some(mailbox), uid_validity)
            }
        };
        let rest = rest.get(";UID=".len()..)?;
        let (uid, mut rest) = match rest.split_once('/') {
            Some((_, "")) => return None,
            Some((uid, rest)) => (uid, rest),
            None => (rest, ""),
        };
        let mut url = Self {
            mailbox,
            uid_validity,
            uid: number(uid).filter(|uid| *uid > 0)?,
            section: Section::default(),
            partial: None,
        };
        if let Some(0) = find(rest, ";SECTION=") {
            let (section, behind) = match find(rest, "/;PARTIAL=") {
                Some(at) => (rest.get(..at)?, rest.get(at + 1..)?),
                None => (rest, ""),
            };
            url.section = section_named(&decoded(section.get(";SECTION=".len()..)?)?)?;
            rest = behind;
        }
        if let Some(0) = find(rest, ";PARTIAL=") {
            url.partial = Some(partial(rest.get(";PARTIAL=".len()..)?)?);
            rest = "";
        }
        rest.is_empty().then_some(url)
    }
}

/// `enc-mailbox [";UIDVALIDITY=" nz-number]`
fn mailbox(path: &str) -> Option<(String, Option<u32>)> {
    let (name, uid_validity) = match find(path, ";UIDVALIDITY=") {
        Some(at) => {
            let value = number(path.get(at + ";UIDVALIDITY=".len()..)?)?;
            (path.get(..at)?, Some(value))
        }
        None => (path, None),
    };
    // What may be a scheme is none of ours.
    let is_name = !name.is_empty() && !name.contains([';', ':', '?', '#']);
    let name = String::from_utf8(decoded(name)?).ok()?;
    is_name.then_some((name, uid_validity))
}

/// `number ["." nz-number]`
fn partial(text: &str) -> Option<Partial> {
    let (first, length) = match text.split_once('.') {
        Some((first, length)) => (first, number(length).filter(|length| *length > 0)?),
        None => (text, u32::MAX),
    };
    let first = number(first)?;
    Some(Partial {
        first: first.into(),
        length: length.into(),
    })
}

fn section_named(text: &[u8]) -> Option<Section> {
    let pieces = [Piece {
        text,
        literal: None,
    }];
    let mut scanner = Scanner::new(&pieces, None);
    let section = section::section(&mut scanner).ok()?;
    (scanner.is_at_end() && section != Section::default()).then_some(section)
}

/// Where `word` stands, in any case of letters.
fn find(text: &str, word: &str) -> Option<usize> {
    let mut places = text.as_bytes().windows(word.len());
    places.position(|place| place.eq_ignore_ascii_case(word.as_bytes()))
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// RFC 3986 2.1.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            plain => plain,
        };
        out.push(byte);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::imap::proto::section::SectionText;

    #[test]
    fn urls_of_messages_are_paths() {
        let plain = |mailbox: Option<&str>, uid| MessageUrl {
            mailbox: mailbox.map(str::to_owned),
            uid_validity: None,
            uid,
            section: Section::default(),
            partial: None,
        };
        let mime = || Section {
            path: vec![1, 2],
            text: Some(SectionText::Mime),
        };
        for (text, url) in [
            ("/INBOX/;UID=20", plain(Some("INBOX"), 20)),
            ("INBOX/;uid=20", plain(Some("INBOX"), 20)),
            (";UID=20", plain(None, 20)),
            ("/a%20b/c%C3%A9/;UID=1", plain(Some("a b/c\u{e9}"), 1)),
            (
                "/a;UIDVALIDITY=7/;UID=1/;SECTION=1.2.MIME",
                MessageUrl {
                    uid_validity: Some(7),
                    section: mime(),
                    ..plain(Some("a"), 1)
                },
            ),
            (
                "/a/;UID=1/;section=1.2.mime/;partial=5.9",
                MessageUrl {
                    section: mime(),
                    partial: Some(Partial {
                        first: 5,
                        length: 9,
                    }),
                    ..plain(Some("a"), 1)
                },
            ),
            (
                "/a/;UID=1/;PARTIAL=5",
                MessageUrl {
                    partial: Some(Partial {
                        first: 5,
                        length: u32::MAX.into(),
                    }),
                    ..plain(Some("a"), 1)
                },
            ),
        ] {
            assert_eq!(MessageUrl::parse(text.as_bytes()), Some(url), "{text}");
        }
    }

    #[test]
    fn what_names_no_message_of_ours_is_no_url() {
        for text in [
            "",
            "/INBOX",
            "/INBOX/",
            "//server/INBOX/;UID=1",
            "imap://alice@server/INBOX/;UID=1",
            "http://x/;UID=1",
            "/INBOX;UID=1",
            "/;UID=1",
            "/INBOX/;UID=0",
            "/INBOX/;UID=",
            "/INBOX/;UID=x",
            "/INBOX/;UID=1/",
            "/INBOX/;UID=1/x",
            "/INBOX/;UID=1/;SECTION=",
            "/INBOX/;UID=1/;SECTION=x",
            "/INBOX/;UID=1/;SECTION=1/x",
            "/INBOX/;UID=1/;PARTIAL=",
            "/INBOX/;UID=1/;PARTIAL=1.0",
            "/INBOX/;UID=1?x",
            "/INBOX;UIDVALIDITY=x/;UID=1",
            "/a%2/;UID=1",
            "/a%zz/;UID=1",
            "/a%ff/;UID=1",
            "/a b/;UID=1",
        ] {
            assert_eq!(MessageUrl::parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at_without_panic(
            text in "[/;%=.a-f0-9\u{e9}]{0,30}(;UID=[0-9]{0,3})?(/;SECTION=[0-9.MIE%]{0,9})?",
        ) {
            let _ = MessageUrl::parse(text.as_bytes());
        }
    }
}
