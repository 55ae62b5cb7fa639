//! Sections of a message: which bytes `BODY[...]` names.
//!
//! RFC 3501 6.4.5 (RFC 9051 6.4.5 likewise). Parts of a multipart are numbered; what is no
//! multipart has one part, 1; numbers go on through message/rfc822 into the message within. A
//! section that does not exist is `None`, and FETCH answers NIL.

use super::{Facts, PartFacts};
use crate::mail::{
    header::Select,
    mime::{PartKind, Span},
};

/// The inside of the brackets of `BODY[...]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// The part numbers; none for the message itself.
    pub part: Vec<u32>,
    /// What of it.
    pub text: SectionText,
}

/// What of a part is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SectionText {
    /// All: the message, or the body of the part.
    #[default]
    Whole,
    /// HEADER, of a message.
    Header,
    /// HEADER.FIELDS or HEADER.FIELDS.NOT, of a message; to be cut out of the header.
    HeaderFields {
        /// The names, in any case.
        names: Vec<String>,
        /// Whether these or the others are wanted.
        select: Select,
    },
    /// TEXT, of a message: its body.
    Text,
    /// MIME: the header of a part.
    Mime,
}

/// Where a walk along part numbers stands.
#[derive(Clone, Copy)]
struct Place {
    part: usize,
    /// The part is a message, whose parts the next number counts, and not itself a numbered part.
    is_message: bool,
}

impl Facts {
    /// The bytes of a section. For [`SectionText::HeaderFields`] those of the whole header.
    pub fn section(&self, section: &Section) -> Option<Span> {
        if section.part.is_empty() {
            let root = self.parts.first()?;
            return match section.text {
                SectionText::Whole => Some(Span {
                    offset: 0,
                    length: self.size,
                }),
                SectionText::Header | SectionText::HeaderFields { .. } => Some(root.header),
                SectionText::Text => Some(root.body()),
                SectionText::Mime => None,
            };
        }
        let index = self.part_index(&section.part)?;
        let part = self.parts.get(index)?;
        let message = || {
            (part.kind == PartKind::Message)
                .then(|| self.child(index, 1))
                .flatten()
        };
        match section.text {
            SectionText::Whole => Some(part.body()),
            SectionText::Mime => Some(part.header),
            SectionText::Header | SectionText::HeaderFields { .. } => {
                self.parts.get(message()?).map(|message| message.header)
            }
            SectionText::Text => self.parts.get(message()?).map(PartFacts::body),
        }
    }

    /// The part with these numbers, for BINARY; `None` without numbers.
    pub fn part(&self, numbers: &[u32]) -> Option<&PartFacts> {
        self.part_index(numbers)
            .and_then(|index| self.parts.get(index))
    }

    fn part_index(&self, numbers: &[u32]) -> Option<usize> {
        let mut place = Place {
            part: 0,
            is_message: true,
        };
        for number in numbers {
            place = Place {
                part: self.step(place, *number)?,
                is_message: false,
            };
        }
        (!place.is_message).then_some(place.part)
    }

    /// The part with the next number.
    fn step(&self, place: Place, number: u32) -> Option<usize> {
        let part = self.parts.get(place.part)?;
        match part.kind {
            PartKind::Multipart => self.child(place.part, number),
            // A message that is no multipart has its body as its only part.
            _ if place.is_message => (number == 1).then_some(place.part),
            PartKind::Message => {
                let message = self.child(place.part, 1)?;
                self.step(
                    Place {
                        part: message,
                        is_message: true,
                    },
                    number,
                )
            }
            PartKind::Leaf => None,
        }
    }

    /// The child with this number, counted from 1.
    fn child(&self, parent: usize, number: u32) -> Option<usize> {
        let nth = usize::try_from(number.checked_sub(1)?).ok()?;
        let children = self.parts.iter().enumerate().skip(parent.saturating_add(1));
        let mut children = children.filter(|(_, part)| part.parent == Some(parent));
        children.nth(nth).map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::facts::tests::facts_of;

    fn cut(message: &str, numbers: &[u32], text: SectionText) -> Option<String> {
        let facts = facts_of(message.as_bytes());
        let span = facts.section(&Section {
            part: numbers.to_vec(),
            text,
        })?;
        let (start, end) = (
            span.offset.try_into().unwrap(),
            span.end().try_into().unwrap(),
        );
        Some(message[start..end].to_owned())
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_message_without_parts_has_part_1() {
        use SectionText as T;
        let message = "A: b\n\ntext\n";
        assert_eq!(cut(message, &[], T::Whole), some(message));
        assert_eq!(cut(message, &[], T::Header), some("A: b\n\n"));
        assert_eq!(cut(message, &[], T::Text), some("text\n"));
        assert_eq!(cut(message, &[], T::Mime), None);
        assert_eq!(cut(message, &[1], T::Whole), some("text\n"));
        assert_eq!(cut(message, &[1], T::Mime), some("A: b\n\n"));
        for (numbers, text) in [
            (&[1][..], T::Header),
            (&[1], T::Text),
            (&[2], T::Whole),
            (&[0], T::Whole),
            (&[1, 1], T::Whole),
        ] {
            assert_eq!(cut(message, numbers, text), None);
        }
    }

    #[test]
    fn numbers_go_through_multiparts_and_messages() {
        use SectionText as T;
        let inner = "X: 1\n\nfirst";
        let multi = "X: 2\nContent-Type: multipart/mixed; boundary=c\n\n\
                     --c\nN: 1\n\none\n--c\n\ntwo\n--c--";
        let message = format!(
            "Content-Type: multipart/mixed; boundary=a\n\n\
             --a\n\nplain\n\
             --a\nContent-Type: message/rfc822\n\n{inner}\n\
             --a\nContent-Type: message/rfc822\n\n{multi}\n\
             --a\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ndeep\n--b--\n--a--\n"
        );
        for (numbers, text, expected) in [
            (&[1][..], T::Whole, "plain"),
            (&[1], T::Mime, "\n"),
            (&[2], T::Whole, inner),
            (&[2], T::Mime, "Content-Type: message/rfc822\n\n"),
            (&[2], T::Header, "X: 1\n\n"),
            (&[2], T::Text, "first"),
            (&[2, 1], T::Whole, "first"),
            (&[2, 1], T::Mime, "X: 1\n\n"),
            (&[3], T::Whole, multi),
            (&[3, 1], T::Whole, "one"),
            (&[3, 1], T::Mime, "N: 1\n\n"),
            (&[3, 2], T::Whole, "two"),
            (&[4], T::Whole, "--b\n\ndeep\n--b--"),
            (&[4, 1], T::Whole, "deep"),
        ] {
            assert_eq!(cut(&message, numbers, text), some(expected), "{numbers:?}");
        }
        let fields = T::HeaderFields {
            names: vec!["x".to_owned()],
            select: Select::Only,
        };
        assert_eq!(cut(&message, &[2], fields), some("X: 1\n\n"));
        for (numbers, text) in [
            (&[1][..], T::Header),
            (&[4], T::Header),
            (&[5], T::Whole),
            (&[2, 2], T::Whole),
            (&[2, 1, 1], T::Whole),
            (&[3, 3], T::Whole),
            (&[4, 1, 1], T::Whole),
        ] {
            assert_eq!(cut(&message, numbers, text), None, "{numbers:?}");
        }
    }

    #[test]
    fn a_multipart_without_parts_is_part_1_itself() {
        use SectionText as T;
        let lost = "--x\n\nlost\n--x--\n";
        let message = format!("Content-Type: multipart/mixed; boundary=a\n\n{lost}");
        assert_eq!(cut(&message, &[1], T::Whole), some(lost));
        assert_eq!(cut(&message, &[2], T::Whole), None);
        let message = format!(
            "Content-Type: multipart/mixed; boundary=b\n\n\
             --b\nContent-Type: multipart/mixed; boundary=a\n\n{lost}--b--\n"
        );
        assert_eq!(cut(&message, &[1], T::Whole), some(lost.trim_end()));
        assert_eq!(cut(&message, &[1, 1], T::Whole), None);
    }

    #[test]
    fn a_message_in_utf_8_has_no_parts() {
        use SectionText as T;
        let message = "Content-Type: message/global\n\nX: 1\n\nfirst";
        assert_eq!(cut(message, &[1], T::Whole), some("X: 1\n\nfirst"));
        assert_eq!(cut(message, &[1], T::Header), None);
        assert_eq!(cut(message, &[1, 1], T::Whole), None);
    }

    #[test]
    fn a_message_that_is_a_message_has_parts_within_part_1() {
        use SectionText as T;
        let message = "Content-Type: message/rfc822\n\nX: 1\n\nfirst";
        assert_eq!(cut(message, &[1], T::Whole), some("X: 1\n\nfirst"));
        assert_eq!(cut(message, &[1], T::Header), some("X: 1\n\n"));
        assert_eq!(cut(message, &[1, 1], T::Whole), some("first"));
        assert_eq!(cut(message, &[1, 1, 1], T::Whole), None);
    }
}
