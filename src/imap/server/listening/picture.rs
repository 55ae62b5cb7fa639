//! The mailboxes that a session listens to, as they were when its client was last told of them.
//!
//! Pure. Two pictures are compared by what mailboxes are, not by what happened: so nothing is
//! missed that happened in between, and what was undone is not told. A mailbox that has another
//! name now is told as renamed where nobody can mistake it: the old name leads nowhere now, and to
//! nothing that was below it; the new one led nowhere before. What a client makes of the changes,
//! one after the other, is the new picture.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::aim::{Aim, is_personal};
use crate::{
    base::ids::{AccountId, MailboxId},
    imap::proto::notify::Events,
    mailbox::Name,
};

/// Which mailbox of all.
pub(super) type Id = (AccountId, MailboxId);

/// What there is of names that something is told of.
#[derive(Debug, Default)]
pub(super) struct Picture {
    /// By their ids.
    seen: Vec<Seen>,
    /// Names, whether or not they have a mailbox.
    subscribed: BTreeSet<Name>,
}

/// A mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) id: Id,
    pub(super) name: Name,
    pub(super) is_own: bool,
    pub(super) uid_validity: u32,
    /// Whether its user may read it, or only see that it is there.
    pub(super) readable: bool,
    /// What was told of its messages.
    pub(super) told: Option<State>,
}

/// What a STATUS response was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) uid_validity: u32,
    pub(super) uid_next: u32,
    pub(super) messages: u32,
    pub(super) unseen: u32,
    pub(super) modseq: u64,
}

/// One name that is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) name: Name,
    /// What happened to it.
    pub(super) events: Events,
    /// What it was called before.
    pub(super) old_name: Option<Name>,
    /// What had this name and has none that is seen, when that is why.
    pub(super) gone: Option<Id>,
    /// It is told whether or not names are wanted: its user may read it now, or no longer.
    pub(super) access: bool,
}

/// The picture has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Picture {
    pub(super) fn new(seen: Vec<Seen>, subscribed: BTreeSet<Name>) -> Result<Self, TooLarge> {
        let names = seen.iter().map(|seen| &seen.name).chain(&subscribed);
        let bytes: usize = names.map(|name| name.as_str().len() + ROW_BYTES).sum();
        if bytes > PICTURE_BYTES_MAX {
            return Err(TooLarge);
        }
        let mut picture = Self { seen, subscribed };
        picture.seen.sort_unstable_by_key(|seen| seen.id);
        Ok(picture)
    }

    pub(super) fn seen(&self) -> &[Seen] {
        &self.seen
    }

    pub(super) fn find(&self, id: Id) -> Option<&Seen> {
        let at = self.seen.binary_search_by_key(&id, |seen| seen.id).ok()?;
        self.seen.get(at)
    }

    /// Notes what is told of the messages of a mailbox.
    pub(super) fn note(&mut self, id: Id, state: State) {
        if let Ok(at) = self.seen.binary_search_by_key(&id, |seen| seen.id)
            && let Some(seen) = self.seen.get_mut(at)
        {
            seen.told = Some(state);
        }
    }

    /// The client knows that this mailbox has come.
    pub(super) fn add(&mut self, seen: Seen) {
        self.remove(&seen.name);
        let at = self.seen.partition_point(|known| known.id < seen.id);
        self.seen.insert(at, seen);
    }

    /// The client knows that there is no mailbox of this name.
    pub(super) fn remove(&mut self, name: &Name) {
        self.seen.retain(|known| known.name != *name);
    }

    /// The client knows that this mailbox, and what is below it, has another name.
    pub(super) fn rename(&mut self, from: &Name, to: &Name) {
        for seen in &mut self.seen {
            let rest = seen.name.as_str().strip_prefix(from.as_str());
            let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with(Name::SEPARATOR));
            let moved = rest.map(|rest| Name::parse(&format!("{to}{rest}")));
            if let Some(Ok(name)) = moved {
                seen.name = name;
            }
        }
    }

    /// The client knows whether this name is subscribed.
    pub(super) fn subscribe(&mut self, name: &Name, is_subscribed: bool) {
        match is_subscribed {
            true => self.subscribed.insert(name.clone()),
            false => self.subscribed.remove(name),
        };
    }

    pub(super) fn is_subscribed(&self, name: &Name) -> bool {
        self.subscribed.contains(name)
    }

    /// What is told of this mailbox.
    pub(super) fn events_of(&self, aim: &Aim, seen: &Seen) -> Events {
        aim.events(&seen.name, seen.is_own, self.is_subscribed(&seen.name))
    }

    fn by_name(&self) -> HashMap<&Name, &Seen> {
        self.seen.iter().map(|seen| (&seen.name, seen)).collect()
    }
}

/// What is told when one picture takes the place of another: in this order. Of names in `lost` was
/// told that they cannot be seen any more.
pub(super) fn changes(
    before: &Picture,
    now: &Picture,
    aim: &Aim,
    lost: &BTreeSet<Name>,
) -> Vec<Change> {
    let renames = Renames::between(before, now, aim);
    let (was, is) = (before.by_name(), now.by_name());
    let mut names: BTreeMap<&Name, Change> = BTreeMap::new();
    for seen in now.seen.iter().filter(|seen| !renames.covers(&seen.name)) {
        let old = was.get(&seen.name);
        let is_same = old.is_some_and(|old| old.id == seen.id);
        if !is_same {
            let change = names
                .entry(&seen.name)
                .or_insert_with(|| Change::of(&seen.name));
            change.events = Events::MAILBOX_NAME;
        }
        let readable = old.map_or_else(|| !lost.contains(&seen.name), |old| old.readable);
        if readable != seen.readable || lost.contains(&seen.name) {
            let change = names
                .entry(&seen.name)
                .or_insert_with(|| Change::of(&seen.name));
            change.access = true;
        }
    }
    for seen in before.seen.iter().filter(|seen| !renames.left(&seen.name)) {
        if !is.contains_key(&seen.name) {
            let change = names
                .entry(&seen.name)
                .or_insert_with(|| Change::of(&seen.name));
            change.events = Events::MAILBOX_NAME;
            change.gone = Some(seen.id);
        }
    }
    // RFC 5465 5.4: what is right above a name that came or went is affected, whether or not it is
    // a mailbox.
    let came_or_went = names.values().filter(|change| {
        change.gone.is_some() || !was.contains_key(&change.name) && change.events != Events::NONE
    });
    let above: BTreeSet<Name> = came_or_went
        .filter_map(|change| change.name.parent())
        .collect();
    for name in above.iter().filter(|name| !renames.covers(name)) {
        let change = names.entry(name).or_insert_with(|| Change::of(name));
        change.events = change.events.with(Events::MAILBOX_NAME);
    }
    for name in before.subscribed.symmetric_difference(&now.subscribed) {
        let change = names.entry(name).or_insert_with(|| Change::of(name));
        change.events = change.events.with(Events::SUBSCRIPTION_CHANGE);
    }
    let is_wanted = |change: &Change| {
        let name = &change.name;
        let seen = is.get(name).or_else(|| was.get(name));
        let is_own = seen.map_or_else(|| is_personal(name), |seen| seen.is_own);
        let subscribed = before.is_subscribed(name) || now.is_subscribed(name);
        let events = aim.events(name, is_own, subscribed);
        let lost = change.gone.is_some() && !is_own;
        events.intersects(change.events) || (change.access || lost) && events != Events::NONE
    };
    let told = names.into_values().filter(is_wanted);
    let (gone, other): (Vec<_>, Vec<_>) = told.partition(|change| change.gone.is_some());
    // A client takes what is gone out of what it renames, and puts what is new where it belongs.
    gone.into_iter()
        .chain(renames.told())
        .chain(other)
        .collect()
}

impl Change {
    fn of(name: &Name) -> Self {
        Self {
            name: name.clone(),
            events: Events::NONE,
            old_name: None,
            gone: None,
            access: false,
        }
    }
}

/// Names that mailboxes had and have now.
struct Renames<'p> {
    /// Old names by new ones: told, or following from one that is.
    all: BTreeMap<&'p Name, &'p Name>,
    left: HashSet<&'p Name>,
    /// Those that follow from none.
    told: Vec<(&'p Name, &'p Name)>,
}

impl<'p> Renames<'p> {
    fn between(before: &'p Picture, now: &'p Picture, aim: &Aim) -> Self {
        let (was, is) = (before.by_name(), now.by_name());
        let mut renames = Self {
            all: BTreeMap::new(),
            left: HashSet::new(),
            told: Vec::new(),
        };
        // A client renames what is below with it, also what is still there under its name.
        let stays = was.keys().filter(|name| is.contains_key(*name));
        let above_what_stays: HashSet<Name> = stays
            .flat_map(|name| std::iter::successors(name.parent(), Name::parent))
            .collect();
        let mut moved: Vec<(&Name, &Name)> = Vec::new();
        for old in &before.seen {
            let Some(new) = now.find(old.id).filter(|new| new.name != old.name) else {
                continue;
            };
            let is_plain = !is.contains_key(&old.name)
                && !was.contains_key(&new.name)
                && !above_what_stays.contains(&old.name);
            let wants = |seen: &Seen, picture: &Picture| {
                let events = picture.events_of(aim, seen);
                events.contains(Events::MAILBOX_NAME)
            };
            let is_seen = old.readable == new.readable;
            if is_plain && is_seen && wants(old, before) && wants(new, now) {
                moved.push((&new.name, &old.name));
            }
        }
        // What went below a name that others left would be taken for theirs.
        let left: HashSet<&Name> = moved.iter().map(|(_, old)| *old).collect();
        let is_below = |name: &Name| {
            let mut above = std::iter::successors(name.parent(), Name::parent);
            above.any(|name| left.contains(&name))
        };
        moved.retain(|(new, _)| !is_below(new));
        // What is above comes first.
        moved.sort_unstable();
        for (new, old) in moved {
            let parents = new.parent().zip(old.parent());
            let follows = parents.is_some_and(|(above, was_above)| {
                renames.all.get(&above) == Some(&&was_above) && last(old) == last(new)
            });
            if !follows {
                renames.told.push((new, old));
            }
            renames.all.insert(new, old);
            renames.left.insert(old);
        }
        // RFC 5465 5.4: a client renames what is below with it, so what left for elsewhere goes
        // first.
        let depth = |name: &Name| name.levels().count();
        renames
            .told
            .sort_by_key(|(_, old)| std::cmp::Reverse(depth(old)));
        renames
    }

    fn covers(&self, name: &Name) -> bool {
        self.all.contains_key(name)
    }

    fn left(&self, name: &Name) -> bool {
        self.left.contains(name)
    }

    fn told(&self) -> impl Iterator<Item = Change> {
        self.told.iter().map(|(new, old)| Change {
            events: Events::MAILBOX_NAME,
            old_name: Some((*old).clone()),
            ..Change::of(new)
        })
    }
}

fn last(name: &Name) -> Option<&str> {
    name.as_str().rsplit(Name::SEPARATOR).next()
}

/// Takes over what was told of the messages of mailboxes that are as they were; gives those whose
/// name led to something else before, as far as messages are told of.
pub(super) fn hand_over(before: &Picture, now: &mut Picture, aim: &Aim) -> Vec<(Id, Came)> {
    let renamed = Renames::between(before, now, aim);
    let renamed: HashSet<Id> = now
        .seen
        .iter()
        .filter(|seen| renamed.covers(&seen.name))
        .map(|seen| seen.id)
        .collect();
    let was = before.by_name();
    let mut came = Vec::new();
    for seen in &mut now.seen {
        let is_same = |old: &&Seen| old.id == seen.id && old.uid_validity == seen.uid_validity;
        let named_so = was.get(&seen.name).copied();
        let old = match renamed.contains(&seen.id) {
            true => before.find(seen.id),
            false => named_so,
        };
        match old.filter(is_same) {
            Some(old) => {
                seen.told = old.told;
                if seen.readable && !old.readable {
                    came.push((seen.id, Came::InPlace));
                }
            }
            None if named_so.is_some() => came.push((seen.id, Came::InPlace)),
            None => came.push((seen.id, Came::New)),
        }
    }
    came
}

/// How a mailbox came to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Nothing had the name: of what is empty nothing is told.
    New,
    /// Something else had it, or it could not be read.
    InPlace,
}

/// LIM-36: bytes that a picture holds.
pub(super) const PICTURE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What is held of a mailbox beside its name.
const ROW_BYTES: usize = size_of::<Seen>() + 32;

#[cfg(test)]
mod tests;
