//! ESEARCH: one search of several mailboxes.
//!
//! RFC 7377. Each mailbox is searched by itself, all under one budget (LIM-25); what is selected
//! stays so. The selected mailbox is searched as its client knows it. Mailboxes that are not there,
//! or that the client may not read, are passed over in silence.

use std::collections::HashSet;

use super::{
    contexts::{self, Context},
    effort::Budget,
    fault::{Refusal, Stop, refusal_of, stop},
    place::{self, Place},
    progress::Progress,
    resync,
    scope::Scope,
    search::{self, Inquiry},
    search_answer::{Results, Whose},
    search_key::Candidate,
    select::{Selected, Uids},
    session::{Account, Asked, Outcome},
};
use crate::{
    base::ids::{AccountId, MailboxId},
    imap::{
        proto::{
            dialog::Imap,
            enabled::Enabled,
            search::{Query, Returns},
            sequence::SequenceSet,
            sources::Source,
        },
        view::View,
    },
    mailbox::{ChangeError, MailboxFault, Rights},
    net::Turn,
};

/// ESEARCH.
pub(super) async fn search(
    account: Account<'_>,
    mut selected: Option<&mut Selected>,
    asked: &Asked,
    (sources, query): (&[Source], &Query),
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    let returns = query.returns.unwrap_or(Returns::ALL);
    if let Err(refusal) = allowed(returns, sources, selected.as_deref(), asked) {
        return Ok(Err(refusal));
    }
    if query.key.asks_modseq() {
        resync::enable(Enabled::CONDSTORE, selected.as_deref(), turn).await?;
    }
    let places = places(account, selected.as_deref(), sources);
    let places = turn.unless_gone(places).await??;
    let budget = Budget::new();
    let permit = account.services.heavy_work.permit(account.id(), &budget);
    let Ok(_permit) = turn.unless_gone(permit).await? else {
        return Ok(Err(search::too_long()));
    };
    let mut many = Many {
        account,
        asked,
        query,
        returns,
        progress: Progress::default(),
        budget,
        is_kept: false,
        unreadable: None,
    };
    for place in places {
        if let Err(refusal) = many.one(selected.as_deref_mut(), &place, turn).await? {
            if let Some(selected) = selected.filter(|_| returns.save) {
                // RFC 5182 2.1
                selected.saved = SequenceSet::of_ranges(Vec::new());
            }
            return Ok(Err(refusal));
        }
    }
    if returns.update && !many.is_kept {
        contexts::refuse(asked.tag(), turn).await?;
    }
    Ok(many.unreadable.map_or(Ok(None), Err))
}

/// RFC 7377 2.2, RFC 5267 4.3
fn allowed(
    returns: Returns,
    sources: &[Source],
    selected: Option<&Selected>,
    asked: &Asked,
) -> Result<(), Refusal> {
    let only_selected = sources.iter().all(|source| *source == Source::Selected);
    if returns.save && !only_selected {
        return Err(Refusal::bad("SAVE is for the selected mailbox alone"));
    }
    match selected {
        Some(own) if returns.update && own.contexts.has(asked.tag()) => {
            Err(Refusal::bad("a search with this tag is kept current"))
        }
        None if returns.update || sources.contains(&Source::Selected) => {
            Err(Refusal::bad("no mailbox is selected"))
        }
        _ => Ok(()),
    }
}

/// One search of several mailboxes.
struct Many<'a> {
    account: Account<'a>,
    asked: &'a Asked,
    query: &'a Query,
    returns: Returns,
    progress: Progress,
    budget: Budget,
    /// The selected mailbox was among them, and its result is kept current.
    is_kept: bool,
    /// Why a mailbox could not be opened; it does not hide the others.
    unreadable: Option<Refusal>,
}

impl Many<'_> {
    /// Searches one of them.
    async fn one(
        &mut self,
        selected: Option<&mut Selected>,
        place: &Place,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Result<(), Refusal>, Stop> {
        let Some(selected) = selected.filter(|selected| selected.id() == place.id()) else {
            return self.other(place, turn).await;
        };
        let scope = selected.scope();
        let now = self.account.services.clock.wall();
        let update = self.returns.update;
        let fixed = update.then(|| scope.fixed(&self.query.key, now));
        let start = scope.view.modseq();
        let found = match self.within(scope, place, turn).await? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if self.returns.save {
            selected.saved = search::kept(&self.returns.saved(&found));
        }
        if let Some(key) = fixed {
            let context = Context::new(self.asked.tag(), Uids::Said, key, &found, start);
            self.is_kept = selected.contexts.keep(context);
        }
        Ok(Ok(()))
    }

    /// Searches one that is not selected.
    async fn other(
        &mut self,
        place: &Place,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Result<(), Refusal>, Stop> {
        if self.budget.spend(0).await.is_err() {
            return Ok(Err(search::too_long()));
        }
        let opened = self.account.mailboxes().open(place.owner, place.entry.id);
        let mailbox = match turn.unless_gone(opened).await? {
            Ok(mailbox) => mailbox,
            // Somebody deleted it meanwhile.
            Err(ChangeError::Absent) => return Ok(Ok(())),
            Err(error) => {
                self.unreadable = Some(refusal_of(error)?);
                return Ok(Ok(()));
            }
        };
        let view = mailbox.read(|index| View::new(index.uids(), index.modseq(), u32::MAX));
        let scope = Scope {
            mailbox: &mailbox,
            view: &view,
            saved: &SequenceSet::of_ranges(Vec::new()),
        };
        Ok(self.within(scope, place, turn).await?.map(drop))
    }

    /// Searches, and tells what is found. RFC 7377 2.1: nothing is said where there is no match.
    async fn within(
        &mut self,
        scope: Scope<'_>,
        place: &Place,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Result<Vec<Candidate>, Refusal>, Stop> {
        let inquiry = Inquiry {
            account: self.account,
            scope,
            progress: &self.progress,
            has_permit: true,
        };
        let work = search::matching(inquiry, self.query, &mut self.budget);
        let outcome = self.progress.tell_during(work, self.asked.tag(), turn);
        let found = match outcome.await?? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if !found.is_empty() && self.returns.are_told() {
            let results = Results {
                tag: self.asked.tag(),
                whose: Some(Whose {
                    name: place.name.as_str(),
                    uid_validity: scope.mailbox.uid_validity(),
                }),
                uids: Uids::Said,
                returns: self.returns,
                found: &found,
                modseq: search::modseq_of(self.query, scope, &self.returns.saved(&found)),
            };
            results.tell(turn).await?;
        }
        Ok(Ok(found))
    }
}

/// The mailboxes of the sources that may be read, each once.
async fn places(
    account: Account<'_>,
    selected: Option<&Selected>,
    sources: &[Source],
) -> Result<Vec<Place>, Stop> {
    let mut places = Places::default();
    for source in sources {
        match source {
            Source::Selected => places.add(selected.map(|selected| selected.place.clone())),
            Source::Mailboxes(names) => {
                for name in names {
                    places.add(place::find(account, name).await?);
                }
            }
            Source::Subscribed => {
                let names = account.mailboxes().subscriptions(account.id()).await;
                for name in names.map_err(stop)? {
                    places.add_listed(place::find(account, name.as_str()).await?);
                }
            }
            Source::Personal | Source::Inboxes => {
                for place in own(account).await.map_err(stop)? {
                    places.add_listed(Some(place));
                }
            }
            Source::Subtree(names) | Source::SubtreeOne(names) => {
                let is_deep = matches!(source, Source::Subtree(_));
                for name in names {
                    let top = place::find(account, name).await?;
                    let top_name = top.as_ref().map_or(name.as_str(), |top| top.name.as_str());
                    let top_name = top_name.to_owned();
                    places.add(top);
                    for place in all(account).await.map_err(stop)? {
                        if is_below(place.name.as_str(), &top_name, is_deep) {
                            places.add_listed(Some(place));
                        }
                    }
                }
            }
        }
    }
    Ok(places.found)
}

/// The account's own mailboxes, and those that others share with it.
async fn all(account: Account<'_>) -> Result<Vec<Place>, MailboxFault> {
    let mut places = own(account).await?;
    let shared = account.mailboxes().shared_with(account.id()).await?;
    let people = &*account.services.people;
    let shared = shared.into_iter();
    places.extend(shared.filter_map(|shared| Place::shared(people, shared)));
    Ok(places)
}

async fn own(account: Account<'_>) -> Result<Vec<Place>, MailboxFault> {
    let entries = account.mailboxes().list(account.id()).await?;
    Ok(entries
        .into_iter()
        .map(|entry| Place::own(account, entry))
        .collect())
}

/// Whether `name` is below `top`; one level below, unless it `is_deep`.
fn is_below(name: &str, top: &str, is_deep: bool) -> bool {
    let below = name
        .strip_prefix(top)
        .and_then(|rest| rest.strip_prefix('/'));
    below.is_some_and(|below| is_deep || !below.contains('/'))
}

#[derive(Default)]
struct Places {
    found: Vec<Place>,
    known: HashSet<(AccountId, MailboxId)>,
}

impl Places {
    /// Adds a mailbox that the client named, if it may read it.
    fn add(&mut self, place: Option<Place>) {
        let readable = place.and_then(|place| place.with(Rights::READ).ok());
        if let Some(place) = readable
            && self.known.insert(place.id())
        {
            self.found.push(place);
        }
    }

    /// Adds a mailbox that the client did not name, if it may know of it (RFC 7377 2.2).
    fn add_listed(&mut self, place: Option<Place>) {
        self.add(place.and_then(|place| place.with(Rights::LOOKUP).ok()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_a_name_is_told_by_levels() {
        for (name, top, deep, one) in [
            ("a/b", "a", true, true),
            ("a/b/c", "a", true, false),
            ("a", "a", false, false),
            ("ab/c", "a", false, false),
            ("a/b", "a/b", false, false),
        ] {
            assert_eq!(is_below(name, top, true), deep, "{name} {top}");
            assert_eq!(is_below(name, top, false), one, "{name} {top}");
        }
    }
}
