//! FETCH and UID FETCH.
//!
//! RFC 3501 6.4.5, 7.4.2, RFC 2180 4.1. What the index knows is written straight from it, many
//! messages under one look; what the stored facts know is read in runs of neighbours; message bytes
//! are read only when they are sent (`fetch_body`). No message is parsed again, but for the header
//! of one whose envelope is too long to be stored. `\Seen` is set once for the whole command,
//! before anything is said. No lock is held while the client reads.

use std::{borrow::Cow, io, sync::atomic::AtomicU64};

use super::{
    fault::{Refusal, Stop, deleted, refusal_of, stop},
    fetch_binary::{self, NotDecoded},
    fetch_body::{self, Opened, Source, Wanted},
    flags,
    limits::RUN_MESSAGES,
    lookup::{self, Cursor},
    message_limit, preview, resync,
    select::{Selected, Shown, Uids, Which, uids_of},
    session::{Account, Outcome},
    updates::{self, CHUNK_MESSAGES, News},
};
use crate::{
    base::ids::{EmailId, Uid},
    imap::proto::{
        date::write_date_time,
        dialog::Imap,
        enabled::Enabled,
        encode::Items,
        fetch::{FetchItem, FetchModifiers},
        object_id::ObjectId,
        response::Code,
        verbs::Numbers,
    },
    mail::{facts::Facts, imap_text::write_string},
    mailbox::{Email, EntryRef, FlagChange, FlagMode, Index, SystemFlags},
    net::Turn,
};

/// What a FETCH asks for.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) items: Vec<FetchItem>,
    pub(super) modifiers: FetchModifiers,
}

/// What is asked for, sorted by where it comes from.
#[derive(Debug, Default)]
pub(super) struct Plan {
    enabled: Enabled,
    uid: bool,
    flags: bool,
    internal_date: bool,
    size: bool,
    modseq: bool,
    /// Where fetching sets `\Seen`, its MODSEQ is told (RFC 7162 3.2.4).
    modseq_of_seen: bool,
    save_date: bool,
    email_id: bool,
    thread_id: bool,
    preview: bool,
    envelope: bool,
    structure: bool,
    basic_structure: bool,
    /// Bytes of the message.
    wanted: Vec<Wanted>,
    sets_seen: bool,
}

/// What of a message is made when it is fetched.
struct Made<'a> {
    envelope: Cow<'a, [u8]>,
    preview: String,
}

/// How many messages were not answered, and why.
#[derive(Debug, Default)]
struct Missing {
    gone: usize,
    damaged: usize,
    unreadable: usize,
    /// RFC 3516 4.3: a part that was asked for cannot be decoded.
    not_decoded: Option<NotDecoded>,
}

/// FETCH and UID FETCH.
pub(super) async fn fetch(
    account: Account<'_>,
    selected: &mut Selected,
    which: &Which,
    wish: &Wish,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    let mut plan = Plan::new(&wish.items, which.uids, turn.dialogue().enabled());
    plan.modseq |= wish.modifiers.changed_since.is_some();
    if plan.modseq {
        resync::enable(Enabled::CONDSTORE, Some(selected), turn).await?;
    }
    plan.modseq_of_seen = turn.dialogue().enabled().contains(Enabled::CONDSTORE);
    let mut shown = match chosen(selected, which, wish.modifiers, turn).await? {
        Ok(shown) => shown,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let cut = which.limit.cut(&mut shown, |message| message.uid);
    let newly_seen = match see(selected, &plan, &shown, which.uids, turn).await? {
        Ok(uids) => uids,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if cut.is_some() {
        // RFC 9738 3.1: from highest to lowest UID.
        shown.reverse();
    }
    let answer = Answer {
        account,
        selected,
        plan: &plan,
        newly_seen: &newly_seen,
        sized: AtomicU64::new(0),
    };
    let missing = if plan.needs_email() {
        answer.with_the_store(&shown, turn).await?
    } else {
        answer.with_the_index(&shown, turn).await?
    };
    let outcome = missing.outcome(which.uids);
    Ok(message_limit::conclude(cut, outcome, turn).await?)
}

/// The messages that are answered; of those that are gone is told on the way (RFC 7162 3.2.6).
async fn chosen(
    selected: &mut Selected,
    which: &Which,
    modifiers: FetchModifiers,
    turn: &mut Turn<'_, Imap>,
) -> Result<Result<Vec<Shown>, Refusal>, Stop> {
    if modifiers.vanished {
        // What the client still counts is told before what it cannot know.
        let news = updates::tell(selected, Numbers::Untouched, which.uids, turn).await?;
        if news == News::MailboxDeleted {
            return Ok(Err(deleted()));
        }
    }
    let mut shown = match selected.shown(which) {
        Ok(shown) => shown,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(range) = modifiers.partial {
        // RFC 9394 3.3: first, and of these what changed.
        let places = range.among(shown.len());
        if let Err(refusal) = which.limit.allows(places.len()) {
            // RFC 9738 3.1
            return Ok(Err(refusal));
        }
        shown.truncate(places.end);
        shown.drain(..places.start);
    }
    if let Some(since) = modifiers.changed_since {
        if modifiers.vanished {
            let last = selected.mailbox.read(Index::uid_next) - 1;
            let among = selected.set(&which.set).ranges(last);
            resync::tell_gone(selected, since, &among, turn).await?;
        }
        selected.mailbox.read(|index| {
            let mut cursor = Cursor::default();
            shown.retain(|message| {
                let entry = cursor.seek(index, message.uid);
                entry.is_some_and(|entry| entry.modseq > since)
            });
        });
    }
    Ok(Ok(shown))
}

impl Plan {
    fn new(items: &[FetchItem], uids: Uids, enabled: Enabled) -> Self {
        // RFC 3501 6.4.8: UID FETCH always says the UID; UIDFETCH has it (RFC 9586).
        let mut plan = Self {
            uid: uids == Uids::Said && !enabled.contains(Enabled::UIDONLY),
            enabled,
            ..Self::default()
        };
        for item in items {
            match item {
                FetchItem::Uid => plan.uid = true,
                FetchItem::Flags => plan.flags = true,
                FetchItem::ModSeq => plan.modseq = true,
                FetchItem::InternalDate => plan.internal_date = true,
                FetchItem::Rfc822Size => plan.size = true,
                FetchItem::SaveDate => plan.save_date = true,
                FetchItem::EmailId => plan.email_id = true,
                FetchItem::ThreadId => plan.thread_id = true,
                FetchItem::Preview => plan.preview = true,
                FetchItem::Envelope => plan.envelope = true,
                FetchItem::BodyStructure => plan.structure = true,
                FetchItem::Body => plan.basic_structure = true,
                bytes => plan.wanted.extend(Wanted::new(bytes)),
            }
            plan.sets_seen |= item.sets_seen();
        }
        plan
    }

    fn needs_email(&self) -> bool {
        self.says_of_email() || !self.wanted.is_empty()
    }

    fn says_of_index(&self) -> bool {
        let told = self.uid || self.internal_date || self.size || self.modseq;
        told || self.save_date
    }

    fn says_of_email(&self) -> bool {
        let facts = self.envelope || self.structure || self.basic_structure;
        facts || self.email_id || self.thread_id || self.preview
    }

    /// Writes what the stored facts know, and what was made of the message.
    fn write_email(&self, items: &mut Items<'_>, source: Source<'_>, made: &Made<'_>) {
        let Source { email, facts, .. } = source;
        if self.email_id {
            // RFC 8474 5.3
            let id = ObjectId::email(email.blob);
            let out = items.item().bytes(b"EMAILID (");
            out.text(id.as_str()).bytes(b")");
        }
        if self.thread_id {
            let first = facts.as_head().first_of_thread();
            let id = ObjectId::thread(first.as_deref(), email.blob);
            let out = items.item().bytes(b"THREADID (");
            out.text(id.as_str()).bytes(b")");
        }
        if self.preview {
            let mut text = Vec::new();
            write_string(&mut text, made.preview.as_bytes());
            items.item().bytes(b"PREVIEW ").bytes(&text);
        }
        let envelope = &made.envelope;
        if self.envelope {
            items.item().bytes(b"ENVELOPE ").bytes(envelope);
        }
        if self.structure {
            items
                .item()
                .bytes(b"BODYSTRUCTURE ")
                .bytes(&facts.structure);
        }
        if self.basic_structure {
            items.item().bytes(b"BODY ").bytes(&facts.basic_structure());
        }
    }
}

/// Sets `\Seen` where the items ask for it (RFC 3501 6.4.5); answers on which messages that was
/// news.
async fn see(
    selected: &mut Selected,
    plan: &Plan,
    shown: &[Shown],
    uids: Uids,
    turn: &mut Turn<'_, Imap>,
) -> Result<Result<Vec<Uid>, Refusal>, Stop> {
    // RFC 4314 4: without the right to set it, it is not set.
    if !plan.sets_seen || !selected.may_see() {
        return Ok(Ok(Vec::new()));
    }
    let mut unseen = uids_of(shown);
    selected.mailbox.read(|index| {
        lookup::keep(index, &mut unseen, |entry| {
            !entry.system.contains(SystemFlags::SEEN)
        });
    });
    if unseen.is_empty() {
        return Ok(Ok(unseen));
    }
    let change = FlagChange {
        mode: FlagMode::Add,
        flags: SystemFlags::SEEN.into(),
    };
    match selected.mailbox.store_flags(&unseen, &change).await {
        Ok(stored) => {
            // The answers say the new flags of these messages, so no further word is needed.
            updates::tell_known(selected, Numbers::Used, uids, Some(&stored), turn).await?;
            Ok(Ok(unseen))
        }
        Err(error) => Ok(Err(refusal_of(error)?)),
    }
}

/// One FETCH being answered.
struct Answer<'a> {
    account: Account<'a>,
    selected: &'a Selected,
    plan: &'a Plan,
    newly_seen: &'a [Uid],
    /// Bytes read only to know sizes.
    sized: AtomicU64,
}

impl Answer<'_> {
    /// Answers from the index alone.
    async fn with_the_index(
        &self,
        shown: &[Shown],
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Missing, Stop> {
        let mut missing = Missing::default();
        for chunk in shown.chunks(CHUNK_MESSAGES) {
            let out = turn.output();
            missing.gone += self.selected.mailbox.read(|index| {
                let mut cursor = Cursor::default();
                let told = chunk.iter().filter(|&&message| {
                    let Some(entry) = cursor.seek(index, message.uid) else {
                        return false;
                    };
                    let mut items = Items::begin(out, message.name(self.plan.enabled));
                    self.write_entry(&mut items, &entry);
                    items.end();
                    true
                });
                chunk.len() - told.count()
            });
            turn.make_room().await?;
        }
        Ok(missing)
    }

    /// Answers with the help of the store.
    async fn with_the_store(
        &self,
        shown: &[Shown],
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Missing, Stop> {
        let mut missing = Missing::default();
        for chunk in shown.chunks(RUN_MESSAGES) {
            let rows = self.selected.mailbox.read(|index| emails_of(index, chunk));
            missing.gone += chunk.len() - rows.len();
            let ids: Vec<EmailId> = rows.iter().map(|(_, id)| *id).collect();
            let mailboxes = self.account.mailboxes();
            let emails = mailboxes.emails(self.selected.mailbox.account(), &ids);
            let emails = turn.unless_gone(emails).await?.map_err(stop)?;
            for ((message, _), email) in rows.iter().zip(emails) {
                let message = *message;
                let answered = self.message(message, email.as_ref(), &mut missing, turn);
                if !answered.await? {
                    self.tell_seen(&[message], turn).await?;
                }
                if let Some(NotDecoded::TooMuch) = missing.not_decoded {
                    // LIM-25: nothing more is read.
                    let mut rest = shown.iter();
                    rest.find(|other| other.uid == message.uid);
                    self.tell_seen(rest.as_slice(), turn).await?;
                    return Ok(missing);
                }
            }
        }
        Ok(missing)
    }

    /// Tells the flags of those among messages that are not answered which `\Seen` was set of: the
    /// client hears of them from nobody else (RFC 3501 6.4.5).
    async fn tell_seen(&self, shown: &[Shown], turn: &mut Turn<'_, Imap>) -> Result<(), Stop> {
        let seen = shown.iter().copied();
        let seen: Vec<_> = seen
            .filter(|message| self.is_newly_seen(message.uid))
            .collect();
        self.with_the_index(&seen, turn).await?;
        Ok(())
    }

    /// Answers one message with the help of the store; false when that cannot be.
    async fn message(
        &self,
        message: Shown,
        email: Option<&Email>,
        missing: &mut Missing,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<bool, Stop> {
        let facts = email.and_then(|email| Some((email, Facts::decode(&email.facts).ok()?)));
        let Some((email, facts)) = facts else {
            self.count_damaged(message, missing).await?;
            return Ok(false);
        };
        let source = Source {
            mailboxes: self.account.mailboxes(),
            email,
            facts: &facts,
            sized: &self.sized,
        };
        // Opened before the response begins, so that what cannot be read leaves no half of one.
        let (made, bodies) = match turn.unless_gone(self.open(source)).await? {
            Ok(opened) => opened,
            Err(error) if fetch_binary::reason(&error).is_some() => {
                missing.not_decoded = fetch_binary::reason(&error);
                return Ok(false);
            }
            Err(error) if fetch_body::is_damage(&error) => {
                self.count_damaged(message, missing).await?;
                return Ok(false);
            }
            Err(error) => {
                tracing::error!(email.id = email.id.0, %error, "an email cannot be read");
                missing.unreadable += 1;
                return Ok(false);
            }
        };
        let out = turn.output();
        let is_there = self.selected.mailbox.read(|index| {
            let Some(entry) = lookup::find(index, message.uid) else {
                return false;
            };
            let mut items = Items::begin(out, message.name(self.plan.enabled));
            self.write_entry(&mut items, &entry);
            self.plan.write_email(&mut items, source, &made);
            true
        });
        if !is_there {
            missing.gone += 1;
            return Ok(false);
        }
        let mut separator = self.separator(message.uid);
        for body in bodies {
            turn.output().bytes(separator);
            separator = b" ";
            body.send(source, turn).await?;
        }
        turn.output().bytes(b")\r\n");
        turn.make_room().await?;
        Ok(true)
    }

    /// What of a message must be read: its envelope, where the stored one does not show all of it,
    /// its preview, and the sections.
    async fn open<'s>(&self, source: Source<'s>) -> io::Result<(Made<'s>, Vec<Opened<'_>>)> {
        let facts = source.facts;
        let preview = match self.plan.preview {
            true => preview::of(source).await?,
            false => String::new(),
        };
        let envelope = match self.plan.envelope && facts.envelope_is_cut {
            true => Cow::Owned(fetch_body::whole_envelope(source).await?),
            false => Cow::Borrowed(&*facts.envelope),
        };
        let bodies = fetch_body::open(source, &self.plan.wanted).await?;
        Ok((Made { envelope, preview }, bodies))
    }

    /// What cannot be read is damaged, unless it was expunged and swept while the client read
    /// what came before.
    async fn count_damaged(&self, message: Shown, missing: &mut Missing) -> Result<(), Stop> {
        let is_there = |index: &Index| lookup::find(index, message.uid).is_some();
        let is_damaged =
            self.selected.refresh().await?.is_ok() && self.selected.mailbox.read(is_there);
        match is_damaged {
            true => missing.damaged += 1,
            false => missing.gone += 1,
        }
        Ok(())
    }

    /// Writes what the index knows.
    fn write_entry(&self, items: &mut Items<'_>, entry: &EntryRef<'_>) {
        let uid = entry.uid.number();
        if self.plan.uid || self.tells_change(uid) {
            items.item().bytes(b"UID ").number(u64::from(uid));
        }
        if self.plan.modseq || self.tells_change(uid) {
            flags::write_modseq(items.item(), entry);
        }
        if self.tells_flags(uid) {
            flags::write(items.item(), entry, self.selected.view.is_recent(uid));
        }
        if self.plan.internal_date {
            write_date_time(items.item().bytes(b"INTERNALDATE "), entry.internal_date);
        }
        if self.plan.size {
            items.item().bytes(b"RFC822.SIZE ").number(entry.size);
        }
        if self.plan.save_date {
            // RFC 8514 4.2
            write_date_time(items.item().bytes(b"SAVEDATE "), entry.saved);
        }
    }

    /// What stands between the items of index and facts, if there are any, and the bodies.
    fn separator(&self, uid: u32) -> &'static [u8] {
        let plan = self.plan;
        let before = plan.says_of_index() || plan.says_of_email() || self.tells_flags(uid);
        if before { b" " } else { b"" }
    }

    /// RFC 3501 6.4.5: flags that fetching changed are said.
    fn tells_flags(&self, uid: u32) -> bool {
        self.plan.flags || self.is_newly_seen(uid)
    }

    /// RFC 7162 3.2.4: then with UID and MODSEQ.
    fn tells_change(&self, uid: u32) -> bool {
        self.plan.modseq_of_seen && self.is_newly_seen(uid)
    }

    fn is_newly_seen(&self, uid: u32) -> bool {
        let newly_seen = || {
            self.newly_seen
                .binary_search_by_key(&uid, |seen| seen.number())
        };
        !self.newly_seen.is_empty() && newly_seen().is_ok()
    }
}

impl Missing {
    fn outcome(&self, uids: Uids) -> Outcome {
        if self.damaged > 0 {
            return Err(Refusal::no(
                Code::Corruption,
                "some messages could not be read",
            ));
        }
        if self.unreadable > 0 {
            return Err(Refusal::no(
                Code::Unavailable,
                "some messages could not be read now",
            ));
        }
        match self.not_decoded {
            Some(NotDecoded::UnknownEncoding) => {
                // RFC 3516 4.3
                let text = "the transfer encoding of some parts is not known";
                return Err(Refusal::no(Code::UnknownCte, text));
            }
            Some(NotDecoded::TooMuch) => {
                let text = "too much to read for the sizes of all parts; ask for fewer";
                return Err(Refusal::no(Code::Limit, text));
            }
            None => {}
        }
        // RFC 2180 4.1.2; RFC 3501 6.4.8: UIDs that are not there are no error.
        if self.gone > 0 && uids == Uids::Silent {
            return Err(Refusal::no(
                Code::ExpungeIssued,
                "some of the messages are gone",
            ));
        }
        Ok(None)
    }
}

/// The emails of those messages that are still there.
fn emails_of(index: &Index, chunk: &[Shown]) -> Vec<(Shown, EmailId)> {
    let mut cursor = Cursor::default();
    let rows = chunk
        .iter()
        .filter_map(|message| Some((*message, cursor.seek(index, message.uid)?.email)));
    rows.collect()
}
