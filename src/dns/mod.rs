//! Questions to the DNS, as mail needs them: MX records, addresses, texts, names of addresses.
//!
//! [`Resolver`] is what the relay and the checks of senders see; [`System`] asks real name servers,
//! [`Fake`] answers tests from a table. What does not exist and what could not be found out are
//! different answers and are never mixed (DNS-02): the first ends a message, the second delays it.
//! What DNSSEC proves is told beside the answer, and only a resolver that the operator trusts may
//! say so (DNS-03). Not here: what the answers mean for delivery (`relay::hosts`) or about a sender
//! (`verify`).

mod cache;
mod fake;
mod servers;
mod system;

pub use fake::Fake;
pub use servers::{Options, SetupError};
pub use system::System;

use std::{fmt, net::IpAddr};

use crate::base::future::BoxFuture;

/// Answers questions.
pub trait Resolver: Send + Sync + 'static {
    /// The MX records of a domain, in any order.
    fn mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Answer<Vec<Mx>>>;

    /// The same, and whether DNSSEC proves it.
    fn proven_mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Proven<Vec<Mx>>>;

    /// Where a host is, and under which names records about it are proven.
    fn located<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Located>;

    /// The TLSA records of a name, and whether DNSSEC proves them.
    fn associations<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Proven<Vec<Tlsa>>>;

    /// The IPv6 and IPv4 addresses of a host.
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Answer<Vec<IpAddr>>>;

    /// The addresses of a host in one family; nothing is asked about the other.
    fn family<'a>(&'a self, host: &'a str, family: Family) -> BoxFuture<'a, Answer<Vec<IpAddr>>>;

    /// The TXT records of a name, in any order: each its strings, joined (RFC 7208 3.3).
    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Answer<Vec<Vec<u8>>>>;

    /// The SRV records of a service, in any order.
    fn services<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Answer<Vec<Service>>>;

    /// The names that an address has by its PTR records, in lower case without a final dot.
    fn names(&self, address: IpAddr) -> BoxFuture<'_, Answer<Vec<String>>>;
}

/// A kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A records.
    Four,
    /// AAAA records.
    Six,
}

impl Family {
    /// Whether an address is of it.
    pub fn has(self, address: &IpAddr) -> bool {
        address.is_ipv4() == (self == Self::Four)
    }
}

/// An MX record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mx {
    /// Lower is better.
    pub preference: u16,
    /// The host in lower case without a final dot; empty for the root, which means "no mail" (RFC
    /// 7505). Only letters, digits, hyphens, underscores and dots.
    pub exchange: String,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// Lower is better.
    pub priority: u16,
    /// Among those of one priority, more is chosen more often.
    pub weight: u16,
    /// Where it listens.
    pub port: u16,
    /// The host in lower case without a final dot; empty for the root, which means "not here".
    pub target: String,
}

/// A TLSA record as it stands (RFC 6698 2.1); what it means is decided elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tlsa {
    /// Certificate usage.
    pub usage: u8,
    /// Selector.
    pub selector: u8,
    /// Matching type.
    pub matching: u8,
    /// What to compare with.
    pub data: Vec<u8>,
}

/// RFC 6698 2.2.
impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            usage,
            selector,
            matching,
            data,
        } = self;
        write!(f, "{usage} {selector} {matching} ")?;
        data.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An answer, and what it is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven<T> {
    /// The answer.
    pub answer: Answer<T>,
    /// DNSSEC proves it, and somebody whom the operator trusts looked.
    pub secure: bool,
}

/// The addresses of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// In both families.
    pub addresses: Answer<Vec<IpAddr>>,
    /// The names by which DNSSEC proves where it is, the best one first: where its aliases lead,
    /// and the name itself (RFC 7672 2.2.2). Empty when nothing proves it.
    pub proven_names: Vec<String>,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// There are records.
    Found(T),
    /// The name exists and has no such records.
    NoRecords,
    /// The name does not exist.
    NoSuchName,
    /// It could not be found out, for this reason; ask again later.
    Temporary(String),
}

impl<T> Answer<T> {
    /// The same answer about something else.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Self::Found(found) => Answer::Found(map(found)),
            Self::NoRecords => Answer::NoRecords,
            Self::NoSuchName => Answer::NoSuchName,
            Self::Temporary(why) => Answer::Temporary(why),
        }
    }
}
