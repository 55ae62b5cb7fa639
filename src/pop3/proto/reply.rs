//! POP3 replies (RFC 1939 3) with extended response codes (RFC 2449 8, RFC 3206).

use crate::wire::Output;

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+OK text`.
    Ok(String),
    /// `-ERR [code] text`.
    Err(Option<Code>, &'static str),
    /// `+OK text`, lines, and the lone dot.
    Lines(&'static str, Vec<String>),
    /// `+ base64`: go on with the exchange (RFC 5034 4).
    Challenge(String),
}

/// Extended response codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The maildrop is in use (RFC 2449 8.1.2).
    InUse,
    /// The credentials are wrong (RFC 3206 5).
    Auth,
    /// Try again later (RFC 3206 4).
    SysTemp,
}

impl Code {
    fn wire(self) -> &'static str {
        match self {
            Self::InUse => "IN-USE",
            Self::Auth => "AUTH",
            Self::SysTemp => "SYS/TEMP",
        }
    }
}

impl Reply {
    /// `+OK text`.
    pub fn ok(text: impl Into<String>) -> Self {
        Self::Ok(text.into())
    }

    /// `-ERR text`.
    pub fn err(text: &'static str) -> Self {
        Self::Err(None, text)
    }

    /// Appends the reply in wire form.
    pub fn encode(&self, out: &mut Output) {
        match self {
            Self::Ok(text) => out.text("+OK ").text(text).crlf(),
            Self::Err(None, text) => out.text("-ERR ").text(text).crlf(),
            Self::Err(Some(code), text) => out
                .text("-ERR [")
                .text(code.wire())
                .text("] ")
                .text(text)
                .crlf(),
            Self::Challenge(base64) => out.text("+ ").text(base64).crlf(),
            Self::Lines(text, lines) => {
                out.text("+OK ").text(text).crlf();
                for line in lines {
                    // RFC 1939 3: byte-stuffing; our lines never begin with a dot by accident only.
                    if line.starts_with('.') {
                        out.text(".");
                    }
                    out.text(line).crlf();
                }
                out.text(".\r\n")
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_have_their_wire_form() {
        for (reply, wire) in [
            (Reply::ok("2 messages"), "+OK 2 messages\r\n"),
            (Reply::err("no such message"), "-ERR no such message\r\n"),
            (
                Reply::Err(Some(Code::InUse), "busy"),
                "-ERR [IN-USE] busy\r\n",
            ),
            (Reply::Challenge(String::new()), "+ \r\n"),
            (
                Reply::Lines("list", vec!["TOP".to_owned(), ".x".to_owned()]),
                "+OK list\r\nTOP\r\n..x\r\n.\r\n",
            ),
        ] {
            let mut out = Output::new();
            reply.encode(&mut out);
            assert_eq!(out.as_bytes(), wire.as_bytes());
        }
    }
}
