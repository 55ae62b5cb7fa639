//! Words that are looked for as people remember them (RFC 6203): in any order, without marks on
//! letters, misspelled a little.
//!
//! Pure. A word of what is looked for is found where a word of the text is the same, begins with
//! it, contains it, or differs from it in one letter (from four letters on) or two (from nine on)
//! while one half or third of it stands there unchanged. A letter that is left out, added, replaced
//! or exchanged with its neighbour is one difference; halves need not stand where only that was
//! done. Because a part must be unchanged, an index of
//! groups of three characters can say where a word cannot be. Costs linear time in the text.

use std::{iter, ops::Range};

use unicode_normalization::char::is_combining_mark;

/// The words of a text that is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Vec<Word>);

/// One word that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Folded, without marks.
    text: String,
    chars: Vec<char>,
    /// How many letters may differ.
    differences_max: usize,
    /// One of these, parts of it mostly, is in every word that is found.
    parts: Vec<String>,
}

impl Words {
    /// Of a text folded as texts are compared; so many as count, each once.
    pub fn new(folded: &str) -> Self {
        let plain = unmarked(folded);
        let mut words: Vec<Word> = Vec::new();
        for word in words_of(plain.as_deref().unwrap_or(folded)) {
            if words.iter().all(|known| known.text != word) {
                words.push(Word::new(word));
            }
            if words.len() == WORDS_MAX {
                break;
            }
        }
        Self(words)
    }

    /// The words.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Word> {
        self.0.iter()
    }

    /// There is no word in what is looked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Word {
    fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let length = chars.len();
        let differences_max = match length {
            0..4 => 0,
            4..9 => 1,
            9..=SPELLED_MAX => 2,
            _ => 0,
        };
        let parts: Vec<Range<usize>> = match differences_max {
            0 => iter::once(0..length).collect(),
            // In a short word the halves overlap: less than three characters say nothing.
            1 => vec![0..(length / 2).max(3), length - (length / 2).max(3)..length],
            _ => {
                let (first, second) = (length / 3, length * 2 / 3);
                vec![0..first, first..second, second..length]
            }
        };
        let text_of = |part: &Range<usize>| chars.get(part.clone()).map(String::from_iter);
        let mut all: Vec<String> = parts.iter().filter_map(text_of).collect();
        if differences_max == 1 {
            // Neighbours of both halves, exchanged.
            let breaks_all = |at: usize| {
                let breaks = |part: &Range<usize>| part.start <= at + 1 && at < part.end;
                parts.iter().all(breaks)
            };
            let places = (0..length - 1).filter(|at| breaks_all(*at));
            all.extend(places.map(|at| {
                let mut exchanged = chars.clone();
                exchanged.swap(at, at + 1);
                String::from_iter(exchanged)
            }));
        }
        Self {
            parts: all,
            text: text.to_owned(),
            chars,
            differences_max,
        }
    }

    /// Parts, of which each word that is found has one.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(String::as_str)
    }

    /// How close the closest word of a text is: 100 is the same, 0 is none. The text is folded and
    /// without marks.
    pub fn closeness(&self, plain: &str) -> u8 {
        let mut closest = 0;
        // Where no part is, no word is.
        if !self.parts().any(|part| plain.contains(part)) {
            return 0;
        }
        for word in words_of(plain) {
            closest = self.closeness_to(word).max(closest);
            if closest == SAME {
                break;
            }
        }
        closest
    }

    fn closeness_to(&self, word: &str) -> u8 {
        if word == self.text {
            return SAME;
        }
        if self.chars.len() >= PART_OF_WORD_MIN {
            if word.starts_with(&self.text) {
                return BEGINS;
            }
            if word.contains(&self.text) {
                return CONTAINS;
            }
        }
        if self.differences_max == 0 || !self.parts().any(|part| word.contains(part)) {
            return 0;
        }
        match differences(&self.chars, word, self.differences_max) {
            Some(0 | 1) => ONE_DIFFERENCE,
            Some(_) => TWO_DIFFERENCES,
            None => 0,
        }
    }
}

/// A folded text without the marks on its letters; none when it has none.
pub fn unmarked(folded: &str) -> Option<String> {
    if folded.is_ascii() || !folded.contains(is_combining_mark) {
        return None;
    }
    let letters = folded.chars().filter(|c| !is_combining_mark(*c));
    Some(letters.collect())
}

/// A text in pieces of whole words, so that others can run in between.
pub fn runs(plain: &str) -> impl Iterator<Item = &str> {
    let mut rest = plain;
    iter::from_fn(move || {
        let mut behind = rest.char_indices().skip_while(|(at, _)| *at < RUN_BYTES);
        let end = behind.find(|(_, c)| !c.is_alphanumeric());
        let (run, left) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        rest = left;
        (!run.is_empty()).then_some(run)
    })
}

fn words_of(plain: &str) -> impl Iterator<Item = &str> {
    plain
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
}

/// In how many letters two words differ, if not in more than `max`.
fn differences(a: &[char], b: &str, max: usize) -> Option<usize> {
    // Characters have at most four bytes, so longer ones are not counted.
    if b.len() > 4 * (a.len() + max) {
        return None;
    }
    let b: Vec<char> = b.chars().collect();
    if a.len().abs_diff(b.len()) > max {
        return None;
    }
    // Distances of the beginnings of both: the row before the last, the last, and the new one.
    let far = max + 1;
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(far);
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut above = None;
    for (row, x) in (1_usize..).zip(a) {
        let mut next = vec![far; last.len()];
        if let Some(first) = next.first_mut() {
            *first = row;
        }
        // What is further from the diagonal differs in more.
        let near = row.saturating_sub(max).max(1);
        let mut left = near.checked_sub(2).and_then(|place| b.get(place));
        for (column, y) in (near..=row + max).zip(b.iter().skip(near - 1)) {
            let replaced = at(&last, column - 1) + usize::from(x != y);
            let added = at(&next, column - 1).min(at(&last, column)) + 1;
            let mut least = replaced.min(added);
            if column > 1 && above == Some(y) && left == Some(x) {
                least = least.min(at(&before, column - 2) + 1);
            }
            if let Some(place) = next.get_mut(column) {
                *place = least;
            }
            left = Some(y);
        }
        above = Some(x);
        before = std::mem::replace(&mut last, next);
        if last.iter().all(|distance| *distance > max) {
            return None;
        }
    }
    last.last().copied().filter(|distance| *distance <= max)
}

const SAME: u8 = 100;
const BEGINS: u8 = 90;
/// How close a text is that contains what is looked for as it stands.
pub const CONTAINS: u8 = 70;
const ONE_DIFFERENCE: u8 = 60;
const TWO_DIFFERENCES: u8 = 40;
/// A shorter word is no part of another one.
const PART_OF_WORD_MIN: usize = 3;
/// LIM-25: bytes of a text that are looked at before others get their turn, and one word more.
const RUN_BYTES: usize = 64 * 1024;
/// LIM-25: words of one text that are looked for; those behind are not.
pub const WORDS_MAX: usize = 16;
/// LIM-25: characters of a word that may be misspelled.
const SPELLED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::body_text::fold;

    fn closeness(needle: &str, text: &str) -> Vec<u8> {
        let folded = fold(text);
        let plain = unmarked(&folded).unwrap_or(folded);
        let words = Words::new(&fold(needle));
        words.iter().map(|word| word.closeness(&plain)).collect()
    }

    #[test]
    fn words_are_found_as_people_remember_them() {
        for (needle, text, expected) in [
            // RFC 6203 4
            ("Helo", "oh hello there", &[ONE_DIFFERENCE][..]),
            ("Helo", "help", &[ONE_DIFFERENCE]),
            ("Helo", "halo", &[0]),
            ("break IMAP", "IMAP breaks", &[BEGINS, SAME]),
            ("cafe", "Caf\u{e9}", &[SAME]),
            ("caf\u{e9}", "CAFE", &[SAME]),
            ("\u{e9}t\u{e9}", "un ete", &[SAME]),
            ("voice", "invoices", &[CONTAINS]),
            ("ab", "abc", &[0]),
            ("cat", "cut", &[0]),
            ("invocie", "the invoice", &[ONE_DIFFERENCE]),
            ("invoices", "invoice", &[ONE_DIFFERENCE]),
            ("recieve", "receive", &[ONE_DIFFERENCE]),
            ("acommodation", "accomodation", &[TWO_DIFFERENCES]),
            ("acommodation", "accommodation", &[ONE_DIFFERENCE]),
            (
                "freind thier form",
                "their friend from",
                &[ONE_DIFFERENCE; 3],
            ),
            ("meeting", "greeting", &[0]),
            ("42 x42", "x42", &[0, SAME]),
            (
                "\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}",
                "\u{41f}\u{440}\u{435}\u{432}\u{435}\u{442}",
                &[ONE_DIFFERENCE],
            ),
            ("...", "anything", &[]),
            ("one one", "one", &[SAME]),
        ] {
            assert_eq!(closeness(needle, text), expected, "{needle} in {text}");
        }
    }

    #[test]
    fn differences_are_counted_up_to_a_bound() {
        let count = |a: &str, b: &str, max| {
            let a: Vec<char> = a.chars().collect();
            differences(&a, b, max)
        };
        for (a, b, expected) in [
            ("abcd", "abcd", Some(0)),
            ("abcd", "abdc", Some(1)),
            ("abcd", "abd", Some(1)),
            ("abcd", "xabcd", Some(1)),
            ("abcd", "bacdx", Some(2)),
            ("abcd", "dcba", None),
            ("", "ab", Some(2)),
        ] {
            assert_eq!(count(a, b, 2), expected, "{a} {b}");
        }
    }

    #[test]
    fn lim_25_so_many_words_are_looked_for_and_long_ones_as_they_stand() {
        let many: Vec<String> = (0..40).map(|n| format!("word{n}")).collect();
        assert_eq!(Words::new(&many.join(" ")).iter().len(), WORDS_MAX);
        let long = "x".repeat(SPELLED_MAX + 1);
        assert_eq!(closeness(&long, &long), [SAME]);
        assert_eq!(closeness(&long, &long[1..]), [0]);
        assert_eq!(
            closeness(&long[1..], &format!("{}y", &long[2..])),
            [TWO_DIFFERENCES.max(ONE_DIFFERENCE)]
        );
    }

    #[test]
    fn lim_25_a_text_is_looked_at_in_runs_of_whole_words() {
        let text = "word ".repeat(50_000) + &"x".repeat(200_000) + " end";
        let all: Vec<&str> = runs(&text).collect();
        assert_eq!(all.concat(), text);
        assert!(all.len() >= 4);
        assert!(all.iter().skip(1).all(|run| run.starts_with(' ')));
        assert_eq!(runs("").count(), 0);
    }

    proptest! {
        #[test]
        fn what_is_found_has_one_of_the_parts(
            needle in "[a-d]{1,12}", text in "[a-e ]{0,40}",
        ) {
            let words = Words::new(&fold(&needle));
            let text = fold(&text);
            for word in words.iter() {
                prop_assert!(word.parts().all(|part| part.len() >= word.chars.len().min(3)));
                let has_part = word.parts().any(|part| text.contains(part));
                prop_assert!(has_part || word.closeness(&text) == 0);
                // And whatever contains it is found, from three letters on.
                if text.contains(&word.text) && word.chars.len() >= PART_OF_WORD_MIN {
                    prop_assert!(word.closeness(&text) >= CONTAINS);
                }
            }
        }
    }
}
