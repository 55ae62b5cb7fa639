//! The dialog fed whole, split and broken: what it answers, what it skips, where it ends.

mod appending;

use proptest::prelude::*;

use super::*;
use crate::{
    base::secret::Secret,
    imap::proto::{
        append::Appending,
        verbs::{Tls, VERBS},
    },
    wire::{Line, frame::Pulled, input::DROPPED_LINE_BYTES_MAX},
};

const PLAIN: Stage = Stage::Greeted {
    tls: Tls::Offered,
    insecure_login_allowed: false,
};
const SECURED: Stage = Stage::Greeted {
    tls: Tls::Active,
    insecure_login_allowed: false,
};
const READY: Stage = Stage::Authenticated;
const READING: Stage = Stage::Selected { read_only: true };
const WRITING: Stage = Stage::Selected { read_only: false };
const MESSAGE_BYTES_MAX: u64 = 200 << 20;
const STAGES: [Stage; 6] = [PLAIN, SECURED, READY, READING, WRITING, Stage::Idling];

/// The driver and a server that takes every message it is offered, in one stage for ever.
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
            dialogue: Imap::new(MESSAGE_BYTES_MAX),
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
                Step::Invite(reply) => self.say("invite", &reply),
                Step::Refuse(reply) => self.say("refuse", &reply),
                Step::Fatal(reply) => {
                    self.say("fatal", &reply);
                    self.over = true;
                }
                Step::Command(command) => {
                    self.said
                        .push(format!("{} {:?}", command.tag, command.body));
                    if let CommandBody::Append { coming, .. }
                    | CommandBody::Replace { coming, .. } = command.body
                    {
                        self.goes_on(Some(coming));
                    }
                }
            }
        }
    }

    /// Takes the next literal of an APPEND, if there is one.
    fn goes_on(&mut self, coming: Option<Appending>) {
        match coming {
            None => {
                self.said.push("broken".to_owned());
                self.over = true;
            }
            Some(coming) => match coming.literal {
                None => self.said.push("message".to_owned()),
                Some(literal) => {
                    self.body = Some(literal.announced.frame());
                    self.coming = Some(coming);
                }
            },
        }
    }

    fn say(&mut self, kind: &str, reply: &Response) {
        let mut out = Output::new();
        encode::response(reply, Enabled::NONE, &mut out);
        let text = std::str::from_utf8(out.as_bytes()).unwrap().trim_end();
        self.said.push(format!("{kind} {text}"));
    }
}

fn said(stage: Stage, bytes: &[u8]) -> Vec<String> {
    let mut peer = Peer::new(stage);
    peer.hears(bytes);
    peer.said
}

/// What was said, each cut to the length of what is expected.
fn assert_said(stage: Stage, bytes: &[u8], expected: &[&str]) {
    let said = said(stage, bytes);
    let starts = said
        .iter()
        .zip(expected)
        .all(|(said, start)| said.starts_with(start));
    assert!(
        starts && said.len() == expected.len(),
        "{}\n{said:#?}",
        bytes.get(..200).unwrap_or(bytes).escape_ascii()
    );
}

fn command(stage: Stage, bytes: &[u8]) -> Command {
    let (mut dialogue, mut input) = (Imap::new(MESSAGE_BYTES_MAX), Input::new());
    input.push(bytes);
    loop {
        match dialogue.next(&mut input, stage) {
            Step::Command(command) => return command,
            Step::Invite(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn lines_end_in_crlf_or_lf() {
    assert_said(READY, b"a1 NOOP\r\na2 noop\na3 NO", &["a1 Noop", "a2 Noop"]);
    assert_said(READY, b"a1 NOOP\r\r\n", &["refuse a1 BAD"]);
}

#[test]
fn spaces_at_the_end_of_a_command_mean_nothing() {
    assert_said(
        SECURED,
        b"a1 NOOP  \r\na2 LOGIN a {1+}\r\nb \r\na3 LOGIN a \r\n",
        &[
            "a1 Noop",
            "a2 Login",
            "refuse a3 BAD an argument is missing",
        ],
    );
}

#[test]
fn people_who_type_are_told_what_a_line_looks_like() {
    for stage in STAGES {
        let expected = match stage {
            Stage::Idling => "- NotDone",
            _ => "refuse * BAD ",
        };
        for line in [
            &b"\r\n"[..],
            b"HELP\n",
            b"QUIT\r\n",
            b"* OK\r\n",
            b"+ x\r\n",
            b" NOOP\r\n",
        ] {
            assert_said(stage, line, &[expected]);
        }
    }
    assert!(said(PLAIN, b"HELP\r\n")[0].contains("a2 STARTTLS"));
    assert!(said(SECURED, b"HELP\r\n")[0].contains("a1 LOGIN"));
    assert!(said(READY, b"HELP\r\n")[0].contains("a2 SELECT INBOX"));
    assert!(said(WRITING, b"HELP\r\n")[0].contains("a1 FETCH"));
    assert_said(
        READY,
        b"a1 HELP\r\n",
        &["refuse a1 BAD unknown command; try SELECT"],
    );
    assert_said(
        READY,
        b"a1 \r\na2 UID\r\na3 UID X\r\n",
        &[
            "refuse a1 BAD unknown",
            "refuse a2 BAD unknown",
            "refuse a3 BAD unknown",
        ],
    );
}

#[test]
fn refusals_say_what_to_do_first() {
    assert_said(
        PLAIN,
        b"a1 LOGIN a b\r\n",
        &["refuse a1 NO [PRIVACYREQUIRED]"],
    );
    assert_said(PLAIN, b"a1 SELECT x\r\n", &["refuse a1 BAD log in first"]);
    assert_said(
        READY,
        b"a1 LOGIN a b\r\n",
        &["refuse a1 BAD you are logged in"],
    );
    assert_said(READY, b"a1 UID FETCH 1 UID\r\n", &["refuse a1 BAD select"]);
    assert_said(SECURED, b"a1 STARTTLS\r\n", &["refuse a1 BAD TLS"]);
    // Not a strike.
    assert_said(READING, b"a1 EXPUNGE\r\n", &["invite a1 NO [READ-ONLY]"]);
}

#[test]
fn synchronizing_literals_are_invited_one_by_one() {
    let mut peer = Peer::new(SECURED);
    peer.hears(b"a1 LOGIN {5}\r\n");
    assert_eq!(peer.said, ["invite + go ahead"]);
    peer.hears(b"al\r\ne");
    peer.hears(b" {2}\r\n");
    assert_eq!(peer.said.len(), 2);
    peer.hears(b"pw\r\na2 NOOP\r\n");
    assert_eq!(
        peer.said[2..],
        [
            "a1 Login { user: \"al\\r\\ne\", password: [secret] }".to_owned(),
            "a2 Noop".to_owned()
        ]
    );
}

#[test]
fn literals_that_do_not_wait_are_taken_at_once() {
    let login = command(SECURED, b"a1 LOGIN {5+}\r\nalice {2+}\r\npw\r\n");
    let expected = CommandBody::Login {
        user: "alice".to_owned(),
        password: Secret::new("pw".to_owned()),
    };
    assert_eq!(login.body, expected);
    assert_said(
        READY,
        b"a1 SELECT {0+}\r\n\r\n",
        &["a1 Select { mailbox: \"\", parameters: SelectParameters"],
    );
}

#[test]
fn what_is_not_admitted_is_refused_before_it_is_invited() {
    assert_said(
        PLAIN,
        b"a1 SELECT {5}\r\na2 NOOP\r\n",
        &["refuse a1 BAD log in", "a2 Noop"],
    );
    assert_said(
        SECURED,
        b"a1 LOGIN x{5}\r\na2 NOOP\r\n",
        &["refuse a1 BAD", "a2 Noop"],
    );
    assert_said(
        READY,
        b"a1 X {5}\r\na2 NOOP\r\n",
        &["refuse a1 BAD", "a2 Noop"],
    );
}

#[test]
fn literals_of_refused_commands_are_never_read_as_commands() {
    let bytes = b"a1 SELECT {13+}\r\nx1 CAPABILITY {13+}\r\nx2 CAPABILITY\r\na2 NOOP\r\n";
    assert_said(PLAIN, bytes, &["refuse a1 BAD log in first", "a2 Noop"]);
    let bytes = b"a1 NOOP x{11+}\r\nx1 LOGOUT\r\n\r\na2 NOOP\r\n";
    assert_said(READY, bytes, &["refuse a1 BAD", "a2 Noop"]);
    let bytes = b"a1 APPEND INBOX bad {11+}\r\nx1 LOGOUT\r\n\r\na2 NOOP\r\n";
    assert_said(READY, bytes, &["refuse a1 BAD", "a2 Noop"]);
    let bytes = b"HELP {11+}\r\nx1 LOGOUT\r\n\r\na2 NOOP\r\n";
    assert_said(READY, bytes, &["refuse HELP BAD unknown", "a2 Noop"]);
}

#[test]
fn idle_ends_with_done_and_nothing_else() {
    let mut peer = Peer::new(READY);
    peer.hears(b"a7 IDLE\r\n");
    peer.stage = Stage::Idling;
    peer.hears(b"a8 NOOP\r\na9 LOGIN {4+}\r\nDONE x\r\ndOnE\r\n");
    assert_eq!(peer.said[1..], ["a7 NotDone", "a7 NotDone", "a7 Done"]);
    let long = [
        &b"a9 "[..],
        &b"x".repeat(AFTER_LOGIN.line_bytes_max),
        b"\r\n",
    ]
    .concat();
    peer.hears(&long);
    assert_eq!(peer.said[4..], ["a7 NotDone"]);
    assert_said(
        READY,
        b"DONE\r\na1 DONE\r\n",
        &["refuse * BAD", "refuse a1 BAD DONE"],
    );
}

#[test]
fn starting_tls_forgets_what_was_begun() {
    let (mut dialogue, mut input) = (Imap::new(MESSAGE_BYTES_MAX), Input::new());
    input.push(b"a1 LOGIN {5}\r\nal");
    assert!(matches!(
        dialogue.next(&mut input, SECURED),
        Step::Invite(_)
    ));
    dialogue.reset();
    input.release();
    input.push(b"a2 NOOP\r\n");
    assert!(matches!(
        dialogue.next(&mut input, SECURED),
        Step::Command(_)
    ));
}

/// A command of exactly `bytes` bytes without its end.
fn noop_of(bytes: usize) -> Vec<u8> {
    let mut line = b"a1 NOOP ".to_vec();
    line.resize(bytes, b'x');
    line.extend_from_slice(b"\r\na2 NOOP\r\n");
    line
}

#[test]
fn lim_18_lim_19_a_line_at_its_limit_is_read_and_a_longer_one_is_not() {
    for (stage, max) in [
        (PLAIN, BEFORE_LOGIN.line_bytes_max),
        (READY, AFTER_LOGIN.line_bytes_max),
    ] {
        for bytes in [max - 1, max] {
            assert_said(
                stage,
                &noop_of(bytes),
                &["refuse a1 BAD there is more", "a2 Noop"],
            );
        }
        assert_said(
            stage,
            &noop_of(max + 1),
            &["refuse a1 BAD [TOOBIG] the line is too long", "a2 Noop"],
        );
    }
}

#[test]
fn lim_18_a_long_line_is_not_kept_and_an_endless_one_ends_the_connection() {
    let mut peer = Peer::new(PLAIN);
    peer.hears(b"a1 ");
    for _ in 0..((BEFORE_LOGIN.line_bytes_max + DROPPED_LINE_BYTES_MAX) / 1000) {
        peer.hears(&[b'x'; 1000]);
        assert!(peer.input.len() <= BEFORE_LOGIN.line_bytes_max + 1000);
    }
    assert_eq!(peer.said, [""; 0]);
    peer.hears(&[b'x'; 2000]);
    assert_eq!(
        peer.said,
        ["fatal a1 BAD [TOOBIG] the line is too long\r\n* BYE the line is too long"]
    );
}

#[test]
fn a_literal_behind_a_line_that_is_too_long_is_never_read_as_commands() {
    let mut line = noop_of(BEFORE_LOGIN.line_bytes_max + 1);
    line.truncate(BEFORE_LOGIN.line_bytes_max + 1);
    let with = |end: &[u8]| [&line[..], end].concat();
    assert_said(
        PLAIN,
        &with(b" {9+}\r\nx LOGOUT\r\n\r\n"),
        &["fatal a1 BAD [TOOBIG]"],
    );
    assert_said(
        PLAIN,
        &with(b" {9}\r\na2 NOOP\r\n"),
        &["refuse a1 BAD [TOOBIG]", "a2 Noop"],
    );
}

#[test]
fn lim_18_lim_19_a_literal_at_its_limit_is_invited_and_a_larger_one_is_not() {
    for (stage, verb, limits) in [
        (SECURED, "LOGIN", BEFORE_LOGIN),
        (READY, "SELECT", AFTER_LOGIN),
    ] {
        let max = limits.literal_bytes_max;
        for size in [max - 1, max] {
            let line = format!("a1 {verb} {{{size}}}\r\n");
            assert_said(stage, line.as_bytes(), &["invite + "]);
        }
        let line = format!("a1 {verb} {{{}}}\r\na2 NOOP\r\n", max + 1);
        assert_said(
            stage,
            line.as_bytes(),
            &["refuse a1 NO [TOOBIG]", "a2 Noop"],
        );
        for size in [max + 1, u64::MAX] {
            let line = format!("a1 {verb} {{{size}+}}\r\na2 LOGOUT\r\n");
            assert_said(stage, line.as_bytes(), &["fatal a1 BAD [TOOBIG]"]);
        }
    }
}

#[test]
fn lim_18_lim_19_lines_and_literals_together_are_bounded() {
    for (stage, limits) in [(SECURED, BEFORE_LOGIN), (READY, AFTER_LOGIN)] {
        let size = usize::try_from(limits.literal_bytes_max).unwrap();
        let fitting = usize::try_from(limits.command_bytes_max).unwrap() / (size + 20);
        let mut peer = Peer::new(stage);
        peer.hears(b"a1 ID (");
        for sent in 0..=fitting {
            peer.hears(format!(" {{{size}}}\r\n").as_bytes());
            let last = peer.said.last().unwrap();
            let expected = if sent < fitting {
                "invite +"
            } else {
                "refuse a1 NO [TOOBIG]"
            };
            assert!(last.starts_with(expected), "{sent} {last}");
            if sent < fitting {
                peer.hears(&vec![b'x'; size]);
            }
        }
        assert!(peer.dialogue.gathered.is_none());
    }
}

#[test]
fn lim_18_lim_19_a_command_has_so_many_literals_and_not_one_more() {
    for (stage, max) in [
        (SECURED, BEFORE_LOGIN.literals_max),
        (READY, AFTER_LOGIN.literals_max),
    ] {
        for (count, taken) in [(max - 1, true), (max, true), (max + 1, false)] {
            let bytes = format!("a1 ID {}\r\na2 NOOP\r\n", " {0+}\r\n".repeat(count));
            let text = if taken {
                "refuse a1 BAD"
            } else {
                "refuse a1 NO [TOOBIG] too many"
            };
            assert_said(stage, bytes.as_bytes(), &[text, "a2 Noop"]);
        }
    }
}

#[test]
fn lim_18_lim_19_parentheses_are_counted_wherever_they_stand() {
    for (stage, max) in [
        (PLAIN, BEFORE_LOGIN.parentheses_max),
        (READY, AFTER_LOGIN.parentheses_max),
    ] {
        for (count, text) in [
            (max - 1, "refuse a1 BAD a string"),
            (max, "refuse a1 BAD a string"),
            (max + 1, "refuse a1 BAD too many parentheses"),
        ] {
            let bytes = format!("a1 ID {}\r\n", "(".repeat(count));
            assert_said(stage, bytes.as_bytes(), &[text]);
        }
    }
}

#[test]
fn lim_18_a_tag_of_64_bytes_marks_a_command_and_a_longer_one_does_not() {
    for (bytes, expected) in [(63, "t"), (64, "t"), (65, "refuse * BAD")] {
        let line = format!("{} NOOP\r\n", "t".repeat(bytes));
        assert_said(READY, line.as_bytes(), &[expected]);
    }
}

#[test]
fn lim_13_a_refused_message_is_discarded_up_to_some_more_than_the_largest_we_take() {
    for (size, expected) in [
        (MESSAGE_BYTES_MAX, &[][..]),
        (discarded_bytes_max(MESSAGE_BYTES_MAX) - 1000, &[]),
        (
            discarded_bytes_max(MESSAGE_BYTES_MAX) + 1,
            &["fatal a1 BAD"],
        ),
    ] {
        let line = format!("a1 APPEND INBOX bad {{{size}+}}\r\nx LOGOUT\r\n");
        assert_said(READY, line.as_bytes(), expected);
    }
    let before_login = b"a1 APPEND INBOX {4097+}\r\nx LOGOUT\r\n";
    assert_said(SECURED, before_login, &["fatal a1 BAD log in first"]);
}

/// Bytes that are nearly commands.
fn dialogue_bytes() -> impl Strategy<Value = Vec<u8>> {
    let names: Vec<&'static str> = VERBS.iter().map(|verb| verb.name).collect();
    let word = prop_oneof![
        6 => proptest::sample::select(names).prop_map(str::to_owned),
        8 => Just("\r\n".to_owned()),
        8 => Just(" ".to_owned()),
        4 => "a[0-9]",
        3 => "\\{[0-9]{1,2}\\+?\\}\r\n",
        1 => "\\{[0-9]{4,6}\\+?\\}\r\n",
        3 => "[(){}\"\\\\*%+\\-:,.<>\\[\\]0-9]{1,4}",
        2 => proptest::sample::select(vec![
            "INBOX", "1:*", "FLAGS", "BODY.PEEK[HEADER.FIELDS (To)]<0.9>", "(\\Seen)",
            "NIL", "\"x\"", "OR NOT SEEN", "CATENATE (", "URL /a/;UID=1", "TEXT ",
            "UTF8 (~{3+}\r\n", ")", "a APPEND INBOX {3+}\r\nabc", "RETURN (STATUS (SIZE))",
            "\" 1-Jan-1970 00:00:00 +0000\"", "DONE\r\n", "\n",
        ]).prop_map(str::to_owned),
        1 => "[\\x00-\\x1f]",
        1 => (8_000_usize..9_000).prop_map(|bytes| "x".repeat(bytes)),
        1 => Just("x".repeat(70_000)),
    ];
    proptest::collection::vec(word, 0..40).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #[test]
    fn splitting_input_changes_nothing(
        bytes in dialogue_bytes(),
        cuts in proptest::collection::vec(1_usize..60, 1..20),
        stage in proptest::sample::select(STAGES.to_vec()),
    ) {
        let mut whole = Peer::new(stage);
        whole.hears(&bytes);
        let mut split = Peer::new(stage);
        let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            split.hears(piece);
            rest = behind;
        }
        prop_assert_eq!(split.said, whole.said);
        prop_assert_eq!(split.over, whole.over);
    }

    #[test]
    fn any_bytes_are_heard_without_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        stage in proptest::sample::select(STAGES.to_vec()),
    ) {
        Peer::new(stage).hears(&bytes);
    }
}
