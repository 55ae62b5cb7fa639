//! Telling what changed: EXPUNGE, EXISTS, RECENT, FLAGS and FETCH responses that nobody asked for.
//!
//! The one place. It runs before the completion of each command of a session with a mailbox, and in
//! IDLE. RFC 3501 5.2, 7.3, 7.4.1: numbers never change while a command uses them, so EXPUNGE waits
//! until a command does not; new messages and new flags are always told. Long answers are written
//! in chunks, no lock is held while a client reads.

use super::{
    contexts,
    fault::Stop,
    flags,
    lookup::Cursor,
    resync,
    select::{Access, Selected, Shown, Uids},
    session::Outcome,
};
use crate::{
    base::ids::ModSeq,
    imap::proto::{
        dialog::Imap,
        enabled::Enabled,
        encode::Items,
        response::{Code, Response},
        verbs::Numbers,
    },
    mailbox::{Changes, Index, Stored},
    net::{Gone, Turn},
};

/// How telling went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The client knows what may be known.
    Told,
    /// Another session deleted the mailbox.
    MailboxDeleted,
}

/// What a FETCH response that nobody asked for says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Telling {
    /// The UID.
    uid: bool,
    /// The flags; else only the MODSEQ, where that is enabled.
    flags: bool,
}

impl Telling {
    /// To a client that comes back (RFC 7162 3.2.5.1).
    pub(super) const RESYNC: Self = Self {
        uid: true,
        flags: true,
    };

    /// What is news.
    pub(super) fn news(uids: Uids) -> Self {
        Self {
            uid: uids == Uids::Said,
            flags: true,
        }
    }

    /// What a client that changed flags silently does not know (RFC 7162 3.1.3).
    pub(super) fn only_modseq(uids: Uids) -> Self {
        Self {
            flags: false,
            ..Self::news(uids)
        }
    }
}

/// Tells everything that a command which treats message numbers like `numbers` allows to be told.
pub(super) async fn tell(
    selected: &mut Selected,
    numbers: Numbers,
    uids: Uids,
    turn: &mut Turn<'_, Imap>,
) -> Result<News, Stop> {
    if selected.refresh().await?.is_err() {
        return Ok(News::MailboxDeleted);
    }
    tell_known(selected, numbers, uids, None, turn).await?;
    Ok(News::Told)
}

/// As [`tell`], of what the index holds by now, without what this session has just done itself.
pub(super) async fn tell_known(
    selected: &mut Selected,
    numbers: Numbers,
    uids: Uids,
    own: Option<&Stored>,
    turn: &mut Turn<'_, Imap>,
) -> Result<(), Gone> {
    if selected.muted && numbers != Numbers::Changed {
        return Ok(());
    }
    let rev2 = turn.dialogue().enabled().contains(Enabled::IMAP4REV2);
    if rev2 {
        selected.view.forget_recent();
        selected.recent_told = 0;
    }
    let (flagged, has_grown) = learn(selected, own, rev2);
    // RFC 5267 4.3.4: while their numbers are still theirs.
    contexts::tell_gone(selected, turn).await?;
    if numbers != Numbers::Used {
        tell_expunged(selected, turn).await?;
    }
    // RFC 3501 7.4.1: the client counts expunged messages itself.
    let (count, recent) = (selected.view.count(), selected.view.recent());
    if count != selected.count_told {
        turn.reply(&Response::Exists(count)).await?;
        selected.count_told = count;
    }
    if recent != selected.recent_told {
        turn.reply(&Response::Recent(recent)).await?;
        selected.recent_told = recent;
    }
    if flagged.is_empty() && !has_grown && !selected.flags_due {
        return Ok(());
    }
    // New messages may bring keywords, too.
    tell_keywords(selected, turn).await?;
    let shown: Vec<Shown> = flagged
        .iter()
        .filter_map(|uid| selected.find(*uid))
        .collect();
    let uids = match selected.names_uids {
        true => Uids::Said,
        false => uids,
    };
    tell_flags(selected, &shown, Telling::news(uids), turn).await
}

/// Tells what is gone, and lets it go from the view.
async fn tell_expunged(selected: &mut Selected, turn: &mut Turn<'_, Imap>) -> Result<(), Gone> {
    if !selected.view.has_gone() {
        return Ok(());
    }
    let enabled = turn.dialogue().enabled();
    if enabled.contains(Enabled::QRESYNC) || enabled.contains(Enabled::UIDONLY) {
        // RFC 7162 3.2.10, RFC 9586
        let before = selected.view.count();
        let gone = selected.view.vanish();
        selected.owes_modseq = true;
        let fewer = before.saturating_sub(selected.view.count());
        selected.count_told = selected.count_told.saturating_sub(fewer);
        return tell_vanished(&gone, false, turn).await;
    }
    for number in selected.view.expunge() {
        turn.reply(&Response::Expunge(number)).await?;
        selected.count_told = selected.count_told.saturating_sub(1);
    }
    Ok(())
}

/// VANISHED responses of a length that every client can read.
pub(super) async fn tell_vanished(
    gone: &[(u32, u32)],
    earlier: bool,
    turn: &mut Turn<'_, Imap>,
) -> Result<(), Gone> {
    for part in gone.chunks(VANISHED_RANGES) {
        let uids = part.to_vec();
        turn.reply(&Response::Vanished { earlier, uids }).await?;
    }
    Ok(())
}

/// Tells a client that resynchronises from where it will have to, before a completion: after
/// VANISHED, and while one is held back (RFC 7162 3.2, 3.2.7). The completion carries it if it can.
pub(super) async fn settle_modseq(
    selected: &mut Selected,
    outcome: Outcome,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Gone> {
    let enabled = turn.dialogue().enabled().contains(Enabled::QRESYNC);
    let owes = std::mem::take(&mut selected.owes_modseq) || selected.view.has_gone();
    if !enabled || !owes {
        return Ok(outcome);
    }
    let modseq = selected.resumable();
    if let Ok(None) = outcome {
        return Ok(Ok(Some(Code::HighestModSeq(modseq))));
    }
    turn.reply(&resync::highest(modseq)).await?;
    Ok(outcome)
}

/// Takes over what changed; answers whose flags the client must be told, and whether there are new
/// messages.
fn learn(selected: &mut Selected, own: Option<&Stored>, rev2: bool) -> (Vec<u32>, bool) {
    let (mailbox, view) = (&selected.mailbox, &selected.view);
    let since = match selected.flags_hushed {
        true => view.modseq(),
        false => selected
            .hushed_since
            .take()
            .unwrap_or_else(|| view.modseq()),
    };
    // Under one look: what is claimed as recent is what the client is told of.
    let (changes, recent_from) = mailbox.read(|index| {
        let mut changes = index.changes(since, view.uids());
        if let Some(own) = own {
            leave_out(&mut changes.flagged, own, view.modseq(), index);
        }
        let recent_from = match rev2 || changes.appended.is_empty() {
            true => u32::MAX,
            false => mailbox.claim_recent(index, selected.access() == Access::Full),
        };
        (changes, recent_from)
    });
    let Changes {
        expunged,
        appended,
        mut flagged,
        modseq,
    } = changes;
    if selected.flags_hushed && !flagged.is_empty() {
        selected.hushed_since.get_or_insert(since);
        flagged.clear();
    }
    selected
        .view
        .learn(modseq, &expunged, &appended, recent_from);
    (flagged, !appended.is_empty())
}

/// Leaves out of `flagged` what is as the session's own change left it. When somebody changed flags
/// between `told` and that change, the client must be told of all (RFC 3501 6.4.6).
fn leave_out(flagged: &mut Vec<u32>, own: &Stored, told: ModSeq, index: &Index) {
    if own.preceded_by > told {
        return;
    }
    let (mut changed, mut cursor) = (own.changed.iter().peekable(), Cursor::default());
    flagged.retain(|uid| {
        while changed.next_if(|own| own.number() < *uid).is_some() {}
        let is_ours = changed.next_if(|own| own.number() == *uid).is_some();
        let entry = cursor.seek(index, *uid);
        !is_ours || entry.is_none_or(|entry| !own.modseqs.contains(&entry.modseq))
    });
}

/// FLAGS and PERMANENTFLAGS, when there are keywords that the client was not told of (RFC 3501
/// 7.2.6), or its rights have changed (RFC 4314 5.1.1).
pub(super) async fn tell_keywords(
    selected: &mut Selected,
    turn: &mut Turn<'_, Imap>,
) -> Result<(), Gone> {
    let keywords = selected.mailbox.read(Index::keywords);
    let known = &selected.keywords_told;
    let all_known = keywords.iter().all(|keyword| known.contains(keyword));
    if all_known && !selected.flags_due {
        return Ok(());
    }
    if !all_known {
        selected.keywords_told = keywords;
    }
    selected.flags_due = false;
    for response in selected.flags() {
        turn.reply(&response).await?;
    }
    Ok(())
}

/// FETCH responses with the flags of messages, of those that are still there.
pub(super) async fn tell_flags(
    selected: &Selected,
    shown: &[Shown],
    telling: Telling,
    turn: &mut Turn<'_, Imap>,
) -> Result<(), Gone> {
    // RFC 7162 3.2.4: both go together.
    let enabled = turn.dialogue().enabled();
    let modseq = enabled.contains(Enabled::CONDSTORE);
    // RFC 9051 E 21
    let uid = telling.uid || modseq || enabled.contains(Enabled::IMAP4REV2);
    let uid = uid && !enabled.contains(Enabled::UIDONLY);
    for chunk in shown.chunks(CHUNK_MESSAGES) {
        let out = turn.output();
        selected.mailbox.read(|index| {
            let mut cursor = Cursor::default();
            for message in chunk {
                let Some(entry) = cursor.seek(index, message.uid) else {
                    continue;
                };
                let mut items = Items::begin(out, message.name(enabled));
                if uid {
                    items.item().bytes(b"UID ").number(u64::from(message.uid));
                }
                if modseq {
                    flags::write_modseq(items.item(), &entry);
                }
                if telling.flags {
                    let recent = selected.view.is_recent(message.uid);
                    flags::write(items.item(), &entry, recent);
                }
                items.end();
            }
        });
        turn.make_room().await?;
    }
    Ok(())
}

/// The last words to a session whose mailbox is gone (RFC 2180 3.3): nothing it shows is true any
/// more.
pub(super) fn mailbox_deleted() -> Response {
    Response::bye(Some(Code::NonExistent), "the selected mailbox was deleted")
}

/// Ranges in one VANISHED response: some eight thousand octets (RFC 7162 4).
const VANISHED_RANGES: usize = 400;
/// Messages told of under one look at the index.
pub(super) const CHUNK_MESSAGES: usize = 500;
