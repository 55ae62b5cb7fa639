//! What happens in the queue, a line for each event.

use std::{thread, time::Duration};

use serde_json::Value;

use super::shown::{field, reply, secs, text, wait};
use crate::{
    admin::{Answer, Filters, QueueRequest, Request},
    app,
    base::clock::Timestamp,
    cli::{
        Failure,
        args::{Common, Watched},
        say,
    },
    config::Config,
};

/// Asks the server again and again, until the operator has seen enough.
pub(super) fn watch(common: &Common, watched: &Watched) -> Result<(), Failure> {
    let config = app::config_of(&common.config, &common.set)?;
    let filters = super::watched(watched);
    let mut from = None;
    loop {
        let seen = ask(&config, from, &filters)?;
        from = seen.get("next").and_then(Value::as_u64);
        let missed = seen.get("missed").and_then(Value::as_u64).unwrap_or(0);
        if missed > 0 {
            say(match common.json {
                true => serde_json::json!({ "missed": missed }).to_string(),
                false => format!("... {missed} events were missed"),
            })?;
        }
        let events = seen.get("events").and_then(Value::as_array);
        for event in events.into_iter().flatten() {
            say(match common.json {
                true => event.to_string(),
                false => told(event),
            })?;
        }
        thread::sleep(POLL);
    }
}

fn ask(config: &Config, from: Option<u64>, filters: &Filters) -> Result<Value, Failure> {
    let request = QueueRequest::Watch {
        from,
        filters: filters.clone(),
    };
    match app::offline::ask_running(config, &Request::Queue { request })? {
        Answer::Done(value) => Ok(value),
        Answer::Refused(why) => Err(why.into()),
    }
}

/// An event in one line.
fn told(event: &Value) -> String {
    let at = event.get("at_millis").and_then(Value::as_u64).unwrap_or(0);
    let at = Timestamp(at).secs();
    let day = at.rem_euclid(86_400);
    let (hour, minute, second) = (day / 3600, day / 60 % 60, day % 60);
    let to = event.get("to").and_then(Value::as_array);
    let to: Vec<_> = to.into_iter().flatten().filter_map(Value::as_str).collect();
    let recipients = event.get("recipients").and_then(Value::as_u64).unwrap_or(0);
    let others = recipients.saturating_sub(to.len() as u64);
    let mut line = format!(
        "{hour:02}:{minute:02}:{second:02}  {:<10}  {}  {} -> {}",
        field(event, "event"),
        field(event, "id"),
        field(event, "sender"),
        to.join(", "),
    );
    if others > 0 {
        line += &format!(" and {others} more");
    }
    match (reply(event), text(event, "host")) {
        (Some(reply), _) => line += &format!("  {reply}"),
        (None, Some(host)) => line += &format!("  at {host}"),
        (None, None) => {}
    }
    if let Some(next) = secs(event, "next_secs") {
        line += &format!("; again {}", wait(next - at));
    }
    line
}

/// Between questions.
const POLL: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_lines() {
        for (event, line) in [
            (
                json!({ "at_millis": 3_661_500, "event": "attempted", "id": "a", "sender": "<s@x>",
                        "to": ["a@b", "c@b"], "recipients": 7, "host": "mx.b [192.0.2.1]" }),
                "01:01:01  attempted   a  <s@x> -> a@b, c@b and 5 more  at mx.b [192.0.2.1]",
            ),
            (
                json!({ "at_millis": 1_000, "event": "deferred", "id": "a", "sender": "<>",
                        "to": ["a@b"], "recipients": 1, "host": "mx", "reply": "450 4.2.1 busy",
                        "next_secs": 301 }),
                "00:00:01  deferred    a  <> -> a@b  mx: 450 4.2.1 busy; again in 5 min",
            ),
        ] {
            assert_eq!(told(&event), line);
        }
    }
}
