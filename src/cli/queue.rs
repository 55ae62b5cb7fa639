//! `buzon queue`: what waits to go to other servers.

use serde_json::Value;

use super::{
    Failure,
    args::{Common, Queue},
    manage::ask,
    say,
    table::plain,
};
use crate::{
    admin::{QueueAction, Request},
    app::offline::date,
    base::clock::Clock,
};

pub(super) fn run(common: &Common, command: Queue) -> Result<(), Failure> {
    let (action, id, recipient) = match command {
        Queue::List { domain, sender } => return list(common, domain, sender),
        Queue::Show { id } => return show(common, id),
        Queue::Retry { id } => (QueueAction::Retry, id, None),
        Queue::Hold { id } => (QueueAction::Hold, id, None),
        Queue::Release { id } => (QueueAction::Release, id, None),
        Queue::Bounce { id } => (QueueAction::Bounce, id, None),
        Queue::Drop { id, recipient } => (QueueAction::Drop, id, recipient),
    };
    let request = Request::QueueChange {
        action,
        id,
        recipient,
    };
    let answer = ask(common, request)?;
    if common.json {
        return Ok(say(format_args!("{answer:#}"))?);
    }
    let count = |name| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
    let counts = (count("changed"), count("busy"), count("unaffected"));
    Ok(say(outcome(action, counts))?)
}

fn list(common: &Common, domain: Option<String>, sender: Option<String>) -> Result<(), Failure> {
    let filtered = domain.is_some() || sender.is_some();
    let answer = ask(common, Request::QueueList { domain, sender })?;
    if common.json {
        return Ok(say(format_args!("{answer:#}"))?);
    }
    let messages = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    if messages.is_empty() {
        return Ok(say(if filtered {
            "nothing in the queue is like this"
        } else {
            "the queue is empty"
        })?);
    }
    let now = Clock::system().wall().secs();
    for message in messages {
        say(format_args!(
            "{}  {}  {} bytes  {}",
            field(message, "id"),
            time(message, "received_secs"),
            field(message, "size_bytes"),
            field(message, "sender"),
        ))?;
        for recipient in recipients(message) {
            say(format_args!(
                "    {}  {}",
                field(recipient, "address"),
                standing(recipient, now)
            ))?;
            if let Some(reply) = reply(recipient) {
                say(format_args!("        {reply}"))?;
            }
        }
    }
    Ok(())
}

/// One message with all that is known of it.
fn show(common: &Common, id: String) -> Result<(), Failure> {
    let message = ask(common, Request::QueueShow { id })?;
    if common.json {
        return Ok(say(format_args!("{message:#}"))?);
    }
    let account = match message.get("account").and_then(Value::as_u64) {
        Some(number) => format!(", account {number}"),
        None => String::new(),
    };
    say(format_args!("message   {}", field(&message, "id")))?;
    say(format_args!(
        "sender    {}{account}",
        field(&message, "sender")
    ))?;
    say(format_args!(
        "received  {}",
        time(&message, "received_secs")
    ))?;
    say(format_args!(
        "size      {} bytes",
        field(&message, "size_bytes")
    ))?;
    for (name, what) in [
        ("release_secs", "goes at"),
        ("deliver_by_secs", "wanted by"),
    ] {
        if secs(&message, name).is_some() {
            say(format_args!(
                "{what:<9} {}{}",
                time(&message, name),
                late(&message, name)
            ))?;
        }
    }
    if let Some(priority) = message.get("priority").and_then(Value::as_i64) {
        say(format_args!("priority  {priority}"))?;
    }
    let now = Clock::system().wall().secs();
    for recipient in recipients(&message) {
        say(format_args!("\n{}", field(recipient, "address")))?;
        say(format_args!("    {}", standing(recipient, now)))?;
        if secs(recipient, "last_attempt_secs").is_some() {
            let last = time(recipient, "last_attempt_secs");
            say(format_args!("    last attempt {last}"))?;
        }
        if secs(recipient, "due_secs").is_some() {
            let next = time(recipient, "due_secs");
            say(format_args!("    next attempt {next}"))?;
        }
        if let Some(reply) = reply(recipient) {
            say(format_args!("    {reply}"))?;
        }
    }
    Ok(())
}

/// What happens when a message is late.
fn late(message: &Value, name: &str) -> &'static str {
    match message.get("returned_late").and_then(Value::as_bool) {
        Some(true) if name == "deliver_by_secs" => ", or it goes back",
        Some(false) if name == "deliver_by_secs" => ", or its sender is told",
        _ => "",
    }
}

/// What an action did, for people: how many recipients were changed, were in the relay's hands, or
/// stood where the action means nothing.
fn outcome(action: QueueAction, (changed, busy, unaffected): (u64, u64, u64)) -> String {
    let (done, stands) = match action {
        QueueAction::Retry => (
            "to be tried again now",
            "held, or their time has not come: `release` them instead",
        ),
        QueueAction::Hold => ("held until released", "held already"),
        QueueAction::Release => ("released, to be tried now", "not held"),
        QueueAction::Bounce => ("given up; the sender will be told", "left as they were"),
        QueueAction::Drop => ("removed; nobody is told", "left as they were"),
    };
    let mut parts = Vec::new();
    for (count, text) in [
        (changed, done),
        (busy, "being attempted right now and left alone"),
        (unaffected, stands),
    ] {
        if count > 0 {
            parts.push(format!("{}: {text}", counted(count, "recipient")));
        }
    }
    if parts.is_empty() {
        return "the queue is empty".to_owned();
    }
    parts.join("\n")
}

/// Where a recipient stands, in one line.
fn standing(recipient: &Value, now: i64) -> String {
    let attempts = recipient.get("attempts").and_then(Value::as_u64);
    let attempts = counted(attempts.unwrap_or(0), "attempt");
    let state = field(recipient, "state");
    match (state.as_str(), secs(recipient, "due_secs")) {
        ("scheduled", Some(due)) => format!("scheduled, goes {}", wait(due - now)),
        ("waiting", Some(due)) => format!("waiting, {attempts}, next {}", wait(due - now)),
        _ => format!("{state}, {attempts}"),
    }
}

/// A time to come, roughly.
fn wait(secs: i64) -> String {
    match secs {
        ..=0 => "now".to_owned(),
        1..120 => format!("in {secs} s"),
        120..7_200 => format!("in {} min", secs / 60),
        _ => format!("in {} h", secs / 3600),
    }
}

/// What the other server said last, or what kept us from asking it.
fn reply(recipient: &Value) -> Option<String> {
    let reply = recipient.get("reply").and_then(Value::as_str)?;
    match recipient.get("host").and_then(Value::as_str) {
        Some(host) => Some(format!("{host}: {reply}")),
        None => Some(reply.to_owned()),
    }
}

fn recipients(message: &Value) -> impl Iterator<Item = &Value> {
    let recipients = message.get("recipients").and_then(Value::as_array);
    recipients.into_iter().flatten()
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn field(of: &Value, name: &str) -> String {
    plain(of.get(name).unwrap_or(&Value::Null))
}

fn secs(of: &Value, name: &str) -> Option<i64> {
    of.get(name).and_then(Value::as_i64)
}

fn time(of: &Value, name: &str) -> String {
    secs(of, name).map_or_else(|| "-".to_owned(), date)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn outcomes_say_what_was_done_and_what_was_not() {
        use QueueAction::{Drop, Hold, Retry};
        for (action, counts, text) in [
            (Retry, (0, 0, 0), "the queue is empty"),
            (Retry, (2, 0, 0), "2 recipients: to be tried again now"),
            (
                Hold,
                (1, 1, 0),
                "1 recipient: held until released\n\
                 1 recipient: being attempted right now and left alone",
            ),
            (
                Retry,
                (0, 0, 3),
                "3 recipients: held, or their time has not come: `release` them instead",
            ),
            (Drop, (1, 0, 0), "1 recipient: removed; nobody is told"),
        ] {
            assert_eq!(outcome(action, counts), text);
        }
    }

    #[test]
    fn standings_are_for_people() {
        for (state, attempts, due, text) in [
            (
                "waiting",
                1,
                Some(1_057),
                "waiting, 1 attempt, next in 57 s",
            ),
            (
                "waiting",
                2,
                Some(4_600),
                "waiting, 2 attempts, next in 60 min",
            ),
            (
                "waiting",
                9,
                Some(15_400),
                "waiting, 9 attempts, next in 4 h",
            ),
            ("waiting", 0, Some(900), "waiting, 0 attempts, next now"),
            ("scheduled", 0, Some(1_057), "scheduled, goes in 57 s"),
            ("held", 3, None, "held, 3 attempts"),
            ("attempting", 3, Some(1_300), "attempting, 3 attempts"),
        ] {
            let recipient = json!({ "state": state, "attempts": attempts, "due_secs": due });
            assert_eq!(standing(&recipient, 1_000), text);
        }
        assert_eq!(standing(&json!({}), 0), "-, 0 attempts");
    }
}
