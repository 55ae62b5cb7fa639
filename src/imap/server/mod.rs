//! The IMAP server: what our side does with each command of RFC 3501 and its extensions.
//!
//! One file per group of verbs; `session` holds the states and moves between them, `updates` is the
//! one place that tells pending changes, `fault` the one place where a fault becomes text. Grammar
//! and encoding are in `imap::proto`, a session's numbering of its mailbox in `imap::view`,
//! mailboxes themselves in `mailbox`. No message body is ever whole in memory here except small
//! ones on their way out.

mod acl;
mod append;
mod append_message;
mod contexts;
mod copy;
mod effort;
mod expunge;
mod fault;
mod fetch;
mod fetch_binary;
mod fetch_body;
mod flags;
mod heads;
mod limits;
mod list;
mod listening;
mod login;
mod lookup;
mod mailboxes;
mod message_limit;
mod metadata;
mod multisearch;
mod news;
mod place;
mod preview;
mod progress;
mod quota;
mod resync;
mod scope;
mod search;
mod search_answer;
mod search_found;
mod search_key;
mod search_reading;
mod select;
mod session;
mod sort;
mod spelling;
mod store;
mod thread;
mod tree;
mod updates;
mod verbs;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use crate::{
    base::{clock::Clock, ids::AccountId},
    fulltext::Fulltext,
    imap::proto::{dialog::Imap, verbs::Bounds},
    mailbox::Mailboxes,
    net::{
        Peer,
        authn::Authn,
        gate::{Permit, Purpose},
        sessions::Opening,
    },
};

pub use self::{fault::ImapFault, session::Session};

/// Settings of an IMAP server.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port's name in logs: `imap` or `imaps`.
    pub name: &'static str,
    /// The name in the greeting.
    pub host_name: String,
    /// Whether STARTTLS is offered; false on ports that begin with TLS or have none.
    pub starttls: bool,
    /// Passwords are taken without TLS. Weakens security; for ports that only this machine reaches.
    pub insecure_auth_without_tls: bool,
    /// LIM-13: bytes of a message that APPEND takes.
    pub message_bytes_max: u64,
    /// Messages that one command may be about; none: as many as there are (RFC 9738).
    pub message_limit: Option<NonZeroU32>,
    /// LIM-09: silence after login (RFC 9051 5.4: 30 minutes at least).
    pub idle: Duration,
    /// What is told of the server as `/shared/comment`; empty: nothing (RFC 5464 6.2.1).
    pub comment: String,
    /// A URI, told as `/shared/admin`; empty: nothing (RFC 5464 6.2.2).
    pub admin: String,
}

impl Options {
    /// What is announced of them.
    fn bounds(&self) -> Bounds {
        Bounds {
            message_bytes_max: self.message_bytes_max,
            message_limit: self.message_limit,
        }
    }
}

/// What is asked of the accounts; made of them by the composition root.
pub trait People: Send + Sync + 'static {
    /// Bytes of all messages of `account` together; `None` for no bound of its own.
    fn quota_bytes(&self, account: AccountId) -> Option<u64>;

    /// The account that logs in by this name, in any of its spellings.
    fn account(&self, name: &str) -> Option<AccountId>;

    /// Who an account is; `None` when it is no more.
    fn person(&self, account: AccountId) -> Option<Person>;
}

/// An account, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Its first address.
    pub address: String,
    /// It is nobody's own: its mailboxes are there to be shared.
    pub shared: bool,
}

/// An IMAP server: makes the sessions of one port.
pub struct ImapServer {
    services: Arc<Services>,
}

/// What sessions use.
pub(in crate::imap::server) struct Services {
    mailboxes: Mailboxes,
    authn: Authn,
    people: Arc<dyn People>,
    fulltext: Fulltext,
    clock: Clock,
    heavy_work: effort::HeavyWork,
    options: Options,
}

impl ImapServer {
    /// A server over these services.
    pub fn new(
        mailboxes: Mailboxes,
        authn: Authn,
        people: Arc<dyn People>,
        fulltext: Fulltext,
        clock: Clock,
        options: Options,
    ) -> Self {
        Self {
            services: Arc::new(Services {
                mailboxes,
                authn,
                people,
                fulltext,
                clock,
                heavy_work: effort::HeavyWork::default(),
                options,
            }),
        }
    }
}

impl Opening for ImapServer {
    type Protocol = Imap;
    type Service = Session;

    fn name(&self) -> &'static str {
        self.services.options.name
    }

    fn purpose(&self) -> Purpose {
        Purpose::Mailboxes
    }

    fn open(&self, peer: &Peer, permit: Permit) -> (Imap, Session) {
        let session = Session::new(Arc::clone(&self.services), peer, permit);
        (self.protocol(), session)
    }

    fn protocol(&self) -> Imap {
        Imap::new(self.services.options.message_bytes_max)
    }
}
