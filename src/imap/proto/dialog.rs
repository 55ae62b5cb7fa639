//! The dialogue: lines and literals in, admitted commands and refusals out (RFC 3501 2.2, 4.3,
//! RFC 7888).
//!
//! A line is looked at once: at its end, for a literal; at its beginning, for tag and verb, so
//! that what is not admitted is refused before its literals are invited. The arguments are parsed
//! once, when all are there. What a refused command has already on its way (`{n+}`) is discarded,
//! never read as commands; where that cannot be done the connection ends. The message of APPEND
//! is not read here: the command is given out when its message is announced, and its verb reads
//! the line to its end.

use super::{
    command::{AnnouncedLiteral, Command, CommandBody, Tag},
    enabled::Enabled,
    encode,
    gather::{Gathered, LINE_TOO_LONG},
    limits::{AFTER_LOGIN, BEFORE_LOGIN, discarded_bytes_max},
    parse::Mistake,
    response::{Code, Response},
    verbs::{Stage, Verb},
};
use crate::wire::{
    Farewell, Frame, Input, Output, Protocol, Step,
    literal::{Announced, CommandLimits, Part, Reader},
};

/// One connection's dialogue.
#[derive(Debug)]
pub struct Imap {
    reader: Reader,
    /// The command under way; none while the client is waited for (LIM-36).
    gathered: Option<Box<Gathered>>,
    /// Of the last IDLE: what DONE completes.
    idle_tag: Tag,
    /// LIM-13: the largest message that APPEND takes.
    message_bytes_max: u64,
    enabled: Enabled,
}

type Next = Step<Command, Response>;

impl Imap {
    /// At the beginning, for a server that takes messages of at most this size.
    pub fn new(message_bytes_max: u64) -> Self {
        Self {
            reader: Reader::default(),
            gathered: None,
            idle_tag: Tag::of_nothing(),
            message_bytes_max,
            enabled: Enabled::NONE,
        }
    }

    /// What the client has switched on.
    pub fn enabled(&self) -> Enabled {
        self.enabled
    }

    /// Switches more on.
    pub fn enable(&mut self, more: Enabled) {
        self.enabled = self.enabled.with(more);
    }

    fn line(&mut self, line: &[u8], stage: Stage) -> Option<Next> {
        let announced = Announced::find(line);
        let text = line
            .get(..announced.map_or(line.len(), |announced| announced.at))
            .unwrap_or_default();
        let gathered = self.gathered.get_or_insert_default();
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
        self.gathered = None;
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
        let gathered = self.gathered.get_or_insert_default();
        if gathered.refusal.is_none() && gathered.is_body(text) {
            let message = AnnouncedLiteral::from(announced);
            match gathered.parse(text, Some(message), self.enabled) {
                Ok(command) => {
                    self.gathered = None;
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
            let room = match stage {
                Stage::Greeted { .. } => 0,
                _ if gathered.takes_body() => discarded_bytes_max(self.message_bytes_max),
                _ => 0,
            };
            if !gathered.parts.skips(announced, room, limits) {
                // RFC 7888 4: what was announced is not read at all.
                return Some(self.dismiss());
            }
            return Some(Step::Discard(Frame::Octets(announced.size_bytes)));
        }
        gathered.parts.add_text(text, announced);
        self.reader.expect(announced);
        announced
            .synchronizing
            .then(|| Step::Invite(Response::Continuation("go ahead".into())))
    }

    /// The last line of a command.
    fn complete(&mut self, text: &[u8]) -> Next {
        let gathered = self.gathered.get_or_insert_default();
        if gathered.refusal.is_some() {
            return self.refuse();
        }
        match gathered.parse(text, None, self.enabled) {
            Ok(command) => {
                self.gathered = None;
                if command.body == CommandBody::Idle {
                    self.idle_tag = command.tag.clone();
                }
                Step::Command(command)
            }
            Err(mistake) => {
                gathered.refusal = Some(mistake);
                self.refuse()
            }
        }
    }

    /// Ends the command under way with its refusal.
    fn refuse(&mut self) -> Next {
        let gathered = *self.gathered.take().unwrap_or_default();
        if gathered.ends_idle {
            // Who says something else has forgotten IDLE, and waits for an answer with a tag.
            return self.end_idle(CommandBody::NotDone);
        }
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
        let gathered = *self.gathered.take().unwrap_or_default();
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
}

impl Protocol for Imap {
    type Command = Command;
    type Reply = Response;
    type Stage = Stage;

    fn next(&mut self, input: &mut Input, stage: Stage) -> Next {
        loop {
            let line_bytes_max = limits_of(stage).line_bytes_max;
            let step = match self.reader.part(input, line_bytes_max) {
                Part::NeedMore => Some(Step::NeedMore),
                Part::Line(line) => self.line(&line, stage),
                Part::Literal(literal) => {
                    self.gathered
                        .get_or_insert_default()
                        .parts
                        .add_literal(&literal);
                    None
                }
                Part::LongLine => {
                    let gathered = self.gathered.get_or_insert_default();
                    gathered.ends_idle |= stage == Stage::Idling;
                    gathered.line_too_long(input.bytes());
                    None
                }
                Part::LongLineEnd {
                    literal_comes: false,
                } => Some(self.refuse()),
                Part::LongLineEnd { .. } | Part::Endless => Some(self.dismiss()),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    fn encode(&self, reply: &Response, out: &mut Output) {
        encode::response(reply, self.enabled, out);
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
            Farewell::NotListed => (None, "this port is not for your address"),
            Farewell::PlaintextBehindTls => {
                (Some(Code::ClientBug), "nothing may be sent behind STARTTLS")
            }
            Farewell::Foreign => (Some(Code::ClientBug), "this port speaks IMAP"),
            Farewell::EndlessLine => (Some(Code::TooBig), LINE_TOO_LONG),
        };
        Some(Response::bye(code, text))
    }

    fn reset(&mut self) {
        *self = Self::new(self.message_bytes_max);
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
