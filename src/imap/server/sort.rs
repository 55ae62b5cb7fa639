//! SORT and UID SORT: a search whose result is put in order.
//!
//! RFC 5256 3, RFC 5957, RFC 5267 3. The keys of all messages found are made first, under the
//! budget of the search (LIM-25, LIM-36), then compared as bytes.

use super::{
    effort::{Budget, Exhausted},
    fault::Stop,
    heads::{Glance, Heads},
    search::Inquiry,
    search_key::Candidate,
};
use crate::imap::{
    order::SortKeys,
    proto::sort::{SortCriterion, SortKey},
};

/// The messages of `found`, which stand in mailbox order, in the order of the criteria.
pub(super) async fn sorted(
    inquiry: Inquiry<'_>,
    criteria: &[SortCriterion],
    found: &[Candidate],
    budget: &mut Budget,
) -> Result<Result<Vec<Candidate>, Exhausted>, Stop> {
    use SortKey::{Arrival, Relevancy, Size};
    let of_index = |criterion: &SortCriterion| matches!(criterion.key, Arrival | Relevancy | Size);
    let Ok(permit) = inquiry.permit(budget).await else {
        return Ok(Err(Exhausted));
    };
    let heads = Heads {
        inquiry,
        with_facts: !criteria.iter().all(of_index),
    };
    let (mut keys, mut seen) = (SortKeys::default(), Vec::with_capacity(found.len()));
    let read = heads.each(found, budget, |glance| {
        for criterion in criteria {
            put(&mut keys, glance, *criterion);
        }
        keys.end();
        seen.push(glance.candidate);
        keys.bytes() + seen.len() * size_of::<Candidate>()
    });
    if let Err(Exhausted) = read.await? {
        return Ok(Err(Exhausted));
    }
    let mut sorting = keys.sorting();
    let order = loop {
        if let Some(order) = sorting.step() {
            break order.into_iter();
        }
        if let Err(Exhausted) = budget.spend(0).await {
            return Ok(Err(Exhausted));
        }
    };
    drop(permit);
    Ok(Ok(order
        .filter_map(|place| seen.get(place).copied())
        .collect()))
}

fn put(keys: &mut SortKeys, glance: &Glance<'_>, criterion: SortCriterion) {
    let SortCriterion { key, reverse } = criterion;
    match key {
        SortKey::Arrival => keys.number(glance.arrival, reverse),
        SortKey::Date => keys.number(glance.sent(), reverse),
        // RFC 6203 6: the highest score first.
        SortKey::Relevancy => keys.number(-i64::from(glance.candidate.relevancy), reverse),
        SortKey::Size => keys.number(i64::try_from(glance.size).unwrap_or(i64::MAX), reverse),
        SortKey::Subject => keys.text(&glance.subject().text, reverse),
        SortKey::Cc => keys.text(&glance.mailbox("cc"), reverse),
        SortKey::From => keys.text(&glance.mailbox("from"), reverse),
        SortKey::To => keys.text(&glance.mailbox("to"), reverse),
        SortKey::DisplayFrom => keys.text(&glance.display("from"), reverse),
        SortKey::DisplayTo => keys.text(&glance.display("to"), reverse),
    }
}
