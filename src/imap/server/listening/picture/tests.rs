//! A client that obeys what it is told, against the truth.

use proptest::prelude::*;

use super::*;
use crate::imap::proto::{
    notify::{Group, SelectedEvents, Wishes},
    sources::Source,
};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn aim(groups: &[(Source, Events)]) -> Aim {
    let groups = groups.iter().map(|(source, events)| Group {
        source: source.clone(),
        events: *events,
    });
    Aim::new(&Wishes {
        status: false,
        selected: SelectedEvents::default(),
        groups: groups.collect(),
    })
}

fn all_names() -> Aim {
    let events = Events::MAILBOX_NAME.with(Events::SUBSCRIPTION_CHANGE);
    aim(&[(Source::Personal, events)])
}

fn seen(id: u64, text: &str) -> Seen {
    Seen {
        id: (AccountId(1), MailboxId(id)),
        name: name(text),
        is_own: true,
        uid_validity: 1,
        readable: true,
        told: None,
    }
}

fn picture(mailboxes: &[(u64, &str)], subscribed: &[&str]) -> Picture {
    let seen = mailboxes.iter().map(|(id, text)| seen(*id, text)).collect();
    Picture::new(seen, subscribed.iter().map(|text| name(text)).collect()).unwrap()
}

/// As lines: `x` for a name, `x <- y` for a new name, `x gone`.
fn told(before: &Picture, now: &Picture, aim: &Aim) -> Vec<String> {
    let changes = changes(before, now, aim, &BTreeSet::new());
    let shown = changes.iter().map(|change| match &change.old_name {
        Some(old) => format!("{} <- {old}", change.name),
        None if change.gone.is_some() => format!("{} gone", change.name),
        None => change.name.to_string(),
    });
    shown.collect()
}

#[test]
fn rfc_5465_5_4_what_happened_to_names_is_told() {
    type Mailboxes = &'static [(u64, &'static str)];
    let cases: [(Mailboxes, Mailboxes, &[&str]); 11] = [
        (&[(1, "a")], &[(1, "a")], &[]),
        (&[(1, "a")], &[(1, "a"), (2, "a/b")], &["a", "a/b"]),
        (&[(1, "a"), (2, "a/b")], &[(1, "a")], &["a/b gone", "a"]),
        // A level that is no mailbox is told of, too.
        (&[], &[(2, "a/b")], &["a", "a/b"]),
        (&[(1, "a")], &[(1, "z")], &["z <- a"]),
        // What is below follows, but for what went elsewhere.
        (
            &[(1, "a"), (2, "a/b"), (3, "a/c")],
            &[(1, "z"), (2, "z/b"), (3, "c")],
            &["c <- a/c", "z <- a"],
        ),
        // Whose names were taken by others is not told as renamed.
        (&[(1, "a"), (2, "b")], &[(1, "b"), (2, "a")], &["a", "b"]),
        (&[(1, "a")], &[(1, "z"), (2, "a")], &["a", "z"]),
        (&[(1, "a")], &[(2, "a")], &["a"]),
        // Nor as renamed what is above a name that something has as before.
        (
            &[(1, "a"), (2, "a/b")],
            &[(1, "z"), (3, "a/b")],
            &["a gone", "a/b", "z"],
        ),
        (
            &[(1, "a"), (2, "a/b")],
            &[(1, "z"), (2, "a/b")],
            &["a gone", "z"],
        ),
    ];
    for (before, now, expected) in cases {
        let lines = told(&picture(before, &[]), &picture(now, &[]), &all_names());
        assert_eq!(lines, expected, "{before:?} {now:?}");
    }
}

#[test]
fn only_what_is_wanted_is_told() {
    let before = picture(&[(1, "a"), (2, "b")], &["b"]);
    let now = picture(&[(1, "z"), (2, "b"), (3, "c")], &["c"]);
    let named = |texts: &[&str]| {
        let texts = texts.iter().map(|text| (*text).to_owned());
        Source::Mailboxes(texts.collect())
    };
    let (names, subscriptions) = (Events::MAILBOX_NAME, Events::SUBSCRIPTION_CHANGE);
    for (groups, expected) in [
        (vec![(Source::Personal, names)], vec!["z <- a", "c"]),
        (vec![(Source::Personal, subscriptions)], vec!["b", "c"]),
        (vec![(Source::Subscribed, names)], vec!["c"]),
        (vec![(named(&["a"]), names)], vec!["a gone"]),
        (vec![(named(&["z", "b"]), names)], vec!["z"]),
        (vec![(named(&["a", "z"]), names)], vec!["z <- a"]),
        (vec![(Source::Personal, Events::OF_MESSAGES)], vec![]),
        (vec![(Source::Personal, Events::NONE)], vec![]),
    ] {
        assert_eq!(told(&before, &now, &aim(&groups)), expected, "{groups:?}");
    }
}

#[test]
fn what_cannot_be_read_any_more_is_told() {
    let other = |readable: bool| {
        let seen = Seen {
            readable,
            is_own: false,
            ..seen(1, "Shared/x@y")
        };
        Picture::new(vec![seen], BTreeSet::new()).unwrap()
    };
    let none = Picture::default();
    let groups = [(
        Source::Subtree(vec!["Shared".to_owned()]),
        Events::OF_MESSAGES,
    )];
    let aim = aim(&groups);
    let told = |before: &Picture, now: &Picture, lost: &[&str]| {
        let lost = lost.iter().map(|text| name(text)).collect();
        changes(before, now, &aim, &lost).len()
    };
    assert_eq!(told(&other(true), &other(false), &[]), 1);
    assert_eq!(told(&other(false), &other(true), &[]), 1);
    assert_eq!(told(&other(true), &none, &[]), 1);
    assert_eq!(told(&none, &other(true), &[]), 0);
    assert_eq!(told(&none, &other(true), &["Shared/x@y"]), 1);
    assert_eq!(told(&none, &other(false), &[]), 1);
}

#[test]
fn lim_36_a_picture_is_bounded_in_bytes() {
    let many = |count: u64| {
        let seen = (0..count).map(|id| seen(id, &format!("{}/{id}", "x".repeat(200))));
        Picture::new(seen.collect(), BTreeSet::new())
    };
    assert!(many(10_000).is_ok());
    assert_eq!(many(20_000).err(), Some(TooLarge));
}

#[test]
fn what_was_told_of_messages_follows_a_mailbox() {
    let state = |messages: u32| State {
        uid_validity: 1,
        uid_next: 9,
        messages,
        unseen: 0,
        modseq: 7,
    };
    let mut before = picture(&[(1, "a"), (2, "a/b"), (3, "c"), (4, "d")], &[]);
    for seen in &mut before.seen {
        seen.told = Some(state(seen.id.1.0 as u32));
    }
    let mut now = picture(
        &[(1, "z"), (2, "z/b"), (5, "c"), (3, "e"), (4, "d"), (6, "f")],
        &[],
    );
    let came = hand_over(&before, &mut now, &all_names());
    let id = |id| (AccountId(1), MailboxId(id));
    let expected = [
        (id(3), Came::New),
        (id(5), Came::InPlace),
        (id(6), Came::New),
    ];
    assert_eq!(came, expected);
    let told = now.seen.iter().map(|seen| seen.told);
    let expected = [1, 2, 0, 4, 0, 0].map(|count| (count > 0).then(|| state(count)));
    assert!(told.eq(expected));
}

/// What a client makes of it.
#[derive(Debug, PartialEq)]
struct Believer {
    names: BTreeSet<Name>,
    subscribed: BTreeSet<Name>,
}

impl Believer {
    fn of(picture: &Picture) -> Self {
        Self {
            names: picture.seen.iter().map(|seen| seen.name.clone()).collect(),
            subscribed: picture.subscribed.clone(),
        }
    }

    /// LIST says what there is of a name now.
    fn hear(&mut self, change: &Change, truth: &Self) {
        if let Some(old) = &change.old_name {
            let moved = |known: &Name| {
                let rest = known.as_str().strip_prefix(old.as_str())?;
                let is_below = rest.is_empty() || rest.starts_with(Name::SEPARATOR);
                is_below.then(|| name(&format!("{}{rest}", change.name)))
            };
            let names = self
                .names
                .iter()
                .map(|known| moved(known).unwrap_or_else(|| known.clone()));
            self.names = names.collect();
        }
        for (known, there) in [
            (&mut self.names, &truth.names),
            (&mut self.subscribed, &truth.subscribed),
        ] {
            match there.contains(&change.name) {
                true => known.insert(change.name.clone()),
                false => known.remove(&change.name),
            };
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    Delete(usize),
    Rename(usize, usize),
    Subscribe(usize),
}

const NAMES: [&str; 9] = ["a", "b", "a/x", "a/y", "b/x", "a/x/q", "b/x/q", "c", "c/x"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = 0..NAMES.len();
    let step = prop_oneof![
        at.clone().prop_map(Step::Create),
        at.clone().prop_map(Step::Delete),
        (at.clone(), at.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        at.prop_map(Step::Subscribe),
    ];
    prop::collection::vec(step, 0..12)
}

#[derive(Default)]
struct Truth {
    mailboxes: BTreeMap<Name, u64>,
    subscribed: BTreeSet<Name>,
    last: u64,
}

impl Truth {
    fn take(&mut self, step: &Step) {
        match *step {
            Step::Create(at) => {
                self.last += 1;
                self.mailboxes.entry(name(NAMES[at])).or_insert(self.last);
            }
            Step::Delete(at) => _ = self.mailboxes.remove(&name(NAMES[at])),
            Step::Subscribe(at) => {
                let name = name(NAMES[at]);
                if !self.subscribed.remove(&name) {
                    self.subscribed.insert(name);
                }
            }
            Step::Rename(from, to) => self.rename(NAMES[from], NAMES[to]),
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        let moved = |known: &Name| {
            let rest = known.as_str().strip_prefix(from)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| name(&format!("{to}{rest}")))
        };
        let targets = self.mailboxes.keys().filter_map(moved);
        let is_free = !targets
            .into_iter()
            .any(|name| self.mailboxes.contains_key(&name));
        if is_free && !to.starts_with(&format!("{from}/")) {
            let all = std::mem::take(&mut self.mailboxes).into_iter();
            let renamed = all.map(|(name, id)| (moved(&name).unwrap_or(name), id));
            self.mailboxes = renamed.collect();
        }
    }

    fn picture(&self) -> Picture {
        let seen = self
            .mailboxes
            .iter()
            .map(|(name, id)| seen(*id, name.as_str()));
        Picture::new(seen.collect(), self.subscribed.clone()).unwrap()
    }
}

proptest! {
    #[test]
    fn who_obeys_what_he_is_told_knows_what_there_is(
        first in steps(), second in steps(),
    ) {
        let mut truth = Truth::default();
        for step in &first {
            truth.take(step);
        }
        let before = truth.picture();
        for step in &second {
            truth.take(step);
        }
        let now = truth.picture();
        let (mut believer, expected) = (Believer::of(&before), Believer::of(&now));
        for change in changes(&before, &now, &all_names(), &BTreeSet::new()) {
            believer.hear(&change, &expected);
        }
        prop_assert_eq!(believer, expected);
    }
}
