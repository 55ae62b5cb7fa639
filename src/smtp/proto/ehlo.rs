//! What EHLO and HELP answer, made from the table of verbs (RFC 5321 4.1.1.1, 4.1.1.8).

use super::{
    dialog::{Login, Phase, Stage, Tls, VERBS, Verb},
    reply::{Detail, Reply},
};
use crate::sasl::Mechanism;

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
    /// `AUTH` and its mechanisms, when logging in makes sense.
    Auth,
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
}

impl Host {
    /// The greeting (RFC 5321 4.3.1).
    pub fn greeting(&self) -> Reply {
        Reply::bare(
            220,
            format!("{} ESMTP ready; HELP lists what can be said", self.name),
        )
    }

    /// The answer to HELO.
    pub fn helo(&self) -> Reply {
        Reply::bare(250, self.name.clone())
    }

    /// The answer to EHLO in this stage: extensions of the whole, then those of single verbs.
    pub fn ehlo(&self, stage: Stage) -> Reply {
        let reply = Reply::bare(250, self.name.clone())
            .line("PIPELINING")
            .line(format!("SIZE {}", self.message_bytes_max))
            .line("8BITMIME")
            .line("SMTPUTF8")
            .line("ENHANCEDSTATUSCODES")
            .line("DSN")
            // RFC 9422 4.
            .line(format!(
                "LIMITS MAILMAX={} RCPTMAX={}",
                self.transactions_max, self.recipients_max
            ));
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
        Keyword::Chunking => Some("CHUNKING".to_owned()),
        Keyword::Help => Some(verb.name.to_owned()),
    }
}

/// The answer to HELP: where the dialogue stands and what can be typed now.
pub fn help(stage: Stage) -> Reply {
    let reply = Reply::new(214, Detail(0, 0), standing(stage));
    VERBS
        .iter()
        .filter(|verb| verb.parse.is_some() && verb.admit(stage).is_ok())
        .map(|verb| {
            let what = verb.help.first().copied().unwrap_or_default();
            format!("  {:<30} {what}", verb.usage)
        })
        .fold(reply, Reply::line)
        .line("HELP and the name of a command tells more about it.")
}

/// The answer to HELP about one verb.
pub fn help_about(verb: &Verb, stage: Stage) -> Reply {
    let reply = Reply::new(214, Detail(0, 0), verb.usage);
    let reply = verb
        .help
        .iter()
        .fold(reply, |reply, line| reply.line(format!("  {line}")));
    match verb.admit(stage) {
        Ok(()) => reply,
        Err(refusal) => {
            let why = refusal.lines().next().unwrap_or_default();
            reply.line(format!("Not now: {why}."))
        }
    }
}

fn standing(stage: Stage) -> &'static str {
    match (stage.phase, stage.login) {
        (Phase::Connected, _) => "Begin with EHLO. You can say:",
        (Phase::Greeted, Login::AfterTls) => "TLS comes next: STARTTLS. You can say:",
        (Phase::Greeted, Login::Awaited) => "Logging in comes next: AUTH. You can say:",
        (Phase::Greeted, _) => "A message begins with MAIL. You can say:",
        (Phase::Transaction, _) => "A message is under way: RCPT, then DATA. You can say:",
        (Phase::Chunks, _) => "A message is under way: BDAT up to LAST. You can say:",
        (Phase::Spoiled, _) => "A chunk was refused: RSET, then MAIL. You can say:",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host {
            name: "mx.example".to_owned(),
            message_bytes_max: 1000,
            recipients_max: 500,
            transactions_max: 100,
        }
    }

    fn stage(phase: Phase, tls: Tls, login: Login) -> Stage {
        Stage { phase, tls, login }
    }

    #[test]
    fn ehlo_announces_what_can_be_done_in_this_stage() {
        let always = "mx.example|PIPELINING|SIZE 1000|8BITMIME|SMTPUTF8|ENHANCEDSTATUSCODES|\
                      DSN|LIMITS MAILMAX=100 RCPTMAX=500";
        for (tls, login, more) in [
            (Tls::Absent, Login::Never, "|CHUNKING|HELP"),
            (Tls::Offered, Login::Never, "|STARTTLS|CHUNKING|HELP"),
            (Tls::Active, Login::Never, "|CHUNKING|HELP"),
            (Tls::Offered, Login::AfterTls, "|STARTTLS|CHUNKING|HELP"),
            (
                Tls::Active,
                Login::Awaited,
                "|AUTH PLAIN LOGIN|CHUNKING|HELP",
            ),
            (Tls::Active, Login::Done, "|CHUNKING|HELP"),
        ] {
            let reply = host().ehlo(stage(Phase::Greeted, tls, login));
            let lines: Vec<_> = reply.lines().collect();
            assert_eq!(
                lines.join("|"),
                format!("{always}{more}"),
                "{tls:?} {login:?}"
            );
        }
    }

    #[test]
    fn help_lists_exactly_what_is_admitted() {
        for (phase, tls, login, expected) in [
            (
                Phase::Connected,
                Tls::Offered,
                Login::Never,
                "EHLO HELO RSET VRFY NOOP HELP QUIT",
            ),
            (
                Phase::Greeted,
                Tls::Offered,
                Login::AfterTls,
                "EHLO HELO STARTTLS RSET VRFY NOOP HELP QUIT",
            ),
            (
                Phase::Greeted,
                Tls::Active,
                Login::Awaited,
                "EHLO HELO AUTH RSET VRFY NOOP HELP QUIT",
            ),
            (
                Phase::Greeted,
                Tls::Active,
                Login::Done,
                "EHLO HELO MAIL RSET VRFY NOOP HELP QUIT",
            ),
            (
                Phase::Transaction,
                Tls::Absent,
                Login::Never,
                "EHLO HELO RCPT DATA BDAT RSET VRFY NOOP HELP QUIT",
            ),
            (
                Phase::Chunks,
                Tls::Absent,
                Login::Never,
                "EHLO HELO BDAT RSET VRFY NOOP HELP QUIT",
            ),
            (
                Phase::Spoiled,
                Tls::Offered,
                Login::Never,
                "EHLO HELO STARTTLS MAIL BDAT RSET VRFY NOOP HELP QUIT",
            ),
        ] {
            let reply = help(stage(phase, tls, login));
            let words: Vec<_> = reply
                .lines()
                .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
                .collect();
            assert_eq!(words.join(" "), expected);
        }
    }

    #[test]
    fn help_about_a_verb_says_why_it_cannot_be_given_now() {
        let rcpt = crate::smtp::proto::dialog::verb("rcpt").unwrap();
        let about = |phase| help_about(rcpt, stage(phase, Tls::Absent, Login::Never));
        let now: Vec<String> = about(Phase::Transaction)
            .lines()
            .map(str::to_owned)
            .collect();
        assert_eq!(now.first().map(String::as_str), Some("RCPT TO:<address>"));
        assert!(!now.iter().any(|line| line.starts_with("Not now")));
        let early: Vec<String> = about(Phase::Greeted).lines().map(str::to_owned).collect();
        assert_eq!(
            early.last().map(String::as_str),
            Some("Not now: MAIL FROM comes first.")
        );
    }
}
