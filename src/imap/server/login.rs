//! Getting in and out, and what both sides say about themselves: CAPABILITY, STARTTLS,
//! AUTHENTICATE, LOGIN, LOGOUT, ID, ENABLE, NAMESPACE.
//!
//! RFC 3501 6.1 and 6.2, RFC 4959, RFC 2971, RFC 5161, RFC 2342. Every wrong login is answered
//! alike (AUTH-05); the third closes the connection (LIM-17). Passwords are not taken without TLS
//! unless the settings say so; the dialogue refuses the commands then.

use bytes::Bytes;

use super::{Services, fault::Refusal, limits::LOGIN_FAILURES_MAX};
use crate::{
    base::secret::Secret,
    imap::proto::{
        dialog::Imap,
        response::{Code, Response},
    },
    net::{
        Gone, Turn,
        authn::{AuthRefusal, Login},
    },
    wire::base64,
};

/// What is known of somebody who is not let in yet.
#[derive(Debug, Default)]
pub(super) struct Greeted {
    /// Wrong logins so far (LIM-17).
    failures: u32,
}

/// How a login went.
pub(super) enum Attempt {
    /// Come in.
    Entered(Login),
    /// Try again.
    Refused(Refusal),
    /// No further try on this connection (LIM-17).
    Dismissed(Refusal),
}

/// AUTHENTICATE (RFC 3501 6.2.2, RFC 4959).
pub(super) async fn authenticate(
    greeted: &mut Greeted,
    services: &Services,
    mechanism: &str,
    initial: Option<&Secret<Bytes>>,
    turn: &mut Turn<'_, Imap>,
) -> Result<Attempt, Gone> {
    let initial = initial.map(|response| match response.expose().as_ref() {
        b"" => "=".to_owned(),
        bytes => base64::encode(bytes),
    });
    let initial = initial.as_deref().map(str::as_bytes);
    let outcome = services.authn.sasl(turn, mechanism, initial).await?;
    Ok(greeted.judge(outcome))
}

/// LOGIN (RFC 3501 6.2.3).
pub(super) async fn login(
    greeted: &mut Greeted,
    services: &Services,
    user: &str,
    password: &Secret<String>,
    turn: &mut Turn<'_, Imap>,
) -> Result<Attempt, Gone> {
    let outcome = services.authn.password(turn, user, password).await?;
    Ok(greeted.judge(outcome))
}

impl Greeted {
    fn judge(&mut self, outcome: Result<Login, AuthRefusal>) -> Attempt {
        let refusal = match outcome {
            Ok(login) => return Attempt::Entered(login),
            Err(refusal) => refusal,
        };
        let said = words_for(refusal);
        if matches!(
            refusal,
            AuthRefusal::Wrong | AuthRefusal::Malformed | AuthRefusal::TooLong
        ) {
            self.failures += 1;
        }
        if self.failures >= LOGIN_FAILURES_MAX {
            Attempt::Dismissed(said)
        } else {
            Attempt::Refused(said)
        }
    }
}

fn words_for(refusal: AuthRefusal) -> Refusal {
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
