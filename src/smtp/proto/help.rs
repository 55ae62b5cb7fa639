//! What HELP answers (RFC 5321 4.1.1.8): to people who type, and wonder what to type next.
//!
//! The list and what is said of a verb are made from the table of verbs; topics tell of this very
//! session: its limits, and what protects it.

use super::{
    dialog::{COMMAND_LINE_BYTES_MAX, Dialect, Login, Phase, Stage, Tls, VERBS, Verb},
    ehlo::Host,
    reply::{Detail, Reply},
};

/// What HELP is asked about.
#[derive(Clone, Copy, Debug)]
pub enum Subject {
    /// What can be typed now.
    Everything,
    /// One verb.
    Verb(&'static Verb),
    /// What a message and a connection may have.
    Limits,
    /// What protects the connection.
    Tls,
}

impl Subject {
    /// From the argument of HELP.
    pub fn parse(text: &str) -> Option<Self> {
        let topics = [("LIMITS", Self::Limits), ("TLS", Self::Tls)];
        let topic = topics
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        match (text, topic) {
            ("", _) => Some(Self::Everything),
            (_, Some((_, topic))) => Some(topic),
            (name, None) => super::dialog::verb(name).map(Self::Verb),
        }
    }
}

/// What HELP tells of a session beside its stage.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    /// The server.
    pub host: &'a Host,
    /// Messages that may still come over this connection.
    pub messages_left: u32,
    /// Longest line of text taken in.
    pub text_line_bytes_max: usize,
    /// Longest silence between commands, in seconds.
    pub idle_secs: u64,
    /// Version and suite.
    pub tls: Option<(&'a str, &'a str)>,
}

/// The answer to HELP.
pub fn help(subject: Subject, stage: Stage, session: &Session<'_>) -> Reply {
    match subject {
        Subject::Everything => help_everything(stage),
        Subject::Verb(verb) => help_about(verb, stage),
        Subject::Limits => help_limits(session),
        Subject::Tls => help_tls(stage, session),
    }
}

fn help_limits(session: &Session<'_>) -> Reply {
    let host = session.host;
    let lines = [
        format!("  {} octets in a message", host.message_bytes_max),
        format!("  {} recipients of a message", host.recipients_max),
        format!("  {COMMAND_LINE_BYTES_MAX} octets in a command"),
        format!("  {} octets in a line of text", session.text_line_bytes_max),
        format!("  {} s of silence between commands", session.idle_secs),
        format!(
            "  {} messages over a connection, {} more over this one",
            host.transactions_max, session.messages_left
        ),
    ];
    let first = Reply::new(214, Detail(0, 0), "At most:");
    lines.into_iter().fold(first, Reply::line)
}

fn help_tls(stage: Stage, session: &Session<'_>) -> Reply {
    let about = |text: String| Reply::new(214, Detail(0, 0), text);
    match (session.tls, stage.tls) {
        (Some((version, suite)), _) => about(format!(
            "This connection is protected by {version} with {suite}."
        )),
        (None, Tls::Offered) => about("This connection is not protected.".to_owned())
            .line("STARTTLS protects it from there on; EHLO comes again after it.")
            .line("At a shell: openssl s_client -starttls smtp -connect host:port"),
        (None, Tls::Absent | Tls::Active) => {
            about("This connection is not protected, and cannot be on this port.".to_owned())
        }
    }
}

/// The answer to HELP: where the dialogue stands and what can be typed now.
fn help_everything(stage: Stage) -> Reply {
    let reply = Reply::new(214, Detail(0, 0), standing(stage));
    VERBS
        .iter()
        .filter(|verb| verb.parse.is_some() && verb.admit(stage).is_ok())
        .map(|verb| {
            let what = verb.help.first().copied().unwrap_or_default();
            format!("  {:<30} {what}", verb.usage)
        })
        .fold(reply, Reply::line)
        .line("HELP and the name of a command tells more about it; HELP LIMITS and HELP TLS, too.")
}

/// The answer to HELP about one verb.
fn help_about(verb: &Verb, stage: Stage) -> Reply {
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
        (Phase::Connected, _) if stage.dialect == Dialect::Lmtp => "Begin with LHLO. You can say:",
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
    use super::{super::dialog::stage, *};

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
                "EHLO HELO MAIL RSET VRFY ETRN NOOP HELP QUIT",
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
            let reply = help_everything(stage(phase, tls, login));
            let words: Vec<_> = reply
                .lines()
                .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
                .collect();
            assert_eq!(words.join(" "), expected);
        }
    }

    #[test]
    fn topics_tell_of_this_session() {
        let host = Host {
            name: "mx.example".to_owned(),
            message_bytes_max: 1000,
            recipients_max: 500,
            hold_secs_max: None,
            transactions_max: 100,
        };
        let tls = |tls| Session {
            host: &host,
            messages_left: 99,
            text_line_bytes_max: 65_536,
            idle_secs: 300,
            tls,
        };
        let suite = Some(("TLSv1_3", "TLS13_AES_256_GCM_SHA384"));
        for (word, offered, session, words) in [
            ("limits", Tls::Absent, tls(None), "1000 octets in a message"),
            ("Limits", Tls::Absent, tls(None), "99 more over this one"),
            ("TLS", Tls::Active, tls(suite), "TLS13_AES_256_GCM_SHA384"),
            ("TLS", Tls::Offered, tls(None), "-starttls smtp"),
            ("TLS", Tls::Absent, tls(None), "cannot be on this port"),
            ("auth", Tls::Active, tls(suite), "| base64"),
            ("", Tls::Active, tls(suite), "HELP LIMITS"),
        ] {
            let subject = Subject::parse(word).unwrap();
            let stage = stage(Phase::Greeted, offered, Login::Awaited);
            let said = help(subject, stage, &session);
            let said: Vec<_> = said.lines().collect();
            assert!(said.join("|").contains(words), "{word}: {said:?}");
        }
        assert!(Subject::parse("BREAKFAST").is_none());
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
