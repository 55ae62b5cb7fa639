//! `buzon check`: everything that can be found out without starting, and for each failure the thing
//! to fix. What is asked about keys is in `keys`.

mod keys;
mod policies;

use std::{collections::BTreeSet, fs, io, net::IpAddr, path::Path, time::Duration};

use rustix::fs::{Access, access};
use tokio::time::timeout;

use super::{owner, ports, run::certificate_of, settings};
use crate::{
    admin::socket,
    base::text::Causes,
    config::Config,
    dns::{self, Resolver},
    store::embedded::Embedded,
};
use keys::Kept;

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

/// Looks at everything, and says each thing as soon as it is known. `offline` leaves out name
/// servers.
///
/// # Errors
/// When no runtime can be made, or `say` fails.
pub fn check(
    config: &Config,
    offline: bool,
    say: &mut dyn FnMut(Finding) -> io::Result<()>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let running = is_running(config).await;
        say(certificate(config))?;
        say(data(&config.server.data))?;
        say(listeners(config, running))?;
        say(files(config))?;
        if !config.proxy.from.is_empty() {
            say(proxies(config))?;
        }
        if !config.smtp.xclient_from.is_empty() {
            say(introducers(config))?;
        }
        outbound(config).into_iter().try_for_each(&mut *say)?;
        let keys = keys::kept(config).await;
        keys::found(&keys).into_iter().try_for_each(&mut *say)?;
        let reports = policies::reports(config, &keys);
        reports.into_iter().try_for_each(&mut *say)?;
        insecure(config).try_for_each(&mut *say)?;
        if !offline {
            names(config, &keys, say).await?;
        }
        Ok(())
    })
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
            Ok(certificate) => match certificate.validity() {
                Ok(()) => Verdict::Fine("loaded, valid, and the key belongs to it".to_owned()),
                Err(error) => Verdict::Doubtful(error.to_string()),
            },
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
        Ok(_) if let Err(error) = owner::check_closed(path) => Verdict::Wrong(error.to_string()),
        Ok(_) if let Err(error) = Embedded::exists(path) => {
            Verdict::Wrong(Causes(&error).to_string())
        }
        Ok(_) => Verdict::Fine("there, private".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match path.parent() {
            Some(parent) if parent.is_dir() && !may_make_in(parent) => Verdict::Wrong(format!(
                "not there yet, and this user may not make it: \
                 `install -d -o USER -m 700 {}`, with the server's user",
                path.display()
            )),
            Some(parent) if parent.is_dir() => {
                Verdict::Fine("not there yet, made at the first start".to_owned())
            }
            _ => Verdict::Wrong("its parent directory is not there: make it".to_owned()),
        },
        Err(error) => Verdict::Wrong(error.to_string()),
    };
    finding(what, verdict)
}

fn may_make_in(parent: &Path) -> bool {
    access(parent, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

/// Where mail goes that does not go where the DNS says, and from which addresses.
fn outbound(config: &Config) -> Vec<Finding> {
    let given = &config.relay;
    let named = given.smarthost.is_some() || !given.routes.is_empty();
    if !named && given.source.is_empty() {
        return Vec::new();
    }
    // Credentials are in files, which only this reads.
    let options = match settings::relay(config) {
        Ok(options) => options,
        Err(error) => return vec![finding("relay", Verdict::Wrong(error.to_string()))],
    };
    let mut findings = Vec::new();
    if options.smarthost.is_some() {
        let detail = "what no route says otherwise of is sent through it";
        findings.push(finding("smarthost", Verdict::Fine(detail.to_owned())));
    }
    if !given.routes.is_empty() {
        let detail = format!("{} named, with their credentials", given.routes.len());
        findings.push(finding("routes", Verdict::Fine(detail)));
    }
    let sources = options.all_sources().into_iter();
    findings.extend(sources.map(|ip| finding(format!("source {ip}"), source(ip))));
    findings
}

/// Whether connections can come from this address of ours.
fn source(ip: IpAddr) -> Verdict {
    match std::net::UdpSocket::bind((ip, 0)) {
        Ok(_) => Verdict::Fine("is an address of this machine".to_owned()),
        Err(error) => Verdict::Wrong(format!(
            "connections cannot come from it: {error}; give this machine the address, or mend the \
             source in [relay] or the route"
        )),
    }
}

fn listeners(config: &Config, running: bool) -> Finding {
    let verdict = if running {
        Verdict::Fine("not tried: the server runs".to_owned())
    } else {
        match ports::bind(config) {
            Ok(ports) => Verdict::Fine(format!("all {} are free", ports.len())),
            Err(error) => Verdict::Wrong(error.to_string()),
        }
    };
    finding("ports", verdict)
}

/// Who may say for whom it connects, and where.
fn proxies(config: &Config) -> Finding {
    let proxy = &config.proxy;
    let from: Vec<_> = proxy.from.iter().map(ToString::to_string).collect();
    let at: Vec<_> = proxy.listeners.iter().map(ToString::to_string).collect();
    let at = match at.as_slice() {
        [] => "every address".to_owned(),
        some => some.join(", "),
    };
    let detail = format!(
        "a PROXY header begins every connection from {} at {at}",
        from.join(", ")
    );
    finding("proxies", Verdict::Fine(detail))
}

/// Who is believed in everything.
fn introducers(config: &Config) -> Finding {
    let from: Vec<_> = config
        .smtp
        .xclient_from
        .iter()
        .map(ToString::to_string)
        .collect();
    let from = from.join(", ");
    let detail = format!("{from} may speak for any client, and for who logged in (XCLIENT)");
    finding("xclient", Verdict::Doubtful(detail))
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

/// What the DNS says about our name and our domains. Name servers that say nothing are asked once.
async fn names(
    config: &Config,
    keys: &[Kept],
    say: &mut dyn FnMut(Finding) -> io::Result<()>,
) -> io::Result<()> {
    let options = settings::dns(config);
    let resolver = match dns::System::new(&options) {
        Ok(resolver) => resolver,
        Err(error) => return say(finding("name servers", Verdict::Wrong(error.to_string()))),
    };
    let Some(found) = in_time(dnssec(config)).await else {
        return say(silent("DNSSEC"));
    };
    say(found)?;
    let host = config.server.hostname.as_str();
    let Some(found) = in_time(own_name(&resolver, host)).await else {
        return say(silent(&format!("address of {host}")));
    };
    say(found)?;
    // What is wrong with it was said before.
    let certificate = certificate_of(config).ok();
    for Kept { domain, .. } in keys {
        let Some(found) = in_time(mail_exchange(&resolver, domain, host)).await else {
            return say(silent(&format!("mail for {domain}")));
        };
        say(found)?;
        let policy = policies::policy(config, certificate.as_deref(), &resolver, domain);
        let Some(found) = in_time(policy).await else {
            return say(silent(&format!("MTA-STS of {domain}")));
        };
        found.into_iter().try_for_each(&mut *say)?;
    }
    for key in keys.iter().flat_map(|kept| &kept.keys) {
        let Some(found) = in_time(keys::published(&resolver, key)).await else {
            return say(silent(&key.name));
        };
        say(found)?;
    }
    for sealer in &config.verify.trusted_sealers {
        let Some(found) = in_time(keys::sealer(&resolver, sealer)).await else {
            return say(silent(&keys::of_sealer(sealer)));
        };
        say(found)?;
    }
    Ok(())
}

async fn in_time<T>(question: impl Future<Output = T>) -> Option<T> {
    timeout(QUESTION_TIME_MAX, question).await.ok()
}

fn silent(what: &str) -> Finding {
    let secs = QUESTION_TIME_MAX.as_secs();
    let text = format!("no name server answered within {secs} s; the DNS is not asked further");
    finding(what, Verdict::Doubtful(text))
}

/// Whether the name servers prove what they say, and whether they are believed.
async fn dnssec(config: &Config) -> Finding {
    let trusted = config.dns.trust_ad;
    let options = dns::Options {
        trust_ad: true,
        ..settings::dns(config)
    };
    let proven = match dns::System::new(&options) {
        Ok(resolver) => resolver.proves_the_root().await,
        Err(error) => dns::Answer::Temporary(error.to_string()),
    };
    let afar = options
        .servers
        .iter()
        .any(|server| !server.ip().is_loopback());
    finding("DNSSEC", judged(trusted, proven, afar))
}

/// What follows from whether the name servers are believed, whether they prove anything, and
/// whether they are elsewhere.
fn judged(trusted: bool, proven: dns::Answer<bool>, afar: bool) -> Verdict {
    match (trusted, proven) {
        (true, dns::Answer::Found(true)) if afar => Verdict::Doubtful(
            "proven by name servers that are not on this machine: whoever is on the way to them \
             decides what is (dns.trust_ad)"
                .to_owned(),
        ),
        (true, dns::Answer::Found(true)) => {
            Verdict::Fine("the name servers prove it and are believed: DANE is used".to_owned())
        }
        (true, dns::Answer::Temporary(why)) => {
            Verdict::Doubtful(format!("cannot be looked at now: {why}"))
        }
        (true, _) => Verdict::Wrong(
            "dns.trust_ad is set, and the name servers do not check DNSSEC, so nothing counts as \
             proven: name ones that do in dns.servers (unbound on this machine)"
                .to_owned(),
        ),
        (false, dns::Answer::Found(true)) => Verdict::Fine(
            "the name servers check it and are not believed, so DANE is not used; dns.trust_ad \
             changes that for servers on this machine"
                .to_owned(),
        ),
        (false, _) => Verdict::Fine("not checked by the name servers: DANE is not used".to_owned()),
    }
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

/// How long one thing may take to be found out in the DNS; mail has more patience.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn dns_03_trust_without_proof_is_wrong() {
        use dns::Answer::{Found, NoRecords, Temporary};
        for (trusted, proven, afar, expected) in [
            (true, Found(true), false, "fine"),
            (true, Found(true), true, "doubtful"),
            (true, Found(false), false, "wrong"),
            (true, NoRecords, false, "wrong"),
            (true, Temporary("x".to_owned()), false, "doubtful"),
            (false, Found(true), true, "fine"),
            (false, Found(false), false, "fine"),
            (false, Temporary("x".to_owned()), false, "fine"),
        ] {
            let shown = format!("{trusted} {proven:?} {afar}");
            let verdict = match judged(trusted, proven, afar) {
                Verdict::Fine(_) => "fine",
                Verdict::Doubtful(_) => "doubtful",
                Verdict::Wrong(_) => "wrong",
            };
            assert_eq!(verdict, expected, "{shown}");
        }
    }

    #[test]
    fn directories_that_serve_would_refuse_are_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        fs::create_dir(dir.join("journal")).unwrap();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
        let wrong = |path: &Path| match data(path).verdict {
            Verdict::Wrong(text) => text,
            Verdict::Fine(text) | Verdict::Doubtful(text) => format!("not wrong: {text}"),
        };
        assert!(wrong(dir).starts_with("not wrong"));
        fs::write(dir.join("journal/00000001.seg"), "x").unwrap();
        let segments = wrong(dir);
        fs::write(dir.join("format"), "buzon store 99\n").unwrap();
        let version = wrong(dir);
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        let open = wrong(dir);
        let missing = wrong(&dir.join("a/b"));
        let file = wrong(&dir.join("format"));
        for (text, part) in [
            (segments, "format file"),
            (version, "version 99"),
            (open, "chmod 0700"),
            (missing, "make it"),
            (file, "not a directory"),
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_source_must_be_an_address_of_this_machine() {
        assert!(matches!(source([127, 0, 0, 1].into()), Verdict::Fine(_)));
        // RFC 5737: nobody has it.
        assert!(matches!(source([192, 0, 2, 1].into()), Verdict::Wrong(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn name_servers_that_say_nothing_are_given_up() {
        assert!(in_time(std::future::pending::<Finding>()).await.is_none());
        let said = silent("mail for example.org");
        assert!(matches!(said.verdict, Verdict::Doubtful(text) if text.contains("8 s")));
    }
}
