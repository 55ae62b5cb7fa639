//! Getting in and out, and what both sides say about themselves: CAPABILITY, STARTTLS,
//! AUTHENTICATE, LOGIN, LOGOUT, ID, ENABLE, NAMESPACE.
//!
//! RFC 3501 6.1 and 6.2, RFC 4959, RFC 2971, RFC 5161, RFC 2342. Every wrong login is answered
//! alike (AUTH-05); the third closes the connection (LIM-17). Passwords are not taken without TLS
//! unless the settings say so; the dialogue refuses the commands then.

use super::fault::Refusal;
use crate::{
    imap::proto::{
        dialog::Imap,
        enabled::Enabled,
        response::{Code, Response},
    },
    net::authn::AuthRefusal,
};

/// What is told to somebody who is not let in.
pub(super) fn words_for(refusal: AuthRefusal) -> Refusal {
    match refusal {
        AuthRefusal::Wrong => Refusal::no(Code::AuthenticationFailed, "wrong name or password"),
        AuthRefusal::Busy => Refusal::no(Code::Unavailable, "no login possible now, try again"),
        AuthRefusal::TooManySessions => {
            Refusal::no(Code::Limit, "this account has too many sessions; close one")
        }
        AuthRefusal::Malformed => Refusal::bad("this is not a response of the mechanism"),
        AuthRefusal::TooLong => Refusal::bad("this response is too long"),
        AuthRefusal::Cancelled => Refusal::bad("authentication cancelled"),
        AuthRefusal::Unsupported => Refusal::no(Code::Cannot, "no such mechanism"),
    }
}

/// ID (RFC 2971): we say our name and nothing that helps an attacker choose.
pub(super) fn id() -> Response {
    Response::Id(vec![("name", env!("CARGO_PKG_NAME").to_owned())])
}

/// ENABLE (RFC 5161 3.1): switches on what is known, and says what was not on before.
pub(super) fn enable(dialogue: &mut Imap, names: &[String]) -> Response {
    let (before, mut news) = (dialogue.enabled(), Vec::new());
    for name in names {
        let Some((name, known)) = Enabled::named(name) else {
            continue;
        };
        if !before.contains(known) {
            dialogue.enable(known);
            news.push(name.to_owned());
        }
    }
    Response::Enabled(news)
}
