//! `buzon store`: the data directory while no server runs.

use super::{
    Failure,
    args::{Common, Store},
    say,
};
use crate::app;

/// Runs one of them.
pub(super) fn run(common: &Common, command: &Store) -> Result<(), Failure> {
    let config = app::config_of(&common.config, &common.set)?;
    let report = match command {
        Store::Verify => app::offline::verify(&config)?,
        Store::Rebuild => app::offline::rebuild(&config)?,
    };
    say(&report.text)?;
    match (report.damaged, command) {
        (true, _) => Err("some stored items are damaged, see above".into()),
        (false, Store::Verify) => Ok(say("no damage found")?),
        (false, Store::Rebuild) => Ok(()),
    }
}
