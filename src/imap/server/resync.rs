//! CONDSTORE and QRESYNC in a session: switching them on, and telling a client that comes back
//! what it missed (RFC 7162).
//!
//! What every client is told is told in `updates`, with MODSEQ and VANISHED where they are enabled.

use super::{
    fault::{Stop, stop},
    select::{Selected, Shown},
    updates::{self, Telling},
};
use crate::{
    base::ids::ModSeq,
    imap::proto::{
        dialog::Imap,
        enabled::Enabled,
        response::{Code, Response},
        resync::Qresync,
    },
    mailbox::Index,
    net::{Gone, Turn},
};

/// Switches on `more`. The first that brings MODSEQ is answered with the mailbox's (RFC 7162 3.1).
pub(super) async fn enable(
    more: Enabled,
    selected: Option<&Selected>,
    turn: &mut Turn<'_, Imap>,
) -> Result<(), Gone> {
    let before = turn.dialogue().enabled();
    turn.dialogue().enable(more);
    note_condstore(before, selected, turn).await
}

/// Tells where the selected mailbox stands when CONDSTORE was not among what was enabled `before`,
/// and is now.
pub(super) async fn note_condstore(
    before: Enabled,
    selected: Option<&Selected>,
    turn: &mut Turn<'_, Imap>,
) -> Result<(), Gone> {
    let now = turn.dialogue().enabled();
    let is_new = !before.contains(Enabled::CONDSTORE) && now.contains(Enabled::CONDSTORE);
    match selected.filter(|_| is_new) {
        Some(selected) => turn.reply(&highest(selected.resumable())).await,
        None => Ok(()),
    }
}

/// `* OK [HIGHESTMODSEQ n]`
pub(super) fn highest(modseq: ModSeq) -> Response {
    Response::note(Code::HighestModSeq(modseq), "changes are known up to here")
}

/// RFC 7162 3.2.5: what happened since the client was here last, in a mailbox just selected.
pub(super) async fn catch_up(
    selected: &Selected,
    known: &Qresync,
    turn: &mut Turn<'_, Imap>,
) -> Result<(), Stop> {
    if known.uid_validity != selected.mailbox.uid_validity() {
        return Ok(());
    }
    let uids = selected.view.uids();
    let among = match &known.known {
        Some(set) => set.ranges(u32::MAX),
        None => vec![(1, u32::MAX)],
    };
    // RFC 7162 3.2.5.2: up to a message that still has its number, nothing is missing.
    let matches = known.matches.iter().rev();
    let matching = matches.copied().find(|(number, uid)| {
        let position = usize::try_from(*number).unwrap_or(usize::MAX) - 1;
        uids.get(position) == Some(uid)
    });
    let unknown = match matching {
        Some((_, uid)) => above(&among, uid),
        None => among.clone(),
    };
    tell_gone(selected, known.modseq, &unknown, turn).await?;
    let shown = changed_among(selected, known.modseq, &among);
    updates::tell_flags(selected, &shown, Telling::RESYNC, turn).await?;
    Ok(())
}

/// `VANISHED (EARLIER)`: what of these ranges is gone since, and not shown any more.
pub(super) async fn tell_gone(
    selected: &Selected,
    since: ModSeq,
    among: &[(u32, u32)],
    turn: &mut Turn<'_, Imap>,
) -> Result<(), Stop> {
    let (mailbox, shown) = (&selected.mailbox, selected.view.uids());
    let gone = turn
        .unless_gone(mailbox.gone_since(since, among, shown))
        .await?;
    updates::tell_vanished(&gone.map_err(stop)?, true, turn).await?;
    Ok(())
}

/// The messages of these ranges that changed since.
fn changed_among(selected: &Selected, since: ModSeq, among: &[(u32, u32)]) -> Vec<Shown> {
    let uids = selected.view.uids();
    let mut changed = Vec::new();
    selected.mailbox.read(|index: &Index| {
        for &(first, last) in among {
            for position in index.positions(first, last) {
                let entry = index.entry(position).filter(|entry| entry.modseq > since);
                changed.extend(entry.map(|entry| entry.uid.number()));
            }
        }
    });
    // In a mailbox just selected both are the same, but for what came since.
    let shown = changed.into_iter().filter_map(|uid| {
        let position = uids.binary_search(&uid).ok()?;
        Some(Shown::at(position, uid))
    });
    shown.collect()
}

/// What of ascending ranges lies above `uid`.
fn above(ranges: &[(u32, u32)], uid: u32) -> Vec<(u32, u32)> {
    let rest = ranges.iter().filter(|(_, last)| *last > uid);
    rest.map(|&(first, last)| (first.max(uid + 1), last))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_cut_off() {
        let ranges = [(1, 4), (6, 6), (8, u32::MAX)];
        assert_eq!(above(&ranges, 1), [(2, 4), (6, 6), (8, u32::MAX)]);
        assert_eq!(above(&ranges, 6), [(8, u32::MAX)]);
        assert!(above(&ranges, u32::MAX).is_empty());
    }
}
