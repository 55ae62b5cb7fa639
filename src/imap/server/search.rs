//! SEARCH and UID SEARCH.
//!
//! RFC 3501 6.4.4, RFC 4731, RFC 5182. Each message is decided with as little of it as suffices:
//! the index first, then its header, then its texts; what is decided is not read. Searches that
//! read messages are bounded in time and bytes and run one at a time per account (LIM-25). They
//! end with their connection.

use super::{
    effort::{Budget, Exhausted},
    fault::{Refusal, Stop},
    lookup::Cursor,
    resync,
    search_answer::{self, Results},
    search_key::{Candidate, Ground, Known, Search, Verdict},
    search_reading::Reading,
    select::{Selected, Shown, Uids},
    session::{Account, Asked, Outcome},
    updates::CHUNK_MESSAGES,
};
use crate::{
    base::ids::ModSeq,
    imap::proto::{
        dialog::Imap,
        enabled::Enabled,
        response::Code,
        search::{Charset, Query},
        sequence::SequenceSet,
    },
    net::Turn,
};

/// Messages found, and those that must be read to be decided.
#[derive(Debug, Default)]
struct Sorted {
    found: Vec<Candidate>,
    open: Vec<Candidate>,
}

/// SEARCH and UID SEARCH.
pub(super) async fn search(
    account: Account<'_>,
    selected: &mut Selected,
    asked: &Asked,
    query: &Query,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    if query.key.asks_modseq() {
        resync::enable(Enabled::CONDSTORE, Some(selected), turn).await?;
    }
    let found = match found(account, selected, query, turn).await? {
        Ok(found) => found,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let uids = Uids::of(query.uid);
    let asks_modseq = query.key.asks_modseq();
    let modseq_of = |told: &[Candidate]| match asks_modseq {
        true => highest(selected, told),
        false => None,
    };
    match query.returns {
        Some(returns) if returns.are_told() => {
            let results = Results {
                tag: asked.tag(),
                uids,
                returns,
                found: &found,
                modseq: modseq_of(&returns.saved(&found)),
            };
            results.tell(turn).await?;
        }
        // RFC 5182 1: nothing but SAVE.
        Some(_) => {}
        None => {
            let about = (uids, modseq_of(&found));
            search_answer::numbers("* SEARCH", &found, about, turn).await?;
        }
    }
    Ok(Ok(None))
}

/// The highest mod-sequence of these messages.
fn highest(selected: &Selected, told: &[Candidate]) -> Option<ModSeq> {
    let modseqs = selected.mailbox.read(|index| {
        let mut cursor = Cursor::default();
        let entries = told.iter().filter_map(|one| cursor.seek(index, one.uid));
        entries.map(|entry| entry.modseq).max()
    });
    // All that was found may be gone by now.
    (!told.is_empty()).then(|| modseqs.unwrap_or_else(|| selected.view.modseq()))
}

/// What a query finds, ascending, kept as `$` when it says so. A refusal that the client hears as
/// NO leaves nothing in `$` then (RFC 5182 2.1).
pub(super) async fn found(
    account: Account<'_>,
    selected: &mut Selected,
    query: &Query,
    turn: &mut Turn<'_, Imap>,
) -> Result<Result<Vec<Candidate>, Refusal>, Stop> {
    let saves = query.returns.filter(|returns| returns.save);
    let outcome = looked_up(account, selected, query, turn).await;
    if let Some(returns) = saves {
        let found = match &outcome {
            Ok(Ok(found)) => found.as_slice(),
            _ => &[],
        };
        selected.saved = kept(&returns.saved(found));
    }
    outcome
}

async fn looked_up(
    account: Account<'_>,
    selected: &Selected,
    query: &Query,
    turn: &mut Turn<'_, Imap>,
) -> Result<Result<Vec<Candidate>, Refusal>, Stop> {
    if query.charset == Charset::Unsupported {
        let text = "texts are in US-ASCII or UTF-8";
        return Ok(Err(Refusal::no(Code::BadCharset, text)));
    }
    let ground = Ground {
        uids: selected.view.uids(),
        saved: &selected.saved,
        now: account.services.clock.wall(),
    };
    let search = Search::new(&query.key, ground);
    let mut budget = Budget::new();
    let work = matching(account, selected, &search, &mut budget);
    Ok(turn
        .unless_gone(work)
        .await??
        .map_err(|Exhausted| too_long()))
}

/// LIM-25
pub(super) fn too_long() -> Refusal {
    Refusal::no(
        Code::Limit,
        "the search takes too long; ask for less at once",
    )
}

/// The messages that are looked for, ascending.
async fn matching(
    account: Account<'_>,
    selected: &Selected,
    search: &Search,
    budget: &mut Budget,
) -> Result<Result<Vec<Candidate>, Exhausted>, Stop> {
    let Ok(Sorted { mut found, open }) = by_index(selected, search, budget).await else {
        return Ok(Err(Exhausted));
    };
    if open.is_empty() {
        return Ok(Ok(found));
    }
    let mut reading = Reading {
        account,
        selected,
        search,
        budget,
    };
    let Ok(more) = reading.decide(&open).await? else {
        return Ok(Err(Exhausted));
    };
    found.extend(more);
    found.sort_unstable();
    Ok(Ok(found))
}

/// Decides what the index can decide. Messages that are gone already are not found (RFC 2180 4.3).
async fn by_index(
    selected: &Selected,
    search: &Search,
    budget: &mut Budget,
) -> Result<Sorted, Exhausted> {
    let mut sorted = Sorted::default();
    let shown = selected.view.uids();
    for (chunk, first) in shown
        .chunks(CHUNK_MESSAGES)
        .zip((0..).step_by(CHUNK_MESSAGES))
    {
        budget.spend(0).await?;
        selected.mailbox.read(|index| {
            let mut cursor = Cursor::default();
            for (uid, position) in chunk.iter().copied().zip(first..) {
                let Some(entry) = cursor.seek(index, uid) else {
                    continue;
                };
                let recent = selected.view.is_recent(uid);
                let candidate = Candidate {
                    position,
                    uid,
                    recent,
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
fn kept(found: &[Candidate]) -> SequenceSet {
    let neighbours = found.chunk_by(|a, b| a.position + 1 == b.position);
    let ends = neighbours.filter_map(|run| Some((run.first()?.uid, run.last()?.uid)));
    SequenceSet::of_ranges(ends.collect())
}

impl Candidate {
    /// What a client calls it.
    pub(super) fn number(self, uids: Uids) -> u32 {
        match uids {
            Uids::Said => self.uid,
            Uids::Silent => Shown::at(self.position, self.uid).number,
        }
    }
}
