//! `buzon queue`: what waits to go to other servers.

use serde_json::Value;

use super::{
    Failure,
    args::{Common, Queue},
    manage::{ask, plain},
};
use crate::{
    admin::{QueueAction, Request},
    app::offline::date,
};

pub(super) fn run(common: &Common, command: Queue) -> Result<(), Failure> {
    let change = |action, id, recipient| Request::QueueChange {
        action,
        id,
        recipient,
    };
    let request = match command {
        Queue::List { domain, sender } => Request::QueueList { domain, sender },
        Queue::Show { id } => Request::QueueShow { id },
        Queue::Retry { id } => change(QueueAction::Retry, id, None),
        Queue::Hold { id } => change(QueueAction::Hold, id, None),
        Queue::Release { id } => change(QueueAction::Release, id, None),
        Queue::Bounce { id } => change(QueueAction::Bounce, id, None),
        Queue::Drop { id, recipient } => change(QueueAction::Drop, id, recipient),
    };
    let answer = ask(common, request)?;
    if common.json {
        println!("{answer:#}");
        return Ok(());
    }
    match &answer {
        Value::Array(messages) if messages.is_empty() => println!("the queue is empty"),
        Value::Array(messages) => messages.iter().for_each(show),
        message if message.get("recipients").is_some() => show(message),
        counts => println!(
            "{} recipients changed, {} being attempted now, {} not affected",
            field(counts, "changed"),
            field(counts, "busy"),
            field(counts, "unaffected")
        ),
    }
    Ok(())
}

/// One message and where each recipient stands.
fn show(message: &Value) {
    println!(
        "{}  {}  {} bytes  {}",
        field(message, "id"),
        time(message, "received_secs"),
        field(message, "size_bytes"),
        field(message, "sender"),
    );
    for recipient in message
        .get("recipients")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        println!(
            "    {}  {}, {} attempts, next {}",
            field(recipient, "address"),
            field(recipient, "state"),
            field(recipient, "attempts"),
            time(recipient, "due_secs"),
        );
        if let Some(reply) = recipient.get("reply").and_then(Value::as_str) {
            println!("        {}: {reply}", field(recipient, "host"));
        }
    }
}

fn field(of: &Value, name: &str) -> String {
    plain(of.get(name).unwrap_or(&Value::Null))
}

fn time(of: &Value, name: &str) -> String {
    of.get(name)
        .and_then(Value::as_i64)
        .map_or_else(|| "-".to_owned(), date)
}
