//! `buzon domain`, `buzon account`, `buzon alias`: requests and how their answers are shown.

use std::io::{self, BufRead, IsTerminal, Write};

use serde_json::Value;

use super::{
    Failure,
    args::{Account, Alias, Common, Domain},
    complain,
    password::new_password,
    say,
};
use crate::{
    admin::{Answer, Password, Request},
    app,
    base::secret::Secret,
    config::units::Size,
};

pub(super) fn domain(common: &Common, command: Domain) -> Result<(), Failure> {
    let request = match command {
        Domain::Add { name } => Request::DomainAdd { name },
        Domain::Remove { name } => Request::DomainRemove { name },
        Domain::List => Request::DomainList,
    };
    let answer = ask(common, request)?;
    show(common, &answer, &["domain", "addresses"])
}

pub(super) fn account(common: &Common, command: Account) -> Result<(), Failure> {
    let request = match command {
        Account::Add { address } => Request::AccountAdd {
            address,
            password: password()?,
        },
        Account::Remove { address, yes } => {
            confirm(&address, yes)?;
            Request::AccountRemove { address }
        }
        Account::List => Request::AccountList,
        Account::Password { address } => Request::AccountPassword {
            address,
            password: password()?,
        },
        Account::Quota { address, size } => {
            let bytes = size.parse::<Size>()?.0;
            Request::AccountQuota { address, bytes }
        }
    };
    let answer = ask(common, request)?;
    show(
        common,
        &answer,
        &["account", "messages", "used_bytes", "quota_bytes"],
    )
}

pub(super) fn alias(common: &Common, command: Alias) -> Result<(), Failure> {
    let request = match command {
        Alias::Add { address, targets } => Request::AliasAdd { address, targets },
        Alias::Remove { address } => Request::AliasRemove { address },
        Alias::List => Request::AliasList,
    };
    let answer = ask(common, request)?;
    show(common, &answer, &["alias", "targets"])
}

/// Asks the running server, or opens the store here when none runs.
pub(super) fn ask(common: &Common, request: Request) -> Result<Value, Failure> {
    let config = app::config_of(&common.config, &common.set)?;
    if let Some(warning) = app::owner::warning_before(&config.server.data) {
        complain(warning);
    }
    match app::offline::ask(&config, request)? {
        Answer::Done(value) => Ok(value),
        Answer::Refused(why) => Err(why.into()),
    }
}

/// Prints an answer: JSON, or a line per item with these fields.
pub(super) fn show(common: &Common, answer: &Value, fields: &[&str]) -> Result<(), Failure> {
    if common.json {
        return Ok(say(format_args!("{answer:#}"))?);
    }
    let line = |item: &Value| {
        let shown = fields.iter().filter_map(|field| item.get(field)).map(plain);
        shown.collect::<Vec<_>>().join("  ")
    };
    match answer {
        Value::Array(items) => items.iter().try_for_each(|item| say(line(item)))?,
        item => say(line(item))?,
    }
    Ok(())
}

/// A value without JSON's marks.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn password() -> Result<Password, Failure> {
    Ok(Password(Secret::new(new_password()?)))
}

fn confirm(address: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err("this removes all mail of the account: add --yes".into());
    }
    let _ = writeln!(
        io::stderr(),
        "This removes {address} and all its mail for ever. Type the address to go on:"
    );
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    if line.trim() == address {
        Ok(())
    } else {
        Err("nothing was removed".into())
    }
}
