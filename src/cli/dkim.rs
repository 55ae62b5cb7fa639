//! `buzon dkim`: keys that sign, and what to publish of them.

use serde_json::Value;

use super::{
    Failure,
    args::{Common, Dkim},
    manage::{ask, column, show},
    say,
    table::{Column, plain},
};
use crate::{admin::Request, app::records::Record, config::units::Span};

/// Runs one of its commands.
pub(super) fn run(common: &Common, command: Dkim) -> Result<(), Failure> {
    match command {
        Dkim::Generate { domain, kind } => made(common, domain, kind, 0),
        Dkim::Rotate {
            domain,
            kind,
            after,
        } => made(common, domain, kind, after.parse::<Span>()?.0.as_secs()),
        Dkim::List { domain } => show(common, &ask(common, Request::DkimList { domain })?, KEYS),
        Dkim::Drop { domain, selector } => {
            let request = Request::DkimDrop { domain, selector };
            show(common, &ask(common, request)?, KEYS)
        }
    }
}

/// Makes keys, and shows their records as a zone file wants them.
fn made(
    common: &Common,
    domain: String,
    kind: Option<String>,
    delay_secs: u64,
) -> Result<(), Failure> {
    let answer = ask(
        common,
        Request::DkimGenerate {
            domain,
            kinds: kind.into_iter().collect(),
            delay_secs,
        },
    )?;
    show(common, &answer, KEYS)?;
    if common.json {
        return Ok(());
    }
    say("\nPublish:\n")?;
    for key in answer.as_array().into_iter().flatten() {
        let text = |field| key.get(field).and_then(Value::as_str).unwrap_or_default();
        say(Record::text(text("name"), text("record")))?;
    }
    Ok(())
}

const KEYS: &[Column] = &[
    column("DOMAIN", "domain", plain),
    column("SELECTOR", "selector", plain),
    column("KIND", "kind", plain),
    column("MADE", "created", plain),
    column("STATE", "state", plain),
];
