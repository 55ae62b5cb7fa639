//! AUTH (RFC 4954). The exchange and its verdict are `net::authn`'s; here they become replies.

use super::session::{Done, Session};
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
        let initial = auth.initial.as_ref();
        let initial = initial.map(|initial| initial.expose().as_ref());
        let authn = self.shared.services.authn.clone();
        match authn.sasl(turn, &auth.mechanism, initial).await? {
            Ok(login) => {
                self.permit.logged_in();
                self.login = Some(login);
                Ok(Next::Reply(Reply::new(
                    235,
                    Detail(7, 0),
                    "you are logged in",
                )))
            }
            Err(denial) => Ok(denial.next(refused(denial.why))),
        }
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
