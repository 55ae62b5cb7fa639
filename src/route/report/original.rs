//! What a report takes from the message that it is about: its header or all of it, its subject, and
//! the thread that it belongs to. All of that is a stranger's text, so it is bounded and cleaned.

use crate::mail::{
    header::{Fields, header_length},
    words,
};

/// Whether the original can stand within another message as it is: in lines of a length that may
/// be sent, without what no message has.
pub(super) fn is_returnable(original: &[u8]) -> bool {
    let mut lines = original.split(|byte| *byte == b'\n');
    // Behind the last line end there is nothing, or a line without one.
    let rest = lines.next_back().unwrap_or_default();
    let sound =
        |line: &[u8]| line.len() <= LINE_BYTES_MAX && !line.iter().any(|b| b"\r\0".contains(b));
    sound(rest) && lines.all(|line| line.strip_suffix(b"\r").is_some_and(sound))
}

/// The header of the original, line by line, bounded.
pub(super) fn original_header(beginning: &[u8]) -> Vec<u8> {
    let length = header_length(beginning).min(HEADER_BYTES_MAX);
    let mut out = Vec::with_capacity(length);
    for line in beginning
        .get(..length)
        .unwrap_or_default()
        .split(|b| *b == b'\n')
    {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        let line = line.get(..LINE_BYTES_MAX).unwrap_or(line);
        out.extend(
            line.iter()
                .map(|b| if matches!(b, b'\r' | 0) { b' ' } else { *b }),
        );
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The value of the first field of the original that is called `name`.
fn original_field(beginning: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut fields = Fields::new(beginning.get(..HEADER_BYTES_MAX).unwrap_or(beginning));
    let found = fields.find(|field| field.is(name))?;
    Some(found.unfolded().into_owned())
}

/// The subject of the original as people know it, bounded and on one line.
pub(in crate::route) fn original_subject(beginning: &[u8]) -> Option<String> {
    let subject = words::decode(&original_field(beginning, "Subject")?);
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let subject: String = subject.chars().map(shown).collect();
    let subject = subject.trim();
    let short: String = subject.chars().take(SUBJECT_CHARACTERS_MAX).collect();
    let cut = if short.len() < subject.len() {
        "..."
    } else {
        ""
    };
    (!short.is_empty()).then(|| short + cut)
}

/// RFC 5322 3.6.4: what the report answers, and the thread that it belongs to, as far as there is
/// room for it.
pub(in crate::route) fn thread(beginning: &[u8]) -> Option<(String, String)> {
    let id = original_field(beginning, "Message-ID")?;
    let id = message_ids(&id).next()?;
    let parents = original_field(beginning, "References").unwrap_or_default();
    let parents: Vec<_> = message_ids(&parents).collect();
    let mut references = id.clone();
    for parent in parents.iter().rev() {
        if references.len() + parent.len() >= REFERENCES_BYTES_MAX {
            break;
        }
        references = format!("{parent} {references}");
    }
    Some((id, references))
}

/// The message ids of a field that can be repeated.
fn message_ids(value: &[u8]) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(value).into_owned();
    let sound = |id: &String| {
        id.len() <= 250
            && id.starts_with('<')
            && id.ends_with('>')
            && id.bytes().all(|b| b.is_ascii_graphic())
    };
    let ids: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
    ids.into_iter().filter(sound)
}

/// How much of the subject is repeated.
const SUBJECT_CHARACTERS_MAX: usize = 100;
/// How much of the thread.
const REFERENCES_BYTES_MAX: usize = 450;
/// How much of the original's header goes back at most.
pub const HEADER_BYTES_MAX: usize = 32 * 1024;
/// RFC 3461 6.2: a longer message never goes back whole; what has no more is in memory anyway
/// (LIM-36).
pub const WHOLE_BYTES_MAX: u64 = 256 * 1024;
/// RFC 5322 2.1.1.
pub(super) const LINE_BYTES_MAX: usize = 998;
