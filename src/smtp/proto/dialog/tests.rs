//! What each line is in each stage, and where the input is cut changes nothing.

use proptest::prelude::*;

use super::*;
use crate::wire::frame::Pulled;

const GREETED: Stage = Stage {
    phase: Phase::Greeted,
    tls: Tls::Offered,
    login: Login::Never,
    dialect: Dialect::Smtp,
    introduces: false,
    expn: false,
};

const LMTP: Stage = Stage {
    dialect: Dialect::Lmtp,
    ..GREETED
};

fn wire(reply: &Reply) -> String {
    let mut out = Output::new();
    reply.encode(&mut out);
    String::from_utf8(out.as_bytes().to_vec()).unwrap()
}

/// A dialogue, the body that it drops, and its end.
#[derive(Default)]
struct Talk {
    dialog: Dialog,
    dropped: Option<Frame>,
    ended: bool,
}

/// What each step is.
fn steps(talk: &mut Talk, input: &mut Input, stage: Stage, out: &mut Vec<String>) {
    while !talk.ended {
        if let Some(frame) = &mut talk.dropped {
            while let Pulled::Piece(_) = frame.pull(input) {}
            if frame.pull(input) != Pulled::End {
                return;
            }
            talk.dropped = None;
        }
        match talk.dialog.next(input, stage) {
            Step::NeedMore => return,
            Step::Discard(frame) => talk.dropped = Some(frame),
            Step::Command(command) => out.push(format!("{command:?}")),
            Step::Refuse(reply) => out.push(wire(&reply)),
            Step::Fatal(reply) => {
                out.push(wire(&reply));
                talk.ended = true;
            }
            Step::Invite(_) => panic!("nothing is invited"),
        }
    }
}

fn all_steps(bytes: &[u8], stage: Stage) -> Vec<String> {
    let (mut input, mut out) = (Input::new(), Vec::new());
    input.push(bytes);
    steps(&mut Talk::default(), &mut input, stage, &mut out);
    out
}

#[test]
fn lines_become_commands_whatever_their_case_and_line_end() {
    for (line, command) in [
        ("NOOP\r\n", "Noop"),
        ("noop\n", "Noop"),
        ("nOoP  anything at all \t\r\n", "Noop"),
        ("EHLO  client.example \r\n", "Ehlo(\"client.example\")"),
        ("HELP\n", "Help(Everything)"),
        ("help rcpt\n", "Help(Verb(RCPT))"),
        (
            "VRFY root\r\n",
            "Vrfy(Inquiry { path: None, smtputf8: false })",
        ),
        ("QUIT\r\n", "Quit"),
    ] {
        assert_eq!(all_steps(line.as_bytes(), GREETED), [command], "{line:?}");
    }
}

#[test]
fn lines_that_are_no_command_are_refused() {
    for (line, code) in [
        (&b"\r\n"[..], "500 5.5.2"),
        (b" NOOP\r\n", "500 5.5.2"),
        (b"BREAKFAST\r\n", "500 5.5.2"),
        (b"NOOP\0\r\n", "500 5.5.2"),
        (b"NO\rOP\r\n", "500 5.5.2"),
        (b"NOOP \x1b[2J\r\n", "500 5.5.2"),
        (b"RCPT TO:<a\x7f@b>\r\n", "500 5.5.2"),
        (b"NOOP \xff\r\n", "500 5.5.2"),
        (b"EXPN list\r\n", "502 5.5.1"),
        (b"SEND FROM:<a@b>\r\n", "502 5.5.1"),
        (b"SOML FROM:<a@b>\r\n", "502 5.5.1"),
        (b"SAML FROM:<a@b>\r\n", "502 5.5.1"),
        (b"TURN\r\n", "502 5.5.1"),
    ] {
        let said = all_steps(line, GREETED);
        assert_eq!(said.len(), 1, "{line:?}");
        assert!(said[0].starts_with(code), "{line:?}: {said:?}");
    }
}

#[test]
fn a_refused_chunk_is_skipped_exactly() {
    for (line, said) in [
        (&b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"[..], "503 5.5.1"),
        (b"BDAT 0\r\nNOOP\r\n", "503 5.5.1"),
        (b"bdat 3\n\0\xff\nNOOP\r\n", "503 5.5.1"),
    ] {
        let found = all_steps(line, GREETED);
        assert!(found[0].starts_with(said), "{line:?}: {found:?}");
        assert_eq!(found[1..], ["Noop"], "{line:?}");
    }
    // Where the next command begins is not known: there is none.
    let long = format!("BDAT {}\r\nNOOP\r\n", "1".repeat(COMMAND_LINE_BYTES_MAX));
    for line in [
        &b"BDAT\r\nNOOP\r\n"[..],
        b"BDAT x\r\nNOOP\r\n",
        b"BDAT 1 2\r\nNOOP\r\n",
        b"BDAT\t1\r\nNOOP\r\n",
        b"BDAT 1\0\r\nNOOP\r\n",
        b"BDAT 18446744073709551616\r\nNOOP\r\n",
        long.as_bytes(),
    ] {
        let found = all_steps(line, GREETED);
        assert_eq!(found.len(), 1, "{line:?}: {found:?}");
        assert!(found[0].starts_with("50"), "{line:?}: {found:?}");
    }
}

#[test]
fn verbs_out_of_their_order_are_refused() {
    use Login::{AfterTls, Awaited, Done, Never};
    use Tls::{Absent, Active, Offered};
    let (new, greeted, busy) = (Phase::Connected, Phase::Greeted, Phase::Transaction);
    let (chunks, spoiled) = (Phase::Chunks, Phase::Spoiled);
    for (phase, tls, login, line, code) in [
        (new, Absent, Never, "MAIL FROM:<>", "503 5.5.1"),
        (new, Absent, Never, "RCPT TO:<a@b>", "503 5.5.1"),
        (new, Absent, Never, "DATA", "503 5.5.1"),
        (new, Offered, Never, "STARTTLS", "503 5.5.1"),
        (greeted, Absent, Never, "STARTTLS", "502 5.5.1"),
        (greeted, Active, Never, "STARTTLS", "503 5.5.1"),
        (busy, Offered, Never, "STARTTLS", "503 5.5.1"),
        (greeted, Active, Never, "AUTH PLAIN", "502 5.5.1"),
        (greeted, Active, Done, "AUTH PLAIN", "503 5.5.1"),
        (busy, Active, Done, "AUTH PLAIN", "503 5.5.1"),
        (greeted, Offered, AfterTls, "AUTH PLAIN", "530 5.7.0"),
        (new, Active, Awaited, "AUTH PLAIN", "503 5.5.1"),
        (greeted, Offered, AfterTls, "MAIL FROM:<>", "530 5.7.0"),
        (greeted, Active, Awaited, "MAIL FROM:<>", "530 5.7.0"),
        (greeted, Absent, Never, "RCPT TO:<a@b>", "503 5.5.1"),
        (greeted, Active, Never, "ETRN a.example", "502 5.5.1"),
        (greeted, Active, Awaited, "ETRN a.example", "530 5.7.0"),
        (greeted, Offered, AfterTls, "ETRN a.example", "530 5.7.0"),
        (new, Active, Done, "ETRN a.example", "503 5.5.1"),
        (busy, Active, Done, "ETRN a.example", "503 5.5.1"),
        (greeted, Absent, Never, "DATA", "503 5.5.1"),
        (busy, Absent, Never, "MAIL FROM:<>", "503 5.5.1"),
        (new, Absent, Never, "BDAT 0 LAST", "503 5.5.1"),
        (greeted, Absent, Never, "BDAT 0 LAST", "503 5.5.1"),
        (chunks, Absent, Never, "DATA", "503 5.5.1"),
        (chunks, Absent, Never, "MAIL FROM:<>", "503 5.5.1"),
        (chunks, Absent, Never, "RCPT TO:<a@b>", "503 5.5.1"),
        (chunks, Offered, Never, "STARTTLS", "503 5.5.1"),
        (spoiled, Absent, Never, "RCPT TO:<a@b>", "503 5.5.1"),
        (spoiled, Active, Awaited, "MAIL FROM:<>", "530 5.7.0"),
    ] {
        let stage = Stage {
            phase,
            tls,
            login,
            ..GREETED
        };
        let said = all_steps(format!("{line}\r\n").as_bytes(), stage);
        assert!(said[0].starts_with(code), "{stage:?} {line}: {said:?}");
    }
}

#[test]
fn hellos_are_of_their_dialect_and_xclient_of_those_who_may() {
    let may = Stage {
        introduces: true,
        ..GREETED
    };
    let busy = Stage {
        phase: Phase::Transaction,
        ..may
    };
    for (stage, line, said) in [
        (GREETED, "LHLO x", "500 5.5.1"),
        (LMTP, "EHLO x", "500 5.5.1"),
        (LMTP, "HELO x", "500 5.5.1"),
        (LMTP, "LHLO x", "Ehlo(\"x\")"),
        (GREETED, "XCLIENT ADDR=192.0.2.1", "550 5.7.1"),
        (may, "XCLIENT ADDR=192.0.2.1", "Xclient("),
        (may, "XCLIENT ADDR=me", "501 5.5.4"),
        (busy, "XCLIENT ADDR=192.0.2.1", "503 5.5.1"),
    ] {
        let found = all_steps(format!("{line}\r\n").as_bytes(), stage);
        assert!(found[0].starts_with(said), "{line}: {found:?}");
    }
    let early = Stage {
        phase: Phase::Connected,
        ..LMTP
    };
    assert!(all_steps(b"MAIL FROM:<>\r\n", early)[0].contains("LHLO"));
}

/// RFC 2033 4.3: the last chunk has as many replies as recipients.
#[test]
fn in_lmtp_a_last_chunk_for_nobody_is_not_answered() {
    assert_eq!(all_steps(b"BDAT 3 LAST\r\nabcNOOP\r\n", LMTP), ["Noop"]);
    let first = all_steps(b"BDAT 3\r\nabcNOOP\r\n", LMTP);
    assert!(
        first[0].starts_with("503") && first[1] == "Noop",
        "{first:?}"
    );
}

#[test]
fn lim_11_command_lines_and_auth_lines_have_their_own_limits() {
    for (verb, length, refused) in [
        ("NOOP", COMMAND_LINE_BYTES_MAX, None),
        ("NOOP", COMMAND_LINE_BYTES_MAX + 1, Some("500 5.5.2")),
        ("AUTH", SASL_LINE_BYTES_MAX, None),
        ("auth", SASL_LINE_BYTES_MAX + 1, Some("500 5.5.6")),
    ] {
        let stage = Stage {
            login: Login::Awaited,
            ..GREETED
        };
        let line = format!("{verb} {}\r\nQUIT\r\n", "x".repeat(length - verb.len() - 1));
        let said = all_steps(line.as_bytes(), stage);
        let code = said[0].get(..9).filter(|code| code.starts_with("500"));
        assert_eq!(code, refused, "{verb} {length}");
        assert_eq!(said[1], "Quit", "{verb} {length}");
    }
    let mut input = Input::new();
    let (mut talk, mut said) = (Talk::default(), Vec::new());
    for _ in 0..20 {
        input.push(&[b'x'; 10_000]);
        steps(&mut talk, &mut input, GREETED, &mut said);
    }
    assert!(said.last().unwrap().starts_with("421 4.7.0"));
}

#[test]
fn last_words_are_421_with_an_enhanced_code() {
    for (why, start) in [
        (Farewell::Shutdown, "421 4.3.2 "),
        (Farewell::Revoked, "421 4.7.0 "),
        (Farewell::Idle, "421 4.4.2 "),
        (Farewell::TooSlow, "421 4.4.2 "),
        (Farewell::Strikes, "421 4.7.0 "),
        (Farewell::Crowded, "421 4.3.2 "),
        (Farewell::CrowdedAddress, "421 4.7.0 "),
        (Farewell::NotListed, "421 4.7.1 "),
        (Farewell::PlaintextBehindTls, "421 4.7.0 "),
        (Farewell::Foreign, "421 4.7.0 "),
        (Farewell::EndlessLine, "421 4.7.0 "),
    ] {
        assert!(wire(&last_words(why)).starts_with(start), "{why:?}");
    }
}

fn dialogue() -> impl Strategy<Value = Vec<u8>> {
    let verbs = VERBS.iter().map(|verb| verb.name).collect::<Vec<_>>();
    let line = (
        proptest::sample::select(verbs),
        "[ -~]{0,30}",
        "(\r\n|\n|\r| )",
    )
        .prop_map(|(verb, rest, end)| format!("{verb} {rest}{end}").into_bytes());
    let junk = proptest::collection::vec(any::<u8>(), 0..20);
    proptest::collection::vec(prop_oneof![3 => line, 1 => junk], 0..8)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn splitting_input_changes_nothing(
        bytes in dialogue(), cuts in proptest::collection::vec(1_usize..20, 1..20),
    ) {
        let expected = all_steps(&bytes, GREETED);
        let (mut input, mut found, mut rest) = (Input::new(), Vec::new(), &bytes[..]);
        let mut talk = Talk::default();
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            input.push(now);
            steps(&mut talk, &mut input, GREETED, &mut found);
            rest = later;
        }
        prop_assert_eq!(found, expected);
    }
}
