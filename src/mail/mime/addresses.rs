//! Address lists of header fields, as IMAP's ENVELOPE shows them: not decoded, groups marked.
//!
//! RFC 5322 3.4 with 4.4 (routes, empty elements), RFC 3501 7.4.2. Tolerant, iterative, linear;
//! LIM-30 addresses at most. Nothing is ever decided on these: they are for display and
//! searching. The addresses that mail is routed by are `mail::address::Address`.

use super::{
    Bounds,
    lexer::{Grammar, Lexer, Token},
};

/// One element of an address list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressEntry {
    /// An address.
    Mailbox(Mailbox),
    /// A group with this name begins.
    GroupStart(Vec<u8>),
    /// The group ends.
    GroupEnd,
}

/// One address of a header field, in its four parts (RFC 3501 7.4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mailbox {
    /// The display name without quotes, or a comment after an address without brackets.
    pub name: Option<Vec<u8>>,
    /// RFC 5322 4.4 obs-route.
    pub route: Option<Vec<u8>>,
    /// The local part without quotes.
    pub local: Vec<u8>,
    /// The domain; empty when there is none.
    pub host: Vec<u8>,
    /// More than white space and comments stands behind its angle brackets, and is nowhere here.
    pub ignored: bool,
}

/// Reads the unfolded value of an address field.
pub fn parse_addresses(value: &[u8], bounds: &Bounds) -> Vec<AddressEntry> {
    let mut list = List {
        in_group: false,
        entries: Vec::new(),
        element: Element::default(),
    };
    let mut addresses = 0;
    for spaced in Lexer::new(value, Grammar::Addresses, bounds.comment_depth) {
        if addresses >= bounds.addresses {
            break;
        }
        match spaced.token {
            Token::Special(b',') if !list.element.in_angle() => addresses += list.end_element(),
            Token::Special(b';') if !list.element.in_angle() => {
                addresses += list.end_element();
                list.end_group();
            }
            Token::Special(b':') if !list.in_group && list.element.may_name_a_group() => {
                list.start_group();
            }
            token => list.element.take(token, spaced.after_space),
        }
    }
    if addresses < bounds.addresses {
        list.end_element();
    }
    list.end_group();
    list.entries
}

struct List {
    in_group: bool,
    entries: Vec<AddressEntry>,
    element: Element,
}

impl List {
    /// Ends the address before a comma; gives how many addresses it was.
    fn end_element(&mut self) -> usize {
        let mailbox = std::mem::take(&mut self.element).into_mailbox();
        let count = usize::from(mailbox.is_some());
        self.entries.extend(mailbox.map(AddressEntry::Mailbox));
        count
    }

    fn start_group(&mut self) {
        let element = std::mem::take(&mut self.element);
        self.entries
            .push(AddressEntry::GroupStart(join(&element.words)));
        self.in_group = true;
    }

    fn end_group(&mut self) {
        if self.in_group {
            self.entries.push(AddressEntry::GroupEnd);
        }
        self.in_group = false;
    }
}

/// The text between two commas.
#[derive(Default)]
struct Element {
    /// Before the angle bracket, or all there is.
    words: Vec<Word>,
    /// Between the angle brackets, once one was opened.
    angle: Option<Vec<Word>>,
    angle_closed: bool,
    /// The last one; the name, where there is no other.
    comment: Option<Vec<u8>>,
    /// Something has no place in an address.
    ignored: bool,
}

struct Word {
    text: Vec<u8>,
    after_space: bool,
    /// An at sign that is not quoted.
    is_at: bool,
}

impl Element {
    fn in_angle(&self) -> bool {
        self.angle.is_some() && !self.angle_closed
    }

    /// A colon after a phrase starts a group; after an at sign or a bracket it is a mistake.
    fn may_name_a_group(&self) -> bool {
        self.angle.is_none() && !self.words.is_empty() && !self.words.iter().any(|w| w.is_at)
    }

    fn take(&mut self, token: Token<'_>, after_space: bool) {
        let is_at = token == Token::Special(b'@');
        let text = match token {
            Token::Special(b'<') if self.angle.is_none() => {
                self.angle = Some(Vec::new());
                return;
            }
            Token::Special(b'>') => {
                self.ignored |= !self.in_angle();
                self.angle_closed = self.angle.is_some();
                return;
            }
            Token::Comment(text) => {
                self.comment = Some(text.into_owned());
                return;
            }
            Token::Special(byte) => vec![byte],
            Token::Atom(text) | Token::Literal(text) => text.to_vec(),
            Token::Quoted(text) => text.into_owned(),
        };
        let word = Word {
            text,
            after_space,
            is_at,
        };
        match &mut self.angle {
            None => self.words.push(word),
            Some(angle) if !self.angle_closed => angle.push(word),
            Some(_) => self.ignored = true,
        }
    }

    fn into_mailbox(self) -> Option<Mailbox> {
        let comment = self.comment.filter(|text| !text.is_empty());
        if let Some(angle) = self.angle {
            let (route, spec) = split_route(&angle);
            let (local, host) = split_at_sign(spec);
            let (local, host) = (join(local), glue(host));
            let name = Some(join(&self.words))
                .filter(|name| !name.is_empty())
                .or(comment);
            let empty = name.is_none() && local.is_empty() && host.is_empty();
            return (!empty).then_some(Mailbox {
                name,
                route,
                local,
                host,
                ignored: self.ignored,
            });
        }
        if self.words.is_empty() {
            return None;
        }
        let (local, host) = split_at_sign(&self.words);
        // `Full Name user@host`: the name ends where the last run without spaces begins.
        let has_host = local.len() < self.words.len();
        let start = if has_host { start_of_local(local) } else { 0 };
        let (name, local) = local.split_at_checked(start).unwrap_or((&[], local));
        let name = Some(join(name)).filter(|name| !name.is_empty()).or(comment);
        Some(Mailbox {
            name,
            route: None,
            local: join(local),
            host: glue(host),
            ignored: self.ignored,
        })
    }
}

/// `@a,@b:user@c` as the route `@a,@b` and the address.
fn split_route(words: &[Word]) -> (Option<Vec<u8>>, &[Word]) {
    let colon = words.iter().position(|word| word.text == b":");
    match (
        words.first(),
        colon.and_then(|at| words.split_at_checked(at)),
    ) {
        (Some(first), Some((route, spec))) if first.is_at => {
            (Some(glue(route)), spec.get(1..).unwrap_or_default())
        }
        _ => (None, words),
    }
}

/// What stands before and after the last at sign.
fn split_at_sign(words: &[Word]) -> (&[Word], &[Word]) {
    match words
        .iter()
        .rposition(|word| word.is_at)
        .and_then(|at| words.split_at_checked(at))
    {
        Some((local, host)) => (local, host.get(1..).unwrap_or_default()),
        None => (words, &[]),
    }
}

/// Where the last run of words begins that are joined without a space or around a dot
/// (RFC 5322 4.4 obs-local-part lets white space stand there).
fn start_of_local(words: &[Word]) -> usize {
    let mut start = words.len().saturating_sub(1);
    while let Some([before, word]) = words.get(start.saturating_sub(1)..=start) {
        if word.after_space && !dotted(before, word) {
            break;
        }
        start = start.saturating_sub(1);
    }
    start
}

fn dotted(before: &Word, word: &Word) -> bool {
    before.text.ends_with(b".") || word.text.starts_with(b".")
}

/// The words as a phrase: one space wherever there was white space.
fn join(words: &[Word]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut before: Option<&Word> = None;
    for word in words {
        let adjoins = before.is_some_and(|b| b.is_at || (is_dot(b) || is_dot(word)));
        if before.is_some() && word.after_space && !word.is_at && !adjoins {
            text.push(b' ');
        }
        text.extend_from_slice(&word.text);
        before = Some(word);
    }
    text
}

fn is_dot(word: &Word) -> bool {
    word.text == b"."
}

/// The words without any space.
fn glue(words: &[Word]) -> Vec<u8> {
    words
        .iter()
        .flat_map(|word| word.text.iter().copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `name|route|local|host` per address, `name{` and `}` for groups.
    fn shown(value: &[u8]) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let opt = |bytes: &Option<Vec<u8>>| text(bytes.as_deref().unwrap_or(b"-"));
        let entries = parse_addresses(value, &Bounds::default());
        let shown: Vec<String> = entries
            .iter()
            .map(|entry| match entry {
                AddressEntry::GroupStart(name) => format!("{}{{", text(name)),
                AddressEntry::GroupEnd => "}".to_owned(),
                AddressEntry::Mailbox(m) => {
                    format!(
                        "{}|{}|{}|{}",
                        opt(&m.name),
                        opt(&m.route),
                        text(&m.local),
                        text(&m.host)
                    )
                }
            })
            .collect();
        shown.join(" ")
    }

    #[test]
    fn address_lists_are_read_with_all_their_obsolete_forms() {
        for (value, expected) in [
            ("", ""),
            (",, ,", ""),
            ("a@b", "-|-|a|b"),
            ("<a@b>", "-|-|a|b"),
            ("A B <a@b>, c@d", "A B|-|a|b -|-|c|d"),
            ("\"A, B\" <a@b>", "A, B|-|a|b"),
            ("A \"B\" C <a@b>", "A B C|-|a|b"),
            ("John Q. Public <a@b>", "John Q. Public|-|a|b"),
            ("a@b (Full (nested) Name)", "Full (nested) Name|-|a|b"),
            ("(x) a@b (y)", "y|-|a|b"),
            ("\"a b\"@c", "-|-|a b|c"),
            ("\"a@b\"@c", "-|-|a@b|c"),
            ("a . b @ c . d", "-|-|a.b|c.d"),
            ("<@r1,@r2:a@b>", "-|@r1,@r2|a|b"),
            ("X <@r:a@b>", "X|@r|a|b"),
            ("a@[192.0.2.1]", "-|-|a|[192.0.2.1]"),
            ("g: a@b, C <c@d>;", "g{ -|-|a|b C|-|c|d }"),
            ("Undisclosed recipients:;", "Undisclosed recipients{ }"),
            ("g:a@b;, c@d", "g{ -|-|a|b } -|-|c|d"),
            ("g: a@b", "g{ -|-|a|b }"),
            (";", ""),
            ("root", "-|-|root|"),
            ("John Doe", "-|-|John Doe|"),
            ("John Doe j.doe@x", "John Doe|-|j.doe|x"),
            ("a@b <a@b>", "a@b|-|a|b"),
            ("a@b@c", "-|-|a@b|c"),
            ("<a@b", "-|-|a|b"),
            ("<>", ""),
            ("Name <>", "Name|-||"),
            ("a@", "-|-|a|"),
            ("@b", "-|-||b"),
            ("\"unclosed <a@b>, c@d", "-|-|unclosed <a@b>, c@d|"),
            ("(unclosed", ""),
            ("=?utf-8?q?J=C3=B6rg?= <j@x>", "=?utf-8?q?J=C3=B6rg?=|-|j|x"),
            ("J\u{f6}rg <j@x>", "J\u{f6}rg|-|j|x"),
            ("A <a@b> trailing, c@d", "A|-|a|b -|-|c|d"),
            ("x:y:z@w", "x{ -|-|y:z|w }"),
        ] {
            assert_eq!(shown(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn lim_30_five_thousand_addresses_are_read_and_the_rest_ignored() {
        let count = |n: usize| parse_addresses(&b"a@b,".repeat(n), &Bounds::default()).len();
        assert_eq!(
            (count(4_999), count(5_000), count(5_001)),
            (4_999, 5_000, 5_000)
        );
    }

    #[test]
    fn half_a_million_of_anything_is_linear() {
        for piece in [
            "a@b,", "a ", "<", "(", "\"", "a:", ";", "@", ".", "\\", "a:;", "<a@b>,",
        ] {
            let _ = parse_addresses(&piece.as_bytes().repeat(500_000), &Bounds::default());
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_balanced_groups(value in "[ab@<>,;:\"() .\\[\\]\\\\]{0,60}") {
            let mut open = false;
            for entry in parse_addresses(value.as_bytes(), &Bounds::default()) {
                match entry {
                    AddressEntry::GroupStart(_) => {
                        prop_assert!(!open);
                        open = true;
                    }
                    AddressEntry::GroupEnd => {
                        prop_assert!(open);
                        open = false;
                    }
                    AddressEntry::Mailbox(_) => {}
                }
            }
            prop_assert!(!open);
        }
    }
}
