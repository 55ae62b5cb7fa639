//! LIST and LSUB: which names there are, and which the user wants to see.
//!
//! RFC 3501 6.3.8 and 6.3.9, RFC 3348 (children), RFC 5258 (extended forms), RFC 5819 (with
//! STATUS), RFC 6154 (special uses), RFC 9590 (annotations). All names of an account are looked at
//! once, parents that do not exist included; which of them are answered is decided without waiting.
//! Looking into all of them is heavy work, done before anything is said (LIM-25).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    acl,
    effort::{Budget, Exhausted, Permit},
    fault::{Cause, Stop, nonexistent, stop},
    mailboxes, metadata,
    place::{self, Place},
    select::Selected,
    session::{Account, Outcome},
};
use crate::{
    base::text::Causes,
    imap::proto::{
        dialog::Imap,
        enabled::Enabled,
        list::{self, Attribute, ListQuery, Pattern},
        metadata::MetadataQuery,
        response::Response,
        status::StatusItem,
    },
    mailbox::{EntryName, MailboxFault, Name, Rights, SpecialUse},
    net::{Gone, Halt, Turn},
};

/// All names of an account, in the order of the tree.
#[derive(Debug, Default)]
pub(super) struct Tree {
    rows: BTreeMap<Name, Row>,
    /// Names with an existing mailbox below them.
    parents: BTreeSet<Name>,
    /// Names with a subscribed name below them.
    subscribed_above: BTreeSet<Name>,
    /// Entries of the store that were read for it.
    rows_read: usize,
}

/// What is known of one name.
#[derive(Clone, Debug, Default)]
struct Row {
    place: Option<Place>,
    subscribed: bool,
}

/// LIST.
pub(super) async fn list(
    account: Account<'_>,
    selected: Option<&Selected>,
    query: &ListQuery,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    if asks_for_delimiter(&query.patterns) && !query.extended {
        turn.reply(&Response::List {
            attributes: vec![Attribute::NoSelect],
            name: String::new(),
            subscribed_below: false,
        })
        .await?;
        return Ok(Ok(None));
    }
    let annotations = match &query.return_metadata {
        None => None,
        Some(asked) => match metadata::names(&asked.entries) {
            Some(names) => Some((names, asked)),
            None => return Ok(Err(metadata::not_a_name())),
        },
    };
    let wants_subscriptions = query.select_subscribed || query.return_subscribed;
    let tree = turn
        .unless_gone(Tree::read(account, wants_subscriptions))
        .await??;
    let patterns = query.patterns.iter();
    let patterns: Vec<_> = patterns
        .map(|text| Pattern::new(&query.reference, text))
        .collect();
    let (mut answers, mut budget) = (Vec::new(), Budget::new());
    for (name, row) in &tree.rows {
        // LIM-25: thirty-two patterns and ten thousand names are seconds of work.
        let cost = patterns.len() * name.as_str().len();
        if let Err(Exhausted) = budget.spend(cost as u64).await {
            return Ok(Err(metadata::too_long()));
        }
        let matches = patterns
            .iter()
            .any(|pattern| pattern.matches(name.as_str()));
        let response = matches.then(|| tree.answer(query, name, row)).flatten();
        answers.extend(response.map(|response| {
            // RFC 8440 3: not of what is only said because of something below it.
            let selected = tree.is_selected(query, name, row);
            (response, row.place.as_ref().filter(|_| selected))
        }));
    }
    let places = answers.iter().map(|(_, place)| *place);
    let statuses = match query.return_status.as_slice() {
        [] => Vec::new(),
        items => {
            mailboxes::note_items(items, selected, turn).await?;
            let statuses = statuses(account, selected, places, items);
            turn.unless_gone(statuses).await??
        }
    };
    let mut statuses = statuses.into_iter();
    let permit = permit_if(annotations.is_some(), account, &budget, turn);
    let Ok(_permit) = permit.await? else {
        return Ok(Err(metadata::too_long()));
    };
    for (response, place) in &answers {
        turn.reply(response).await?;
        if let (true, Some(place)) = (query.return_rights, place) {
            turn.reply(&acl::rights_of(place)).await?;
        }
        if let (Some((names, asked)), Some(place)) = (&annotations, place) {
            let told = tell_annotations(account, place, (names, asked), &mut budget, turn);
            if let Err(Exhausted) = told.await? {
                return Ok(Err(metadata::too_long()));
            }
        }
        if let Some(Some(status)) = statuses.next() {
            turn.reply(&status).await?;
        }
    }
    Ok(Ok(None))
}

/// The permit for heavy work, where there is some (LIM-25).
async fn permit_if(
    is_heavy: bool,
    account: Account<'_>,
    budget: &Budget,
    turn: &mut Turn<'_, Imap>,
) -> Result<Result<Option<Permit>, Exhausted>, Gone> {
    if !is_heavy {
        return Ok(Ok(None));
    }
    let permit = account.services.heavy_work.permit(account.id(), budget);
    Ok(turn.unless_gone(permit).await?.map(Some))
}

/// The annotations of one mailbox (RFC 9590); nothing where they cannot be told.
async fn tell_annotations(
    account: Account<'_>,
    place: &Place,
    asked: (&[EntryName], &MetadataQuery),
    budget: &mut Budget,
    turn: &mut Turn<'_, Imap>,
) -> Result<Result<(), Exhausted>, Stop> {
    if !metadata::may_annotate(place.rights) {
        return Ok(Ok(()));
    }
    let subject = metadata::Subject::of(account, place);
    match metadata::tell_of(account, subject, asked, budget, turn).await {
        Ok(told) => Ok(told.map(drop)),
        Err(Halt::Fault(Cause::Mailbox(MailboxFault::Damaged(_)))) => Ok(Ok(())),
        Err(stop) => Err(stop),
    }
}

/// What STATUS says of each of these, as far as LIM-25 goes. RFC 5819 2: one that cannot be told of
/// now is left out, and the rest when it takes too long.
async fn statuses<'p>(
    account: Account<'_>,
    selected: Option<&Selected>,
    places: impl Iterator<Item = Option<&'p Place>>,
    items: &[StatusItem],
) -> Result<Vec<Option<Response>>, Stop> {
    let (mut budget, mut statuses) = (Budget::new(), Vec::new());
    let heavy_work = &account.services.heavy_work;
    let Ok(_permit) = heavy_work.permit(account.id(), &budget).await else {
        return Ok(statuses);
    };
    for place in places {
        let status = match place.filter(|place| place.rights.contains(Rights::READ)) {
            Some(place) => mailboxes::status_of(account, selected, place, items).await,
            None => Ok(Err(nonexistent())),
        };
        statuses.push(match status {
            Ok(status) => status.ok(),
            Err(Halt::Fault(Cause::Mailbox(MailboxFault::Damaged(_)))) => None,
            Err(stop) => return Err(stop),
        });
        if let Err(Exhausted) = budget.spend(0).await {
            break;
        }
    }
    Ok(statuses)
}

/// LSUB.
pub(super) async fn lsub(
    account: Account<'_>,
    reference: &str,
    pattern: &str,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    if pattern.is_empty() {
        let (attributes, name) = (vec![Attribute::NoSelect], String::new());
        turn.reply(&Response::Lsub { attributes, name }).await?;
        return Ok(Ok(None));
    }
    let tree = turn.unless_gone(Tree::read(account, true)).await??;
    let compiled = Pattern::new(reference, pattern);
    let shows_levels = pattern.contains('%');
    let matching = tree
        .rows
        .iter()
        .filter(|(name, _)| compiled.matches(name.as_str()));
    for (name, row) in matching {
        let attributes = match row.subscribed {
            true => tree.children(name, row),
            // RFC 3501 6.3.9: with `%`, a level that is not subscribed stands for what is below it.
            false if shows_levels && tree.subscribed_above.contains(name) => {
                vec![Attribute::NoSelect]
            }
            false => continue,
        };
        let name = name.as_str().to_owned();
        turn.reply(&Response::Lsub { attributes, name }).await?;
    }
    Ok(Ok(None))
}

/// The line of one name, which the client spelled as `said`, and of what it leads to (RFC 9051
/// 6.3.2). No other names are read, but for what others share below it.
pub(super) async fn line_of(
    account: Account<'_>,
    (name, place): (&Name, Option<Place>),
    said: &str,
) -> Result<Response, Stop> {
    let row = Row {
        place,
        subscribed: false,
    };
    let old_name = Some(said).filter(|said| *said != name.as_str());
    let has_children = has_children(account, name).await?;
    Ok(row.told(name, has_children, old_name, false))
}

/// Whether LIST tells mailboxes below this name.
async fn has_children(account: Account<'_>, name: &Name) -> Result<bool, Stop> {
    let (user, mailboxes) = (account.id(), account.mailboxes());
    if mailboxes.has_below(user, name).await.map_err(stop)? {
        return Ok(true);
    }
    if !matches!(name.levels().next(), Some(list::OTHER_USERS | list::SHARED)) {
        return Ok(false);
    }
    let shared = mailboxes.shared_with(user).await.map_err(stop)?;
    let people = &*account.services.people;
    let mut shared = shared
        .into_iter()
        .filter_map(|shared| Place::shared(people, shared));
    Ok(shared.any(|place| place.name.is_under(name)))
}

/// Tells a client of IMAP4rev2 by which name a mailbox goes, where it spelled that otherwise, or
/// the name that it had until now (RFC 9051 6.3.9.7).
pub(super) async fn tell_spelling(
    account: Account<'_>,
    (old, new): (&str, &str),
    turn: &mut Turn<'_, Imap>,
) -> Result<(), Gone> {
    if !turn.dialogue().enabled().contains(Enabled::IMAP4REV2) {
        return Ok(());
    }
    // RFC 9051 6.3.4: the delimiter at the end only says what is meant to be below it.
    let spelled = |said: &str| {
        said.strip_suffix(Name::SEPARATOR)
            .unwrap_or(said)
            .to_owned()
    };
    let (old, new) = (spelled(old), spelled(new));
    let renames = old != new;
    let is_other = |said: &str| {
        Name::parse(said).is_ok_and(|name| match renames {
            // INBOX stays what it is, however it is spelled.
            true => !name.as_str().eq_ignore_ascii_case(said),
            false => name.as_str() != said,
        })
    };
    if !is_other(&old) && !is_other(&new) {
        return Ok(());
    }
    let Ok(name) = Name::parse(&new) else {
        return Ok(());
    };
    // RFC 9051 6.3.6: INBOX is there after its RENAME, so it is nothing's old name.
    let keeps_old = Name::parse(&old).is_ok_and(|name| name.is_inbox());
    let old = if renames && keeps_old { &new } else { &old };
    match spelling(account, &name, old).await {
        Ok(line) => turn.reply(&line).await,
        Err(Halt::Gone(gone)) => Err(gone),
        // What the command did is done (DUR-01): a client that hears NO does it again.
        Err(Halt::Fault(cause)) => {
            tracing::error!(error = %Causes(&cause), "what a name became cannot be told now");
            Ok(())
        }
    }
}

async fn spelling(account: Account<'_>, name: &Name, said: &str) -> Result<Response, Stop> {
    let place = place::find(account, name.as_str()).await?;
    // RFC 4314 6: what one has no right to is as absent as what is not there.
    let place = place.filter(|place| !place.rights.is_empty());
    line_of(account, (name, place), said).await
}

/// RFC 3501 6.3.8: an empty name asks for the delimiter and the root.
fn asks_for_delimiter(patterns: &[String]) -> bool {
    matches!(patterns, [only] if only.is_empty())
}

impl Tree {
    pub(super) async fn read(account: Account<'_>, with_subscriptions: bool) -> Result<Self, Stop> {
        let entries = account.mailboxes().list(account.id()).await.map_err(stop)?;
        let subscriptions = match with_subscriptions {
            true => account
                .mailboxes()
                .subscriptions(account.id())
                .await
                .map_err(stop)?,
            false => Vec::new(),
        };
        let shared = account.mailboxes().shared_and_read(account.id()).await;
        let people = &*account.services.people;
        let (shared, grants_read) = shared.map_err(stop)?;
        let rows_read = entries.len() + subscriptions.len() + grants_read;
        let shared = shared.into_iter();
        let shared = shared.filter_map(|shared| Place::shared(people, shared));
        let own = entries.into_iter().map(|entry| Place::own(account, entry));
        Ok(Self {
            rows_read,
            ..Self::new(own.chain(shared).collect(), subscriptions)
        })
    }

    /// How many entries of the store were read for it.
    pub(super) fn rows_read(&self) -> usize {
        self.rows_read
    }

    /// The mailboxes that are there.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.rows.values().filter_map(|row| row.place.as_ref())
    }

    pub(super) fn place(&self, name: &Name) -> Option<&Place> {
        self.rows.get(name)?.place.as_ref()
    }

    /// The names that are subscribed.
    pub(super) fn subscribed(&self) -> impl Iterator<Item = &Name> {
        let rows = self.rows.iter();
        rows.filter_map(|(name, row)| row.subscribed.then_some(name))
    }

    /// What is said of a name that changed (RFC 5465 3.1, 5.4, 5.5), or that is spelled otherwise.
    pub(super) fn told(&self, name: &Name, old_name: Option<&str>, no_access: bool) -> Response {
        let row = self.rows.get(name).cloned().unwrap_or_default();
        row.told(name, self.parents.contains(name), old_name, no_access)
    }

    fn new(places: Vec<Place>, subscriptions: Vec<Name>) -> Self {
        let mut tree = Self::default();
        for place in places {
            climb(&mut tree.parents, &place.name);
            let name = place.name.clone();
            // One's own come first, and are what their names lead to.
            tree.rows
                .entry(name)
                .or_default()
                .place
                .get_or_insert(place);
        }
        for name in subscriptions {
            climb(&mut tree.subscribed_above, &name);
            tree.rows.entry(name).or_default().subscribed = true;
        }
        for name in tree.parents.iter().chain(&tree.subscribed_above) {
            tree.rows.entry(name.clone()).or_default();
        }
        tree
    }

    /// What LIST says of a name that matches, if anything.
    fn answer(&self, query: &ListQuery, name: &Name, row: &Row) -> Option<Response> {
        // RFC 5258 3.5: an ancestor stands for what is selected below it.
        let subscribed_below = query.recursive_match
            && query.select_subscribed
            && self.subscribed_above.contains(name);
        if !subscribed_below && !self.is_selected(query, name, row) {
            return None;
        }
        let mut attributes = match &row.place {
            Some(_) => Vec::new(),
            None if query.extended => vec![Attribute::NonExistent],
            None => vec![Attribute::NoSelect],
        };
        if row.subscribed && (query.return_subscribed || query.select_subscribed) {
            attributes.push(Attribute::Subscribed);
        }
        attributes.extend(self.children(name, row));
        let special_use = row.special_use();
        attributes.extend(special_use.map(|special_use| Attribute::Use(said_use(special_use))));
        Some(Response::List {
            attributes,
            name: name.as_str().to_owned(),
            subscribed_below,
        })
    }

    /// Whether a name is what the query selects, patterns aside.
    fn is_selected(&self, query: &ListQuery, name: &Name, row: &Row) -> bool {
        if query.select_special_use {
            let used = row.special_use().is_some();
            return used && (row.subscribed || !query.select_subscribed);
        }
        if query.select_subscribed {
            return row.subscribed;
        }
        row.place.is_some() || self.parents.contains(name)
    }

    /// RFC 3348: `\HasChildren` or `\HasNoChildren`.
    fn children(&self, name: &Name, row: &Row) -> Vec<Attribute> {
        row.children(self.parents.contains(name))
            .into_iter()
            .collect()
    }
}

impl Row {
    fn told(
        &self,
        name: &Name,
        has_children: bool,
        old_name: Option<&str>,
        no_access: bool,
    ) -> Response {
        let mut attributes = Vec::new();
        if no_access {
            attributes.push(Attribute::NoAccess);
        }
        if self.place.is_none() {
            attributes.push(Attribute::NonExistent);
        }
        if self.subscribed {
            attributes.push(Attribute::Subscribed);
        }
        attributes.extend(self.children(has_children));
        let special_use = self.special_use();
        attributes.extend(special_use.map(|special_use| Attribute::Use(said_use(special_use))));
        let name = name.as_str().to_owned();
        match old_name {
            Some(old_name) => Response::Renamed {
                attributes,
                name,
                old_name: old_name.to_owned(),
            },
            None => Response::List {
                attributes,
                name,
                subscribed_below: false,
            },
        }
    }

    fn children(&self, has_children: bool) -> Option<Attribute> {
        match (has_children, &self.place) {
            (true, _) => Some(Attribute::HasChildren),
            (false, Some(_)) => Some(Attribute::HasNoChildren),
            (false, None) => None,
        }
    }

    fn special_use(&self) -> Option<SpecialUse> {
        self.place.as_ref()?.entry.special_use
    }
}

/// Notes all that is above a name. Where one is known, those above it are.
fn climb(known: &mut BTreeSet<Name>, name: &Name) {
    let mut above = name.parent();
    while let Some(name) = above {
        above = name.parent();
        if !known.insert(name) {
            return;
        }
    }
}

fn said_use(special_use: SpecialUse) -> list::SpecialUse {
    match special_use {
        SpecialUse::Archive => list::SpecialUse::Archive,
        SpecialUse::Drafts => list::SpecialUse::Drafts,
        SpecialUse::Junk => list::SpecialUse::Junk,
        SpecialUse::Sent => list::SpecialUse::Sent,
        SpecialUse::Trash => list::SpecialUse::Trash,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::ids::{AccountId, MailboxId},
        mailbox::Entry,
    };

    fn tree(existing: &[&str], subscribed: &[&str]) -> Tree {
        let name = |text: &&str| Name::parse(text).unwrap();
        let places = existing.iter().map(|text| Place {
            owner: AccountId(1),
            name: name(text),
            entry: Entry {
                id: MailboxId(1),
                name: name(text),
                special_use: (*text == "Sent").then_some(SpecialUse::Sent),
                uid_validity: 1,
            },
            rights: Rights::ALL,
        });
        Tree::new(places.collect(), subscribed.iter().map(name).collect())
    }

    fn listed(tree: &Tree, query: &ListQuery) -> Vec<String> {
        let answers = tree
            .rows
            .iter()
            .filter_map(|(name, row)| tree.answer(query, name, row));
        let shown = answers.map(|answer| match answer {
            Response::List {
                attributes,
                name,
                subscribed_below,
            } => {
                let attributes: Vec<_> = attributes.iter().map(|one| one.name()).collect();
                let below = if subscribed_below { " +" } else { "" };
                format!("{name} {}{below}", attributes.join(" "))
            }
            other => panic!("{other:?}"),
        });
        shown.collect()
    }

    #[test]
    fn parents_that_do_not_exist_cannot_be_selected() {
        let tree = tree(&["INBOX", "a/b/c"], &[]);
        let plain = ListQuery::default();
        assert_eq!(
            listed(&tree, &plain),
            [
                "INBOX \\HasNoChildren",
                "a \\Noselect \\HasChildren",
                "a/b \\Noselect \\HasChildren",
                "a/b/c \\HasNoChildren",
            ]
        );
        let extended = ListQuery {
            extended: true,
            ..ListQuery::default()
        };
        assert_eq!(listed(&tree, &extended)[1], "a \\NonExistent \\HasChildren");
    }

    #[test]
    fn subscribed_names_are_selected_with_what_is_above_them() {
        let tree = tree(&["INBOX", "foo", "Sent"], &["foo/gone", "INBOX"]);
        let mut query = ListQuery {
            extended: true,
            select_subscribed: true,
            ..ListQuery::default()
        };
        let subscribed = [
            "INBOX \\Subscribed \\HasNoChildren",
            "foo/gone \\NonExistent \\Subscribed",
        ];
        assert_eq!(listed(&tree, &query), subscribed);
        query.recursive_match = true;
        assert_eq!(listed(&tree, &query)[1], "foo \\HasNoChildren +");
        query = ListQuery {
            select_special_use: true,
            ..ListQuery::default()
        };
        assert_eq!(listed(&tree, &query), ["Sent \\HasNoChildren \\Sent"]);
    }

    #[test]
    fn names_that_are_only_subscribed_are_not_listed() {
        let tree = tree(&["INBOX"], &["never/was"]);
        assert_eq!(
            listed(&tree, &ListQuery::default()),
            ["INBOX \\HasNoChildren"]
        );
    }
}
