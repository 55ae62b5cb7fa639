//! FETCH of everything that is said of a message: size, envelope, structures, and every section
//! that either server shows parts for.

use std::collections::BTreeSet;

use super::{
    Facts,
    ask::{Ours, Server},
    corpus::Message,
    dovecot::Dovecot,
    ends,
    structure::{envelope, structure},
    value::{Items, Value, fetched},
};

pub(super) fn compare(
    ours: &mut Ours,
    theirs: &mut Dovecot,
    corpus: &[Message],
    facts: &mut (Facts, Facts),
) {
    let binary = ours.announces("BINARY") && theirs.announces("BINARY");
    for (number, message) in (1..).zip(corpus) {
        let mut parts = BTreeSet::new();
        for (server, facts) in ends(ours, theirs, facts) {
            let told = tell_structure(server, number, &message.name, facts);
            parts.extend(told);
        }
        let sections = sections(&parts, binary);
        for (server, facts) in ends(ours, theirs, facts) {
            tell_sections(server, number, &message.name, &sections, facts);
        }
    }
}

/// Size, flags, envelope and structures; gives the numbers of the parts.
fn tell_structure(
    server: &mut dyn Server,
    number: u32,
    name: &str,
    facts: &mut Facts,
) -> Vec<String> {
    let ask = "(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY)";
    let items = match fetch(server, number, ask) {
        Ok(items) => items,
        Err(refusal) => {
            facts.insert((name.to_owned(), "all".to_owned()), refusal);
            return Vec::new();
        }
    };
    let mut told = Vec::new();
    told.push(("RFC822.SIZE".to_owned(), items["RFC822.SIZE"].clone()));
    // RFC 3501 9 date-day-fixed: a space or a zero.
    let date = items["INTERNALDATE"].to_string().replace("\" ", "\"0");
    told.push(("INTERNALDATE".to_owned(), Value::Atom(date)));
    let mut flags: Vec<_> = items["FLAGS"].list().iter().map(Value::to_string).collect();
    flags.retain(|flag| flag != "\\Recent");
    flags.sort();
    told.push(("FLAGS".to_owned(), Value::Atom(flags.join(" "))));
    envelope("ENVELOPE", &items["ENVELOPE"], &mut told);
    let whole = structure("BODYSTRUCTURE", &items["BODYSTRUCTURE"]);
    told.extend(whole.told);
    told.extend(structure("BODY", &items["BODY"]).told);
    for (question, value) in told {
        facts.insert((name.to_owned(), question), value.to_string());
    }
    whole.numbers
}

fn sections(parts: &BTreeSet<String>, binary: bool) -> Vec<String> {
    let mut sections: Vec<String> = [
        "BODY.PEEK[]",
        "BODY.PEEK[HEADER]",
        "BODY.PEEK[TEXT]",
        "BODY.PEEK[HEADER.FIELDS (Subject FROM x-odd Date)]",
        "BODY.PEEK[HEADER.FIELDS.NOT (Subject FROM x-odd Date)]",
        "BODY.PEEK[]<0.40>",
        "BODY.PEEK[]<17.100000>",
        "BODY.PEEK[HEADER]<5.10>",
        "BODY.PEEK[TEXT]<3.7>",
        "BODY.PEEK[TEXT]<1000000000.7>",
        // Never there.
        "BODY.PEEK[99]",
        "BODY.PEEK[1.99.2.MIME]",
    ]
    .map(str::to_owned)
    .into();
    // Of a huge message some parts stand for all.
    for part in parts.iter().take(PARTS_ASKED_MAX) {
        sections.push(format!("BODY.PEEK[{part}]"));
        sections.push(format!("BODY.PEEK[{part}]<2.9>"));
        sections.push(format!("BODY.PEEK[{part}.MIME]"));
        sections.push(format!("BODY.PEEK[{part}.HEADER]"));
        sections.push(format!("BODY.PEEK[{part}.TEXT]"));
        sections.push(format!("BODY.PEEK[{part}.HEADER.FIELDS (Subject To)]"));
        // RFC 9051 6.4.5: of what has no parts.
        let within = format!("{part}.");
        if binary && !parts.iter().any(|other| other.starts_with(&within)) {
            sections.push(format!("BINARY.PEEK[{part}]"));
            sections.push(format!("BINARY.SIZE[{part}]"));
        }
    }
    sections
}

fn tell_sections(
    server: &mut dyn Server,
    number: u32,
    name: &str,
    sections: &[String],
    facts: &mut Facts,
) {
    let mut asks: Vec<Vec<&str>> = Vec::new();
    let (binary, plain): (Vec<&str>, Vec<&str>) = sections
        .iter()
        .map(String::as_str)
        .partition(|section| section.starts_with("BINARY"));
    asks.extend(plain.chunks(TOGETHER).map(<[_]>::to_vec));
    // One by one: what cannot be decoded fails a command as a whole.
    asks.extend(binary.chunks(1).map(<[_]>::to_vec));
    while let Some(ask) = asks.pop() {
        let found = fetch(server, number, &format!("({})", ask.join(" ")));
        match found {
            Ok(items) => {
                for (question, value) in items {
                    facts.insert((name.to_owned(), question), value.to_string());
                }
            }
            Err(refusal) => match ask[..] {
                [one] => {
                    facts.insert((name.to_owned(), one.to_owned()), refusal);
                }
                _ => asks.extend(ask.chunks(1).map(<[_]>::to_vec)),
            },
        }
    }
}

/// The items of one message, or how they were refused.
fn fetch(server: &mut dyn Server, number: u32, ask: &str) -> Result<Items, String> {
    let answer = server.ask(format!("FETCH {number} {ask}").as_bytes());
    if !answer.completion.starts_with("OK") {
        let words: Vec<&str> = answer.completion.split(' ').collect();
        let code = words.get(1).filter(|word| word.starts_with('['));
        return Err(format!("{} {}", words[0], code.unwrap_or(&"")));
    }
    let mut found = Items::new();
    for (of, items) in answer.untagged.iter().filter_map(|r| fetched(r)) {
        assert_eq!(of, number, "{ask}");
        found.extend(items);
    }
    Ok(found)
}

/// Sections asked for in one command.
const TOGETHER: usize = 60;

/// Parts of one message whose sections are asked for.
const PARTS_ASKED_MAX: usize = 12;
