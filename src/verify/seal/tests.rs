//! Sets that we add, looked at by our own verifier: over no chain, a good one, a bad one.

use std::sync::OnceLock;

use super::{
    super::{Findings, SigningKey, tests as whole},
    *,
};
use crate::{base::random::Random, dns::Fake, mail::algorithm::Algorithm};

/// Everybody has the same key: it takes long to make one.
fn signer(dns: &Fake, domain: &str) -> Signer {
    static KEY: OnceLock<Vec<u8>> = OnceLock::new();
    let algorithm = Algorithm::RsaSha256;
    let bytes = KEY.get_or_init(|| SigningKey::generate(algorithm, &Random::system()).unwrap());
    let key = Arc::new(SigningKey::read(algorithm, bytes).unwrap());
    let name = format!("s._domainkey.{domain}");
    dns.add_text(&name, key.record().as_bytes());
    Signer {
        domain: domain.to_owned(),
        selector: "s".to_owned(),
        key,
    }
}

async fn found(dns: &Fake, message: &[u8]) -> Findings {
    let verifier = whole::verifier(dns, |options| options.enforced = false);
    whole::found(&verifier, message, "x@y.example").await
}

fn arc(found: &Findings) -> String {
    let (_, arc) = found.summary.split_once(" arc=").unwrap();
    arc.to_owned()
}

/// The message with one set more.
async fn passed_on(dns: &Fake, message: &[u8], signer: &Signer) -> Option<Vec<u8>> {
    let sealable = found(dns, message).await.sealable?;
    let set = sealable.seal(signer, 1_600_000_000).unwrap();
    assert!(set.lines().all(|line| line.len() <= 120), "{set}");
    Some([set.as_bytes(), message].concat())
}

#[tokio::test]
async fn rfc_8617_5_1_a_set_continues_what_came() {
    let dns = whole::keys();
    let (one, two) = (signer(&dns, "one.example"), signer(&dns, "two.example"));
    for (name, before, seal) in [
        (
            "relaxed-relaxed",
            "none",
            "ARC-Seal: i=1; a=rsa-sha256; cv=none;",
        ),
        ("arc-one", "pass", "ARC-Seal: i=2; a=rsa-sha256; cv=pass;"),
        ("arc-two", "pass", "ARC-Seal: i=3; a=rsa-sha256; cv=pass;"),
    ] {
        let message = whole::signed(name);
        assert_eq!(arc(&found(&dns, &message).await), before, "{name}");
        let once = passed_on(&dns, &message, &one).await.unwrap();
        let text = String::from_utf8_lossy(&once);
        assert!(text.starts_with(seal), "{text}");
        assert!(text.contains("; mx.example;\r\n\tiprev="), "{text}");
        assert_eq!(arc(&found(&dns, &once).await), "pass", "{text}");
        let twice = passed_on(&dns, &once, &two).await.unwrap();
        assert_eq!(arc(&found(&dns, &twice).await), "pass");
        // A changed message no longer holds, and what the first set said cannot be changed.
        for (from, to) in [
            ("There", "Here"),
            ("Subject:", "Subject: x"),
            ("mx.example", "m.example"),
        ] {
            let text = String::from_utf8(twice.clone()).unwrap();
            assert!(text.contains(from), "{from}");
            let changed = text.replacen(from, to, 2);
            assert_eq!(
                arc(&found(&dns, changed.as_bytes()).await),
                "fail",
                "{from}"
            );
        }
    }
}

#[tokio::test]
async fn rfc_8617_5_1_2_a_broken_chain_is_marked_once() {
    let dns = whole::keys();
    let (one, two) = (signer(&dns, "one.example"), signer(&dns, "two.example"));
    let broken = String::from_utf8(whole::signed("arc-two")).unwrap();
    let broken = broken.replacen("Subject:", "Subject: [x]", 1);
    let marked = passed_on(&dns, broken.as_bytes(), &one).await.unwrap();
    let text = String::from_utf8_lossy(&marked);
    assert!(
        text.starts_with("ARC-Seal: i=3; a=rsa-sha256; cv=fail;"),
        "{text}"
    );
    assert_eq!(arc(&found(&dns, &marked).await), "fail");
    assert!(passed_on(&dns, &marked, &two).await.is_none());
    // The set is whole by itself: the seal covers it alone.
    let header = Header::new(marked.clone().into());
    let mut covered = Vec::new();
    for name in ["arc-authentication-results", "arc-message-signature"] {
        Canon::Relaxed.field(header.field(header.places(name)[0]), &mut covered);
    }
    let seal = header.field(header.places("arc-seal")[0]);
    let text = std::str::from_utf8(seal).unwrap();
    let (empty, _) = text.split_once("b=").unwrap();
    let again = finished(format!("{empty}b="), covered, &one).unwrap();
    assert_eq!(again, text);
}

#[tokio::test]
async fn arc_01_a_chain_has_fifty_sets_at_most() {
    let dns = whole::keys();
    let one = signer(&dns, "one.example");
    let mut message = whole::signed("relaxed-relaxed");
    for _ in 0..50 {
        message = passed_on(&dns, &message, &one).await.unwrap();
    }
    assert_eq!(arc(&found(&dns, &message).await), "pass");
    assert!(passed_on(&dns, &message, &one).await.is_none());
}

#[tokio::test]
async fn dns_02_what_cannot_be_checked_now_is_left_as_it_is() {
    let dns = whole::keys();
    let one = signer(&dns, "one.example");
    let message = whole::signed("arc-one");
    let name = "s1._domainkey.list.example";
    dns.set_texts_answer(name, crate::dns::Answer::Temporary("down".to_owned()));
    assert_eq!(arc(&found(&dns, &message).await), "temperror");
    assert!(passed_on(&dns, &message, &one).await.is_none());
}
