//! Pauses, and how much waits for whom.

use serde_json::{Value, json};

use super::{
    of_queue,
    shown::{field, secs, span, text, wait},
};
use crate::{
    admin::QueueRequest,
    base::clock::Clock,
    cli::{
        Failure,
        args::Common,
        manage::column,
        say,
        table::{self, Column, plain, size},
    },
};

/// Begins or ends a pause.
pub(super) fn pause(common: &Common, what: String, begin: bool) -> Result<(), Failure> {
    let domain = Some(what.clone()).filter(|what| what != "all");
    let request = match begin {
        true => QueueRequest::Pause { domain },
        false => QueueRequest::Resume { domain },
    };
    let answer = of_queue(common, request)?;
    if common.json {
        return Ok(say(format_args!("{answer:#}"))?);
    }
    let changed = answer.get("changed") == Some(&Value::Bool(true));
    say(match (begin, changed) {
        (true, true) => format!("{what}: no attempt begins until `buzon queue resume {what}`"),
        (true, false) => format!("{what}: paused already"),
        (false, true) => format!("{what}: attempts begin again"),
        (false, false) => format!("{what}: was not paused"),
    })?;
    let now = Clock::system().wall().secs();
    let left = paused(answer.get("paused").unwrap_or(&Value::Null), now);
    if !begin {
        left.iter().try_for_each(say)?;
    }
    Ok(())
}

/// What is paused, in lines.
pub(super) fn paused(pauses: &Value, now: i64) -> Vec<String> {
    let pauses = pauses.as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |pause: &Value| {
        let (what, since) = (
            field(pause, "what"),
            secs(pause, "since_secs").unwrap_or(now),
        );
        let time = span(now - since);
        format!("paused for {time}: {what} (`buzon queue resume {what}`)")
    };
    pauses.iter().map(line).collect()
}

/// What has a rest, in lines.
pub(super) fn resting(rests: &Value, now: i64) -> Vec<String> {
    let rests = rests.as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |rest: &Value| {
        let what = field(rest, "what");
        let left = span(secs(rest, "until_secs").unwrap_or(now) - now);
        match text(rest, "why") {
            Some(why) => format!("asked for less, rests for {left}: {what} ({why})"),
            None => format!("asked for less, rests for {left}: {what}"),
        }
    };
    rests.iter().map(line).collect()
}

pub(super) fn stats(common: &Common, limit: usize) -> Result<(), Failure> {
    let answer = of_queue(common, QueueRequest::Stats { limit })?;
    if common.json {
        return Ok(say(format_args!("{answer:#}"))?);
    }
    let now = Clock::system().wall().secs();
    Ok(told(&answer, now).iter().try_for_each(say)?)
}

fn told(stats: &Value, now: i64) -> Vec<String> {
    let total = stats.get("total").unwrap_or(&Value::Null);
    let ago = now - secs(stats, "counted_secs").unwrap_or(now);
    let mut lines = vec![
        format!("queued now:   {}", numbers(total, &STANDING)),
        format!("since start:  {}", numbers(total, &MOVED)),
    ];
    if ago > 1 {
        lines.push(format!("counted {} ago", span(ago)));
    }
    lines.extend(paused(stats.get("paused").unwrap_or(&Value::Null), now));
    lines.extend(resting(stats.get("resting").unwrap_or(&Value::Null), now));
    let rows = stats.get("destinations").and_then(Value::as_array);
    let rows = rows.map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return lines;
    }
    let shown: Vec<_> = rows.iter().map(|row| with_times(row, now)).collect();
    lines.push(String::new());
    lines.extend(table::lines(&shown, COLUMNS));
    let known = stats.get("destinations_known").and_then(Value::as_u64);
    let hidden = known.unwrap_or(0).saturating_sub(rows.len() as u64);
    if hidden > 0 {
        lines.push(format!("and {hidden} more destinations: --limit"));
    }
    lines
}

/// Those of the numbers that are not zero, in words.
fn numbers(of: &Value, names: &[(&str, &str)]) -> String {
    let number = |(name, word): &(&str, &str)| {
        let count = of
            .get(*name)
            .and_then(Value::as_u64)
            .filter(|count| *count > 0)?;
        match *name {
            "bytes" => Some(size(&count.into())),
            _ => Some(format!("{count} {word}")),
        }
    };
    let said: Vec<_> = names.iter().filter_map(number).collect();
    match said.is_empty() {
        true => "nothing".to_owned(),
        false => said.join(", "),
    }
}

/// The row with its times as people take them.
fn with_times(row: &Value, now: i64) -> Value {
    let mut row = row.clone();
    let oldest = secs(&row, "oldest_secs").map(|at| span(now - at));
    let next = secs(&row, "next_secs").map(|at| wait(at - now));
    let words = text(&row, "last_words").map(|words| words.chars().take(WORDS_CHARS).collect());
    let words: Option<String> = words;
    if let Value::Object(fields) = &mut row {
        for (name, value) in [("oldest", oldest), ("next", next), ("words", words)] {
            fields.insert(name.to_owned(), json!(value));
        }
    }
    row
}

const STANDING: [(&str, &str); 7] = [
    ("waiting", "waiting"),
    ("due", "of them due"),
    ("attempting", "being attempted"),
    ("held", "held"),
    ("scheduled", "scheduled"),
    ("bouncing", "bouncing"),
    ("damaged", "damaged"),
];
const MOVED: [(&str, &str); 7] = [
    ("attempts", "attempts"),
    ("delivered", "delivered"),
    ("deferred", "deferred"),
    ("failed", "failed"),
    ("bytes", ""),
    ("connections_opened", "connections opened"),
    ("connections_reused", "times one used again"),
];
const COLUMNS: &[Column] = &[
    column("DESTINATION", "destination", plain),
    column("WAITING", "waiting", plain),
    column("DUE", "due", plain),
    column("ACTIVE", "attempting", plain),
    column("HELD", "held", plain),
    column("BOUNCING", "bouncing", plain),
    column("OLDEST", "oldest", plain),
    column("NEXT", "next", plain),
    column("ATTEMPTS", "attempts", plain),
    column("DELIVERED", "delivered", plain),
    column("DEFERRED", "deferred", plain),
    column("FAILED", "failed", plain),
    column("SENT", "bytes", size),
    column("CONNECTIONS", "connections_opened", plain),
    column("WINDOW", "window", plain),
    column("LAST WORDS", "words", plain),
];
/// Characters of what was said last in a table.
const WORDS_CHARS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stats_are_lines_and_a_table() {
        let stats = json!({
            "counted_secs": 990,
            "paused": [{ "what": "x.example", "since_secs": 400 }],
            "resting": [{ "what": "y.example", "until_secs": 1060, "why": "mx: 421 less" }],
            "total": { "waiting": 12, "due": 2, "held": 1, "attempts": 0 },
            "destinations": [{
                "destination": "x.example", "waiting": 12, "due": 2, "attempting": 0, "held": 1,
                "bouncing": 0, "oldest_secs": 100, "next_secs": 1300, "attempts": 3,
                "delivered": 1, "deferred": 2, "failed": 0, "bytes": 2048,
                "connections_opened": 2, "window": 5, "last_words": "mx: 450 busy",
            }],
            "destinations_known": 3,
        });
        let expected = [
            "queued now:   12 waiting, 2 of them due, 1 held",
            "since start:  nothing",
            "counted 10 s ago",
            "paused for 10 min: x.example (`buzon queue resume x.example`)",
            "asked for less, rests for 60 s: y.example (mx: 421 less)",
            "",
            "DESTINATION  WAITING  DUE  ACTIVE  HELD  BOUNCING  OLDEST  NEXT      ATTEMPTS  \
             DELIVERED  DEFERRED  FAILED  SENT   CONNECTIONS  WINDOW  LAST WORDS",
            "x.example    12       2    0       1     0         15 min  in 5 min  3         \
             1          2         0       2 KiB  2            5       mx: 450 busy",
            "and 2 more destinations: --limit",
        ];
        assert_eq!(told(&stats, 1_000), expected);
    }
}
