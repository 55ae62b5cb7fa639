//! Logging in over a line protocol: the SASL exchange, the delay of the answer, and what a refusal
//! costs the connection.
//!
//! RFC 4422, RFC 4954 4, RFC 5034 4, RFC 3501 6.2. Whether somebody may come in is `authn`'s.

use super::{
    authn::{AuthRefusal, Authn, Login, Outcome, Verdict},
    conn::Gone,
    protocol::{Farewell, Next, Protocol},
    turn::{Response, Turn},
};
use crate::{
    base::secret::Secret,
    sasl::{Credentials, Exchange, Mechanism, SaslStep},
    wire::MechanismName,
};

/// A refused login, already counted.
#[derive(Clone, Copy, Debug)]
pub struct Denial {
    /// Why.
    pub why: AuthRefusal,
    verdict: Verdict,
}

impl Denial {
    /// Says `reply`, and does to the connection what it has come to.
    pub fn next<R>(self, reply: R) -> Next<R> {
        match self.verdict {
            Verdict::TryAgain => Next::Reply(reply),
            Verdict::Strike => Next::Refuse(reply),
            Verdict::End => Next::Dismiss(reply, Farewell::FailedLogins),
        }
    }
}

impl Authn {
    /// Runs a SASL exchange over `turn`. `initial` is the initial response, decoded.
    ///
    /// # Errors
    /// When the connection is of no more use.
    pub async fn sasl<P: Protocol>(
        &self,
        turn: &mut Turn<'_, P>,
        mechanism: &MechanismName,
        initial: Option<&[u8]>,
    ) -> Result<Result<Login, Denial>, Gone> {
        let source = turn.peer().remote.ip();
        match exchange(turn, mechanism, initial).await? {
            Ok(credentials) => {
                let outcome = self.check_credentials(source, &credentials).await;
                answer(turn, outcome).await
            }
            Err(refusal) => Ok(Err(deny(turn, refusal))),
        }
    }

    /// Verifies a name and a password (LOGIN, USER and PASS).
    ///
    /// # Errors
    /// When the connection is of no more use.
    pub async fn password<P: Protocol>(
        &self,
        turn: &mut Turn<'_, P>,
        name: &str,
        password: &Secret<String>,
    ) -> Result<Result<Login, Denial>, Gone> {
        let outcome = self.check(turn.peer().remote.ip(), name, password).await;
        answer(turn, outcome).await
    }
}

async fn answer<P: Protocol>(
    turn: &mut Turn<'_, P>,
    outcome: Outcome,
) -> Result<Result<Login, Denial>, Gone> {
    if !outcome.wait.is_zero() {
        turn.pause(outcome.wait).await?;
    }
    Ok(outcome.login.map_err(|refusal| deny(turn, refusal)))
}

fn deny<P: Protocol>(turn: &mut Turn<'_, P>, why: AuthRefusal) -> Denial {
    let verdict = turn.conn.failed_logins.judge(why);
    Denial { why, verdict }
}

async fn exchange<P: Protocol>(
    turn: &mut Turn<'_, P>,
    mechanism: &MechanismName,
    initial: Option<&[u8]>,
) -> Result<Result<Credentials, AuthRefusal>, Gone> {
    let Some(mechanism) = Mechanism::named(mechanism.as_str()) else {
        return Ok(Err(AuthRefusal::Unsupported));
    };
    let mut exchange = Exchange::start(mechanism);
    let mut step = exchange.step(initial);
    loop {
        let challenge = match step {
            SaslStep::Done(credentials) => return Ok(Ok(credentials)),
            SaslStep::Malformed => return Ok(Err(AuthRefusal::Malformed)),
            SaslStep::Challenge(challenge) => challenge,
        };
        step = match turn.challenge(&challenge).await? {
            Response::Bytes(bytes) => exchange.step(Some(&bytes)),
            Response::Cancelled => return Ok(Err(AuthRefusal::Cancelled)),
            Response::Malformed => return Ok(Err(AuthRefusal::Malformed)),
            Response::TooLong => return Ok(Err(AuthRefusal::TooLong)),
        };
    }
}
