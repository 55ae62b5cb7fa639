//! From the configuration to the small `Options` of each service.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    time::Duration,
};

use super::{
    named::{Files, demanded, named},
    own_policy, pacing, reach,
    socket_file::Access,
};
use crate::{
    accounts, admin,
    base::limits,
    config::{
        Config, Misfit, Place,
        raw::{Expn, VerifyPolicy},
    },
    dns, imap,
    mail::{
        address::{Address, Domain},
        urgency::Priority,
    },
    mailbox,
    net::{
        self,
        listen::{Door, Security},
    },
    observe, pop3, queue, relay, route,
    smtp::{
        self,
        server::{Role, limits::DELIVERY_TRANSACTIONS_MAX},
    },
    store::embedded,
    verify,
};

/// Whether every service can work with its values. Looks at nothing outside of the configuration:
/// `serve`, `check` and every other command ask this first.
pub(super) fn fit(config: &Config) -> Result<(), Misfit> {
    accounts(config)?;
    verify(config)?;
    route(config)?;
    named(config, Files::Named)?;
    pacing::limits(config)?;
    demanded(config)?;
    tls_reports(config)?;
    lmtp_access(config)?;
    own_policy::text(config)?;
    let filter = observe::check_filter(&config.log.filter);
    filter.map_err(|error| Misfit::new("log.filter", error.to_string()))
}

/// LIM-01: connections in all, from the setting or from the process's limit of open files.
pub fn connections_max(config: &Config) -> usize {
    config.limits.connections.unwrap_or_else(|| {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let files = files
            .and_then(|files| usize::try_from(files).ok())
            .unwrap_or(65_536);
        limits::connections_for(files)
    })
}

pub(super) fn gate(config: &Config) -> net::gate::Options {
    let limits = &config.limits;
    net::gate::Options {
        connections_max: connections_max(config),
        connections_per_address: limits.connections_per_address,
        mailbox_connections_per_address: limits.mailbox_connections_per_address,
        sessions_per_account_and_address: limits.sessions_per_account_and_address,
        sessions_per_account: limits.sessions_per_account,
        connects_per_minute: limits.connects_per_minute,
    }
}

/// The listening socket of the port `name` at `place`.
pub fn door(config: &Config, name: &str, place: &Place, security: Security) -> Door {
    let proxy = &config.proxy;
    let Place::Tcp(address) = place else {
        // Whoever may open it may connect.
        return Door::new(security);
    };
    let proxied = proxy.listeners.is_empty() || proxy.listeners.contains(address);
    Door {
        proxies: proxy.from.iter().filter(|_| proxied).copied().collect(),
        clients: (name == "lmtp").then(|| config.lmtp.from.iter().copied().collect()),
        ..Door::new(security)
    }
}

/// Who may connect to a socket of LMTP.
pub(super) fn lmtp_access(config: &Config) -> Result<Access, Misfit> {
    let given = config.lmtp.mode.as_str();
    let digits = (3..=4).contains(&given.len()) && given.bytes().all(|b| b.is_ascii_digit());
    let mode = u32::from_str_radix(given, 8)
        .ok()
        .filter(|mode| digits && *mode <= 0o777);
    let mode = mode.ok_or_else(|| {
        let text = format!("\"{given}\" is no mode, as \"0660\" and \"0600\" are");
        Misfit::new("lmtp.mode", text)
    })?;
    let group = match config.lmtp.group.as_str() {
        "" => None,
        name => Some(group_named(name).ok_or_else(|| {
            Misfit::new(
                "lmtp.group",
                format!("there is no group \"{name}\" in /etc/group"),
            )
        })?),
    };
    Ok(Access { mode, group })
}

/// Its number.
fn group_named(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    let mut found = groups.lines().filter_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    });
    found.next()
}

pub(super) fn throttle(config: &Config) -> net::throttle::Options {
    net::throttle::Options {
        failures_max: config.auth.failures,
        window: config.auth.failures_window.0,
        block: config.auth.failures_block.0,
        ..net::throttle::Options::default()
    }
}

pub(super) fn store(config: &Config) -> embedded::Options {
    embedded::Options {
        segment_bytes: config.store.segment.0,
        checkpoint_interval: config.store.checkpoint.0,
        low_water_bytes: config.store.low_water.0,
        ballast_bytes: config.store.ballast.0,
        ..embedded::Options::default()
    }
}

pub(super) fn mailboxes(config: &Config) -> mailbox::Options {
    mailbox::Options {
        body_memory_bytes: usize::try_from(config.limits.message_memory.0).unwrap_or(usize::MAX),
        ..mailbox::Options::default()
    }
}

pub(super) fn accounts(config: &Config) -> Result<accounts::Options, Misfit> {
    let postmaster =
        match config.server.postmaster.as_str() {
            "" => None,
            text => Some(Address::parse(text).map_err(|error| {
                Misfit::new("server.postmaster", format!("\"{text}\": {error}"))
            })?),
        };
    Ok(accounts::Options {
        cost: accounts::Cost {
            memory_kib: config.auth.argon2_memory_kib,
            passes: config.auth.argon2_passes,
            ..accounts::Cost::default()
        },
        tag_separator: config.accounts.tag_separator.chars().next(),
        quota_bytes_default: config.accounts.quota.0,
        postmaster,
        // Where a name is needed, one that is none is an error; here is nothing to lose.
        host: Domain::parse(&config.server.hostname).ok(),
        literals: reached(config),
        disabled_take_mail: config.accounts.disabled_take_mail,
        ..accounts::Options::default()
    })
}

pub(super) fn queue(config: &Config) -> Result<queue::Options, Misfit> {
    Ok(queue::Options {
        schedules: pacing::schedules(config)?,
        hold_max: config.queue.hold_max.0,
        ..queue::Options::default()
    })
}

pub(super) fn route(config: &Config) -> Result<route::Options, Misfit> {
    let key = "relay.srs_domain";
    let domain = match config.relay.srs_domain.as_str() {
        "" => None,
        name => Some(Domain::parse(name).map_err(|error| Misfit::new(key, error.to_string()))?),
    };
    if domain
        .as_ref()
        .is_some_and(|domain| domain.literal().is_some())
    {
        return Err(Misfit::new(key, "a name is needed, not an IP address"));
    }
    let backup = config.relay.backup_mx.iter().map(|name| {
        let wrong = |why: &str| Misfit::new("relay.backup_mx", format!("\"{name}\": {why}"));
        let domain = Domain::parse(name).map_err(|error| wrong(&error.to_string()))?;
        match domain.literal() {
            None => Ok(domain),
            Some(_) => Err(wrong("a name is needed, not an IP address")),
        }
    });
    let backup = backup.collect::<Result<Vec<_>, Misfit>>()?;
    Ok(route::Options {
        recipients_per_hour: config.smtp.recipients_per_hour,
        name: config.server.hostname.clone(),
        rewriting: route::Rewriting {
            enabled: config.relay.srs,
            domain,
        },
        backup,
        tag_mailboxes: config.accounts.tag_mailboxes,
    })
}

pub(super) fn pop3(config: &Config) -> pop3::server::Options {
    pop3::server::Options {
        idle: config.pop3.idle.0,
        insecure_without_tls: config.auth.insecure_without_tls,
        ..pop3::server::Options::default()
    }
}

pub(super) fn dns(config: &Config) -> dns::Options {
    dns::Options {
        servers: config.dns.servers.clone(),
        trust_ad: config.dns.trust_ad,
    }
}

/// The addresses at which other servers reach this one.
fn reached(config: &Config) -> Vec<IpAddr> {
    reach::addresses(&config.listen.smtp, config.relay.port)
}

/// The places at which this server takes mail.
fn listeners(config: &Config) -> Vec<SocketAddr> {
    let listen = &config.listen;
    let all = [&listen.smtp, &listen.submission, &listen.submissions];
    let reached = |listener: &SocketAddr| {
        let port = listener.port();
        let addresses = reach::addresses(std::slice::from_ref(listener), port);
        addresses.into_iter().map(move |ip| (ip, port).into())
    };
    all.into_iter().flatten().flat_map(reached).collect()
}

/// The ways that queued mail can go on an operator's word.
pub(super) fn ways(config: &Config) -> admin::Ways {
    admin::Ways {
        smarthost: config.relay.smarthost.is_some(),
        names: vec![config.server.hostname.to_ascii_lowercase()],
        listeners: listeners(config),
        port: config.relay.port,
    }
}

/// The relay's settings; reads the files of passwords.
pub(super) fn relay(config: &Config) -> Result<relay::Options, Misfit> {
    let named = named(config, Files::Read)?;
    Ok(relay::Options {
        name: config.server.hostname.clone(),
        own: relay::hosts::Own {
            names: vec![config.server.hostname.to_ascii_lowercase()],
            addresses: reached(config),
            listeners: listeners(config),
            insecure_allow_private_targets: config.relay.insecure_private_targets,
        },
        port: config.relay.port,
        tls: demanded(config)?,
        dane: config.relay.dane,
        sources: named.sources,
        routes: named.routes,
        smarthost: named.smarthost,
        attempts_max: config.relay.attempts,
        limits: pacing::limits(config)?,
        // Attempts that are ended must be put back before the server gives up waiting: what is
        // left under its lease counts as a crash, and three of them hold the mail.
        stop_timeout: config
            .server
            .shutdown
            .0
            .saturating_sub(relay::ABORT_TIME + STOP_MARGIN),
        ..relay::Options::default()
    })
}

/// Whom to ask about reports to other domains, where those are sent.
pub(super) fn tls_reports(config: &Config) -> Result<Option<Address>, Misfit> {
    if !config.relay.tls_reports {
        return Ok(None);
    }
    let key = "relay.tls_report_contact";
    let contact = Address::parse(&config.relay.tls_report_contact);
    let contact = contact.map_err(|error| {
        let text = format!("reports (relay.tls_reports) are from an address: {error}");
        Misfit::new(key, text)
    })?;
    match contact.is_ascii() {
        true => Ok(Some(contact)),
        false => Err(Misfit::new(key, "reports are from an address in ASCII")),
    }
}

/// One of the ports that take mail.
pub(super) fn smtp(config: &Config, port: &'static str) -> Result<smtp::server::Options, Misfit> {
    let name = &config.server.hostname;
    let host = Domain::parse(name)
        .map_err(|error| Misfit::new("server.hostname", format!("\"{name}\": {error}")))?;
    let role = match port {
        "smtp" => Role::Relay,
        "lmtp" => Role::Delivery,
        _ => Role::Submission,
    };
    let transactions_max = match role {
        Role::Relay | Role::Submission => config.smtp.transactions,
        Role::Delivery => config.smtp.transactions.max(DELIVERY_TRANSACTIONS_MAX),
    };
    Ok(smtp::server::Options {
        message_bytes_max: config.limits.message.0,
        recipients_max: config.smtp.recipients,
        transactions_max,
        idle: config.smtp.idle.0,
        hold_max: config.queue.hold_max.0,
        priority_max: priority(config.smtp.priority_max)?,
        insecure_auth_without_tls: config.auth.insecure_without_tls,
        insecure_any_sender: config.smtp.insecure_any_sender,
        introducers: config.smtp.xclient_from.clone(),
        expn: match config.smtp.expn {
            Expn::Off => smtp::server::Expn::Off,
            Expn::Users => smtp::server::Expn::Users,
            Expn::Anyone => smtp::server::Expn::Anyone,
        },
        ..smtp::server::Options::new(role, port, host)
    })
}

/// RFC 6710 3.
fn priority(given: i8) -> Result<Priority, Misfit> {
    Priority::new(given).ok_or_else(|| {
        let text = format!("{given} is no priority: -9 to 9 (RFC 6710)");
        Misfit::new("smtp.priority_max", text)
    })
}

/// How mail is verified; nothing when it is not.
pub(super) fn verify(config: &Config) -> Result<Option<verify::Options>, Misfit> {
    let given = &config.verify;
    let sealers = given.trusted_sealers.iter().map(|name| {
        let wrong =
            |why: String| Misfit::new("verify.trusted_sealers", format!("\"{name}\": {why}"));
        let domain = Domain::parse(name).map_err(|error| wrong(error.to_string()))?;
        Ok(domain.as_str().to_owned())
    });
    let trusted_sealers = sealers.collect::<Result<Vec<_>, Misfit>>()?;
    let host = smtp(config, "smtp")?.host;
    Ok(
        (given.policy != VerifyPolicy::Off).then_some(verify::Options {
            host,
            enforced: given.policy == VerifyPolicy::Enforce,
            trusted_sealers,
            time_max: given.time.0,
        }),
    )
}

/// One of the two ports that mail is read through.
pub(super) fn imap(config: &Config, port: &'static str) -> imap::server::Options {
    imap::server::Options {
        name: port,
        host_name: config.server.hostname.clone(),
        starttls: port == "imap",
        insecure_auth_without_tls: config.auth.insecure_without_tls,
        message_bytes_max: config.limits.message.0,
        message_limit: NonZeroU32::new(config.imap.message_limit),
        idle: config.imap.idle.0,
        comment: config.imap.comment.clone(),
        admin: config.imap.admin.clone(),
    }
}

/// Between the relay's last moment and that of the whole server.
const STOP_MARGIN: Duration = Duration::from_secs(1);
