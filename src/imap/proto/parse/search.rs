//! Search keys (RFC 3501 9, `search`), read with an explicit stack: no depth of nesting recurses (LIM-20).

use std::borrow::Cow;

use super::{Mistake, Parsed, Scanner};
use crate::imap::proto::{
    command::CommandBody,
    limits::{SEARCH_DEPTH_MAX, SEARCH_KEYS_MAX},
    search::{Charset, SearchFlag, SearchKey},
    section::FieldName,
};

/// `search`
pub fn search(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    search_by(scanner, false)
}

/// `"UID" SP search`
pub fn uid_search(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    search_by(scanner, true)
}

fn search_by(scanner: &mut Scanner<'_>, uid: bool) -> Parsed<CommandBody> {
    scanner.space()?;
    let mut charset = Charset::Utf8;
    let mut first = Some(next_word(scanner));
    if first.as_ref().is_some_and(|word| word == b"CHARSET") {
        scanner.space()?;
        let name = scanner.astring()?.to_ascii_uppercase();
        // Texts are compared as UTF-8, which holds ASCII.
        if !matches!(name.as_slice(), b"UTF-8" | b"UTF8" | b"US-ASCII" | b"ASCII") {
            charset = Charset::Unsupported;
        }
        scanner.space()?;
        first = None;
    }
    let first = first.unwrap_or_else(|| next_word(scanner));
    let mut keys = Keys {
        scanner,
        charset,
        waiting: Vec::new(),
        count: 0,
    };
    let key = keys.all(first)?;
    let charset = keys.charset;
    scanner.end()?;
    Ok(CommandBody::Search { uid, charset, key })
}

/// The next word in capitals; empty when a set or a parenthesis is next.
fn next_word(scanner: &mut Scanner<'_>) -> Vec<u8> {
    scanner
        .run(|byte| byte.is_ascii_alphabetic())
        .to_ascii_uppercase()
}

struct Keys<'s, 'a> {
    scanner: &'s mut Scanner<'a>,
    charset: Charset,
    /// The keys that wait for keys within them, from the outside in.
    waiting: Vec<Waiting>,
    count: usize,
}

/// A key that needs more keys.
enum Waiting {
    /// Parentheses; also all the keys of the command.
    List(Vec<SearchKey>),
    Not,
    OrFirst,
    OrSecond(SearchKey),
}

impl Keys<'_, '_> {
    /// All keys up to the end of the command; `word` is the first word.
    fn all(&mut self, word: Vec<u8>) -> Parsed<SearchKey> {
        let mut outermost = Vec::new();
        let mut word = Some(word);
        loop {
            let next = word.take().unwrap_or_else(|| next_word(self.scanner));
            self.count += 1;
            if self.count > SEARCH_KEYS_MAX {
                return Err(Mistake::bad("a search may have 1000 keys"));
            }
            let Some(key) = self.begin(&next)? else {
                continue;
            };
            if let Some(key) = self.finish(key)? {
                outermost.push(key);
                if self.scanner.is_at_end() {
                    return Ok(one_or_all(outermost));
                }
                self.scanner.space()?;
            }
        }
    }

    /// Reads one key; `None` when it waits for the keys within it.
    fn begin(&mut self, word: &[u8]) -> Parsed<Option<SearchKey>> {
        let waiting = match word {
            b"" if self.scanner.eat(b'(') => Waiting::List(Vec::new()),
            b"NOT" => {
                self.scanner.space()?;
                Waiting::Not
            }
            b"OR" => {
                self.scanner.space()?;
                Waiting::OrFirst
            }
            _ => return self.leaf(word).map(Some),
        };
        if self.waiting.len() == SEARCH_DEPTH_MAX {
            return Err(Mistake::bad("search keys may be nested 50 deep"));
        }
        self.waiting.push(waiting);
        Ok(None)
    }

    /// Gives `key` to the keys that wait; `None` when one of them waits for another.
    fn finish(&mut self, mut key: SearchKey) -> Parsed<Option<SearchKey>> {
        while let Some(outer) = self.waiting.pop() {
            key = match outer {
                Waiting::Not => SearchKey::Not(Box::new(key)),
                Waiting::OrFirst => {
                    self.scanner.space()?;
                    self.waiting.push(Waiting::OrSecond(key));
                    return Ok(None);
                }
                Waiting::OrSecond(first) => SearchKey::Or(Box::new(first), Box::new(key)),
                Waiting::List(mut keys) => {
                    keys.push(key);
                    if !self.scanner.eat(b')') {
                        self.scanner.space()?;
                        self.waiting.push(Waiting::List(keys));
                        return Ok(None);
                    }
                    one_or_all(keys)
                }
            };
        }
        Ok(Some(key))
    }

    /// A key without keys within it.
    fn leaf(&mut self, word: &[u8]) -> Parsed<SearchKey> {
        use SearchFlag::{Answered, Deleted, Draft, Flagged, Recent, Seen};
        let not = |flag| SearchKey::Not(Box::new(SearchKey::Flag(flag)));
        Ok(match word {
            b"" => SearchKey::Numbers(self.scanner.set()?),
            b"ALL" => SearchKey::All,
            b"ANSWERED" => SearchKey::Flag(Answered),
            b"DELETED" => SearchKey::Flag(Deleted),
            b"DRAFT" => SearchKey::Flag(Draft),
            b"FLAGGED" => SearchKey::Flag(Flagged),
            b"RECENT" => SearchKey::Flag(Recent),
            b"SEEN" => SearchKey::Flag(Seen),
            b"UNANSWERED" => not(Answered),
            b"UNDELETED" => not(Deleted),
            b"UNDRAFT" => not(Draft),
            b"UNFLAGGED" => not(Flagged),
            b"UNSEEN" => not(Seen),
            b"NEW" => SearchKey::And(vec![SearchKey::Flag(Recent), not(Seen)]),
            b"OLD" => not(Recent),
            _ => {
                self.scanner.space()?;
                return self.leaf_with_argument(word);
            }
        })
    }

    fn leaf_with_argument(&mut self, word: &[u8]) -> Parsed<SearchKey> {
        Ok(match word {
            b"BEFORE" => SearchKey::Before(self.scanner.date()?),
            b"ON" => SearchKey::On(self.scanner.date()?),
            b"SINCE" => SearchKey::Since(self.scanner.date()?),
            b"SENTBEFORE" => SearchKey::SentBefore(self.scanner.date()?),
            b"SENTON" => SearchKey::SentOn(self.scanner.date()?),
            b"SENTSINCE" => SearchKey::SentSince(self.scanner.date()?),
            b"LARGER" => SearchKey::Larger(self.scanner.number()?),
            b"SMALLER" => SearchKey::Smaller(self.scanner.number()?),
            b"UID" => SearchKey::Uid(self.scanner.set()?),
            b"KEYWORD" => SearchKey::Keyword(self.keyword()?),
            b"UNKEYWORD" => SearchKey::Not(Box::new(SearchKey::Keyword(self.keyword()?))),
            b"BCC" => self.field(b"Bcc")?,
            b"CC" => self.field(b"Cc")?,
            b"FROM" => self.field(b"From")?,
            b"SUBJECT" => self.field(b"Subject")?,
            b"TO" => self.field(b"To")?,
            b"BODY" => SearchKey::Body(self.text()?),
            b"TEXT" => SearchKey::Text(self.text()?),
            b"HEADER" => {
                let name = self.scanner.astring()?;
                self.scanner.space()?;
                self.field(&name)?
            }
            _ => {
                return Err(Mistake::bad(
                    "SEARCH does not know this key; try UNSEEN SINCE 1-Feb-2024",
                ));
            }
        })
    }

    fn field(&mut self, name: &[u8]) -> Parsed<SearchKey> {
        let name = FieldName::parse(name).ok_or_else(|| {
            Mistake::bad("a field name is printable ASCII without a colon (RFC 5322 2.2)")
        })?;
        Ok(SearchKey::Header(name, self.text()?))
    }

    fn keyword(&mut self) -> Parsed<String> {
        Ok(String::from_utf8_lossy(self.scanner.atom()?).into_owned())
    }

    /// What to look for. In a charset we do not know it means nothing.
    fn text(&mut self) -> Parsed<String> {
        let octets = self.scanner.astring()?;
        match (std::str::from_utf8(&octets), &self.charset) {
            (Ok(text), _) => Ok(text.to_owned()),
            (Err(_), Charset::Unsupported) => Ok(Cow::into_owned(String::from_utf8_lossy(&octets))),
            (Err(_), Charset::Utf8) => Err(Mistake::bad("search texts must be ASCII or UTF-8")),
        }
    }
}

fn one_or_all(mut keys: Vec<SearchKey>) -> SearchKey {
    match (keys.pop(), keys.is_empty()) {
        (Some(only), true) => only,
        (Some(last), false) => {
            keys.push(last);
            SearchKey::And(keys)
        }
        (None, _) => SearchKey::All,
    }
}
