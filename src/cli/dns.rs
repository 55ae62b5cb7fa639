//! `buzon dns`: what to publish for a domain, and whether it is.

use serde_json::{Value, json};

use super::{
    Failure,
    args::{Common, Dns},
    manage::ask,
    say,
};
use crate::{
    admin::Request,
    app::{
        self,
        published::{self, State},
        records::{self, Record},
    },
};

/// Runs one of its commands.
pub(super) fn run(common: &Common, command: &Dns) -> Result<(), Failure> {
    let Dns::Records { domain, check } = command;
    let config = app::config_of(&common.config, &common.set)?;
    let name = records::zone_name(domain)
        .ok_or_else(|| format!("\"{domain}\" is not a domain name such as example.org"))?;
    let request = Request::DkimList {
        domain: Some(name.clone()),
    };
    let answer = ask(common, request)?;
    let key = |key: &Value| {
        let text = |field| key.get(field)?.as_str().map(str::to_owned);
        Some((text("name")?, text("record")?))
    };
    let keys: Vec<_> = answer
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(key)
        .collect();
    let tlsa = published::own_tlsa(&config);
    let records = records::of(&config, &name, &keys, tlsa.as_deref());
    let states = match check {
        true => Some(published::states(&config, &records)?),
        false => None,
    };
    if common.json {
        return json(&records, states.as_deref());
    }
    let mut why = "";
    for (at, record) in records.iter().enumerate() {
        if record.why != why {
            say(format_args!("; {}", record.why))?;
            why = record.why;
        }
        say(record)?;
        for line in record.file.iter().flat_map(|file| file.lines()) {
            say(format_args!(";   {line}"))?;
        }
        if let Some(state) = states.as_ref().and_then(|states| states.get(at)) {
            say(format_args!(";   {}", shown(state)))?;
        }
    }
    let states = states.iter().flatten().zip(&records);
    let mut needed = states.filter(|(_, record)| !record.needs_web_server && !record.needs_dnssec);
    match needed.any(|(state, _)| matches!(state, State::Missing | State::Unknown(_))) {
        true => Err("not all of it is published, as far as name servers say".into()),
        false => Ok(()),
    }
}

fn json(records: &[Record], states: Option<&[State]>) -> Result<(), Failure> {
    let mut shown = Vec::new();
    for (at, record) in records.iter().enumerate() {
        let mut value = serde_json::to_value(record)?;
        if let (Some(fields), Some(state)) = (value.as_object_mut(), states.and_then(|s| s.get(at)))
        {
            fields.insert("check".to_owned(), serde_json::to_value(state)?);
        }
        shown.push(value);
    }
    Ok(say(format_args!("{:#}", json!(shown)))?)
}

fn shown(state: &State) -> String {
    match state {
        State::Published => "is published".to_owned(),
        State::Differs(found) => format!("differs: {}", found.join(" | ")),
        State::Missing => "IS MISSING".to_owned(),
        State::Unknown(why) => format!("cannot be asked for now: {why}"),
    }
}
