//! THREAD=REFERENCES by table, and against a model that follows the text naively.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::imap::order::forest::tests::text;

/// (id, references, subject, sent); numbers count from one.
type Row<'a> = (&'a str, &'a str, &'a str, i64);

fn threads(rows: &[Row<'_>]) -> Forest {
    let mut references = References::default();
    for (place, (id, refers, subject, sent)) in rows.iter().enumerate() {
        let ids: Vec<Vec<u8>> = refers
            .split_whitespace()
            .map(|id| id.as_bytes().to_vec())
            .collect();
        let linked = Linked {
            number: u32::try_from(place).unwrap() + 1,
            id: (!id.is_empty()).then_some(id.as_bytes()),
            references: &ids,
            subject: BaseSubject::of(subject),
            sent: *sent,
        };
        references.add(linked);
    }
    references.threads()
}

#[test]
fn messages_are_threaded_by_what_they_refer_to() {
    for (rows, expected) in [
        (&[][..], ""),
        (&[("a", "", "x", 1)], "(1)"),
        (&[("a", "", "x", 1), ("b", "a", "y", 2)], "(1 2)"),
        // A child may stand before its parent, in the mailbox and by date.
        (&[("b", "a", "y", 1), ("a", "", "x", 2)], "(2 1)"),
        (
            &[("a", "", "x", 1), ("b", "a", "y", 3), ("c", "a", "z", 2)],
            "(1 (3)(2))",
        ),
        (
            &[("a", "", "x", 1), ("b", "a", "y", 2), ("c", "a b", "z", 3)],
            "(1 2 3)",
        ),
        // Step 3: one message below what is not there stands for it; two are siblings.
        (&[("b", "a", "x", 1)], "(1)"),
        (&[("b", "a", "x", 1), ("c", "a", "y", 2)], "((1)(2))"),
        (&[("c", "a b", "x", 1), ("d", "a b", "y", 2)], "((1)(2))"),
        (
            &[
                ("a", "", "x", 1),
                ("c", "a b", "y", 2),
                ("d", "a b", "z", 3),
            ],
            "(1 (2)(3))",
        ),
        // Step 1.A: circles are not made, existing links stay.
        (&[("a", "b", "x", 1), ("b", "a", "y", 2)], "(2 1)"),
        (&[("a", "a", "x", 1)], "(1)"),
        (&[("a", "b a", "x", 1), ("b", "a b", "y", 2)], "(1)(2)"),
        (&[("c", "a b", "x", 1), ("d", "b a", "y", 2)], "((1)(2))"),
        // Step 1.B: what a message says of itself counts.
        (
            &[("x", "a b", "p", 1), ("a", "", "q", 2), ("b", "", "r", 3)],
            "(2)(3 1)",
        ),
        // Of two messages with one id the first has it.
        (
            &[("a", "", "x", 1), ("a", "", "y", 2), ("b", "a", "z", 3)],
            "(1 3)(2)",
        ),
        (&[("", "a", "x", 1), ("", "a", "y", 2)], "((1)(2))"),
    ] {
        assert_eq!(text(&threads(rows)), expected, "{rows:?}");
    }
}

#[test]
fn threads_of_one_subject_are_joined() {
    for (rows, expected) in [
        // Step 5.C: a reply goes below what it seems to reply to.
        (&[("a", "", "x", 1), ("b", "", "Re: x", 2)][..], "(1 2)"),
        (&[("a", "", "Re: x", 1), ("b", "", "x", 2)], "(2 1)"),
        // Two that are alike become siblings.
        (&[("a", "", "x", 1), ("b", "", "x", 2)], "((1)(2))"),
        (&[("a", "", "Re: x", 1), ("b", "", "re: x", 2)], "((1)(2))"),
        (
            &[("a", "", "x", 1), ("b", "", "x", 2), ("c", "", "Re: x", 3)],
            "((1)(2)(3))",
        ),
        (
            &[("a", "", "x", 1), ("b", "", "Re: x", 2), ("c", "", "x", 3)],
            "((1 2)(3))",
        ),
        // A dummy takes the other in, and two dummies are one.
        (
            &[("b", "a", "x", 1), ("c", "a", "y", 2), ("d", "", "x", 3)],
            "((1)(2)(3))",
        ),
        (
            &[
                ("b", "a", "x", 1),
                ("c", "a", "y", 2),
                ("e", "d", "x", 3),
                ("f", "d", "z", 4),
            ],
            "((1)(2)(3)(4))",
        ),
        // Nothing is joined by an empty subject.
        (&[("a", "", "", 1), ("b", "", "Re:", 2)], "(1)(2)"),
        // Only the beginnings of threads count.
        (
            &[("a", "", "x", 1), ("b", "a", "y", 2), ("c", "", "y", 3)],
            "(1 2)(3)",
        ),
    ] {
        assert_eq!(text(&threads(rows)), expected, "{rows:?}");
    }
}

#[test]
fn siblings_are_sorted_by_sent_date_and_then_by_place() {
    let rows = [
        ("a", "", "p", 9),
        ("b", "", "q", 5),
        ("c", "a", "r", 5),
        ("d", "a", "s", 3),
        ("e", "a", "t", 3),
        ("f", "z", "u", 7),
        ("g", "z", "v", 6),
    ];
    assert_eq!(text(&threads(&rows)), "(2)((7)(6))(1 (4)(5)(3))");
}

#[test]
fn lim_25_a_long_chain_is_threaded_in_linear_time_whichever_end_comes_first() {
    let count = 200_000_u32;
    for upwards in [true, false] {
        let mut references = References::default();
        for number in 1..=count {
            let above = match upwards {
                true => number + 1,
                false => number - 1,
            };
            references.add(Linked {
                number,
                id: Some(&number.to_string().into_bytes()),
                references: &[above.to_string().into_bytes()],
                subject: BaseSubject::of(""),
                sent: 0,
            });
        }
        let forest = references.threads();
        assert_eq!(forest.roots.len(), 1);
        assert_eq!(
            forest.tokens().count(),
            usize::try_from(count).unwrap() * 2 + 1
        );
    }
}

#[test]
fn lim_36_what_is_kept_of_messages_is_counted() {
    let mut references = References::default();
    let mut add = |id: &[u8], above: &[Vec<u8>]| {
        let before = references.bytes();
        references.add(Linked {
            number: 1,
            id: Some(id),
            references: above,
            subject: BaseSubject::of("12345"),
            sent: 0,
        });
        references.bytes() - before
    };
    let above = [vec![b'a'; 1000]];
    let (first, second) = (add(b"x", &above), add(b"y", &above));
    assert!(first > 1006 && first < 2000, "{first}");
    assert!(second > 6 && second < 500, "{second}");
}

#[test]
fn lim_25_references_beyond_half_a_million_are_passed_over() {
    let mut references = References::default();
    references.nodes.resize_with(NODES_MAX - 1, Node::default);
    let ids = [b"a".to_vec(), b"b".to_vec()];
    let linked = Linked {
        number: 7,
        id: Some(b"c"),
        references: &ids,
        subject: BaseSubject::of(""),
        sent: 0,
    };
    references.add(linked);
    assert_eq!(references.nodes.len(), NODES_MAX + 1);
    assert_eq!(references.parent(NODES_MAX), Some(NODES_MAX - 1));
    assert!(!references.by_id.contains_key(&b"b"[..]));
}

/// A message of the model: id, references, subject, sent.
type Said = (u8, Vec<u8>, u8, i64);

/// Steps 1 to 3 as the text has them, on names.
fn naive_parents(messages: &[Said]) -> BTreeMap<String, String> {
    let mut parents: BTreeMap<String, String> = BTreeMap::new();
    let is_below = |parents: &BTreeMap<String, String>, low: &str, high: &str| {
        let mut here = low.to_owned();
        loop {
            if here == high {
                return true;
            }
            match parents.get(&here) {
                Some(next) => here = next.clone(),
                None => return false,
            }
        }
    };
    for ((id, refers, _, _), name) in messages.iter().zip(names(messages)) {
        let _ = id;
        for pair in refers.windows(2) {
            let (above, below) = (pair[0].to_string(), pair[1].to_string());
            if !parents.contains_key(&below) && !is_below(&parents, &above, &below) {
                parents.insert(below, above);
            }
        }
        parents.remove(&name);
        if let Some(last) = refers.last().map(u8::to_string)
            && !is_below(&parents, &last, &name)
        {
            parents.insert(name, last);
        }
    }
    parents
}

/// What each message is called: by its id, or by its place when another has that.
fn names(messages: &[Said]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let named = messages
        .iter()
        .enumerate()
        .map(|(place, (id, ..))| match taken.insert(*id) {
            true => id.to_string(),
            false => format!("#{place}"),
        });
    named.collect()
}

/// The parent of each message once dummies are gone, within the same thread.
fn naive_above(messages: &[Said]) -> Vec<Option<u32>> {
    let (parents, names) = (naive_parents(messages), names(messages));
    let place_of = |name: &str| names.iter().position(|known| known == name);
    let above = names.iter().map(|name| {
        let mut here = parents.get(name);
        while let Some(next) = here {
            if let Some(place) = place_of(next) {
                return Some(u32::try_from(place).unwrap() + 1);
            }
            here = parents.get(next);
        }
        None
    });
    above.collect()
}

fn parents_in(forest: &Forest) -> BTreeMap<u32, Option<u32>> {
    let mut above = BTreeMap::new();
    let mut rest: Vec<(usize, Option<u32>)> = forest.roots.iter().map(|at| (*at, None)).collect();
    while let Some((at, parent)) = rest.pop() {
        if let Some(number) = forest.messages[at] {
            assert_eq!(above.insert(number, parent), None, "{number} stands twice");
        }
        let below = forest.messages[at].or(parent);
        rest.extend(forest.children[at].iter().map(|child| (*child, below)));
    }
    above
}

fn said() -> impl Strategy<Value = Said> {
    let refers = proptest::collection::vec(0_u8..12, 0..4);
    (0_u8..12, refers, 0_u8..4, 0_i64..4)
}

proptest! {
    #[test]
    fn each_message_stands_once_below_whom_the_text_says(
        messages in proptest::collection::vec(said(), 0..14),
    ) {
        // Each has a subject of its own, so that nothing is joined.
        let texts: Vec<(String, String, String, i64)> = messages
            .iter()
            .enumerate()
            .map(|(place, (id, refers, _, sent))| {
                let refers: Vec<String> = refers.iter().map(u8::to_string).collect();
                (id.to_string(), refers.join(" "), format!("s{place}"), *sent)
            })
            .collect();
        let rows: Vec<Row<'_>> =
            texts.iter().map(|(a, b, c, d)| (a.as_str(), b.as_str(), c.as_str(), *d)).collect();
        let forest = threads(&rows);
        let above = parents_in(&forest);
        let expected: BTreeMap<u32, Option<u32>> =
            (1..).zip(naive_above(&messages)).collect();
        prop_assert_eq!(above, expected);
    }

    #[test]
    fn each_message_stands_once_whatever_the_subjects(
        messages in proptest::collection::vec(said(), 0..14),
    ) {
        let subjects = ["x", "Re: x", "y", ""];
        let texts: Vec<(String, String, i64)> = messages
            .iter()
            .map(|(id, refers, _, sent)| {
                let refers: Vec<String> = refers.iter().map(u8::to_string).collect();
                (id.to_string(), refers.join(" "), *sent)
            })
            .collect();
        let rows: Vec<Row<'_>> = texts
            .iter()
            .zip(&messages)
            .map(|((id, refers, sent), (_, _, subject, _))| {
                (id.as_str(), refers.as_str(), subjects[usize::from(*subject)], *sent)
            })
            .collect();
        let forest = threads(&rows);
        let count = u32::try_from(rows.len()).unwrap();
        prop_assert!(parents_in(&forest).into_keys().eq(1..=count));
        // Siblings are in order, and no dummy is below another node.
        let mut numbers: Vec<u32> = Vec::new();
        for token in forest.tokens() {
            if let crate::imap::order::Token::Message(number) = token {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        prop_assert!(numbers.into_iter().eq(1..=count));
        for (at, children) in forest.children.iter().enumerate() {
            if !forest.roots.contains(&at) && forest.messages[at].is_none() {
                continue;
            }
            prop_assert!(children.iter().all(|child| forest.messages[*child].is_some()));
        }
    }
}
