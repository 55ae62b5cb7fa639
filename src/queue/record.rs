//! The records of the queue and their bytes: one per message, one per recipient, one per due time.
//!
//! Pure. A record is a version byte, length-prefixed fields and a CRC-32 of all of that, so that
//! damage is found in the item it hit and nowhere else (DUR-09, DUR-10). What a record means, and
//! who may change it, is in `queue` and docs/STORE-queue.md.

use std::ops::Range;

use bytes::Bytes;

use crate::{
    base::{
        clock::Timestamp,
        ids::{AccountId, BlobId, MessageId},
    },
    mail::{
        address::{Address, Domain},
        envelope::{BodyKind, MailOptions, RcptOptions, ReversePath},
        urgency::Priority,
    },
};
use codec::{Reader, Writer};

mod class;
mod codec;
mod via;

pub use via::{NamedHost, NotAPlace, Via};

pub use class::{Advice, Class};

/// What all recipients of a queued message share. Never changed after it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRecord {
    /// Where failures are reported.
    pub sender: ReversePath,
    /// What MAIL says of a forwarded copy instead: the sender, rewritten.
    pub rewritten: Option<Address>,
    /// Fields that are sent before the message bytes.
    pub head: String,
    /// The message bytes.
    pub blob: BlobId,
    /// How many of them, at their front, are of final delivery and not sent (RFC 5321 4.4).
    pub skipped: u32,
    /// Length in bytes of what is sent of them.
    pub size: u64,
    /// When it was accepted.
    pub received: Timestamp,
    /// The account that submitted it, if one did.
    pub origin: Option<AccountId>,
    /// RFC 6531: header or addresses are internationalized.
    pub smtputf8: bool,
    /// RFC 6152: what the body holds.
    pub body: BodyKind,
    /// What else its sender said of it.
    pub options: MailOptions,
    /// How many recipients it had when it was queued.
    pub recipients: u32,
}

/// One recipient of a queued message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientRecord {
    /// Who shall get the message.
    pub address: Address,
    /// What its sender said of him.
    pub options: RcptOptions,
    /// Whose mailbox here the message is for, when it waits here only for its time; else it goes to
    /// another server.
    pub here: Option<Here>,
    /// Where this recipient stands.
    pub state: State,
    /// What the next attempt shall do.
    pub order: Order,
    /// Attempts begun, counted before each of them; those of the report alone once it is
    /// all that is left to do.
    pub attempts: u32,
    /// Attempts begun since one was last finished: crashes, when above one.
    pub unfinished: u8,
    /// Rises with each lease; a holder with an older one lost it.
    pub fence: u64,
    /// When the first and the last attempt began.
    pub attempted: Option<(Timestamp, Timestamp)>,
    /// What came of the last attempt to deliver; with [`Order::Report`], what is to be reported.
    pub last: Option<Diagnosis>,
    /// Whether the sender was told of the delay.
    pub delay_told: bool,
    /// RFC 2852: whether he was told that the time he gave is over.
    pub late_told: bool,
    /// Where an operator sends it.
    pub via: Option<Via>,
}

/// Whom mail is for that waits here only for its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Here {
    /// Whose mailbox.
    pub account: AccountId,
    /// The tag of the address by which the account was reached.
    pub tag: Option<Box<str>>,
}

/// Where a recipient stands. A finished recipient has no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// To be attempted at this time.
    Waiting(Timestamp),
    /// In someone's hands until this time; due again then.
    Leased(Timestamp),
    /// Not attempted until an operator says so.
    Held,
    /// Not attempted before this time, because its sender said so (RFC 4865).
    Scheduled(Timestamp),
}

impl State {
    /// When this recipient has its row in the index of due times.
    pub fn due(self) -> Option<Timestamp> {
        match self {
            Self::Waiting(at) | Self::Leased(at) | Self::Scheduled(at) => Some(at),
            Self::Held => None,
        }
    }
}

/// What the next attempt shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Deliver the message.
    Deliver,
    /// Report failure to the sender, on an operator's word.
    Bounce,
    /// Report to the sender what came of the last attempt; that report had no place so far.
    Report,
}

/// RFC 3463 status code: class, subject, detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub u8, pub u16, pub u16);

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What came of an attempt, in the words of the peer or in ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The host that was spoken to, when it came to that.
    pub host: Option<Box<str>>,
    /// The peer's reply code; zero when the words are ours.
    pub code: u16,
    /// Enhanced status code.
    pub status: Status,
    /// What kind of refusal or failure it is.
    pub class: Class,
    /// One line without control characters, at most [`DIAGNOSIS_BYTES_MAX`] long.
    text: Box<str>,
}

impl Diagnosis {
    /// Control characters of `text` become spaces; what is too long is cut.
    pub fn new(host: Option<&str>, code: u16, status: Status, text: &str) -> Self {
        Self {
            host: host.map(|host| one_line(host, HOST_BYTES_MAX)),
            code,
            status,
            class: Class::Other,
            text: one_line(text, DIAGNOSIS_BYTES_MAX),
        }
    }

    /// The same, of this kind.
    pub fn of(self, class: Class) -> Self {
        Self { class, ..self }
    }

    /// What follows beside the schedule.
    pub fn advice(&self) -> Advice {
        self.class.advice(self.code)
    }

    /// The words.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// `text` without control characters, cut at `bytes_max`.
fn one_line(text: &str, bytes_max: usize) -> Box<str> {
    let mut line = String::new();
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if line.len() + c.len_utf8() > bytes_max {
            break;
        }
        line.push(c);
    }
    line.into()
}

/// A row of the index of due times: which recipient is due when, and where its mail goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The time of the row.
    pub at: Timestamp,
    /// The message.
    pub message: MessageId,
    /// The recipient's number within it.
    pub n: u32,
    /// The recipient's domain, so that a scan need not read the recipient.
    pub domain: Domain,
    /// Whose mail it is and how soon it wants to go, so that a scan need not read the message
    /// either.
    pub turn: Turn,
    /// It goes to a mailbox here.
    pub here: bool,
    /// Nothing but a report to its sender is left of it.
    pub over: bool,
    /// Where an operator sends it.
    pub via: Option<Via>,
}

/// What decides when a message has its turn among others that are due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Whose it is.
    pub source: Source,
    /// RFC 6710.
    pub priority: Priority,
}

/// Whose mail something is, as far as senders take turns: an account's, or a stranger's that
/// is passed on. Strangers share few numbers, because names cost them nothing: with one for each
/// they could take all the turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Source(pub u64);

impl Source {
    /// Of a message that this account submitted, or else that this sender sent.
    pub fn of(origin: Option<AccountId>, sender: &ReversePath) -> Self {
        match origin {
            Some(account) => Self(account.0.saturating_add(STRANGERS)),
            None => Self(u64::from(crc32fast::hash(sender.to_string().as_bytes())) % STRANGERS),
        }
    }
}

/// The record cannot be read: damaged, or written by a later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue record is damaged or of an unknown version")]
pub struct Undecodable;

impl MessageRecord {
    /// Where what is sent stands in the body, as far as its first `bytes_max` bytes go.
    pub(super) fn sent(&self, bytes_max: u64) -> Range<u64> {
        let start = u64::from(self.skipped);
        start..start.saturating_add(self.size.min(bytes_max))
    }

    /// What MAIL says.
    pub fn reverse_path(&self) -> ReversePath {
        match &self.rewritten {
            Some(address) => ReversePath::Address(address.clone()),
            None => self.sender.clone(),
        }
    }

    /// Length in bytes of all that is sent.
    pub fn sent_bytes(&self) -> u64 {
        self.size.saturating_add(self.head.len() as u64)
    }

    /// When it has its turn.
    pub fn turn(&self) -> Turn {
        Turn {
            source: Source::of(self.origin, &self.sender),
            priority: self.options.priority.unwrap_or_default(),
        }
    }

    /// When its time begins to count: attempts before that were not wanted (RFC 4865).
    pub fn began(&self) -> Timestamp {
        let release = self.options.release;
        release.map_or(self.received, |release| release.at.max(self.received))
    }

    /// As stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.text(
            &self
                .sender
                .address()
                .map(Address::to_string)
                .unwrap_or_default(),
        );
        out.option(self.rewritten.as_ref(), |out, address| {
            out.text(&address.to_string());
        });
        out.text(&self.head);
        out.0.extend_from_slice(self.blob.as_bytes());
        out.u32(self.skipped);
        out.u64(self.size);
        out.u64(self.received.0);
        out.option(self.origin, |out, account| out.u64(account.0));
        out.0.push(u8::from(self.smtputf8));
        out.0.push(match self.body {
            BodyKind::SevenBit => 0,
            BodyKind::EightBit => 1,
            BodyKind::Binary => 2,
        });
        out.mail_options(&self.options);
        out.u32(self.recipients);
        out.sealed()
    }

    /// From its stored bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        let mut input = Reader::open(bytes)?;
        let record = Self {
            sender: match input.text()? {
                "" => ReversePath::Null,
                text => ReversePath::Address(Address::parse(text).map_err(|_| Undecodable)?),
            },
            rewritten: input
                .option(|input| Address::parse(input.text()?).map_err(|_| Undecodable))?,
            head: input.text()?.to_owned(),
            blob: BlobId::from_bytes(input.array()?),
            skipped: input.u32()?,
            size: input.u64()?,
            received: Timestamp(input.u64()?),
            origin: input.option(|input| input.u64().map(AccountId))?,
            smtputf8: input.flag()?,
            body: match input.u8()? {
                0 => BodyKind::SevenBit,
                1 => BodyKind::EightBit,
                2 => BodyKind::Binary,
                _ => return Err(Undecodable),
            },
            options: input.mail_options()?,
            recipients: input.u32()?,
        };
        input.end().map(|()| record)
    }
}

impl RecipientRecord {
    /// A recipient of whom nothing happened yet.
    pub fn fresh(address: Address, options: RcptOptions, state: State) -> Self {
        Self {
            address,
            options,
            here: None,
            state,
            order: Order::Deliver,
            attempts: 0,
            unfinished: 0,
            fence: 0,
            attempted: None,
            last: None,
            delay_told: false,
            late_told: false,
            via: None,
        }
    }

    /// How often the report of a failure was tried, with the attempt in hand: they are counted
    /// anew, from the one that ended the delivery.
    pub fn reports_tried(&self) -> u32 {
        match self.order {
            Order::Deliver | Order::Bounce => 1,
            Order::Report => self.attempts,
        }
    }

    /// As stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.text(&self.address.to_string());
        out.rcpt_options(&self.options);
        out.option(self.here.as_ref(), |out, here| {
            out.u64(here.account.0);
            out.option(here.tag.as_ref(), |out, tag| out.text(tag));
        });
        let (tag, at) = match self.state {
            State::Waiting(at) => (0, at),
            State::Leased(at) => (1, at),
            State::Held => (2, Timestamp(0)),
            State::Scheduled(at) => (3, at),
        };
        out.0.push(tag);
        out.u64(at.0);
        out.0.push(match self.order {
            Order::Deliver => 0,
            Order::Bounce => 1,
            Order::Report => 2,
        });
        out.u32(self.attempts);
        out.0.push(self.unfinished);
        out.u64(self.fence);
        out.option(self.attempted, |out, (first, last)| {
            out.u64(first.0);
            out.u64(last.0);
        });
        out.option(self.last.as_ref(), Writer::diagnosis);
        out.0.push(u8::from(self.delay_told));
        out.0.push(u8::from(self.late_told));
        out.option(self.via.as_ref(), |out, via| out.text(&via.to_string()));
        out.sealed()
    }

    /// From its stored bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        let mut input = Reader::open(bytes)?;
        let record = Self {
            address: Address::parse(input.text()?).map_err(|_| Undecodable)?,
            options: input.rcpt_options()?,
            here: input.option(|input| {
                let account = AccountId(input.u64()?);
                let tag = input.option(|input| Ok(input.text()?.into()))?;
                Ok(Here { account, tag })
            })?,
            state: match (input.u8()?, Timestamp(input.u64()?)) {
                (0, at) => State::Waiting(at),
                (1, at) => State::Leased(at),
                (2, _) => State::Held,
                (3, at) => State::Scheduled(at),
                _ => return Err(Undecodable),
            },
            order: match input.u8()? {
                0 => Order::Deliver,
                1 => Order::Bounce,
                2 => Order::Report,
                _ => return Err(Undecodable),
            },
            attempts: input.u32()?,
            unfinished: input.u8()?,
            fence: input.u64()?,
            attempted: input
                .option(|input| Ok((Timestamp(input.u64()?), Timestamp(input.u64()?))))?,
            last: input.option(Reader::diagnosis)?,
            delay_told: input.flag()?,
            late_told: input.flag()?,
            via: input.option(|input| input.text()?.parse().map_err(|_| Undecodable))?,
        };
        input.end().map(|()| record)
    }
}

impl Due {
    /// From a row's key and value.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, Undecodable> {
        // QUEUE_DUE space byte, time, message, n: see store::key::queue_due.
        let mut input = Reader(key.get(1..).ok_or(Undecodable)?);
        let end = value.iter().position(|byte| *byte == 0);
        let (domain, rest) = value.split_at(end.ok_or(Undecodable)?);
        let mut rest = Reader(rest.get(1..).ok_or(Undecodable)?);
        let turn = Turn {
            source: Source(rest.u64()?),
            priority: rest.priority()?,
        };
        let (here, over) = (rest.flag()?, rest.flag()?);
        let via = rest.option(|rest| rest.text()?.parse().map_err(|_| Undecodable))?;
        rest.end()?;
        let due = Self {
            at: Timestamp(input.u64()?),
            message: MessageId::from_bytes(input.array()?),
            n: input.u32()?,
            domain: std::str::from_utf8(domain)
                .ok()
                .and_then(|text| Domain::parse(text).ok())
                .ok_or(Undecodable)?,
            turn,
            here,
            over,
            via,
        };
        input.end().map(|()| due)
    }

    /// A row's value: the domain, a zero byte, the source, the priority, whether it stays here,
    /// whether only its report is left, where an operator sends it.
    pub(super) fn value(recipient: &RecipientRecord, turn: Turn) -> Vec<u8> {
        let mut value = Writer(recipient.address.domain.as_str().as_bytes().to_vec());
        value.0.push(0);
        value.u64(turn.source.0);
        value.priority(turn.priority);
        value.0.push(u8::from(recipient.here.is_some()));
        value.0.push(u8::from(recipient.order != Order::Deliver));
        value.option(recipient.via.as_ref(), |out, via| {
            out.text(&via.to_string());
        });
        value.0
    }
}

/// A record together with the exact bytes it was read from, for conditional writes.
#[derive(Clone, Debug)]
pub(super) struct Read<R> {
    pub(super) record: R,
    pub(super) bytes: Bytes,
}

/// Longest diagnosis in bytes.
pub const DIAGNOSIS_BYTES_MAX: usize = 512;
/// Bytes of the fields that are sent before a message; a value of the store takes 64 KiB.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Longest host name in a diagnosis in bytes: a DNS name, with an address behind it.
const HOST_BYTES_MAX: usize = 320;
/// How many numbers all strangers share.
const STRANGERS: u64 = 8;
#[cfg(test)]
mod tests;
