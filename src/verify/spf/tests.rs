//! The test suite of openspf.org for RFC 7208, and bounds.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::dns::{Fake, Resolver};

async fn check(dns: &Fake, ip: &str, helo: &str, sender: &str) -> SpfResult {
    let questions = Questions::new(dns, Instant::now() + Duration::from_secs(20));
    let (local, domain) = sender.rsplit_once('@').unwrap_or(("", helo));
    let identity = Identity {
        ip: ip.parse().unwrap(),
        domain,
        local: if local.is_empty() {
            "postmaster"
        } else {
            local
        },
        helo,
    };
    check_host(questions, identity).await
}

/// Undoes the escapes of the corpus.
fn text(escaped: &str) -> Vec<u8> {
    if escaped == "\"\"" {
        return Vec::new();
    }
    let mut out = Vec::new();
    let mut rest = escaped;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        let (escape, number) = after.split_at(1);
        rest = match escape {
            "x" => {
                out.push(u8::from_str_radix(&number[..2], 16).unwrap());
                &number[2..]
            }
            "n" => {
                out.push(b'\n');
                number
            }
            _ => {
                out.push(b'\\');
                number
            }
        };
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Adds a record of the corpus.
fn record(dns: &Fake, name: &str, kind: &str, data: &str) {
    fn temporary<T>() -> Answer<T> {
        Answer::Temporary("in the corpus".to_owned())
    }
    match kind {
        "TXT" => dns.add_text(name, &text(data)),
        "TXT-TIMEOUT" => dns.set_texts_answer(name, temporary()),
        "A" | "AAAA" => dns.add_address(name, data.parse().unwrap()),
        "MX" => {
            let (preference, exchange) = data.split_once(':').unwrap();
            dns.add_mx(name, preference.parse().unwrap(), exchange);
        }
        "PTR" => {
            let name = name.to_ascii_lowercase();
            let reversed = name
                .trim_end_matches(".in-addr.arpa")
                .trim_end_matches(".ip6.arpa");
            let mut parts: Vec<&str> = reversed.split('.').collect();
            parts.reverse();
            let ip = if name.contains("ip6") {
                let groups: Vec<String> = parts.chunks(4).map(|group| group.concat()).collect();
                groups.join(":")
            } else {
                parts.join(".")
            };
            dns.add_name(ip.parse().unwrap(), data);
        }
        "TIMEOUT" => {
            dns.set_addresses_answer(name, temporary());
            dns.set_mx_answer(name, temporary());
            if !dns.has_texts(name) {
                dns.set_texts_answer(name, temporary());
            }
        }
        "CNAME" | "SPF" => {}
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn spf_01_the_suite_of_openspf_org_for_rfc_7208() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/spf/rfc7208.txt");
    let corpus = std::fs::read_to_string(path).unwrap();
    let (mut dns, mut count, mut wrong) = (Fake::new(), 0, Vec::new());
    for line in corpus.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "zone" => dns = Fake::new(),
            // The only alias that leads anywhere; what it leads to stands before it.
            "rr" if words[2] == "CNAME" && words[1] == "b.example.org" => {
                dns.set_texts_answer(words[1], dns.texts(words[3]).await);
            }
            "rr" => {
                let name = String::from_utf8(text(words[1])).unwrap();
                record(&dns, &name, words[2], words[3]);
            }
            "test" => {
                let [_, name, ip, helo, sender, results] = words[..] else {
                    panic!("{line}");
                };
                let sender = String::from_utf8(text(sender)).unwrap();
                let helo = String::from_utf8(text(helo)).unwrap();
                let result = check(&dns, ip, &helo, &sender).await;
                count += 1;
                if !results.split(',').any(|expected| expected == result.name()) {
                    wrong.push(format!("{name}: {} and not {results}", result.name()));
                }
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(count, 203);
}

/// RFC 7208 Appendix A.
#[tokio::test]
async fn rfc_7208_appendix_a_examples() {
    let dns = Fake::new();
    let hosts = [
        ("example.com", "192.0.2.10"),
        ("example.com", "192.0.2.11"),
        ("amy.example.com", "192.0.2.65"),
        ("bob.example.com", "192.0.2.66"),
        ("mail-a.example.com", "192.0.2.129"),
        ("mail-b.example.com", "192.0.2.130"),
        ("mail-c.example.org", "192.0.2.140"),
        ("mary.mobile-users._spf.example.com", "127.0.0.2"),
        ("2.2.0.192.spf-rbl.example.net", "127.0.0.2"),
    ];
    for (host, ip) in hosts {
        dns.add_address(host, ip.parse().unwrap());
    }
    dns.set_mx(
        "example.com",
        &[(10, "mail-a.example.com"), (20, "mail-b.example.com")],
    );
    dns.set_mx("example.org", &[(10, "mail-c.example.org")]);
    dns.add_name("192.0.2.10".parse().unwrap(), "example.com");
    dns.add_name("192.0.2.65".parse().unwrap(), "amy.example.com");
    dns.add_name("10.0.0.4".parse().unwrap(), "bob.example.com");
    for (record, ip, result) in [
        ("v=spf1 +all", "198.51.100.1", SpfResult::Pass),
        ("v=spf1 a -all", "192.0.2.10", SpfResult::Pass),
        ("v=spf1 a -all", "192.0.2.12", SpfResult::Fail),
        ("v=spf1 a:example.org -all", "192.0.2.10", SpfResult::Fail),
        ("v=spf1 mx -all", "192.0.2.130", SpfResult::Pass),
        ("v=spf1 mx:example.org -all", "192.0.2.140", SpfResult::Pass),
        (
            "v=spf1 mx mx:example.org -all",
            "192.0.2.129",
            SpfResult::Pass,
        ),
        (
            "v=spf1 mx/30 mx:example.org/30 -all",
            "192.0.2.131",
            SpfResult::Pass,
        ),
        (
            "v=spf1 mx/30 mx:example.org/30 -all",
            "192.0.2.143",
            SpfResult::Pass,
        ),
        ("v=spf1 ptr -all", "192.0.2.65", SpfResult::Pass),
        ("v=spf1 ptr -all", "192.0.2.140", SpfResult::Fail),
        ("v=spf1 ptr -all", "10.0.0.4", SpfResult::Fail),
        (
            "v=spf1 ip4:192.0.2.128/28 -all",
            "192.0.2.65",
            SpfResult::Fail,
        ),
        (
            "v=spf1 ip4:192.0.2.128/28 -all",
            "192.0.2.129",
            SpfResult::Pass,
        ),
        (
            "v=spf1 -exists:%{ir}.spf-rbl.example.net ?all",
            "192.0.2.2",
            SpfResult::Fail,
        ),
        (
            "v=spf1 exists:%{l}.mobile-users._spf.%{d} -all",
            "10.1.1.1",
            SpfResult::Pass,
        ),
    ] {
        dns.set_texts_answer("example.com", Answer::Found(vec![record.into()]));
        let found = check(&dns, ip, "helo.example.com", "mary@example.com").await;
        assert_eq!(found, result, "{record} {ip}");
    }
}

#[tokio::test]
async fn spf_01_terms_and_empty_answers_are_counted_exactly() {
    let dns = Fake::new();
    dns.add_address("a.example", "192.0.2.1".parse().unwrap());
    for (terms, voids, result) in [
        (10, 0, SpfResult::Neutral),
        (11, 0, SpfResult::PermError),
        (1, 2, SpfResult::Neutral),
        (1, 3, SpfResult::PermError),
    ] {
        let record = format!(
            "v=spf1{}{}",
            " a:a.example".repeat(terms),
            " a:b.example".repeat(voids)
        );
        dns.set_texts_answer("x.example", Answer::Found(vec![record.into_bytes()]));
        let found = check(&dns, "198.51.100.1", "h.example", "u@x.example").await;
        assert_eq!(found, result, "{terms} {voids}");
    }
}

#[tokio::test(start_paused = true)]
async fn spf_01_slow_name_servers_make_a_temporary_error_in_time() {
    let dns = Fake::new();
    dns.add_text("x.example", b"v=spf1 a mx ptr -all");
    dns.set_delay(Duration::from_secs(25));
    let began = Instant::now();
    let found = check(&dns, "198.51.100.1", "h.example", "u@x.example").await;
    assert_eq!(found, SpfResult::TempError);
    assert_eq!(began.elapsed(), Duration::from_secs(20));
}
