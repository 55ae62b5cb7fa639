//! `buzon serve`: the server, or the demo.

use super::{
    Failure,
    args::{Common, Serve},
};
use crate::{
    app::{self, demo::Demo},
    base::random::Random,
};

/// Runs until a signal ends it.
pub(super) fn run(common: &Common, serve: &Serve) -> Result<(), Failure> {
    if !serve.demo {
        let config = app::config_of(&common.config, &common.set)?;
        let _log = app::log_as_configured(&config)?;
        return Ok(app::run_to_the_end(config, None)?);
    }
    let kept = serve.data.is_some();
    let demo = Demo::prepare(serve.data.clone(), serve.base_port, &Random::system())?;
    let config = demo.config(&common.set)?;
    let _log = app::log_as_configured(&config)?;
    let ended = app::run_to_the_end(config, Some(&demo));
    if !kept {
        // Thrown away, as was said at the start.
        let _ = std::fs::remove_dir_all(&demo.dir);
    }
    Ok(ended?)
}
