//! Which POP3 command may be given when; the table of verbs; the protocol value of one connection.
//!
//! States as in RFC 1939 3: AUTHORIZATION until a login, then TRANSACTION; UPDATE is what QUIT
//! does. CAPA and HELP are derived from the same rows as admission.

use super::{
    command::{Command, Mistake},
    reply::Reply,
};
use crate::{
    sasl::Mechanism,
    wire::{Farewell, Input, Line, Output, Protocol, Step},
};

/// Where the dialogue stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Not logged in.
    Authorization(Security),
    /// Logged in, with the maildrop locked.
    Transaction,
}

/// What protects the connection before the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS, or a configuration that says in its name that it is insecure.
    LoginAllowed,
    /// No TLS yet: STLS first (RFC 8314, RFC 2595 4).
    StlsFirst,
    /// No TLS, logins allowed by an insecure configuration, STLS still offered.
    StlsOffered,
}

/// One verb: when it may be given, what it announces, how it is typed.
#[derive(Clone, Copy, Debug)]
pub struct Verb {
    /// Its name.
    pub name: &'static str,
    /// When it may be given.
    pub when: When,
    /// What CAPA says because of it.
    pub capability: Option<&'static str>,
    /// For HELP.
    pub usage: &'static str,
}

/// When a verb may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// Before the login, under TLS.
    BeforeSecured,
    /// Before the login, without TLS.
    BeforePlain,
    /// After the login.
    After,
}

/// The verbs of our server.
pub const VERBS: &[Verb] = &[
    Verb::new(
        "CAPA",
        When::Always,
        None,
        "CAPA                what this server can do",
    ),
    Verb::new(
        "STLS",
        When::BeforePlain,
        Some("STLS"),
        "STLS                begin TLS",
    ),
    Verb::new(
        "USER",
        When::BeforeSecured,
        Some("USER"),
        "USER name           your address",
    ),
    Verb::new(
        "PASS",
        When::BeforeSecured,
        None,
        "PASS password       your password",
    ),
    Verb::new(
        "AUTH",
        When::BeforeSecured,
        Some("SASL"),
        "AUTH PLAIN          log in by SASL",
    ),
    Verb::new(
        "STAT",
        When::After,
        None,
        "STAT                how many messages and octets",
    ),
    Verb::new("LIST", When::After, None, "LIST [message]      sizes"),
    Verb::new(
        "UIDL",
        When::After,
        Some("UIDL"),
        "UIDL [message]      unique names",
    ),
    Verb::new(
        "RETR",
        When::After,
        None,
        "RETR message        a whole message",
    ),
    Verb::new(
        "TOP",
        When::After,
        Some("TOP"),
        "TOP message lines   header and some lines",
    ),
    Verb::new(
        "DELE",
        When::After,
        None,
        "DELE message        delete at QUIT",
    ),
    Verb::new(
        "RSET",
        When::After,
        None,
        "RSET                forget the deletions",
    ),
    Verb::new("NOOP", When::After, None, "NOOP                nothing"),
    Verb::new("HELP", When::Always, None, "HELP                this"),
    Verb::new("QUIT", When::Always, None, "QUIT                good bye"),
];

impl Verb {
    const fn new(
        name: &'static str,
        when: When,
        capability: Option<&'static str>,
        usage: &'static str,
    ) -> Self {
        Self {
            name,
            when,
            capability,
            usage,
        }
    }
}

impl Stage {
    /// Whether a verb of this kind may be given now; otherwise why not.
    fn admits(self, when: When) -> Result<(), Reply> {
        match (when, self) {
            (When::Always, _)
            | (
                When::BeforeSecured,
                Self::Authorization(Security::LoginAllowed | Security::StlsOffered),
            )
            | (
                When::BeforePlain,
                Self::Authorization(Security::StlsFirst | Security::StlsOffered),
            )
            | (When::After, Self::Transaction) => Ok(()),
            (When::BeforeSecured, Self::Authorization(Security::StlsFirst)) => Err(Reply::err(
                "begin TLS first: STLS, or connect to the TLS port",
            )),
            (When::BeforePlain, Self::Authorization(Security::LoginAllowed)) => {
                Err(Reply::err("TLS is already active or not offered here"))
            }
            (When::After, Self::Authorization(_)) => Err(Reply::err("log in first")),
            (When::BeforeSecured | When::BeforePlain, Self::Transaction) => {
                Err(Reply::err("you are logged in already"))
            }
        }
    }

    /// What CAPA answers now (RFC 2449 5; RFC 2595 4 lets the answer differ after STLS).
    pub fn capabilities(self) -> Vec<String> {
        let from_verbs = VERBS
            .iter()
            .filter(|verb| self.announces(verb.when))
            .filter_map(|verb| verb.capability)
            .map(|name| match name {
                "SASL" => format!("SASL {}", Mechanism::names().join(" ")),
                name => name.to_owned(),
            });
        let standing = ["RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"];
        let mut lines: Vec<String> = from_verbs.chain(standing.map(str::to_owned)).collect();
        // RFC 2449 6.9: the software's name is told to those who logged in only.
        if self == Self::Transaction {
            lines.push("IMPLEMENTATION buzon".to_owned());
        }
        lines
    }

    /// Whether CAPA names a verb of this kind: RFC 2449 6 wants most in both states, RFC 2595 4
    /// wants STLS where it may be given. A login that needs TLS first is not offered before it.
    fn announces(self, when: When) -> bool {
        match when {
            When::After => true,
            When::BeforeSecured if self == Self::Transaction => true,
            _ => self.admits(when).is_ok(),
        }
    }

    /// What HELP answers now.
    pub fn help(self) -> Vec<String> {
        let usable = VERBS.iter().filter(|verb| self.admits(verb.when).is_ok());
        usable.map(|verb| verb.usage.to_owned()).collect()
    }
}

/// POP3 on one connection.
#[derive(Debug, Default)]
pub struct Pop3;

impl Protocol for Pop3 {
    type Command = Command;
    type Reply = Reply;
    type Stage = Stage;

    fn next(&mut self, input: &mut Input, stage: Stage) -> Step<Command, Reply> {
        match input.line(AUTH_LINE_BYTES_MAX) {
            Line::NeedMore => Step::NeedMore,
            Line::TooLong => Step::Refuse(Reply::err("this line is too long")),
            Line::Endless => Step::Fatal(endless_line()),
            Line::Whole(line) => admit(&line, stage),
        }
    }

    fn encode(&self, reply: &Reply, out: &mut Output) {
        reply.encode(out);
    }

    fn challenge(&self, base64: &str) -> Reply {
        Reply::Challenge(base64.to_owned())
    }

    fn farewell(&self, why: Farewell) -> Option<Reply> {
        let code = super::reply::Code::SysTemp;
        Some(match why {
            Farewell::Shutdown => Reply::Err(Some(code), "the server stops, come back soon"),
            Farewell::Revoked => Reply::Err(
                Some(super::reply::Code::Auth),
                "the login no longer holds, log in again",
            ),
            // RFC 1939 3: the timer closes without a word, and without UPDATE.
            Farewell::Idle => return None,
            // The answer to the last try has said it.
            Farewell::FailedLogins => return None,
            Farewell::TooSlow => Reply::err("this takes too long"),
            Farewell::Strikes => Reply::err("too many mistakes"),
            Farewell::Crowded => Reply::Err(Some(code), "too many connections, try again later"),
            Farewell::CrowdedAddress => Reply::Err(
                Some(code),
                "too many connections from your address, try again later",
            ),
            Farewell::NotListed => Reply::err("this port is not for your address"),
            Farewell::PlaintextBehindTls => Reply::err("nothing may follow STLS before TLS begins"),
            Farewell::Foreign => Reply::err("this is POP3"),
            Farewell::EndlessLine => endless_line(),
        })
    }

    fn reset(&mut self) {}
}

fn endless_line() -> Reply {
    Reply::err("this line does not end")
}

fn admit(line: &[u8], stage: Stage) -> Step<Command, Reply> {
    let auth = line
        .get(..4)
        .is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH"));
    if line.len() > LINE_BYTES_MAX && !auth {
        return Step::Refuse(Reply::err("this line is too long"));
    }
    let command = match Command::parse(line) {
        Ok(command) => command,
        Err(Mistake::Unknown) => {
            return Step::Refuse(Reply::err("no such command, HELP lists them"));
        }
        Err(Mistake::Arguments(how)) => return Step::Refuse(Reply::err(how)),
        Err(Mistake::Bytes) => {
            return Step::Refuse(Reply::err("commands are printable text"));
        }
    };
    let verb = VERBS.iter().find(|verb| verb.name == command.name());
    match verb.map_or(Ok(()), |verb| stage.admits(verb.when)) {
        Ok(()) => Step::Command(command),
        Err(refusal) => Step::Refuse(refusal),
    }
}

/// LIM-33: longest command line in bytes.
pub const LINE_BYTES_MAX: usize = 512;
/// LIM-33: longest AUTH line in bytes; an initial response rides on it (RFC 5034 4).
pub const AUTH_LINE_BYTES_MAX: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    fn step(line: &str, stage: Stage) -> Step<Command, Reply> {
        let mut input = Input::new();
        input.push(line.as_bytes());
        input.push(b"\r\n");
        Pop3.next(&mut input, stage)
    }

    #[test]
    fn lim_33_lines_end_at_512_bytes_and_auth_lines_at_8192() {
        let stage = Stage::Authorization(Security::LoginAllowed);
        for (verb, length, fits) in [
            ("USER ", LINE_BYTES_MAX, true),
            ("USER ", LINE_BYTES_MAX + 1, false),
            ("AUTH PLAIN ", AUTH_LINE_BYTES_MAX, true),
            ("AUTH PLAIN ", AUTH_LINE_BYTES_MAX + 1, false),
        ] {
            let line = format!("{verb}{}", "x".repeat(length - verb.len()));
            let step = format!("{:?}", step(&line, stage));
            assert_eq!(!step.contains("too long"), fits, "{verb} {length}");
        }
    }

    #[test]
    fn verbs_are_admitted_by_stage() {
        let plain = Stage::Authorization(Security::StlsFirst);
        let secured = Stage::Authorization(Security::LoginAllowed);
        for (line, stage, admitted) in [
            ("USER a", plain, false),
            ("AUTH PLAIN", plain, false),
            ("STLS", plain, true),
            ("STLS", secured, false),
            ("USER a", secured, true),
            ("STAT", secured, false),
            ("STAT", Stage::Transaction, true),
            ("USER a", Stage::Transaction, false),
            ("QUIT", plain, true),
            ("CAPA", Stage::Transaction, true),
        ] {
            assert_eq!(
                matches!(step(line, stage), Step::Command(_)),
                admitted,
                "{line} {stage:?}"
            );
        }
    }

    #[test]
    fn capabilities_change_with_tls_and_login() {
        let of = |stage: Stage| stage.capabilities().join(" ");
        let plain = of(Stage::Authorization(Security::StlsFirst));
        assert!(plain.contains("STLS") && !plain.contains("SASL") && plain.contains("UIDL"));
        let secured = of(Stage::Authorization(Security::LoginAllowed));
        assert!(secured.contains("SASL PLAIN") && !secured.contains("STLS"));
        let inside = of(Stage::Transaction);
        assert!(inside.contains("IMPLEMENTATION") && inside.contains("SASL PLAIN"));
        assert!(inside.contains("USER") && !inside.contains("STLS"));
        assert!(
            Stage::Transaction
                .help()
                .iter()
                .any(|line| line.starts_with("RETR"))
        );
    }
}
