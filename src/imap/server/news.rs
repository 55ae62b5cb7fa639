//! When what changed in the selected mailbox is told, and how much of it: as every client hears it,
//! or as NOTIFY asked for (RFC 5465 5.1 to 5.3, 6.1).
//!
//! `updates` tells what changed, `contexts` what it does to searches and what is wanted of new
//! messages.

use super::{
    contexts::{self, Arrivals},
    fault::Stop,
    select::{Selected, Uids},
    session::{Account, Outcome},
    updates::{self, News},
};
use crate::{
    imap::proto::{dialog::Imap, notify::SelectedEvents, response::Code, verbs::Numbers},
    net::Turn,
};

/// The moment at which something is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moment<'o> {
    /// Before the completion of a command, with what it did.
    Completion(Numbers, Uids, Option<&'o Outcome>),
    /// In IDLE.
    Parked,
    /// While no command is under way.
    Between,
}

/// Tells what changed; as much of it as `wanted`, when the client has said.
pub(super) async fn tell(
    account: Account<'_>,
    selected: &mut Selected,
    wanted: Option<&SelectedEvents>,
    moment: Moment<'_>,
    turn: &mut Turn<'_, Imap>,
) -> Result<News, Stop> {
    let (mut numbers, uids, own) = match moment {
        Moment::Completion(numbers, uids, outcome) => (numbers, uids, own(selected, outcome)),
        Moment::Parked | Moment::Between => (Numbers::Untouched, Uids::Silent, &[][..]),
    };
    selected.heed(wanted);
    if let (Some(wanted), Moment::Between) = (wanted, moment)
        && wanted.delayed
    {
        // RFC 5465 6.1.2: EXPUNGE waits for a command that allows it.
        numbers = Numbers::Used;
    }
    let news = updates::tell(selected, numbers, uids, turn).await?;
    if news == News::Told {
        // A command may have told that they came.
        let (shown, offered) = (selected.view.uids(), selected.offered);
        let last = shown.last().copied().unwrap_or(0);
        let new = shown.partition_point(|uid| *uid <= offered);
        let new = shown.get(new..).unwrap_or_default().iter().copied();
        let arrivals = Arrivals {
            // RFC 5465 5.2
            uids: new.filter(|uid| own.binary_search(uid).is_err()).collect(),
            items: wanted.map_or(&[], |wanted| &wanted.items),
        };
        contexts::tell(account, selected, &arrivals, turn).await?;
        selected.offered = offered.max(last);
    }
    Ok(news)
}

/// The messages that a command has put into the selected mailbox itself.
fn own<'o>(selected: &Selected, outcome: Option<&'o Outcome>) -> &'o [u32] {
    let (validity, uids) = match outcome {
        Some(Ok(Some(Code::AppendUid { uid_validity, uids }))) => (*uid_validity, uids),
        Some(Ok(Some(Code::CopyUid {
            uid_validity, to, ..
        }))) => (*uid_validity, to),
        _ => return &[],
    };
    match validity == selected.mailbox.uid_validity() {
        true => uids,
        false => &[],
    }
}
