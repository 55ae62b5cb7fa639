//! Doing something to waiting mail: in as many requests as it takes.

use std::io::{self, BufRead, IsTerminal, Write};

use serde_json::{Value, json};

use super::{
    filters, of_queue,
    shown::{counted, text},
};
use crate::{
    admin::{Filters, QueueAction, QueueRequest, Selected},
    cli::{
        Failure,
        args::{Common, Which},
        complain, say,
    },
};

/// What was done so far, in recipients.
#[derive(Clone, Copy, Default)]
struct Counts {
    changed: u64,
    busy: u64,
    unaffected: u64,
}

pub(super) fn act(common: &Common, action: &QueueAction, which: Which) -> Result<(), Failure> {
    let all = which.id.as_deref() == Some("all");
    let mut selected = Selected {
        id: which.id.filter(|_| !all),
        filters: filters(&which.filters)?,
        all,
        from: None,
    };
    let mut counts = Counts::default();
    loop {
        let request = QueueRequest::Change {
            action: action.clone(),
            selected: selected.clone(),
        };
        let answer = of_queue(common, request)?;
        counts.add(&answer);
        selected.from = text(&answer, "next").map(str::to_owned);
        if selected.from.is_none() {
            break;
        }
        let so_far = counted(counts.all(), "recipient");
        complain(format_args!("{so_far} so far, going on"));
    }
    if common.json {
        let Counts {
            changed,
            busy,
            unaffected,
        } = counts;
        let answer = json!({ "changed": changed, "busy": busy, "unaffected": unaffected });
        return Ok(say(format_args!("{answer:#}"))?);
    }
    let none = match all {
        true => "the queue is empty",
        false => "nothing in the queue is like this",
    };
    Ok(say(
        outcome(action, counts).unwrap_or_else(|| none.to_owned())
    )?)
}

/// What cannot be taken back is not done to many at once without a word.
pub(super) fn confirm(which: &Which, yes: bool, what: &str) -> Result<(), Failure> {
    let none = which.id.is_none() && filters(&which.filters)? == Filters::default();
    let one = which.id.as_deref().is_some_and(|id| id != "all");
    // Without a word of which mail, the server says what is missing.
    if one || none || yes {
        return Ok(());
    }
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(format!("this {what} all messages that match: add --yes").into());
    }
    let _ = writeln!(
        io::stderr(),
        "This {what} all that match; `buzon queue list` with the same filters shows them. \
         Type yes to go on:"
    );
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    match line.trim() {
        "yes" => Ok(()),
        _ => Err("nothing was done".into()),
    }
}

impl Counts {
    fn add(&mut self, answer: &Value) {
        let count = |name| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
        self.changed += count("changed");
        self.busy += count("busy");
        self.unaffected += count("unaffected");
    }

    fn all(self) -> u64 {
        self.changed + self.busy + self.unaffected
    }
}

/// What an action did, for people: how many recipients were changed, were in the relay's hands, or
/// stood where the action means nothing.
fn outcome(action: &QueueAction, counts: Counts) -> Option<String> {
    let (done, stands) = match action {
        QueueAction::Retry => (
            "to be tried again now",
            "held, or their time has not come: `release` them instead",
        ),
        QueueAction::Hold => ("held until released", "held already"),
        QueueAction::Release => ("released, to be tried now", "not held"),
        QueueAction::Bounce => ("given up; the sender will be told", "left as they were"),
        QueueAction::Drop => ("removed; nobody is told", "left as they were"),
        QueueAction::Reroute { .. } => (
            "on this way from now on",
            "left as they were: for a mailbox here, or only their report is left",
        ),
    };
    let parts = [
        (counts.changed, done),
        (counts.busy, "being attempted right now and left alone"),
        (counts.unaffected, stands),
    ];
    let said = parts.into_iter().filter(|(count, _)| *count > 0);
    let said = said.map(|(count, text)| format!("{}: {text}", counted(count, "recipient")));
    let lines: Vec<_> = said.collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_say_what_was_done_and_what_was_not() {
        use QueueAction::{Drop, Hold, Retry};
        for (action, counts, text) in [
            (Retry, (0, 0, 0), None),
            (
                Retry,
                (2, 0, 0),
                Some("2 recipients: to be tried again now"),
            ),
            (
                Hold,
                (1, 1, 0),
                Some(
                    "1 recipient: held until released\n\
                     1 recipient: being attempted right now and left alone",
                ),
            ),
            (
                Retry,
                (0, 0, 3),
                Some("3 recipients: held, or their time has not come: `release` them instead"),
            ),
            (
                Drop,
                (1, 0, 0),
                Some("1 recipient: removed; nobody is told"),
            ),
        ] {
            let mut sum = Counts::default();
            let (changed, busy, unaffected) = counts;
            let answer = json!({ "changed": changed, "busy": busy, "unaffected": unaffected });
            sum.add(&answer);
            assert_eq!(outcome(&action, sum).as_deref(), text);
        }
    }
}
