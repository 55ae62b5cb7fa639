//! GETMETADATA and SETMETADATA: annotations of mailboxes and of the server.
//!
//! RFC 5464. Private entries are the asking account's; those without a mailbox are kept with the
//! account. Shared entries of the server are the operator's settings and cannot be set. Changes by
//! others are told where NOTIFY asks for them (`listening`); METADATA cannot be enabled (4.1 leaves
//! it open).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    effort::{Budget, Exhausted},
    fault::{Refusal, Stop, forbidden, nonexistent, refusal_of, stop},
    place::{self, Place},
    session::{Account, Outcome},
};
use crate::{
    imap::proto::{
        dialog::Imap,
        metadata::{Depth, MetadataQuery},
        response::{Code, Response},
    },
    mailbox::{Annotated, ChangeError, EntryName, METADATA_BYTES_MAX, Rights},
    net::Turn,
};

/// GETMETADATA.
pub(super) async fn tell(
    account: Account<'_>,
    mailbox: String,
    query: &MetadataQuery,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    let Some(names) = names(&query.entries) else {
        return Ok(Err(not_a_name()));
    };
    let subject = match subject(account, mailbox).await? {
        Ok(subject) => subject,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut budget = Budget::new();
    let permit = account.services.heavy_work.permit(account.id(), &budget);
    let Ok(_permit) = turn.unless_gone(permit).await? else {
        return Ok(Err(too_long()));
    };
    let told = tell_of(account, subject, (&names, query), &mut budget, turn);
    Ok(match told.await? {
        Ok(longest) => Ok((longest > 0).then_some(Code::MetadataLongEntries(longest))),
        Err(Exhausted) => Err(too_long()),
    })
}

/// Tells what a query asks for of one mailbox; gives the size of the largest value left out. What
/// is read counts, told or not (LIM-25).
pub(super) async fn tell_of(
    account: Account<'_>,
    subject: Subject,
    (names, query): (&[EntryName], &MetadataQuery),
    budget: &mut Budget,
    turn: &mut Turn<'_, Imap>,
) -> Result<Result<u64, Exhausted>, Stop> {
    let mailboxes = account.mailboxes();
    let of = subject.of;
    let mut answer = Answer {
        mailbox: subject.name,
        size_max: query.size_max,
        longest: 0,
        entries: Vec::new(),
        bytes: 0,
    };
    for name in names {
        let value = mailboxes.metadata(of, name);
        let value = turn.unless_gone(value).await?.map_err(stop)?;
        if let Err(Exhausted) = budget.spend(cost_of(value.iter())).await {
            return Ok(Err(Exhausted));
        }
        let mut found = Vec::from_iter(value.map(|value| (name.clone(), value)));
        let depth = query.depth;
        let fixed = subject.fixed.iter();
        let fixed = fixed.filter(|(entry, _)| entry == name || is_within(entry, name, depth));
        found.extend(fixed.cloned());
        let mut any = !found.is_empty();
        for (entry, value) in found {
            answer.add(&entry, value, turn).await?;
        }
        let (mut from, mut more) = (None, depth != Depth::Zero);
        while more {
            let page = mailboxes.metadata_below(of, name, from);
            let (found, next) = turn.unless_gone(page).await?.map_err(stop)?;
            let cost = cost_of(found.iter().map(|(_, value)| value));
            if let Err(Exhausted) = budget.spend(cost).await {
                return Ok(Err(Exhausted));
            }
            for (below, value) in found {
                if is_within(&below, name, depth) {
                    any = true;
                    answer.add(&below, value, turn).await?;
                }
            }
            (more, from) = (next.is_some(), next);
        }
        if !any {
            answer.entries.push((name.as_str().to_owned(), None));
        }
    }
    answer.say(turn).await?;
    Ok(Ok(answer.longest))
}

/// SETMETADATA.
pub(super) async fn set(
    account: Account<'_>,
    mailbox: &str,
    entries: Vec<(String, Option<Bytes>)>,
) -> Result<Outcome, Stop> {
    let mut changes = BTreeMap::new();
    for (name, value) in entries {
        let name = EntryName::parse(&name).ok().filter(|name| !name.is_root());
        let Some(name) = name else {
            return Ok(Err(not_a_name()));
        };
        changes.insert(name, value);
    }
    let Subject { of, may_share, .. } = match subject(account, mailbox.to_owned()).await? {
        Ok(subject) => subject,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if of.mailbox.is_some() && changes.keys().any(|name| name.as_str() == SPECIAL_USE) {
        // RFC 6154 4 leaves it open.
        let text = "a special use is given when a mailbox is made";
        return Ok(Err(Refusal::no(Code::UseAttr, text)));
    }
    if !may_share && changes.keys().any(EntryName::is_shared) {
        return Ok(Err(forbidden()));
    }
    let lengths = changes.values().flatten().map(Bytes::len);
    if lengths.max().unwrap_or(0) > METADATA_BYTES_MAX {
        // RFC 5464 4.3; LIM-27
        let code = Code::MetadataMaxSize(METADATA_BYTES_MAX as u64);
        return Ok(Err(Refusal::no(code, "this annotation is too long")));
    }
    Ok(match account.mailboxes().set_metadata(of, &changes).await {
        Ok(()) => Ok(None),
        Err(ChangeError::TooMany(_)) => Err(Refusal::no(
            Code::MetadataTooMany,
            "there are too many annotations",
        )),
        Err(error) => Err(refusal_of(error)?),
    })
}

/// The names of entries that these texts are, if they are; each once.
pub(super) fn names(texts: &[String]) -> Option<Vec<EntryName>> {
    let mut known = BTreeSet::new();
    let names = texts.iter().map(|text| EntryName::parse(text).ok());
    let mut names: Vec<EntryName> = names.collect::<Option<_>>()?;
    names.retain(|name| known.insert(name.clone()));
    Some(names)
}

/// LIM-25
pub(super) fn too_long() -> Refusal {
    Refusal::no(Code::Limit, "this takes too long; ask for less at once")
}

/// What reading these takes of the budget.
fn cost_of<'v>(values: impl Iterator<Item = &'v Bytes>) -> u64 {
    values.fold(COST_OF_READING, |cost, value| cost + value.len() as u64)
}

/// RFC 5464 3.2: invalid names are BAD.
pub(super) fn not_a_name() -> Refusal {
    Refusal::bad("entries are named /private/... or /shared/..., up to 255 ASCII characters")
}

/// What has annotations, as one account sees it.
pub(super) struct Subject {
    of: Annotated,
    /// The mailbox's name; nothing for the server.
    name: String,
    /// Whether its shared entries may be changed.
    may_share: bool,
    /// Entries that are not stored: what the operator says, a special use (RFC 6154 4).
    fixed: Vec<(EntryName, Bytes)>,
}

impl Subject {
    /// The server (RFC 5464 4.1).
    fn server(account: Account<'_>) -> Self {
        let options = &account.services.options;
        let said = [(COMMENT, &options.comment), (ADMIN, &options.admin)];
        let said = said.into_iter().filter(|(_, value)| !value.is_empty());
        let entry = |(name, value): (&str, &String)| {
            Some((EntryName::parse(name).ok()?, Bytes::from(value.clone())))
        };
        Self {
            fixed: said.filter_map(entry).collect(),
            of: Annotated {
                account: account.id(),
                mailbox: None,
                viewer: account.id(),
            },
            name: String::new(),
            may_share: false,
        }
    }

    /// A mailbox.
    pub(super) fn of(account: Account<'_>, place: &Place) -> Self {
        let is_own = place.owner == account.id();
        let special_use = place.entry.special_use.filter(|_| is_own);
        let entry = |value| Some((EntryName::parse(SPECIAL_USE).ok()?, Bytes::from(value)));
        Self {
            of: Annotated {
                account: place.owner,
                mailbox: Some(place.entry.id),
                viewer: account.id(),
            },
            name: place.name.as_str().to_owned(),
            may_share: place.rights.contains(Rights::WRITE),
            fixed: special_use
                .and_then(|special_use| entry(special_use.attribute()))
                .into_iter()
                .collect(),
        }
    }
}

/// What a client calls `mailbox` here: nothing is the server.
async fn subject(account: Account<'_>, mailbox: String) -> Result<Result<Subject, Refusal>, Stop> {
    if mailbox.is_empty() {
        return Ok(Ok(Subject::server(account)));
    }
    let Some(place) = place::find(account, &mailbox).await? else {
        return Ok(Err(nonexistent()));
    };
    Ok(match may_annotate(place.rights) {
        true => Ok(Subject::of(account, &place)),
        false => Err(place.with(Rights::ALL).err().unwrap_or_else(forbidden)),
    })
}

/// RFC 5464 3.3: `l`, and one of these.
pub(super) fn may_annotate(rights: Rights) -> bool {
    let one = [
        Rights::READ,
        Rights::SEEN,
        Rights::WRITE,
        Rights::INSERT,
        Rights::POST,
    ];
    rights.contains(Rights::LOOKUP) && one.into_iter().any(|right| rights.contains(right))
}

/// Whether an entry is below another, and not deeper than asked for.
fn is_within(entry: &EntryName, above: &EntryName, depth: Depth) -> bool {
    let below = entry.as_str().strip_prefix(above.as_str());
    let Some(rest) = below.and_then(|rest| rest.strip_prefix('/')) else {
        return false;
    };
    match depth {
        Depth::Zero => false,
        Depth::One => !rest.contains('/'),
        Depth::Infinity => true,
    }
}

/// Entries on their way to the client.
struct Answer {
    mailbox: String,
    size_max: Option<u32>,
    longest: u64,
    entries: Vec<(String, Option<Bytes>)>,
    /// Of the values among them.
    bytes: usize,
}

impl Answer {
    async fn add(
        &mut self,
        name: &EntryName,
        value: Bytes,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<(), Stop> {
        let length = value.len() as u64;
        if self.size_max.is_some_and(|max| length > u64::from(max)) {
            // RFC 5464 4.2.1
            self.longest = self.longest.max(length);
            return Ok(());
        }
        self.bytes += value.len();
        self.entries.push((name.as_str().to_owned(), Some(value)));
        if self.bytes > RESPONSE_BYTES {
            self.say(turn).await?;
        }
        Ok(())
    }

    /// RFC 5464 4.4: several responses are as good as one.
    async fn say(&mut self, turn: &mut Turn<'_, Imap>) -> Result<(), Stop> {
        if !self.entries.is_empty() {
            self.bytes = 0;
            turn.reply(&Response::Metadata {
                mailbox: self.mailbox.clone(),
                entries: std::mem::take(&mut self.entries),
            })
            .await?;
        }
        Ok(())
    }
}

/// RFC 5464 6.2.1
const COMMENT: &str = "/shared/comment";
/// RFC 5464 6.2.2
const ADMIN: &str = "/shared/admin";
/// The entry that tells a mailbox's special use (RFC 6154 4).
const SPECIAL_USE: &str = "/private/specialuse";
/// LIM-25: what one look into the store takes of the budget.
const COST_OF_READING: u64 = 4096;
/// LIM-36: bytes of values after which a response ends and the next one begins.
const RESPONSE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lim_25_entries_that_are_asked_for_again_are_not_read_again() {
        let texts = ["/private/b", "/shared/a", "/PRIVATE/B", "/private/b"];
        let names = names(&texts.map(str::to_owned)).unwrap();
        let told: Vec<_> = names.iter().map(EntryName::as_str).collect();
        assert_eq!(told, ["/private/b", "/shared/a"]);
    }

    #[test]
    fn entries_are_within_a_depth() {
        let name = |text| EntryName::parse(text).unwrap();
        for (entry, above, one, infinity) in [
            ("/private/a", "/private", true, true),
            ("/private/a/b", "/private", false, true),
            ("/private/a", "/private/a", false, false),
            ("/private/ab", "/private/a", false, false),
            ("/shared/a", "/private", false, false),
        ] {
            let (entry, above) = (name(entry), name(above));
            assert!(!is_within(&entry, &above, Depth::Zero));
            assert_eq!(is_within(&entry, &above, Depth::One), one, "{entry:?}");
            assert_eq!(is_within(&entry, &above, Depth::Infinity), infinity);
        }
    }
}
