//! SEARCH, SORT and THREAD, and the UID commands of them.
//!
//! RFC 3501 6.4.4, RFC 4731, RFC 5182. Each message is decided with as little of it as suffices:
//! the index first, then its header, then its texts; what is decided is not read. Searches that
//! read messages are bounded in time and bytes and run one at a time per account (LIM-25). They
//! end with their connection.

use std::ops::Range;

use super::{
    contexts::{self, Context},
    effort::{Budget, Exhausted, Permit},
    fault::{Refusal, Stop},
    lookup::Cursor,
    message_limit::{self, Cut, MessageLimit},
    progress::Progress,
    resync,
    scope::Scope,
    search_answer::{self, Results},
    search_key::{Candidate, Known, Search, Verdict},
    search_reading::Reading,
    select::{Selected, Shown, Uids},
    session::{Account, Asked, Outcome},
    sort, thread,
};
use crate::{
    base::ids::ModSeq,
    imap::proto::{
        command::CommandBody,
        dialog::Imap,
        enabled::Enabled,
        response::Code,
        search::{Charset, Query, Returns, SearchKey},
        sequence::SequenceSet,
        sort::{SortCriterion, ThreadAlgorithm},
    },
    net::{Gone, Turn},
};

/// Messages found, and those that must be read to be decided.
#[derive(Debug, Default)]
struct Sorted {
    /// Of some, when not all were to be looked at: which.
    seen: Vec<u32>,
    found: Vec<Candidate>,
    open: Vec<Candidate>,
}

/// What SEARCH and SORT ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    pub(super) query: &'a Query,
    /// The order of the result; none: that of the mailbox.
    pub(super) criteria: &'a [SortCriterion],
}

/// Whether a command looks for messages by their numbers (RFC 7162 3.2.10.2).
pub(super) fn names_numbers(body: &CommandBody) -> bool {
    match body {
        CommandBody::Search(query)
        | CommandBody::Sort { query, .. }
        | CommandBody::Thread { query, .. }
        | CommandBody::MultiSearch { query, .. } => query.key.names_numbers(),
        _ => false,
    }
}

/// SEARCH, SORT, and the UID commands of both.
pub(super) async fn search(
    account: Account<'_>,
    selected: &mut Selected,
    asked: &Asked,
    wish: Wish<'_>,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    let Wish { query, criteria } = wish;
    let returns = returns_of(wish, turn.dialogue().enabled());
    if query.key.asks_modseq() {
        resync::enable(Enabled::CONDSTORE, Some(selected), turn).await?;
    }
    let updates = returns.is_some_and(|returns| returns.update);
    if updates && selected.contexts.has(asked.tag()) {
        // RFC 5267 4.3
        return Ok(Err(Refusal::bad("a search with this tag is kept current")));
    }
    // Before SAVE gives `$` another meaning.
    let now = account.services.clock.wall();
    let fixed = updates.then(|| selected.scope().fixed(&query.key, now));
    let progress = Progress::default();
    let inquiry = Inquiry {
        account,
        scope: selected.scope(),
        progress: &progress,
        permit: None,
        looks: Looks::of(account, wish, selected.view.uids().len()),
    };
    let start = selected.view.modseq();
    let work = found(inquiry, wish);
    let outcome = progress.tell_during(work, asked.tag(), turn).await?;
    if let Some(returns) = returns.filter(|returns| returns.save) {
        let found = match &outcome {
            // RFC 9738 3.4: what was looked at, if that was not all.
            Ok(Ok(decided)) => decided.found.as_slice(),
            // RFC 5182 2.1: NO leaves nothing.
            _ => &[],
        };
        selected.saved = kept(returns.saved(found));
    }
    let Decided { mut found, cut, .. } = match outcome? {
        Ok(decided) => decided,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let uids = Uids::of(query.uid);
    if let Some((key, saved)) = fixed {
        // What is kept current is what was looked at.
        let key = match cut {
            Some(cut) => key.not_below(cut.lowest),
            None => key,
        };
        let context = Context::new(asked.tag(), uids, (key, saved), &found, start);
        let context = context.telling(&query.update_items);
        // RFC 5267 4.3.1: the result of a SORT is not kept current.
        if !criteria.is_empty() || !selected.contexts.keep(context) {
            contexts::refuse(asked.tag(), turn).await?;
        }
    }
    if cut.is_some() && returns.is_none() {
        // RFC 9738 3.1: from highest to lowest UID.
        found.reverse();
    }
    tell(selected, asked, wish, returns, &found, turn).await?;
    Ok(message_limit::conclude(cut, Ok(None), turn).await?)
}

/// What an ESEARCH response tells; none where SEARCH or SORT answers.
fn returns_of(wish: Wish<'_>, enabled: Enabled) -> Option<Returns> {
    match wish.query.returns {
        // RFC 9051 6.4.4: there is no SEARCH response any more.
        None if enabled.contains(Enabled::IMAP4REV2) && wish.criteria.is_empty() => {
            Some(Returns::ALL)
        }
        said => said,
    }
}

/// Tells what was found, in the form that was asked for.
async fn tell(
    selected: &Selected,
    asked: &Asked,
    wish: Wish<'_>,
    returns: Option<Returns>,
    found: &[Candidate],
    turn: &mut Turn<'_, Imap>,
) -> Result<(), Gone> {
    let Wish { query, criteria } = wish;
    let (uids, scope) = (Uids::of(query.uid), selected.scope());
    match returns {
        Some(returns) if returns.are_told() => {
            let results = Results {
                tag: asked.tag(),
                whose: None,
                uids,
                returns,
                found,
                modseq: modseq_of(query, scope, &returns.saved(found)),
            };
            results.tell(turn).await?;
        }
        // RFC 5182 1: nothing but SAVE.
        Some(_) => {}
        None => {
            let name = if criteria.is_empty() {
                "* SEARCH"
            } else {
                "* SORT"
            };
            let about = (uids, modseq_of(query, scope, found));
            search_answer::numbers(name, found, about, turn).await?;
        }
    }
    Ok(())
}

/// The highest mod-sequence of these messages, when the query asks for it (RFC 7162 3.1.5).
pub(super) fn modseq_of(query: &Query, scope: Scope<'_>, told: &[Candidate]) -> Option<ModSeq> {
    if !query.key.asks_modseq() || told.is_empty() {
        return None;
    }
    let highest = scope.mailbox.read(|index| {
        let mut cursor = Cursor::default();
        let entries = told.iter().filter_map(|one| cursor.seek(index, one.uid));
        entries.map(|entry| entry.modseq).max()
    });
    // All that was found may be gone by now.
    Some(highest.unwrap_or_else(|| scope.view.modseq()))
}

/// THREAD and UID THREAD.
pub(super) async fn thread(
    account: Account<'_>,
    selected: &Selected,
    asked: &Asked,
    (algorithm, query): (ThreadAlgorithm, &Query),
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    let progress = Progress::default();
    let inquiry = Inquiry {
        account,
        scope: selected.scope(),
        progress: &progress,
        permit: None,
        // RFC 9738 3.3
        looks: Looks {
            limit: MessageLimit::of(account),
            whole: true,
        },
    };
    let work = async {
        let mut budget = Budget::new();
        let found = match matching(inquiry, query, &mut budget).await? {
            Ok(decided) => decided.found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let how = (algorithm, Uids::of(query.uid));
        let threads = thread::threads(inquiry, how, &found, &mut budget);
        Ok::<_, Stop>(threads.await?.map_err(|Exhausted| too_long()))
    };
    match progress.tell_during(work, asked.tag(), turn).await?? {
        Ok(forest) => thread::tell(&forest, turn).await?,
        Err(refusal) => return Ok(Err(refusal)),
    }
    Ok(Ok(None))
}

/// A search under way: for whom, where, and how far it is.
#[derive(Clone, Copy)]
pub(super) struct Inquiry<'a> {
    pub(super) account: Account<'a>,
    pub(super) scope: Scope<'a>,
    pub(super) progress: &'a Progress,
    /// The account's permit for heavy work, when the command has it already (LIM-25).
    pub(super) permit: Option<&'a Permit>,
    pub(super) looks: Looks,
}

/// How many messages a search may look at (RFC 9738).
#[derive(Clone, Copy)]
pub(super) struct Looks {
    limit: MessageLimit,
    /// It looks at all of them, or it is refused.
    whole: bool,
}

impl Looks {
    /// As many as there are.
    pub(super) const ALL: Self = Self {
        limit: MessageLimit::NONE,
        whole: false,
    };

    fn of(account: Account<'_>, wish: Wish<'_>, shown: usize) -> Self {
        let limit = MessageLimit::of(account);
        let partial = wish.query.returns.and_then(|returns| returns.partial);
        let asks = partial.map_or(0, |range| range.among(shown).len());
        Self {
            limit,
            // RFC 9738 3.1: a place in a result is none in a part of it. 3.3: nor is an order.
            whole: !wish.criteria.is_empty() || limit.allows(asks).is_err(),
        }
    }
}

impl Inquiry<'_> {
    /// The permit for heavy work, unless the command has it.
    pub(super) async fn permit(&self, budget: &Budget) -> Result<Permit, Exhausted> {
        if let Some(permit) = self.permit {
            return Ok(Permit::clone(permit));
        }
        let heavy_work = &self.account.services.heavy_work;
        heavy_work.permit(self.account.id(), budget).await
    }
}

/// What a search finds, in the order of its result.
async fn found(inquiry: Inquiry<'_>, wish: Wish<'_>) -> Result<Result<Decided, Refusal>, Stop> {
    let mut budget = Budget::new();
    let mut decided = match matching(inquiry, wish.query, &mut budget).await? {
        Ok(decided) => decided,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if wish.criteria.is_empty() {
        return Ok(Ok(decided));
    }
    let sorted = sort::sorted(inquiry, wish.criteria, &decided.found, &mut budget);
    Ok(match sorted.await? {
        Ok(sorted) => {
            decided.found = sorted;
            Ok(decided)
        }
        Err(Exhausted) => Err(too_long()),
    })
}

/// LIM-25
pub(super) fn too_long() -> Refusal {
    Refusal::no(
        Code::Limit,
        "the search takes too long; ask for less at once",
    )
}

/// The messages that are looked for, ascending.
pub(super) async fn matching(
    inquiry: Inquiry<'_>,
    query: &Query,
    budget: &mut Budget,
) -> Result<Result<Decided, Refusal>, Stop> {
    if query.charset == Charset::Unsupported {
        let text = "texts are in US-ASCII or UTF-8";
        return Ok(Err(Refusal::no(Code::BadCharset, text)));
    }
    let decided = decided(inquiry, &query.key, ModSeq(0), budget);
    Ok(match decided.await? {
        // RFC 9738 3.1, 3.3
        Ok(Decided { cut: Some(cut), .. }) if inquiry.looks.whole => Err(cut.refusal_of_all()),
        Ok(decided) => Ok(decided),
        Err(Exhausted) => Err(too_long()),
    })
}

/// Messages that were looked at, and those of them that are what is looked for, ascending.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// UIDs; not told of a search of everything.
    pub(super) seen: Vec<u32>,
    pub(super) found: Vec<Candidate>,
    /// Not all that were to be looked at were.
    pub(super) cut: Option<Cut>,
}

/// Decides the messages that changed after `since`.
pub(super) async fn decided(
    inquiry: Inquiry<'_>,
    key: &SearchKey,
    since: ModSeq,
    budget: &mut Budget,
) -> Result<Result<Decided, Exhausted>, Stop> {
    let Inquiry { account, scope, .. } = inquiry;
    let ground = scope.ground(account.services.clock.wall());
    let search = Search::new(key, ground);
    let set_bytes = search.ranges * size_of::<Range<usize>>();
    let spent = budget.spend(u64::try_from(set_bytes).unwrap_or(u64::MAX));
    if let Err(Exhausted) = spent.await {
        return Ok(Err(Exhausted));
    }
    let permit = match search.size.saturating_mul(scope.view.uids().len()) {
        ..=LIGHT_JUDGEMENTS => inquiry.permit.cloned(),
        _ => match inquiry.permit(budget).await {
            Ok(permit) => Some(permit),
            Err(Exhausted) => return Ok(Err(Exhausted)),
        },
    };
    let inquiry = Inquiry {
        permit: permit.as_ref(),
        ..inquiry
    };
    let (looks, uids) = (inquiry.looks, scope.view.uids());
    let Ok(reach) = looks.limit.reach(&search, uids, budget).await else {
        return Ok(Err(Exhausted));
    };
    let (from, cut) = reach.map_or((0, None), |(from, cut)| (from, Some(cut)));
    if cut.is_some() && looks.whole {
        let nothing = Decided::default();
        return Ok(Ok(Decided { cut, ..nothing }));
    }
    let Ok(sorted) = by_index(scope, &search, (since, from), budget).await else {
        return Ok(Err(Exhausted));
    };
    let Sorted {
        seen,
        mut found,
        open,
    } = sorted;
    if open.is_empty() {
        return Ok(Ok(Decided { seen, found, cut }));
    }
    let mut reading = Reading {
        inquiry,
        search: &search,
        budget,
    };
    let Ok(more) = reading.decide(&open).await? else {
        return Ok(Err(Exhausted));
    };
    found.extend(more);
    found.sort_unstable();
    Ok(Ok(Decided { seen, found, cut }))
}

/// Decides what the index can decide, of the messages that changed after `since`, from a position
/// on. Messages that are gone already are not found (RFC 2180 4.3).
async fn by_index(
    scope: Scope<'_>,
    search: &Search,
    (since, from): (ModSeq, usize),
    budget: &mut Budget,
) -> Result<Sorted, Exhausted> {
    let mut sorted = Sorted::default();
    let shown = scope.view.uids();
    let shown = shown.get(from..).unwrap_or_default();
    let length = search.messages_at_once();
    for (chunk, first) in shown.chunks(length).zip((from..).step_by(length)) {
        budget.spend(0).await?;
        scope.mailbox.read(|index| {
            let mut cursor = Cursor::default();
            for (uid, position) in chunk.iter().copied().zip(first..) {
                let Some(entry) = cursor.seek(index, uid) else {
                    continue;
                };
                if since > ModSeq(0) {
                    if entry.modseq <= since {
                        continue;
                    }
                    sorted.seen.push(uid);
                }
                let recent = scope.view.is_recent(uid);
                let candidate = Candidate {
                    position,
                    uid,
                    recent,
                    relevancy: 100,
                };
                match search.judge(candidate, &entry, &Known::default()) {
                    Verdict::Yes => sorted.found.push(candidate),
                    Verdict::No => {}
                    Verdict::Open => sorted.open.push(candidate),
                }
            }
        });
    }
    Ok(sorted)
}

/// Messages of a view as a set of UIDs that stays true: neighbours are one range, and no message
/// ever comes between them (RFC 3501 2.3.1.1).
pub(super) fn kept(mut found: Vec<Candidate>) -> SequenceSet {
    // The result of a SORT stands in another order.
    found.sort_unstable();
    let neighbours = found.chunk_by(|a, b| a.position + 1 == b.position);
    let ends = neighbours.filter_map(|run| Some((run.first()?.uid, run.last()?.uid)));
    SequenceSet::of_ranges(ends.collect())
}

/// LIM-25: how often a key is compared with a message before that is heavy work.
const LIGHT_JUDGEMENTS: usize = 1_000_000;

impl Candidate {
    /// What a client calls it.
    pub(super) fn number(self, uids: Uids) -> u32 {
        match uids {
            Uids::Said => self.uid,
            Uids::Silent => Shown::at(self.position, self.uid).number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::proto::sort::SortKey;

    #[test]
    fn rfc_9051_search_is_answered_by_esearch_and_sort_is_not() {
        let criteria = [SortCriterion {
            key: SortKey::Date,
            reverse: false,
        }];
        let count = Returns {
            count: true,
            ..Returns::default()
        };
        let (rev1, rev2) = (Enabled::default(), Enabled::IMAP4REV2);
        for (said, criteria, enabled, answered) in [
            (None, &[][..], rev1, None),
            (None, &[], rev2, Some(Returns::ALL)),
            (Some(count), &[], rev1, Some(count)),
            (Some(count), &[], rev2, Some(count)),
            (None, &criteria, rev2, None),
            (Some(count), &criteria, rev2, Some(count)),
        ] {
            let query = Query {
                uid: false,
                returns: said,
                update_items: Vec::new(),
                charset: Charset::Utf8,
                key: SearchKey::All,
            };
            let wish = Wish {
                query: &query,
                criteria,
            };
            assert_eq!(returns_of(wish, enabled), answered, "{said:?} {enabled:?}");
        }
    }
}
