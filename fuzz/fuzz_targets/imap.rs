//! Any bytes in any stage of an IMAP dialogue: nothing panics, every command says itself without
//! its secrets, and where the input is cut changes nothing. The first byte chooses the stage, the
//! second where the input is cut.
#![no_main]

use buzon::{
    imap::proto::{
        append::Appending,
        command::CommandBody,
        dialog::Imap,
        limits::AFTER_LOGIN,
        verbs::{Stage, Tls},
    },
    wire::{Frame, Input, Line, Protocol, Step, frame::Pulled},
};
use libfuzzer_sys::fuzz_target;

const STAGES: [Stage; 6] = [
    Stage::Greeted {
        tls: Tls::Offered,
        insecure_login_allowed: false,
    },
    Stage::Greeted {
        tls: Tls::Active,
        insecure_login_allowed: false,
    },
    Stage::Authenticated,
    Stage::Selected { read_only: true },
    Stage::Selected { read_only: false },
    Stage::Idling,
];

/// A connection whose server takes every message and never changes its stage.
struct Peer {
    dialogue: Imap,
    input: Input,
    stage: Stage,
    body: Option<Frame>,
    /// A literal of an APPEND was announced, and its line has not ended.
    coming: Option<Appending>,
    over: bool,
    said: Vec<String>,
}

impl Peer {
    fn new(stage: Stage) -> Self {
        Self {
            dialogue: Imap::new(1000),
            input: Input::new(),
            stage,
            body: None,
            coming: None,
            over: false,
            said: Vec::new(),
        }
    }

    fn hears(&mut self, bytes: &[u8]) {
        self.input.push(bytes);
        while !self.over {
            if let Some(frame) = &mut self.body {
                match frame.pull(&mut self.input) {
                    Pulled::Piece(_) => {}
                    Pulled::NeedMore => return,
                    Pulled::End => self.body = None,
                }
                continue;
            }
            if let Some(coming) = self.coming.take() {
                match self.input.line(AFTER_LOGIN.line_bytes_max) {
                    Line::NeedMore => {
                        self.coming = Some(coming);
                        return;
                    }
                    Line::Whole(line) => self.goes_on(coming.behind(&line).ok()),
                    Line::TooLong | Line::Endless => self.goes_on(None),
                }
                continue;
            }
            match self.dialogue.next(&mut self.input, self.stage) {
                Step::NeedMore => return,
                Step::Discard(frame) => self.body = Some(frame),
                Step::Command(command) => {
                    self.said.push(format!("{command:?}"));
                    if let CommandBody::Append { coming, .. }
                    | CommandBody::Replace { coming, .. } = command.body
                    {
                        self.goes_on(Some(coming));
                    }
                }
                Step::Fatal(reply) => {
                    self.said.push(format!("{reply:?}"));
                    self.over = true;
                }
                Step::Invite(reply) | Step::Refuse(reply) => self.said.push(format!("{reply:?}")),
            }
        }
    }

    /// Takes the next literal of an APPEND, if there is one.
    fn goes_on(&mut self, coming: Option<Appending>) {
        match coming.map(|coming| (coming.literal, coming)) {
            None => self.over = true,
            Some((None, _)) => {}
            Some((Some(literal), coming)) => {
                self.body = Some(literal.announced.frame());
                self.coming = Some(coming);
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let [stage, cut, bytes @ ..] = data else {
        return;
    };
    let stage = STAGES[usize::from(*stage) % STAGES.len()];
    let mut whole = Peer::new(stage);
    whole.hears(bytes);
    let mut split = Peer::new(stage);
    for piece in bytes.chunks(usize::from(*cut) + 1) {
        split.hears(piece);
    }
    assert_eq!(whole.said, split.said);
    assert_eq!(whole.over, split.over);
});
