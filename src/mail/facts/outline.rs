//! The first parts of a structure, the rest of each level told as one opaque part.
//!
//! LIM-28: over a limit the rest becomes opaque, never an error. Parts stand in the order of the
//! text, so the parents of kept parts are kept.

use crate::mail::mime::{ContentType, Part, PartKind, Span};

/// The first `keep` of `parts`. Where a multipart loses parts, one opaque part stands for them; a
/// part that loses all its parts is opaque itself. At least the message is kept.
pub(super) fn first_parts(parts: &[Part], keep: usize) -> Vec<Part> {
    let keep = keep.max(1);
    let Some((kept, dropped)) = parts.split_at_checked(keep) else {
        return parts.to_vec();
    };
    let mut rest = Rest::of(kept, dropped);
    let mut outline = Vec::new();
    // Where each kept part stands in the outline, and which of them are open.
    let mut places: Vec<usize> = Vec::with_capacity(kept.len());
    let mut open: Vec<usize> = Vec::new();
    for (index, part) in kept.iter().enumerate() {
        while let Some(last) = open
            .last()
            .copied()
            .filter(|last| Some(*last) != part.parent)
        {
            rest.tell(last, &places, &mut outline);
            open.pop();
        }
        let mut part = part.clone();
        let has_parts = kept
            .get(index.saturating_add(1))
            .is_some_and(|n| n.parent == Some(index));
        if rest.has(index) && !has_parts {
            part.kind = PartKind::Leaf;
            part.content_type = ContentType::opaque();
            rest.forget(index);
        }
        part.parent = part.parent.and_then(|parent| places.get(parent).copied());
        places.push(outline.len());
        open.push(index);
        outline.push(part);
    }
    while let Some(last) = open.pop() {
        rest.tell(last, &places, &mut outline);
    }
    outline
}

/// For each kept part, where its first dropped part begins and its last one ends.
struct Rest(Vec<Option<Span>>);

impl Rest {
    fn of(kept: &[Part], dropped: &[Part]) -> Self {
        let mut spans: Vec<Option<Span>> = vec![None; kept.len()];
        for part in dropped {
            let slot = part.parent.and_then(|parent| spans.get_mut(parent));
            if let Some(slot) = slot {
                let start = slot.map_or(part.header.offset, |span| span.offset);
                *slot = Some(Span::between(start, part.body.end()));
            }
        }
        Self(spans)
    }

    fn has(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(Option::is_some)
    }

    fn forget(&mut self, index: usize) -> Option<Span> {
        self.0.get_mut(index).and_then(Option::take)
    }

    /// Adds the opaque part for what the part `index` lost.
    fn tell(&mut self, index: usize, places: &[usize], outline: &mut Vec<Part>) {
        let Some(span) = self.forget(index) else {
            return;
        };
        outline.push(Part {
            parent: places.get(index).copied(),
            header: Span {
                offset: span.offset,
                length: 0,
            },
            body: span,
            content_type: ContentType::opaque(),
            ..Part::default()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::mime::{Bounds, Scanner};

    #[test]
    fn what_is_dropped_is_told_as_one_part_per_level() {
        let message = b"Content-Type: multipart/mixed; boundary=a\n\n\
            --a\n\n1\n\
            --a\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n2\n--b\n\n3\n--b\n\n4\n--b--\n\
            --a\nContent-Type: message/rfc822\n\nX: y\n\n5\n\
            --a\n\n6\n--a--\n";
        let mut scanner = Scanner::new(Bounds::default());
        scanner.feed(message);
        let parts = scanner.finish().parts;
        let text = |part: &Part| {
            let range = part.body.offset.try_into().unwrap()..part.body.end().try_into().unwrap();
            String::from_utf8_lossy(&message[range]).into_owned()
        };
        let shown = |keep: usize| {
            let outline = first_parts(&parts, keep);
            assert!(
                outline
                    .iter()
                    .enumerate()
                    .all(|(i, p)| p.parent.is_none_or(|q| q < i))
            );
            let shown = outline.iter().skip(1).map(|p| {
                let kind = String::from_utf8_lossy(&p.content_type.subtype).into_owned();
                format!("{}:{kind}", p.parent.unwrap())
            });
            (shown.collect::<Vec<_>>(), outline.last().map(text).unwrap())
        };
        let all = [
            "0:plain", "0:mixed", "2:plain", "2:plain", "2:plain", "0:rfc822", "6:plain",
        ];
        assert_eq!(shown(8).0, [&all[..], &["0:octet-stream"]].concat());
        assert_eq!(shown(9).0, [&all[..], &["0:plain"]].concat());
        // The message part that lost its message is opaque, and so is what follows it.
        let opaque = ["0:octet-stream", "0:octet-stream"];
        assert_eq!(shown(7).0, [&all[..5], &opaque].concat());
        let (outline, last) = shown(5);
        assert_eq!(
            outline,
            [&all[..4], &["2:octet-stream", "0:octet-stream"]].concat()
        );
        assert!(last.starts_with("Content-Type: message") && last.ends_with("\n6"));
        assert_eq!(shown(3).0, ["0:plain", "0:octet-stream", "0:octet-stream"]);
        assert_eq!(shown(1).0.len(), 0);
        assert_eq!(shown(0).0.len(), 0);
        assert_eq!(first_parts(&parts, 100), parts);
    }
}
