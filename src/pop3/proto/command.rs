//! POP3 commands and their parser (RFC 1939 3, 5, 7; RFC 2449 5; RFC 5034 4).
//!
//! A command that exists here is well-formed: numbers are numbers and arguments are there. Whether
//! it may be given now is the dialogue's question.

use bytes::Bytes;

use crate::{
    base::secret::Secret,
    wire::{MechanismName, mechanism::initial_response},
};

/// A parsed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// RFC 2449 5.
    Capa,
    /// What can be typed here; for people at telnet.
    Help,
    /// RFC 1939 7. Secret, because what is typed here may be the password.
    User(Secret<String>),
    /// RFC 1939 7.
    Pass(Secret<String>),
    /// RFC 5034 4; without a mechanism it asks for their list.
    Auth(Option<Auth>),
    /// RFC 2595 4.
    Stls,
    /// RFC 1939 5.
    Stat,
    /// RFC 1939 5.
    List(Option<u32>),
    /// RFC 1939 7.
    Uidl(Option<u32>),
    /// RFC 1939 5.
    Retr(u32),
    /// RFC 1939 7: message number and body lines.
    Top(u32, u64),
    /// RFC 1939 5.
    Dele(u32),
    /// RFC 1939 5.
    Noop,
    /// RFC 1939 5.
    Rset,
    /// RFC 1939 4 and 6.
    Quit,
}

/// The beginning of a SASL exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Which.
    pub mechanism: MechanismName,
    /// The initial response, decoded.
    pub initial: Option<Secret<Bytes>>,
}

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// No such command.
    Unknown,
    /// Its arguments are wrong: what they should be.
    Arguments(&'static str),
    /// Bytes that no command contains.
    Bytes,
}

impl Command {
    /// The command's name, as in the table of verbs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Capa => "CAPA",
            Self::Help => "HELP",
            Self::User(_) => "USER",
            Self::Pass(_) => "PASS",
            Self::Auth(_) => "AUTH",
            Self::Stls => "STLS",
            Self::Stat => "STAT",
            Self::List(_) => "LIST",
            Self::Uidl(_) => "UIDL",
            Self::Retr(_) => "RETR",
            Self::Top(..) => "TOP",
            Self::Dele(_) => "DELE",
            Self::Noop => "NOOP",
            Self::Rset => "RSET",
            Self::Quit => "QUIT",
        }
    }

    /// Parses a line without its end.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Self, Mistake> {
        let text = std::str::from_utf8(line).map_err(|_| Mistake::Bytes)?;
        if text.chars().any(char::is_control) {
            return Err(Mistake::Bytes);
        }
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        match verb.to_ascii_uppercase().as_str() {
            "CAPA" => alone(rest, Self::Capa),
            "HELP" => Ok(Self::Help),
            "USER" => user(rest),
            "PASS" => pass(text),
            "AUTH" => auth(rest),
            "STLS" => alone(rest, Self::Stls),
            "STAT" => alone(rest, Self::Stat),
            "LIST" => Ok(Self::List(number_or_none(rest)?)),
            "UIDL" => Ok(Self::Uidl(number_or_none(rest)?)),
            "RETR" => Ok(Self::Retr(number(rest)?)),
            "TOP" => top(rest),
            "DELE" => Ok(Self::Dele(number(rest)?)),
            "NOOP" => alone(rest, Self::Noop),
            "RSET" => alone(rest, Self::Rset),
            "QUIT" => alone(rest, Self::Quit),
            _ => Err(Mistake::Unknown),
        }
    }
}

fn alone(rest: &str, command: Command) -> Result<Command, Mistake> {
    if rest.trim().is_empty() {
        Ok(command)
    } else {
        Err(Mistake::Arguments("this command takes no argument"))
    }
}

fn user(rest: &str) -> Result<Command, Mistake> {
    let name = rest.trim();
    if name.is_empty() {
        return Err(Mistake::Arguments("give a name: USER alice@example.org"));
    }
    Ok(Command::User(Secret::new(name.to_owned())))
}

/// RFC 1939 7: PASS has one argument, so spaces are part of the password.
fn pass(text: &str) -> Result<Command, Mistake> {
    match text.split_once(' ') {
        Some((_, password)) if !password.is_empty() => {
            Ok(Command::Pass(Secret::new(password.to_owned())))
        }
        _ => Err(Mistake::Arguments("give a password: PASS secret")),
    }
}

fn auth(rest: &str) -> Result<Command, Mistake> {
    let mut words = rest.split_ascii_whitespace();
    let Some(mechanism) = words.next() else {
        return Ok(Command::Auth(None));
    };
    let initial = words.next();
    if words.next().is_some() {
        return Err(Mistake::Arguments(
            "AUTH takes a mechanism and at most one response",
        ));
    }
    let mechanism = MechanismName::parse(mechanism).ok_or(Mistake::Arguments(
        "this is no name of a mechanism, CAPA lists them",
    ))?;
    let initial = match initial {
        None => None,
        // RFC 5034 4.
        Some(text) => Some(initial_response(text.as_bytes()).ok_or(Mistake::Arguments(
            "this is not what AUTH takes: a response is base64, or =",
        ))?),
    };
    Ok(Command::Auth(Some(Auth { mechanism, initial })))
}

fn top(rest: &str) -> Result<Command, Mistake> {
    let wrong = Mistake::Arguments("TOP takes a message number and a number of lines");
    let (message, lines) = rest.trim().split_once(' ').ok_or(wrong)?;
    let lines = digits(lines.trim()).ok_or(wrong)?;
    Ok(Command::Top(number(message)?, lines))
}

fn number(rest: &str) -> Result<u32, Mistake> {
    number_or_none(rest)?.ok_or(Mistake::Arguments("give a message number"))
}

fn number_or_none(rest: &str) -> Result<Option<u32>, Mistake> {
    let rest = rest.trim();
    if rest.is_empty() {
        return Ok(None);
    }
    let number = digits(rest).ok_or(Mistake::Arguments("a message number is digits only"))?;
    // A number beyond any maildrop is well-formed; it names no message.
    Ok(Some(u32::try_from(number).unwrap_or(u32::MAX)))
}

fn digits(text: &str) -> Option<u64> {
    let all_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_read_in_any_case_with_their_arguments() {
        for (line, command) in [
            (&b"quit"[..], Command::Quit),
            (
                b"USER alice@demo.test ",
                Command::User(Secret::new("alice@demo.test".to_owned())),
            ),
            (
                b"PASS two words ",
                Command::Pass(Secret::new("two words ".to_owned())),
            ),
            (b"List", Command::List(None)),
            (b"LIST 2", Command::List(Some(2))),
            (b"RETR 99999999999999999999", Command::Retr(u32::MAX)),
            (b"TOP 1 0", Command::Top(1, 0)),
            (b"AUTH", Command::Auth(None)),
            (b"HELP me", Command::Help),
        ] {
            assert_eq!(Command::parse(line), Ok(command));
        }
    }

    #[test]
    fn what_is_no_command_says_why() {
        for (line, unknown) in [
            (&b""[..], true),
            (b"APOP alice 0123", true),
            (b"RETR", false),
            (b"RETR one", false),
            (b"RETR -1", false),
            (b"TOP 1", false),
            (b"TOP 1 x", false),
            (b"STAT now", false),
            (b"PASS", false),
            (b"PASS ", false),
            (b"USER", false),
            (b"AUTH PLAIN a b", false),
            (b"AUTH AGFsaWNlAHB3AA==", false),
            (b"AUTH AGFsaWNlQGV4YW1wbGUub3JnAHB3", false),
        ] {
            let mistake = Command::parse(line).unwrap_err();
            assert_eq!(mistake == Mistake::Unknown, unknown, "{line:?}");
        }
        assert_eq!(Command::parse(b"US\0ER x"), Err(Mistake::Bytes));
        assert_eq!(Command::parse(b"USER \xff"), Err(Mistake::Bytes));
    }

    proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Command::parse(&line);
        }
    }
}
