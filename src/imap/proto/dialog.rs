//! The dialogue: lines and literals in, admitted commands and refusals out (RFC 3501 2.2, 4.3,
//! RFC 7888).
//!
//! A line is looked at once: at its end, for a literal; at its beginning, for tag and verb, so
//! that what is not admitted is refused before its literals are invited. The arguments are parsed
//! once, when all are there. What a refused command has already on its way (`{n+}`) is skipped,
//! never read as commands; where that cannot be done the connection ends. The message of APPEND
//! is not read here: the command is given out when its message is announced.

use bytes::Bytes;

use super::{
    command::{AnnouncedLiteral, Command, CommandBody, Tag},
    encode,
    gather::{ANNOUNCED_BYTES_MAX, Announced, Gathered, LINE_TOO_LONG},
    limits::{AFTER_LOGIN, BEFORE_LOGIN, CommandLimits},
    parse::Mistake,
    response::{Code, Response},
    verbs::{Stage, Verb},
};
use crate::wire::{Farewell, Input, Line, Output, Protocol, Step, input::DROPPED_LINE_BYTES_MAX};

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
            self.gathered.ends_idle |= stage == Stage::Idling;
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
            gathered.ends_idle = stage == Stage::Idling;
            if gathered.ends_idle && line.eq_ignore_ascii_case(b"DONE") {
                return Some(self.end_idle(CommandBody::Done));
            }
            gathered.head(text, stage);
        }
        gathered.count(line, limits_of(stage));
        match announced {
            Some(announced) => self.announced(text, announced, stage),
            None => Some(self.complete(text)),
        }
    }

    fn end_idle(&mut self, body: CommandBody) -> Next {
        self.gathered = Gathered::default();
        match Verb::named(b"DONE") {
            Some(verb) => Step::Command(Command {
                tag: self.idle_tag.clone(),
                verb,
                body,
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
            if !gathered.skips(announced.size_bytes, stage, limits) {
                // RFC 7888 4: what was announced is not read at all.
                return Some(self.dismiss());
            }
            self.expect = Expect::Skipped(announced.size_bytes);
            return None;
        }
        gathered.add_text(text, announced.size_bytes);
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
        if self.gathered.ends_idle {
            // Who says something else has forgotten IDLE, and waits for an answer with a tag.
            return self.end_idle(CommandBody::NotDone);
        }
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

    /// Drops a line that is too long, but looks at its end: a literal behind it would be read as
    /// commands.
    fn drop_due(&mut self, input: &mut Input, dropped: usize, stage: Stage) -> Option<Next> {
        let bytes = input.bytes();
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let endless = limits_of(stage).line_bytes_max + DROPPED_LINE_BYTES_MAX;
        if dropped + end.unwrap_or(bytes.len()) > endless {
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
                Expect::DroppedLine(dropped) => self.drop_due(input, dropped, stage),
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

    fn farewell(&self, why: Farewell) -> Option<Response> {
        let (code, text) = match why {
            Farewell::Shutdown => (Some(Code::Unavailable), "the server stops; come back soon"),
            Farewell::Revoked => (
                Some(Code::AuthenticationFailed),
                "the login no longer holds; log in again",
            ),
            Farewell::Idle => (None, "nothing was said for too long"),
            Farewell::TooSlow => (None, "this takes too long"),
            Farewell::Strikes => (Some(Code::ClientBug), "too many mistakes"),
            Farewell::FailedLogins => (None, "too many wrong logins"),
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
        Some(Response::bye(code, text))
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
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

#[cfg(test)]
mod tests;
