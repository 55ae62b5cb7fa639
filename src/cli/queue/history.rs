//! The attempts of a queued message, from its story.

use serde_json::{Map, Value, json};

use super::shown::{secs, text};
use crate::{
    app,
    cli::{Failure, args::Common},
};

/// Adds to each recipient of `message` what the story of it tells of his attempts, and says when
/// that is not all of them.
pub(super) fn add(common: &Common, message: &mut Value) -> Result<Option<String>, Failure> {
    let config = app::config_of(&common.config, &common.set)?;
    let id = text(message, "id").unwrap_or_default().to_owned();
    let received = secs(message, "received_secs").unwrap_or(0);
    let story = match app::stories::of(&config, &id, received) {
        Ok(story) => story,
        Err(why) => return Ok(Some(format!("\nthe story of it cannot be read: {why}"))),
    };
    let Some(lines) = story else {
        return Ok(Some(
            "\nno stories are kept ([trace] is off): the last attempt is all that is known"
                .to_owned(),
        ));
    };
    let recipients = message.get_mut("recipients").and_then(Value::as_array_mut);
    let mut missing = false;
    for recipient in recipients.into_iter().flatten() {
        let address = text(recipient, "address").unwrap_or_default();
        let attempts = of_recipient(&lines, address);
        let begun = recipient.get("attempts").and_then(Value::as_u64);
        missing |= begun.unwrap_or(0) > attempts.len() as u64;
        if let Value::Object(fields) = recipient {
            fields.insert("history".to_owned(), attempts.into());
        }
    }
    Ok(missing.then(|| "\nmore was attempted than its story tells (it may be too old)".to_owned()))
}

/// What came of the attempts for one recipient, oldest first.
fn of_recipient(lines: &[Map<String, Value>], address: &str) -> Vec<Value> {
    let to = format!("<{address}>");
    let said = |line: &Map<String, Value>, name: &str| {
        let value = line.get(name).and_then(Value::as_str);
        value.map(str::to_owned)
    };
    let attempt = |line: &Map<String, Value>| {
        let became = said(line, "message")?;
        if said(line, "to")? != to || !ENDS.contains(&became.as_str()) {
            return None;
        }
        Some(json!({
            "time": said(line, "timestamp"),
            "became": became,
            "host": said(line, "host"),
            "reply": said(line, "reply").or_else(|| said(line, "reason")),
        }))
    };
    lines.iter().filter_map(attempt).collect()
}

/// What an attempt for a recipient who is still queued can have come to.
const ENDS: [&str; 3] = ["deferred", "delayed", "unreported"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_found_in_the_story_of_their_message() {
        let line = |event: &str, to: &str| {
            let line = json!({ "message": event, "timestamp": "t", "to": to, "host": "mx",
                               "reply": "450 4.2.1 busy" });
            line.as_object().unwrap().clone()
        };
        let lines = [
            line("queued", "<a@b>"),
            line("deferred", "<a@b>"),
            line("deferred", "<c@b>"),
            line("delayed", "<a@b>"),
        ];
        let found = of_recipient(&lines, "a@b");
        let became: Vec<_> = found
            .iter()
            .map(|one| text(one, "became").unwrap())
            .collect();
        assert_eq!(became, ["deferred", "delayed"]);
        assert_eq!(found[0]["reply"], "450 4.2.1 busy");
    }
}
