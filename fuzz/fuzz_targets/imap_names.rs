//! Names, patterns and sets of IMAP: a name has one spelling, a pattern agrees with a naive matcher, a
//! set is resolved into ascending ranges within the mailbox.
#![no_main]

use buzon::{
    imap::proto::{list::Pattern, mutf7, sequence::SequenceSet},
    wire::Output,
};
use libfuzzer_sys::fuzz_target;

/// Follows the pattern over all names at once: row by row, quadratic, obviously right.
fn naive(pattern: &str, name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for item in pattern.chars() {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            let wild = matches!(item, '*' | '%');
            if wild && reached[at] {
                next[at] = true;
            }
            let Some(c) = name.get(at) else { continue };
            let from = if wild { next[at] } else { reached[at] };
            let passes = match item {
                '*' => true,
                '%' => *c != '/',
                letter => letter == *c,
            };
            next[at + 1] |= from && passes;
        }
        reached = next;
    }
    reached[name.len()]
}

fuzz_target!(|data: &[u8]| {
    if let Some(name) = mutf7::decode(data) {
        let mut again = Output::new();
        mutf7::encode(&name, &mut again);
        assert_eq!(again.as_bytes(), data);
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Some((pattern, name)) = text.split_once('\n')
        && pattern.chars().count() <= 256
        && !name.to_ascii_uppercase().starts_with("INBOX")
    {
        let matches = Pattern::new("", pattern).matches(name);
        assert_eq!(matches, naive(pattern, name));
    }
    if let Ok(set) = SequenceSet::parse(data) {
        let uids: Vec<u32> = (1..50).map(|n| n * 3).collect();
        let mut end = 0;
        for range in set.among_uids(&uids) {
            assert!(range.start >= end && range.start < range.end && range.end <= uids.len());
            end = range.end;
        }
        if let Ok(ranges) = set.among_numbers(100) {
            assert!(ranges.iter().all(|range| range.end <= 100));
        }
    }
});
