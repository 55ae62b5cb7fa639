//! PREVIEW: what a message begins with, made when it is asked for.
//!
//! RFC 8970. The first part with text that says something is read, and of it only the beginning.
//! LAZY is not slower, so it is answered the same (4.1 allows it).

use std::{io, ops::Range};

use super::fetch_body::Source;
use crate::mail::{body_text, facts::PartFacts, header::Fields, mime::Span, preview};

/// The preview of a message; empty when it has no text.
pub(super) async fn of(source: Source<'_>) -> io::Result<String> {
    for part in source.facts.text_parts().take(PARTS_MAX) {
        let preview = of_part(source, part).await?;
        if !preview.is_empty() {
            return Ok(preview);
        }
    }
    Ok(String::new())
}

async fn of_part(source: Source<'_>, part: &PartFacts) -> io::Result<String> {
    let Source {
        mailboxes, email, ..
    } = source;
    let Some(charset) = &part.text_charset else {
        return Ok(String::new());
    };
    let read = |span| mailboxes.body(email.blob, span).whole();
    let header = read(start_of(part.header, HEADER_BYTES)).await?;
    if has(&header, "Content-Disposition", "attachment") {
        return Ok(String::new());
    }
    let raw = read(start_of(part.body(), TEXT_BYTES)).await?;
    let text = body_text::decode(&raw, part.encoding, charset);
    let is_html = has(&header, "Content-Type", "text/html") || preview::looks_like_html(&text);
    Ok(match is_html {
        true => preview::of_html(&text),
        false => preview::of_plain(&text),
    })
}

fn start_of(span: Span, bytes_max: u64) -> Range<u64> {
    span.offset..span.offset + span.length.min(bytes_max)
}

/// Whether the first field of this name begins with this word.
fn has(header: &[u8], name: &str, word: &str) -> bool {
    let field = Fields::new(header).find(|field| field.is(name));
    field.is_some_and(|field| {
        let value = field.unfolded();
        let start = value.get(..word.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    })
}

/// LIM-25: text parts that are looked into.
const PARTS_MAX: usize = 3;
/// LIM-25: bytes of a part's header that are looked at.
const HEADER_BYTES: u64 = 16 * 1024;
/// LIM-25: bytes of a part that are looked at; documents in HTML begin with their styles.
const TEXT_BYTES: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_told_by_how_it_begins() {
        let header = b"Content-Type:\r\n TEXT/Html; charset=x\r\nX: text/html\r\n\r\n";
        assert!(has(header, "content-type", "text/html"));
        assert!(!has(header, "Content-Type", "text/plain"));
        assert!(!has(header, "Content-Disposition", "attachment"));
    }

    #[test]
    fn lim_25_only_the_beginning_of_a_part_is_read() {
        let span = |length| Span { offset: 7, length };
        assert_eq!(
            start_of(span(TEXT_BYTES + 1), TEXT_BYTES),
            7..7 + TEXT_BYTES
        );
        assert_eq!(start_of(span(3), TEXT_BYTES), 7..10);
    }
}
