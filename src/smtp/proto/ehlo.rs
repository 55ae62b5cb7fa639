//! What EHLO answers, made from the table of verbs (RFC 5321 4.1.1.1): extensions of the whole,
//! then those of single verbs that make sense now.

use super::{
    dialog::{Dialect, Login, Stage, Tls, VERBS, Verb},
    reply::Reply,
    xclient,
};
use crate::{base::clock::Timestamp, mail::urgency::DateTime, sasl::Mechanism};

/// What EHLO says of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyword {
    /// Nothing: every server has it (RFC 5321 4.5.1), or we do not serve it.
    Required,
    /// `HELP`.
    Help,
    /// `STARTTLS`, when it can be given.
    StartTls,
    /// `CHUNKING`.
    Chunking,
    /// `ETRN`, for those who may.
    Etrn,
    /// `EXPN`, for those who may.
    Expn,
    /// `AUTH` and its mechanisms, when logging in makes sense.
    Auth,
    /// `XCLIENT` and its attributes, for those who may.
    Xclient,
}

/// The server as it presents itself.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name, the first word of greetings (RFC 5321 4.3.1).
    pub name: String,
    /// LIM-13: largest message in bytes.
    pub message_bytes_max: u64,
    /// LIM-14: most recipients of a message.
    pub recipients_max: usize,
    /// LIM-15: most messages of a connection.
    pub transactions_max: u32,
    /// RFC 4865: how many seconds a message may wait; `None` when it may not.
    pub hold_secs_max: Option<u32>,
}

impl Host {
    /// The greeting (RFC 5321 4.3.1).
    pub fn greeting(&self, dialect: Dialect) -> Reply {
        let dialect = match dialect {
            Dialect::Smtp => "ESMTP",
            Dialect::Lmtp => "LMTP",
        };
        let text = format!("{} {dialect} ready; HELP lists what can be said", self.name);
        Reply::bare(220, text)
    }

    /// The answer to HELO.
    pub fn helo(&self) -> Reply {
        Reply::bare(250, self.name.clone())
    }

    /// The answer to EHLO in this stage: extensions of the whole, then those of single verbs.
    pub fn ehlo(&self, stage: Stage, now: Timestamp) -> Reply {
        let reply = Reply::bare(250, self.name.clone())
            .line("PIPELINING")
            .line(format!("SIZE {}", self.message_bytes_max))
            .line("8BITMIME")
            .line("BINARYMIME")
            .line("SMTPUTF8")
            .line("ENHANCEDSTATUSCODES")
            .line("DSN")
            // RFC 2852 3: without a shortest time.
            .line("DELIVERBY")
            .line("MT-PRIORITY")
            // RFC 9422 4.
            .line(format!(
                "LIMITS MAILMAX={} RCPTMAX={}",
                self.transactions_max, self.recipients_max
            ));
        let reply = match stage.tls {
            // RFC 8689 2: it means something only where TLS is.
            Tls::Active => reply.line("REQUIRETLS"),
            Tls::Absent | Tls::Offered => reply,
        };
        // RFC 4865 3: only for those who submit.
        let reply = match self.hold_secs_max.filter(|_| stage.login == Login::Done) {
            Some(secs) => {
                let end = DateTime(now.secs().saturating_add(secs.into()));
                reply.line(format!("FUTURERELEASE {secs} {end}"))
            }
            None => reply,
        };
        VERBS
            .iter()
            .filter_map(|verb| keyword(verb, stage))
            .fold(reply, Reply::line)
    }
}

fn keyword(verb: &Verb, stage: Stage) -> Option<String> {
    match verb.keyword {
        Keyword::Required => None,
        Keyword::StartTls => (stage.tls == Tls::Offered).then(|| verb.name.to_owned()),
        Keyword::Auth => (stage.login == Login::Awaited)
            .then(|| format!("{} {}", verb.name, Mechanism::names().join(" "))),
        Keyword::Xclient => stage.introduces.then(|| {
            let login = match stage.login {
                Login::Never => "",
                Login::AfterTls | Login::Awaited | Login::Done => " LOGIN",
            };
            format!("{} {}{login}", verb.name, xclient::ATTRIBUTES)
        }),
        Keyword::Etrn => (stage.login == Login::Done).then(|| verb.name.to_owned()),
        // RFC 5321 3.5.2.
        Keyword::Expn => stage.expn.then(|| verb.name.to_owned()),
        Keyword::Chunking => Some("CHUNKING".to_owned()),
        Keyword::Help => Some(verb.name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::dialog::{Phase, stage},
        *,
    };

    fn host() -> Host {
        Host {
            name: "mx.example".to_owned(),
            message_bytes_max: 1000,
            recipients_max: 500,
            transactions_max: 100,
            hold_secs_max: Some(60),
        }
    }

    #[test]
    fn xclient_is_announced_to_those_who_may() {
        for (login, keyword) in [
            (
                Login::Never,
                "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT",
            ),
            (
                Login::AfterTls,
                "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT LOGIN",
            ),
        ] {
            let named = Stage {
                introduces: true,
                ..stage(Phase::Greeted, Tls::Offered, login)
            };
            let others = host().ehlo(
                stage(Phase::Greeted, Tls::Offered, login),
                Timestamp::from_secs(0),
            );
            assert!(
                host()
                    .ehlo(named, Timestamp::from_secs(0))
                    .lines()
                    .any(|line| line == keyword),
                "{login:?}"
            );
            assert!(!others.lines().any(|line| line.starts_with("XCLIENT")));
        }
    }

    #[test]
    fn ehlo_announces_what_can_be_done_in_this_stage() {
        let always = "mx.example|PIPELINING|SIZE 1000|8BITMIME|BINARYMIME|SMTPUTF8|\
                      ENHANCEDSTATUSCODES|DSN|DELIVERBY|MT-PRIORITY|LIMITS MAILMAX=100 RCPTMAX=500";
        for (tls, login, more) in [
            (Tls::Absent, Login::Never, "|CHUNKING|HELP"),
            (Tls::Offered, Login::Never, "|STARTTLS|CHUNKING|HELP"),
            (Tls::Active, Login::Never, "|REQUIRETLS|CHUNKING|HELP"),
            (Tls::Offered, Login::AfterTls, "|STARTTLS|CHUNKING|HELP"),
            (
                Tls::Active,
                Login::Awaited,
                "|REQUIRETLS|AUTH PLAIN LOGIN|CHUNKING|HELP",
            ),
            (
                Tls::Active,
                Login::Done,
                "|REQUIRETLS|FUTURERELEASE 60 1970-01-01T00:01:01Z|CHUNKING|ETRN|HELP",
            ),
        ] {
            let reply = host().ehlo(stage(Phase::Greeted, tls, login), Timestamp(1000));
            let lines: Vec<_> = reply.lines().collect();
            assert_eq!(
                lines.join("|"),
                format!("{always}{more}"),
                "{tls:?} {login:?}"
            );
        }
        let told = Stage {
            expn: true,
            ..stage(Phase::Greeted, Tls::Absent, Login::Never)
        };
        let reply = host().ehlo(told, Timestamp(1000));
        let lines: Vec<_> = reply.lines().collect();
        assert_eq!(lines.join("|"), format!("{always}|CHUNKING|EXPN|HELP"));
    }
}
