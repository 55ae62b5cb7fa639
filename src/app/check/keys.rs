//! The keys that sign mail (DKIM) and seal what is passed on (ARC): whether they are there, can be
//! read and are published; and whether those exist whose seals are believed.
//!
//! Keys are in the store, so they are seen only where it can be asked.

use serde_json::Value;

use super::{Finding, Verdict, finding};
use crate::{
    admin::{Answer, Request},
    app::{
        offline,
        published::{State, state},
        records::Record,
    },
    config::Config,
    dns::{self, Resolver},
};

/// A local domain, and its keys.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) domain: String,
    pub(super) keys: Vec<Key>,
}

/// A key that signs, has signed or is to sign.
#[derive(Debug)]
pub(super) struct Key {
    /// Where it is published.
    pub(super) name: String,
    pub(super) kind: String,
    /// As `buzon dkim list` says it.
    pub(super) state: String,
    /// What is published; none of a key that cannot be read.
    pub(super) record: Option<String>,
}

impl Key {
    fn of(value: &Value) -> Option<(&str, Self)> {
        let text = |field| value.get(field)?.as_str();
        let key = Self {
            name: text("name")?.to_owned(),
            kind: text("kind")?.to_owned(),
            state: text("state")?.to_owned(),
            record: text("record").map(str::to_owned),
        };
        Some((text("domain")?, key))
    }

    pub(super) fn signs(&self) -> bool {
        self.state == "signs"
    }
}

/// The local domains with their keys, as far as they can be read now.
pub(super) async fn kept(config: &Config) -> Vec<Kept> {
    let requests = [Request::DomainList, Request::DkimList { domain: None }];
    match offline::ask_existing(config, requests).await {
        Some(
            [
                Answer::Done(Value::Array(domains)),
                Answer::Done(Value::Array(keys)),
            ],
        ) => collected(&domains, keys.iter().filter_map(Key::of).collect()),
        _ => Vec::new(),
    }
}

fn collected(domains: &[Value], keys: Vec<(&str, Key)>) -> Vec<Kept> {
    let names = domains
        .iter()
        .filter_map(|domain| domain.get("domain")?.as_str());
    let mut kept: Vec<_> = names
        .map(|domain| Kept {
            domain: domain.to_owned(),
            keys: Vec::new(),
        })
        .collect();
    for (of, key) in keys {
        if let Some(kept) = kept.iter_mut().find(|kept| kept.domain == of) {
            kept.keys.push(key);
        }
    }
    kept
}

/// What can be said of the keys without the DNS.
pub(super) fn found(kept: &[Kept]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Kept { domain, keys } in kept {
        for key in keys.iter().filter(|key| key.record.is_none()) {
            let text = format!("cannot be read: make a new one, `buzon dkim rotate {domain}`");
            findings.push(finding(of_key(key), Verdict::Wrong(text)));
        }
        let usable = |key: &&Key| key.signs() && key.record.is_some();
        let mut usable = keys.iter().filter(usable).peekable();
        let what = format!("signatures of {domain} (DKIM)");
        let make = format!("`buzon dkim generate {domain}`, and publish what it prints");
        findings.push(match usable.peek() {
            Some(_) => finding(what, Verdict::Fine("there is a key".to_owned())),
            None => {
                let text = format!("its mail is neither signed nor, passed on, sealed: {make}");
                finding(what, Verdict::Doubtful(text))
            }
        });
        if usable.peek().is_none() {
            continue;
        }
        // RFC 8617 4.1: only RSA seals.
        let sealing = usable.find(|key| key.kind == "rsa");
        let what = format!("seals of {domain} (ARC)");
        findings.push(match sealing {
            Some(key) => finding(what, Verdict::Fine(format!("made with {}", key.name))),
            None => {
                let text = format!(
                    "what it passes on is not sealed without an RSA key: \
                     `buzon dkim generate {domain} --kind rsa`"
                );
                finding(what, Verdict::Doubtful(text))
            }
        });
    }
    findings
}

/// Whether the world can check what this key signs and seals.
pub(super) async fn published(resolver: &dyn Resolver, key: &Key) -> Finding {
    let verdict = match &key.record {
        None => Verdict::Wrong("cannot be read, so nothing is known to publish".to_owned()),
        Some(record) => {
            let record = Record::text(&key.name, record);
            let publish = || format!("publish `{record}`");
            match state(resolver, &record).await {
                State::Published => Verdict::Fine("published".to_owned()),
                State::Unknown(why) => Verdict::Doubtful(format!("cannot be looked up now: {why}")),
                // It is on its way in or out.
                State::Differs(_) | State::Missing if !key.signs() => {
                    let text = format!("is not published; it is {}: {}", key.state, publish());
                    Verdict::Doubtful(text)
                }
                State::Differs(_) => Verdict::Wrong(format!(
                    "another key is published, so no signature and no seal holds: {}",
                    publish()
                )),
                State::Missing => Verdict::Wrong(format!(
                    "is not published, so no signature and no seal holds: {}",
                    publish()
                )),
            }
        }
    };
    finding(of_key(key), verdict)
}

/// Whether there is a domain whose seals are believed.
pub(super) async fn sealer(resolver: &dyn Resolver, domain: &str) -> Finding {
    let verdict = match resolver.texts(domain).await {
        dns::Answer::NoSuchName => Verdict::Wrong(
            "there is no such domain: mend verify.trusted_sealers, or anybody may have it one day"
                .to_owned(),
        ),
        dns::Answer::Temporary(why) => Verdict::Doubtful(format!("cannot be looked up now: {why}")),
        dns::Answer::Found(_) | dns::Answer::NoRecords => Verdict::Fine("is there".to_owned()),
    };
    finding(of_sealer(domain), verdict)
}

/// What is said to be looked at.
pub(super) fn of_sealer(domain: &str) -> String {
    format!("trusted sealer {domain}")
}

fn of_key(key: &Key) -> String {
    format!("key {}", key.name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dns::Fake;

    fn keys() -> Vec<Kept> {
        let domains = [
            json!({"domain": "a.example"}),
            json!({"domain": "b.example"}),
        ];
        let key = |selector: &str, kind: &str, state: &str, record: Option<&str>| {
            json!({
                "domain": "a.example",
                "name": format!("{selector}._domainkey.a.example"),
                "kind": kind,
                "state": state,
                "record": record,
            })
        };
        let listed = [
            key("r", "rsa", "signs", Some("v=DKIM1; k=rsa; p=AAAA")),
            key("e", "ed25519", "signs", Some("v=DKIM1; k=ed25519; p=BBBB")),
            key("x", "rsa", "signs", None),
            key(
                "n",
                "rsa",
                "signs from 2026-12-24",
                Some("v=DKIM1; k=rsa; p=CCCC"),
            ),
        ];
        collected(&domains, listed.iter().filter_map(Key::of).collect())
    }

    fn shown(finding: &Finding) -> String {
        let (how, text) = match &finding.verdict {
            Verdict::Fine(text) => ("fine", text),
            Verdict::Doubtful(text) => ("doubtful", text),
            Verdict::Wrong(text) => ("wrong", text),
        };
        let text: Vec<_> = text.split(' ').take(4).collect();
        format!("{}: {how}: {}", finding.what, text.join(" "))
    }

    #[test]
    fn keys_that_are_missing_or_cannot_be_read_are_told() {
        let found: Vec<_> = found(&keys()).iter().map(shown).collect();
        assert_eq!(
            found,
            [
                "key x._domainkey.a.example: wrong: cannot be read: make",
                "signatures of a.example (DKIM): fine: there is a key",
                "seals of a.example (ARC): fine: made with r._domainkey.a.example",
                "signatures of b.example (DKIM): doubtful: its mail is neither",
            ]
        );
    }

    #[tokio::test]
    async fn keys_that_nobody_can_ask_for_are_told() {
        let dns = Fake::new();
        dns.add_text("r._domainkey.a.example", b"v=DKIM1; k=rsa; p=AAAA");
        dns.add_text("e._domainkey.a.example", b"v=DKIM1; k=ed25519; p=ZZZZ");
        let mut found = Vec::new();
        for key in keys().iter().flat_map(|kept| &kept.keys) {
            found.push(shown(&published(&dns, key).await));
        }
        let none = dns::Answer::Temporary("x".to_owned());
        dns.set_texts_answer("slow.example", none);
        dns.add_text("list.example", b"x");
        for domain in ["list.example", "slow.example", "typo.example"] {
            found.push(shown(&sealer(&dns, domain).await));
        }
        assert_eq!(
            found,
            [
                "key r._domainkey.a.example: fine: published",
                "key e._domainkey.a.example: wrong: another key is published,",
                "key x._domainkey.a.example: wrong: cannot be read, so",
                "key n._domainkey.a.example: doubtful: is not published; it",
                "trusted sealer list.example: fine: is there",
                "trusted sealer slow.example: doubtful: cannot be looked up",
                "trusted sealer typo.example: wrong: there is no such",
            ]
        );
    }
}
