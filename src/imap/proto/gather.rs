//! One command being gathered from lines and literals: its tag and verb, its limits, why it is
//! refused.
//!
//! Decides nothing about the connection; `dialog` does. A line is looked at once: at its
//! beginning for tag and verb, at its end for a literal (RFC 3501 4.3, RFC 7888). The arguments
//! are parsed once, when all are there.

use super::{
    command::{AnnouncedLiteral, Command, Tag},
    limits::{CommandLimits, SKIPPED_MESSAGE_BYTES_MAX, TAG_BYTES_MAX},
    parse::{Mistake, Piece, Scanner},
    quirk,
    response::{Code, Status},
    verbs::{Stage, Tls, Verb},
};

/// What was read of the command under way.
#[derive(Default)]
pub(super) struct Gathered {
    /// Whether its first line was read.
    pub(super) begun: bool,
    pub(super) tag: Option<Tag>,
    /// Its verb, and where its arguments begin in the first line.
    pub(super) verb: Option<(&'static Verb, usize)>,
    /// It came while IDLE was under way, and is not DONE.
    pub(super) ends_idle: bool,
    /// Decided before its end; what still comes of it is skipped.
    pub(super) refusal: Option<Mistake>,
    /// Texts and literals one behind the other: copies, as many small shares of large buffers
    /// would hold those.
    pub(super) bytes: Vec<u8>,
    /// Ends of each text and of the literal behind it.
    ends: Vec<(usize, usize)>,
    /// All that was sent of it, skipped or not.
    sent_bytes: u64,
    parentheses: usize,
}

impl std::fmt::Debug for Gathered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // There may be a password in it.
        write!(f, "{} bytes", self.bytes.len())
    }
}

/// `{n}` or `{n+}` at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    /// Where the text before it ends.
    pub(super) at: usize,
    pub(super) size_bytes: u64,
    pub(super) synchronizing: bool,
}

impl Gathered {
    /// Reads tag and verb of the first line.
    pub(super) fn head(&mut self, text: &[u8], stage: Stage) {
        if stage == Stage::Idling {
            self.refusal = Some(Mistake::bad("nothing but DONE ends IDLE"));
            return;
        }
        let (tag, rest) = split_word(text);
        self.tag = Tag::parse(tag);
        let Some(behind_tag) = rest.strip_prefix(b" ").filter(|_| self.tag.is_some()) else {
            self.refusal = Some(Mistake::bad(help(stage)));
            // What has no verb is no tag either: people type HELP.
            self.tag = None;
            return;
        };
        let (mut verb, mut behind) = split_word(behind_tag);
        if verb.eq_ignore_ascii_case(b"UID")
            && let Some((space, of_uid)) = behind.split_first()
            && *space == b' '
        {
            let (second, rest) = split_word(of_uid);
            verb = behind_tag
                .get(..verb.len() + 1 + second.len())
                .unwrap_or_default();
            behind = rest;
        }
        let Some(found) = Verb::named(verb) else {
            self.refusal = Some(Mistake::bad(unknown(stage)));
            return;
        };
        self.verb = Some((found, text.len() - behind.len()));
        self.refusal = found.admitted(stage).err();
    }

    /// Counts a line, and refuses the command when it is too much.
    pub(super) fn count(&mut self, line: &[u8], limits: &CommandLimits) {
        self.sent_bytes = self.sent_bytes.saturating_add(line.len() as u64 + 2);
        self.parentheses += line.iter().filter(|byte| **byte == b'(').count();
        if self.refusal.is_some() {
            return;
        }
        if self.parentheses > limits.parentheses_max {
            self.refusal = Some(Mistake::bad("too many parentheses"));
        } else if self.sent_bytes > limits.command_bytes_max {
            self.refusal = Some(Mistake::no(Code::TooBig, "the command is too long"));
        }
    }

    /// Why a literal is not taken, if so.
    pub(super) fn objection_to(
        &self,
        text: &[u8],
        announced: Announced,
        limits: &CommandLimits,
    ) -> Option<Mistake> {
        let sent = self.sent_bytes.saturating_add(announced.size_bytes);
        if announced.size_bytes > limits.literal_bytes_max || sent > limits.command_bytes_max {
            return Some(Mistake::no(Code::TooBig, "the literal is too large here"));
        }
        if self.ends.len() >= limits.literals_max {
            return Some(Mistake::no(
                Code::TooBig,
                "too many literals in one command",
            ));
        }
        if !matches!(text.last(), Some(b' ' | b'(')) {
            return Some(Mistake::bad(
                "a literal stands behind a space or a parenthesis",
            ));
        }
        None
    }

    /// Whether a literal of the refused command may be skipped; it then counts as sent.
    pub(super) fn skips(&mut self, size_bytes: u64, stage: Stage, limits: &CommandLimits) -> bool {
        let is_append = self.verb.is_some_and(|(verb, _)| verb.name == "APPEND");
        let room = match stage {
            Stage::Greeted { .. } => limits.literal_bytes_max,
            _ if is_append => SKIPPED_MESSAGE_BYTES_MAX,
            _ => limits.literal_bytes_max,
        };
        self.sent_bytes = self.sent_bytes.saturating_add(size_bytes);
        size_bytes <= room && self.sent_bytes <= room.max(limits.command_bytes_max)
    }

    /// Whether the literal behind `text` is the message of an APPEND; its other literal is the
    /// name.
    pub(super) fn is_message(&self, text: &[u8]) -> bool {
        let Some((verb, arguments_at)) = self.verb else {
            return false;
        };
        let is_name =
            self.ends.is_empty() && text.get(arguments_at..).is_none_or(|text| text == b" ");
        verb.name == "APPEND" && !is_name
    }

    /// Keeps a text whose literal of `size_bytes` is to come.
    pub(super) fn add_text(&mut self, text: &[u8], size_bytes: u64) {
        self.sent_bytes = self.sent_bytes.saturating_add(size_bytes);
        self.bytes.extend_from_slice(text);
        self.ends.push((self.bytes.len(), self.bytes.len()));
    }

    /// Keeps the literal behind the last text.
    pub(super) fn add_literal(&mut self, literal: &[u8]) {
        self.bytes.extend_from_slice(literal);
        if let Some((_, end)) = self.ends.last_mut() {
            *end = self.bytes.len();
        }
    }

    /// The command, whose last text is `last`.
    pub(super) fn parse(
        &self,
        last: &[u8],
        message: Option<AnnouncedLiteral>,
    ) -> Result<Command, Mistake> {
        let (Some(tag), Some((verb, mut arguments_at))) = (self.tag.clone(), self.verb) else {
            return Err(Mistake::bad("this command cannot be read"));
        };
        let mut pieces = Vec::with_capacity(self.ends.len() + 1);
        let mut start = 0;
        for (text_end, end) in &self.ends {
            let text = self.bytes.get(start..*text_end).unwrap_or_default();
            pieces.push(Piece {
                text: text.get(arguments_at..).unwrap_or_default(),
                literal: self.bytes.get(*text_end..*end),
            });
            (start, arguments_at) = (*end, 0);
        }
        let mut last = last.get(arguments_at..).unwrap_or_default();
        if quirk::SPACES_AT_END && message.is_none() {
            while let Some(shorter) = last.strip_suffix(b" ") {
                last = shorter;
            }
        }
        pieces.push(Piece {
            text: last,
            literal: None,
        });
        let mut scanner = Scanner::new(&pieces, message);
        let body = (verb.parse)(&mut scanner)?;
        Ok(Command { tag, verb, body })
    }

    /// The line that begins `bytes` is too long; its command is refused.
    pub(super) fn line_too_long(&mut self, bytes: &[u8]) {
        if !self.begun {
            self.begun = true;
            let start = bytes.get(..TAG_BYTES_MAX + 1).unwrap_or(bytes);
            self.tag = Tag::parse(split_word(start).0);
        }
        self.refusal.get_or_insert(Mistake {
            status: Status::Bad,
            code: Some(Code::TooBig),
            text: LINE_TOO_LONG,
        });
    }
}

impl Announced {
    /// What `line` announces at its end.
    pub(super) fn find(line: &[u8]) -> Option<Self> {
        let inner = line.strip_suffix(b"}")?;
        let (inner, synchronizing) = match inner.strip_suffix(b"+") {
            Some(inner) => (inner, false),
            None => (inner, true),
        };
        let digits = inner
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (before, digits) = inner.split_at(inner.len() - digits);
        let before = before
            .strip_suffix(b"{")
            .filter(|_| (1..=DIGITS_MAX).contains(&digits.len()))?;
        let size_bytes = digits.iter().fold(0_u64, |size, digit| {
            size.saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'))
        });
        Some(Self {
            at: before.len(),
            size_bytes,
            synchronizing,
        })
    }
}

/// The bytes up to the first space, and the rest with it.
fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| *byte == b' ');
    text.split_at(end.unwrap_or(text.len()))
}

/// For people who type: what a line looks like here.
fn help(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeted {
            tls: Tls::Offered,
            insecure_login_allowed: false,
        } => "begin with a tag of your choice: a1 CAPABILITY - a2 STARTTLS - a3 LOGOUT",
        Stage::Greeted { .. } => {
            "begin with a tag of your choice: a1 LOGIN name password - a2 SELECT INBOX - a3 LOGOUT"
        }
        Stage::Authenticated => {
            "begin with a tag of your choice: a1 LIST \"\" * - a2 SELECT INBOX - a3 LOGOUT"
        }
        Stage::Selected { .. } | Stage::Idling => {
            "begin with a tag of your choice: a1 FETCH 1:* (UID FLAGS ENVELOPE) - a2 LOGOUT"
        }
    }
}

/// For an unknown verb: what is known.
fn unknown(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeted { .. } => {
            "unknown command; try CAPABILITY, ID, NOOP, STARTTLS, AUTHENTICATE, LOGIN or LOGOUT"
        }
        Stage::Authenticated => {
            "unknown command; try SELECT, LIST, STATUS, CREATE, DELETE, RENAME, APPEND or LOGOUT"
        }
        Stage::Selected { .. } | Stage::Idling => {
            "unknown command; try FETCH, SEARCH, STORE, COPY, MOVE, EXPUNGE, CLOSE or LOGOUT"
        }
    }
}

/// What is said of a line beyond its limit.
pub(super) const LINE_TOO_LONG: &str = "the line is too long";
/// Digits of the largest 64-bit number; a longer number is no announcement.
const DIGITS_MAX: usize = 20;
/// The longest announcement with the CR behind it.
pub(super) const ANNOUNCED_BYTES_MAX: usize = DIGITS_MAX + 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_stand_at_the_end_of_a_line() {
        for (line, announced) in [
            (&b"a {0}"[..], Some((2, 0, true))),
            (b"{12+}", Some((0, 12, false))),
            (b"{00012}", Some((0, 12, true))),
            (b"{99999999999999999999}", Some((0, u64::MAX, true))),
            (b"{999999999999999999999}", None),
            (b"{}", None),
            (b"{+}", None),
            (b"{1-}", None),
            (b"{1} ", None),
            (b"1}", None),
            (b"{a}", None),
            (b"", None),
        ] {
            let found = Announced::find(line);
            let found = found.map(|found| (found.at, found.size_bytes, found.synchronizing));
            assert_eq!(found, announced, "{line:?}");
        }
    }
}
