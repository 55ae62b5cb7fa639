//! Lists of waiting mail, and one message of it.

use serde_json::{Value, json};

use super::{
    filters, history, of_queue,
    shown::{counted, field, recipients, reply, secs, standing, text, time},
    stats,
};
use crate::{
    admin::{Filters, QueueRequest},
    base::clock::Clock,
    cli::{
        Failure,
        args::{Common, Filters as Given},
        say,
    },
};

/// Lists as many messages as are wanted, in as many requests as it takes.
pub(super) fn list(
    common: &Common,
    given: &Given,
    limit: usize,
    from: Option<String>,
) -> Result<(), Failure> {
    let filters = filters(given)?;
    let now = Clock::system().wall().secs();
    let (begun, mut from) = (from.clone(), from);
    let (mut listed, mut found) = (0, Vec::new());
    let (paused, resting) = loop {
        let answer = of_queue(
            common,
            QueueRequest::List {
                filters: filters.clone(),
                from: from.take(),
                limit: limit.max(1) - listed,
            },
        )?;
        let messages = answer.get("messages").and_then(Value::as_array);
        let messages = messages.map(Vec::as_slice).unwrap_or_default();
        listed += messages.len();
        match common.json {
            true => found.extend_from_slice(messages),
            false => messages
                .iter()
                .flat_map(|message| told(message, now))
                .try_for_each(say)?,
        }
        from = text(&answer, "next").map(str::to_owned);
        if from.is_none() || listed >= limit.max(1) {
            let waits = |name| answer.get(name).cloned().unwrap_or_default();
            break (waits("paused"), waits("resting"));
        }
    };
    if common.json {
        let all = json!({ "messages": found, "next": from, "paused": paused, "resting": resting });
        return Ok(say(format_args!("{all:#}"))?);
    }
    match from {
        Some(next) => say(format_args!("\nand more: the same with --from {next}"))?,
        None if listed > 0 => {}
        None if filters != Filters::default() => say("nothing in the queue is like this")?,
        None if begun.is_some() => say("that was all")?,
        None => say("the queue is empty")?,
    }
    stats::paused(&paused, now).iter().try_for_each(say)?;
    Ok(stats::resting(&resting, now).iter().try_for_each(say)?)
}

/// A message of the list in lines.
fn told(message: &Value, now: i64) -> Vec<String> {
    let mut lines = vec![format!(
        "{}  {}  {} bytes  {}",
        field(message, "id"),
        time(message, "received_secs"),
        field(message, "size_bytes"),
        field(message, "sender"),
    )];
    for recipient in recipients(message) {
        let address = field(recipient, "address");
        lines.push(format!("    {address}  {}", standing(recipient, now)));
        lines.extend(reply(recipient).map(|reply| format!("        {reply}")));
    }
    let others = message.get("others").and_then(Value::as_u64).unwrap_or(0);
    if others > 0 {
        lines.push(format!("    and {}", counted(others, "other recipient")));
    }
    lines
}

/// One message with all that is known of it.
pub(super) fn show(common: &Common, id: String) -> Result<(), Failure> {
    let mut message = of_queue(common, QueueRequest::Show { id })?;
    let told = history::add(common, &mut message)?;
    if common.json {
        return Ok(say(format_args!("{message:#}"))?);
    }
    let now = Clock::system().wall().secs();
    shown(&message, now).iter().try_for_each(say)?;
    Ok(told.iter().try_for_each(say)?)
}

fn shown(message: &Value, now: i64) -> Vec<String> {
    let account = match message.get("account").and_then(Value::as_u64) {
        Some(number) => format!(", account {number}"),
        None => String::new(),
    };
    let mut lines = vec![
        format!("message   {}", field(message, "id")),
        format!("sender    {}{account}", field(message, "sender")),
        format!("received  {}", time(message, "received_secs")),
        format!("size      {} bytes", field(message, "size_bytes")),
    ];
    for (name, what) in [
        ("release_secs", "goes at"),
        ("deliver_by_secs", "wanted by"),
    ] {
        if secs(message, name).is_some() {
            let (time, late) = (time(message, name), late(message, name));
            lines.push(format!("{what:<9} {time}{late}"));
        }
    }
    lines.extend(stats::resting(
        message.get("resting").unwrap_or(&Value::Null),
        now,
    ));
    if let Some(priority) = message.get("priority").and_then(Value::as_i64) {
        lines.push(format!("priority  {priority}"));
    }
    for recipient in recipients(message) {
        lines.push(format!("\n{}", field(recipient, "address")));
        lines.push(format!("    {}", standing(recipient, now)));
        for (name, what) in [
            ("last_attempt_secs", "last attempt"),
            ("due_secs", "next attempt"),
        ] {
            // What is being attempted has the end of its lease there.
            let is_meant = name != "due_secs" || field(recipient, "state") != "attempting";
            if is_meant && secs(recipient, name).is_some() {
                lines.push(format!("    {what} {}", time(recipient, name)));
            }
        }
        let history = recipient.get("history").and_then(Value::as_array);
        match history.filter(|history| !history.is_empty()) {
            Some(history) => lines.extend(history.iter().map(attempt)),
            None => lines.extend(reply(recipient).map(|reply| format!("    {reply}"))),
        }
    }
    lines
}

/// One attempt of the history.
fn attempt(attempt: &Value) -> String {
    let time = field(attempt, "time");
    let became = field(attempt, "became");
    let reply = reply(attempt).unwrap_or_default();
    format!("    {time}  {became:<10}  {reply}")
        .trim_end()
        .to_owned()
}

/// What happens when a message is late.
fn late(message: &Value, name: &str) -> &'static str {
    match message.get("returned_late").and_then(Value::as_bool) {
        Some(true) if name == "deliver_by_secs" => ", or it goes back",
        Some(false) if name == "deliver_by_secs" => ", or its sender is told",
        _ => "",
    }
}
