//! The dialogue: lines and literals in, admitted commands and refusals out (RFC 3501 2.2, 4.3, RFC 7888).
//!
//! A line is looked at once: at its end, for a literal; at its beginning, for tag and verb, so that what is
//! not admitted is refused before its literals are invited. The arguments are parsed once, when all
//! are there. What a refused command has already on its way (`{n+}`) is skipped, never read as commands; where
//! that cannot be done the connection ends. The message of APPEND is not read here: the command is given
//! out when its message is announced.

use bytes::Bytes;

use super::{
    command::{AnnouncedLiteral, Command, CommandBody, Tag},
    encode,
    limits::{AFTER_LOGIN, BEFORE_LOGIN, CommandLimits, SKIPPED_MESSAGE_BYTES_MAX, TAG_BYTES_MAX},
    parse::{Mistake, Piece, Scanner},
    response::{Code, Response, Status},
    verbs::{Stage, Tls, Verb},
};
use crate::{
    net::protocol::{Farewell, Protocol, Step},
    wire::{Input, Line, Output, input::DROPPED_LINE_BYTES_MAX},
};

/// One connection's dialogue.
#[derive(Debug)]
pub struct Imap {
    expect: Expect,
    gathered: Gathered,
    /// Of the last IDLE: what DONE completes.
    idle_tag: Tag,
}

/// What the next bytes are.
#[derive(Debug)]
enum Expect {
    /// A line.
    Line,
    /// A literal of this size.
    Literal(usize),
    /// So many octets of literals of a refused command.
    Skipped(u64),
    /// The rest of a line that is too long; so much of it was dropped.
    DroppedLine(usize),
}

/// What was read of the command under way.
#[derive(Default)]
struct Gathered {
    /// Whether its first line was read.
    begun: bool,
    tag: Option<Tag>,
    /// Its verb, and where its arguments begin in the first line.
    verb: Option<(&'static Verb, usize)>,
    /// Decided before its end; what still comes of it is skipped.
    refusal: Option<Mistake>,
    /// Texts and literals one behind the other: copies, as many small shares of large buffers would hold those.
    bytes: Vec<u8>,
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
struct Announced {
    /// Where the text before it ends.
    at: usize,
    size_bytes: u64,
    synchronizing: bool,
}

type Next = Step<Command, Response>;

impl Imap {
    /// At the beginning.
    pub fn new() -> Self {
        Self {
            expect: Expect::Line,
            gathered: Gathered::default(),
            idle_tag: Tag::of_nothing(),
        }
    }

    /// Takes one line, or goes on with what is under way.
    fn line_due(&mut self, input: &mut Input, stage: Stage) -> Option<Next> {
        let limits = limits_of(stage);
        if is_too_long(input.bytes(), limits.line_bytes_max) {
            self.gathered.line_too_long(input.bytes());
            self.expect = Expect::DroppedLine(0);
            return None;
        }
        match input.line(limits.line_bytes_max) {
            Line::NeedMore => Some(Step::NeedMore),
            Line::Whole(line) => self.line(&line, stage),
            // Longer lines were found before.
            Line::TooLong | Line::Endless => Some(Step::Fatal(Response::bye(None, LINE_TOO_LONG))),
        }
    }

    fn line(&mut self, line: &Bytes, stage: Stage) -> Option<Next> {
        let announced = Announced::find(line);
        let text = line
            .get(..announced.map_or(line.len(), |announced| announced.at))
            .unwrap_or_default();
        let gathered = &mut self.gathered;
        if !gathered.begun {
            gathered.begun = true;
            if stage == Stage::Idling && line.eq_ignore_ascii_case(b"DONE") {
                return Some(self.done());
            }
            gathered.head(text, stage);
        }
        gathered.count(line, limits_of(stage));
        match announced {
            Some(announced) => self.announced(text, announced, stage),
            None => Some(self.complete(text)),
        }
    }

    fn done(&mut self) -> Next {
        self.gathered = Gathered::default();
        match Verb::named(b"DONE") {
            Some(verb) => Step::Command(Command {
                tag: self.idle_tag.clone(),
                verb,
                body: CommandBody::Done,
            }),
            None => Step::NeedMore,
        }
    }

    /// A line ended in a literal.
    fn announced(&mut self, text: &[u8], announced: Announced, stage: Stage) -> Option<Next> {
        let limits = limits_of(stage);
        let gathered = &mut self.gathered;
        if gathered.refusal.is_none() && gathered.is_message(text) {
            let message = AnnouncedLiteral {
                size_bytes: announced.size_bytes,
                synchronizing: announced.synchronizing,
            };
            match gathered.parse(text, Some(message)) {
                Ok(command) => {
                    self.gathered = Gathered::default();
                    return Some(Step::Command(command));
                }
                Err(mistake) => gathered.refusal = Some(mistake),
            }
        }
        if gathered.refusal.is_none() {
            gathered.refusal = gathered.objection_to(text, announced, limits);
        }
        if gathered.refusal.is_some() {
            if announced.synchronizing {
                // RFC 7888 3: the client sees the refusal and does not send the literal.
                return Some(self.refuse());
            }
            let room = match gathered.verb {
                Some((verb, _))
                    if verb.name == "APPEND" && !matches!(stage, Stage::Greeted { .. }) =>
                {
                    SKIPPED_MESSAGE_BYTES_MAX
                }
                _ => limits.literal_bytes_max,
            };
            let sent = gathered.sent_bytes.saturating_add(announced.size_bytes);
            if announced.size_bytes > room || sent > room.max(limits.command_bytes_max) {
                // RFC 7888 4: what was announced is not read at all.
                return Some(self.dismiss());
            }
            gathered.sent_bytes = sent;
            self.expect = Expect::Skipped(announced.size_bytes);
            return None;
        }
        gathered.sent_bytes = gathered.sent_bytes.saturating_add(announced.size_bytes);
        gathered.add_text(text);
        self.expect = Expect::Literal(usize::try_from(announced.size_bytes).unwrap_or(usize::MAX));
        announced
            .synchronizing
            .then(|| Step::Invite(Response::Continuation("go ahead".into())))
    }

    /// The last line of a command.
    fn complete(&mut self, text: &[u8]) -> Next {
        if self.gathered.refusal.is_some() {
            return self.refuse();
        }
        match self.gathered.parse(text, None) {
            Ok(command) => {
                self.gathered = Gathered::default();
                if command.body == CommandBody::Idle {
                    self.idle_tag = command.tag.clone();
                }
                Step::Command(command)
            }
            Err(mistake) => {
                self.gathered.refusal = Some(mistake);
                self.refuse()
            }
        }
    }

    /// Ends the command under way with its refusal.
    fn refuse(&mut self) -> Next {
        let gathered = std::mem::take(&mut self.gathered);
        let mistake = gathered
            .refusal
            .unwrap_or_else(|| Mistake::bad("this command cannot be read"));
        // Looking at a mailbox that may not be changed is no mistake of the dialogue: no strike.
        let harmless = mistake.code == Some(Code::ReadOnly);
        let response = match gathered.tag {
            Some(tag) => Response::tagged(tag, mistake.status, mistake.code, mistake.text),
            None => Response::Untagged {
                status: mistake.status,
                code: mistake.code,
                text: mistake.text.into(),
            },
        };
        if harmless {
            Step::Invite(response)
        } else {
            Step::Refuse(response)
        }
    }

    /// Ends the connection: what is on its way cannot be skipped.
    fn dismiss(&mut self) -> Next {
        let gathered = std::mem::take(&mut self.gathered);
        let (code, text) = gathered.refusal.map_or((None, LINE_TOO_LONG), |mistake| {
            (mistake.code, mistake.text)
        });
        Step::Fatal(match gathered.tag {
            Some(tag) => Response::Dismissal {
                tag,
                code,
                text: text.into(),
            },
            None => Response::bye(code, text),
        })
    }

    fn literal_due(&mut self, input: &mut Input, size: usize) -> Option<Next> {
        if input.len() < size {
            return Some(Step::NeedMore);
        }
        self.gathered.add_literal(&input.take(size));
        self.expect = Expect::Line;
        None
    }

    fn skip_due(&mut self, input: &mut Input, left: u64) -> Option<Next> {
        let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        input.skip(skipped);
        let left = left.saturating_sub(skipped as u64);
        if left > 0 {
            self.expect = Expect::Skipped(left);
            return Some(Step::NeedMore);
        }
        self.expect = Expect::Line;
        None
    }

    /// Drops a line that is too long, but looks at its end: a literal behind it would be read as commands.
    fn drop_due(&mut self, input: &mut Input, dropped: usize) -> Option<Next> {
        let bytes = input.bytes();
        let end = bytes.iter().position(|byte| *byte == b'\n');
        if dropped + end.unwrap_or(bytes.len()) > DROPPED_LINE_BYTES_MAX {
            return Some(self.dismiss());
        }
        let Some(end) = end else {
            let passed = bytes.len().saturating_sub(ANNOUNCED_BYTES_MAX);
            input.skip(passed);
            self.expect = Expect::DroppedLine(dropped + passed);
            return Some(Step::NeedMore);
        };
        let line = bytes.get(..end).unwrap_or_default();
        let announced = Announced::find(line.strip_suffix(b"\r").unwrap_or(line));
        input.skip(end + 1);
        self.expect = Expect::Line;
        Some(match announced {
            Some(announced) if !announced.synchronizing => self.dismiss(),
            _ => self.refuse(),
        })
    }
}

impl Default for Imap {
    fn default() -> Self {
        Self::new()
    }
}

impl Protocol for Imap {
    type Command = Command;
    type Reply = Response;
    type Stage = Stage;

    fn next(&mut self, input: &mut Input, stage: Stage) -> Next {
        loop {
            let step = match self.expect {
                Expect::Line => self.line_due(input, stage),
                Expect::Literal(size) => self.literal_due(input, size),
                Expect::Skipped(left) => self.skip_due(input, left),
                Expect::DroppedLine(dropped) => self.drop_due(input, dropped),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    fn encode(&self, reply: &Response, out: &mut Output) {
        encode::response(reply, out);
    }

    fn challenge(&self, base64: &str) -> Response {
        Response::Challenge(base64.to_owned())
    }

    fn farewell(&self, why: Farewell) -> Response {
        let (code, text) = match why {
            Farewell::Shutdown => (Some(Code::Unavailable), "the server stops; come back soon"),
            Farewell::Idle => (None, "nothing was said for too long"),
            Farewell::TooSlow => (None, "this takes too long"),
            Farewell::Strikes => (Some(Code::ClientBug), "too many mistakes"),
            Farewell::Crowded => (
                Some(Code::Unavailable),
                "too many connections; try again later",
            ),
            Farewell::CrowdedAddress => {
                (Some(Code::Limit), "too many connections from your address")
            }
            Farewell::PlaintextBehindTls => {
                (Some(Code::ClientBug), "nothing may be sent behind STARTTLS")
            }
            Farewell::Foreign => (Some(Code::ClientBug), "this port speaks IMAP"),
            Farewell::EndlessLine => (Some(Code::TooBig), LINE_TOO_LONG),
        };
        Response::bye(code, text)
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
}

impl Gathered {
    /// Reads tag and verb of the first line.
    fn head(&mut self, text: &[u8], stage: Stage) {
        if stage == Stage::Idling {
            self.refusal = Some(Mistake::bad(
                "IDLE goes on until a line with nothing but DONE",
            ));
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
    fn count(&mut self, line: &[u8], limits: &CommandLimits) {
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
    fn objection_to(
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

    /// Whether the literal behind `text` is the message of an APPEND; its other literal is the name.
    fn is_message(&self, text: &[u8]) -> bool {
        let Some((verb, arguments_at)) = self.verb else {
            return false;
        };
        let is_name =
            self.ends.is_empty() && text.get(arguments_at..).is_none_or(|text| text == b" ");
        verb.name == "APPEND" && !is_name
    }

    fn add_text(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push((self.bytes.len(), self.bytes.len()));
    }

    fn add_literal(&mut self, literal: &[u8]) {
        self.bytes.extend_from_slice(literal);
        if let Some((_, end)) = self.ends.last_mut() {
            *end = self.bytes.len();
        }
    }

    /// The command, whose last text is `last`.
    fn parse(&self, last: &[u8], message: Option<AnnouncedLiteral>) -> Result<Command, Mistake> {
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
        pieces.push(Piece {
            text: last.get(arguments_at..).unwrap_or_default(),
            literal: None,
        });
        let mut scanner = Scanner::new(&pieces, message);
        let body = (verb.parse)(&mut scanner)?;
        Ok(Command { tag, verb, body })
    }

    /// The line that begins `bytes` is too long; its command is refused.
    fn line_too_long(&mut self, bytes: &[u8]) {
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
    fn find(line: &[u8]) -> Option<Self> {
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

/// Whether the line that begins `bytes` is longer than `max`, its end not counted.
fn is_too_long(bytes: &[u8], max: usize) -> bool {
    let Some(start) = bytes.get(..max + 2) else {
        return false;
    };
    match start.iter().position(|byte| *byte == b'\n') {
        Some(end) => end == max + 1 && start.get(max) != Some(&b'\r'),
        None => true,
    }
}

fn limits_of(stage: Stage) -> &'static CommandLimits {
    match stage {
        Stage::Greeted { .. } => &BEFORE_LOGIN,
        _ => &AFTER_LOGIN,
    }
}

/// For people who type: what a line looks like here.
fn help(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeted {
            tls: Tls::Offered,
            insecure_login_allowed: false,
        } => {
            "a line is a tag of your choice and a command, as: a1 CAPABILITY - a2 STARTTLS - a3 LOGOUT"
        }
        Stage::Greeted { .. } => {
            "a line is a tag of your choice and a command, as: a1 LOGIN name password - a2 SELECT INBOX - a3 LOGOUT"
        }
        Stage::Authenticated => {
            "a line is a tag of your choice and a command, as: a1 LIST \"\" * - a2 SELECT INBOX - a3 LOGOUT"
        }
        Stage::Selected { .. } | Stage::Idling => {
            "a line is a tag of your choice and a command, as: a1 FETCH 1:* (UID FLAGS ENVELOPE) - a2 LOGOUT"
        }
    }
}

/// For an unknown verb: what is known.
fn unknown(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeted { .. } => {
            "unknown command; here are CAPABILITY, ID, NOOP, STARTTLS, AUTHENTICATE, LOGIN, LOGOUT"
        }
        Stage::Authenticated => {
            "unknown command; here are SELECT, EXAMINE, LIST, STATUS, CREATE, DELETE, RENAME, APPEND, IDLE, LOGOUT and others"
        }
        Stage::Selected { .. } | Stage::Idling => {
            "unknown command; here are FETCH, SEARCH, STORE, COPY, MOVE, EXPUNGE, UID, CLOSE, SELECT, LIST, IDLE, LOGOUT and others"
        }
    }
}

const LINE_TOO_LONG: &str = "the line is too long";
/// Digits of the largest 64-bit number; a longer number is no announcement.
const DIGITS_MAX: usize = 20;
/// The longest announcement with the CR behind it.
const ANNOUNCED_BYTES_MAX: usize = DIGITS_MAX + 4;
