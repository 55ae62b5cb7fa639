//! All names of an account as LIST sees them: mailboxes, parents that do not exist, subscriptions,
//! and what others share. Which of them a query selects, and what is said of each.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    fault::{Stop, stop},
    place::Place,
    session::Account,
};
use crate::{
    imap::proto::{
        list::{self, Attribute, ListQuery},
        response::Response,
    },
    mailbox::{Name, SpecialUse},
};

/// All names of an account, in the order of the tree.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) rows: BTreeMap<Name, Row>,
    /// Names with an existing mailbox below them.
    parents: BTreeSet<Name>,
    /// Names with a subscribed name below them.
    pub(super) subscribed_above: BTreeSet<Name>,
    /// Entries of the store that were read for it.
    rows_read: usize,
}

/// What is known of one name.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) place: Option<Place>,
    pub(super) subscribed: bool,
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
    pub(super) fn answer(&self, query: &ListQuery, name: &Name, row: &Row) -> Option<Response> {
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
    pub(super) fn is_selected(&self, query: &ListQuery, name: &Name, row: &Row) -> bool {
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
    pub(super) fn children(&self, name: &Name, row: &Row) -> Vec<Attribute> {
        row.children(self.parents.contains(name))
            .into_iter()
            .collect()
    }
}

impl Row {
    /// What is said of it on its own.
    pub(super) fn told(
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
        mailbox::{Entry, Rights},
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
