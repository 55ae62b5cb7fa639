//! The differences that are meant, each with its reason, and the judgement over all that are found.

use std::{collections::BTreeSet, fs, path::Path};

use serde::Deserialize;

use super::Facts;

/// `differences.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Differences {
    difference: Vec<Row>,
    apart: Vec<Apart>,
}

/// Messages that are sorted otherwise by some keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Apart {
    /// Names of messages.
    messages: Vec<String>,
    /// The sort key.
    key: String,
    /// Why both orders are what they are.
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Names of messages; `*` stands for anything.
    messages: Vec<String>,
    /// Questions; `*` stands for anything.
    questions: Vec<String>,
    /// What this server says, when the row is only of that; `*` stands for anything.
    ours: Option<String>,
    /// What the other says, when the row is only of that.
    theirs: Option<String>,
    /// Why both answers are what they are.
    reason: String,
}

impl Differences {
    pub(super) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(root.join("tests/differences.toml")).unwrap();
        let read: Self = toml::from_str(&text).unwrap();
        let reasons = read.difference.iter().map(|row| &row.reason);
        for reason in reasons.chain(read.apart.iter().map(|apart| &apart.reason)) {
            assert!(reason.len() > 20, "{reason}: no reason");
        }
        read
    }

    /// The messages that are sorted otherwise by one of these keys.
    pub(super) fn apart(&self, keys: &str) -> BTreeSet<&str> {
        let is_key = |apart: &&Apart| keys.split(' ').any(|key| key == apart.key);
        let apart = self.apart.iter().filter(is_key);
        apart
            .flat_map(|apart| apart.messages.iter().map(String::as_str))
            .collect()
    }

    /// Fails on a difference without a row, and on a row (or a pattern of one) without a
    /// difference; and on what else is complained of.
    pub(super) fn judge(&self, ours: &Facts, theirs: &Facts, mut complaints: Vec<String>) {
        let mut used = BTreeSet::new();
        let keys: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        for key in keys {
            let (our, their) = (ours.get(key), theirs.get(key));
            if our == their {
                continue;
            }
            let (message, question) = key;
            let nothing = "(nothing)".to_owned();
            let (our, their) = (our.unwrap_or(&nothing), their.unwrap_or(&nothing));
            let mut explained = false;
            for (at, row) in self.difference.iter().enumerate() {
                if !row.is_of(our, their) {
                    continue;
                }
                for wanted in &row.messages {
                    for asked in &row.questions {
                        if matches(wanted, message) && matches(asked, question) {
                            used.insert((at, wanted.as_str()));
                            used.insert((at, asked.as_str()));
                            explained = true;
                        }
                    }
                }
            }
            if !explained {
                complaints.push(format!(
                    "{message}: {question}\n    ours   {our}\n    theirs {their}"
                ));
            }
        }
        for (at, row) in self.difference.iter().enumerate() {
            for pattern in row.messages.iter().chain(&row.questions) {
                if !used.contains(&(at, pattern.as_str())) {
                    let reason = &row.reason;
                    complaints.push(format!("differences.toml: {pattern} is over: {reason}"));
                }
            }
        }
        let count = complaints.len();
        assert!(count == 0, "{count} complaints\n{}", complaints.join("\n"));
    }
}

impl Row {
    fn is_of(&self, ours: &str, theirs: &str) -> bool {
        let fits = |pattern: &Option<String>, text| {
            let fits = |pattern: &String| matches(pattern, text);
            pattern.as_ref().is_none_or(fits)
        };
        fits(&self.ours, ours) && fits(&self.theirs, theirs)
    }
}

/// Whether a text fits a pattern with `*`.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = &rest[at + piece.len()..];
    }
    true
}

#[test]
fn a_pattern_fits_from_end_to_end() {
    for (pattern, text, fits) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "ab", true),
        ("*", "", true),
        ("a*c*e", "abcde", true),
        ("a*c", "abcd", false),
        ("*[*]", "BODY[1]", true),
    ] {
        assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
    }
}
