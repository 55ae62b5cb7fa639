//! Any bytes in any stage of an IMAP dialogue: nothing panics, every command says itself without
//! its secrets, and where the input is cut changes nothing. The first byte chooses the stage, the
//! second where the input is cut.
#![no_main]

use buzon::{
    imap::proto::{
        command::CommandBody,
        dialog::Imap,
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
    /// The message of an APPEND was taken, and its line has not ended.
    is_behind: bool,
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
            is_behind: false,
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
            if self.is_behind {
                match self.input.line(0) {
                    Line::NeedMore => return,
                    line => self.over = !matches!(line, Line::Whole(_)),
                }
                self.is_behind = false;
                continue;
            }
            match self.dialogue.next(&mut self.input, self.stage) {
                Step::NeedMore => return,
                Step::Discard(frame) => self.body = Some(frame),
                Step::Command(command) => {
                    if let CommandBody::Append { body, .. } = &command.body {
                        self.body = Some(body.frame());
                        self.is_behind = true;
                    }
                    self.said.push(format!("{command:?}"));
                }
                Step::Fatal(reply) => {
                    self.said.push(format!("{reply:?}"));
                    self.over = true;
                }
                Step::Invite(reply) | Step::Refuse(reply) => self.said.push(format!("{reply:?}")),
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
