//! The dialogue: which verbs there are, when each may be given, what the last words are.
//!
//! [`VERBS`] is the one table: admission, the keywords of EHLO and HELP are read from it. A line
//! becomes a command in four steps: form of the line, verb, admission in this stage, argument (RFC
//! 5321 4.1.1, 4.1.4).

mod admission;

use std::fmt;

use super::{
    command::{Bdat, Command},
    ehlo::Keyword,
    parse::{self, Parsed},
    reply::{Detail, Reply},
    xclient,
};
use crate::{
    base::limits::SASL_LINE_BYTES_MAX,
    wire::{Farewell, Frame, Input, Line, Output, Protocol, Step},
};

/// LIM-11: longest command line in bytes, without its end (AUTH: `SASL_LINE_BYTES_MAX`).
pub const COMMAND_LINE_BYTES_MAX: usize = 2_048;

/// Where a session stands: everything that decides what may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Of the transaction.
    pub phase: Phase,
    /// Of the connection.
    pub tls: Tls,
    /// Of the client.
    pub login: Login,
    /// Of the port.
    pub dialect: Dialect,
    /// Whether the client may speak for others (XCLIENT).
    pub introduces: bool,
    /// Whether the client may ask whom an alias or a group stands for.
    pub expn: bool,
}

/// What is spoken on the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 5321.
    Smtp,
    /// RFC 2033: LHLO, and a reply for each recipient.
    Lmtp,
}

/// How far the mail transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was said yet.
    Connected,
    /// The client has said its name; no transaction is under way.
    Greeted,
    /// MAIL was accepted.
    Transaction,
    /// The message has begun to come in chunks (RFC 3030 2).
    Chunks,
    /// A chunk was refused; those that were sent behind it are refused, too.
    Spoiled,
}

/// Whether STARTTLS makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// There is no certificate for this port.
    Absent,
    /// It can be begun.
    Offered,
    /// It protects the connection.
    Active,
}

/// Whether logging in makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// Port 25: nobody logs in here.
    Never,
    /// Submission: TLS must come first.
    AfterTls,
    /// Submission: now is the time.
    Awaited,
    /// Submission: done.
    Done,
}

/// One verb: a row of [`VERBS`].
pub struct Verb {
    /// As it is typed.
    pub name: &'static str,
    /// The whole command's form.
    pub usage: &'static str,
    /// What it does: a line for the list, then lines for those who ask.
    pub help: &'static [&'static str],
    /// When it may be given.
    pub when: When,
    /// What EHLO says of it.
    pub keyword: Keyword,
    /// Reads its argument; verbs that are known and not served have none.
    pub parse: Option<fn(&str) -> Parsed>,
}

/// When a verb may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// Always, in this dialect.
    Hello(Dialect),
    /// Between transactions, by those who may.
    Xclient,
    /// Between transactions; on submission after logging in.
    Mail,
    /// Within a transaction, before its message.
    Transaction,
    /// Within a transaction, and in the middle of its message.
    Chunk,
    /// Between transactions, by those who logged in.
    Etrn,
    /// By those who are told.
    Expn,
    /// When TLS can be begun.
    StartTls,
    /// When logging in makes sense.
    Auth,
}

/// All verbs, in the order HELP lists them.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "EHLO",
        usage: "EHLO client.example",
        help: &[
            "say who you are; the answer lists what can be done here",
            "The argument is your host name, or your address as [192.0.2.1].",
            "It begins anew: an unfinished transaction is dropped.",
        ],
        when: When::Hello(Dialect::Smtp),
        keyword: Keyword::Required,
        parse: Some(parse::ehlo),
    },
    Verb {
        name: "HELO",
        usage: "HELO client.example",
        help: &["the same for clients without extensions"],
        when: When::Hello(Dialect::Smtp),
        keyword: Keyword::Required,
        parse: Some(parse::helo),
    },
    Verb {
        name: "LHLO",
        usage: "LHLO mx.example",
        help: &[
            "say who you are; the answer lists what can be done here",
            "This port takes mail from an MTA, for local recipients (LMTP).",
            "The message is answered once for each recipient that was taken.",
        ],
        when: When::Hello(Dialect::Lmtp),
        keyword: Keyword::Required,
        // RFC 2033 4.1: it means what EHLO means.
        parse: Some(parse::ehlo),
    },
    Verb {
        name: "STARTTLS",
        usage: "STARTTLS",
        help: &[
            "go on under TLS",
            "After the 220 the TLS handshake begins; then say EHLO again.",
            "At a shell: openssl s_client -starttls smtp -connect host:port",
        ],
        when: When::StartTls,
        keyword: Keyword::StartTls,
        parse: Some(parse::starttls),
    },
    Verb {
        name: "AUTH",
        usage: "AUTH PLAIN [initial-response]",
        help: &[
            "log in",
            "EHLO lists the mechanisms. The name is your full address.",
            "PLAIN takes base64 of NUL name NUL password. A shell makes the whole line:",
            "echo AUTH PLAIN $(printf '\\000%s\\000%s' you@example.org password | base64 -w0)",
        ],
        when: When::Auth,
        keyword: Keyword::Auth,
        parse: Some(parse::auth),
    },
    Verb {
        name: "MAIL",
        usage: "MAIL FROM:<address>",
        help: &[
            "begin a message: where failures are reported",
            "MAIL FROM:<> is for reports, about which nothing is reported.",
            "Parameters: SIZE=octets BODY=7BIT|8BITMIME|BINARYMIME SMTPUTF8",
            "RET=FULL|HDRS ENVID=text: what reports about it say.",
            "REQUIRETLS: over TLS to a server that is known, or not at all.",
            "BY=seconds;R|N: goes back, or is told of, when it is late. MT-PRIORITY=-9..9.",
            "HOLDFOR=seconds HOLDUNTIL=time: goes later; after logging in.",
        ],
        when: When::Mail,
        keyword: Keyword::Required,
        parse: Some(parse::mail),
    },
    Verb {
        name: "RCPT",
        usage: "RCPT TO:<address>",
        help: &[
            "one recipient; repeat it for more",
            "An unknown recipient is refused at once, not bounced later.",
            "Parameters: NOTIFY=NEVER|SUCCESS,FAILURE,DELAY ORCPT=rfc822;address",
        ],
        when: When::Transaction,
        keyword: Keyword::Required,
        parse: Some(parse::rcpt),
    },
    Verb {
        name: "DATA",
        usage: "DATA",
        help: &[
            "the message itself, ended by a line with a single dot",
            "First the header fields, then an empty line, then the text.",
            "Lines end in CR LF. A line that begins with a dot gets one more.",
        ],
        when: When::Transaction,
        keyword: Keyword::Required,
        parse: Some(parse::data),
    },
    Verb {
        name: "BDAT",
        usage: "BDAT octets [LAST]",
        help: &[
            "the same in counted chunks",
            "So many octets follow the line end at once, as they are; LAST ends the message.",
            "Once it has begun, only BDAT goes on with it; RSET drops it.",
        ],
        when: When::Chunk,
        keyword: Keyword::Chunking,
        parse: Some(parse::bdat),
    },
    Verb {
        name: "RSET",
        usage: "RSET",
        help: &["drop the unfinished message"],
        when: When::Always,
        keyword: Keyword::Required,
        parse: Some(parse::rset),
    },
    Verb {
        name: "VRFY",
        usage: "VRFY address",
        help: &[
            "ask whether an address exists; only after logging in",
            "To all others RCPT tells whether mail is taken.",
            "SMTPUTF8 behind the address lets the reply have more than ASCII.",
        ],
        when: When::Always,
        keyword: Keyword::Required,
        parse: Some(parse::vrfy),
    },
    Verb {
        name: "EXPN",
        usage: "EXPN address",
        help: &[
            "ask whom an alias or a group stands for",
            "Depending on the server's settings, members and owners are told, or everybody.",
            "SMTPUTF8 behind the address lets the reply have more than ASCII.",
        ],
        when: When::Expn,
        keyword: Keyword::Expn,
        parse: Some(parse::expn),
    },
    Verb {
        name: "ETRN",
        usage: "ETRN domain",
        help: &[
            "try now to send what waits for a domain",
            "ETRN @domain is about all domains below it, too.",
        ],
        when: When::Etrn,
        keyword: Keyword::Etrn,
        parse: Some(parse::etrn),
    },
    Verb {
        name: "XCLIENT",
        usage: "XCLIENT ADDR=address ...",
        help: &[
            "tell whom you speak for; only from addresses in smtp.xclient_from",
            "Values are xtext, or [UNAVAILABLE]. IPv6 is ADDR=IPV6:address.",
            "It begins anew, with the greeting.",
        ],
        when: When::Xclient,
        keyword: Keyword::Xclient,
        parse: Some(xclient::xclient),
    },
    Verb {
        name: "NOOP",
        usage: "NOOP",
        help: &["do nothing"],
        when: When::Always,
        keyword: Keyword::Required,
        parse: Some(parse::noop),
    },
    Verb {
        name: "HELP",
        usage: "HELP [command]",
        help: &[
            "this list, or more about one command",
            "HELP LIMITS tells what a message may have, HELP TLS what protects it.",
        ],
        when: When::Always,
        keyword: Keyword::Help,
        parse: Some(parse::help),
    },
    Verb {
        name: "QUIT",
        usage: "QUIT",
        help: &["say goodbye"],
        when: When::Always,
        keyword: Keyword::Required,
        parse: Some(parse::quit),
    },
    unserved("SEND"),
    unserved("SOML"),
    unserved("SAML"),
    unserved("TURN"),
];

/// A verb that is known and not served: 502 (RFC 5321 4.2.4).
const fn unserved(name: &'static str) -> Verb {
    Verb {
        name,
        usage: name,
        help: &["is not served here"],
        when: When::Always,
        keyword: Keyword::Required,
        parse: None,
    }
}

/// The row of this name, in any case of letters.
pub fn verb(name: &str) -> Option<&'static Verb> {
    VERBS
        .iter()
        .find(|verb| verb.name.eq_ignore_ascii_case(name))
}

/// By name: rows are compared and shown as what is typed.
impl fmt::Debug for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The protocol, as the driver knows it.
#[derive(Clone, Debug, Default)]
pub struct Dialog {
    /// What is said once the chunk of a refused BDAT was received (RFC 3030 2).
    refusal: Option<Reply>,
}

impl Protocol for Dialog {
    type Command = Command;
    type Reply = Reply;
    type Stage = Stage;

    fn next(&mut self, input: &mut Input, stage: Stage) -> Step<Command, Reply> {
        if let Some(refusal) = self.refusal.take() {
            return Step::Refuse(refusal);
        }
        let is_bdat = has_verb(input.bytes(), b"BDAT");
        // RFC 4954 4: an AUTH line may carry an initial response.
        let is_auth = has_verb(input.bytes(), b"AUTH");
        let max = if is_auth {
            SASL_LINE_BYTES_MAX
        } else {
            COMMAND_LINE_BYTES_MAX
        };
        match input.line(max) {
            Line::NeedMore => Step::NeedMore,
            Line::TooLong if is_bdat => Step::Fatal(line_too_long(false)),
            Line::TooLong => Step::Refuse(line_too_long(is_auth)),
            Line::Endless => Step::Fatal(last_words(Farewell::EndlessLine)),
            Line::Whole(line) => match command(&line, stage) {
                Ok(command) => Step::Command(command),
                // Nobody can say where the next command begins.
                Err(Denied::Malformed(reply)) if has_verb(&line, b"BDAT") => Step::Fatal(reply),
                Err(Denied::Malformed(reply)) => Step::Refuse(reply),
                Err(Denied::Before(chunk, reply)) => {
                    // RFC 2033 4.3: the last chunk is answered once for each recipient, and there
                    // is none.
                    let unanswered = chunk.last && stage.dialect == Dialect::Lmtp;
                    self.refusal = (!unanswered).then_some(reply);
                    Step::Discard(Frame::Octets(chunk.octets))
                }
            },
        }
    }

    fn encode(&self, reply: &Reply, out: &mut Output) {
        reply.encode(out);
    }

    fn challenge(&self, base64: &str) -> Reply {
        // RFC 4954 4: no enhanced code.
        Reply::bare(334, base64.to_owned())
    }

    fn farewell(&self, why: Farewell) -> Option<Reply> {
        Some(last_words(why))
    }

    fn reset(&mut self) {
        self.refusal = None;
    }
}

fn last_words(why: Farewell) -> Reply {
    let (detail, text) = match why {
        Farewell::Shutdown => (Detail(3, 2), "the server is stopping, try again later"),
        Farewell::Revoked => (Detail(7, 0), "the login no longer holds, log in again"),
        Farewell::Idle => (Detail(4, 2), "nothing was said for too long"),
        Farewell::TooSlow => (Detail(4, 2), "this takes too long"),
        Farewell::Strikes => (Detail(7, 0), "too many errors"),
        Farewell::FailedLogins => (Detail(7, 0), "too many failed logins"),
        Farewell::Crowded => (Detail(3, 2), "too many connections, try again later"),
        Farewell::CrowdedAddress => (Detail(7, 0), "too many connections from your address"),
        Farewell::NotListed => (Detail(7, 1), "this port is not for your address"),
        Farewell::PlaintextBehindTls => (Detail(7, 0), "nothing may follow STARTTLS"),
        Farewell::Foreign => (Detail(7, 0), "this is an SMTP server"),
        Farewell::EndlessLine => (Detail(7, 0), "a line does not end"),
    };
    Reply::new(421, detail, text)
}

/// Why a line is no command for now.
enum Denied {
    /// It is none, or not now.
    Malformed(Reply),
    /// It is not now, and its chunk comes before the reply.
    Before(Bdat, Reply),
}

/// A whole line as a command that is admitted now. One that is refused is still read to its end
/// when its body must be skipped.
fn command(line: &[u8], stage: Stage) -> Result<Command, Denied> {
    let (verb, argument) = verb_of(line).map_err(Denied::Malformed)?;
    // RFC 5321 4.2.4.
    let not_served = || Reply::new(502, Detail(5, 1), "this command is not served here");
    let parse = verb
        .parse
        .ok_or_else(not_served)
        .map_err(Denied::Malformed)?;
    match (verb.admit(stage), verb.when) {
        (Ok(()), _) => parse(argument).map_err(Denied::Malformed),
        (Err(refusal), When::Chunk) => match parse(argument).map_err(Denied::Malformed)? {
            Command::Bdat(chunk) => Err(Denied::Before(chunk, refusal)),
            _ => Err(Denied::Malformed(refusal)),
        },
        (Err(refusal), _) => Err(Denied::Malformed(refusal)),
    }
}

/// The verb of a line, and its argument.
fn verb_of(line: &[u8]) -> Result<(&'static Verb, &str), Reply> {
    if line.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
        return Err(Reply::new(
            500,
            Detail(5, 2),
            "a control character is in the command",
        ));
    }
    let line = std::str::from_utf8(line)
        .map_err(|_| Reply::new(500, Detail(5, 2), "the command is not UTF-8"))?;
    // RFC 5321 4.1.1: white space before the line end is tolerated.
    let line = line.trim_end_matches([' ', '\t']);
    let (name, argument) = line.split_once(' ').unwrap_or((line, ""));
    let unknown = || {
        Reply::new(
            500,
            Detail(5, 2),
            "no such command; HELP lists what can be said",
        )
    };
    let verb = verb(name).ok_or_else(unknown)?;
    Ok((verb, argument.trim_start_matches(' ')))
}

fn has_verb(line: &[u8], verb: &[u8]) -> bool {
    line.split_at_checked(verb.len())
        .is_some_and(|(front, rest)| {
            front.eq_ignore_ascii_case(verb)
                && matches!(rest.first(), None | Some(b' ' | b'\t' | b'\r' | b'\n'))
        })
}

fn line_too_long(is_auth: bool) -> Reply {
    // RFC 4954 6 has a detail of its own.
    let detail = if is_auth { Detail(5, 6) } else { Detail(5, 2) };
    Reply::new(500, detail, "the line is too long")
}

/// A stage of SMTP in which nothing else is special.
#[cfg(test)]
pub(super) fn stage(phase: Phase, tls: Tls, login: Login) -> Stage {
    Stage {
        phase,
        tls,
        login,
        dialect: Dialect::Smtp,
        introduces: false,
        expn: false,
    }
}

#[cfg(test)]
mod tests;
