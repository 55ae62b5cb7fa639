//! XCLIENT (<http://www.postfix.org/XCLIENT_README.html>): who was named in `smtp.xclient_from`
//! tells whom it speaks for.
//!
//! What is told counts as if the client had connected itself: for limits, the checks of senders,
//! Received and logs. Clients whose address is not known count together, not as the proxy, which
//! they could keep out; nothing is asked about their address. The session begins anew with the
//! greeting; TLS stays what it is. Attributes may come in several commands; what was told stays
//! until something else is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::time::Instant;

use super::{
    Role,
    session::{Greeted, Session, State},
};
use crate::{
    net::{
        Next, Turn,
        authn::{AuthRefusal, Login},
    },
    smtp::proto::{
        command::ClientName,
        dialog::Dialog,
        reply::{Detail, Reply},
        xclient::{Introduction, Told},
    },
};

/// What was told of the client beside its addresses.
#[derive(Debug, Default)]
pub(super) struct Introduced {
    name: Option<ClientName>,
    helo: Option<ClientName>,
    extended: Option<bool>,
    /// Its login was, too.
    vouched: bool,
}

impl Introduced {
    /// The client, which now calls itself so; but what was told of it holds.
    pub(super) fn over(&self, name: ClientName, extended: bool) -> Greeted {
        Greeted {
            name: self.helo.clone().unwrap_or(name),
            extended: self.extended.unwrap_or(extended),
        }
    }

    /// What the DNS calls it.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_ref().map(ClientName::as_str)
    }
}

impl Session {
    pub(super) fn xclient(
        &mut self,
        told: Introduction,
        turn: &mut Turn<'_, Dialog>,
    ) -> Next<Reply> {
        let peer = turn.peer();
        let (remote, local) = (peer.remote, peer.local);
        let socket = |ip: Told<IpAddr>, port: Told<u16>, before: SocketAddr| {
            let ip = ip.or(Some(before.ip())).unwrap_or(UNKNOWN);
            SocketAddr::new(ip, port.or(Some(before.port())).unwrap_or(0))
        };
        let remote = socket(told.address, told.port, remote);
        let local = socket(told.local_address, told.local_port, local);
        let login = match self.vouched(told.login, remote.ip()) {
            Ok(login) => login,
            Err(reply) => return Next::Refuse(reply),
        };
        if self.permit.rename(remote.ip(), Instant::now()).is_err() {
            let text = "too many connections from the client's address";
            return Next::Close(Reply::new(421, Detail(7, 0), text));
        }
        if login.is_some() {
            self.permit.logged_in();
        }
        let before = std::mem::take(&mut self.introduced);
        self.introduced = Introduced {
            name: told.name.or(before.name),
            helo: told.helo.or(before.helo),
            extended: told.extended.or(before.extended),
            vouched: login.is_some(),
        };
        self.login = login;
        self.state = State::Connected;
        turn.introduce(remote, local);
        tracing::debug!(peer.ip = %remote.ip(), "a client was introduced");
        let greeting = self.shared.presented.greeting(self.dialect());
        self.idle_talk(greeting)
    }

    /// As whom the client is logged in: as it was told, not by a password of its own.
    fn vouched(&mut self, login: Told<String>, source: IpAddr) -> Result<Option<Login>, Reply> {
        let name = match login {
            Told::Is(name) => name,
            Told::Unknown => return Ok(None),
            Told::Unsaid => return Ok(self.login.take().filter(|_| self.introduced.vouched)),
        };
        if self.shared.options.role != Role::Submission {
            let text = "LOGIN is for submission; EHLO lists what is known here";
            return Err(Reply::new(501, Detail(5, 4), text));
        }
        let login = self.shared.services.authn.vouched(source, &name);
        login.map(Some).map_err(|refusal| match refusal {
            AuthRefusal::TooManySessions => {
                Reply::new(450, Detail(7, 0), "too many sessions of this account")
            }
            _ => Reply::new(550, Detail(7, 8), "nobody here logs in with this name"),
        })
    }
}

/// The address of all clients of whom nobody knows it.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
