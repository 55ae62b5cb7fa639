//! Search keys (RFC 3501 9, `search-key`), read with an explicit stack: no depth of nesting
//! recurses (LIM-20).

use std::borrow::Cow;

use super::{Mistake, Parsed, Scanner, resync};
use crate::{
    base::ids::ModSeq,
    imap::proto::{
        enabled::Enabled,
        limits::{SEARCH_DEPTH_MAX, SEARCH_KEYS_MAX},
        search::{Charset, SearchFlag, SearchKey},
        section::FieldName,
        sequence::SequenceSet,
    },
};

/// All search keys up to the end of the command; `word` is the first word.
pub(super) fn keys(
    scanner: &mut Scanner<'_>,
    charset: &Charset,
    word: Vec<u8>,
) -> Parsed<SearchKey> {
    let mut keys = Keys {
        scanner,
        charset,
        waiting: Vec::new(),
        count: 0,
    };
    keys.all(word)
}

/// The next word in capitals; empty when a set or a parenthesis is next.
pub(super) fn next_word(scanner: &mut Scanner<'_>) -> Vec<u8> {
    scanner
        .run(|byte| byte.is_ascii_alphabetic())
        .to_ascii_uppercase()
}

struct Keys<'s, 'a> {
    scanner: &'s mut Scanner<'a>,
    charset: &'s Charset,
    /// The keys that wait for keys within them, from the outside in.
    waiting: Vec<Waiting>,
    count: usize,
}

/// A key that needs more keys.
enum Waiting {
    /// Parentheses; also all the keys of the command.
    List(Vec<SearchKey>),
    Not,
    Fuzzy,
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
            // RFC 6203 7
            b"FUZZY" => {
                self.scanner.space()?;
                Waiting::Fuzzy
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
                Waiting::Fuzzy => SearchKey::Fuzzy(Box::new(key)),
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
            // RFC 5182 3
            b"" if self.scanner.eat(b'$') => SearchKey::Saved,
            b"" => self.numbers()?,
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
            b"SAVEDATESUPPORTED" => SearchKey::SaveDateSupported,
            _ => {
                self.scanner.space()?;
                return self.leaf_with_argument(word);
            }
        })
    }

    fn numbers(&mut self) -> Parsed<SearchKey> {
        let set = self.scanner.set()?;
        match self.scanner.enabled().contains(Enabled::UIDONLY) {
            true => Err(Mistake::uid_required()),
            false => Ok(SearchKey::Numbers(set)),
        }
    }

    fn leaf_with_argument(&mut self, word: &[u8]) -> Parsed<SearchKey> {
        Ok(match word {
            b"BEFORE" => SearchKey::Before(self.scanner.date()?),
            b"ON" => SearchKey::On(self.scanner.date()?),
            b"SINCE" => SearchKey::Since(self.scanner.date()?),
            b"MODSEQ" => SearchKey::ModSeq(self.modseq()?),
            b"OLDER" => SearchKey::Older(self.scanner.nz_number()?),
            b"YOUNGER" => SearchKey::Younger(self.scanner.nz_number()?),
            b"SAVEDBEFORE" => SearchKey::SavedBefore(self.scanner.date()?),
            b"SAVEDON" => SearchKey::SavedOn(self.scanner.date()?),
            b"SAVEDSINCE" => SearchKey::SavedSince(self.scanner.date()?),
            b"EMAILID" => SearchKey::EmailId(self.object_id()?),
            b"THREADID" => SearchKey::ThreadId(self.object_id()?),
            b"SENTBEFORE" => SearchKey::SentBefore(self.scanner.date()?),
            b"SENTON" => SearchKey::SentOn(self.scanner.date()?),
            b"SENTSINCE" => SearchKey::SentSince(self.scanner.date()?),
            b"LARGER" => SearchKey::Larger(self.scanner.number64()?),
            b"SMALLER" => SearchKey::Smaller(self.scanner.number64()?),
            b"UID" if self.scanner.eat(b'$') => SearchKey::Saved,
            b"UID" => SearchKey::Uid(self.scanner.set()?),
            // RFC 9738 3.2. Above the last message there is none, though `n:*` would name it.
            b"UIDAFTER" => {
                let first = self.scanner.nz_number()?.checked_add(1);
                uids(first.map(|first| (first, u32::MAX)))
            }
            b"UIDBEFORE" => {
                let last = self.scanner.nz_number()? - 1;
                uids((last > 0).then_some((1, last)))
            }
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

    /// RFC 8474 7: `objectid`
    fn object_id(&mut self) -> Parsed<String> {
        let is_id_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let id = self.scanner.run(is_id_byte);
        match id.len() {
            1..=OBJECT_ID_BYTES_MAX => Ok(String::from_utf8_lossy(id).into_owned()),
            _ => Err(Mistake::bad(
                "an id is 1 to 255 letters, digits, underscores and dashes (RFC 8474 4)",
            )),
        }
    }

    /// RFC 7162 3.1.5: `[entry-name SP entry-type-req SP] mod-sequence-valzer`; a message has one
    /// mod-sequence here, so entries are ignored.
    fn modseq(&mut self) -> Parsed<ModSeq> {
        const RULE: &str = "an entry is \"/flags/...\" and priv, shared or all";
        if self.scanner.peek() == Some(b'"') {
            let entry = self.scanner.string()?.to_ascii_lowercase();
            self.scanner.space()?;
            let kind = self.scanner.word().to_ascii_lowercase();
            let is_known = matches!(kind.as_slice(), b"priv" | b"shared" | b"all");
            if !is_known || entry.strip_prefix(b"/flags/").is_none_or(<[u8]>::is_empty) {
                return Err(Mistake::bad(RULE));
            }
            self.scanner.space()?;
        }
        resync::modseq_or_zero(self.scanner)
    }

    fn keyword(&mut self) -> Parsed<String> {
        Ok(String::from_utf8_lossy(self.scanner.atom()?).into_owned())
    }

    /// What to look for. In a charset we do not know it means nothing.
    fn text(&mut self) -> Parsed<String> {
        let octets = self.scanner.astring()?;
        match (std::str::from_utf8(&octets), self.charset) {
            (Ok(text), _) => Ok(text.to_owned()),
            (Err(_), Charset::Unsupported) => Ok(Cow::into_owned(String::from_utf8_lossy(&octets))),
            (Err(_), Charset::Utf8) => Err(Mistake::bad("search texts must be ASCII or UTF-8")),
        }
    }
}

/// One range of UIDs, if there is any.
fn uids(range: Option<(u32, u32)>) -> SearchKey {
    SearchKey::Uid(SequenceSet::of_ranges(range.into_iter().collect()))
}

/// RFC 8474 4: longest id in bytes.
const OBJECT_ID_BYTES_MAX: usize = 255;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::proto::{
        command::CommandBody,
        date::Day,
        parse::tests::{assert_all_refused, parsed},
    };

    fn key(text: &str) -> Option<SearchKey> {
        match parsed(&format!("SEARCH {text}"))? {
            CommandBody::Search(query) => Some(query.key),
            other => panic!("{other:?}"),
        }
    }

    fn flag(flag: SearchFlag) -> SearchKey {
        SearchKey::Flag(flag)
    }

    fn not(key: SearchKey) -> SearchKey {
        SearchKey::Not(Box::new(key))
    }

    fn field(name: &str, text: &str) -> SearchKey {
        let name = FieldName::parse(name.as_bytes()).unwrap();
        SearchKey::Header(name, text.to_owned())
    }

    fn set(text: &str) -> SequenceSet {
        SequenceSet::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn every_key_is_read() {
        use SearchFlag::{Answered, Deleted, Draft, Flagged, Recent, Seen};
        let day = Day(19_754);
        let work = || "$work".to_owned();
        for (text, expected) in [
            ("ALL", SearchKey::All),
            ("answered", flag(Answered)),
            ("DELETED", flag(Deleted)),
            ("DRAFT", flag(Draft)),
            ("FLAGGED", flag(Flagged)),
            ("RECENT", flag(Recent)),
            ("SEEN", flag(Seen)),
            ("UNANSWERED", not(flag(Answered))),
            ("UNDELETED", not(flag(Deleted))),
            ("UNDRAFT", not(flag(Draft))),
            ("UNFLAGGED", not(flag(Flagged))),
            ("UNSEEN", not(flag(Seen))),
            ("OLD", not(flag(Recent))),
            ("NEW", SearchKey::And(vec![flag(Recent), not(flag(Seen))])),
            ("KEYWORD $work", SearchKey::Keyword(work())),
            ("UNKEYWORD $work", not(SearchKey::Keyword(work()))),
            ("BEFORE 1-Feb-2024", SearchKey::Before(day)),
            ("ON \"1-Feb-2024\"", SearchKey::On(day)),
            ("SINCE 1-Feb-2024", SearchKey::Since(day)),
            ("MODSEQ 0", SearchKey::ModSeq(ModSeq(0))),
            (
                "MODSEQ \"/flags/\\\\draft\" all 620162338",
                SearchKey::ModSeq(ModSeq(620_162_338)),
            ),
            ("OLDER 1", SearchKey::Older(1)),
            ("younger 259200", SearchKey::Younger(259_200)),
            ("$", SearchKey::Saved),
            ("SAVEDBEFORE 1-Feb-2024", SearchKey::SavedBefore(day)),
            ("SAVEDON 1-Feb-2024", SearchKey::SavedOn(day)),
            ("SAVEDSINCE 1-Feb-2024", SearchKey::SavedSince(day)),
            ("SAVEDATESUPPORTED", SearchKey::SaveDateSupported),
            ("EMAILID M1_-x", SearchKey::EmailId("M1_-x".to_owned())),
            ("THREADID T1", SearchKey::ThreadId("T1".to_owned())),
            ("UID $", SearchKey::Saved),
            ("SENTBEFORE 1-Feb-2024", SearchKey::SentBefore(day)),
            ("SENTON 1-Feb-2024", SearchKey::SentOn(day)),
            ("SENTSINCE 1-Feb-2024", SearchKey::SentSince(day)),
            ("LARGER 0", SearchKey::Larger(0)),
            ("SMALLER 4294967295", SearchKey::Smaller(4_294_967_295)),
            ("LARGER 4294967296", SearchKey::Larger(1 << 32)),
            ("BCC x", field("Bcc", "x")),
            ("CC x", field("Cc", "x")),
            ("FROM \"x y\"", field("From", "x y")),
            ("SUBJECT \"\u{fc}\"", field("Subject", "\u{fc}")),
            ("TO x", field("To", "x")),
            ("HEADER X-Y \"\"", field("X-Y", "")),
            ("BODY x", SearchKey::Body("x".to_owned())),
            ("TEXT x", SearchKey::Text("x".to_owned())),
            ("UID 1:*", SearchKey::Uid(set("1:*"))),
            ("UIDAFTER 7", uids(Some((8, u32::MAX)))),
            ("uidafter 4294967295", uids(None)),
            ("UIDBEFORE 7", uids(Some((1, 6)))),
            ("UIDBEFORE 1", uids(None)),
            ("2,*", SearchKey::Numbers(set("2,*"))),
            ("*", SearchKey::Numbers(set("*"))),
        ] {
            assert_eq!(key(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn keys_are_combined() {
        use SearchFlag::{Flagged, Seen};
        let (seen, flagged) = (|| flag(Seen), || flag(Flagged));
        for (text, expected) in [
            ("SEEN FLAGGED", SearchKey::And(vec![seen(), flagged()])),
            ("(SEEN)", seen()),
            ("((SEEN) FLAGGED)", SearchKey::And(vec![seen(), flagged()])),
            ("NOT NOT SEEN", not(not(seen()))),
            (
                "OR SEEN NOT FLAGGED",
                SearchKey::Or(Box::new(seen()), Box::new(not(flagged()))),
            ),
            (
                "OR OR SEEN FLAGGED (SEEN 1) ALL",
                SearchKey::And(vec![
                    SearchKey::Or(
                        Box::new(SearchKey::Or(Box::new(seen()), Box::new(flagged()))),
                        Box::new(SearchKey::And(vec![seen(), SearchKey::Numbers(set("1"))])),
                    ),
                    SearchKey::All,
                ]),
            ),
        ] {
            assert_eq!(key(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert_all_refused(&[
            "SEARCH",
            "SEARCH ",
            "SEARCH X",
            "SEARCH SEENX",
            "SEARCH ALL ",
            "SEARCH ALL  ALL",
            "SEARCH ()",
            "SEARCH (ALL",
            "SEARCH ALL)",
            "SEARCH (ALL))",
            "SEARCH NOT",
            "SEARCH NOT ",
            "SEARCH OR ALL",
            "SEARCH OR ALL ",
            "SEARCH NOTALL",
            "SEARCH KEYWORD",
            "SEARCH KEYWORD \"x\"",
            "SEARCH BEFORE x",
            "SEARCH LARGER",
            "SEARCH LARGER -1",
            "SEARCH UID x",
            "SEARCH UIDAFTER",
            "SEARCH UIDAFTER 0",
            "SEARCH UIDAFTER 1:2",
            "SEARCH UIDBEFORE *",
            "SEARCH UIDBEFORE $",
            "SEARCH UIDBEFORE 4294967296",
            "SEARCH 0",
            "SEARCH FROM",
            "SEARCH HEADER a",
            "SEARCH HEADER a: x",
            "SEARCH HEADER \"a b\" x",
            "SEARCH CHARSET UTF-8",
            "SEARCH CHARSET UTF-8 ",
            "SEARCH OLDER 0",
            "SEARCH YOUNGER -1",
            "SEARCH $1",
            "SEARCH 1,$",
            "SEARCH SAVEDON",
            "SEARCH EMAILID",
            "SEARCH THREADID \"a b\"",
            "SEARCH RETURN",
            "SEARCH RETURN ALL",
            "SEARCH RETURN ()",
            "SEARCH RETURN () ",
            "SEARCH RETURN (X) ALL",
            "SEARCH RETURN (MIN ) ALL",
            "SEARCH RETURN ( MIN) ALL",
            "SEARCH RETURN (MIN)ALL",
            "SEARCH RETURN (MIN  MAX) ALL",
            "SEARCH CHARSET UTF-8 RETURN (MIN) ALL",
            "SEARCH RETURN (PARTIAL) ALL",
            "SEARCH RETURN (PARTIAL 1) ALL",
            "SEARCH RETURN (PARTIAL 0:1) ALL",
            "SEARCH RETURN (PARTIAL 1:*) ALL",
            "SEARCH RETURN (PARTIAL -1:2) ALL",
            "SEARCH RETURN (PARTIAL 1:-2) ALL",
            "SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL",
            "SEARCH RETURN (PARTIAL 1:2 ALL) ALL",
            "SEARCH RETURN (ALL PARTIAL 1:2) ALL",
        ]);
    }

    #[test]
    fn lim_20_keys_may_be_nested_50_deep_and_not_deeper() {
        for (depth, ok) in [
            (SEARCH_DEPTH_MAX - 1, true),
            (SEARCH_DEPTH_MAX, true),
            (SEARCH_DEPTH_MAX + 1, false),
            (10_000, false),
        ] {
            let lists = format!("{}ALL{}", "(".repeat(depth), ")".repeat(depth));
            assert_eq!(key(&lists).is_some(), ok, "{depth}");
            let nots = format!("{}ALL", "NOT ".repeat(depth));
            assert_eq!(key(&nots).is_some(), ok, "{depth}");
            let ors = format!("{}ALL{}", "OR ".repeat(depth), " ALL".repeat(depth));
            assert_eq!(key(&ors).is_some(), ok, "{depth}");
        }
    }

    #[test]
    fn lim_20_a_search_may_have_1000_keys_and_not_one_more() {
        for (count, ok) in [
            (SEARCH_KEYS_MAX - 1, true),
            (SEARCH_KEYS_MAX, true),
            (SEARCH_KEYS_MAX + 1, false),
        ] {
            assert_eq!(key(&vec!["SEEN"; count].join(" ")).is_some(), ok, "{count}");
        }
    }
}
