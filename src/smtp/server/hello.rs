//! HELO, EHLO and LHLO (RFC 5321 4.1.1.1, RFC 2033 4.1). Whatever the client calls itself, it is
//! served (RFC 5321 4.1.4).

use super::session::{Session, State};
use crate::{
    net::Service,
    smtp::proto::{command::ClientName, reply::Reply},
};

impl Session {
    pub(super) fn helo(&mut self, name: ClientName) -> Reply {
        self.state = State::Greeted(self.introduced.over(name, false));
        self.shared.presented.helo()
    }

    pub(super) fn ehlo(&mut self, name: ClientName) -> Reply {
        self.state = State::Greeted(self.introduced.over(name, true));
        let now = self.shared.services.clock.wall();
        self.shared.presented.ehlo(self.stage(), now)
    }
}
