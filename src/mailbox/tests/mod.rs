//! The service over the memory engine and over one that fails when told to.

mod bodies;
mod damage;
mod durability;
mod guests;
mod history;
mod messages;
mod metadata;
mod model;
mod names;
mod packed;
mod sharing;
mod sweeping;
mod transfers;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::*;
use crate::{
    base::{
        clock::{Clock, Timestamp},
        ids::{AccountId, EmailId, MailboxId, Uid},
        random::Random,
    },
    store::{Batch, Engine, Key, Order, PageLimit, key, memory::Memory},
};

pub(super) const ALICE: AccountId = AccountId(1);
pub(super) const SENT: MailboxId = MailboxId(3);
pub(super) const ARCHIVE: MailboxId = MailboxId(6);

/// One process over an engine that outlives it.
pub(super) struct World {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) clock: Clock,
    pub(super) mailboxes: Mailboxes,
}

impl World {
    /// An empty store with one account.
    pub(super) async fn new() -> Self {
        Self::over(Arc::new(Memory::new())).await
    }

    pub(super) async fn over(engine: Arc<dyn Engine>) -> Self {
        let clock = Clock::steered(Timestamp::from_secs(1_700_000_000));
        let world = Self::start(engine, clock);
        world.provision(ALICE).await;
        world
    }

    /// The same process, for another task.
    pub(super) fn copy(&self) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            clock: self.clock.clone(),
            mailboxes: self.mailboxes.clone(),
        }
    }

    pub(super) fn start(engine: Arc<dyn Engine>, clock: Clock) -> Self {
        let mailboxes = Mailboxes::new(
            Arc::clone(&engine),
            clock.clone(),
            Random::system(),
            Options::default(),
        );
        Self {
            engine,
            clock,
            mailboxes,
        }
    }

    /// Another process over the same store.
    pub(super) fn restarted(&self) -> Self {
        Self::start(Arc::clone(&self.engine), self.clock.clone())
    }

    pub(super) async fn provision(&self, account: AccountId) {
        let mut batch = Batch::new();
        self.mailboxes.provision(&mut batch, account);
        self.engine.commit(batch).await.unwrap();
    }

    pub(super) async fn open(&self, mailbox: MailboxId) -> Mailbox {
        self.mailboxes.open(ALICE, mailbox).await.unwrap()
    }

    pub(super) async fn arrived(&self, text: &str) -> Arrived {
        let mut intake = self.mailboxes.intake();
        intake.feed(Bytes::from(text.to_owned())).await.unwrap();
        intake.finish().await.unwrap()
    }

    pub(super) async fn append(&self, mailbox: MailboxId, text: &str, flags: FlagSet) -> Uid {
        let arrived = self.arrived(text).await;
        let date = Timestamp::from_secs(1_600_000_000);
        let appended = self
            .mailboxes
            .append(ALICE, mailbox, arrived, options(flags, date))
            .await;
        appended.unwrap().uid
    }

    /// Appends `count` short messages in few commits of their own.
    pub(super) async fn fill(&self, mailbox: MailboxId, count: usize) {
        for n in 0..count {
            self.append(mailbox, &message(n), FlagSet::default()).await;
        }
    }

    pub(super) async fn keys(&self, prefix: Key) -> Vec<Key> {
        let mut range = prefix.prefix_range();
        let mut keys = Vec::new();
        loop {
            let limit = PageLimit::default();
            let page = self
                .engine
                .page(range.clone(), limit, Order::Ascending)
                .await
                .unwrap();
            keys.extend(page.entries.into_iter().map(|(key, _)| key));
            match keys.last() {
                Some(last) if page.more => range.from = last.successor(),
                _ => return keys,
            }
        }
    }

    /// What the account really holds, mailbox by mailbox, compared with its sums.
    pub(super) async fn assert_usage_is_exact(&self) {
        let fresh = self.restarted();
        let mut usage = Usage::default();
        for entry in fresh.mailboxes.list(ALICE).await.unwrap() {
            let mailbox = fresh.open(entry.id).await;
            usage.bytes += mailbox.read(Index::bytes);
            usage.messages += mailbox.read(Index::len) as u64;
        }
        assert_eq!(self.mailboxes.usage(ALICE).await.unwrap(), usage);
    }

    /// Lets the grace time pass and sweeps.
    pub(super) async fn sweep(&self) {
        tokio::time::advance(Duration::from_secs(601)).await;
        self.mailboxes.sweep_all().await;
    }

    /// The text of a stored email, if it and its body are there.
    pub(super) async fn text(&self, email: EmailId) -> Option<String> {
        let emails = self.mailboxes.emails(ALICE, &[email]).await.unwrap();
        let email = emails.into_iter().next().flatten()?;
        let body = self.engine.body(email.blob, 0..email.size).await.unwrap();
        Some(String::from_utf8(body.to_vec()).unwrap())
    }
}

impl Mailbox {
    /// COPY within the account.
    pub(super) async fn copy_to(
        &self,
        uids: &[Uid],
        target: MailboxId,
        quota_bytes: Option<u64>,
    ) -> Result<Copied, ChangeError> {
        let target = target_at(self.account(), target, quota_bytes);
        self.copy(uids, &target).await
    }

    /// MOVE within the account.
    pub(super) async fn move_to(
        &self,
        uids: &[Uid],
        target: MailboxId,
    ) -> Result<Copied, ChangeError> {
        self.move_away(uids, &target_at(self.account(), target, None))
            .await
    }
}

/// A target that takes all flags.
pub(super) fn target_at(
    account: AccountId,
    mailbox: MailboxId,
    quota_bytes: Option<u64>,
) -> Target {
    Target::own(account, mailbox, quota_bytes)
}

impl Mailboxes {
    /// Writes the snapshot of one mailbox, due or not.
    pub(super) async fn write_snapshot_of(&self, mailbox: MailboxId) -> Result<(), MailboxFault> {
        let shared = self.core.shared(ALICE, mailbox).await?;
        self.write_snapshot(&shared).await
    }
}

/// Of an APPEND without a quota.
pub(super) fn options(flags: FlagSet, internal_date: Timestamp) -> AppendOptions {
    AppendOptions {
        flags,
        internal_date,
        quota_bytes: None,
    }
}

pub(super) fn message(n: usize) -> String {
    format!("Subject: {n}\r\n\r\nThis is message {n}.\r\n")
}

pub(super) fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

pub(super) fn uids(numbers: impl IntoIterator<Item = u32>) -> Vec<Uid> {
    numbers.into_iter().map(uid).collect()
}

pub(super) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(super) fn add(flags: impl Into<FlagSet>) -> FlagChange {
    FlagChange {
        mode: FlagMode::Add,
        flags: flags.into(),
    }
}

pub(super) fn keyword_set(names: impl IntoIterator<Item = String>) -> FlagSet {
    let keywords = names.into_iter().map(|name| Keyword::parse(&name).unwrap());
    FlagSet::new(SystemFlags::NONE, keywords.collect())
}

pub(super) fn all_uids(mailbox: &Mailbox) -> Vec<Uid> {
    mailbox.read(|index| uids(index.uids().iter().copied()))
}

pub(super) async fn emails_of(world: &World, account: AccountId) -> usize {
    world.keys(key::emails(account)).await.len()
}
