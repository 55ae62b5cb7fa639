//! What a command means, of either grammar, in one spelling. `None` where one of them knows more
//! than is spelled here.

use buzon::imap::proto::{
    command::CommandBody as Ours,
    date::{Day, parse_date},
    fetch::FetchItem,
    flag::{FlagList, SystemFlags},
    list::ListQuery,
    mutf7,
    search::{Charset, SearchKey as OurKey},
    section::{Section as OurSection, SectionText},
    sequence::{MessageSet, SequenceSet as OurSet},
};
use imap_codec::imap_types::{
    command::CommandBody as Theirs,
    datetime::NaiveDate,
    fetch::{MacroOrMessageDataItemNames, MessageDataItemName, Part, Section},
    flag::{Flag, StoreResponse},
    mailbox::{ListMailbox, Mailbox},
    search::SearchKey,
    sequence::{SeqOrUid, Sequence, SequenceSet},
};

pub(super) fn ours(body: &Ours) -> Option<String> {
    Some(match body {
        Ours::Login { user, password } => format!("LOGIN {user:?} {:?}", password.expose()),
        Ours::Authenticate { .. } => "AUTHENTICATE".to_owned(),
        Ours::Select { mailbox, .. } => format!("SELECT {}", name(mailbox)),
        Ours::Examine { mailbox, .. } => format!("EXAMINE {}", name(mailbox)),
        Ours::Create { mailbox, .. } => format!("CREATE {}", name(mailbox)),
        Ours::Delete { mailbox } => format!("DELETE {}", name(mailbox)),
        Ours::Rename { from, to } => format!("RENAME {} {}", name(from), name(to)),
        Ours::Subscribe { mailbox } => format!("SUBSCRIBE {}", name(mailbox)),
        Ours::Unsubscribe { mailbox } => format!("UNSUBSCRIBE {}", name(mailbox)),
        Ours::List(query) => our_list(query)?,
        Ours::Lsub { reference, pattern } => format!("LSUB {} {pattern:?}", name(reference)),
        Ours::Status { mailbox, items } => {
            format!("STATUS {} {}", name(mailbox), debugged(items.iter()))
        }
        Ours::UidExpunge(set) => format!("EXPUNGE {}", our_message_set(set)?),
        Ours::Search(query) => {
            if query.charset == Charset::Unsupported {
                return None;
            }
            format!("SEARCH {} {}", query.uid, our_key(&query.key)?)
        }
        Ours::Fetch {
            uid, set, items, ..
        } => {
            let items: Vec<String> = items.iter().map(our_item).collect();
            let set = our_message_set(set)?;
            format!("FETCH {uid} {set} {}", sorted(items))
        }
        Ours::Store {
            uid,
            set,
            mode,
            silent,
            flags,
            ..
        } => {
            let set = our_message_set(set)?;
            format!("STORE {uid} {set} {mode:?} {silent} {}", our_flags(flags))
        }
        Ours::Copy { uid, set, mailbox } => {
            format!("COPY {uid} {} {}", our_message_set(set)?, name(mailbox))
        }
        Ours::Move { uid, set, mailbox } => {
            format!("MOVE {uid} {} {}", our_message_set(set)?, name(mailbox))
        }
        other => plain(&format!("{other:?}"))?,
    })
}

pub(super) fn theirs(body: &Theirs<'_>) -> Option<String> {
    Some(match body {
        Theirs::Login { username, password } => {
            let password = text(password.declassify().as_ref());
            format!("LOGIN {:?} {password:?}", text(username.as_ref()))
        }
        Theirs::Authenticate { .. } => "AUTHENTICATE".to_owned(),
        Theirs::ExpungeUid { sequence_set: set } => format!("EXPUNGE {}", their_set(set)),
        Theirs::Search { criteria, uid, .. } => {
            let keys: Option<Vec<_>> = criteria.as_ref().iter().map(their_key).collect();
            format!("SEARCH {uid} {}", and(keys?))
        }
        Theirs::Fetch {
            sequence_set: set,
            macro_or_item_names,
            uid,
            ..
        } => {
            let items = match macro_or_item_names {
                MacroOrMessageDataItemNames::Macro(of) => of.expand(),
                MacroOrMessageDataItemNames::MessageDataItemNames(names) => names.clone(),
            };
            let items: Vec<String> = items.iter().map(their_item).collect();
            format!("FETCH {uid} {} {}", their_set(set), sorted(items))
        }
        Theirs::Store {
            sequence_set: set,
            kind,
            response,
            flags,
            uid,
            ..
        } => {
            let silent = *response == StoreResponse::Silent;
            let (set, flags) = (their_set(set), their_flags(flags));
            format!("STORE {uid} {set} {kind:?} {silent} {flags}")
        }
        Theirs::Copy {
            sequence_set: set,
            mailbox,
            uid,
        } => format!("COPY {uid} {} {}", their_set(set), their_name(mailbox)),
        Theirs::Move {
            sequence_set: set,
            mailbox,
            uid,
        } => format!("MOVE {uid} {} {}", their_set(set), their_name(mailbox)),
        other => match of_mailboxes(other) {
            Some(said) => said,
            None => plain(&format!("{other:?}"))?,
        },
    })
}

/// Of their commands those about mailboxes.
fn of_mailboxes(body: &Theirs<'_>) -> Option<String> {
    Some(match body {
        Theirs::Select { mailbox, .. } => format!("SELECT {}", their_name(mailbox)),
        Theirs::Examine { mailbox, .. } => format!("EXAMINE {}", their_name(mailbox)),
        Theirs::Create { mailbox } => {
            // RFC 3501 6.3.3: the delimiter at the end is no part of the name.
            format!("CREATE {}", their_name(mailbox).replace("/\"", "\""))
        }
        Theirs::Delete { mailbox } => format!("DELETE {}", their_name(mailbox)),
        Theirs::Rename { from, to } => format!("RENAME {} {}", their_name(from), their_name(to)),
        Theirs::Subscribe { mailbox } => format!("SUBSCRIBE {}", their_name(mailbox)),
        Theirs::Unsubscribe { mailbox } => format!("UNSUBSCRIBE {}", their_name(mailbox)),
        Theirs::List {
            reference,
            mailbox_wildcard: pattern,
        } => format!("LIST {} {}", their_name(reference), their_pattern(pattern)),
        Theirs::Lsub {
            reference,
            mailbox_wildcard: pattern,
        } => format!("LSUB {} {}", their_name(reference), their_pattern(pattern)),
        Theirs::Status {
            mailbox,
            item_names: items,
        } => format!("STATUS {} {}", their_name(mailbox), debugged(items.iter())),
        _ => return None,
    })
}

/// A command without arguments.
fn plain(shown: &str) -> Option<String> {
    let is_word = shown.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_word.then(|| shown.to_uppercase())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn name(name: &str) -> String {
    match name.eq_ignore_ascii_case("INBOX") {
        true => "\"INBOX\"".to_owned(),
        false => format!("{name:?}"),
    }
}

fn their_name(mailbox: &Mailbox<'_>) -> String {
    match mailbox {
        Mailbox::Inbox => name("INBOX"),
        Mailbox::Other(other) => {
            // Where we take what is no name at all (LIST), it stands for a name nobody has.
            name(&mutf7::decode(other.as_ref()).unwrap_or_else(|| "\0".to_owned()))
        }
    }
}

fn their_pattern(pattern: &ListMailbox<'_>) -> String {
    let raw = match pattern {
        ListMailbox::Token(token) => token.as_ref(),
        ListMailbox::String(string) => string.as_ref(),
    };
    let pattern = mutf7::decode(raw).unwrap_or_else(|| "\0".to_owned());
    format!("{pattern:?}")
}

fn our_list(query: &ListQuery) -> Option<String> {
    let [pattern] = &query.patterns[..] else {
        return None;
    };
    let reference = name(&query.reference);
    (!query.extended).then(|| format!("LIST {reference} {pattern:?}"))
}

fn sorted(mut items: Vec<String>) -> String {
    items.sort();
    items.dedup();
    items.join(" ")
}

fn debugged<T: std::fmt::Debug>(items: impl Iterator<Item = T>) -> String {
    sorted(
        items
            .map(|item| format!("{item:?}").to_uppercase())
            .collect(),
    )
}

/// Which of sixty messages it is, the last of which is `*`.
fn our_set(set: &OurSet) -> String {
    let uids: Vec<u32> = (1..=60).collect();
    let ranges = set.among_uids(&uids);
    let numbers = ranges.into_iter().flatten().map(|at| uids[at].to_string());
    numbers.collect::<Vec<_>>().join(",")
}

fn our_message_set(set: &MessageSet) -> Option<String> {
    match set {
        MessageSet::Listed(set) => Some(our_set(set)),
        MessageSet::Saved => None,
    }
}

fn their_set(set: &SequenceSet) -> String {
    let end = |end: &SeqOrUid| match end {
        SeqOrUid::Value(value) => value.get(),
        SeqOrUid::Asterisk => 60,
    };
    let is_in = |number: u32| {
        set.0.as_ref().iter().any(|sequence| match sequence {
            Sequence::Single(single) => end(single) == number,
            Sequence::Range(a, b) => (end(a).min(end(b))..=end(a).max(end(b))).contains(&number),
        })
    };
    let numbers = (1..=60)
        .filter(|number| is_in(*number))
        .map(|number| number.to_string());
    numbers.collect::<Vec<_>>().join(",")
}

fn our_flags(flags: &FlagList) -> String {
    let system = SystemFlags::ALL
        .iter()
        .filter(|(flag, _)| flags.system.contains(*flag));
    let system = system.map(|(_, name)| name.to_lowercase());
    let keywords = flags.keywords.iter().map(|keyword| keyword.to_lowercase());
    sorted(system.chain(keywords).collect())
}

fn their_flags(flags: &[Flag<'_>]) -> String {
    // System flags nobody knows, and \Recent, are read and mean nothing to us.
    let known = flags
        .iter()
        .filter(|flag| !matches!(flag, Flag::Extension(_)));
    sorted(known.map(|flag| flag.to_string().to_lowercase()).collect())
}

fn our_item(item: &FetchItem) -> String {
    let FetchItem::Section {
        section,
        partial,
        peek,
    } = item
    else {
        return format!("{item:?}").to_uppercase();
    };
    let partial = partial.map(|partial| (partial.first, partial.length));
    format!("SECTION {peek} {} {partial:?}", our_section(section))
}

fn our_section(section: &OurSection) -> String {
    let text = match &section.text {
        None => String::new(),
        Some(SectionText::HeaderFields { names, not }) => {
            let names = names
                .iter()
                .map(|name| name.as_str().to_lowercase())
                .collect();
            format!("FIELDS {not} {}", sorted(names))
        }
        Some(other) => format!("{other:?}").to_uppercase(),
    };
    format!("{:?} {text}", section.path)
}

fn their_item(item: &MessageDataItemName<'_>) -> String {
    let MessageDataItemName::BodyExt {
        section,
        partial,
        peek,
    } = item
    else {
        return format!("{item:?}").to_uppercase();
    };
    let partial = partial.map(|(first, length)| (first, length.get()));
    format!(
        "SECTION {peek} {} {partial:?}",
        their_section(section.as_ref())
    )
}

fn their_section(section: Option<&Section<'_>>) -> String {
    let path = |part: Option<&Part>| -> Vec<u32> {
        part.map_or_else(Vec::new, |part| {
            part.0.as_ref().iter().map(|n| n.get()).collect()
        })
    };
    let fields = |not: bool, names: &[imap_codec::imap_types::core::AString<'_>]| {
        let names = names
            .iter()
            .map(|name| text(name.as_ref()).to_lowercase())
            .collect();
        format!("FIELDS {not} {}", sorted(names))
    };
    let (path, text) = match section {
        None => (Vec::new(), String::new()),
        Some(Section::Part(part)) => (path(Some(part)), String::new()),
        Some(Section::Header(part)) => (path(part.as_ref()), "HEADER".to_owned()),
        Some(Section::Text(part)) => (path(part.as_ref()), "TEXT".to_owned()),
        Some(Section::Mime(part)) => (path(Some(part)), "MIME".to_owned()),
        Some(Section::HeaderFields(part, names)) => {
            (path(part.as_ref()), fields(false, names.as_ref()))
        }
        Some(Section::HeaderFieldsNot(part, names)) => {
            (path(part.as_ref()), fields(true, names.as_ref()))
        }
    };
    format!("{path:?} {text}")
}

/// Keys that must all be met, without needless nesting.
fn and(keys: Vec<String>) -> String {
    let flat: Vec<String> = keys
        .into_iter()
        .flat_map(|key| {
            match key
                .strip_prefix("AND<")
                .and_then(|key| key.strip_suffix('>'))
            {
                Some(inner) => inner.split('\u{1}').map(str::to_owned).collect(),
                None => vec![key],
            }
        })
        .collect();
    match &flat[..] {
        [one] => one.clone(),
        // Inner lists have other separators once they are inside something.
        _ => format!("AND<{}>", flat.join("\u{1}")),
    }
}

fn inside(key: String) -> String {
    key.replace('\u{1}', " & ")
}

fn our_key(key: &OurKey) -> Option<String> {
    Some(match key {
        OurKey::All => "ALL".to_owned(),
        OurKey::And(keys) => and(keys.iter().map(our_key).collect::<Option<_>>()?),
        OurKey::Or(a, b) => format!("OR<{} | {}>", inside(our_key(a)?), inside(our_key(b)?)),
        OurKey::Not(key) => format!("NOT<{}>", inside(our_key(key)?)),
        OurKey::Numbers(set) => format!("NUMBERS {}", our_set(set)),
        OurKey::Uid(set) => format!("UID {}", our_set(set)),
        OurKey::Flag(flag) => format!("{flag:?}").to_uppercase(),
        OurKey::Keyword(keyword) => format!("KEYWORD {}", keyword.to_lowercase()),
        OurKey::Before(day) => format!("BEFORE {day:?}"),
        OurKey::On(day) => format!("ON {day:?}"),
        OurKey::Since(day) => format!("SINCE {day:?}"),
        OurKey::SentBefore(day) => format!("SENTBEFORE {day:?}"),
        OurKey::SentOn(day) => format!("SENTON {day:?}"),
        OurKey::SentSince(day) => format!("SENTSINCE {day:?}"),
        OurKey::Larger(size) => format!("LARGER {size}"),
        OurKey::Smaller(size) => format!("SMALLER {size}"),
        OurKey::Header(name, text) => format!("HEADER {} {text:?}", name.as_str().to_lowercase()),
        OurKey::Body(text) => format!("BODY {text:?}"),
        OurKey::Text(text) => format!("TEXT {text:?}"),
        _ => return None,
    })
}

fn their_key(key: &SearchKey<'_>) -> Option<String> {
    let header = |name: &str, value: &[u8]| format!("HEADER {name} {:?}", text(value));
    let negated = |name: &str| format!("NOT<{name}>");
    Some(match key {
        SearchKey::And(keys) => and(keys.as_ref().iter().map(their_key).collect::<Option<_>>()?),
        SearchKey::Or(a, b) => format!("OR<{} | {}>", inside(their_key(a)?), inside(their_key(b)?)),
        SearchKey::Not(key) => format!("NOT<{}>", inside(their_key(key)?)),
        SearchKey::SequenceSet(set) => format!("NUMBERS {}", their_set(set)),
        SearchKey::Uid(set) => format!("UID {}", their_set(set)),
        SearchKey::New => and(vec!["RECENT".to_owned(), negated("SEEN")]),
        SearchKey::Old => negated("RECENT"),
        SearchKey::Unanswered => negated("ANSWERED"),
        SearchKey::Undeleted => negated("DELETED"),
        SearchKey::Undraft => negated("DRAFT"),
        SearchKey::Unflagged => negated("FLAGGED"),
        SearchKey::Unseen => negated("SEEN"),
        SearchKey::Keyword(keyword) => format!("KEYWORD {}", keyword.as_ref().to_lowercase()),
        SearchKey::Unkeyword(keyword) => {
            negated(&format!("KEYWORD {}", keyword.as_ref().to_lowercase()))
        }
        SearchKey::Bcc(value) => header("bcc", value.as_ref()),
        SearchKey::Cc(value) => header("cc", value.as_ref()),
        SearchKey::From(value) => header("from", value.as_ref()),
        SearchKey::To(value) => header("to", value.as_ref()),
        SearchKey::Subject(value) => header("subject", value.as_ref()),
        SearchKey::Header(name, value) => {
            header(&text(name.as_ref()).to_lowercase(), value.as_ref())
        }
        SearchKey::Body(value) => format!("BODY {:?}", text(value.as_ref())),
        SearchKey::Text(value) => format!("TEXT {:?}", text(value.as_ref())),
        SearchKey::Before(date) => format!("BEFORE {:?}", day(date)?),
        SearchKey::On(date) => format!("ON {:?}", day(date)?),
        SearchKey::Since(date) => format!("SINCE {:?}", day(date)?),
        SearchKey::SentBefore(date) => format!("SENTBEFORE {:?}", day(date)?),
        SearchKey::SentOn(date) => format!("SENTON {:?}", day(date)?),
        SearchKey::SentSince(date) => format!("SENTSINCE {:?}", day(date)?),
        SearchKey::Larger(size) => format!("LARGER {size}"),
        SearchKey::Smaller(size) => format!("SMALLER {size}"),
        other => plain(&format!("{other:?}"))?,
    })
}

/// `2025-06-01` as we hold a day.
fn day(date: &NaiveDate) -> Option<Day> {
    let shown = format!("{date:?}");
    let mut fields = shown.split('-');
    let (year, month) = (fields.next()?, fields.next()?.parse::<usize>().ok()?);
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    parse_date(format!("{}-{}-{year}", fields.next()?, months[month - 1]).as_bytes())
}
