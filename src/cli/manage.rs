//! `buzon domain`, `buzon account`, `buzon alias`, `buzon group`, `buzon mailbox`: requests and how
//! their answers are shown.

use std::io::{self, BufRead, IsTerminal, Write};

use serde_json::Value;

use super::{
    Failure,
    args::{Account, Acl, Alias, Common, Domain, Group, Mailbox, Running, SendAs},
    complain,
    password::new_password,
    personal, say,
    table::{self, Column, kind, plain, size, state},
};
use crate::{
    admin::{Addressing, Answer, Listing, Password, Request},
    app,
    base::secret::Secret,
    config::units::Size,
};

pub(super) fn domain(common: &Common, command: Domain) -> Result<(), Failure> {
    let request = match command {
        Domain::Add { name } => Request::DomainAdd { name },
        Domain::Remove { name } => Request::DomainRemove { name },
        Domain::CatchAll { name, target, none } => {
            if target.is_none() && !none {
                return Err("an address that gets the mail is needed, or --none".into());
            }
            Request::DomainCatchAll { name, target }
        }
        Domain::Alias { name, other, none } => {
            if other.is_none() && !none {
                return Err("the domain that it stands for is needed, or --none".into());
            }
            let request = Addressing::DomainAlias { name, other };
            Request::Addressing { request }
        }
        Domain::List => Request::DomainList,
    };
    show(common, &ask(common, request)?, DOMAINS)
}

pub(super) fn account(common: &Common, command: Account) -> Result<(), Failure> {
    let request = match command {
        Account::Add {
            address,
            shared: true,
        } => Request::AccountAddShared { address },
        Account::Add { address, .. } => Request::AccountAdd {
            address,
            password: password()?,
        },
        Account::Remove { address, yes } => {
            if !yes {
                confirm(common, &address)?;
            }
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
        Account::Disable { address } => Request::AccountDisable {
            address,
            disabled: true,
        },
        Account::Enable { address } => Request::AccountDisable {
            address,
            disabled: false,
        },
        Account::SendAs(command) => return send_as(common, command),
        Account::Forward(command) => return personal::forward(common, command),
        Account::OutOfOffice(command) => return personal::out_of_office(common, command),
    };
    show(common, &ask(common, request)?, ACCOUNTS)
}

pub(super) fn alias(common: &Common, command: Alias) -> Result<(), Failure> {
    let request = match command {
        Alias::Add { address, targets } => Request::AliasAdd { address, targets },
        Alias::Set { address, targets } => Request::AliasSet { address, targets },
        Alias::Remove { address } => Request::AliasRemove { address },
        Alias::List => Request::AliasList,
    };
    show(common, &ask(common, request)?, ALIASES)
}

fn send_as(common: &Common, command: SendAs) -> Result<(), Failure> {
    let request = match command {
        SendAs::List { account: address } => Addressing::SendAsList { address },
        SendAs::Add { account, sender } => granting(account, sender, true),
        SendAs::Remove { account, sender } => granting(account, sender, false),
    };
    show(
        common,
        &ask(common, Request::Addressing { request })?,
        SEND_AS,
    )
}

fn granting(address: String, grant: String, granted: bool) -> Addressing {
    Addressing::SendAs {
        address,
        grant,
        granted,
    }
}

pub(super) fn group(common: &Common, command: Group) -> Result<(), Failure> {
    let request = match command {
        Group::Add {
            address,
            members,
            running,
        } => Addressing::GroupAdd {
            address,
            group: listing(members, running),
        },
        Group::Set {
            address,
            members,
            join,
            leave,
            running,
        } => Addressing::GroupSet {
            address,
            group: listing(members, running),
            joining: join,
            leaving: leave,
        },
        Group::Remove { address } => Addressing::GroupRemove { address },
        Group::List => Addressing::GroupList,
        Group::Show { address } => Addressing::GroupShow { address },
    };
    show(
        common,
        &ask(common, Request::Addressing { request })?,
        GROUPS,
    )
}

fn listing(members: Vec<String>, running: Running) -> Listing {
    let given = |list: Vec<String>| (!list.is_empty()).then_some(list);
    Listing {
        members,
        owners: given(running.owners),
        senders: given(running.senders),
    }
}

pub(super) fn mailbox(common: &Common, command: Mailbox) -> Result<(), Failure> {
    let Mailbox::Acl(command) = command;
    let request = match command {
        Acl::List { account, mailbox } => Request::AclList { account, mailbox },
        Acl::Set {
            account,
            mailbox,
            identifier,
            rights,
        } => Request::AclSet {
            account,
            mailbox,
            identifier,
            rights,
        },
        Acl::Delete {
            account,
            mailbox,
            identifier,
        } => Request::AclDelete {
            account,
            mailbox,
            identifier,
        },
    };
    show(common, &ask(common, request)?, ACL)
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

/// Prints an answer: JSON, or a list with a heading, or a line.
pub(super) fn show(common: &Common, answer: &Value, columns: &[Column]) -> Result<(), Failure> {
    show_lines(common, answer, |answer| match answer {
        Value::Array(items) => table::lines(items, columns),
        item => vec![table::line(item, columns)],
    })
}

/// Prints an answer: JSON, or these lines. What was done but should be thought about goes to
/// standard error.
pub(super) fn show_lines(
    common: &Common,
    answer: &Value,
    lines: impl FnOnce(&Value) -> Vec<String>,
) -> Result<(), Failure> {
    if common.json {
        return Ok(say(format_args!("{answer:#}"))?);
    }
    lines(answer).iter().try_for_each(say)?;
    let warnings = answer.get("warnings").and_then(Value::as_array);
    for warning in warnings.into_iter().flatten() {
        complain(format_args!("careful: {}", plain(warning)));
    }
    Ok(())
}

fn password() -> Result<Password, Failure> {
    Ok(Password(Secret::new(new_password()?)))
}

fn confirm(common: &Common, address: &str) -> Result<(), Failure> {
    let address = address.to_owned();
    let found = ask(
        common,
        Request::AccountShow {
            address: address.clone(),
        },
    )?;
    let messages = found.get("messages").map_or_else(String::new, plain);
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let text = format!("this removes {address} and its {messages} messages: add --yes");
        return Err(text.into());
    }
    let _ = writeln!(
        io::stderr(),
        "This removes {address} and its {messages} messages for ever. Type the address to go on:"
    );
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    if line.trim() == address {
        Ok(())
    } else {
        Err("nothing was removed".into())
    }
}

pub(super) const fn column(
    heading: &'static str,
    field: &'static str,
    shown: fn(&Value) -> String,
) -> Column {
    Column {
        heading,
        field,
        shown,
    }
}

const DOMAINS: &[Column] = &[
    column("DOMAIN", "domain", plain),
    column("ADDRESSES", "addresses", plain),
    column("CATCH-ALL", "catch_all", plain),
    column("STANDS FOR", "stands_for", plain),
];
const GROUPS: &[Column] = &[
    column("GROUP", "group", plain),
    column("OWNERS", "owners", plain),
    column("SENDERS", "senders", plain),
    column("MEMBERS", "members", plain),
];
const SEND_AS: &[Column] = &[
    column("ACCOUNT", "account", plain),
    column("SEND AS", "send_as", plain),
];
const ACCOUNTS: &[Column] = &[
    column("ACCOUNT", "account", plain),
    column("MESSAGES", "messages", plain),
    column("USED", "used_bytes", size),
    column("QUOTA", "quota_bytes", size),
    column("STATE", "disabled", state),
    column("KIND", "shared", kind),
];
const ACL: &[Column] = &[
    column("IDENTIFIER", "identifier", plain),
    column("RIGHTS", "rights", plain),
];
const ALIASES: &[Column] = &[
    column("ALIAS", "alias", plain),
    column("TARGETS", "targets", plain),
];
