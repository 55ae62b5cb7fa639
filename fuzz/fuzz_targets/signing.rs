//! Any header and body: what we sign is what we verify, however the body was cut.
//!
//! The input is cut at the first 0x1e: header, body. A header is signed if it names one author.
#![no_main]

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use buzon::{
    base::{clock::Timestamp, random::Random},
    dns::Fake,
    mail::{address::Domain, algorithm::Algorithm, envelope::ReversePath},
    verify::{Client, Draft, Options, Signer, SigningKey, Verifier},
};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;

static KEY: LazyLock<Arc<SigningKey>> = LazyLock::new(|| {
    let algorithm = Algorithm::Ed25519Sha256;
    let bytes = SigningKey::generate(algorithm, &Random::seeded(1)).unwrap();
    Arc::new(SigningKey::read(algorithm, &bytes).unwrap())
});

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap()
});

fuzz_target!(|data: &[u8]| {
    let cut = data.iter().position(|byte| *byte == 0x1e);
    let (header, body) = data.split_at(cut.unwrap_or(data.len()));
    let body = body.get(1..).unwrap_or_default();
    let header = [b"From: x@a.example\r\n", header].concat();
    let mut draft = Draft::new(Bytes::copy_from_slice(&header));
    let Some(domain) = draft.author_domain() else {
        return;
    };
    draft.feed(body);
    let signer = Signer {
        domain: domain.clone(),
        selector: "s".to_owned(),
        key: KEY.clone(),
    };
    let fields = draft.sign(&[signer], 1_600_000_000);
    let dns = Fake::new();
    dns.add_text(&format!("s._domainkey.{domain}"), KEY.record().as_bytes());
    let options = Options {
        host: Domain::parse("mx.example").unwrap(),
        enforced: true,
        trusted_sealers: Vec::new(),
        time_max: Duration::from_secs(20),
    };
    let verifier = Verifier::new(options, Arc::new(dns), Random::seeded(1));
    let mut examination = verifier.examine([&fields[..], &header].concat().into(), false);
    for piece in body.chunks(7) {
        examination.feed(piece);
    }
    let client = Client {
        ip: Some([192, 0, 2, 1].into()),
        helo: "client.example",
        sender: &ReversePath::Null,
    };
    let judging = verifier.judge(examination, client, Timestamp::from_secs(1_600_000_001));
    let findings = RUNTIME.block_on(judging);
    // The first of perhaps several.
    assert!(
        findings.summary.contains("dkim=pass"),
        "{} {:?}",
        findings.summary,
        String::from_utf8_lossy(&fields)
    );
});
