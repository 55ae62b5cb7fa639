//! Whether name servers say what `app::records` wants published.
//!
//! A record counts as published when it is there as it was printed, or says as much in other words
//! where others write it in their own way: SPF, DMARC and TLS reports are the administrator's to
//! phrase, so any one record of that kind will do.

use std::io;

use serde::Serialize;

use super::{StartError, records::Record, settings};
use crate::{
    base::{
        future::{BoxFuture, all},
        text::Causes,
    },
    config::Config,
    dns::{Answer, Mx, Resolver, Service, System, Tlsa},
    tls::{certificate::certificates, dane},
};

/// How a record was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "found", rename_all = "kebab-case")]
pub enum State {
    /// As it was printed.
    Published,
    /// In other words, these.
    Differs(Vec<String>),
    /// Not at all.
    Missing,
    /// Name servers did not say, for this reason.
    Unknown(String),
}

/// Asks the configured name servers for all records, at once.
///
/// # Errors
/// When they cannot be set up.
pub fn states(config: &Config, records: &[Record]) -> Result<Vec<State>, StartError> {
    let wrong = |error: io::Error| StartError::System("runtime", error);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(wrong)?;
    runtime.block_on(async {
        let resolver = System::new(&settings::dns(config))
            .map_err(|error| StartError::Dns(Causes(&error).to_string()))?;
        let asked = records
            .iter()
            .map(|record| -> BoxFuture<'_, State> { Box::pin(state(&resolver, record)) });
        Ok(all(asked.collect()).await)
    })
}

/// What a TLSA record says of the certificate that is served, where that can be read.
pub fn own_tlsa(config: &Config) -> Option<String> {
    let chain = certificates(config.tls.certificate.as_ref()?).ok()?;
    let (usage, selector, matching, data) = dane::of_key(chain.first()?)?;
    let tlsa = Tlsa {
        usage,
        selector,
        matching,
        data,
    };
    Some(tlsa.to_string())
}

/// Asks for one record. Aliases are not told by resolvers: those are known by their addresses.
pub(super) async fn state(resolver: &dyn Resolver, record: &Record) -> State {
    let name = record.name.as_str();
    let found = match record.kind {
        "MX" => resolver
            .mx(name)
            .await
            .map(|found| found.iter().map(shown_mx).collect()),
        "SRV" => {
            let found = resolver.services(name).await;
            found.map(|found| found.iter().map(shown_service).collect())
        }
        "TLSA" => {
            let found = resolver.associations(name).await.answer;
            found.map(|found| found.iter().map(ToString::to_string).collect())
        }
        "TXT" => resolver.texts(name).await.map(|found| {
            let texts = found
                .iter()
                .map(|text| String::from_utf8_lossy(text).into_owned());
            texts
                .filter(|text| is_same_kind(text, &record.value))
                .collect()
        }),
        _ => match resolver.addresses(name).await {
            Answer::Found(_) => Answer::Found(vec![record.value.clone()]),
            other => other.map(|_| Vec::new()),
        },
    };
    match found {
        Answer::Found(found) if found.contains(&record.value) => State::Published,
        Answer::Found(found) if !found.is_empty() => State::Differs(found),
        Answer::Found(_) | Answer::NoRecords | Answer::NoSuchName => State::Missing,
        Answer::Temporary(why) => State::Unknown(why),
    }
}

fn shown_mx(mx: &Mx) -> String {
    format!("{} {}", mx.preference, mx.exchange)
}

fn shown_service(service: &Service) -> String {
    let Service {
        priority,
        weight,
        port,
        target,
    } = service;
    format!("{priority} {weight} {port} {target}")
}

/// Whether two texts begin with the same version, as `v=spf1` is one.
fn is_same_kind(text: &str, wanted: &str) -> bool {
    let version = |text: &str| {
        let end = text.find([';', ' ']).unwrap_or(text.len());
        text.get(..end).map(str::to_ascii_lowercase)
    };
    version(text) == version(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Fake;

    #[tokio::test]
    async fn what_is_published_is_told_from_what_is_not() {
        let dns = Fake::new();
        dns.set_mx("example.org", &[(10, "mx.example.org")]);
        dns.add_text("example.org", b"other");
        dns.add_text("example.org", b"v=spf1 a -all");
        dns.set_texts_answer("_dmarc.example.org", Answer::Temporary("x".to_owned()));
        dns.add_service(
            "_imaps._tcp.example.org",
            Service {
                priority: 0,
                weight: 1,
                port: 993,
                target: "mx.example.org".to_owned(),
            },
        );
        let tlsa = Tlsa {
            usage: 3,
            selector: 1,
            matching: 1,
            data: vec![0, 255],
        };
        dns.set_associations("_25._tcp.mx.example.org", Answer::Found(vec![tlsa]));
        let mut config = Config::default();
        config.server.hostname = "mx.example.org".to_owned();
        let mut states = Vec::new();
        for record in super::super::records::of(&config, "example.org", &[], Some("3 1 1 00ff")) {
            states.push((record.name.clone(), state(&dns, &record).await));
        }
        let of = |name: &str, at: usize| {
            let mut found = states.iter().filter(|(known, _)| known == name);
            found.nth(at).unwrap().1.clone()
        };
        assert_eq!(of("example.org", 0), State::Published);
        assert_eq!(
            of("example.org", 1),
            State::Differs(vec!["v=spf1 a -all".to_owned()])
        );
        assert_eq!(of("_dmarc.example.org", 0), State::Unknown("x".to_owned()));
        assert_eq!(of("_imaps._tcp.example.org", 0), State::Published);
        assert_eq!(of("_imap._tcp.example.org", 0), State::Missing);
        assert_eq!(of("_25._tcp.mx.example.org", 0), State::Published);
        assert_eq!(of("autoconfig.example.org", 0), State::Missing);
    }
}
