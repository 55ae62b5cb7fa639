//! SELECT, EXAMINE, and the mailbox a session has selected.
//!
//! RFC 3501 6.3.1, 6.3.2, 7.3. A [`Selected`] is the right to use one mailbox and what the client
//! was told of it; it ends with the state that owns it. Numbers are the view's: what the shared
//! index holds beyond them the client does not know yet.

use super::{
    Services,
    contexts::Contexts,
    fault::{Refusal, Stop, deleted, refusal_of, stop},
    flags, mailboxes,
    message_limit::MessageLimit,
    place::{self, Place},
    resync,
    session::Account,
    spelling,
};
use crate::{
    base::ids::{AccountId, MailboxId, ModSeq, Uid},
    imap::{
        proto::{
            dialog::Imap,
            enabled::Enabled,
            encode::MessageName,
            notify::{Events, SelectedEvents},
            response::{Code, Response},
            sequence::{BeyondLast, MessageSet, SequenceSet},
        },
        view::View,
    },
    mailbox::{Keyword, Mailbox, MailboxFault, Rights, Watch},
    net::{Gone, Turn},
};

/// A selected mailbox.
pub(super) struct Selected {
    pub(super) mailbox: Mailbox,
    /// Where the name led that it was selected by.
    pub(super) place: Place,
    pub(super) view: View,
    /// What a search has saved: `$`, as UIDs (RFC 5182 2.1). Messages that are gone are in no view,
    /// so they are left out where it is used.
    pub(super) saved: SequenceSet,
    /// Searches that are kept current.
    pub(super) contexts: Contexts,
    /// What the client asked for.
    asked: Access,
    /// Its user may no longer read it.
    lost: bool,
    /// The flags that its user may change are others than those told.
    pub(super) flags_due: bool,
    /// What the last EXISTS, RECENT and FLAGS responses told.
    pub(super) count_told: u32,
    pub(super) recent_told: u32,
    pub(super) keywords_told: Vec<Keyword>,
    /// The UID up to which was told what is wanted of new messages (RFC 5465 5.2, 7).
    pub(super) offered: u32,
    /// Flags are told with UIDs (RFC 5465 5.1).
    pub(super) names_uids: bool,
    /// Nothing is told but what commands do to numbers themselves (RFC 5465 3.1).
    pub(super) muted: bool,
    /// Changes of flags are not told (RFC 5465 5.1).
    pub(super) flags_hushed: bool,
    /// Since when there are some that were not.
    pub(super) hushed_since: Option<ModSeq>,
    /// VANISHED was told, and not yet where that leaves the client (RFC 7162 3.2.7).
    pub(super) owes_modseq: bool,
}

/// What the session may do with the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// SELECT.
    Full,
    /// EXAMINE.
    Read,
}

/// Whether a command is about UIDs, and its answers say them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Uids {
    /// A UID command.
    Said,
    /// Message numbers only.
    Silent,
}

/// The messages a command is about.
#[derive(Debug)]
pub(super) struct Which {
    /// What the numbers of the set are.
    pub(super) uids: Uids,
    pub(super) set: MessageSet,
    /// How many of them it may be about (RFC 9738).
    pub(super) limit: MessageLimit,
}

impl Which {
    /// All messages of a set; of UIDs for a UID command.
    pub(super) fn new(uid: bool, set: MessageSet) -> Self {
        Self {
            uids: Uids::of(uid),
            set,
            limit: MessageLimit::NONE,
        }
    }

    /// Those that a command of this account may be about.
    pub(super) fn within(self, limit: MessageLimit) -> Self {
        Self { limit, ..self }
    }
}

/// A message of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Its message number.
    pub(super) number: u32,
    pub(super) uid: u32,
}

impl Shown {
    /// As the client knows it.
    pub(super) fn name(self, enabled: Enabled) -> MessageName {
        match enabled.contains(Enabled::UIDONLY) {
            true => MessageName::Uid(self.uid),
            false => MessageName::Number(self.number),
        }
    }
}

/// A mailbox just selected, with what is said of it only then.
pub(super) struct Opened {
    pub(super) selected: Selected,
    /// What LIST says of it, for a client of IMAP4rev2.
    line: Option<Response>,
    /// Position of the first message without `\Seen`.
    first_unseen: Option<usize>,
    uid_next: u32,
}

/// Opens the mailbox that a client calls `name`.
pub(super) async fn open(
    account: Account<'_>,
    name: &str,
    access: Access,
    enabled: Enabled,
) -> Result<Result<Opened, Refusal>, Stop> {
    let place = match place::find_with(account, name, Rights::READ).await? {
        Ok(place) => place,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let line = match enabled.contains(Enabled::IMAP4REV2) {
        true => Some(spelling::line_of(account, (&place.name, Some(place.clone())), name).await?),
        false => None,
    };
    let opened = account
        .mailboxes()
        .open_with(place.owner, place.entry.id, place.rights);
    let mailbox = match opened.await {
        Ok(mailbox) => mailbox,
        Err(error) => return Ok(Err(refusal_of(error)?)),
    };
    Ok(Ok(mailbox.read(|index| {
        let access = match mailbox.rights().change_messages() {
            true => access,
            false => Access::Read,
        };
        let recent_from = match line.is_some() {
            // RFC 9051 E 12: nothing is recent, and so is left for those who know of it.
            true => u32::MAX,
            false => mailbox.claim_recent(index, access == Access::Full),
        };
        let view = View::new(index.uids(), index.modseq(), recent_from);
        Opened {
            line,
            first_unseen: index.first_unseen(),
            uid_next: index.uid_next(),
            selected: Selected {
                mailbox: mailbox.clone(),
                place,
                contexts: Contexts::default(),
                saved: SequenceSet::of_ranges(Vec::new()),
                asked: access,
                lost: false,
                flags_due: false,
                count_told: view.count(),
                recent_told: view.recent(),
                keywords_told: index.keywords(),
                offered: view.uids().last().copied().unwrap_or(0),
                names_uids: false,
                muted: false,
                flags_hushed: false,
                hushed_since: None,
                owes_modseq: false,
                view,
            },
        }
    })))
}

/// What is said when a mailbox is left for another (RFC 9051 7.1, CLOSED).
pub(super) fn closed() -> Response {
    Response::note(Code::Closed, "the mailbox selected before is closed")
}

impl Opened {
    /// Tells the client what it has selected (RFC 3501 6.3.1: all of these are required).
    pub(super) async fn introduce(&self, turn: &mut Turn<'_, Imap>) -> Result<(), Gone> {
        let selected = &self.selected;
        for response in selected.flags() {
            turn.reply(&response).await?;
        }
        turn.reply(&Response::Exists(selected.view.count())).await?;
        match &self.line {
            // RFC 9051 6.3.2: no RECENT, no UNSEEN, and the name in LIST.
            Some(line) => turn.reply(line).await?,
            None => self.introduce_recent(turn).await?,
        }
        let code = Code::UidValidity(selected.mailbox.uid_validity());
        turn.reply(&Response::note(code, "UIDs are valid")).await?;
        let code = Code::UidNext(self.uid_next);
        turn.reply(&Response::note(code, "the next UID")).await?;
        // RFC 8474 4.2
        let code = Code::MailboxId(mailboxes::object_id(&selected.mailbox));
        turn.reply(&Response::note(code, "the mailbox")).await?;
        turn.reply(&resync::highest(selected.view.modseq())).await
    }

    /// What RFC 9051 has done away with.
    async fn introduce_recent(&self, turn: &mut Turn<'_, Imap>) -> Result<(), Gone> {
        turn.reply(&Response::Recent(self.selected.recent()))
            .await?;
        if turn.dialogue().enabled().contains(Enabled::UIDONLY) {
            // RFC 9586: UNSEEN has a message number.
            return Ok(());
        }
        if let Some(number) = self
            .first_unseen
            .and_then(|position| u32::try_from(position + 1).ok())
        {
            let code = Code::Unseen(number);
            turn.reply(&Response::note(code, "the first unseen message"))
                .await?;
        }
        Ok(())
    }
}

impl Selected {
    /// Which mailbox of all.
    pub(super) fn id(&self) -> (AccountId, MailboxId) {
        (self.mailbox.account(), self.mailbox.id())
    }

    /// Brings the index of the mailbox up to date; that somebody deleted the mailbox is no fault.
    pub(super) async fn refresh(&self) -> Result<Result<(), Refusal>, Stop> {
        if self.lost {
            return Ok(Err(deleted()));
        }
        match self.mailbox.refresh().await {
            Ok(()) => Ok(Ok(())),
            Err(MailboxFault::Deleted) => Ok(Err(deleted())),
            Err(fault) => Err(stop(fault)),
        }
    }

    /// Looks again at what the session may do with a mailbox of another account. One that it may no
    /// longer read is as good as deleted (RFC 4314 5.1.1).
    pub(super) async fn reconsider(&mut self, account: Account<'_>) -> Result<(), Stop> {
        let owner = self.mailbox.account();
        if owner == account.id() {
            return Ok(());
        }
        let before = self.mailbox.rights();
        let rights = self.mailbox.reconsider(account.id()).await.map_err(stop)?;
        let has_owner = account.services.people.person(owner).is_some();
        self.lost = !rights.contains(Rights::READ) || !has_owner;
        self.flags_due |= rights.flags() != before.flags();
        Ok(())
    }

    /// What the session may do: what it asked for, as far as its rights go (RFC 4314 5.2).
    pub(super) fn access(&self) -> Access {
        match self.mailbox.rights().change_messages() {
            true => self.asked,
            false => Access::Read,
        }
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.access() == Access::Read
    }

    /// Whether the session may set `\Seen`.
    pub(super) fn may_see(&self) -> bool {
        !self.is_read_only() && self.mailbox.rights().contains(Rights::SEEN)
    }

    /// How many messages are recent to this session.
    pub(super) fn recent(&self) -> u32 {
        self.view.recent()
    }

    /// The message with this UID, when the view shows it.
    pub(super) fn find(&self, uid: u32) -> Option<Shown> {
        self.view
            .position(uid)
            .map(|position| Shown::at(position, uid))
    }

    /// Whether some of these messages are gone.
    pub(super) fn misses_any(&self, uids: &[Uid]) -> bool {
        self.mailbox
            .read(|index| uids.iter().any(|uid| index.position(*uid).is_none()))
    }

    /// Tells from now on only what is `wanted`; everything when the client has not said.
    pub(super) fn heed(&mut self, wanted: Option<&SelectedEvents>) {
        let wants = |events| wanted.is_none_or(|wanted| wanted.events.contains(events));
        self.muted = wanted.is_some_and(|wanted| wanted.events == Events::NONE);
        self.flags_hushed = !wants(Events::FLAG_CHANGE);
        self.names_uids = wanted.is_some();
    }

    /// From where a client that comes back misses nothing of what it was not told.
    pub(super) fn resumable(&self) -> ModSeq {
        let resumable = self.view.resumable();
        self.hushed_since
            .map_or(resumable, |since| since.min(resumable))
    }

    /// Watches the account the mailbox belongs to.
    pub(super) fn watch(&self, services: &Services) -> Watch {
        services.mailboxes.watch(self.mailbox.account())
    }

    /// FLAGS and PERMANENTFLAGS (RFC 3501 7.1, 7.2.6).
    pub(super) fn flags(&self) -> [Response; 2] {
        let all = flags::list_of(&self.keywords_told);
        let may = self.mailbox.rights();
        let code = match self.access() {
            // RFC 4314 5.1.1: those that the user may change.
            Access::Full => Code::PermanentFlags {
                flags: flags::changeable(&all, may.flags()),
                new_keywords: may.contains(Rights::WRITE),
            },
            Access::Read => Code::PermanentFlags {
                flags: flags::none(),
                new_keywords: false,
            },
        };
        [
            Response::Flags(all),
            Response::note(code, "flags that are kept"),
        ]
    }

    /// What a command names.
    pub(super) fn set<'s>(&'s self, set: &'s MessageSet) -> &'s SequenceSet {
        match set {
            MessageSet::Listed(set) => set,
            MessageSet::Saved => &self.saved,
        }
    }

    /// The messages of a set, ascending. Numbers must be there; UIDs that are not shown are left
    /// out (RFC 3501 6.4.8, 9).
    pub(super) fn shown(&self, which: &Which) -> Result<Vec<Shown>, Refusal> {
        let uids = self.view.uids();
        let ranges = match (&which.set, which.uids) {
            (MessageSet::Saved, _) => self.saved.among_uids(uids),
            (MessageSet::Listed(set), Uids::Said) => set.among_uids(uids),
            (MessageSet::Listed(set), Uids::Silent) => {
                let ranges = set.among_numbers(self.view.count());
                ranges.map_err(|BeyondLast| beyond_last())?
            }
        };
        let mut shown = Vec::with_capacity(ranges.iter().map(ExactSizeIterator::len).sum());
        for range in ranges {
            let first = range.start;
            let run = uids.get(range).unwrap_or_default().iter();
            shown.extend(
                run.zip(first..)
                    .map(|(uid, position)| Shown::at(position, *uid)),
            );
        }
        Ok(shown)
    }
}

/// A message number that no message has.
fn beyond_last() -> Refusal {
    Refusal::bad("no message has such a number")
}

impl Access {
    /// RFC 3501 7.1: what the completion of SELECT and EXAMINE says.
    pub(super) fn code(self) -> Code {
        match self {
            Self::Full => Code::ReadWrite,
            Self::Read => Code::ReadOnly,
        }
    }
}

impl Uids {
    pub(super) fn of(uid_command: bool) -> Self {
        if uid_command {
            Self::Said
        } else {
            Self::Silent
        }
    }
}

impl Shown {
    /// The message at a position of the view.
    pub(super) fn at(position: usize, uid: u32) -> Self {
        let number = u32::try_from(position.saturating_add(1)).unwrap_or(u32::MAX);
        Self { number, uid }
    }
}

/// UIDs of messages, for the store.
pub(super) fn uids_of(shown: &[Shown]) -> Vec<Uid> {
    shown
        .iter()
        .filter_map(|message| Uid::new(message.uid))
        .collect()
}
