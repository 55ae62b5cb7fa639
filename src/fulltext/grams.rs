//! Groups of three characters, as numbers: what the index knows of a text.
//!
//! Pure. A text that contains another one contains all of its groups, so an email without one of
//! them need not be read. A key is a hash of the group and of where it stands; two groups with one
//! key cost a needless look at an email, never an answer. Texts come folded, as searches compare
//! them ([`crate::mail::body_text`]). Changing a key's making changes the format's version.

use super::limits::{KEYS_MAX, NEEDLE_GRAMS_MAX};

/// Where a text stands in an email: what can be searched apart is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Text parts, and the headers of parts.
    Body,
    /// The field Subject.
    Subject,
    /// The field From.
    From,
    /// The fields To, Cc and Bcc.
    Recipients,
    /// Any other header field.
    Other,
}

impl Place {
    /// Everywhere in the header of the message.
    pub(super) const HEADER: [Self; 4] = [Self::Subject, Self::From, Self::Recipients, Self::Other];

    /// Where the header field with this lower-case name stands.
    pub(super) fn of_field(name: &str) -> Self {
        match name {
            "subject" => Self::Subject,
            "from" => Self::From,
            "to" | "cc" | "bcc" => Self::Recipients,
            _ => Self::Other,
        }
    }

    fn salt(self) -> u64 {
        let number: u64 = match self {
            Self::Body => 1,
            Self::Subject => 2,
            Self::From => 3,
            Self::Recipients => 4,
            Self::Other => 5,
        };
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// The key of one group.
fn key(place: Place, group: [char; 3]) -> u32 {
    let [a, b, c] = group.map(|c| u64::from(u32::from(c)));
    // A character has 21 bits.
    let mixed = (a | b << 21 | c << 42) ^ place.salt();
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u32::try_from(mixed >> 32).unwrap_or(0)
}

/// The groups of a text, in order.
fn groups(text: &str) -> impl Iterator<Item = [char; 3]> {
    let mut last = ['\0'; 2];
    text.chars().enumerate().filter_map(move |(at, c)| {
        let group = [last[0], last[1], c];
        last = [last[1], c];
        (at >= 2).then_some(group)
    })
}

/// The keys that an email must have to contain the folded `needle` at `place`; none for a needle
/// shorter than a group, which any email may contain.
pub(super) fn of_needle(place: Place, needle: &str) -> Vec<u32> {
    let keys = groups(needle).map(|group| key(place, group));
    let mut keys: Vec<u32> = keys.take(NEEDLE_GRAMS_MAX).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Collects the keys of one email.
#[derive(Debug)]
pub(super) struct Grams {
    keys: Vec<u32>,
    /// The last key of each class: most groups of a text come again soon.
    seen: Box<[u32; SEEN]>,
    overflown: bool,
}

const SEEN: usize = 8192;

impl Grams {
    pub(super) fn new() -> Self {
        Self {
            keys: Vec::new(),
            seen: Box::new([0; SEEN]),
            overflown: false,
        }
    }

    /// Adds a folded text.
    pub(super) fn add(&mut self, place: Place, text: &str) {
        for group in groups(text) {
            let key = key(place, group);
            let class = &mut self.seen[key as usize % SEEN];
            if *class == key && key != 0 {
                continue;
            }
            *class = key;
            self.keys.push(key);
            if self.keys.len() >= 2 * KEYS_MAX {
                self.tidy();
                if self.keys.len() > KEYS_MAX {
                    self.overflown = true;
                    self.keys.clear();
                    return;
                }
            }
        }
    }

    /// Takes the keys, in no order and some of them more than once: whoever puts those of many
    /// emails in order does it for all. `None` when there were more than an email may have. The
    /// next email begins.
    pub(super) fn take(&mut self) -> Option<Vec<u32>> {
        if self.keys.len() > KEYS_MAX {
            self.tidy();
        }
        let overflown = std::mem::take(&mut self.overflown) || self.keys.len() > KEYS_MAX;
        self.seen.fill(0);
        // The next one is as long, or it grows.
        let next = Vec::with_capacity(self.keys.len().min(KEYS_MAX));
        let keys = std::mem::replace(&mut self.keys, next);
        (!overflown).then_some(keys)
    }

    fn tidy(&mut self) {
        self.keys.sort_unstable();
        self.keys.dedup();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::body_text::fold;

    fn keys(place: Place, text: &str) -> Vec<u32> {
        let mut grams = Grams::new();
        grams.add(place, text);
        let mut keys = grams.take().unwrap();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    proptest! {
        #[test]
        fn a_text_has_the_keys_of_all_it_contains(
            before in "\\PC{0,40}", needle in "\\PC{0,12}", after in "\\PC{0,40}",
        ) {
            let text = fold(&format!("{before}{needle}{after}"));
            let keys = keys(Place::Body, &text);
            // Folding is per character: what was contained is contained.
            let needle = fold(&needle);
            prop_assert!(text.contains(&needle));
            for key in of_needle(Place::Body, &needle) {
                prop_assert!(keys.binary_search(&key).is_ok());
            }
        }
    }

    #[test]
    fn places_are_told_apart_and_short_texts_have_no_keys() {
        assert_eq!(keys(Place::Body, "abc"), of_needle(Place::Body, "abc"));
        assert_ne!(keys(Place::Body, "abc"), of_needle(Place::Subject, "abc"));
        assert!(of_needle(Place::Body, "ab").is_empty() && keys(Place::Body, "").is_empty());
        assert_eq!(of_needle(Place::Body, "abcabcabc").len(), 3);
    }

    #[test]
    fn lim_36_an_email_has_so_many_keys_and_the_next_one_begins_anew() {
        let mut grams = Grams::new();
        let mut text = String::new();
        let mut letter = 0_u32;
        for _ in 0..300_000 {
            letter = letter.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.extend(char::from_u32(0x4e00 + (letter >> 8) % 20_000));
        }
        grams.add(Place::Body, &text);
        assert!(grams.keys.len() <= 2 * KEYS_MAX);
        assert_eq!(grams.take(), None);
        grams.add(Place::Body, "abc");
        assert_eq!(grams.take().map(|keys| keys.len()), Some(1));
    }

    #[test]
    fn lim_25_of_a_long_text_so_many_groups_are_looked_up() {
        let long: String = (0..10_000_u32)
            .filter_map(|n| char::from_u32(n + 0x4e00))
            .collect();
        assert_eq!(of_needle(Place::Body, &long).len(), NEEDLE_GRAMS_MAX);
    }
}
