//! ESEARCH: one search of several mailboxes.
//!
//! RFC 7377. Each mailbox is searched by itself, all under one budget, and finding them is under it
//! as well (LIM-25); what is selected stays so. The selected mailbox is searched as its client
//! knows it. Mailboxes that are not there, or that the client may not read, are passed over in
//! silence.

use std::collections::HashSet;

use super::{
    contexts::{self, Context},
    effort::{Budget, Exhausted, Permit},
    fault::{Refusal, Stop, refusal_of, stop},
    place::{self, Place},
    progress::Progress,
    resync,
    scope::Scope,
    search::{self, Decided, Inquiry, Looks},
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
    let which = (sources, query, returns);
    let outcome = all_of(account, selected.as_deref_mut(), asked, which, turn).await;
    if let Some(selected) = selected.filter(|_| returns.save && !matches!(outcome, Ok(Ok(_)))) {
        // RFC 5182 2.1: NO leaves nothing.
        selected.saved = SequenceSet::of_ranges(Vec::new());
    }
    outcome
}

async fn all_of(
    account: Account<'_>,
    mut selected: Option<&mut Selected>,
    asked: &Asked,
    (sources, query, returns): (&[Source], &Query, Returns),
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    let mut budget = Budget::new();
    let permit = account.services.heavy_work.permit(account.id(), &budget);
    let Ok(permit) = turn.unless_gone(permit).await? else {
        return Ok(Err(search::too_long()));
    };
    let mut found = Places {
        account,
        budget: &mut budget,
        all: None,
        found: Vec::new(),
        known: HashSet::new(),
    };
    let finding = found.of(selected.as_deref(), sources);
    if let Err(Exhausted) = turn.unless_gone(finding).await?? {
        return Ok(Err(search::too_long()));
    }
    let places = found.found;
    let mut many = Many {
        account,
        asked,
        query,
        returns,
        progress: Progress::default(),
        budget,
        permit,
        is_kept: false,
        unreadable: None,
    };
    for place in places {
        if let Err(refusal) = many.one(selected.as_deref_mut(), &place, turn).await? {
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
    permit: Permit,
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
            selected.saved = search::kept(self.returns.saved(&found));
        }
        if let Some(key) = fixed {
            let context = Context::new(self.asked.tag(), Uids::Said, key, &found, start);
            let context = context.telling(&self.query.update_items);
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
            permit: Some(&self.permit),
            // RFC 9738 3.1 names no command of several mailboxes.
            looks: Looks::ALL,
        };
        let work = search::matching(inquiry, self.query, &mut self.budget);
        let outcome = self.progress.tell_during(work, self.asked.tag(), turn);
        let found = match outcome.await?? {
            Ok(Decided { found, .. }) => found,
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

/// Whether `name` is below `top`; one level below, unless it `is_deep`.
fn is_below(name: &str, top: &str, is_deep: bool) -> bool {
    let below = name
        .strip_prefix(top)
        .and_then(|rest| rest.strip_prefix('/'));
    below.is_some_and(|below| is_deep || !below.contains('/'))
}

/// The mailboxes of the sources that may be read, each once.
struct Places<'a> {
    account: Account<'a>,
    budget: &'a mut Budget,
    /// All there are, when they were asked for.
    all: Option<Vec<Place>>,
    found: Vec<Place>,
    known: HashSet<(AccountId, MailboxId)>,
}

impl Places<'_> {
    async fn of(
        &mut self,
        selected: Option<&Selected>,
        sources: &[Source],
    ) -> Result<Result<(), Exhausted>, Stop> {
        for (at, source) in sources.iter().enumerate() {
            if sources.iter().take(at).any(|before| before == source) {
                continue;
            }
            let done = match source {
                Source::Selected => {
                    let place = selected.map(|selected| &selected.place);
                    self.selected(place).await.map(Ok)?
                }
                Source::Mailboxes(names) => self.named(names).await?,
                Source::Subscribed => self.subscribed().await?,
                Source::Personal | Source::Inboxes => {
                    self.below(|_, place, account| place.owner == account, "")
                        .await?
                }
                Source::Subtree(names) => self.subtrees(names, true).await?,
                Source::SubtreeOne(names) => self.subtrees(names, false).await?,
            };
            if let Err(Exhausted) = done {
                return Ok(Err(Exhausted));
            }
        }
        Ok(Ok(()))
    }

    /// The selected mailbox, by the name that it has now.
    async fn selected(&mut self, place: Option<&Place>) -> Result<(), Stop> {
        if let Some(place) = place {
            let now = place::renamed(self.account, place).await?;
            self.add(Some(now));
        }
        Ok(())
    }

    async fn named(&mut self, names: &[String]) -> Result<Result<(), Exhausted>, Stop> {
        for name in distinct(names) {
            if let Err(Exhausted) = self.budget.spend(COST_OF_NAME).await {
                return Ok(Err(Exhausted));
            }
            let place = place::find(self.account, name).await?;
            self.add(place);
        }
        Ok(Ok(()))
    }

    async fn subscribed(&mut self) -> Result<Result<(), Exhausted>, Stop> {
        let mailboxes = self.account.mailboxes();
        let names = mailboxes.subscriptions(self.account.id()).await;
        for name in names.map_err(stop)? {
            if let Err(Exhausted) = self.budget.spend(COST_OF_NAME).await {
                return Ok(Err(Exhausted));
            }
            let place = place::find(self.account, name.as_str()).await?;
            self.add_listed(place);
        }
        Ok(Ok(()))
    }

    async fn subtrees(
        &mut self,
        names: &[String],
        is_deep: bool,
    ) -> Result<Result<(), Exhausted>, Stop> {
        for name in distinct(names) {
            let top = place::find(self.account, name).await?;
            let top_name = top.as_ref().map_or(name, |top| top.name.as_str());
            let top_name = top_name.to_owned();
            self.add(top);
            let is_below =
                |top: &str, place: &Place, _| is_below(place.name.as_str(), top, is_deep);
            if let Err(Exhausted) = self.below(is_below, &top_name).await? {
                return Ok(Err(Exhausted));
            }
        }
        Ok(Ok(()))
    }

    /// Adds those of all mailboxes that are what is meant by `top`.
    async fn below(
        &mut self,
        is_meant: impl Fn(&str, &Place, AccountId) -> bool,
        top: &str,
    ) -> Result<Result<(), Exhausted>, Stop> {
        let all = match self.all.take() {
            Some(all) => all,
            None => all(self.account).await.map_err(stop)?,
        };
        let cost = u64::try_from(all.len()).unwrap_or(u64::MAX);
        if let Err(Exhausted) = self.budget.spend(cost.saturating_mul(COST_OF_NAME)).await {
            return Ok(Err(Exhausted));
        }
        let account = self.account.id();
        for place in all.iter().filter(|place| is_meant(top, place, account)) {
            self.add_listed(Some(place.clone()));
        }
        self.all = Some(all);
        Ok(Ok(()))
    }

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

/// The account's own mailboxes, and those that others share with it.
async fn all(account: Account<'_>) -> Result<Vec<Place>, MailboxFault> {
    let own = account.mailboxes().list(account.id()).await?.into_iter();
    let shared = account.mailboxes().shared_with(account.id()).await?;
    let people = &*account.services.people;
    let shared = shared.into_iter();
    let shared = shared.filter_map(|shared| Place::shared(people, shared));
    Ok(own
        .map(|entry| Place::own(account, entry))
        .chain(shared)
        .collect())
}

/// Each of these once, in their order.
fn distinct(names: &[String]) -> impl Iterator<Item = &str> {
    let mut known = HashSet::new();
    names
        .iter()
        .map(String::as_str)
        .filter(move |name| known.insert(*name))
}

/// LIM-25: what comparing one name takes of the budget.
const COST_OF_NAME: u64 = 1024;

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
    #[test]
    fn lim_25_a_name_that_is_said_again_is_not_looked_for_again() {
        let names = ["a", "b", "a", "A", "b"].map(str::to_owned);
        assert_eq!(distinct(&names).collect::<Vec<_>>(), ["a", "b", "A"]);
    }
}
