//! The commands of SMTP as values (RFC 5321 4.1). What is here was parsed and admitted.
//!
//! Not here: what is done with them (`server`), how they are spelt (`parse`).

use std::fmt;

use bytes::Bytes;

use crate::{
    base::secret::Secret,
    mail::{
        address::Domain,
        envelope::{BodyKind, ForwardPath, MailOptions, RcptOptions, ReversePath},
        urgency::{By, Hold},
    },
    wire::MechanismName,
};

use super::{help::Subject, xclient::Introduction};

/// One command.
#[derive(Debug)]
pub enum Command {
    /// RFC 5321 4.1.1.1.
    Helo(ClientName),
    /// RFC 5321 4.1.1.1; LHLO is the same (RFC 2033 4.1).
    Ehlo(ClientName),
    /// RFC 5321 4.1.1.2.
    Mail(Mail),
    /// RFC 5321 4.1.1.3.
    Rcpt(Rcpt),
    /// RFC 5321 4.1.1.4; the body follows our 354.
    Data,
    /// RFC 3030 2; the chunk follows the command at once.
    Bdat(Bdat),
    /// RFC 5321 4.1.1.5.
    Rset,
    /// RFC 5321 4.1.1.6.
    Vrfy(Inquiry),
    /// RFC 5321 4.1.1.7.
    Expn(Inquiry),
    /// RFC 1985.
    Etrn(Etrn),
    /// RFC 5321 4.1.1.8.
    Help(Subject),
    /// RFC 5321 4.1.1.9.
    Noop,
    /// RFC 5321 4.1.1.10.
    Quit,
    /// RFC 3207.
    StartTls,
    /// RFC 4954 4.
    Auth(Auth),
    /// XCLIENT of Postfix.
    Xclient(Box<Introduction>),
}

/// MAIL: a sender and what is said about the message.
#[derive(Debug, PartialEq, Eq)]
pub struct Mail {
    /// Where failures are reported.
    pub sender: ReversePath,
    /// RFC 1870: how large the message will be; more than `u64` holds counts as its maximum.
    pub size: Option<u64>,
    /// RFC 6152.
    pub body: BodyKind,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 2852: within what time it is wanted.
    pub by: Option<By>,
    /// RFC 4865: how long it waits first.
    pub hold: Option<Hold>,
    /// What goes on with the message, but for its times.
    pub options: MailOptions,
}

/// RCPT: one recipient.
#[derive(Debug, PartialEq, Eq)]
pub struct Rcpt {
    /// To whom.
    pub recipient: ForwardPath,
    /// Whether it was written in ASCII, with its parameters; if not, MAIL must have said SMTPUTF8
    /// (RFC 6531 3.4).
    pub ascii: bool,
    /// What goes on with the message.
    pub options: RcptOptions,
}

/// BDAT: a chunk of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bdat {
    /// How many octets follow.
    pub octets: u64,
    /// Whether the message ends with them.
    pub last: bool,
}

/// The argument of VRFY or EXPN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// An address, if it is one.
    pub path: Option<ForwardPath>,
    /// RFC 6531 3.7.4.2: the reply may hold UTF-8.
    pub smtputf8: bool,
}

/// ETRN: whose mail is to be tried now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Etrn {
    /// A domain.
    pub node: Domain,
    /// And all below it (RFC 1985 5.3).
    pub below: bool,
}

/// AUTH: a mechanism, perhaps with its first response.
#[derive(Debug, PartialEq, Eq)]
pub struct Auth {
    /// Which.
    pub mechanism: MechanismName,
    /// Decoded.
    pub initial: Option<Secret<Bytes>>,
}

/// What a client calls itself: 1 to 255 printable ASCII characters without spaces. Often not the
/// truth; good for trace fields and logs only, never for a decision (RFC 5321 4.1.4).
#[derive(Clone, PartialEq, Eq)]
pub struct ClientName(Box<str>);

impl ClientName {
    /// Takes the first word of `text`; what could not stand in a header field becomes `?`. `None`
    /// when there is no word.
    pub fn new(text: &str) -> Option<Self> {
        let word = text.split(' ').find(|word| !word.is_empty())?;
        let name = word.chars().take(CLIENT_NAME_CHARACTERS_MAX);
        Some(Self(
            name.map(|c| if is_harmless(c) { c } else { '?' }).collect(),
        ))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What may stand in a comment of a header field as it is (RFC 5322 3.2.2 ctext).
fn is_harmless(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '(' | ')' | '\\' | '"')
}

/// RFC 5321 4.5.3.1.2.
const CLIENT_NAME_CHARACTERS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_names_are_tolerated_and_made_harmless() {
        for (text, name) in [
            ("client.example", Some("client.example")),
            ("  [192.0.2.1]  x", Some("[192.0.2.1]")),
            ("my_pc", Some("my_pc")),
            ("b\u{fc}ro(x)\"\\", Some("b?ro?x???")),
            ("   ", None),
            ("", None),
        ] {
            let found = ClientName::new(text);
            assert_eq!(found.as_ref().map(ClientName::as_str), name, "{text:?}");
        }
        let long = ClientName::new(&"x".repeat(300)).unwrap();
        assert_eq!(long.as_str().len(), 255);
    }
}
