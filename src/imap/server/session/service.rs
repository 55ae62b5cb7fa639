//! What the driver asks of a session: how patient it is, what a command does, what wakes it.
//!
//! The states and their verbs are in `session`. RFC 3501 3, RFC 2177.

use super::{
    super::{
        fault::ImapFault,
        limits::{IDLE_BEFORE_LOGIN, STRIKES_SLOW, TOTAL_BEFORE_LOGIN},
        search,
    },
    Asked, Session, State, with_tag,
};
use crate::{
    imap::proto::{
        command::Command,
        dialog::Imap,
        limits::{STRIKES_AFTER_LOGIN_MAX, STRIKES_BEFORE_LOGIN_MAX},
        response::{Code, Response},
        verbs::{Numbers, Stage, Tls},
    },
    net::{Halt, Next, Peer, Service, Terms, Turn, authn::Login},
};

impl Service<Imap> for Session {
    type Fault = ImapFault;

    fn stage(&self) -> Stage {
        match &self.state {
            _ if self.parked.is_some() => Stage::Idling,
            State::Greeted | State::LoggedOut => Stage::Greeted {
                tls: self.tls,
                insecure_login_allowed: self.services.options.insecure_auth_without_tls,
            },
            State::Ready(_) => Stage::Authenticated,
            State::Selected(_, selected) => Stage::Selected {
                read_only: selected.is_read_only(),
            },
        }
    }

    fn terms(&self) -> Terms {
        match &self.state {
            State::Greeted => Terms {
                idle: IDLE_BEFORE_LOGIN,
                total: Some(self.strange_since + TOTAL_BEFORE_LOGIN),
                strikes_slow: STRIKES_BEFORE_LOGIN_MAX,
                strikes_max: STRIKES_BEFORE_LOGIN_MAX,
                strikes_forgiven: false,
            },
            State::Ready(_) | State::Selected(..) | State::LoggedOut => Terms {
                idle: self.services.options.idle,
                total: None,
                strikes_slow: STRIKES_SLOW,
                strikes_max: STRIKES_AFTER_LOGIN_MAX,
                strikes_forgiven: true,
            },
        }
    }

    async fn greet(&mut self, _peer: &Peer) -> Response {
        // RFC 3501 7.1: the greeting may spare the client a CAPABILITY.
        let code = Code::Capability(self.capabilities());
        Response::note(
            code,
            format!("{} is ready", self.services.options.host_name),
        )
    }

    async fn run(
        &mut self,
        command: Command,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Next<Response>, Halt<ImapFault>> {
        let Command { tag, verb, body } = command;
        let numbers = match search::names_numbers(&body) {
            true => Numbers::Used,
            false => verb.numbers,
        };
        let asked = Asked { tag, verb, numbers };
        let outcome = self.command(&asked, body, turn).await;
        outcome.map_err(|stop| with_tag(stop, Some(asked.tag)))
    }

    fn secured(&mut self, _peer: &Peer) {
        self.tls = Tls::Active;
        self.state = State::Greeted;
    }

    fn login(&self) -> Option<&Login> {
        match &self.state {
            State::Ready(login) | State::Selected(login, _) => Some(login),
            State::Greeted | State::LoggedOut => None,
        }
    }

    fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    async fn changed(&mut self) {
        if let Some(listening) = &mut self.listening {
            // Boxed: hardly anybody comes here, and everybody would hold its room (LIM-36).
            return Box::pin(listening.changed()).await;
        }
        match self
            .parked
            .as_mut()
            .and_then(|parked| parked.watch.as_mut())
        {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    }

    async fn catch_up(
        &mut self,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Next<Response>, Halt<ImapFault>> {
        let told = self.tell_changes(turn).await;
        told.map_err(|stop| with_tag(stop, None))
    }

    fn refusal_for(&self, fault: &ImapFault) -> Response {
        Response::from(fault)
    }
}
