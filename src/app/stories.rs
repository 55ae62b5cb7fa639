//! Where the stories of messages are kept, and what they tell.

use std::time::Duration;

pub use crate::observe::story::{Found, Story};
use crate::{
    base::clock::{Clock, Timestamp},
    config::Config,
    observe::story::{self, Kept},
};

/// Where and how many, unless none are kept.
pub(super) fn kept(config: &Config) -> Option<Kept> {
    let trace = &config.trace;
    (trace.age.0 > Duration::ZERO).then(|| Kept {
        dir: config.server.data.join(FOLDER),
        age: trace.age.0,
        bytes: trace.size.0,
        clock: Clock::system(),
    })
}

/// The youngest stories, `most` of them, with a line that names `key`.
///
/// # Errors
/// When the files cannot be read, with the folder.
pub fn about(config: &Config, key: &str, most: usize) -> Result<Found, String> {
    let dir = config.server.data.join(FOLDER);
    story::find(&dir, key, most).map_err(|error| format!("{}: {error}", dir.display()))
}

/// The story of one message that came at that time, in seconds since 1970; none when none are kept.
///
/// # Errors
/// When the files cannot be read, with the folder.
pub fn of(config: &Config, id: &str, received: i64) -> Result<Option<Lines>, String> {
    let Some(Kept { dir, .. }) = kept(config) else {
        return Ok(None);
    };
    // Its first lines were written while it came.
    let since = Timestamp::from_secs(received.saturating_sub(ARRIVAL_SECS));
    let story = story::of(&dir, id, since);
    story
        .map(Some)
        .map_err(|error| format!("{}: {error}", dir.display()))
}

/// The lines of a story.
type Lines = Vec<serde_json::Map<String, serde_json::Value>>;

/// Longer than a message is on its way in.
const ARRIVAL_SECS: i64 = 4 * 3600;
/// In the data directory.
const FOLDER: &str = "trace";
