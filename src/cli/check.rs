//! `buzon check` and `buzon config`.

use super::{
    Failure,
    args::{Check, Common},
    say,
};
use crate::app::{
    self,
    check::{Verdict, check},
};

pub(super) fn run(common: &Common, options: &Check) -> Result<(), Failure> {
    let config = app::config_of(&common.config, &common.set)?;
    let path = common.config.display();
    say(format_args!("ok        configuration {path}"))?;
    let mut wrong = 0;
    let offline = options.offline;
    check(&config, offline, &mut |finding| {
        let (mark, text) = match finding.verdict {
            Verdict::Fine(text) => ("ok      ", text),
            Verdict::Doubtful(text) => ("careful ", text),
            Verdict::Wrong(text) => {
                wrong += 1;
                ("WRONG   ", text)
            }
        };
        say(format_args!("{mark}  {}: {text}", finding.what))
    })?;
    match wrong {
        0 => Ok(()),
        1 => Err("one thing needs mending, see above".into()),
        many => Err(format!("{many} things need mending, see above").into()),
    }
}

/// Prints what is in force: a file that says the same, or the same as JSON.
pub(super) fn print_config(common: &Common) -> Result<(), Failure> {
    let config = app::config_of(&common.config, &common.set)?;
    if common.json {
        let value = serde_json::to_value(&config)?;
        return Ok(say(format_args!("{value:#}"))?);
    }
    if config.limits.connections.is_none() {
        let max = app::connections_max(&config);
        say(format_args!(
            "# limits.connections is not set: {max} here, from the limit of open files.\n"
        ))?;
    }
    Ok(say(config.to_toml()?.trim_end())?)
}
