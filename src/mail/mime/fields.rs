//! One header while it is being read: the field in progress, and what complete fields tell of a
//! part.
//!
//! RFC 2045 3, RFC 5322 3.6, RFC 3501 7.4.2. Holds one field at a time (LIM-29) and of its value
//! only what IMAP shows, so that a message cannot make the scan hold more than
//! [`Bounds::held_bytes`].

use super::{
    Bounds, ContentType, Disposition, EnvelopeFields, Part, Text,
    content::{first_word, words},
};
use crate::mail::{
    excerpt::Excerpt,
    header::{split_name, unfold},
};

/// The header that is being read.
#[derive(Debug, Default)]
pub(super) struct OpenHeader {
    /// The field whose last line has not been seen, cut at the bound.
    field: Vec<u8>,
    /// Its true length, with line endings.
    field_bytes: u64,
    /// Complete fields so far, and their bytes.
    fields: u32,
    bytes: u64,
    /// Whose header it is.
    owner: Owner,
    /// Of the message's own header.
    pub(super) excerpt: Option<Excerpt>,
}

/// Whose header is read, which decides the fields that matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Owner {
    /// The message itself, or one within a part.
    #[default]
    Message,
    /// A part of a multipart.
    Part,
}

impl OpenHeader {
    /// A header of which nothing has been read.
    pub(super) fn new(owner: Owner, excerpt: Option<Excerpt>) -> Self {
        Self {
            owner,
            excerpt,
            ..Self::default()
        }
    }

    /// Takes one line that is not empty, with its ending. `text` may be cut; `length` is not.
    /// The field before it is complete when this line does not continue it.
    pub(super) fn line(&mut self, text: &[u8], length: u64, out: &mut Findings<'_>) {
        if !matches!(text.first(), Some(b' ' | b'\t')) {
            self.end_field(out);
        }
        let room = out.bounds.field_bytes.saturating_sub(self.field.len());
        self.field
            .extend_from_slice(text.get(..room).unwrap_or(text));
        self.field_bytes = self.field_bytes.saturating_add(length);
    }

    /// Completes the field in progress, if there is one.
    pub(super) fn end_field(&mut self, out: &mut Findings<'_>) {
        if self.field_bytes == 0 {
            return;
        }
        let field = std::mem::take(&mut self.field);
        let length = std::mem::take(&mut self.field_bytes);
        self.fields = self.fields.saturating_add(1);
        self.bytes = self.bytes.saturating_add(length);
        if let Some(excerpt) = &mut self.excerpt {
            excerpt.field(&field, length);
        }
        let (name, value) = split_name(&field);
        // LIM-29: what a header holds beyond its bounds is stored, but not looked at.
        if self.fields <= out.bounds.fields && self.bytes <= out.bounds.header_bytes {
            self.keep(name, value, out);
        }
        self.field = field;
        self.field.clear();
    }

    fn keep(&self, name: &[u8], value: &[u8], out: &mut Findings<'_>) {
        let name = name.to_ascii_lowercase();
        if name.starts_with(b"content-") {
            keep_content_field(&name, value, out);
        } else if self.owner != Owner::Part {
            keep_envelope_field(&name, value, out);
        }
    }
}

/// What the fields of a header are written to.
pub(super) struct Findings<'a> {
    pub(super) part: &'a mut Part,
    pub(super) bounds: &'a Bounds,
    /// How many bytes of values may still be held.
    pub(super) room: &'a mut usize,
}

impl Findings<'_> {
    /// Holds a value of at most `max` bytes, as far as there is room; tells whether it was cut.
    fn hold(&mut self, value: &[u8], max: usize) -> (Text, bool) {
        let unfolded = unfold(value);
        let max = max.min(*self.room);
        let kept = unfolded.get(..max).unwrap_or(&unfolded);
        *self.room = self.room.saturating_sub(kept.len());
        (kept.into(), kept.len() < unfolded.len())
    }

    /// Whether parsed values of this many bytes may be held too.
    fn reserve(&mut self, bytes: usize) -> bool {
        let fits = bytes <= *self.room;
        if fits {
            *self.room = self.room.saturating_sub(bytes);
        }
        fits
    }
}

/// RFC 2045, 2183, 3282, 2557, 1864: of fields that stand twice the first counts.
fn keep_content_field(name: &[u8], value: &[u8], out: &mut Findings<'_>) {
    let value = unfold(value);
    let value = value.as_ref();
    match name {
        b"content-type" if out.part.content_type == ContentType::default() => {
            if let Some(parsed) = ContentType::parse(value, out.bounds)
                && out.reserve(cost(value, parsed.parameters.len()))
            {
                out.part.content_type = parsed;
            }
        }
        b"content-disposition" if out.part.disposition.is_none() => {
            if let Some(parsed) = Disposition::parse(value, out.bounds)
                && out.reserve(cost(value, parsed.parameters.len()))
            {
                out.part.disposition = Some(parsed);
            }
        }
        b"content-transfer-encoding" if out.part.encoding.is_none() => {
            out.part.encoding = first_word(value, out.bounds);
        }
        b"content-language" if out.part.languages.is_empty() => {
            let languages = words(value, out.bounds);
            if out.reserve(cost(value, languages.len())) {
                out.part.languages = languages;
            }
        }
        b"content-id" if out.part.id.is_none() => out.part.id = Some(out.hold(value, 1_000).0),
        b"content-description" if out.part.description.is_none() => {
            out.part.description = Some(out.hold(value, 1_000).0);
        }
        b"content-location" if out.part.location.is_none() => {
            out.part.location = Some(out.hold(value, 1_000).0);
        }
        b"content-md5" if out.part.md5.is_none() => out.part.md5 = Some(out.hold(value, 100).0),
        _ => {}
    }
}

/// The memory of a parsed value: its bytes, and what each piece of it takes besides.
fn cost(value: &[u8], pieces: usize) -> usize {
    value
        .len()
        .min(STRUCTURED_BYTES_MAX)
        .saturating_add(pieces.saturating_mul(PIECE_BYTES))
}

fn keep_envelope_field(name: &[u8], value: &[u8], out: &mut Findings<'_>) {
    let bounds = out.bounds.envelope;
    let mut envelope = out.part.envelope.take().unwrap_or_default();
    let EnvelopeFields {
        date,
        subject,
        from,
        sender,
        reply_to,
        to,
        cc,
        bcc,
        in_reply_to,
        message_id,
        references,
        cut,
    } = &mut *envelope;
    if name == b"references" && references.is_none() {
        *references = Some(ends_of_references(value, bounds.references_bytes, out));
    }
    let field = match name {
        b"date" => Some((date, bounds.date_bytes, Holds::Text)),
        b"subject" => Some((subject, bounds.subject_bytes, Holds::Text)),
        b"from" => Some((from, bounds.address_bytes, Holds::Addresses)),
        b"sender" => Some((sender, bounds.address_bytes, Holds::Addresses)),
        b"reply-to" => Some((reply_to, bounds.address_bytes, Holds::Addresses)),
        b"to" => Some((to, bounds.address_bytes, Holds::Addresses)),
        b"cc" => Some((cc, bounds.address_bytes, Holds::Addresses)),
        b"bcc" => Some((bcc, bounds.address_bytes, Holds::Addresses)),
        b"in-reply-to" => Some((in_reply_to, bounds.in_reply_to_bytes, Holds::Ids)),
        b"message-id" => Some((message_id, bounds.message_id_bytes, Holds::Ids)),
        _ => None,
    };
    if let Some((slot, max, holds)) = field {
        *cut |= keep_value(slot, value, max, holds, out);
    }
    out.part.envelope = Some(envelope);
}

/// The first id names the thread, those at the end of the field are nearest to the message
/// (RFC 5322 3.6.4).
fn ends_of_references(value: &[u8], max: usize, out: &mut Findings<'_>) -> Text {
    let value = unfold(value);
    if value.len() <= max {
        return out.hold(&value, max).0;
    }
    let first = first_id(&value).filter(|first| first.len() <= max);
    let first = first.unwrap_or_default();
    let far = value.len().saturating_sub(max.saturating_sub(first.len()));
    let near = value.get(far..).unwrap_or_default();
    let whole_ids = near.iter().position(|byte| *byte == b'<');
    let near = whole_ids.and_then(|start| near.get(start..));
    out.hold(&[first, near.unwrap_or_default()].concat(), max).0
}

/// The first id with its brackets.
fn first_id(value: &[u8]) -> Option<&[u8]> {
    let start = value.iter().position(|byte| *byte == b'<')?;
    let rest = value.get(start..)?;
    let end = rest.iter().position(|byte| *byte == b'>')?;
    rest.get(..=end)
}

/// What a field holds, of which nothing is kept in part but text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Text,
    Addresses,
    Ids,
}

/// Keeps a value; tells whether it was cut.
fn keep_value(
    slot: &mut Option<Text>,
    value: &[u8],
    max: usize,
    holds: Holds,
    out: &mut Findings<'_>,
) -> bool {
    let (text, cut) = match slot.as_deref() {
        None => out.hold(value, max),
        // RFC 5322 4.5.3: address fields may stand more than once.
        Some(before) if holds == Holds::Addresses => {
            let (more, cut) = out.hold(value, max.saturating_sub(before.len()));
            ([before, &b", "[..], &more].concat().into(), cut)
        }
        Some(_) => return false,
    };
    let whole = match (cut, holds) {
        (false, _) | (true, Holds::Text) => Some(text),
        (true, Holds::Addresses) => {
            Some(text.get(..end_of_addresses(&text)).unwrap_or(&text).into())
        }
        // RFC 5322 3.6.4: half an id would be the id of another message.
        (true, Holds::Ids) => text
            .iter()
            .rposition(|b| *b == b'>')
            .and_then(|end| text.get(..=end))
            .map(Into::into),
    };
    if whole.is_some() {
        *slot = whole;
    }
    cut
}

/// Where a cut address list ends without its last, perhaps incomplete address: at the last comma
/// that separates addresses.
fn end_of_addresses(cut: &[u8]) -> usize {
    let (mut quoted, mut comments, mut escaped, mut end) = (false, 0_usize, false, 0);
    for (at, byte) in cut.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted || comments > 0,
            b'"' if comments == 0 => quoted = !quoted,
            b'(' if !quoted => comments = comments.saturating_add(1),
            b')' if !quoted => comments = comments.saturating_sub(1),
            b',' if !quoted && comments == 0 => end = at,
            _ => {}
        }
    }
    end
}

/// Two boxed slices and their allocations.
const PIECE_BYTES: usize = 64;
/// At most this much of one structured field is held once parsed.
const STRUCTURED_BYTES_MAX: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &[&str], bounds: &Bounds) -> Part {
        let (mut part, mut room) = (Part::default(), bounds.held_bytes);
        let mut open = OpenHeader::new(Owner::Message, None);
        let mut out = Findings {
            part: &mut part,
            bounds,
            room: &mut room,
        };
        for line in header {
            open.line(
                line.as_bytes(),
                u64::try_from(line.len()).unwrap(),
                &mut out,
            );
        }
        open.end_field(&mut out);
        part
    }

    fn text(held: Option<&Text>) -> Option<&str> {
        held.map(|t| std::str::from_utf8(t).unwrap())
    }

    #[test]
    fn fields_are_unfolded_and_kept_once_or_joined() {
        let header = [
            "Subject: a\r\n",
            "\tb\r\n",
            "subject: c\r\n",
            "To: a@b\r\n",
            "TO : c@d\n",
        ];
        let part = read(&header, &Bounds::default());
        let envelope = part.envelope.unwrap();
        assert_eq!(text(envelope.subject.as_ref()), Some("a\tb"));
        assert_eq!(text(envelope.to.as_ref()), Some("a@b, c@d"));
        assert!(!envelope.cut);
    }

    #[test]
    fn lim_29_two_thousand_fields_are_looked_at() {
        let mut header = vec!["X: y\r\n"; 1_998];
        header.extend(["Subject: a\r\n", "Date: b\r\n", "To: c\r\n"]);
        let part = read(&header, &Bounds::default());
        let envelope = part.envelope.unwrap();
        assert!(envelope.subject.is_some() && envelope.date.is_some() && envelope.to.is_none());
    }

    #[test]
    fn lim_29_fields_and_headers_have_their_bytes() {
        let long = format!("Subject: {}\r\n", "x".repeat(200 * 1024));
        let part = read(&[&long, "To: a\r\n"], &Bounds::default());
        let envelope = part.envelope.unwrap();
        assert_eq!(envelope.subject.map(|s| s.len()), Some(4 * 1024));
        assert!(envelope.cut && envelope.to.is_some());
        let block = vec![long.as_str(); 6];
        let late = [block.as_slice(), &["To: a\r\n"]].concat();
        assert!(
            read(&late, &Bounds::default())
                .envelope
                .unwrap()
                .to
                .is_none()
        );
    }

    #[test]
    fn lim_36_values_are_held_only_while_there_is_room() {
        let bounds = Bounds {
            held_bytes: 10,
            ..Bounds::default()
        };
        let part = read(&["Subject: 12345678\r\n", "Message-ID: 1234\r\n"], &bounds);
        let envelope = part.envelope.unwrap();
        assert_eq!(text(envelope.subject.as_ref()), Some("12345678"));
        assert_eq!(envelope.message_id, None);
        assert!(envelope.cut);
    }

    #[test]
    fn lim_36_many_small_parameters_count_with_what_they_take() {
        let bounds = Bounds {
            held_bytes: 10_000,
            ..Bounds::default()
        };
        let field = format!("Content-Type: a/b{}\r\n", ";x=".repeat(100));
        let disposition = field.replace("Type: a/b", "Disposition: a");
        let part = read(&[&field, &disposition], &bounds);
        assert_eq!(part.content_type.parameters.len(), 100);
        assert_eq!(part.disposition, None);
    }

    #[test]
    fn lim_30_a_cut_field_ends_with_a_whole_id_or_address() {
        let id = format!("<{}@b>", "x".repeat(90));
        let header = [
            format!("In-Reply-To: {}\r\n", [id.as_str(); 40].join(" ")),
            format!("Message-ID: <{}@b>\r\n", "y".repeat(2_000)),
            format!("Cc: a@b, \"{}\" <c@d>\r\n", "last, first ".repeat(3_000)),
        ];
        let lines: Vec<&str> = header.iter().map(String::as_str).collect();
        let part = read(&lines, &Bounds::default());
        let envelope = part.envelope.unwrap();
        let ids = text(envelope.in_reply_to.as_ref()).unwrap();
        assert_eq!(ids, [id.as_str(); 21].join(" "));
        assert_eq!(envelope.message_id, None);
        assert_eq!(text(envelope.cc.as_ref()), Some("a@b"));
        assert!(envelope.cut);
        let part = read(&lines, &Bounds::of_whole_envelope());
        let envelope = part.envelope.unwrap();
        assert_eq!(envelope.in_reply_to.unwrap().len(), 40 * (id.len() + 1) - 1);
        assert_eq!(envelope.message_id.unwrap().len(), 2_004);
        assert_eq!(envelope.cc.unwrap().len(), 36_013);
        assert!(!envelope.cut);
    }

    #[test]
    fn lim_30_of_long_references_the_ends_are_held() {
        let ids: Vec<String> = (0..2_000).map(|n| format!("<{n}@b>")).collect();
        let header = format!("References: {}\r\n", ids.join(" "));
        let envelope = read(&[&header], &Bounds::default()).envelope.unwrap();
        let held = text(envelope.references.as_ref()).unwrap();
        assert!(held.len() <= 12 * 1024 && held.len() > 12 * 1024 - 20);
        assert!(held.starts_with("<0@b><") && held.ends_with("<1999@b>"));
        assert!(!envelope.cut);
    }

    #[test]
    fn lim_30_a_cut_address_list_ends_with_a_whole_address() {
        let to = format!("To: {}last@b\r\n", "user@example.org, ".repeat(3_000));
        let part = read(&[&to], &Bounds::default());
        let kept = part.envelope.unwrap().to.unwrap();
        assert!(kept.len() <= 32 * 1024 && kept.ends_with(b"user@example.org"));
    }
}
