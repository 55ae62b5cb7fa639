//! Where the stories of messages are kept, and what they tell.

use std::time::Duration;

pub use crate::observe::story::{Found, Story};
use crate::{
    base::clock::Clock,
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

/// In the data directory.
const FOLDER: &str = "trace";
