//! The corpus of messages seen through all of `mail`: structure, sections and wire text agree
//! with the message, with each other, and, for messages that keep to the standards, with another
//! parser.

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use mail_parser::{Message, MessageParser, MimeHeaders, PartType};

    use crate::mail::{
        body_text,
        facts::{
            Facts, Section, SectionText,
            tests::{check, facts_of},
        },
        header::{Fields, header_length},
        imap_text::tests::{Value, read},
        mime::{PartKind, Span},
        words,
    };

    fn corpus(prefix: &str) -> Vec<(String, Vec<u8>)> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
        let paths = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut messages: Vec<_> = paths
            .map(|path| {
                (
                    path.file_name().unwrap().to_string_lossy().into_owned(),
                    path,
                )
            })
            .filter(|(name, _)| name.starts_with(prefix) && name.ends_with(".eml"))
            .map(|(name, path)| (name, fs::read(path).unwrap()))
            .collect();
        messages.sort();
        assert!(!messages.is_empty());
        messages
    }

    fn cut(message: &[u8], span: Span) -> &[u8] {
        &message[span.offset.try_into().unwrap()..span.end().try_into().unwrap()]
    }

    /// Follows a written structure beside the sections that its numbers name.
    fn follow(facts: &Facts, structure: &Value, numbers: &mut Vec<u32>, message: &[u8]) {
        let Value::List(items) = structure else {
            panic!("{structure:?}")
        };
        let section = |numbers: &[u32], text| {
            facts.section(&Section {
                part: numbers.to_vec(),
                text,
            })
        };
        if matches!(items[0], Value::List(_)) {
            let parts = items
                .iter()
                .take_while(|item| matches!(item, Value::List(_)));
            for (part, number) in parts.zip(1..) {
                numbers.push(number);
                follow(facts, part, numbers, message);
                numbers.pop();
            }
            return;
        }
        let is_root = numbers.is_empty();
        if is_root {
            numbers.push(1);
        }
        let span = section(numbers, SectionText::Whole).unwrap();
        assert_eq!(items[6], Value::Number(span.length));
        let feeds = cut(message, span).iter().filter(|b| **b == b'\n').count();
        let feeds = Value::Number(feeds.try_into().unwrap());
        match items.get(8) {
            Some(inner @ Value::List(_)) if items.len() == 14 => {
                assert_eq!(items[9], feeds);
                let header = section(numbers, SectionText::Header).unwrap();
                assert_eq!(header.offset, span.offset);
                let inner_is_multipart =
                    matches!(inner, Value::List(i) if matches!(i[0], Value::List(_)));
                let depth = numbers.len();
                if !inner_is_multipart {
                    numbers.push(1);
                }
                follow(facts, inner, numbers, message);
                numbers.truncate(depth);
            }
            _ if items.len() == 12 => assert_eq!(items[7], feeds),
            _ => assert_eq!(items.len(), 11),
        }
        if is_root {
            numbers.pop();
        }
    }

    #[test]
    fn every_message_has_facts_that_agree_with_it() {
        for (name, message) in corpus("") {
            let facts = facts_of(&message);
            check(&facts);
            let Value::List(envelope) = read(&facts.envelope) else {
                panic!("{name}")
            };
            assert_eq!(envelope.len(), 10, "{name}");
            read(&facts.basic_structure());
            follow(&facts, &read(&facts.structure), &mut Vec::new(), &message);
            let header = facts.parts[0].header;
            let length = u64::try_from(header_length(&message)).unwrap();
            assert_eq!(facts.header_length(), length, "{name}");
            let fields: u64 = Fields::new(cut(&message, header))
                .map(|field| u64::try_from(field.span.len()).unwrap())
                .sum();
            assert!(header.length - fields <= 2, "{name}");
        }
    }

    /// The leaves as the other parser sees them: where the header and the body begin, the end, the
    /// text.
    fn leaves(message: &Message<'_>, out: &mut Vec<(u32, u32, u32, Option<String>)>) {
        for part in &message.parts {
            let text = match &part.body {
                PartType::Text(text) | PartType::Html(text) => Some(text.to_string()),
                PartType::Message(inner) => {
                    leaves(inner, out);
                    continue;
                }
                PartType::Multipart(_) => continue,
                _ => None,
            };
            let text = text.filter(|_| part.content_type().is_none_or(|t| t.ctype() == "text"));
            out.push((part.offset_header, part.offset_body, part.offset_end, text));
        }
    }

    #[test]
    fn good_messages_have_the_parts_that_another_parser_sees() {
        for (name, message) in corpus("good") {
            let facts = facts_of(&message);
            let parsed = MessageParser::default().parse(&message).unwrap();
            let mut theirs = Vec::new();
            leaves(&parsed, &mut theirs);
            theirs.sort();
            let ours: Vec<_> = facts
                .parts
                .iter()
                .filter(|p| p.kind == PartKind::Leaf)
                .collect();
            assert_eq!(ours.len(), theirs.len(), "{name}");
            for (part, (header, body, end, text)) in ours.iter().zip(theirs) {
                let (ours, theirs) = (part.body(), (body.into(), u64::from(end)));
                assert_eq!((ours.offset, ours.end()), theirs, "{name}");
                assert_eq!(part.header.offset, u64::from(header), "{name}");
                if let (Some(charset), Some(text)) = (&part.text_charset, text) {
                    let decoded = body_text::decode(cut(&message, ours), part.encoding, charset);
                    assert_eq!(decoded, text, "{name}");
                }
            }
            let subject = Fields::new(&message).find(|f| f.is("subject"));
            let subject = subject.map(|field| words::decode(field.value));
            assert_eq!(subject.as_deref(), parsed.subject(), "{name}");
            let date = parsed.date().map(|date| date.to_timestamp());
            assert_eq!(facts.sent.map(|sent| sent.secs), date, "{name}");
        }
    }

    #[test]
    fn hostile_values_stay_within_their_strings() {
        let (_, message) = corpus("hostile-injection").remove(0);
        let facts = facts_of(&message);
        let Value::List(envelope) = read(&facts.envelope) else {
            panic!()
        };
        let text = |bytes: &[u8]| Value::Text(bytes.to_vec());
        assert_eq!(envelope[1], text(b"\"\\\\\" {3}\\r\\n* BYE"));
        assert_eq!(envelope[9], text(b"\")\\"));
        let Value::List(structure) = read(&facts.structure) else {
            panic!()
        };
        assert_eq!(structure[0], text(b"text"));
    }
}
