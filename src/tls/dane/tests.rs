//! Real certificates against records of every kind.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair,
    PublicKeyData as _, date_time_ymd,
};

use super::*;

struct Made {
    authority: CertificateDer<'static>,
    authority_key: Vec<u8>,
    server: Certificate,
    server_key: Vec<u8>,
}

/// An authority, and a server's certificate for `mx.example` from it.
fn made(expired: bool) -> Made {
    let mut of_authority = CertificateParams::new(Vec::new()).unwrap();
    of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(of_authority, KeyPair::generate().unwrap()).unwrap();
    let mut of_server = CertificateParams::new(vec!["mx.example".to_owned()]).unwrap();
    if expired {
        of_server.not_after = date_time_ymd(2001, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    Made {
        authority_key: issuer.key().subject_public_key_info(),
        server: of_server.signed_by(&key, &issuer).unwrap(),
        server_key: key.subject_public_key_info(),
        authority: issuer.der().clone(),
    }
}

fn digested(matching: u8, bytes: &[u8]) -> Vec<u8> {
    match matching {
        1 => digest::digest(&digest::SHA256, bytes).as_ref().to_vec(),
        2 => digest::digest(&digest::SHA512, bytes).as_ref().to_vec(),
        _ => bytes.to_vec(),
    }
}

type Record = (u8, u8, u8, Vec<u8>);

/// Whether the server's certificate, shown with `chain`, is believed.
fn believed(made: &Made, records: Vec<Record>, names: &[&str], chain: bool) -> bool {
    let dane = Dane {
        associations: associations(records),
        names: names
            .iter()
            .map(|name| ServerName::try_from((*name).to_owned()).unwrap())
            .collect(),
        algorithms: provider().signature_verification_algorithms,
    };
    let chain: Vec<_> = chain.then(|| made.authority.clone()).into_iter().collect();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));
    dane.judge(made.server.der(), &chain, now).is_ok()
}

#[test]
fn tls_07_every_selector_and_matching_type_is_compared() {
    let made = made(false);
    let other = self::made(false);
    for matching in [0, 1, 2] {
        for (selector, own, wrong, authority) in [
            (
                0,
                made.server.der().to_vec(),
                other.server.der().to_vec(),
                made.authority.to_vec(),
            ),
            (
                1,
                made.server_key.clone(),
                other.server_key.clone(),
                made.authority_key.clone(),
            ),
        ] {
            let record = |usage, of: &[u8]| (usage, selector, matching, digested(matching, of));
            let kind = format!("{selector} {matching}");
            let right: &[&str] = &["other.example", "mx.example"];
            assert!(believed(&made, vec![record(3, &own)], &[], false), "{kind}");
            assert!(
                !believed(&made, vec![record(3, &wrong)], right, true),
                "{kind}"
            );
            // One of several is enough: keys are replaced with both published.
            let both = vec![record(3, &wrong), record(3, &own)];
            assert!(believed(&made, both, &[], false), "{kind}");
            let anchored = || vec![record(2, &authority)];
            assert!(believed(&made, anchored(), right, true), "{kind}");
            assert!(
                !believed(&made, anchored(), &["other.example"], true),
                "{kind}"
            );
            // What is not shown vouches for nobody, unless the record holds all of it.
            let whole = (selector, matching) == (0, 0);
            assert_eq!(believed(&made, anchored(), right, false), whole, "{kind}");
            // A record about authorities says nothing of the server's own certificate.
            assert!(
                !believed(&made, vec![record(2, &own)], right, true),
                "{kind}"
            );
            // Nor does an authority stand for the server.
            assert!(
                !believed(&made, vec![record(3, &authority)], right, true),
                "{kind}"
            );
            assert!(!believed(&other, anchored(), right, true), "{kind}");
        }
    }
}

#[test]
fn tls_07_what_is_suggested_for_a_certificate_speaks_of_it() {
    let (made, other) = (made(false), made(false));
    let record = of_key(made.server.der()).unwrap();
    assert_eq!(record.3, digested(1, &made.server_key));
    assert!(believed(&made, vec![record.clone()], &[], false));
    assert!(!believed(&other, vec![record], &[], false));
    assert_eq!(of_key(&CertificateDer::from(&b"x"[..])), None);
}

#[test]
fn tls_07_dates_count_for_chains_and_not_for_keys() {
    let made = made(true);
    let key = |usage, of: &[u8]| vec![(usage, 1, 1, digested(1, of))];
    assert!(believed(&made, key(3, &made.server_key), &[], false));
    let anchored = key(2, &made.authority_key);
    assert!(!believed(&made, anchored, &["mx.example"], true));
}

#[test]
fn tls_07_records_of_no_use_are_left_out() {
    let digest = vec![7; 32];
    for (usage, selector, matching, data, usable) in [
        (3, 1, 1, digest.clone(), true),
        (2, 0, 1, digest.clone(), true),
        (3, 0, 2, vec![7; 64], true),
        (3, 0, 0, vec![7], true),
        // RFC 7672 3.1.3.
        (0, 1, 1, digest.clone(), false),
        (1, 1, 1, digest.clone(), false),
        (4, 1, 1, digest.clone(), false),
        (255, 1, 1, digest.clone(), false),
        (3, 2, 1, digest.clone(), false),
        (3, 255, 1, digest.clone(), false),
        (3, 1, 3, digest, false),
        // Of no length that a digest has: RDATA may be as short as it likes.
        (3, 1, 1, vec![7; 31], false),
        (3, 1, 2, vec![7; 32], false),
        (3, 1, 1, Vec::new(), false),
        (3, 1, 0, Vec::new(), false),
    ] {
        let kept = associations([(usage, selector, matching, data)]);
        assert_eq!(!kept.is_empty(), usable, "{usage} {selector} {matching}");
    }
}

#[test]
fn tls_07_the_stronger_digest_counts() {
    let made = made(false);
    let right = (3, 1, 1, digested(1, &made.server_key));
    let stronger = (3, 1, 2, vec![0; 64]);
    assert!(!believed(&made, vec![right.clone(), stronger], &[], false));
    // Of another selector it says nothing.
    let elsewhere = (3, 0, 2, vec![0; 64]);
    assert!(believed(&made, vec![right, elsewhere], &[], false));
}

#[test]
fn tls_07_certificates_that_are_none_match_nothing() {
    let records = associations([(3, 1, 1, vec![7; 32]), (2, 0, 0, vec![1, 2, 3])]);
    let dane = Dane {
        associations: records,
        names: Vec::new(),
        algorithms: provider().signature_verification_algorithms,
    };
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));
    for garbage in [&b""[..], b"\x30\x82\xff\xff", &[0x30; 300]] {
        let garbage = CertificateDer::from(garbage);
        let chain = [garbage.clone()];
        let result = dane.judge(&garbage, &chain, now);
        assert!(result.is_err());
    }
}
