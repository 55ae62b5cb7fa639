//! EXPUNGE, UID EXPUNGE and the end of CLOSE: what is marked `\Deleted` goes for good.
//!
//! RFC 3501 6.4.2 and 6.4.3, RFC 4315 2.1. The EXPUNGE responses are told where all changes are
//! told, before the completion.

use super::{
    fault::{Stop, refusal_of, stop},
    select::{Selected, Uids, Which, uids_of},
    session::Outcome,
};
use crate::{
    base::ids::Uid,
    imap::proto::sequence::SequenceSet,
    mailbox::{Index, SystemFlags},
};

/// EXPUNGE; with `set` UID EXPUNGE, only of these UIDs.
pub(super) async fn expunge(
    selected: &Selected,
    set: Option<&SequenceSet>,
) -> Result<Outcome, Stop> {
    selected.mailbox.refresh().await.map_err(stop)?;
    let deleted = match set {
        None => selected.mailbox.read(deleted),
        Some(set) => {
            let which = Which {
                uids: Uids::Said,
                set: set.clone(),
            };
            match selected.shown(&which) {
                Ok(shown) => {
                    let uids = uids_of(&shown);
                    selected.mailbox.read(|index| keep_deleted(index, uids))
                }
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
    };
    remove(selected, &deleted).await
}

/// CLOSE: an expunge, unless the mailbox may only be read (RFC 3501 6.4.2).
pub(super) async fn close(selected: &Selected) -> Result<Outcome, Stop> {
    if selected.is_read_only() {
        return Ok(Ok(None));
    }
    expunge(selected, None).await
}

async fn remove(selected: &Selected, uids: &[Uid]) -> Result<Outcome, Stop> {
    if uids.is_empty() {
        return Ok(Ok(None));
    }
    Ok(match selected.mailbox.expunge(uids).await {
        Ok(_gone) => Ok(None),
        Err(error) => Err(refusal_of(error)?),
    })
}

/// RFC 3501 6.4.3: all messages with `\Deleted`, also those that the client was not told of yet.
fn deleted(index: &Index) -> Vec<Uid> {
    keep_deleted(
        index,
        index
            .uids()
            .iter()
            .filter_map(|uid| Uid::new(*uid))
            .collect(),
    )
}

fn keep_deleted(index: &Index, mut uids: Vec<Uid>) -> Vec<Uid> {
    uids.retain(|uid| {
        let entry = index
            .position(*uid)
            .and_then(|position| index.entry(position));
        entry.is_some_and(|entry| entry.system.contains(SystemFlags::DELETED))
    });
    uids
}
