//! AUTH (RFC 4954). The exchange and its verdict are `net::authn`'s; here they become replies.

use super::{
    limits::FAILED_LOGINS_MAX,
    session::{Done, Session},
};
use crate::{
    net::{Next, Turn, authn::AuthRefusal},
    smtp::proto::{
        command::Auth,
        dialog::Dialog,
        reply::{Detail, Reply},
    },
};

impl Session {
    pub(super) async fn auth(&mut self, auth: Auth, turn: &mut Turn<'_, Dialog>) -> Done {
        let initial = auth
            .initial
            .as_ref()
            .map(|initial| initial.expose().as_ref());
        let authn = self.shared.services.authn.clone();
        match authn.sasl(turn, auth.mechanism.as_str(), initial).await? {
            Ok(login) => {
                self.permit.logged_in();
                self.login = Some(login);
                Ok(Next::Reply(Reply::new(
                    235,
                    Detail(7, 0),
                    "you are logged in",
                )))
            }
            Err(AuthRefusal::Wrong) => self.failed_login(turn).await,
            Err(refusal) if refusal.is_mistake() => Ok(Next::Refuse(refused(refusal))),
            Err(refusal) => Ok(Next::Reply(refused(refusal))),
        }
    }

    async fn failed_login(&mut self, turn: &mut Turn<'_, Dialog>) -> Done {
        let reply = refused(AuthRefusal::Wrong);
        self.counts.failed_logins += 1;
        if self.counts.failed_logins < FAILED_LOGINS_MAX {
            return Ok(Next::Reply(reply));
        }
        // LIM-17: the answer to this try, then the end.
        turn.reply(&reply).await?;
        Ok(Next::Close(Reply::new(
            421,
            Detail(7, 0),
            "too many failed logins",
        )))
    }
}

/// RFC 4954 4 and 6.
fn refused(refusal: AuthRefusal) -> Reply {
    match refusal {
        AuthRefusal::Wrong => Reply::new(535, Detail(7, 8), "name or password is wrong"),
        AuthRefusal::Busy => {
            Reply::new(454, Detail(7, 0), "cannot log you in now, try again later")
        }
        AuthRefusal::TooManySessions => Reply::new(
            454,
            Detail(7, 0),
            "too many sessions of this account, try again later",
        ),
        AuthRefusal::Malformed => Reply::new(501, Detail(5, 2), "this is not the mechanism's form"),
        AuthRefusal::TooLong => Reply::new(500, Detail(5, 6), "the line is too long"),
        AuthRefusal::Cancelled => Reply::new(501, Detail(7, 0), "given up"),
        AuthRefusal::Unsupported => {
            Reply::new(504, Detail(5, 4), "no such mechanism; EHLO lists them")
        }
    }
}
