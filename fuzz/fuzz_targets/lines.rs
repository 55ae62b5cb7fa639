//! Any bytes in any stage of an SMTP or POP3 dialogue: nothing panics, and where the input is cut
//! changes nothing. The first byte chooses protocol and stage, the second where the input is cut.
#![no_main]

use buzon::{
    pop3::proto::{
        Pop3,
        dialog::{Security, Stage as Pop3Stage},
    },
    smtp::proto::dialog::{Dialect, Dialog, Login, Phase, Stage as SmtpStage, Tls},
    wire::{Frame, Input, Output, Protocol, Step, frame::Pulled},
};
use libfuzzer_sys::fuzz_target;

const PHASES: [Phase; 3] = [Phase::Connected, Phase::Greeted, Phase::Transaction];
const TLS: [Tls; 3] = [Tls::Absent, Tls::Offered, Tls::Active];
const LOGINS: [Login; 4] = [Login::Never, Login::AfterTls, Login::Awaited, Login::Done];
const POP3: [Pop3Stage; 4] = [
    Pop3Stage::Authorization(Security::LoginAllowed),
    Pop3Stage::Authorization(Security::StlsFirst),
    Pop3Stage::Authorization(Security::StlsOffered),
    Pop3Stage::Transaction,
];

/// What a server of this protocol says, whose stage never changes.
fn said<P: Protocol>(
    mut protocol: P,
    stage: P::Stage,
    pieces: impl Iterator<Item: AsRef<[u8]>>,
) -> Vec<String> {
    let (mut input, mut said, mut body) = (Input::new(), Vec::new(), None::<Frame>);
    for piece in pieces {
        input.push(piece.as_ref());
        loop {
            if let Some(frame) = &mut body {
                match frame.pull(&mut input) {
                    Pulled::Piece(_) => continue,
                    Pulled::NeedMore => break,
                    Pulled::End => body = None,
                }
            }
            match protocol.next(&mut input, stage) {
                Step::NeedMore => break,
                Step::Discard(frame) => body = Some(frame),
                Step::Command(command) => said.push(format!("{command:?}")),
                Step::Invite(reply) | Step::Refuse(reply) => said.push(text(&protocol, &reply)),
                Step::Fatal(reply) => {
                    said.push(text(&protocol, &reply));
                    return said;
                }
            }
        }
    }
    said
}

/// A reply on the wire: whole lines of text, whatever the client wrote.
fn text<P: Protocol>(protocol: &P, reply: &P::Reply) -> String {
    let mut out = Output::new();
    protocol.encode(reply, &mut out);
    let text = String::from_utf8(out.as_bytes().to_vec()).expect("replies are text");
    let lines = text.strip_suffix("\r\n").expect("replies end in CRLF");
    assert!(lines.split("\r\n").all(|line| !line.contains(['\r', '\n', '\0'])));
    text
}

fn check<P: Protocol<Stage: Copy>>(new: fn() -> P, stage: P::Stage, bytes: &[u8], cut: usize) {
    let whole = said(new(), stage, std::iter::once(bytes));
    assert_eq!(said(new(), stage, bytes.chunks(cut)), whole);
}

fuzz_target!(|data: &[u8]| {
    let [choice, cut, bytes @ ..] = data else {
        return;
    };
    let (choice, cut) = (usize::from(*choice), usize::from(*cut) + 1);
    if choice >= 128 {
        check(|| Pop3, POP3[choice % POP3.len()], bytes, cut);
    } else {
        let stage = SmtpStage {
            phase: PHASES[choice % 3],
            tls: TLS[choice / 3 % 3],
            login: LOGINS[choice / 9 % 4],
            dialect: if choice & 64 == 0 { Dialect::Smtp } else { Dialect::Lmtp },
            introduces: choice & 32 == 0,
            expn: choice % 2 == 0,
        };
        check(Dialog::default, stage, bytes, cut);
    }
});
