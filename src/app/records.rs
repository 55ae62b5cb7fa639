//! What to publish in the DNS for a local domain, as the lines of a zone file.
//!
//! Pure: from the configuration and the domain's keys. What it says and what name servers say is
//! compared in `app::published`.

use std::fmt;

use serde::Serialize;

use super::own_policy;
use crate::{config::Config, mail::address::Domain};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Its full name, without a final dot.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What it says: a TXT record's text as it is, names without a final dot.
    pub value: String,
    /// What it is good for, or needs.
    pub why: &'static str,
    /// It does nothing without a web server, and this one is none for it.
    pub needs_web_server: bool,
    /// It does nothing where the zone is not signed.
    pub needs_dnssec: bool,
    /// What the web server must say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl Record {
    /// A TXT record.
    pub fn text(name: &str, text: &str) -> Self {
        Self::new(name, "TXT", text, "")
    }

    fn new(name: &str, kind: &'static str, value: impl Into<String>, why: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            value: value.into(),
            why,
            needs_web_server: false,
            needs_dnssec: false,
            file: None,
        }
    }
}

impl fmt::Display for Record {
    /// A line of a zone file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.\tIN\t{}\t", self.name, self.kind)?;
        match self.kind {
            "TXT" => {}
            "TLSA" => return write!(f, "{}", self.value),
            _ => return write!(f, "{}.", self.value),
        }
        // RFC 1035 3.3: a string has 255 characters; ours are ASCII without quotes.
        let mut rest = self.value.as_str();
        while let Some((string, after)) = rest.split_at_checked(STRING_CHARS_MAX) {
            write!(f, "\"{string}\" ")?;
            rest = after;
        }
        write!(f, "\"{rest}\"")
    }
}

/// A domain as zones have it, with A-labels for those of other scripts (RFC 5890 2.3.2.1).
pub fn zone_name(text: &str) -> Option<String> {
    let domain = Domain::parse(text.trim_end_matches('.')).ok()?;
    domain.literal().is_none().then(|| domain.to_string())
}

/// The records of a domain; `keys` are names and texts of its key records, `tlsa` is what a TLSA
/// record says of our certificate.
pub fn of(
    config: &Config,
    domain: &str,
    keys: &[(String, String)],
    tlsa: Option<&str>,
) -> Vec<Record> {
    let host = config.server.hostname.as_str();
    let reports = format!("mailto:postmaster@{domain}");
    let mut records = vec![
        Record::new(domain, "MX", format!("10 {host}"), "mail comes here"),
        Record::new(
            domain,
            "TXT",
            "v=spf1 mx ~all",
            "mail goes out from here (SPF); with a smarthost, what its provider says",
        ),
    ];
    if host != domain {
        let why = "reports have no sender but this name (SPF)";
        records.push(Record::new(host, "TXT", "v=spf1 a -all", why));
    }
    for (name, text) in keys {
        records.push(Record::new(
            name,
            "TXT",
            text,
            "what mail is signed with (DKIM)",
        ));
    }
    // Without a key, forwarded mail would be condemned.
    let policy = if keys.is_empty() {
        "none"
    } else {
        "quarantine"
    };
    records.push(Record::new(
        &format!("_dmarc.{domain}"),
        "TXT",
        format!("v=DMARC1; p={policy}; rua={reports}"),
        "what others do with forgeries (DMARC); p=reject when the reports are good",
    ));
    records.push(Record::new(
        &format!("_smtp._tls.{domain}"),
        "TXT",
        format!("v=TLSRPTv1; rua={reports}"),
        "others tell of failed TLS (RFC 8460)",
    ));
    records.extend(services(config, domain, host));
    records.extend(tlsa.map(|tlsa| Record {
        needs_dnssec: true,
        ..Record::new(&format!("_25._tcp.{host}"), "TLSA", tlsa, DANE)
    }));
    records.extend(with_web_server(config, domain, host));
    records
}

/// RFC 6186, RFC 8314 5.1: where programs find their servers.
fn services(config: &Config, domain: &str, host: &str) -> Vec<Record> {
    let listen = &config.listen;
    let ports = [
        ("_imaps", &listen.imaps),
        ("_imap", &listen.imap),
        ("_submissions", &listen.submissions),
        ("_submission", &listen.submission),
        ("_pop3s", &listen.pop3s),
        ("_pop3", &listen.pop3),
    ];
    let record = |(name, addresses): (&str, &Vec<std::net::SocketAddr>)| {
        let name = format!("{name}._tcp.{domain}");
        let why = "mail programs find the server";
        match addresses.first() {
            // RFC 6186 3.4: TLS from the first byte is preferred.
            Some(address) => {
                let priority = if name.contains("s._tcp") { 0 } else { 10 };
                let value = format!("{priority} 1 {} {host}", address.port());
                Record::new(&name, "SRV", value, why)
            }
            // RFC 2782: "." says that there is no such service.
            None => Record::new(&name, "SRV", "0 0 0 ", "there is no such service"),
        }
    };
    ports.into_iter().map(record).collect()
}

/// What is only of use where a web server answers: this one for policies, where it listens.
fn with_web_server(config: &Config, domain: &str, host: &str) -> Vec<Record> {
    let answered = !config.listen.https.is_empty();
    // `app::settings` has refused a configuration without one.
    let policy = own_policy::text(config).unwrap_or_default();
    let record = Record {
        file: Some(policy.clone()).filter(|_| !answered),
        needs_web_server: !answered,
        ..Record::new(
            &format!("_mta-sts.{domain}"),
            "TXT",
            format!("v=STSv1; id={}", own_policy::id(&policy)),
            if answered { STS } else { STS_ELSEWHERE },
        )
    };
    let host_of_policy = Record {
        needs_web_server: !answered,
        ..Record::new(
            &format!("mta-sts.{domain}"),
            "CNAME",
            host,
            if answered { STS_HOST } else { WEB },
        )
    };
    let others = ["autoconfig", "autodiscover"].map(|name| Record {
        needs_web_server: true,
        ..Record::new(&format!("{name}.{domain}"), "CNAME", host, WEB)
    });
    [record, host_of_policy].into_iter().chain(others).collect()
}

const DANE: &str = "our certificate's key, for others to compare with (DANE, RFC 7672): of use \
                    where the host's zone is signed; a new key is published before it is used";
const STS: &str = "others are told that our servers have TLS, by a policy that is answered here \
                   (RFC 8461); another id whenever [mta_sts] changes";
const STS_HOST: &str = "where they ask for the policy; our certificate must have this name, too";
const STS_ELSEWHERE: &str = "needs the policy at https://mta-sts.DOMAIN/.well-known/mta-sts.txt \
                             (RFC 8461): listen.https answers it; another id whenever it changes";
const WEB: &str = "needs a web server there";
/// RFC 1035 3.3.
const STRING_CHARS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_zones_are_of_a_labels() {
        for (given, name) in [
            ("Example.ORG.", Some("example.org")),
            ("b\u{fc}cher.example", Some("xn--bcher-kva.example")),
            ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            ("[192.0.2.1]", None),
            ("a b", None),
            ("", None),
        ] {
            assert_eq!(zone_name(given).as_deref(), name, "{given}");
        }
        let config = Config::default();
        let records = of(&config, "xn--bcher-kva.example", &[], None);
        assert!(records.iter().all(|record| record.to_string().is_ascii()));
    }

    #[test]
    fn a_policy_is_printed_where_another_web_server_must_answer_it() {
        let mut config = Config::default();
        config.server.hostname = "mx.example.org".to_owned();
        let of_policy = |config: &Config| -> Vec<_> {
            let records = of(config, "example.org", &[], None);
            let is = |record: &Record| record.name.contains("mta-sts.");
            records.into_iter().filter(is).collect()
        };
        let elsewhere = of_policy(&config);
        let policy = elsewhere[0].file.clone().unwrap();
        assert_eq!(policy, own_policy::text(&config).unwrap());
        assert!(elsewhere.iter().all(|record| record.needs_web_server));
        config.listen.https = vec!["[::]:443".parse().unwrap()];
        let here = of_policy(&config);
        assert!(
            here.iter()
                .all(|record| !record.needs_web_server && record.file.is_none())
        );
        let values = |records: &[Record]| -> Vec<_> {
            records.iter().map(|record| record.value.clone()).collect()
        };
        assert_eq!(values(&here), values(&elsewhere));
        let id = own_policy::id(&policy);
        assert_eq!(
            values(&here),
            [format!("v=STSv1; id={id}"), "mx.example.org".to_owned()]
        );
    }

    #[test]
    fn records_are_lines_of_a_zone_file() {
        let mut config = Config::default();
        config.server.hostname = "mx.example.org".to_owned();
        config.listen.pop3 = Vec::new();
        let key = ("k._domainkey.example.org".to_owned(), "v".repeat(300));
        let lines: Vec<String> = of(&config, "example.org", &[key], Some("3 1 1 00ff"))
            .iter()
            .map(ToString::to_string)
            .collect();
        let long = format!("\"{}\" \"{}\"", "v".repeat(255), "v".repeat(45));
        for line in [
            "example.org.\tIN\tMX\t10 mx.example.org.",
            "example.org.\tIN\tTXT\t\"v=spf1 mx ~all\"",
            "mx.example.org.\tIN\tTXT\t\"v=spf1 a -all\"",
            &format!("k._domainkey.example.org.\tIN\tTXT\t{long}"),
            "_dmarc.example.org.\tIN\tTXT\t\"v=DMARC1; p=quarantine; \
             rua=mailto:postmaster@example.org\"",
            "_imaps._tcp.example.org.\tIN\tSRV\t0 1 993 mx.example.org.",
            "_pop3._tcp.example.org.\tIN\tSRV\t0 0 0 .",
            "autoconfig.example.org.\tIN\tCNAME\tmx.example.org.",
            "_25._tcp.mx.example.org.\tIN\tTLSA\t3 1 1 00ff",
        ] {
            assert!(
                lines.iter().any(|known| known == line),
                "{line}\n{lines:#?}"
            );
        }
        let unsigned = of(&config, "mx.example.org", &[], None);
        let spf = unsigned
            .iter()
            .filter(|record| record.value.starts_with("v=spf1"));
        assert_eq!(spf.count(), 1);
        assert!(
            unsigned
                .iter()
                .any(|record| record.value.contains("p=none"))
        );
    }
}
