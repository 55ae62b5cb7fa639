//! `buzon search-index`: the index of texts that SEARCH asks.

use serde_json::{Value, json};

use super::{
    Failure,
    args::{Common, SearchIndex},
    manage::ask,
    say,
    table::{plain, size},
};
use crate::admin::Request;

pub(super) fn run(common: &Common, command: &SearchIndex) -> Result<(), Failure> {
    let request = match command {
        SearchIndex::Status => Request::SearchIndexStatus,
        SearchIndex::Rebuild => Request::SearchIndexRebuild,
    };
    let answer = ask(common, request)?;
    if common.json {
        return Ok(say(format_args!("{answer:#}"))?);
    }
    match command {
        SearchIndex::Status => Ok(say(told(&answer))?),
        SearchIndex::Rebuild => Ok(say("the search index is made again by the server")?),
    }
}

/// How far it is, in a line.
fn told(status: &Value) -> String {
    let field = |name: &str| status.get(name).unwrap_or(&Value::Null);
    let state = match field("state").as_str() {
        Some("off") => return "off, by search.index".to_owned(),
        Some("resting") => "no server runs".to_owned(),
        Some("working") => "taking up mail".to_owned(),
        // What comes is collected for some seconds.
        Some("waiting") if field("left") != &json!(0) => "about to take up mail".to_owned(),
        Some("waiting") => "up to date".to_owned(),
        _ => format!("paused: {}", plain(field("why"))),
    };
    format!(
        "{state}; {} emails of {} accounts, {} left, {} in {} files",
        plain(field("emails")),
        plain(field("accounts")),
        plain(field("left")),
        size(field("bytes")),
        plain(field("segments")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_in_a_line() {
        let mut status = json!({
            "state": "waiting", "accounts": 2, "emails": 30,
            "left": 1, "bytes": 2048, "segments": 1,
        });
        let rest = "30 emails of 2 accounts, 1 left, 2 KiB in 1 files";
        assert_eq!(told(&status), format!("about to take up mail; {rest}"));
        status["left"] = json!(0);
        let rest = rest.replace("1 left", "0 left");
        assert_eq!(told(&status), format!("up to date; {rest}"));
        status["state"] = json!("paused");
        status["why"] = json!("the disk is nearly full");
        assert_eq!(
            told(&status),
            format!("paused: the disk is nearly full; {rest}")
        );
        assert_eq!(told(&json!({ "state": "off" })), "off, by search.index");
    }
}
