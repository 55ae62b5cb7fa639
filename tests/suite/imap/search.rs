//! SEARCH against a naive evaluation: random keys over messages whose content is known.

use buzon::base::random::Random;

use super::client::{ImapClient, server_with_alice};
use crate::support::player::run;

/// What a message was made of.
struct Message {
    from: &'static str,
    subject: &'static str,
    /// As it is shown when it is decoded.
    shown_subject: &'static str,
    /// Days of January 2026.
    sent: u32,
    received: u32,
    flags: Vec<&'static str>,
    body: &'static str,
    shown_body: &'static str,
    size: usize,
}

/// A search key and what it means.
#[derive(Clone, Debug)]
enum Key {
    All,
    Flag(&'static str, bool),
    Keyword(&'static str, bool),
    From(&'static str),
    Subject(&'static str),
    Header(&'static str, &'static str),
    Body(&'static str),
    Text(&'static str),
    Received(&'static str, u32),
    Sent(&'static str, u32),
    Larger(usize),
    Smaller(usize),
    Numbers(u32, u32),
    Uids(u32, u32),
    /// Above or below one UID (RFC 9738 3.2).
    Beside(&'static str, u32),
    Not(Box<Self>),
    Or(Box<Self>, Box<Self>),
    And(Box<Self>, Box<Self>),
}

const FLAGS: [&str; 5] = ["ANSWERED", "FLAGGED", "DELETED", "SEEN", "DRAFT"];
const NEEDLES: [&str; 12] = [
    "alice",
    "BOB",
    "example.org",
    "hello",
    "Gr\u{fc}\u{df}e",
    "gr\u{fc}",
    "caf\u{e9}",
    "plain",
    "x",
    "",
    "nowhere",
    "world",
];
const COUNT: u32 = 24;

fn message(random: &Random) -> Message {
    let pick = |bound: u64| usize::try_from(random.below(bound)).unwrap();
    let (subject, shown_subject) = [
        ("hello world", "hello world"),
        (
            "=?utf-8?q?Gr=C3=BC=C3=9Fe?= an alle",
            "Gr\u{fc}\u{df}e an alle",
        ),
        ("=?iso-8859-1?b?Y2Fm6Q==?=", "caf\u{e9}"),
        ("", ""),
    ][pick(4)];
    let (body, shown_body) = [
        ("\r\nplain text, hello\r\n", "plain text, hello"),
        (
            "Content-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf=C3=A9 wor=\r\nld\r\n",
            "caf\u{e9} world",
        ),
        (
            "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\
             \r\nR3L832U=\r\n",
            "Gr\u{fc}\u{df}e",
        ),
        ("Content-Type: image/png\r\n\r\nhello\r\n", ""),
    ][pick(4)];
    let flags: Vec<_> = FLAGS
        .iter()
        .copied()
        .filter(|_| random.below(3) == 0)
        .collect();
    Message {
        from: [
            "Alice <alice@example.org>",
            "bob@example.net",
            "Bob Example <bob@example.org>",
        ][pick(3)],
        subject,
        shown_subject,
        sent: 1 + u32::try_from(random.below(5)).unwrap(),
        received: 1 + u32::try_from(random.below(5)).unwrap(),
        flags,
        body,
        shown_body,
        size: 0,
    }
}

impl Message {
    fn text(&self) -> Vec<u8> {
        let (from, subject, sent) = (self.from, self.subject, self.sent);
        let date = format!("{sent} Jan 2026 23:30:00 -0800");
        format!(
            "From: {from}\r\nSubject: {subject}\r\nDate: {date}\r\n{}",
            self.body
        )
        .into_bytes()
    }

    fn append(&self) -> Vec<u8> {
        let flags: Vec<_> = self.flags.iter().map(|flag| format!("\\{flag}")).collect();
        let keyword = if self.received.is_multiple_of(2) {
            " $Even"
        } else {
            ""
        };
        let flags = format!("{}{keyword}", flags.join(" "));
        let date = format!("{:02}-Jan-2026 12:00:00 +0000", self.received);
        let text = self.text();
        let command = format!(
            "APPEND INBOX ({}) \"{date}\" {{{}+}}\r\n",
            flags.trim(),
            text.len()
        );
        [command.into_bytes(), text].concat()
    }

    fn header(&self) -> String {
        let typed = self.body.split("\r\n\r\n").next().unwrap();
        format!(
            "From: {}\nSubject: {}\n{}",
            self.from, self.shown_subject, typed
        )
    }
}

fn contains(text: &str, needle: &str) -> bool {
    text.to_lowercase().contains(&needle.to_lowercase())
}

fn key(random: &Random, depth: u32) -> Key {
    let pick = |bound: u64| usize::try_from(random.below(bound)).unwrap();
    let needle = || NEEDLES[pick(12)];
    let day = || 1 + u32::try_from(random.below(6)).unwrap();
    let number = || 1 + u32::try_from(random.below(u64::from(COUNT))).unwrap();
    let below = || Box::new(key(random, depth - 1));
    match random.below(if depth > 0 { 20 } else { 14 }) {
        0 => Key::All,
        1 | 2 => Key::Flag(FLAGS[pick(5)], random.below(2) == 0),
        3 => Key::Keyword(["$Even", "$odd"][pick(2)], random.below(2) == 0),
        4 => Key::From(needle()),
        5 => Key::Subject(needle()),
        6 => Key::Header(
            ["From", "subject", "X-None", "Content-Type"][pick(4)],
            needle(),
        ),
        7 => Key::Body(needle()),
        8 => Key::Text(needle()),
        9 => Key::Received(["BEFORE", "ON", "SINCE"][pick(3)], day()),
        10 => Key::Sent(["SENTBEFORE", "SENTON", "SENTSINCE"][pick(3)], day()),
        11 => Key::Larger(100 + pick(150)),
        12 => Key::Smaller(100 + pick(150)),
        13 if random.below(2) == 0 => Key::Numbers(number(), number()),
        13 if random.below(2) == 0 => Key::Uids(number(), number()),
        13 => Key::Beside(["UIDAFTER", "UIDBEFORE"][pick(2)], number()),
        14 | 15 => Key::Not(below()),
        16 | 17 => Key::Or(below(), below()),
        _ => Key::And(below(), below()),
    }
}

impl Key {
    fn text(&self) -> String {
        let quoted = |text: &str| format!("\"{text}\"");
        match self {
            Self::All => "ALL".to_owned(),
            Self::Flag(flag, true) => (*flag).to_owned(),
            Self::Flag(flag, false) => format!("UN{flag}"),
            Self::Keyword(keyword, true) => format!("KEYWORD {keyword}"),
            Self::Keyword(keyword, false) => format!("UNKEYWORD {keyword}"),
            Self::From(text) => format!("FROM {}", quoted(text)),
            Self::Subject(text) => format!("SUBJECT {}", quoted(text)),
            Self::Header(name, text) => format!("HEADER {name} {}", quoted(text)),
            Self::Body(text) => format!("BODY {}", quoted(text)),
            Self::Text(text) => format!("TEXT {}", quoted(text)),
            Self::Received(how, day) | Self::Sent(how, day) => format!("{how} {day}-Jan-2026"),
            Self::Larger(size) => format!("LARGER {size}"),
            Self::Smaller(size) => format!("SMALLER {size}"),
            Self::Numbers(a, b) => format!("{a}:{b}"),
            Self::Uids(a, b) => format!("UID {a}:{b}"),
            Self::Beside(side, uid) => format!("{side} {uid}"),
            Self::Not(key) => format!("NOT {}", key.text()),
            Self::Or(a, b) => format!("OR {} {}", a.text(), b.text()),
            Self::And(a, b) => format!("({} {})", a.text(), b.text()),
        }
    }

    fn finds(&self, number: u32, message: &Message) -> bool {
        let on = |how: &str, day: u32, wanted: u32| match how.trim_start_matches("SENT") {
            "BEFORE" => day < wanted,
            "ON" => day == wanted,
            _ => day >= wanted,
        };
        match self {
            Self::All => true,
            Self::Flag(flag, set) => message.flags.contains(flag) == *set,
            Self::Keyword(keyword, set) => {
                (*keyword == "$Even" && message.received.is_multiple_of(2)) == *set
            }
            Self::From(text) => contains(message.from, text),
            Self::Subject(text) => contains(message.shown_subject, text),
            Self::Header("From", text) => contains(message.from, text),
            Self::Header("subject", text) => contains(message.shown_subject, text),
            Self::Header(name, text) => message
                .header()
                .lines()
                .filter_map(|line| line.split_once(": "))
                .any(|(field, value)| field.eq_ignore_ascii_case(name) && contains(value, text)),
            Self::Body(text) => contains(message.shown_body, text),
            Self::Text(text) => {
                contains(&message.header(), text) || contains(message.shown_body, text)
            }
            Self::Received(how, day) => on(how, message.received, *day),
            Self::Sent(how, day) => on(how, message.sent, *day),
            Self::Larger(size) => message.size > *size,
            Self::Smaller(size) => message.size < *size,
            Self::Numbers(a, b) | Self::Uids(a, b) => (a.min(b)..=a.max(b)).contains(&&number),
            Self::Beside("UIDAFTER", uid) => number > *uid,
            Self::Beside(_, uid) => number < *uid,
            Self::Not(key) => !key.finds(number, message),
            Self::Or(a, b) => a.finds(number, message) || b.finds(number, message),
            Self::And(a, b) => a.finds(number, message) && b.finds(number, message),
        }
    }
}

#[test]
fn search_agrees_with_a_naive_evaluation() {
    run(async {
        let random = Random::seeded(42);
        let (server, _) = server_with_alice().await;
        let mut client = ImapClient::log_in(&server, "alice").await;
        let mut messages = Vec::new();
        for _ in 0..COUNT {
            let mut message = message(&random);
            message.size = message.text().len();
            client.ask_bytes(&message.append()).await.ok();
            messages.push(message);
        }
        client.ask("SELECT INBOX").await.ok();
        for round in 0..600 {
            let key = key(&random, 3);
            let verb = if round % 2 == 0 {
                "SEARCH"
            } else {
                "UID SEARCH"
            };
            let ask = format!("{verb} CHARSET UTF-8 {}", key.text());
            let answer = client.ask(&ask).await.ok();
            let found = String::from_utf8(answer.untagged[0].clone()).unwrap();
            let expected = (1..)
                .zip(&messages)
                .filter(|(number, message)| key.finds(*number, message));
            let expected: String = expected.map(|(number, _)| format!(" {number}")).collect();
            assert_eq!(found, format!("SEARCH{expected}"), "{ask}");
        }
    });
}
