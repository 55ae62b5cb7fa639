//! SEARCH and UID SEARCH.
//!
//! RFC 3501 6.4.4. Each message is decided with as little of it as suffices: the index first, then
//! its header, then its texts; what is decided is not read. Searches that read messages are bounded
//! in time and bytes and run one at a time per account (LIM-25). They end with their connection.

use super::{
    effort::{Budget, Exhausted},
    fault::{Refusal, Stop},
    lookup::Cursor,
    search_key::{Candidate, Known, Search, Verdict},
    search_reading::Reading,
    select::{Selected, Shown, Uids},
    session::{Account, Outcome},
    updates::CHUNK_MESSAGES,
};
use crate::{
    imap::proto::{
        dialog::Imap,
        response::Code,
        search::{Charset, SearchKey},
    },
    net::{Gone, Turn},
};

/// What SEARCH asks for.
#[derive(Debug)]
pub(super) struct Query {
    /// What is answered.
    pub(super) uids: Uids,
    pub(super) charset: Charset,
    pub(super) key: SearchKey,
}

/// Messages found, and those that must be read to be decided.
#[derive(Debug, Default)]
struct Sorted {
    found: Vec<Candidate>,
    open: Vec<Candidate>,
}

/// SEARCH and UID SEARCH.
pub(super) async fn search(
    account: Account<'_>,
    selected: &Selected,
    query: Query,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    if query.charset == Charset::Unsupported {
        return Ok(Err(Refusal::no(
            Code::BadCharset,
            "texts are in US-ASCII or UTF-8",
        )));
    }
    let search = Search::new(&query.key, selected.view.uids());
    let found = turn.unless_gone(found(account, selected, &search));
    match found.await?? {
        Ok(found) => tell(&found, query.uids, turn).await?,
        Err(Exhausted) => {
            let text = "the search takes too long; ask for less at once";
            return Ok(Err(Refusal::no(Code::Limit, text)));
        }
    }
    Ok(Ok(None))
}

/// The messages that are looked for, ascending.
async fn found(
    account: Account<'_>,
    selected: &Selected,
    search: &Search,
) -> Result<Result<Vec<Candidate>, Exhausted>, Stop> {
    let mut budget = Budget::new();
    let Ok(Sorted { mut found, open }) = by_index(selected, search, &mut budget).await else {
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
    found.sort_unstable_by_key(|candidate| candidate.position);
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

/// RFC 3501 7.2.5, written in chunks: there may be as many numbers as messages.
async fn tell(found: &[Candidate], uids: Uids, turn: &mut Turn<'_, Imap>) -> Result<(), Gone> {
    turn.output().text("* SEARCH");
    for chunk in found.chunks(CHUNK_MESSAGES) {
        let out = turn.output();
        for candidate in chunk {
            let number = match uids {
                Uids::Said => candidate.uid,
                Uids::Silent => Shown::at(candidate.position, candidate.uid).number,
            };
            out.bytes(b" ").number(u64::from(number));
        }
        turn.make_room().await?;
    }
    turn.output().crlf();
    Ok(())
}
