//! HELO and EHLO (RFC 5321 4.1.1.1). Whatever the client calls itself, it is served (RFC 5321
//! 4.1.4).

use super::session::{Greeted, Session, State};
use crate::{
    net::Service,
    smtp::proto::{command::ClientName, reply::Reply},
};

impl Session {
    pub(super) fn helo(&mut self, name: ClientName) -> Reply {
        let extended = false;
        self.state = State::Greeted(Greeted { name, extended });
        self.shared.presented.helo()
    }

    pub(super) fn ehlo(&mut self, name: ClientName) -> Reply {
        let extended = true;
        self.state = State::Greeted(Greeted { name, extended });
        let now = self.shared.services.clock.wall();
        self.shared.presented.ehlo(self.stage(), now)
    }
}
