//! LIST and LSUB: which names there are, and which the user wants to see.
//!
//! RFC 3501 6.3.8 and 6.3.9, RFC 3348 (children), RFC 5258 (extended forms), RFC 5819 (with
//! STATUS), RFC 6154 (special uses), RFC 9590 (annotations). All names of an account are looked at
//! once, parents that do not exist included; which of them are answered is decided without waiting.
//! Looking into all of them is heavy work, done before anything is said (LIM-25).

use super::{
    acl,
    effort::{Budget, Exhausted, Permit},
    fault::{Cause, Stop, nonexistent},
    mailboxes, metadata,
    place::Place,
    select::Selected,
    session::{Account, Outcome},
    tree::Tree,
};
use crate::{
    imap::proto::{
        dialog::Imap,
        list::{Attribute, ListQuery, Pattern},
        metadata::MetadataQuery,
        response::Response,
        status::StatusItem,
    },
    mailbox::{EntryName, MailboxFault, Rights},
    net::{Gone, Halt, Turn},
};

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

/// RFC 3501 6.3.8: an empty name asks for the delimiter and the root.
fn asks_for_delimiter(patterns: &[String]) -> bool {
    matches!(patterns, [only] if only.is_empty())
}
