//! SEARCH and THREAD over the whole corpus. A message that a search finds is a fact of that
//! message, and so is its parent in a thread.

use std::collections::BTreeMap;

use super::{
    Facts,
    ask::{Ours, Server},
    corpus::{Message, made, unescape},
    dovecot::Dovecot,
    ends,
    value::{Value, values},
};

pub(super) fn compare(
    ours: &mut Ours,
    theirs: &mut Dovecot,
    corpus: &[Message],
    facts: &mut (Facts, Facts),
) {
    let searches = made("searches");
    let searches: Vec<_> = searches.lines().filter(|line| !line.is_empty()).collect();
    assert!(searches.len() >= 100, "{}", searches.len());
    let announced = |capability: &str, ours: &mut Ours, theirs: &mut Dovecot| {
        ours.announces(capability) && theirs.announces(capability)
    };
    let esearch = announced("ESEARCH", ours, theirs);
    let threads = ["REFERENCES", "ORDEREDSUBJECT", "REFS"]
        .map(|kind| (kind, announced(&format!("THREAD={kind}"), ours, theirs)));
    for (server, facts) in ends(ours, theirs, facts) {
        for search in &searches {
            tell_search(server, search, corpus, facts);
        }
        for search in searches.iter().step_by(4).filter(|_| esearch) {
            tell_extended_search(server, search, facts);
        }
        for (kind, _) in threads.iter().filter(|(_, announced)| *announced) {
            tell_threads(server, kind, corpus, facts);
        }
    }
}

/// RFC 4731: what is told of the found must be what SEARCH found.
fn tell_extended_search(server: &mut dyn Server, search: &str, facts: &mut Facts) {
    let answer = server.ask(&command(&format!("SEARCH CHARSET UTF-8 {search}")));
    let found = numbers(&answer.untagged, "SEARCH");
    let text = format!("SEARCH RETURN (MIN MAX COUNT ALL) CHARSET UTF-8 {search}");
    let answer = server.ask(&command(&text));
    let response = answer.untagged.iter().find(|r| r.starts_with(b"ESEARCH"));
    let told = response.map_or_else(Vec::new, |response| values(response));
    // Behind the word and the tag: pairs in any order.
    let told: Vec<String> = told.iter().skip(2).map(Value::to_string).collect();
    let told: BTreeMap<_, _> = told
        .chunks(2)
        .map(|pair| (pair[0].as_str(), pair[1].as_str()))
        .collect();
    let mut expected = BTreeMap::from([("COUNT", found.len().to_string())]);
    if let (Some(first), Some(last)) = (found.first(), found.last()) {
        expected.insert("MIN", first.to_string());
        expected.insert("MAX", last.to_string());
    }
    let all = told
        .get("ALL")
        .map_or_else(Vec::new, |all| spelled_out(all));
    let agrees = expected
        .iter()
        .all(|(name, value)| told.get(name) == Some(&value.as_str()))
        && all == found;
    let question = format!("ESEARCH {search}");
    facts.insert(
        ("mailbox".to_owned(), question),
        format!("agrees: {agrees}"),
    );
}

/// The numbers of a set.
fn spelled_out(set: &str) -> Vec<usize> {
    let ranges = set.split(',').map(|range| {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        first.parse::<usize>().unwrap()..=last.parse().unwrap()
    });
    ranges.flatten().collect()
}

/// RFC 5256: the children of each message, and where each thread begins.
fn tell_threads(server: &mut dyn Server, kind: &str, corpus: &[Message], facts: &mut Facts) {
    for family in ["family-", "subject-", ""] {
        let set: Vec<String> = (1..)
            .zip(corpus)
            .filter(|(_, message)| message.name.starts_with(family))
            .map(|(number, _): (u32, _)| number.to_string())
            .collect();
        let ask = format!("THREAD {kind} UTF-8 {}", set.join(","));
        let answer = server.ask(ask.as_bytes());
        let response = answer.untagged.iter().find(|r| r.starts_with(b"THREAD"));
        let threads = response.map_or_else(Vec::new, |response| values(response));
        for thread in threads.iter().skip(1) {
            tell_thread(
                thread,
                "(none)",
                &format!("THREAD {kind} {family}"),
                corpus,
                facts,
            );
        }
    }
}

/// Tells the parent of each message of a thread; one that is missing has no name.
fn tell_thread(
    thread: &Value,
    parent: &str,
    question: &str,
    corpus: &[Message],
    facts: &mut Facts,
) {
    let mut parent = parent.to_owned();
    for (at, value) in thread.list().iter().enumerate() {
        match value {
            Value::List(_) if at == 0 => {
                // Siblings whose parent is missing.
                tell_thread(value, "(missing)", question, corpus, facts);
                parent = "(missing)".to_owned();
            }
            Value::List(_) => tell_thread(value, &parent, question, corpus, facts),
            number => {
                let number: usize = number.to_string().parse().unwrap();
                let name = corpus[number - 1].name.clone();
                facts.insert((name.clone(), question.to_owned()), parent);
                parent = name;
            }
        }
    }
}

fn tell_search(server: &mut dyn Server, search: &str, corpus: &[Message], facts: &mut Facts) {
    let answer = server.ask(&command(&format!("SEARCH CHARSET UTF-8 {search}")));
    if !answer.completion.starts_with("OK") {
        let word = answer.completion.split(' ').next().unwrap().to_owned();
        facts.insert(("mailbox".to_owned(), format!("SEARCH {search}")), word);
        return;
    }
    for found in numbers(&answer.untagged, "SEARCH") {
        let name = corpus[found - 1].name.clone();
        facts.insert((name, format!("SEARCH {search}")), "found".to_owned());
    }
}

/// The numbers of the response that begins with `word`.
pub(super) fn numbers(untagged: &[Vec<u8>], word: &str) -> Vec<usize> {
    let is_it = |response: &&Vec<u8>| response.starts_with(word.as_bytes());
    let Some(response) = untagged.iter().find(is_it) else {
        return Vec::new();
    };
    let values = values(response);
    let number = |value: &Value| value.to_string().parse().unwrap();
    values[1..].iter().map(number).collect()
}

/// A command whose strings that are not ASCII are literals.
fn command(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (nth, piece) in text.split('"').enumerate() {
        let piece = unescape(piece);
        if nth % 2 == 0 {
            bytes.extend(piece);
        } else if piece.is_ascii() {
            bytes.push(b'"');
            bytes.extend(piece);
            bytes.push(b'"');
        } else {
            bytes.extend(format!("{{{}+}}\r\n", piece.len()).bytes());
            bytes.extend(piece);
        }
    }
    bytes
}
