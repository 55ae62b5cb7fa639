//! The ENVELOPE of a message.
//!
//! RFC 3501 7.4.2: ten members; missing Sender and Reply-To repeat From; groups are marked by
//! addresses without a host. What is stored of a message is bounded by an [`EnvelopeRoom`]: an
//! address that does not fit loses its display name, and when it still does not it is left out,
//! whole (LIM-30). The envelope of such a message is made again from its header when it is asked
//! for; those of messages within a message are told as they are stored.

use super::{write_nstring, write_string};
use crate::mail::mime::{AddressEntry, Bounds, EnvelopeFields, Mailbox, Scanner, parse_addresses};

/// How many bytes the address lists of an ENVELOPE may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvelopeRoom {
    /// Each of From, Sender and Reply-To.
    pub author_bytes: usize,
    /// To, Cc and Bcc together.
    pub recipient_bytes: usize,
}

impl EnvelopeRoom {
    /// For the message itself.
    pub const TOP: Self = Self {
        author_bytes: 3 * 1024,
        recipient_bytes: 24 * 1024,
    };
    /// For a message within it.
    pub const NESTED: Self = Self {
        author_bytes: 1024,
        recipient_bytes: 8 * 1024,
    };
    /// Whatever the fields hold: they are bounded already (LIM-29, LIM-30).
    const WHOLE: Self = Self {
        author_bytes: usize::MAX,
        recipient_bytes: usize::MAX,
    };
}

/// The whole envelope of the message with this header: LIM-29 bytes of each field, LIM-30
/// addresses.
pub fn whole_envelope(header: &[u8]) -> Vec<u8> {
    let mut scanner = Scanner::new(Bounds::of_whole_envelope());
    scanner.feed(header);
    let mut parts = scanner.finish().parts.into_iter();
    let fields = parts.next().and_then(|root| root.envelope);
    let mut out = Vec::new();
    write_envelope(&mut out, &fields.unwrap_or_default(), EnvelopeRoom::WHOLE);
    out
}

/// Writes the envelope; gives whether something was left out.
pub fn write_envelope(out: &mut Vec<u8>, fields: &EnvelopeFields, room: EnvelopeRoom) -> bool {
    let mut lists = Lists {
        cut: fields.cut,
        out,
    };
    lists.out.push(b'(');
    write_nstring(lists.out, fields.date.as_deref());
    lists.out.push(b' ');
    write_nstring(lists.out, fields.subject.as_deref());
    let from = fields.from.as_deref().filter(|value| has_content(value));
    for author in [from, fields.sender.as_deref(), fields.reply_to.as_deref()] {
        let author = author.filter(|value| has_content(value)).or(from);
        lists.write(author, room.author_bytes);
    }
    let mut left = room.recipient_bytes;
    for recipients in [&fields.to, &fields.cc, &fields.bcc] {
        left = left.saturating_sub(lists.write(recipients.as_deref(), left));
    }
    let Lists { cut, out } = lists;
    for id in [&fields.in_reply_to, &fields.message_id] {
        out.push(b' ');
        write_nstring(out, id.as_deref());
    }
    out.push(b')');
    cut
}

/// Whether an address field holds anything; one that is present but empty counts as absent.
fn has_content(value: &[u8]) -> bool {
    !value.trim_ascii().is_empty()
}

struct Lists<'a> {
    out: &'a mut Vec<u8>,
    cut: bool,
}

impl Lists<'_> {
    /// Writes a space and one address list, as many whole addresses as fit; gives its length.
    fn write(&mut self, value: Option<&[u8]>, room: usize) -> usize {
        self.out.push(b' ');
        let start = self.out.len();
        let mut in_group = false;
        for mut entry in parse_addresses(value.unwrap_or_default(), &Bounds::default()) {
            if !self.fits(&entry, start, room) {
                self.cut = true;
                let AddressEntry::Mailbox(mailbox) = &mut entry else {
                    break;
                };
                mailbox.name = None;
                if !self.fits(&entry, start, room) {
                    continue;
                }
            }
            write_entry(self.out, &entry);
            in_group = match entry {
                AddressEntry::GroupStart(_) => true,
                AddressEntry::GroupEnd => false,
                AddressEntry::Mailbox(_) => in_group,
            };
        }
        if in_group {
            self.out.extend_from_slice(GROUP_END);
        }
        if self.out.len() == start {
            self.out.extend_from_slice(b"NIL");
        } else {
            self.out.insert(start, b'(');
            self.out.push(b')');
        }
        self.out.len().saturating_sub(start)
    }

    /// Whether an entry may follow in the list that began at `start`.
    fn fits(&mut self, entry: &AddressEntry, start: usize, room: usize) -> bool {
        let before = self.out.len();
        write_entry(self.out, entry);
        let length = self.out.len().saturating_sub(start);
        self.out.truncate(before);
        // An open group must still be ended.
        length.saturating_add(GROUP_END.len() + 2) <= room
    }
}

fn write_entry(out: &mut Vec<u8>, entry: &AddressEntry) {
    match entry {
        AddressEntry::GroupEnd => out.extend_from_slice(GROUP_END),
        AddressEntry::GroupStart(name) => {
            out.extend_from_slice(b"(NIL NIL ");
            write_string(out, name);
            out.extend_from_slice(b" NIL)");
        }
        AddressEntry::Mailbox(Mailbox {
            name,
            route,
            local,
            host,
            ignored: _,
        }) => {
            out.push(b'(');
            write_nstring(out, name.as_deref());
            out.push(b' ');
            write_nstring(out, route.as_deref());
            // NIL would make it a group, so what is missing is an empty string.
            for part in [local, host] {
                out.push(b' ');
                write_string(out, part);
            }
            out.push(b')');
        }
    }
}

const GROUP_END: &[u8] = b"(NIL NIL NIL NIL)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::imap_text::tests::{Value, read};

    fn written(fields: &EnvelopeFields) -> String {
        let mut out = Vec::new();
        write_envelope(&mut out, fields, EnvelopeRoom::TOP);
        assert!(matches!(read(&out), Value::List(members) if members.len() == 10));
        String::from_utf8(out).unwrap()
    }

    fn text(value: &str) -> Option<Box<[u8]>> {
        Some(value.as_bytes().into())
    }

    #[test]
    fn the_example_of_rfc_3501_comes_out() {
        let fields = EnvelopeFields {
            date: text("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)"),
            subject: text("IMAP4rev1 WG mtg summary and minutes"),
            from: text("Terry Gray <gray@cac.washington.edu>"),
            to: text("imap@cac.washington.edu"),
            cc: text("minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>"),
            message_id: text("<B27397-0100000@cac.washington.edu>"),
            ..EnvelopeFields::default()
        };
        assert_eq!(
            written(&fields),
            "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" \
             ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
             ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
             ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
             ((NIL NIL \"imap\" \"cac.washington.edu\")) \
             ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")\
             (\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \
             \"<B27397-0100000@cac.washington.edu>\")"
        );
    }

    #[test]
    fn groups_empty_fields_and_odd_bytes_keep_the_form() {
        let fields = EnvelopeFields {
            subject: text(""),
            from: text(" "),
            sender: text("s@x"),
            to: text("g: a@b;, u:;"),
            cc: text("\"quo\\\"te\" <u@x>, J\u{f6}rg <j>"),
            ..EnvelopeFields::default()
        };
        assert_eq!(
            written(&fields),
            "(NIL \"\" NIL ((NIL NIL \"s\" \"x\")) NIL \
             ((NIL NIL \"g\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL NIL NIL)\
             (NIL NIL \"u\" NIL)(NIL NIL NIL NIL)) \
             ((\"quo\\\"te\" NIL \"u\" \"x\")({5}\r\nJ\u{f6}rg NIL \"j\" \"\")) NIL NIL NIL)"
        );
        assert_eq!(
            written(&EnvelopeFields::default()),
            "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
        );
    }

    #[test]
    fn lim_30_an_address_that_does_not_fit_loses_its_name() {
        let fields = EnvelopeFields {
            from: text(&format!(
                "\"{}\" <a@b>, {}@c, <d@e>",
                "n".repeat(4_200),
                "l".repeat(5_000)
            )),
            ..EnvelopeFields::default()
        };
        let mut out = Vec::new();
        assert!(write_envelope(&mut out, &fields, EnvelopeRoom::TOP));
        let from = "((NIL NIL \"a\" \"b\")(NIL NIL \"d\" \"e\"))";
        let expected = format!("(NIL NIL {from} {from} {from} NIL NIL NIL NIL NIL)");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn lim_30_whole_envelopes_show_five_thousand_addresses_and_long_fields() {
        let header = format!(
            "From: \"{}\" <{}@b>\r\nTo: {}\r\nTo: x@y\r\nSubject: {}\r\n\
             In-Reply-To: {}\r\nCc: {}\r\nDate: {}\r\n\r\n",
            "n".repeat(4_200),
            "l".repeat(5_000),
            "user@example.org, ".repeat(3_000),
            "s".repeat(100_000),
            "<i@j> ".repeat(2_000),
            "a@b,".repeat(6_000),
            "d".repeat(300),
        );
        let Value::List(members) = read(&whole_envelope(header.as_bytes())) else {
            panic!()
        };
        let addresses = |at: usize| match &members[at] {
            Value::List(list) => list.clone(),
            _ => panic!(),
        };
        let Value::List(from) = &addresses(2)[0] else {
            panic!()
        };
        let length = |value: &Value| match value {
            Value::Text(text) => text.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!((length(&from[0]), length(&from[2])), (4_200, 5_000));
        assert_eq!((addresses(5).len(), addresses(6).len()), (3_001, 5_000));
        let texts = [&members[0], &members[1], &members[8]].map(length);
        assert_eq!(texts, [300, 100_000, 11_999]);
    }

    #[test]
    fn lim_29_whole_envelopes_look_at_one_mebibyte() {
        let noise = format!("X: {}\r\n", "x".repeat(100_000)).repeat(11);
        let header = format!("Subject: s\r\n{noise}To: a@b\r\n\r\n");
        let expected = b"(NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL)";
        assert_eq!(whole_envelope(header.as_bytes()), expected);
        let cut = format!("To: {}", "a@b,".repeat(40_000));
        let Value::List(members) = read(&whole_envelope(cut.as_bytes())) else {
            panic!()
        };
        assert!(matches!(&members[5], Value::List(to) if to.len() == 5_000));
    }

    #[test]
    fn lim_30_addresses_that_do_not_fit_are_left_out_whole() {
        let fields = EnvelopeFields {
            to: text(&format!("g: {}", "someone@example.org,".repeat(5_000))),
            cc: text("a@b"),
            ..EnvelopeFields::default()
        };
        let mut out = Vec::new();
        assert!(write_envelope(&mut out, &fields, EnvelopeRoom::TOP));
        assert!(out.len() < EnvelopeRoom::TOP.recipient_bytes + 100);
        let Value::List(members) = read(&out) else {
            panic!()
        };
        let Value::List(to) = &members[5] else {
            panic!()
        };
        assert_eq!(to.last(), Some(&Value::List(vec![Value::Nil; 4])));
        assert!(to.len() > 400);
    }
}
