//! The fields of an ENVELOPE as texts to search in, read from the form it is sent in.
//!
//! RFC 3501 7.4.2. FROM, SUBJECT and their kin are decided by this, so that finding a sender among
//! ten thousand messages reads no message. Sender and Reply-To are not offered: in an envelope they
//! may stand for From. Pure; written by ourselves, so what cannot be read is merely not found here.

/// The envelope's members whose text is that of a header field, by lower-case name.
const MEMBERS: [(&str, usize); 7] = [
    ("subject", 1),
    ("from", 2),
    ("to", 5),
    ("cc", 6),
    ("bcc", 7),
    ("in-reply-to", 8),
    ("message-id", 9),
];

/// What an envelope says about a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Its text, not decoded.
    Text(Vec<u8>),
    /// There is no such field, or nothing in it.
    Nothing,
    /// Envelopes do not tell of this field.
    Unknown,
}

/// What `envelope` says about the field with this lower-case name.
pub fn field(envelope: &[u8], name: &str) -> Said {
    match member(envelope, name) {
        Some(Value::Nil) => Said::Nothing,
        Some(Value::Text(text)) => Said::Text(text),
        Some(Value::List(list)) => Said::Text(addresses(list)),
        None => Said::Unknown,
    }
}

/// What `envelope` says of all the fields that it tells of: lower-case names, texts not decoded.
pub fn fields(envelope: &[u8]) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let said = |(name, _): &(&'static str, usize)| match field(envelope, name) {
        Said::Text(text) => Some((*name, text)),
        Said::Nothing | Said::Unknown => None,
    };
    MEMBERS.iter().filter_map(said)
}

/// The members of an address, not decoded (RFC 3501 7.4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstAddress {
    /// `addr-name`
    pub name: Option<Vec<u8>>,
    /// `addr-mailbox`; the name of a group, when there is no host.
    pub mailbox: Option<Vec<u8>>,
    /// `addr-host`
    pub host: Option<Vec<u8>>,
}

/// The first address of the field with this lower-case name, if it is one of addresses.
pub fn first_address(envelope: &[u8], name: &str) -> Option<FirstAddress> {
    let list = match member(envelope, name)? {
        Value::List(list) => list,
        Value::Nil | Value::Text(_) => return None,
    };
    let Some(Value::List(address)) = Reader(list).value() else {
        return None;
    };
    let mut members = Reader(address);
    let mut member = || match members.value() {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    let (name, _route) = (member(), member());
    Some(FirstAddress {
        name,
        mailbox: member(),
        host: member(),
    })
}

/// The member of an envelope that is the field with this lower-case name.
fn member<'a>(envelope: &'a [u8], name: &str) -> Option<Value<'a>> {
    let (_, before) = MEMBERS.iter().find(|(known, _)| *known == name)?;
    let mut reader = Reader(envelope);
    reader.skip_byte(b'(')?;
    for _ in 0..*before {
        reader.value()?;
    }
    reader.value()
}

/// One value, as far as it is looked at.
enum Value<'a> {
    Nil,
    Text(Vec<u8>),
    /// The inside of a list.
    List(&'a [u8]),
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn skip_byte(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    /// The next value, with the space before it.
    fn value(&mut self) -> Option<Value<'a>> {
        self.0 = self.0.strip_prefix(b" ").unwrap_or(self.0);
        match self.0 {
            [b'(', inside @ ..] => {
                let mut rest = Reader(inside);
                while !rest.0.starts_with(b")") {
                    rest.value()?;
                }
                let length = inside.len() - rest.0.len();
                rest.skip_byte(b')')?;
                self.0 = rest.0;
                inside.get(..length).map(Value::List)
            }
            [b'"', rest @ ..] => {
                self.0 = rest;
                self.quoted().map(Value::Text)
            }
            [b'{', rest @ ..] => {
                self.0 = rest;
                self.literal().map(Value::Text)
            }
            _ => {
                self.0 = self.0.strip_prefix(b"NIL")?;
                Some(Value::Nil)
            }
        }
    }

    fn quoted(&mut self) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        loop {
            let special = self
                .0
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\'))?;
            let (plain, rest) = self.0.split_at_checked(special)?;
            text.extend_from_slice(plain);
            match rest {
                [b'\\', escaped, rest @ ..] => {
                    text.push(*escaped);
                    self.0 = rest;
                }
                [_, rest @ ..] => {
                    self.0 = rest;
                    return Some(text);
                }
                [] => return None,
            }
        }
    }

    fn literal(&mut self) -> Option<Vec<u8>> {
        let close = self.0.iter().position(|byte| *byte == b'}')?;
        let length = std::str::from_utf8(self.0.get(..close)?)
            .ok()?
            .parse()
            .ok()?;
        let rest = self.0.get(close + 1..)?.strip_prefix(b"\r\n")?;
        let (text, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(text.to_vec())
    }
}

/// Addresses as people write them: `Name <mailbox@host>, ...`.
fn addresses(list: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut list = Reader(list);
    while let Some(Value::List(address)) = list.value() {
        let mut members = Reader(address);
        let mut member = || match members.value() {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        };
        let (name, _route, mailbox, host) = (member(), member(), member(), member());
        let separator: &[u8] = if text.is_empty() { b"" } else { b", " };
        match (mailbox, host) {
            (Some(mailbox), Some(host)) => {
                let name = name.unwrap_or_default();
                let parts: [&[u8]; 7] = [separator, &name, b" <", &mailbox, b"@", &host, b">"];
                text.extend(parts.concat());
            }
            // RFC 3501 7.4.2: the start of a group; its end says nothing.
            (Some(group), None) => text.extend([separator, &group, b":"].concat()),
            (None, _) => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVELOPE: &[u8] = b"(\"Sat, 21 Nov 2026 13:00:00 +0100\" \"a \\\"b\\\" \\\\\" \
        ((\"Alice\" NIL \"alice\" \"example.org\")) NIL NIL \
        ((NIL NIL \"friends\" NIL)(NIL NIL \"bob\" \"example.net\")(NIL NIL NIL NIL)) \
        NIL NIL NIL {9}\r\n<(1)@x>  )";

    #[test]
    fn fields_are_found_and_addresses_are_written_as_people_do() {
        for (name, text) in [
            ("subject", Some("a \"b\" \\")),
            ("from", Some("Alice <alice@example.org>")),
            ("to", Some("friends:,  <bob@example.net>")),
            ("message-id", Some("<(1)@x>  ")),
            ("cc", None),
            ("in-reply-to", None),
        ] {
            let said = text.map_or(Said::Nothing, |text| Said::Text(text.as_bytes().to_vec()));
            assert_eq!(field(ENVELOPE, name), said, "{name}");
        }
        for name in ["sender", "reply-to", "date", "x-other"] {
            assert_eq!(field(ENVELOPE, name), Said::Unknown, "{name}");
        }
        let names: Vec<_> = fields(ENVELOPE).map(|(name, _)| name).collect();
        assert_eq!(names, ["subject", "from", "to", "message-id"]);
    }

    #[test]
    fn the_first_address_is_told_by_its_members() {
        let some = |text: &str| Some(text.as_bytes().to_vec());
        let from = FirstAddress {
            name: some("Alice"),
            mailbox: some("alice"),
            host: some("example.org"),
        };
        assert_eq!(first_address(ENVELOPE, "from"), Some(from));
        let group = FirstAddress {
            mailbox: some("friends"),
            ..FirstAddress::default()
        };
        assert_eq!(first_address(ENVELOPE, "to"), Some(group));
        for name in ["cc", "subject", "x"] {
            assert_eq!(first_address(ENVELOPE, name), None, "{name}");
        }
    }

    #[test]
    fn what_is_cut_off_is_unknown_and_never_a_panic() {
        for length in 0..ENVELOPE.len() {
            let cut = &ENVELOPE[..length];
            for (name, _) in MEMBERS {
                let _ = field(cut, name);
            }
            assert_eq!(
                field(cut, "message-id") == Said::Unknown,
                length < ENVELOPE.len() - 1
            );
        }
    }
}
