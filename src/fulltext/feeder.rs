//! Feeding the index: following the accounts, a batch at a time, and merging what was written.
//!
//! One task. It reads what is committed and visible, so the index is never ahead of the store; it
//! is behind by some seconds, which searches make up for by reading. How far an account is indexed
//! is said by the segments, so a crash anywhere costs at most the batch in memory.

use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    mem,
    pin::pin,
    sync::{Arc, atomic::Ordering},
};

use tokio::time::Instant;

use super::{
    batch::Batch,
    catalog::Catalog,
    codec::Unreadable,
    grams::Grams,
    limits::{
        MERGE_ROOM_BYTES, PAUSE, REMOVED_MIN, REMOVED_SHARE, SETTLE, SMALL_MERGE_BYTES, TOLD_AGAIN,
    },
    merge::{self, Living},
    segment::{Section, Segment},
    service::{Core, Fulltext, Phase, blocking},
    texts,
};
use crate::{
    base::{
        future::{Panicked, caught},
        ids::{AccountId, EmailId},
        text::Causes,
    },
    mailbox::{Email, Follower, MailboxFault, Mailboxes},
    store::{KeyRange, Pages, ReadError, Room, key},
};

/// Why the work stopped.
#[derive(Debug, thiserror::Error)]
enum Halt {
    #[error(transparent)]
    Index(#[from] Unreadable),
    #[error(transparent)]
    Mailbox(#[from] MailboxFault),
    #[error("the store cannot be read")]
    Store(#[from] ReadError),
    #[error("the disk is nearly full")]
    NoRoom,
    #[error("the search index is to be made again")]
    Condemned,
}

impl Fulltext {
    /// Feeds the index until `stop`.
    pub async fn follow(&self, stop: impl Future<Output = ()>) {
        let Some(core) = &self.0 else {
            return stop.await;
        };
        let mut stop = pin!(stop);
        let mut told: Option<(String, Instant)> = None;
        core.set_phase(Phase::Working);
        loop {
            let halt = tokio::select! {
                () = &mut stop => break,
                halt = caught(Feeder::new(core).work()) => halt,
            };
            match halt {
                Ok(Halt::Condemned) => continue,
                Ok(halt) => {
                    if let Halt::Index(error) = &halt {
                        core.condemn_if_damaged(error);
                    }
                    let why = Causes(&halt).to_string();
                    let known =
                        |(said, at): &(String, Instant)| *said == why && at.elapsed() < TOLD_AGAIN;
                    if !told.as_ref().is_some_and(known) {
                        tracing::warn!(why, "the search index is not fed now");
                        told = Some((why.clone(), Instant::now()));
                    }
                    core.set_phase(Phase::Paused(why));
                }
                Err(_) => tracing::error!("feeding the search index hit a bug; it begins anew"),
            }
            tokio::select! {
                () = &mut stop => break,
                () = core.wake.notified() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        core.set_phase(Phase::Resting);
    }
}

struct Feeder<'a> {
    core: &'a Core,
    follower: Follower,
    catalog: Arc<Catalog>,
    /// It is ours as a whole.
    begun: bool,
    grams: Grams,
    /// Emails of the index that are gone since.
    removed: u64,
}

impl<'a> Feeder<'a> {
    fn new(core: &'a Core) -> Self {
        Self {
            follower: core.mailboxes.follow(),
            core,
            catalog: Arc::default(),
            begun: false,
            grams: Grams::new(),
            removed: 0,
        }
    }

    /// Brings all accounts into the index, then those that change, for ever.
    async fn work(mut self) -> Halt {
        match self.begin().await {
            Err(halt) => halt,
            Ok(()) => loop {
                if let Err(halt) = self.go_on().await {
                    break halt;
                }
            },
        }
    }

    async fn begin(&mut self) -> Result<(), Halt> {
        if self.core.condemned.swap(false, Ordering::AcqRel) {
            self.core.clear().await?;
        }
        let opened = match self.core.open().await {
            Err(Unreadable::Damaged(what)) => {
                tracing::warn!(what, "the search index is damaged: it is made again");
                None
            }
            opened => self.if_ours(opened?).await?,
        };
        self.catalog = match opened {
            Some(catalog) => Arc::new(catalog),
            None => {
                self.core.clear().await?;
                Arc::default()
            }
        };
        self.forget_strangers().await?;
        self.begun = true;
        self.show();
        let mut accounts = self.core.accounts().await?;
        accounts.retain(|(account, last)| *last > self.catalog.upto(*account));
        self.pass(accounts.into_iter().map(|(account, _)| account))
            .await
    }

    async fn go_on(&mut self) -> Result<(), Halt> {
        self.core.set_phase(Phase::Waiting);
        let settled = async {
            self.follower.heard().await;
            tokio::time::sleep(SETTLE).await;
        };
        tokio::select! {
            () = settled => {}
            () = self.core.wake.notified() => {}
        }
        self.is_wanted()?;
        let news = self.follower.take();
        self.removed += news.removed_emails;
        self.pass(news.accounts).await
    }

    /// The index, if it is one of this store and of what happened to it. One that is not would
    /// hide mail: a store that was put back to an earlier day gives its numbers again.
    async fn if_ours(&self, catalog: Catalog) -> Result<Option<Catalog>, Halt> {
        let mut ours = true;
        for (account, last) in self.core.accounts().await? {
            let upto = catalog.upto(account);
            ours &= last >= upto && self.is_same(&catalog, account, upto).await?;
        }
        if !ours {
            tracing::warn!("the search index is of another past of the store: it is made again");
        }
        Ok(ours.then_some(catalog))
    }

    /// Whether the last indexed email of the account, if it is still there, is the one that was
    /// indexed.
    async fn is_same(
        &self,
        catalog: &Catalog,
        account: AccountId,
        upto: u64,
    ) -> Result<bool, Halt> {
        let mut sections = catalog.segments.iter();
        let last = |section: &Section| section.upto == upto;
        let segment = sections.find(|segment| segment.sections.get(&account).is_some_and(last));
        let Some(opened) = segment
            .map(|segment| segment.section(account))
            .transpose()?
        else {
            return Ok(true);
        };
        let Some((email, blob)) = opened.and_then(|opened| opened.newest) else {
            return Ok(true);
        };
        let there = self
            .core
            .mailboxes
            .emails(account, &[EmailId(email)])
            .await?;
        Ok(there.iter().flatten().all(|there| there.blob == blob))
    }

    /// Brings what is new of `accounts` into the index.
    async fn pass(&mut self, accounts: impl IntoIterator<Item = AccountId>) -> Result<(), Halt> {
        let mut batch = Batch::default();
        for account in accounts {
            let mut after = self.catalog.upto(account);
            batch.begin(account, after);
            loop {
                self.may_go_on()?;
                let mailboxes = &self.core.mailboxes;
                let page = mailboxes.emails_after(account, EmailId(after)).await?;
                if page.is_empty() {
                    break;
                }
                for (id, email) in page {
                    if batch.is_full(id) {
                        if !batch.is_empty() {
                            self.commit(mem::take(&mut batch)).await?;
                        }
                        // Nothing lies between this one and the last.
                        batch.begin(account, id.0.saturating_sub(1));
                    }
                    let keys = match &email {
                        Some(email) => keys(mailboxes, email, &mut self.grams).await,
                        None => None,
                    };
                    batch.add(id, email.map(|email| email.blob), keys);
                    after = id.0;
                }
            }
        }
        if !batch.is_empty() {
            self.commit(batch).await?;
        }
        self.merge().await
    }

    fn is_wanted(&self) -> Result<(), Halt> {
        match self.core.condemned.load(Ordering::Acquire) {
            true => Err(Halt::Condemned),
            false => Ok(()),
        }
    }

    fn may_go_on(&self) -> Result<(), Halt> {
        self.is_wanted()?;
        match self.core.engine.room() {
            Room::Low => Err(Halt::NoRoom),
            Room::Enough => {
                self.core.set_phase(Phase::Working);
                Ok(())
            }
        }
    }

    async fn commit(&mut self, batch: Batch) -> Result<(), Halt> {
        let (home, catalog) = (self.core.home.clone(), Arc::clone(&self.catalog));
        let emails = batch.emails();
        let next =
            blocking(move || home.with(&catalog, &[], |number, file| batch.write(number, file)));
        self.catalog = Arc::new(next.await?);
        self.show();
        tracing::debug!(emails, "emails came into the search index");
        Ok(())
    }

    /// Makes few segments of many, and fewer emails of those of which many are gone.
    async fn merge(&mut self) -> Result<(), Halt> {
        loop {
            let segments = &self.catalog.segments;
            let emails = self.catalog.emails();
            let stale = self.removed >= REMOVED_MIN.max(emails / REMOVED_SHARE);
            let lengths: Vec<u64> = segments.iter().map(|segment| segment.length).collect();
            let due = match stale {
                true => lengths.len(),
                false => merge::due(&lengths),
            };
            let last = lengths.len() - due;
            let bytes = lengths.iter().skip(last).sum();
            if due == 0 || !self.has_room_for(bytes).await? {
                return Ok(());
            }
            self.may_go_on()?;
            let segments = segments.iter().skip(last).cloned().collect();
            self.rewrite(segments, &self.known().await?).await?;
            if stale {
                self.removed = 0;
            }
        }
    }

    /// Takes accounts that the store does not know out of the index. Most are removed ones; but a
    /// store that was put back to an earlier day gives their numbers again.
    async fn forget_strangers(&mut self) -> Result<(), Halt> {
        let known = self.known().await?;
        let mut segments = self.catalog.segments.clone();
        segments.retain(|segment| !segment.sections.keys().all(|of| known.contains(of)));
        if segments.is_empty() {
            return Ok(());
        }
        let bytes = segments.iter().map(|segment| segment.length).sum();
        if self.has_room_for(bytes).await? {
            // One by one: they need not be neighbours.
            for segment in segments {
                self.rewrite(vec![segment], &known).await?;
            }
            return Ok(());
        }
        self.core.clear().await?;
        self.catalog = Arc::default();
        Ok(())
    }

    /// Puts one segment in the place of `segments`, with what is still there of `known` accounts.
    async fn rewrite(
        &mut self,
        segments: Vec<Arc<Segment>>,
        known: &HashSet<AccountId>,
    ) -> Result<(), Halt> {
        let mut ranges: BTreeMap<AccountId, (u64, u64)> = BTreeMap::new();
        for (account, section) in segments.iter().flat_map(|segment| &segment.sections) {
            let (from, upto) = ranges
                .entry(*account)
                .or_insert((section.from, section.upto));
            *from = section.from.min(*from);
            *upto = section.upto.max(*upto);
        }
        let mut living = BTreeMap::new();
        for (account, (from, upto)) in ranges {
            if known.contains(&account) {
                living.insert(account, self.living(account, from, upto).await?);
            }
        }
        let (home, catalog) = (self.core.home.clone(), Arc::clone(&self.catalog));
        let next = blocking(move || {
            let gone: Vec<u64> = segments.iter().map(|segment| segment.number).collect();
            home.with(&catalog, &gone, |number, file| {
                merge::merge(&segments, &living, number, file)
            })
        });
        self.catalog = Arc::new(next.await?);
        self.show();
        Ok(())
    }

    /// The accounts that mail can be in.
    async fn known(&self) -> Result<HashSet<AccountId>, ReadError> {
        let accounts = self.core.accounts().await?;
        Ok(accounts.into_iter().map(|(account, _)| account).collect())
    }

    /// Whether a merge of so many bytes leaves the disk as it is for mail (DUR-04).
    async fn has_room_for(&self, bytes: u64) -> Result<bool, Halt> {
        if bytes <= SMALL_MERGE_BYTES {
            return Ok(true);
        }
        let home = self.core.home.clone();
        let free = blocking(move || Ok(home.disk.free_bytes(&home.dir)?)).await?;
        Ok(free >= bytes.saturating_mul(2).saturating_add(MERGE_ROOM_BYTES))
    }

    /// Lets searches see it.
    fn show(&self) {
        // One that was condemned meanwhile stays hidden, and one that has strangers.
        if self.begun && self.is_wanted().is_ok() {
            self.core.set_catalog(Some(Arc::clone(&self.catalog)));
        }
    }

    /// The emails of an account that are there, above `from` up to `upto`.
    async fn living(&self, account: AccountId, from: u64, upto: u64) -> Result<Living, ReadError> {
        let range = KeyRange {
            from: key::email(account, EmailId(from)).successor(),
            to: key::email(account, EmailId(upto)).successor(),
        };
        let mut living = Living::above(from);
        let mut pages = Pages::new(&*self.core.engine, range);
        while let Some(entries) = pages.next().await? {
            for email in entries.iter().filter_map(|(key, _)| key.last_u64()) {
                living.add(email);
            }
        }
        Ok(living)
    }
}

/// The keys of an email. None for one that cannot be indexed, be it by a bug that it meets: the
/// others must not wait for it.
async fn keys(mailboxes: &Mailboxes, email: &Email, grams: &mut Grams) -> Option<Vec<u32>> {
    let keys = match caught(texts::keys(mailboxes, email, grams)).await {
        Ok(keys) => keys.map_err(|why| Causes(&why).to_string()),
        Err(Panicked) => {
            // What was read of it must not be the next one's.
            let _ = grams.take();
            Err("it hit a bug".to_owned())
        }
    };
    if let Err(why) = &keys {
        tracing::debug!(email.id = email.id.0, why, "an email is not indexed");
    }
    keys.ok()
}
