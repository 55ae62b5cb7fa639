//! When a verb may be given: the phase of the dialogue, TLS, the login and who the client is
//! decide, and a client that comes at the wrong time is told what comes first.
//!
//! RFC 5321 4.1.4, RFC 3207 4, RFC 4954 4, RFC 6409 4.3, RFC 3030 2, RFC 2033 4.1.

use super::{Dialect, Login, Phase, Stage, Tls, Verb, When};
use crate::smtp::proto::reply::{Detail, Reply};

impl Verb {
    /// Whether the verb may be given in this stage.
    ///
    /// # Errors
    /// What the client is told instead.
    pub fn admit(&self, stage: Stage) -> Result<(), Reply> {
        let refused = match (self.when, stage.phase) {
            (When::Always, _) => None,
            (When::Hello(dialect), _) => hello_refusal(dialect, stage.dialect),
            (When::Xclient, phase) => xclient_refusal(stage.introduces, phase),
            (When::StartTls, phase) => starttls_refusal(stage, phase),
            (When::Auth, phase) => auth_refusal(stage.login, phase),
            // RFC 5321 3.5.1, 4.2.4.
            (When::Expn, _) if !stage.expn => {
                let text = "nobody is told here whom an address stands for";
                Some(Reply::new(502, Detail(5, 1), text))
            }
            (When::Expn, _) => None,
            (When::Etrn, _) if stage.login == Login::Never => {
                let text = "queues are started for those who log in, on ports 465 and 587";
                Some(Reply::new(502, Detail(5, 1), text))
            }
            (_, Phase::Connected) => Some(early(stage.dialect)),
            (When::Mail | When::Etrn, Phase::Transaction | Phase::Chunks)
            // RFC 3030 2: DATA and BDAT are not mixed.
            | (When::Transaction, Phase::Chunks) => Some(under_way()),
            (When::Mail | When::Etrn, Phase::Greeted | Phase::Spoiled) => {
                login_refusal(stage.login)
            }
            (When::Transaction, Phase::Greeted | Phase::Spoiled)
            | (When::Chunk, Phase::Greeted) => Some(out_of_order("MAIL FROM comes first")),
            (When::Transaction, Phase::Transaction)
            | (When::Chunk, Phase::Transaction | Phase::Chunks | Phase::Spoiled) => None,
        };
        refused.map_or(Ok(()), Err)
    }
}

/// RFC 2033 4.1.
fn hello_refusal(meant: Dialect, spoken: Dialect) -> Option<Reply> {
    let text = match spoken {
        _ if meant == spoken => return None,
        Dialect::Smtp => "this is SMTP; it begins with EHLO",
        Dialect::Lmtp => "this is LMTP; it begins with LHLO",
    };
    Some(Reply::new(500, Detail(5, 1), text))
}

/// In the middle of a message nobody becomes somebody else.
fn xclient_refusal(introduces: bool, phase: Phase) -> Option<Reply> {
    match (introduces, phase) {
        (false, _) => {
            let text = "only who is in smtp.xclient_from speaks for others";
            Some(Reply::new(550, Detail(7, 1), text))
        }
        (true, Phase::Transaction | Phase::Chunks) => Some(under_way()),
        (true, Phase::Connected | Phase::Greeted | Phase::Spoiled) => None,
    }
}

/// Nobody has said who he is.
fn early(dialect: Dialect) -> Reply {
    out_of_order(match dialect {
        Dialect::Smtp => "say EHLO first",
        Dialect::Lmtp => "say LHLO first",
    })
}

fn starttls_refusal(stage: Stage, phase: Phase) -> Option<Reply> {
    match (stage.tls, phase) {
        // RFC 5321 4.2.4: known, not served.
        (Tls::Absent, _) => Some(Reply::new(502, Detail(5, 1), "TLS is not available here")),
        (Tls::Active, _) => Some(out_of_order("TLS protects this connection already")),
        (Tls::Offered, Phase::Connected) => Some(early(stage.dialect)),
        (Tls::Offered, Phase::Transaction | Phase::Chunks) => Some(under_way()),
        (Tls::Offered, Phase::Greeted | Phase::Spoiled) => None,
    }
}

fn auth_refusal(login: Login, phase: Phase) -> Option<Reply> {
    match (login, phase) {
        (Login::Never, _) => Some(Reply::new(
            502,
            Detail(5, 1),
            "nobody logs in on this port; mail is submitted on ports 465 and 587",
        )),
        // RFC 4954 4: once only.
        (Login::Done, _) => Some(out_of_order("you are logged in already")),
        (_, Phase::Connected) => Some(out_of_order("say EHLO first")),
        // RFC 4954 4: not within a transaction; MAIL needs the login, so there is none.
        (Login::AfterTls, _) => Some(needs_tls()),
        (Login::Awaited, _) => None,
    }
}

/// What MAIL needs on submission (RFC 6409 4.3).
fn login_refusal(login: Login) -> Option<Reply> {
    match login {
        Login::Never | Login::Done => None,
        Login::AfterTls => Some(needs_tls()),
        Login::Awaited => Some(Reply::new(
            530,
            Detail(7, 0),
            "log in with AUTH first; mail from other servers is taken on port 25",
        )),
    }
}

/// RFC 3207 4.
fn needs_tls() -> Reply {
    Reply::new(530, Detail(7, 0), "must issue a STARTTLS command first")
}

fn under_way() -> Reply {
    out_of_order("a message is under way; RSET drops it")
}

fn out_of_order(text: &'static str) -> Reply {
    Reply::new(503, Detail(5, 1), text)
}
