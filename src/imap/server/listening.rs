//! NOTIFY (RFC 5465): a session that hears of changes at any time, also of mailboxes that it has
//! not selected.
//!
//! What is heard says where to look, what is told is read from the store: names are compared with
//! those told last, and the state of a mailbox with what was said of it. So an event that is undone
//! is not told, and none is missed. What the user may not know of is never read, and his rights to
//! the mailboxes of others are read again whenever one is told of. A look that fails is made again.
//! Who cannot be told everything is told that, and hears no more (RFC 5465 5.8).

mod aim;
mod own;
mod picture;
mod state;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout};

pub(super) use self::own::Own;
use self::{
    aim::Aim,
    picture::{Came, Change, Id, Picture, Seen, State, TooLarge},
};
use super::{
    effort::{Budget, Exhausted, Permit},
    fault::{Stop, stop},
    select::Selected,
    session::Account,
    tree::Tree,
};
use crate::{
    base::{
        ids::{AccountId, MailboxId},
        text::Causes,
    },
    imap::proto::{
        dialog::Imap,
        enabled::Enabled,
        notify::{Events, SelectedEvents, Wishes},
        response::{Code, Response},
        status::StatusItem,
    },
    mailbox::{About, ChangeError, Heard, Listener, MailboxFault, Name, Rights},
    net::{Halt, Turn},
    store::ReadError,
};

/// What a session listens to since its last NOTIFY.
pub(super) struct Listening {
    selected: Arc<SelectedEvents>,
    aim: Aim,
    /// None after NOTIFY NONE.
    listener: Option<Listener>,
    picture: Picture,
    /// What was heard and not looked at.
    pending: Heard,
    /// Names of which was told that they cannot be seen any more.
    lost: BTreeSet<Name>,
    /// There may be something to tell.
    is_due: bool,
    /// No look before.
    quiet_until: Instant,
    /// No look at anything but the selected mailbox before.
    others_quiet_until: Instant,
    /// Entries of the store that the last look at names read.
    rows_read: usize,
}

/// More than can be told, or than may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

/// How a look went.
enum Looked {
    /// Everything is told.
    Done,
    /// Other work of the account comes first.
    Later,
}

impl Listening {
    /// NOTIFY NONE.
    pub(super) fn to_nothing() -> Self {
        Self {
            selected: Arc::default(),
            aim: Aim::default(),
            listener: None,
            picture: Picture::default(),
            pending: Heard::default(),
            lost: BTreeSet::new(),
            is_due: false,
            quiet_until: Instant::now(),
            others_quiet_until: Instant::now(),
            rows_read: 0,
        }
    }

    /// NOTIFY SET: listens from now on, and tells what the client has to know before its completion
    /// (RFC 5465 3.1).
    pub(super) async fn begin(
        account: Account<'_>,
        wishes: Wishes,
        selected: Option<&Selected>,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Result<Self, TooMuch>, Stop> {
        let mut listening = Self::to_nothing();
        listening.aim = Aim::new(&wishes);
        let mut listener = account.mailboxes().listener();
        // It listens before it looks, so nothing falls between them.
        listener.listen_to(account.id());
        listening.listener = Some(listener);
        if let Some(selected) = selected {
            listening.attend(selected);
        }
        listening.selected = Arc::new(wishes.selected);
        if listening.aim.all() == Events::NONE {
            return Ok(Ok(listening));
        }
        let (tree, picture) = match listening.look_at_names(account, selected, turn).await? {
            Ok(found) => found,
            Err(TooMuch) => return Ok(Err(TooMuch)),
        };
        listening.picture = picture;
        let introduced = listening.introduce(account, &tree, selected, wishes.status, turn);
        Ok(introduced.await?.map(|()| listening))
    }

    /// What is told of the selected mailbox.
    pub(super) fn selected(&self) -> Arc<SelectedEvents> {
        Arc::clone(&self.selected)
    }

    /// Hears of this mailbox, which was just selected.
    pub(super) fn attend(&mut self, selected: &Selected) {
        let (owner, _) = selected.id();
        if let Some(listener) = &mut self.listener {
            listener.listen_to(owner);
            self.is_due = true;
        }
    }

    /// The selected mailbox is one of the others from now on.
    pub(super) fn leave(&mut self, selected: &Selected) {
        let (id, view) = (selected.id(), &selected.view);
        let now = selected
            .mailbox
            .read(|index| State::of(&selected.mailbox, index));
        let is_current = view.modseq().0 >= now.modseq && !view.has_gone();
        if is_current && self.selected.events == Events::OF_MESSAGES {
            self.picture.note(id, now);
        } else if self.listener.is_some() {
            let (owner, mailbox) = id;
            self.pending.about.insert((owner, About::Messages(mailbox)));
            self.is_due = true;
        }
    }

    /// After what is told of the selected mailbox: whether there is more to tell by now.
    pub(super) fn settle(&mut self, selected: &Selected) {
        self.is_due |= selected.view.has_gone() && !self.selected.delayed;
    }

    /// Returns when there may be something to tell. May be dropped and called again.
    pub(super) async fn changed(&mut self) {
        let Some(listener) = &self.listener else {
            return std::future::pending().await;
        };
        if !self.is_due {
            tokio::select! {
                () = listener.heard() => {}
                () = sleep_until(self.others_quiet_until), if !self.pending.is_empty() => {}
            }
            self.is_due = true;
        }
        sleep_until(self.quiet_until).await;
    }

    /// Until it has worked, what is told now is told again, after a while. What is heard from now
    /// on is for the next look: the selected mailbox may have been read already.
    pub(super) fn begin_look(&mut self) {
        if let Some(listener) = &self.listener {
            self.pending.add(listener.take());
        }
        self.is_due = true;
        self.quiet_until = Instant::now() + RETRY_INTERVAL;
    }

    /// Tells what had changed outside of the selected mailbox when the look began.
    pub(super) async fn tell(
        &mut self,
        account: Account<'_>,
        selected: Option<&Selected>,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Result<(), TooMuch>, Stop> {
        if self.listener.is_none() {
            return Ok(Ok(()));
        }
        if Instant::now() < self.others_quiet_until {
            self.rest(self.others_quiet_until);
            return Ok(Ok(()));
        }
        self.rows_read = 0;
        match self.look(account, selected, turn).await {
            Ok(Ok(Looked::Done)) => {
                let mut pause = LOOK_INTERVAL + time_of(self.rows_read);
                if self.pending.is_for_everybody() {
                    pause += PAUSE_OF_EVERYBODY;
                }
                self.pending = Heard::default();
                self.rest(Instant::now() + pause);
                Ok(Ok(()))
            }
            Ok(Ok(Looked::Later)) => {
                self.rest(Instant::now() + RETRY_INTERVAL);
                Ok(Ok(()))
            }
            Ok(Err(TooMuch)) => Ok(Err(TooMuch)),
            Err(Halt::Fault(cause)) => {
                tracing::error!(error = %Causes(&cause), "what changed cannot be told now");
                Ok(Ok(()))
            }
            Err(gone) => Err(gone),
        }
    }

    /// The selected mailbox is told; the others are looked at no sooner than then.
    fn rest(&mut self, others_quiet_until: Instant) {
        self.is_due = false;
        self.quiet_until = Instant::now() + LOOK_INTERVAL;
        self.others_quiet_until = others_quiet_until;
    }

    async fn look(
        &mut self,
        account: Account<'_>,
        selected: Option<&Selected>,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Result<Looked, TooMuch>, Stop> {
        let wanted = self.aim.all();
        if wanted == Events::NONE {
            return Ok(Ok(Looked::Done));
        }
        if self.pending.is_lost && wanted.intersects(Events::OF_METADATA) {
            // Nothing tells which were removed.
            return Ok(Err(TooMuch));
        }
        let mut changed: BTreeMap<Id, Came> = BTreeMap::new();
        let about_names = |(_, about): &(AccountId, About)| *about == About::Names;
        if self.pending.is_lost || self.pending.about.iter().any(about_names) {
            match self.tell_names(account, selected, turn).await? {
                Ok(came) => changed.extend(came),
                Err(TooMuch) => return Ok(Err(TooMuch)),
            }
        }
        if self.pending.is_lost {
            let all = self.picture.seen().iter();
            changed.extend(all.map(|seen| (seen.id, Came::InPlace)));
        }
        for (owner, about) in &self.pending.about {
            if let About::Messages(mailbox) = about {
                changed.insert((*owner, *mailbox), Came::InPlace);
            }
        }
        if let Some(selected) = selected {
            changed.remove(&selected.id());
        }
        changed.retain(|id, _| {
            let seen = self.picture.find(*id).filter(|seen| seen.readable);
            seen.is_some_and(|seen| self.events_of(seen).intersects(Events::OF_MESSAGES))
        });
        // What came is looked at again when this look fails.
        let about = changed
            .keys()
            .map(|(owner, id)| (*owner, About::Messages(*id)));
        self.pending.about.extend(about);
        let mut budget = Budget::new();
        let permit = permit(account, changed.len(), &mut budget, turn);
        // The client's commands wait meanwhile.
        let permit = timeout(PERMIT_PATIENCE, permit).await.unwrap_or(Ok(None));
        let Some(_permit) = permit? else {
            return Ok(Ok(Looked::Later));
        };
        for (id, came) in changed {
            if budget.spend(COST_OF_OPENING).await == Err(Exhausted) {
                return Ok(Err(TooMuch));
            }
            self.tell_state(account, id, came, turn).await?;
        }
        self.tell_annotations(account, turn).await?;
        Ok(Ok(Looked::Done))
    }

    /// All names, and what of them is listened to; listens to their owners.
    async fn look_at_names(
        &mut self,
        account: Account<'_>,
        selected: Option<&Selected>,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Result<(Tree, Picture), TooMuch>, Stop> {
        let mut owners = BTreeSet::from([account.id()]);
        owners.extend(selected.map(|selected| selected.id().0));
        loop {
            let tree = turn.unless_gone(Tree::read(account, true)).await??;
            self.rows_read += tree.rows_read();
            let known = owners.len();
            owners.extend(tree.places().map(|place| place.owner));
            if let Some(listener) = &mut self.listener {
                listener.listen_only_to(&owners);
            }
            // What happened before they were listened to is read.
            if owners.len() == known {
                let picture = self.picture_of(account, &tree);
                return Ok(picture.map_err(|TooLarge| TooMuch).map(|it| (tree, it)));
            }
        }
    }

    fn picture_of(&self, account: Account<'_>, tree: &Tree) -> Result<Picture, TooLarge> {
        let subscribed = match self.aim.asks_for_subscriptions() {
            true => tree.subscribed().cloned().collect(),
            false => BTreeSet::new(),
        };
        let seen = tree.places().map(|place| Seen {
            id: place.id(),
            name: place.name.clone(),
            is_own: place.owner == account.id(),
            uid_validity: place.entry.uid_validity,
            readable: place.rights.contains(Rights::READ),
            told: None,
        });
        let seen = seen.filter(|seen| self.aim.reaches(&seen.name, seen.is_own));
        Picture::new(seen.collect(), subscribed)
    }

    fn events_of(&self, seen: &Seen) -> Events {
        self.picture.events_of(&self.aim, seen)
    }

    /// RFC 5465 3.1: what cannot be watched is told, and when the client asks for it, the state of
    /// each mailbox that messages are told of.
    async fn introduce(
        &mut self,
        account: Account<'_>,
        tree: &Tree,
        selected: Option<&Selected>,
        status: bool,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Result<(), TooMuch>, Stop> {
        let mut watched = Vec::new();
        for seen in self.picture.seen() {
            let events = self.events_of(seen);
            if !seen.readable && events != Events::NONE {
                turn.reply(&tree.told(&seen.name, None, true)).await?;
            }
            let is_selected = selected.is_some_and(|selected| selected.id() == seen.id);
            if status && seen.readable && !is_selected && events.intersects(Events::OF_MESSAGES) {
                watched.push(seen.clone());
            }
        }
        let mut budget = Budget::new();
        let Some(_permit) = permit(account, watched.len(), &mut budget, turn).await? else {
            return Ok(Err(TooMuch));
        };
        for seen in watched {
            if budget.spend(COST_OF_OPENING).await == Err(Exhausted) {
                return Ok(Err(TooMuch));
            }
            let Some(now) = turn.unless_gone(state(account, seen.id)).await?? else {
                continue;
            };
            let mut items = vec![
                StatusItem::Messages,
                StatusItem::UidNext,
                StatusItem::UidValidity,
            ];
            if self.events_of(&seen).contains(Events::FLAG_CHANGE) {
                items.extend([StatusItem::HighestModSeq, StatusItem::Unseen]);
            }
            turn.reply(&now.said(&seen.name, &items)).await?;
            self.picture.note(seen.id, now);
        }
        Ok(Ok(()))
    }

    /// RFC 5465 5.4, 5.5, 5.9. Gives the mailboxes whose names led to something else before.
    async fn tell_names(
        &mut self,
        account: Account<'_>,
        selected: Option<&Selected>,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Result<Vec<(Id, Came)>, TooMuch>, Stop> {
        let (tree, mut now) = match self.look_at_names(account, selected, turn).await? {
            Ok(found) => found,
            Err(TooMuch) => return Ok(Err(TooMuch)),
        };
        for change in picture::changes(&self.picture, &now, &self.aim, &self.lost) {
            self.tell_name(account, &tree, &now, change, turn).await?;
        }
        let came = picture::hand_over(&self.picture, &mut now, &self.aim);
        self.picture = now;
        Ok(Ok(came))
    }

    async fn tell_name(
        &mut self,
        account: Account<'_>,
        tree: &Tree,
        now: &Picture,
        change: Change,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<(), Stop> {
        let name = &change.name;
        let seen = tree.place(name);
        let mut no_access = seen.is_some_and(|place| !place.rights.contains(Rights::READ));
        if let (Some(id), None) = (change.gone, seen) {
            no_access = is_revoked(account, id).await?;
            let is_own = id.0 == account.id();
            let subscribed = self.picture.is_subscribed(name) || now.is_subscribed(name);
            let events = self.aim.events(name, is_own, subscribed);
            if !no_access && !events.intersects(change.events) {
                return Ok(());
            }
            if no_access && self.lost.len() < LOST_MAX {
                self.lost.insert(name.clone());
            }
        } else {
            self.lost.remove(name);
        }
        let told = tree.told(name, change.old_name.as_ref().map(Name::as_str), no_access);
        Ok(turn.reply(&told).await?)
    }

    /// RFC 5465 5.1 to 5.3.
    async fn tell_state(
        &mut self,
        account: Account<'_>,
        id: Id,
        came: Came,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<(), Stop> {
        let Some(seen) = self.picture.find(id).cloned() else {
            return Ok(());
        };
        // Rights may have gone since names were read.
        if !may_hear(account, id).await? {
            return Ok(());
        }
        let Some(now) = turn.unless_gone(state(account, id)).await?? else {
            return Ok(());
        };
        let condstore = turn.dialogue().enabled().contains(Enabled::CONDSTORE);
        let items = match (seen.told, came) {
            (None, Came::New) if now.is_pristine() => Vec::new(),
            (before, _) => now.news(before, self.events_of(&seen), condstore),
        };
        if !items.is_empty() {
            turn.reply(&now.said(&seen.name, &items)).await?;
        }
        self.picture.note(id, now);
        Ok(())
    }

    /// RFC 5465 5.6, 5.7: which entries changed, not to what.
    async fn tell_annotations(
        &self,
        account: Account<'_>,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<(), Stop> {
        let mut changed: BTreeMap<Id, Vec<String>> = BTreeMap::new();
        for (owner, about) in &self.pending.about {
            let About::Annotation {
                mailbox,
                viewer,
                name,
            } = about
            else {
                continue;
            };
            // Shared ones, and one's own.
            if !name.is_empty() && (viewer.0 == 0 || *viewer == account.id()) {
                let known = changed.entry((*owner, *mailbox)).or_default();
                known.push(String::from(&**name));
            }
        }
        for (id, names) in changed {
            let Some(mailbox) = self.annotated(account, id).await? else {
                continue;
            };
            for entries in names.chunks(ENTRIES_SAID) {
                let told = Response::MetadataChanged {
                    mailbox: mailbox.clone(),
                    entries: entries.to_vec(),
                };
                turn.reply(&told).await?;
            }
        }
        Ok(())
    }

    /// What has annotations, as it is said, when changes of them are told.
    async fn annotated(&self, account: Account<'_>, id: Id) -> Result<Option<String>, Stop> {
        if id == (account.id(), MailboxId(0)) {
            let wanted = self.aim.all().contains(Events::SERVER_METADATA_CHANGE);
            return Ok(wanted.then(String::new));
        }
        let seen = self.picture.find(id).filter(|seen| {
            let events = self.events_of(seen);
            seen.readable && events.contains(Events::MAILBOX_METADATA_CHANGE)
        });
        match seen {
            Some(seen) if may_hear(account, id).await? => Ok(Some(seen.name.as_str().to_owned())),
            _ => Ok(None),
        }
    }

    /// RFC 5465 5.8.
    pub(super) fn overflow() -> Response {
        Response::note(
            Code::NotificationOverflow,
            "too much changed; nothing more is told until the next NOTIFY",
        )
    }
}

/// RFC 5465 5: all events need `l` and `r`.
async fn may_hear(account: Account<'_>, (owner, mailbox): Id) -> Result<bool, Stop> {
    let rights = account.mailboxes().rights(account.id(), owner, mailbox);
    let rights = rights.await.map_err(stop)?;
    Ok(rights.contains(Rights::LOOKUP.union(Rights::READ)))
}

/// Whether a mailbox is still there, and the account may not see it any more (RFC 5465 5.9).
async fn is_revoked(account: Account<'_>, (owner, mailbox): Id) -> Result<bool, Stop> {
    let mailboxes = account.mailboxes();
    let rights = mailboxes.rights(account.id(), owner, mailbox);
    if rights.await.map_err(stop)?.contains(Rights::LOOKUP) {
        return Ok(false);
    }
    let name = mailboxes.name(owner, mailbox).await.map_err(stop)?;
    Ok(name.is_some())
}

/// The state of a mailbox; none of one that was deleted meanwhile, or is damaged.
async fn state(account: Account<'_>, (owner, mailbox): Id) -> Result<Option<State>, Stop> {
    match account.mailboxes().open(owner, mailbox).await {
        Ok(mailbox) => Ok(Some(mailbox.read(|index| State::of(&mailbox, index)))),
        Err(ChangeError::Fault(fault @ MailboxFault::Read(ReadError::Io(_)))) => Err(stop(fault)),
        Err(_) => Ok(None),
    }
}

/// The permit to open so many mailboxes, where that is heavy work (LIM-25); none while others have
/// it.
async fn permit(
    account: Account<'_>,
    count: usize,
    budget: &mut Budget,
    turn: &mut Turn<'_, Imap>,
) -> Result<Option<Option<Permit>>, Stop> {
    if count <= OPENED_LIGHTLY {
        return Ok(Some(None));
    }
    let permit = account.services.heavy_work.permit(account.id(), budget);
    let permit = turn.unless_gone(permit).await?;
    *budget = Budget::new();
    Ok(permit.ok().map(Some))
}

fn time_of(rows: usize) -> Duration {
    TIME_OF_ROW * u32::try_from(rows).unwrap_or(u32::MAX)
}

/// LIM-36: the least time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// LIM-36: as much more for each entry that the first one read for the names.
const TIME_OF_ROW: Duration = Duration::from_micros(100);
/// LIM-36: and when it was for a change that every listener looks at.
const PAUSE_OF_EVERYBODY: Duration = Duration::from_secs(5);
/// The time between two looks when the first one failed, or had to wait for other work.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// How long a look waits for its turn among the heavy work of the account.
const PERMIT_PATIENCE: Duration = Duration::from_secs(1);
/// LIM-25: what opening a mailbox takes of the budget.
const COST_OF_OPENING: u64 = 4096;
/// Mailboxes that are opened without a permit.
const OPENED_LIGHTLY: usize = 32;
/// Entries in one METADATA response.
const ENTRIES_SAID: usize = 20;
/// LIM-36: names that are remembered as not seen any more.
const LOST_MAX: usize = 1000;
