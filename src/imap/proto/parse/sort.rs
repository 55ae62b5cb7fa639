//! Arguments of SORT and THREAD (RFC 5256 5, RFC 5267 5, RFC 5957 5).

use super::{Mistake, Parsed, Scanner, search};
use crate::imap::proto::{
    command::CommandBody,
    limits::SORT_CRITERIA_MAX,
    search::Query,
    sort::{SortCriterion, SortKey, ThreadAlgorithm},
};

/// `sort`
pub fn sort(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    sort_by(scanner, false)
}

/// `"UID" SP sort`
pub fn uid_sort(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    sort_by(scanner, true)
}

fn sort_by(scanner: &mut Scanner<'_>, uid: bool) -> Parsed<CommandBody> {
    scanner.space()?;
    let mut update_items = Vec::new();
    let returns = match scanner.word().to_ascii_uppercase().as_slice() {
        b"" => None,
        b"RETURN" => {
            scanner.space()?;
            let returns = search::returns_list(scanner, &mut update_items)?;
            scanner.space()?;
            Some(returns)
        }
        _ => return Err(Mistake::bad(CRITERIA_RULE)),
    };
    let criteria = criteria(scanner)?;
    scanner.space()?;
    let (charset, key) = search::with_charset(scanner)?;
    let by_relevancy = criteria.iter().any(|one| one.key == SortKey::Relevancy);
    if by_relevancy || returns.is_some_and(|returns| returns.relevancy) {
        search::relevancy_of(&key)?;
    }
    let query = Query {
        uid,
        returns,
        update_items,
        charset,
        key,
    };
    Ok(CommandBody::Sort { criteria, query })
}

/// `sort-criteria`
fn criteria(scanner: &mut Scanner<'_>) -> Parsed<Vec<SortCriterion>> {
    scanner.expect(b'(', CRITERIA_RULE)?;
    let mut criteria: Vec<SortCriterion> = Vec::new();
    let mut said = 0;
    loop {
        let mut word = scanner.word().to_ascii_uppercase();
        let reverse = word == b"REVERSE";
        if reverse {
            scanner.space()?;
            word = scanner.word().to_ascii_uppercase();
        }
        let key = SortKey::named(&word).ok_or_else(|| Mistake::bad(CRITERIA_RULE))?;
        said += 1;
        if said > SORT_CRITERIA_MAX {
            return Err(Mistake::bad("a SORT may have 32 criteria"));
        }
        // What was sorted by before is equal where it is asked for again, in either direction.
        if criteria.iter().all(|before| before.key != key) {
            criteria.push(SortCriterion { key, reverse });
        }
        if scanner.eat(b')') {
            return Ok(criteria);
        }
        scanner.space()?;
    }
}

/// `thread`
pub fn thread(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    thread_by(scanner, false)
}

/// `"UID" SP thread`
pub fn uid_thread(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    thread_by(scanner, true)
}

fn thread_by(scanner: &mut Scanner<'_>, uid: bool) -> Parsed<CommandBody> {
    scanner.space()?;
    let algorithm = match scanner.word().to_ascii_uppercase().as_slice() {
        b"ORDEREDSUBJECT" => ThreadAlgorithm::OrderedSubject,
        b"REFERENCES" => ThreadAlgorithm::References,
        _ => return Err(Mistake::bad("THREAD knows ORDEREDSUBJECT and REFERENCES")),
    };
    scanner.space()?;
    let (charset, key) = search::with_charset(scanner)?;
    let query = Query {
        uid,
        returns: None,
        update_items: Vec::new(),
        charset,
        key,
    };
    Ok(CommandBody::Thread { algorithm, query })
}

const CRITERIA_RULE: &str = "SORT takes a list of criteria, as in (REVERSE DATE SUBJECT)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::proto::{
        parse::tests::{assert_all_refused, parsed},
        search::{Charset, Returns, SearchKey},
    };

    #[test]
    fn sort_is_read_as_the_grammar_says() {
        let by = |key, reverse| SortCriterion { key, reverse };
        for (text, uid, returns, expected) in [
            (
                "SORT (SUBJECT) UTF-8 ALL",
                false,
                None,
                vec![by(SortKey::Subject, false)],
            ),
            (
                "UID SORT (arrival reverse date CC FROM size to) \"us-ascii\" ALL",
                true,
                None,
                vec![
                    by(SortKey::Arrival, false),
                    by(SortKey::Date, true),
                    by(SortKey::Cc, false),
                    by(SortKey::From, false),
                    by(SortKey::Size, false),
                    by(SortKey::To, false),
                ],
            ),
            (
                "SORT RETURN () (REVERSE DISPLAYFROM DISPLAYTO) UTF-8 ALL",
                false,
                Some(Returns::ALL),
                vec![
                    by(SortKey::DisplayFrom, true),
                    by(SortKey::DisplayTo, false),
                ],
            ),
        ] {
            let query = Query {
                uid,
                returns,
                update_items: Vec::new(),
                charset: Charset::Utf8,
                key: SearchKey::All,
            };
            let criteria = expected;
            assert_eq!(
                parsed(text),
                Some(CommandBody::Sort { criteria, query }),
                "{text}"
            );
        }
        assert_all_refused(&[
            "SORT",
            "SORT ",
            "SORT ()",
            "SORT () UTF-8 ALL",
            "SORT (DATE)",
            "SORT (DATE) ALL",
            "SORT (DATE) UTF-8",
            "SORT (DATE) UTF-8 ",
            "SORT (DATE)UTF-8 ALL",
            "SORT DATE UTF-8 ALL",
            "SORT (REVERSE) UTF-8 ALL",
            "SORT (REVERSE REVERSE DATE) UTF-8 ALL",
            "SORT (DATE  SIZE) UTF-8 ALL",
            "SORT (DATE ) UTF-8 ALL",
            "SORT (UID) UTF-8 ALL",
            "SORT RETURN (DATE) UTF-8 ALL",
            "SORT RETURN (MIN)(DATE) UTF-8 ALL",
            "SORT (DATE) RETURN (MIN) UTF-8 ALL",
            "SORT (DATE) CHARSET UTF-8 ALL",
        ]);
    }

    #[test]
    fn thread_is_read_as_the_grammar_says() {
        for (text, uid, algorithm) in [
            (
                "THREAD references UTF-8 ALL",
                false,
                ThreadAlgorithm::References,
            ),
            (
                "UID THREAD ORDEREDSUBJECT UTF-8 ALL",
                true,
                ThreadAlgorithm::OrderedSubject,
            ),
        ] {
            let query = Query {
                uid,
                returns: None,
                update_items: Vec::new(),
                charset: Charset::Utf8,
                key: SearchKey::All,
            };
            assert_eq!(
                parsed(text),
                Some(CommandBody::Thread { algorithm, query }),
                "{text}"
            );
        }
        assert_all_refused(&[
            "THREAD",
            "THREAD REFERENCES",
            "THREAD REFERENCES ALL",
            "THREAD REFS UTF-8 ALL",
            "THREAD UTF-8 ALL",
            "THREAD (REFERENCES) UTF-8 ALL",
            "THREAD RETURN (MIN) REFERENCES UTF-8 ALL",
        ]);
    }

    #[test]
    fn lim_36_what_is_sorted_by_already_is_not_sorted_by_again() {
        let text = "SORT (SUBJECT SIZE REVERSE SUBJECT SUBJECT SIZE TO) UTF-8 ALL";
        let Some(CommandBody::Sort { criteria, .. }) = parsed(text) else {
            panic!("{text}");
        };
        let by = |key| SortCriterion {
            key,
            reverse: false,
        };
        let expected = [SortKey::Subject, SortKey::Size, SortKey::To].map(by);
        assert_eq!(criteria, expected);
    }

    #[test]
    fn lim_20_a_sort_may_have_32_criteria_and_not_one_more() {
        for (count, ok) in [(SORT_CRITERIA_MAX, true), (SORT_CRITERIA_MAX + 1, false)] {
            let text = format!("SORT ({}) UTF-8 ALL", vec!["SIZE"; count].join(" "));
            assert_eq!(parsed(&text).is_some(), ok, "{count}");
        }
    }
}
