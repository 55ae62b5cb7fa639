//! Records, the walk up the tree, and alignment.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::dns::Fake;

async fn outcome(dns: &Fake, author: &str, identifiers: &[(&str, By, bool)]) -> Outcome {
    let questions = Questions::new(dns, Instant::now() + Duration::from_secs(20));
    let identifiers: Vec<_> = identifiers
        .iter()
        .map(|(domain, by, unknown)| Identifier {
            domain: (*domain).to_owned(),
            by: *by,
            unknown: *unknown,
        })
        .collect();
    let candidates: Vec<_> = identifiers.iter().map(|i| i.domain.clone()).collect();
    let found = discover(questions, author, &candidates).await;
    found.judge(&identifiers, 50)
}

fn zone(records: &[(&str, &str)]) -> Fake {
    let dns = Fake::new();
    for (name, record) in records {
        dns.add_text(name, record.as_bytes());
    }
    dns
}

#[test]
fn records_are_read_leniently_but_for_their_beginning() {
    for (text, policy) in [
        ("v=DMARC1; p=reject", Some(Policy::Reject)),
        ("v=DMARC1;p=QUARANTINE; fo=1; x", Some(Policy::Quarantine)),
        ("v = DMARC1 ; p = none", Some(Policy::None)),
        ("v=DMARC1; rua=mailto:a@b.example", Some(Policy::None)),
        (
            "v=DMARC1; p=bogus; rua=mailto:a@b.example",
            Some(Policy::None),
        ),
        ("v=DMARC1; p=bogus", None),
        ("v=DMARC1", None),
        ("v=dmarc1; p=reject", None),
        ("p=reject; v=DMARC1", None),
        ("", None),
    ] {
        let read = Record::parse(text.as_bytes()).map(|record| record.policy);
        assert_eq!(read, policy, "{text}");
    }
    let long = format!("v=DMARC1; p=reject; x={}", "x".repeat(RECORD_BYTES_MAX));
    assert_eq!(Record::parse(long.as_bytes()), None);
    let pct = Record::parse(b"v=DMARC1; p=reject; pct=101").unwrap();
    assert_eq!(pct.percent, 100);
}

#[test]
fn dmarc_01_the_walk_asks_eight_times_at_most() {
    assert_eq!(
        ascent("a.b.example"),
        ["a.b.example", "b.example", "example"]
    );
    let long = "a.b.c.d.e.f.g.h.i.j.mail.example.com";
    let names = ascent(long);
    assert_eq!(names.len(), 8);
    assert_eq!(names[1], "g.h.i.j.mail.example.com");
    assert_eq!(names[7], "com");
    // RFC 9989 4.10: eight labels go on with seven.
    assert_eq!(ascent("a.b.c.d.e.f.g.h").len(), 8);
}

#[tokio::test]
async fn the_policy_is_that_of_the_domain_or_of_its_organization() {
    let record = "v=DMARC1; p=reject; sp=quarantine; np=none";
    let dns = zone(&[("_dmarc.b.example", record), ("s.b.example", "x")]);
    for (author, policy) in [
        ("b.example", Some(Policy::Reject)),
        ("s.b.example", Some(Policy::Quarantine)),
        ("nobody.b.example", Some(Policy::None)),
        ("example", None),
        ("c.example", None),
    ] {
        assert_eq!(outcome(&dns, author, &[]).await.policy, policy, "{author}");
    }
    // What only begins like a record is none.
    dns.add_text("_dmarc.b.example", b"v=DMARC10; p=none");
    let found = outcome(&dns, "b.example", &[]).await.policy;
    assert_eq!(found, Some(Policy::Reject));
    // RFC 9989 4.10: two are none.
    dns.add_text("_dmarc.b.example", b"v=DMARC1; p=none");
    assert_eq!(outcome(&dns, "b.example", &[]).await.policy, None);
}

#[tokio::test]
async fn alignment_is_within_an_organization() {
    use By::{Dkim, Spf};
    let dns = zone(&[
        ("_dmarc.b.example", "v=DMARC1; p=reject"),
        (
            "_dmarc.strict.example",
            "v=DMARC1; p=reject; adkim=s; aspf=s",
        ),
        ("_dmarc.own.b.example", "v=DMARC1; p=reject; psd=n"),
        ("_dmarc.gov.example", "v=DMARC1; p=reject; psd=y"),
    ]);
    for (author, identifier, by, passes) in [
        ("b.example", "b.example", Spf, true),
        ("b.example", "mail.b.example", Spf, true),
        ("a.b.example", "b.example", Dkim, true),
        ("a.b.example", "c.b.example", Dkim, true),
        ("b.example", "xb.example", Dkim, false),
        ("b.example", "example", Dkim, false),
        ("b.example", "c.example", Dkim, false),
        ("strict.example", "strict.example", Dkim, true),
        ("strict.example", "a.strict.example", Dkim, false),
        ("strict.example", "a.strict.example", Spf, false),
        // An organization of its own.
        ("b.example", "own.b.example", Dkim, false),
        ("x.own.b.example", "own.b.example", Dkim, true),
        ("x.own.b.example", "b.example", Dkim, false),
        // Names below a public suffix have nothing to do with each other.
        ("a.gov.example", "b.gov.example", Dkim, false),
        ("x.a.gov.example", "a.gov.example", Dkim, true),
    ] {
        let result = outcome(&dns, author, &[(identifier, by, false)])
            .await
            .result;
        let expected = if passes {
            DmarcResult::Pass
        } else {
            DmarcResult::Fail
        };
        assert_eq!(result, expected, "{author} {identifier}");
    }
}

#[tokio::test]
async fn dns_02_unknown_identifiers_count_only_when_aligned() {
    let dns = zone(&[("_dmarc.b.example", "v=DMARC1; p=reject")]);
    for (identifiers, result) in [
        (&[("b.example", By::Spf, true)][..], DmarcResult::TempError),
        (&[("c.example", By::Spf, true)], DmarcResult::Fail),
        (
            &[("b.example", By::Spf, true), ("b.example", By::Dkim, false)],
            DmarcResult::Pass,
        ),
    ] {
        assert_eq!(outcome(&dns, "b.example", identifiers).await.result, result);
    }
}

#[tokio::test]
async fn dns_02_the_policy_of_a_public_suffix_is_not_that_of_an_unknown_domain() {
    let dns = zone(&[("_dmarc.gov.example", "v=DMARC1; p=reject; psd=y")]);
    let found = outcome(&dns, "x.a.gov.example", &[]).await;
    assert_eq!(found.policy, Some(Policy::Reject));
    let late = Answer::Temporary("for a test".to_owned());
    dns.set_texts_answer("_dmarc.a.gov.example", late);
    let found = outcome(&dns, "x.a.gov.example", &[]).await;
    assert_eq!(found.policy, None);
    assert_eq!(found.result, DmarcResult::TempError);
}
