//! Our SMTP server: what is done with the commands of clients, on port 25, on the submission ports,
//! and where an MTA hands mail over by LMTP.
//!
//! The [`Role`]s differ in who may send where: on port 25 nobody logs in and only local recipients
//! are taken (RLY-01); on submission MAIL needs a login, the login needs TLS, and the sender must
//! own its addresses (AUTH-07, RFC 6409); by LMTP (RFC 2033) come local recipients only, each
//! answered for itself, from an MTA that has looked at the sender. A file per group of verbs;
//! `refusal` is the only place where a refusal or a fault becomes a reply. Routing, storing and
//! verifying passwords are others' work.

mod auth;
mod bdat;
mod data;
mod header;
mod headroom;
mod hello;
mod inquiries;
pub mod limits;
mod line_ends;
mod mail;
mod rcpt;
mod reception;
mod refusal;
mod session;
mod xclient;

use std::{sync::Arc, time::Duration};

pub use headroom::Headroom;
pub use refusal::SmtpFault;
pub use session::Session;

use super::proto::{dialog::Dialog, ehlo::Host};
use crate::{
    accounts::Directory,
    base::{clock::Clock, network::Network, random::Random},
    mail::{
        address::Domain,
        urgency::{Priority, SECS_MAX},
    },
    mailbox::Mailboxes,
    net::{
        Peer,
        authn::Authn,
        gate::{Permit, Purpose},
        sessions::Opening,
    },
    route::Router,
    verify::Verifier,
};

/// Whose mail a port takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Port 25: everybody's, for local recipients. Nobody logs in.
    Relay,
    /// Ports 587 and 465: our users', for everybody.
    Submission,
    /// LMTP: what an MTA in front of us took, for local recipients.
    Delivery,
}

/// Settings of one port.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose mail it takes.
    pub role: Role,
    /// Its name in logs: `smtp`, `submission`, `submissions`.
    pub port: &'static str,
    /// What the server calls itself, everywhere.
    pub host: Domain,
    /// Whether STARTTLS is offered; the listener must then have a certificate.
    pub starttls: bool,
    /// LIM-13: largest message in bytes.
    pub message_bytes_max: u64,
    /// LIM-14: recipients of one message; 100 at least (RFC 5321 4.5.3.1.8).
    pub recipients_max: usize,
    /// LIM-15: messages of one connection.
    pub transactions_max: u32,
    /// LIM-07: longest silence between commands.
    pub idle: Duration,
    /// RFC 4865: how long messages may wait that are submitted.
    pub hold_max: Duration,
    /// RFC 6710: the highest priority that those who log in may give; strangers raise none.
    pub priority_max: Priority,
    /// Passwords are taken over plain connections. For tests and for networks that are trusted as a
    /// whole.
    pub insecure_auth_without_tls: bool,
    /// Accounts may write any MAIL FROM and any From (AUTH-07 is off).
    pub insecure_any_sender: bool,
    /// Who may speak for others (XCLIENT).
    pub introducers: Vec<Network>,
    /// Who is told whom an alias or a group stands for.
    pub expn: Expn,
}

/// Who is told whom an alias or a group stands for (RFC 5321 3.5, 7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expn {
    /// Nobody.
    Off,
    /// Members and owners who logged in.
    Users,
    /// Everybody.
    Anyone,
}

impl Options {
    /// The defaults for a port.
    pub fn new(role: Role, port: &'static str, host: Domain) -> Self {
        Self {
            role,
            port,
            host,
            starttls: true,
            message_bytes_max: 50 * 1024 * 1024,
            recipients_max: 500,
            transactions_max: 100,
            idle: Duration::from_secs(300),
            hold_max: Duration::from_secs(30 * 86_400),
            priority_max: Priority::new(4).unwrap_or_default(),
            insecure_auth_without_tls: false,
            insecure_any_sender: false,
            introducers: Vec::new(),
            expn: Expn::Off,
        }
    }

    /// RFC 4865 3: what of that can be said.
    fn hold_secs_max(&self) -> Option<u32> {
        let secs = u32::try_from(self.hold_max.as_secs()).unwrap_or(SECS_MAX);
        (secs > 0).then_some(secs.min(SECS_MAX))
    }

    /// The server as it presents itself to clients.
    fn presented(&self) -> Host {
        Host {
            name: self.host.to_string(),
            message_bytes_max: self.message_bytes_max,
            recipients_max: self.recipients_max,
            transactions_max: self.transactions_max,
            hold_secs_max: self.hold_secs_max(),
        }
    }
}

/// What the server asks others for.
#[derive(Clone)]
pub struct Services {
    /// Where mail goes.
    pub router: Router,
    /// Where bodies are taken in.
    pub mailboxes: Mailboxes,
    /// Whose address is whose.
    pub directory: Directory,
    /// Who may log in.
    pub authn: Authn,
    /// What time it is.
    pub clock: Clock,
    /// For the ids of messages.
    pub random: Random,
    /// For large headers; one for all ports.
    pub headroom: Headroom,
    /// Who looks at what strangers bring; for port 25.
    pub verifier: Option<Verifier>,
}

/// One port's server.
pub struct Server(Arc<Shared>);

/// What all sessions of a port share.
struct Shared {
    options: Options,
    presented: Host,
    services: Services,
}

impl Server {
    /// A server for one port.
    pub fn new(options: Options, services: Services) -> Self {
        Self(Arc::new(Shared {
            presented: options.presented(),
            options,
            services,
        }))
    }
}

impl Opening for Server {
    type Protocol = Dialog;
    type Service = Session;

    fn name(&self) -> &'static str {
        self.0.options.port
    }

    fn purpose(&self) -> Purpose {
        match self.0.options.role {
            Role::Relay | Role::Submission => Purpose::Mail,
            Role::Delivery => Purpose::Delivery,
        }
    }

    fn open(&self, peer: &Peer, permit: Permit) -> (Dialog, Session) {
        (
            Dialog::default(),
            Session::new(Arc::clone(&self.0), peer, permit),
        )
    }

    fn protocol(&self) -> Dialog {
        Dialog::default()
    }
}
