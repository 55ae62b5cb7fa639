//! Words for what the queue answers.

use serde_json::Value;

use crate::{app::offline::date, cli::table::plain};

/// Where a recipient stands, in one line.
pub(super) fn standing(recipient: &Value, now: i64) -> String {
    let attempts = recipient.get("attempts").and_then(Value::as_u64);
    let attempts = counted(attempts.unwrap_or(0), "attempt");
    let state = field(recipient, "state");
    let standing = match (state.as_str(), secs(recipient, "due_secs")) {
        ("scheduled", Some(due)) => format!("scheduled, goes {}", wait(due - now)),
        ("waiting", Some(due)) => format!("waiting, {attempts}, next {}", wait(due - now)),
        _ => format!("{state}, {attempts}"),
    };
    match text(recipient, "via") {
        Some(via) => format!("{standing}, rerouted to {via}"),
        None => standing,
    }
}

/// A time to come, roughly.
pub(super) fn wait(secs: i64) -> String {
    match secs {
        ..=0 => "now".to_owned(),
        secs => format!("in {}", span(secs)),
    }
}

/// A length of time, roughly.
pub(super) fn span(secs: i64) -> String {
    match secs {
        ..120 => format!("{} s", secs.max(0)),
        120..7_200 => format!("{} min", secs / 60),
        7_200..172_800 => format!("{} h", secs / 3600),
        _ => format!("{} days", secs / 86_400),
    }
}

/// What the other server said last, or what kept us from asking it.
pub(super) fn reply(recipient: &Value) -> Option<String> {
    let reply = text(recipient, "reply")?;
    Some(match text(recipient, "host") {
        Some(host) => format!("{host}: {reply}"),
        None => reply.to_owned(),
    })
}

pub(super) fn recipients(message: &Value) -> impl Iterator<Item = &Value> {
    let recipients = message.get("recipients").and_then(Value::as_array);
    recipients.into_iter().flatten()
}

pub(super) fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

pub(super) fn text<'a>(of: &'a Value, name: &str) -> Option<&'a str> {
    of.get(name).and_then(Value::as_str)
}

pub(super) fn field(of: &Value, name: &str) -> String {
    plain(of.get(name).unwrap_or(&Value::Null))
}

pub(super) fn secs(of: &Value, name: &str) -> Option<i64> {
    of.get(name).and_then(Value::as_i64)
}

pub(super) fn time(of: &Value, name: &str) -> String {
    secs(of, name).map_or_else(|| "-".to_owned(), date)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
            ("scheduled", 0, Some(260_200), "scheduled, goes in 3 days"),
            ("held", 3, None, "held, 3 attempts"),
            ("attempting", 3, Some(1_300), "attempting, 3 attempts"),
        ] {
            let recipient = json!({ "state": state, "attempts": attempts, "due_secs": due });
            assert_eq!(standing(&recipient, 1_000), text);
        }
        assert_eq!(standing(&json!({}), 0), "-, 0 attempts");
        let recipient = json!({ "state": "held", "attempts": 1, "via": "mx.example:26" });
        assert_eq!(
            standing(&recipient, 0),
            "held, 1 attempt, rerouted to mx.example:26"
        );
    }
}
