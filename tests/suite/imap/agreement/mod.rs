//! Our grammar and another's, imap-codec's: of generated and of damaged commands both accept the
//! same, and what both accept means the same; and what we answer about the corpus is read by it.
//!
//! Only what both know is compared. `BUZON_TEST_GRAMMAR` says how many commands are tried, in
//! place of the few of an ordinary run.
#![expect(
    clippy::disallowed_methods,
    reason = "a longer run is asked for by the environment"
)]

mod commands;
mod meaning;
mod responses;

use std::collections::BTreeSet;

use buzon::{
    base::random::Random,
    imap::proto::{
        command::Command,
        dialog::Imap,
        verbs::{Stage, Tls},
    },
    wire::{Input, Protocol as _, Step},
};
use imap_codec::{CommandCodec, decode::Decoder as _};

/// A command that one accepts and the other does not, and why that is meant.
struct Difference {
    reason: &'static str,
    /// Whether it is ours that accepts.
    ours_accepts: bool,
    is_of: fn(&str) -> bool,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        reason: "RFC 3501 9 nz-number: no zero at the front",
        ours_accepts: false,
        is_of: |line| {
            let bytes = line.as_bytes();
            bytes
                .windows(3)
                .any(|run| !run[0].is_ascii_digit() && run[1] == b'0' && run[2].is_ascii_digit())
        },
    },
    Difference {
        reason: "RFC 3501 5.1.3: a mailbox has no name that is not modified UTF-7",
        ours_accepts: false,
        is_of: |line| line.contains('&'),
    },
    Difference {
        reason: "RFC 4422 3.1: a mechanism has capitals, digits, hyphens and underscores",
        ours_accepts: false,
        is_of: |line| line.to_uppercase().contains("AUTHENTICATE "),
    },
    Difference {
        reason: "RFC 3501 9 search: a charset is an astring; RFC 9051 has made it an atom",
        ours_accepts: true,
        is_of: |line| line.to_uppercase().contains(" CHARSET "),
    },
    Difference {
        reason: "RFC 5322 2.2: the name of a header field has no colon and no space",
        ours_accepts: false,
        is_of: |line| line.to_uppercase().contains("HEADER"),
    },
    Difference {
        reason: "quirk::SPACES_AT_END: clients leave spaces at the end of a line",
        ours_accepts: true,
        is_of: |line| line.ends_with(" \\r\\n"),
    },
    Difference {
        reason: "RFC 9738 3.2: two more search keys",
        ours_accepts: true,
        is_of: |line| {
            let line = line.to_uppercase();
            line.contains("UIDAFTER ") || line.contains("UIDBEFORE ")
        },
    },
    Difference {
        reason: "RFC 9051 9: octets are counted in 63 bits",
        ours_accepts: true,
        is_of: |line| {
            let is_long = |digits: &str| digits.parse().is_ok_and(|n: u64| n > u32::MAX.into());
            let words = ["LARGER ", "SMALLER ", "]<"];
            let counts = words.iter().any(|word| line.to_uppercase().contains(word));
            counts && line.split(|c: char| !c.is_ascii_digit()).any(is_long)
        },
    },
];

/// The command, when it is one and nothing comes behind it.
fn ours(bytes: &[u8]) -> Option<Command> {
    let before_login = Stage::Greeted {
        tls: Tls::Active,
        insecure_login_allowed: false,
    };
    let before_tls = Stage::Greeted {
        tls: Tls::Offered,
        insecure_login_allowed: false,
    };
    // In whatever stage it has its place.
    let stages = [
        Stage::Selected { read_only: false },
        before_login,
        before_tls,
    ];
    stages.into_iter().find_map(|stage| {
        let mut dialogue = Imap::new(1_000_000);
        let mut input = Input::new();
        input.push(bytes);
        loop {
            match dialogue.next(&mut input, stage) {
                Step::Command(command) => return Some(command),
                Step::Invite(_) => {}
                _ => return None,
            }
        }
    })
}

#[test]
fn both_grammars_accept_the_same_and_mean_the_same() {
    let rounds = std::env::var("BUZON_TEST_GRAMMAR").ok();
    let rounds = rounds.map_or(20_000, |rounds| rounds.parse().unwrap());
    let mut complaints = Vec::new();
    let mut used = BTreeSet::new();
    let (mut accepted, mut compared) = (0, 0);
    for seed in 0..rounds {
        let random = Random::seeded(seed);
        let mut line = commands::command(&random);
        if random.below(2) == 0 {
            commands::damage(&random, &mut line);
        }
        let theirs = CommandCodec::default();
        let theirs = match theirs.decode(&line) {
            Ok(([], command)) => Some(command),
            // More than one line: not one command.
            Ok(_) => continue,
            Err(_) => None,
        };
        let ours = ours(&line);
        let shown = line.escape_ascii().to_string();
        match (&ours, &theirs) {
            (Some(ours), Some(theirs)) => {
                accepted += 1;
                let ours = meaning::ours(&ours.body);
                let theirs = meaning::theirs(&theirs.body);
                if let (Some(ours), Some(theirs)) = (ours, theirs) {
                    compared += 1;
                    if ours != theirs {
                        complaints.push(format!("{shown}\n    ours   {ours}\n    theirs {theirs}"));
                    }
                }
            }
            (None, None) => {}
            (ours, _) => {
                let ours_accepts = ours.is_some();
                let found = DIFFERENCES.iter().position(|difference| {
                    difference.ours_accepts == ours_accepts && (difference.is_of)(&shown)
                });
                match found {
                    Some(at) => _ = used.insert(at),
                    None => complaints.push(format!("only we accept: {ours_accepts}: {shown}")),
                }
            }
        }
    }
    for (at, difference) in DIFFERENCES.iter().enumerate() {
        if !used.contains(&at) {
            complaints.push(format!("is over: {}", difference.reason));
        }
    }
    let count = complaints.len();
    complaints.truncate(200);
    assert!(count == 0, "{count} complaints\n{}", complaints.join("\n"));
    assert!(
        accepted * 4 > rounds && compared * 4 > rounds,
        "{accepted} {compared}"
    );
}
