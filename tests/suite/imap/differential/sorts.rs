//! SORT over the whole corpus and over families of it: both orders must be equal.
//!
//! A message that both servers show otherwise, or whose key they read otherwise for a reason that
//! `differences.toml` gives, is left out, so that one odd message hides no other. That each of
//! those still is sorted otherwise is a test, too.

use std::collections::BTreeSet;

use super::{
    Facts,
    ask::{Ours, Server},
    corpus::Message,
    differences::Differences,
    dovecot::Dovecot,
    searches::numbers,
};

/// What is found, as differences or as messages that are left out in vain.
pub(super) fn compare(
    ours: &mut Ours,
    theirs: &mut Dovecot,
    corpus: &[Message],
    facts: &(Facts, Facts),
    differences: &Differences,
) -> Vec<String> {
    let announced = |capability: &str, ours: &mut Ours, theirs: &mut Dovecot| {
        ours.announces(capability) && theirs.announces(capability)
    };
    if !announced("SORT", ours, theirs) {
        return Vec::new();
    }
    let display = announced("SORT=DISPLAY", ours, theirs);
    let shown_otherwise = shown_otherwise(facts);
    let mut complaints = Vec::new();
    for keys in SORTS {
        if !display && keys.contains("DISPLAY") {
            continue;
        }
        let apart = differences.apart(keys);
        for kind in SORTED {
            let is_of_kind = |name: &str| kind.iter().any(|start| name.starts_with(start));
            let is_plain = |name: &str| is_of_kind(name) && !shown_otherwise.contains(name);
            let without = |name: &str| is_plain(name) && !apart.contains(name);
            let mut orders = |wanted: &dyn Fn(&str) -> bool| {
                [ours as &mut dyn Server, theirs].map(|server| order(server, keys, corpus, wanted))
            };
            let [our, their] = orders(&without);
            if our != their {
                complaints.push(format!(
                    "SORT ({keys}) {kind:?}\n    ours   {our}\n    theirs {their}"
                ));
            }
            let is_full = kind == [""] && !keys.contains(' ');
            for one in apart.iter().filter(|name| is_plain(name)) {
                let [our, their] = orders(&|name| without(name) || name == *one);
                if our == their && is_full {
                    complaints.push(format!("differences.toml: SORT ({keys}): {one} is over"));
                }
            }
        }
    }
    complaints
}

/// Messages whose size or envelope is not the same in both.
fn shown_otherwise(facts: &(Facts, Facts)) -> BTreeSet<&str> {
    let is_sorted_by = |question: &str| {
        let starts = ["RFC822.SIZE", "ENVELOPE from", "ENVELOPE to", "ENVELOPE cc"];
        starts.iter().any(|start| question.starts_with(start))
    };
    let keys = facts.0.keys().chain(facts.1.keys());
    let differs = keys
        .filter(|(_, question)| is_sorted_by(question))
        .filter(|key| facts.0.get(key) != facts.1.get(key));
    differs.map(|(message, _)| message.as_str()).collect()
}

/// RFC 5256: the order of the messages that are wanted.
fn order(
    server: &mut dyn Server,
    keys: &str,
    corpus: &[Message],
    wanted: &dyn Fn(&str) -> bool,
) -> String {
    let set: Vec<String> = (1_usize..)
        .zip(corpus)
        .filter(|(_, message)| wanted(&message.name))
        .map(|(number, _)| number.to_string())
        .collect();
    let answer = server.ask(format!("SORT ({keys}) UTF-8 {}", set.join(",")).as_bytes());
    let names: Vec<&str> = numbers(&answer.untagged, "SORT")
        .into_iter()
        .map(|number| corpus[number - 1].name.as_str())
        .collect();
    format!("{} {}", &answer.completion[..2], names.join(" "))
}

const SORTS: [&str; 16] = [
    "ARRIVAL",
    "CC",
    "DATE",
    "FROM",
    "SIZE",
    "SUBJECT",
    "TO",
    "REVERSE ARRIVAL",
    "REVERSE DATE",
    "REVERSE SUBJECT",
    "SUBJECT DATE",
    "SUBJECT REVERSE DATE",
    "FROM REVERSE SIZE ARRIVAL",
    "DISPLAYFROM",
    "DISPLAYTO",
    "REVERSE DISPLAYFROM SUBJECT",
];

/// Kinds of messages that are sorted together, by how their names begin.
const SORTED: [&[&str]; 6] = [
    &["subject-"],
    &["address-"],
    &["date-"],
    &["family-"],
    &["grown-", "huge-"],
    &[""],
];
