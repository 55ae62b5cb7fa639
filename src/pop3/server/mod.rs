//! The POP3 server: one session per connection, one session per maildrop.
//!
//! It serves INBOX as it was at the login (RFC 1939 3 and 8). Flags are IMAP's: nothing here sets
//! `\Seen`.

mod maildrop;
mod session;

use std::{sync::Arc, time::Duration};

pub use maildrop::Maildrops;
pub use session::{Pop3Fault, Session};

use crate::{
    mailbox::Mailboxes,
    net::{
        Peer,
        authn::Authn,
        gate::{Permit, Purpose},
        sessions::Opening,
    },
    pop3::proto::Pop3,
};

/// The server's settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// LIM-09: silence after the login; RFC 1939 3 asks for ten minutes at least.
    pub idle: Duration,
    /// LIM-06: silence before the login.
    pub idle_before_login: Duration,
    /// LIM-06: time until the login.
    pub login_time: Duration,
    /// Lets clients log in without TLS. For tests on loopback.
    pub insecure_without_tls: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(600),
            idle_before_login: Duration::from_secs(60),
            login_time: Duration::from_secs(180),
            insecure_without_tls: false,
        }
    }
}

/// What every POP3 session shares. Cheap to clone.
#[derive(Clone)]
pub struct Server(Arc<Parts>);

struct Parts {
    name: &'static str,
    options: Options,
    authn: Authn,
    mailboxes: Mailboxes,
    maildrops: Maildrops,
}

impl Server {
    /// A server for the port called `name` in logs. Ports of one process share `maildrops`.
    pub fn new(
        name: &'static str,
        options: Options,
        authn: Authn,
        mailboxes: Mailboxes,
        maildrops: Maildrops,
    ) -> Self {
        Self(Arc::new(Parts {
            name,
            options,
            authn,
            mailboxes,
            maildrops,
        }))
    }

    fn options(&self) -> &Options {
        &self.0.options
    }

    fn authn(&self) -> &Authn {
        &self.0.authn
    }

    fn mailboxes(&self) -> &Mailboxes {
        &self.0.mailboxes
    }

    fn maildrops(&self) -> &Maildrops {
        &self.0.maildrops
    }
}

impl Opening for Server {
    type Protocol = Pop3;
    type Service = Session;

    fn name(&self) -> &'static str {
        self.0.name
    }

    fn purpose(&self) -> Purpose {
        Purpose::Mailboxes
    }

    fn open(&self, peer: &Peer, permit: Permit) -> (Pop3, Session) {
        (Pop3, Session::new(self.clone(), peer.clone(), permit))
    }

    fn protocol(&self) -> Pop3 {
        Pop3
    }
}
