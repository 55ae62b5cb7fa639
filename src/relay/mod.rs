//! Outbound mail as work: finds what is due, attempts it, records what came of it, tells senders.
//!
//! [`Relay::run`] is the worker. It scans the queue when woken, when something becomes due and once
//! a minute, sorts what it finds by destination ([`board`]), and runs a bounded number of attempts
//! as tasks that it owns and joins. Decisions are pure: [`hosts`] (where to),
//! `smtp::client::classify` and [`verdict`] (what a reply means), `queue::schedule` (when again),
//! `route::report` (what the sender reads). RFC 5321 2.1, 4.5.4, 5, 6.1.

mod attempt;
mod board;
mod conclude;
mod handover;
mod here;
pub mod hosts;
mod https;
mod kind;
mod lines;
mod news;
mod open;
mod plan;
mod pool;
mod protect;
mod race;
mod recall;
mod routes;
mod run;
mod seats;
mod source;
pub mod sts;
pub mod tlsrpt;
mod verdict;

use std::{
    collections::BTreeSet,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use https::{FetchError, Https};
pub use open::{Connector, Tcp};
pub use routes::{Route, Routes, Way};
pub use run::ABORT_TIME;
pub use source::{SourceError, Sources};

use crate::{
    base::{clock::Clock, random::Random},
    dns::Resolver,
    mail::{address::Domain, by_domain::ByDomain},
    queue::{
        Queue,
        record::{Due, NamedHost, RecipientRecord, Via},
    },
    route::Postman,
    smtp::client::{Timeouts, TlsClient, conversation::Security},
};
use board::Board;
pub use board::{Limits, Rate};
use pool::Pool;
use recall::Recall;
use seats::Seats;

/// The worker of the queue. Cheap to clone; one of them runs.
#[derive(Clone)]
pub struct Relay(Arc<Shared>);

/// What the relay works with.
#[derive(Clone)]
pub struct Parts {
    /// The queue.
    pub queue: Queue,
    /// Answers about domains and hosts.
    pub resolver: Arc<dyn Resolver>,
    /// Makes connections.
    pub connector: Arc<dyn Connector>,
    /// Knows what other domains demand by MTA-STS, where that is followed.
    pub policies: Option<sts::Policies>,
    /// Counts sessions for reports to other domains, where those are sent.
    pub ledger: Option<tlsrpt::Ledger>,
    /// Takes reports to senders.
    pub postman: Arc<dyn Postman>,
    /// Makes TLS connections of plain ones.
    pub tls: TlsClient,
    /// Wall time.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
}

/// Settings of the relay.
#[derive(Clone, Debug)]
pub struct Options {
    /// Our name: in EHLO and in reports.
    pub name: String,
    /// What we are to the DNS, and where we do not go.
    pub own: hosts::Own,
    /// The port of the world's mail servers.
    pub port: u16,
    /// TLS towards the mail servers of certain domains; for others their policies say.
    pub tls: ByDomain<Option<Security>>,
    /// Follows TLSA records (RFC 7672), where the resolver can prove them.
    pub dane: bool,
    /// Where connections come from that no route says otherwise of.
    pub sources: Sources,
    /// Hosts for certain domains, instead of what the DNS says.
    pub routes: Routes,
    /// A host for all other domains.
    pub smarthost: Option<Route>,
    /// Attempts at the same time.
    pub attempts_max: usize,
    /// Attempts at the same time and recipients in a time, for each destination.
    pub limits: ByDomain<Limits>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long the other side may take, for each command.
    pub timeouts: Timeouts,
    /// How long after a stop is waited for the answer to a final dot that was sent.
    pub stop_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "localhost".to_owned(),
            own: hosts::Own::default(),
            port: 25,
            tls: ByDomain::new(None),
            dane: true,
            sources: Sources::default(),
            routes: Routes::default(),
            smarthost: None,
            attempts_max: 300,
            limits: Limits::default().into(),
            connect_timeout: Duration::from_secs(30),
            timeouts: Timeouts::default(),
            stop_timeout: Duration::from_secs(20),
        }
    }
}

/// Where mail goes, as far as attempts have something in common: connections, pace, fate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// The hosts that the DNS names for a domain.
    Direct(Domain),
    /// The hosts that the operator named for a domain.
    Routed(Domain),
    /// The hosts that the operator named for all domains below this one.
    Below(Domain),
    /// The host that the operator named for everything else.
    Smarthost,
    /// The host that the operator named for these recipients.
    Named(NamedHost),
    /// Mailboxes here, whose mail waited for its time.
    Here,
}

/// For the log: a domain, or what stands for all of them.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct(domain) | Self::Routed(domain) => domain.fmt(f),
            Self::Below(domain) => write!(f, "*.{domain}"),
            Self::Named(host) => host.fmt(f),
            Self::Smarthost => f.write_str("smarthost"),
            Self::Here => f.write_str("here"),
        }
    }
}

impl Options {
    /// Where what is due goes.
    pub fn destination(&self, due: &Due) -> Destination {
        self.way(&due.domain, due.here, due.via.as_ref())
    }

    /// Where a recipient's mail goes.
    fn destination_of(&self, recipient: &RecipientRecord) -> Destination {
        let here = recipient.here.is_some();
        self.way(&recipient.address.domain, here, recipient.via.as_ref())
    }

    fn way(&self, domain: &Domain, here: bool, via: Option<&Via>) -> Destination {
        if here {
            return Destination::Here;
        }
        match via {
            Some(Via::Host(host)) => return Destination::Named(host.clone()),
            Some(Via::Mx) => return Destination::Direct(domain.clone()),
            Some(Via::Smarthost) if self.smarthost.is_some() => return Destination::Smarthost,
            // One that is no longer there: where mail goes without a word.
            Some(Via::Smarthost) | None => {}
        }
        self.routes.destination(domain).unwrap_or_else(|| {
            if self.smarthost.is_some() {
                Destination::Smarthost
            } else {
                Destination::Direct(domain.clone())
            }
        })
    }

    /// What is allowed for this destination.
    fn limits(&self, to: &Destination) -> Limits {
        match to {
            Destination::Direct(domain) | Destination::Routed(domain) => *self.limits.of(domain),
            Destination::Below(domain) => *self.limits.below(domain),
            Destination::Smarthost | Destination::Named(_) => *self.limits.all(),
            Destination::Here => Limits::default(),
        }
    }

    /// Every address that connections are to come from.
    pub fn all_sources(&self) -> BTreeSet<IpAddr> {
        let routes = self.routes.all().chain(&self.smarthost);
        let sources = routes.map(|route| route.sources).chain([self.sources]);
        sources.flat_map(Sources::all).collect()
    }

    /// The hosts that the operator named for this destination.
    fn route(&self, to: &Destination) -> Option<&Route> {
        match to {
            Destination::Direct(_) | Destination::Named(_) | Destination::Here => None,
            Destination::Routed(domain) => self.routes.exact(domain),
            Destination::Below(domain) => self.routes.below(domain),
            Destination::Smarthost => self.smarthost.as_ref(),
        }
    }
}

/// What all attempts share.
struct Shared {
    parts: Parts,
    options: Options,
    board: Mutex<Board>,
    pool: Mutex<Pool>,
    recall: Mutex<Recall>,
    seats: Seats,
}

impl Relay {
    /// A relay that does nothing until it is run.
    pub fn new(parts: Parts, options: Options) -> Self {
        Self(Arc::new(Shared {
            board: Mutex::new(Board::new(options.attempts_max)),
            parts,
            options,
            pool: Mutex::default(),
            recall: Mutex::default(),
            seats: Seats::default(),
        }))
    }
}

impl Shared {
    /// The board; never held across an await.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The waiting connections; never held across an await.
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered of addresses; never held across an await.
    fn recall(&self) -> MutexGuard<'_, Recall> {
        self.recall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
