//! `buzon trace`: the stories of messages, told from their files; no server need run.

use serde_json::{Map, Value, json};

use super::{
    Failure,
    args::{Common, Trace},
    say,
    table::plain,
};
use crate::app::{self, stories::Story};

/// Tells the stories with a line that names what is asked for.
pub(super) fn run(common: &Common, trace: &Trace) -> Result<(), Failure> {
    let config = app::config_of(&common.config, &common.set)?;
    let found = app::stories::about(&config, &trace.key, trace.most.max(1))?;
    if common.json {
        let stories = found.stories.iter();
        let stories: Vec<_> = stories
            .map(|story| json!({ "id": story.id, "events": story.lines }))
            .collect();
        return Ok(say(format_args!("{:#}", Value::from(stories)))?);
    }
    if found.stories.is_empty() {
        let days = config.trace.age.0.as_secs() / 86_400;
        return Err(match days {
            0 => "no stories are kept: trace.age is shorter than a day".into(),
            _ => format!(
                "nothing names {}; stories are kept for {days} days",
                trace.key
            )
            .into(),
        });
    }
    if found.more > 0 {
        say(format_args!(
            "{} older ones are not shown, see --most\n",
            found.more
        ))?;
    }
    for story in &found.stories {
        for line in told(story) {
            say(line)?;
        }
    }
    Ok(())
}

/// A story in lines: whose it is, then each event with the time and what is said of it.
fn told(story: &Story) -> Vec<String> {
    let day = |line: &Map<String, Value>| text(line, "timestamp").chars().take(10).collect();
    let first: String = story.lines.first().map(day).unwrap_or_default();
    let name = story.id.as_deref().unwrap_or("of no message");
    let mut lines = vec![format!("{name}  {first}")];
    let mut shown_day = first;
    for line in &story.lines {
        let today: String = day(line);
        if today != shown_day {
            lines.push(format!("  {today}"));
            shown_day = today;
        }
        let time = text(line, "timestamp");
        let time = time.get(11..23).or_else(|| time.get(11..)).unwrap_or(time);
        let said = line
            .iter()
            .filter(|(name, _)| !OF_THE_LINE.contains(&name.as_str()));
        let said = said.map(|(name, value)| format!("{name}={}", plain(value)));
        let said: Vec<_> = said.collect();
        let event = text(line, "message");
        let event = format!("  {time}  {event:<10}  {}", said.join("  "));
        lines.push(event.trim_end().to_owned());
    }
    lines
}

fn text<'a>(line: &'a Map<String, Value>, name: &str) -> &'a str {
    line.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// What is said at the front of a line, or of all of them.
const OF_THE_LINE: [&str; 5] = ["timestamp", "level", "target", "message", "id"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_told_in_the_order_of_its_lines() {
        let line = |at: &str, event: &str| {
            json!({ "timestamp": at, "level": "INFO", "target": "mail", "id": "A",
                    "message": event, "to": "<a@b>", "n": 3 })
        };
        let lines = [
            line("2026-11-21T23:59:59.123456Z", "accepted"),
            line("2026-11-22T00:00:01.5Z", "delivered"),
        ];
        let lines = lines.iter().map(|line| line.as_object().unwrap().clone());
        let story = Story {
            id: Some("A".to_owned()),
            lines: lines.collect(),
        };
        let expected = [
            "A  2026-11-21",
            "  23:59:59.123  accepted    to=<a@b>  n=3",
            "  2026-11-22",
            "  00:00:01.5Z  delivered   to=<a@b>  n=3",
        ];
        assert_eq!(told(&story), expected);
    }
}
