//! `buzon check`: everything that can be found out without starting, and for each failure the thing
//! to fix.

use std::{collections::BTreeSet, fs, net::IpAddr, os::unix::fs::MetadataExt, path::Path};

use super::{offline, owner, ports, run::certificate_of, settings};
use crate::{
    admin::{Answer, Request, socket},
    config::Config,
    dns::{self, Resolver},
};

/// One thing that was looked at.
#[derive(Debug)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// How it is.
    pub verdict: Verdict,
}

/// How a thing is.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be; a detail.
    Fine(String),
    /// It works, but: what to think about.
    Doubtful(String),
    /// It does not: what to do.
    Wrong(String),
}

/// Looks at everything. `offline` leaves out name servers.
///
/// # Errors
/// When no runtime can be made.
pub fn check(config: &Config, offline: bool) -> std::io::Result<Vec<Finding>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(async {
        let running = is_running(config).await;
        let mut findings = vec![certificate(config), data(&config.server.data)];
        findings.push(listeners(config, running));
        findings.push(files(config));
        findings.extend(insecure(config));
        if !offline {
            findings.extend(names(config).await);
        }
        findings
    }))
}

fn finding(what: impl Into<String>, verdict: Verdict) -> Finding {
    Finding {
        what: what.into(),
        verdict,
    }
}

async fn is_running(config: &Config) -> bool {
    let path = socket::path_in(&config.server.data);
    tokio::net::UnixStream::connect(path).await.is_ok()
}

fn certificate(config: &Config) -> Finding {
    finding(
        "certificate",
        match certificate_of(config) {
            Ok(_) => Verdict::Fine("loaded, and the key belongs to it".to_owned()),
            Err(error) => Verdict::Wrong(error.to_string()),
        },
    )
}

/// The data directory: there or to be made, ours, private.
fn data(path: &Path) -> Finding {
    let what = format!("data directory {}", path.display());
    let verdict = match fs::metadata(path) {
        Ok(facts) if !facts.is_dir() => Verdict::Wrong("is not a directory".to_owned()),
        Ok(_) if let Err(error) = owner::check(path) => Verdict::Wrong(error.to_string()),
        Ok(facts) if facts.mode() & 0o077 != 0 => {
            Verdict::Wrong("can be entered by others: `chmod 0700` it".to_owned())
        }
        Ok(_) => Verdict::Fine("there, private".to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match path.parent() {
            Some(parent) if parent.is_dir() => {
                Verdict::Fine("not there yet, made at the first start".to_owned())
            }
            _ => Verdict::Wrong("its parent directory is not there: make it".to_owned()),
        },
        Err(error) => Verdict::Wrong(error.to_string()),
    };
    finding(what, verdict)
}

fn listeners(config: &Config, running: bool) -> Finding {
    let verdict = if running {
        Verdict::Fine("not tried: the server runs".to_owned())
    } else {
        match ports::bind(&config.listen) {
            Ok(ports) => Verdict::Fine(format!("all {} are free", ports.len())),
            Err(error) => Verdict::Wrong(error.to_string()),
        }
    };
    finding("ports", verdict)
}

fn files(config: &Config) -> Finding {
    let connections = settings::connections_max(config);
    let detail = format!("{connections} connections at most");
    let verdict = if connections < 500 {
        Verdict::Doubtful(format!(
            "{detail}: raise LimitNOFILE (65536 in the shipped unit)"
        ))
    } else {
        Verdict::Fine(detail)
    };
    finding("open files", verdict)
}

fn insecure(config: &Config) -> impl Iterator<Item = Finding> {
    let keys = config.insecure_keys().into_iter();
    keys.map(|key| {
        finding(
            key,
            Verdict::Doubtful("weakens security: for tests only".to_owned()),
        )
    })
}

/// What the DNS says about our name and our domains.
async fn names(config: &Config) -> Vec<Finding> {
    let options = settings::dns(config);
    let resolver = match dns::System::new(&options) {
        Ok(resolver) => resolver,
        Err(error) => return vec![finding("name servers", Verdict::Wrong(error.to_string()))],
    };
    let host = config.server.hostname.as_str();
    let mut findings = vec![own_name(&resolver, host).await];
    for domain in local_domains(config).await {
        findings.push(mail_exchange(&resolver, &domain, host).await);
    }
    findings
}

async fn own_name(resolver: &dyn Resolver, host: &str) -> Finding {
    let verdict = match resolver.addresses(host).await {
        dns::Answer::Found(addresses) => {
            let shown: BTreeSet<String> = addresses.iter().map(IpAddr::to_string).collect();
            Verdict::Fine(shown.into_iter().collect::<Vec<_>>().join(", "))
        }
        dns::Answer::NoRecords | dns::Answer::NoSuchName => Verdict::Wrong(format!(
            "no address: publish an A or AAAA record for {host}"
        )),
        dns::Answer::Temporary(why) => Verdict::Doubtful(format!("cannot be looked up now: {why}")),
    };
    finding(format!("address of {host}"), verdict)
}

async fn mail_exchange(resolver: &dyn Resolver, domain: &str, host: &str) -> Finding {
    let publish = format!("publish `{domain}. MX 10 {host}.`");
    let verdict = match resolver.mx(domain).await {
        dns::Answer::Found(records) => {
            if records
                .iter()
                .any(|mx| mx.exchange.eq_ignore_ascii_case(host))
            {
                Verdict::Fine(format!("{host} is among its mail exchangers"))
            } else {
                Verdict::Wrong(format!(
                    "{host} is not among its mail exchangers: {publish}"
                ))
            }
        }
        dns::Answer::NoRecords | dns::Answer::NoSuchName => {
            Verdict::Wrong(format!("it has no mail exchanger: {publish}"))
        }
        dns::Answer::Temporary(why) => Verdict::Doubtful(format!("cannot be looked up now: {why}")),
    };
    finding(format!("mail for {domain}"), verdict)
}

/// Local domains, as far as they can be read now.
async fn local_domains(config: &Config) -> Vec<String> {
    let answer = offline::ask_existing(config, &Request::DomainList).await;
    let Some(Answer::Done(serde_json::Value::Array(domains))) = answer else {
        return Vec::new();
    };
    let names = domains
        .iter()
        .filter_map(|domain| domain.get("domain")?.as_str());
    names.map(str::to_owned).collect()
}
