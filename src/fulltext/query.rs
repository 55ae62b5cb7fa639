//! What a search asks the index for, and what it answers: the emails that may be found.
//!
//! Pure. A query says less than a search, never more: what the index cannot know is
//! [`Query::anything`]. RFC 3501 6.4.4.

use super::{
    grams::{self, Place},
    limits::LOOKUPS_MAX,
};
use crate::{base::ids::EmailId, mail::fuzzy::Words};

/// What an email must have in the index to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query(pub(super) Node);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// Nothing: the index cannot say anything.
    Anything,
    /// All of these keys.
    Keys(Vec<u32>),
    All(Vec<Self>),
    OneOf(Vec<Self>),
}

/// What one key of a search looks for, in the forms in which texts are compared.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// A text, folded as bodies are and as header fields are.
    Text(&'a str, &'a str),
    /// Words, each of them somewhere.
    Words(&'a Words),
}

impl Query {
    /// Every email.
    pub fn anything() -> Self {
        Self(Node::Anything)
    }

    /// A text of the body, or a header of a part.
    pub fn body(wanted: Wanted<'_>) -> Self {
        match wanted {
            Wanted::Text(text, line) if text == line => Self::at(Place::Body, text),
            Wanted::Text(text, line) => {
                Self::one_of([text, line].map(|form| Self::at(Place::Body, form)))
            }
            Wanted::Words(words) => Self::words(words, &[Place::Body]),
        }
    }

    /// [`Self::body`], or the header of the message.
    pub fn text(wanted: Wanted<'_>) -> Self {
        match wanted {
            Wanted::Text(_, line) => {
                let header = Place::HEADER.map(|place| Self::at(place, line));
                Self::one_of(header.into_iter().chain([Self::body(wanted)]))
            }
            Wanted::Words(words) => {
                let [a, b, c, d] = Place::HEADER;
                Self::words(words, &[a, b, c, d, Place::Body])
            }
        }
    }

    /// A header field with this lower-case name.
    pub fn field(name: &str, wanted: Wanted<'_>) -> Self {
        let place = Place::of_field(name);
        match wanted {
            Wanted::Text(_, line) => Self::at(place, line),
            Wanted::Words(words) => Self::words(words, &[place]),
        }
    }

    /// Of each word one of its parts, in one of these places.
    fn words(words: &Words, places: &[Place]) -> Self {
        Self::all(words.iter().map(|word| {
            let parts = word.parts();
            Self::one_of(parts.flat_map(|part| places.iter().map(|place| Self::at(*place, part))))
        }))
    }

    /// What all of `queries` say.
    pub fn all(queries: impl IntoIterator<Item = Self>) -> Self {
        let said = queries.into_iter().map(|query| query.0);
        let mut said: Vec<Node> = said.filter(|node| *node != Node::Anything).collect();
        match said.len() {
            0 => Self::anything(),
            1 => Self(said.remove(0)),
            _ => Self(Node::All(said)),
        }
    }

    /// What at least one of `queries` says.
    pub fn one_of(queries: impl IntoIterator<Item = Self>) -> Self {
        let said: Vec<Node> = queries.into_iter().map(|query| query.0).collect();
        match said.contains(&Node::Anything) {
            true => Self::anything(),
            false => Self(Node::OneOf(said)),
        }
    }

    /// Whether the index can help at all, at a bounded price (LIM-25).
    pub(super) fn narrows(&self) -> bool {
        self.0 != Node::Anything && self.0.lookups() <= LOOKUPS_MAX
    }

    fn at(place: Place, needle: &str) -> Self {
        match grams::of_needle(place, needle) {
            keys if keys.is_empty() => Self::anything(),
            keys => Self(Node::Keys(keys)),
        }
    }
}

impl Node {
    fn lookups(&self) -> usize {
        match self {
            Self::Anything => 0,
            Self::Keys(keys) => keys.len(),
            Self::All(nodes) | Self::OneOf(nodes) => nodes.iter().map(Self::lookups).sum(),
        }
    }

    /// The numbers, ascending, of what has what is asked for; `None` for everything. `find` tells
    /// which have one key.
    ///
    /// # Errors
    /// Those of `find`.
    pub(super) fn evaluate<E>(
        &self,
        find: &mut impl FnMut(u32) -> Result<Vec<u32>, E>,
    ) -> Result<Option<Vec<u32>>, E> {
        match self {
            Self::Anything => Ok(None),
            Self::Keys(keys) => {
                let mut found = None;
                for key in keys {
                    narrow(&mut found, find(*key)?);
                    if found.as_ref().is_some_and(Vec::is_empty) {
                        break;
                    }
                }
                Ok(found)
            }
            Self::All(nodes) => {
                let mut found = None;
                for node in nodes {
                    if let Some(more) = node.evaluate(find)? {
                        narrow(&mut found, more);
                    }
                    if found.as_ref().is_some_and(Vec::is_empty) {
                        break;
                    }
                }
                Ok(found)
            }
            Self::OneOf(nodes) => {
                let mut found = Vec::new();
                for node in nodes {
                    match node.evaluate(find)? {
                        Some(more) => found.extend(more),
                        None => return Ok(None),
                    }
                }
                found.sort_unstable();
                found.dedup();
                Ok(Some(found))
            }
        }
    }
}

/// Keeps what is in both; both ascend.
fn narrow(found: &mut Option<Vec<u32>>, more: Vec<u32>) {
    let Some(found) = found else {
        *found = Some(more);
        return;
    };
    let mut more = more.into_iter().peekable();
    found.retain(|number| {
        while more.next_if(|other| other < number).is_some() {}
        more.peek() == Some(number)
    });
}

/// The emails of one account that may be found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmailSet {
    /// Emails above this number are not in the index: any of them may be found.
    pub(super) indexed: u64,
    /// Those of the others that may be found, ascending.
    pub(super) found: Vec<u64>,
}

impl EmailSet {
    /// Whether this email may be found.
    pub fn contains(&self, email: EmailId) -> bool {
        email.0 > self.indexed || self.found.binary_search(&email.0).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn keys(keys: &[u32]) -> Query {
        Query(Node::Keys(keys.to_vec()))
    }

    /// Number n has the keys that divide it.
    fn found(query: &Query) -> Option<Vec<u32>> {
        let mut find = |key: u32| {
            let numbers = 1..=30;
            Ok::<_, Infallible>(numbers.filter(|n| n % key == 0).collect())
        };
        query.0.evaluate(&mut find).unwrap()
    }

    #[test]
    fn queries_combine() {
        let (two, three, any) = (keys(&[2]), keys(&[3]), Query::anything());
        assert_eq!(found(&keys(&[2, 3])), Some(vec![6, 12, 18, 24, 30]));
        assert_eq!(found(&keys(&[11, 13, 2])), Some(vec![]));
        assert_eq!(found(&any), None);
        let both = Query::all([two.clone(), any.clone(), three]);
        assert_eq!(found(&both), found(&keys(&[2, 3])));
        assert_eq!(Query::all([any.clone()]), any);
        let fifteen = Query::one_of([keys(&[7, 2]), keys(&[15])]);
        assert_eq!(found(&fifteen), Some(vec![14, 15, 28, 30]));
        assert_eq!(Query::one_of([two.clone(), any.clone()]), any);
        assert_eq!(found(&Query::one_of([])), Some(vec![]));
        let nested = Query::all([fifteen, two]);
        assert_eq!(found(&nested), Some(vec![14, 28, 30]));
    }

    #[test]
    fn what_is_too_short_says_nothing() {
        for query in [
            Query::body(Wanted::Text("ab", "ab")),
            Query::text(Wanted::Text("", "")),
            Query::field("from", Wanted::Text("x ", "x ")),
            // Either form of a needle may be what is found.
            Query::body(Wanted::Text("\r\n\r\n", " ")),
            Query::text(Wanted::Words(&Words::new("AB CD"))),
        ] {
            assert_eq!(query, Query::anything());
            assert!(!query.narrows());
        }
        assert!(Query::field("subject", Wanted::Text("abc", "abc")).narrows());
        assert!(Query::body(Wanted::Text("a\r\nb", "a b")).narrows());
        // What one word cannot say the other one can.
        assert!(Query::text(Wanted::Words(&Words::new("AB HELO"))).narrows());
        let longest = "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ".to_owned();
        let many: Vec<String> = ('A'..='P').map(|c| format!("{c}{longest}")).collect();
        assert!(Query::text(Wanted::Words(&Words::new(&many[..4].join(" ")))).narrows());
    }

    #[test]
    fn lim_25_a_search_for_too_many_keys_is_not_narrowed() {
        let many: Vec<u32> = (0..=LOOKUPS_MAX as u32).collect();
        assert!(!keys(&many).narrows());
        assert!(keys(&many[1..]).narrows());
    }

    #[test]
    fn lim_25_a_search_that_is_given_up_looks_nothing_up_any_more() {
        let query = Query::all([
            Query::one_of([keys(&[1, 2]), keys(&[3])]),
            keys(&[4]),
            Query::one_of([keys(&[5])]),
        ]);
        for given_up_at in 1..=5 {
            let mut lookups = 0;
            let mut find = |_: u32| {
                lookups += 1;
                match lookups < given_up_at {
                    true => Ok(vec![1, 2, 3]),
                    false => Err("given up"),
                }
            };
            assert_eq!(query.0.evaluate(&mut find), Err("given up"));
            assert_eq!(lookups, given_up_at);
        }
    }

    #[test]
    fn emails_that_are_not_indexed_yet_may_be_found() {
        let set = EmailSet {
            indexed: 10,
            found: vec![3, 7],
        };
        let contained = (1..=12).filter(|n| set.contains(EmailId(*n)));
        assert_eq!(contained.collect::<Vec<_>>(), [3, 7, 11, 12]);
    }
}
