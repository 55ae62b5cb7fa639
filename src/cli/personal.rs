//! `buzon account forward`, `buzon account out-of-office`, `buzon srs`: what becomes of an
//! account's mail, and of senders on their way through.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use serde_json::Value;

use super::{
    Failure,
    args::{Common, Forward, OutOfOffice, Srs},
    manage::{ask, column, show, show_lines},
    table::{Column, plain},
};
use crate::admin::{Answering, Request};

/// Sets or shows where an account's mail goes.
pub(super) fn forward(common: &Common, command: Forward) -> Result<(), Failure> {
    let Forward {
        address,
        to,
        keep,
        off,
    } = command;
    let request = match to.is_empty() && !off {
        true => Request::AccountShow { address },
        false => Request::AccountForward { address, to, keep },
    };
    show_lines(common, &ask(common, request)?, |answer| {
        vec![forwarding_told(answer)]
    })
}

/// Sets or shows what an account's senders are answered.
pub(super) fn out_of_office(common: &Common, command: OutOfOffice) -> Result<(), Failure> {
    let OutOfOffice {
        address,
        from,
        until,
        text,
        subject,
        days,
        off,
    } = command;
    let request = match (until, text) {
        (Some(until), Some(text)) => Request::AccountOutOfOffice {
            address,
            answer: Some(Answering {
                from,
                until,
                days,
                subject,
                text: read(&text)?,
            }),
        },
        _ if off => Request::AccountOutOfOffice {
            address,
            answer: None,
        },
        _ => Request::AccountShow { address },
    };
    show_lines(common, &ask(common, request)?, answers_told)
}

/// Lists the secrets of rewritten senders, or makes one.
pub(super) fn srs(common: &Common, command: &Srs) -> Result<(), Failure> {
    let request = match command {
        Srs::List => Request::SrsList,
        Srs::Rotate => Request::SrsRotate,
    };
    show(common, &ask(common, request)?, SECRETS)
}

fn read(path: &Path) -> Result<String, Failure> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin()
            .take(TEXT_BYTES_READ)
            .read_to_string(&mut text)?;
        return Ok(text);
    }
    let text = fs::read_to_string(path);
    Ok(text.map_err(|error| format!("{}: {error}", path.display()))?)
}

fn forwarding_told(answer: &Value) -> String {
    let field = |name| answer.get(name).map_or_else(String::new, plain);
    let account = field("account");
    match answer.get("forwarding") {
        Some(Value::Object(forwarding)) => {
            let to = forwarding.get("to").map_or_else(String::new, plain);
            let kept = forwarding.get("keep") == Some(&Value::Bool(true));
            let kept = ["", ", and keeps it"][usize::from(kept)];
            format!("{account} forwards its mail to {to}{kept}")
        }
        _ => format!("{account} forwards nothing"),
    }
}

fn answers_told(answer: &Value) -> Vec<String> {
    let account = answer.get("account").map_or_else(String::new, plain);
    let Some(Value::Object(absence)) = answer.get("out_of_office") else {
        return vec![format!("{account} answers nobody")];
    };
    let field = |name| absence.get(name).map_or_else(String::new, plain);
    let mut lines = vec![format!(
        "{account} answers from {} until {}, once in {} days: {}",
        field("from"),
        field("until"),
        field("days"),
        field("state")
    )];
    if absence.get("subject").is_some_and(Value::is_string) {
        lines.push(format!("Subject: {}", field("subject")));
    }
    lines.push(String::new());
    lines.extend(field("text").lines().map(str::to_owned));
    lines
}

const SECRETS: &[Column] = &[
    column("MADE", "made", plain),
    column("STATE", "state", plain),
];
/// Of standard input; more than an answer may have.
const TEXT_BYTES_READ: u64 = 1024 * 1024;
