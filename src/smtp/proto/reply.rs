//! Replies: a code, an enhanced status code, lines of text (RFC 5321 4.2, RFC 2034, RFC 3463).
//!
//! A line cannot hold CR, LF or anything beyond printable ASCII, but for one that was asked for in
//! UTF-8, and never exceeds 512 octets on the wire (RFC 5321 4.5.3.1.5). Replies repeat nothing
//! that the peer said but the keyword of an unknown parameter. Not here: reading replies
//! (`smtp::client`).

use std::borrow::Cow;

use crate::{base::ids::MessageId, wire::Output};

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    detail: Option<Detail>,
    first: Text,
    more: Vec<Text>,
}

/// Subject and detail of an enhanced status code; its class is the first digit of the code, so that
/// the two cannot contradict each other (RFC 2034 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detail(pub u16, pub u16);

/// One line of a reply: printable ASCII or, where the client wants it, UTF-8; at most 498 octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(Cow<'static, str>);

impl Reply {
    /// A reply with an enhanced status code.
    pub fn new(code: u16, detail: Detail, text: impl Into<Text>) -> Self {
        Self {
            code,
            detail: Some(detail),
            first: text.into(),
            more: Vec::new(),
        }
    }

    /// A reply without one: the greeting, the answers to HELO and EHLO, 334, 354.
    pub fn bare(code: u16, text: impl Into<Text>) -> Self {
        Self {
            code,
            detail: None,
            first: text.into(),
            more: Vec::new(),
        }
    }

    /// The same with one more line.
    pub fn line(mut self, text: impl Into<Text>) -> Self {
        self.more.push(text.into());
        self
    }

    /// The same with the name of the transaction behind its last line: who asks about it can be
    /// told its story.
    pub fn named(mut self, id: MessageId) -> Self {
        let last = self.more.last_mut().unwrap_or(&mut self.first);
        *last = Text::from(format!("{}, id {id}", last.0));
        self
    }

    /// The code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Whether it says that trying again is of no use.
    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// The lines, without codes.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.first)
            .chain(&self.more)
            .map(|text| text.0.as_ref())
    }

    /// Appends the reply in wire form.
    pub fn encode(&self, out: &mut Output) {
        let last = self.more.len();
        for (at, text) in self.lines().enumerate() {
            out.number(u64::from(self.code));
            out.text(if at == last { " " } else { "-" });
            if let Some(Detail(subject, detail)) = self.detail {
                out.number(u64::from(self.code / 100)).text(".");
                out.number(u64::from(subject)).text(".");
                out.number(u64::from(detail)).text(" ");
            }
            out.text(text).crlf();
        }
    }
}

impl Text {
    /// In UTF-8, for a client that asked for it (RFC 6531 3.7.4.2).
    pub fn in_utf8(text: &str) -> Self {
        let mut clean = String::new();
        for c in text.chars() {
            let c = if c.is_control() { '?' } else { c };
            if clean.len().saturating_add(c.len_utf8()) > TEXT_CHARACTERS_MAX {
                break;
            }
            clean.push(c);
        }
        Self(Cow::Owned(clean))
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        if is_text(text) {
            Self(Cow::Borrowed(text))
        } else {
            Self::from(text.to_owned())
        }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        if is_text(&text) {
            return Self(Cow::Owned(text));
        }
        let kept = text.chars().take(TEXT_CHARACTERS_MAX);
        let clean = kept.map(|c| if is_printable(c) { c } else { '?' });
        Self(Cow::Owned(clean.collect()))
    }
}

fn is_text(text: &str) -> bool {
    text.len() <= TEXT_CHARACTERS_MAX && text.chars().all(is_printable)
}

fn is_printable(c: char) -> bool {
    c == ' ' || c.is_ascii_graphic()
}

/// RFC 5321 4.5.3.1.5: 512 octets with code, separator, status code (up to 8 characters) and CRLF.
const TEXT_CHARACTERS_MAX: usize = 498;

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(reply: &Reply) -> String {
        let mut out = Output::new();
        reply.encode(&mut out);
        String::from_utf8(out.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn rfc_6531_3_7_4_2_a_line_in_utf8_is_a_line() {
        let shown = |text: &str| {
            let mut out = Output::new();
            Reply::new(250, Detail(1, 5), Text::in_utf8(text)).encode(&mut out);
            String::from_utf8(out.as_bytes().to_vec()).unwrap()
        };
        assert_eq!(shown("<caf\u{e9}@b>"), "250 2.1.5 <caf\u{e9}@b>\r\n");
        assert_eq!(shown("a\r\n\u{85}b\0"), "250 2.1.5 a???b?\r\n");
        assert!(shown(&"\u{20ac}".repeat(400)).len() <= 512);
    }

    #[test]
    fn replies_have_the_form_of_rfc_5321() {
        for (reply, form) in [
            (Reply::bare(354, "go on"), "354 go on\r\n"),
            (Reply::bare(334, ""), "334 \r\n"),
            (
                Reply::new(550, Detail(1, 1), "nobody"),
                "550 5.1.1 nobody\r\n",
            ),
            (
                Reply::bare(250, "mx.example").line("SIZE 9").line("HELP"),
                "250-mx.example\r\n250-SIZE 9\r\n250 HELP\r\n",
            ),
            (
                Reply::new(214, Detail(0, 0), "a").line("b"),
                "214-2.0.0 a\r\n214 2.0.0 b\r\n",
            ),
        ] {
            assert_eq!(wire(&reply), form);
        }
    }

    #[test]
    fn no_text_can_break_a_line_or_exceed_it() {
        let reply = Reply::new(550, Detail(1, 1), "a\r\n250 ok\0\u{e9}".to_owned());
        assert_eq!(wire(&reply), "550 5.1.1 a??250 ok??\r\n");
        let long = Reply::new(550, Detail(7, 999), "x".repeat(2000));
        assert!(wire(&long).len() <= 512);
    }
}
