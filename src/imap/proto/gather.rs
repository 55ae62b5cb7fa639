//! One command being gathered: its tag and verb, why it is refused, its arguments.
//!
//! Decides nothing about the connection; `dialog` does. Lines, literals and their limits are
//! `wire::literal`'s. Tag and verb are read from the first line, the arguments are parsed once,
//! when all are there.

use super::{
    command::{AnnouncedLiteral, Command, Tag},
    enabled::Enabled,
    limits::TAG_BYTES_MAX,
    parse::{Mistake, Scanner},
    quirk,
    response::{Code, Status},
    verbs::{Stage, Tls, Verb},
};
use crate::wire::literal::{Announced, CommandLimits, Excess, Gathered as Parts};

/// What was read of the command under way.
#[derive(Debug, Default)]
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
    /// Its texts and literals.
    pub(super) parts: Parts,
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
        if let Err(excess) = self.parts.count(line, limits) {
            self.refusal.get_or_insert_with(|| too_much(excess));
        }
    }

    /// Why a literal is not taken, if so.
    pub(super) fn objection_to(
        &self,
        text: &[u8],
        announced: Announced,
        limits: &CommandLimits,
    ) -> Option<Mistake> {
        if let Err(excess) = self.parts.has_room_for(announced, limits) {
            return Some(too_much(excess));
        }
        if !matches!(text.last(), Some(b' ' | b'(')) {
            let rule = "a literal stands behind a space or a parenthesis";
            return Some(Mistake::bad(rule));
        }
        // RFC 5464 5
        let is_value = self
            .verb
            .is_some_and(|(verb, _)| verb.name == "SETMETADATA");
        (announced.binary && !is_value)
            .then(|| Mistake::bad("a binary literal is a message or a value, and nothing else"))
    }

    /// Whether its last argument is a body.
    pub(super) fn takes_body(&self) -> bool {
        self.verb.is_some_and(|(verb, _)| verb.body_behind > 0)
    }

    /// Whether the literal behind `text` is that body or a part of it, and not an argument before.
    pub(super) fn is_body(&self, text: &[u8]) -> bool {
        let Some((verb, arguments_at)) = self.verb else {
            return false;
        };
        let arguments = text.get(arguments_at..).unwrap_or_default();
        let begun = arguments.iter().filter(|byte| **byte == b' ').count();
        // The arguments before the body have no spaces in them, unless they are in quotes: then
        // there are more, as there should be.
        self.takes_body() && !(self.parts.is_first_text() && begun <= verb.body_behind)
    }

    /// The command, whose last text is `last`.
    pub(super) fn parse(
        &self,
        mut last: &[u8],
        message: Option<AnnouncedLiteral>,
        enabled: Enabled,
    ) -> Result<Command, Mistake> {
        let (Some(tag), Some((verb, arguments_at))) = (self.tag.clone(), self.verb) else {
            return Err(Mistake::bad("this command cannot be read"));
        };
        if quirk::SPACES_AT_END && message.is_none() {
            while let Some(shorter) = last.strip_suffix(b" ") {
                last = shorter;
            }
        }
        if enabled.contains(Enabled::UIDONLY) && verb.names_numbers() {
            return Err(Mistake::uid_required());
        }
        let pieces = self.parts.pieces(arguments_at, last);
        let mut scanner = Scanner::new(&pieces, message).of_client(enabled);
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

/// What is said of a command that is too much.
fn too_much(excess: Excess) -> Mistake {
    match excess {
        Excess::Parentheses => Mistake::bad("too many parentheses"),
        Excess::Command => Mistake::no(Code::TooBig, "the command is too long"),
        Excess::Literal => Mistake::no(Code::TooBig, "the literal is too large here"),
        Excess::Literals => Mistake::no(Code::TooBig, "too many literals in one command"),
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
