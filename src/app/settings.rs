//! From the configuration to the small `Options` of each service.

use std::{collections::HashMap, time::Duration};

use super::{StartError, reach};
use crate::{
    accounts,
    base::{limits, secret::Secret},
    config::{
        Config,
        raw::{Smarthost, SmarthostTls},
    },
    dns, imap,
    mail::address::{Address, Domain},
    net, pop3, queue,
    queue::schedule::Schedule,
    relay,
    smtp::{
        self,
        client::{Login, conversation::Security},
        server::Role,
    },
    store::embedded,
};

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
        sessions_per_account_and_address: limits.sessions_per_account_and_address,
        sessions_per_account: limits.sessions_per_account,
        connects_per_minute: limits.connects_per_minute,
    }
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

pub(super) fn accounts(config: &Config) -> Result<accounts::Options, StartError> {
    let postmaster = match config.server.postmaster.as_str() {
        "" => None,
        text => Some(Address::parse(text).map_err(|error| {
            StartError::Value(format!("server.postmaster = \"{text}\": {error}"))
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
        ..accounts::Options::default()
    })
}

pub(super) fn queue(config: &Config) -> queue::Options {
    let first: Vec<Duration> = config.queue.retry.iter().map(|span| span.0).collect();
    let defaults = Schedule::default();
    queue::Options {
        schedule: Schedule {
            steady: first.last().copied().unwrap_or(defaults.steady),
            first,
            longest: config.queue.retry_max.0,
            give_up_after: config.queue.give_up.0,
            delay_notice_after: Some(config.queue.delay_notice.0),
            ..defaults
        },
        ..queue::Options::default()
    }
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
    }
}

/// The relay's settings; routes and the smarthost are checked here.
pub(super) fn relay(config: &Config) -> Result<relay::Options, StartError> {
    let mut routes = HashMap::new();
    for (domain, to) in &config.relay.routes {
        let wrong =
            |why: String| StartError::Value(format!("relay.routes.\"{domain}\" = \"{to}\": {why}"));
        let name = Domain::parse(domain).map_err(|error| wrong(error.to_string()))?;
        let needed = || wrong("host:port is needed, as in \"mail.example.org:25\"".to_owned());
        let (host, port) = to.rsplit_once(':').ok_or_else(needed)?;
        let port = port.parse().map_err(|_| needed())?;
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let security = Security::Opportunistic;
        routes.insert(
            name,
            relay::Route {
                host,
                port,
                security,
                login: None,
            },
        );
    }
    Ok(relay::Options {
        name: config.server.hostname.clone(),
        own: relay::hosts::Own {
            names: vec![config.server.hostname.to_ascii_lowercase()],
            addresses: reach::addresses(&config.listen.smtp, config.relay.port),
            insecure_allow_private_targets: config.relay.insecure_private_targets,
        },
        port: config.relay.port,
        routes,
        smarthost: config.relay.smarthost.as_ref().map(smarthost).transpose()?,
        attempts_max: config.relay.attempts,
        attempts_per_destination: config.relay.attempts_per_destination,
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

fn smarthost(given: &Smarthost) -> Result<relay::Route, StartError> {
    let login = match (&given.user, &given.password_file) {
        (None, None) => None,
        (Some(user), Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                let path = path.display();
                StartError::Value(format!(
                    "relay.smarthost.password_file = \"{path}\": {error}"
                ))
            })?;
            let password = text.lines().next().unwrap_or_default().to_owned();
            let insecure_without_tls = given.tls == SmarthostTls::InsecureNone;
            Some(Login {
                user: user.clone(),
                password: Secret::new(password),
                insecure_without_tls,
            })
        }
        _ => {
            let text = "relay.smarthost: user and password_file belong together";
            return Err(StartError::Value(text.to_owned()));
        }
    };
    let security = match given.tls {
        SmarthostTls::Implicit => Security::Implicit,
        SmarthostTls::Starttls => Security::Required,
        SmarthostTls::Opportunistic => Security::Opportunistic,
        SmarthostTls::InsecureNone => Security::Plain,
    };
    Ok(relay::Route {
        host: given.host.clone(),
        port: given.port,
        security,
        login,
    })
}

/// One of the three ports that take mail.
pub(super) fn smtp(
    config: &Config,
    port: &'static str,
) -> Result<smtp::server::Options, StartError> {
    let name = &config.server.hostname;
    let host = Domain::parse(name)
        .map_err(|error| StartError::Value(format!("server.hostname = \"{name}\": {error}")))?;
    let role = if port == "smtp" {
        Role::Relay
    } else {
        Role::Submission
    };
    Ok(smtp::server::Options {
        message_bytes_max: config.limits.message.0,
        recipients_max: config.smtp.recipients,
        transactions_max: config.smtp.transactions,
        idle: config.smtp.idle.0,
        insecure_auth_without_tls: config.auth.insecure_without_tls,
        insecure_any_sender: config.smtp.insecure_any_sender,
        ..smtp::server::Options::new(role, port, host)
    })
}

/// One of the two ports that mail is read through.
pub(super) fn imap(config: &Config, port: &'static str) -> imap::server::Options {
    imap::server::Options {
        name: port,
        host_name: config.server.hostname.clone(),
        starttls: port == "imap",
        insecure_auth_without_tls: config.auth.insecure_without_tls,
        message_bytes_max: config.limits.message.0,
        idle: config.imap.idle.0,
    }
}

/// Between the relay's last moment and that of the whole server.
const STOP_MARGIN: Duration = Duration::from_secs(1);
