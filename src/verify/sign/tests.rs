//! What we sign is what others, and we, can verify.

use super::{super::tests as whole, *};
use crate::dns::Fake;

/// The RSA key of RFC 8463 A.1 is too short for us; this one is of the tests.
fn signers(dns: &Fake, domain: &str) -> Vec<Signer> {
    let signer = |algorithm: Algorithm| {
        let bytes = SigningKey::generate(algorithm, &Random::system()).unwrap();
        let key = Arc::new(SigningKey::read(algorithm, &bytes).unwrap());
        let selector = algorithm.key_type().to_owned();
        dns.add_text(
            &format!("{selector}._domainkey.{domain}"),
            key.record().as_bytes(),
        );
        Signer {
            domain: domain.to_owned(),
            selector,
            key,
        }
    };
    Algorithm::ALL.map(signer).into()
}

fn signed(header: &str, body: &str, signers: &[Signer]) -> String {
    let mut draft = Draft::new(Bytes::copy_from_slice(header.as_bytes()));
    for piece in body.as_bytes().chunks(3) {
        draft.feed(piece);
    }
    let fields = draft.sign(signers, 1_600_000_000);
    format!("{}{header}\r\n{body}", String::from_utf8(fields).unwrap())
}

#[tokio::test]
async fn dkim_02_what_is_signed_holds_and_nothing_can_be_added() {
    let dns = Fake::new();
    let signers = signers(&dns, "a.example");
    let header = "From: x@a.example\r\nTo: y@b.example\r\nSubject:  two\r\n\tlines \r\n\
                  MIME-Version: 1.0\r\nContent-Type: text/plain\r\n";
    let message = signed(header, "Hi. \r\n\r\n there\t\r\n\r\n", &signers);
    let oversigned = "h=from:from:reply-to:subject:subject:date:to:to:cc:mime-version:\
                      mime-version:content-type:content-type:content-transfer-encoding;";
    assert!(
        message.replace("\r\n\t ", "").contains(oversigned),
        "{message}"
    );
    assert!(message.lines().all(|line| line.len() <= 90), "{message}");
    let verifier = whole::verifier(&dns, |options| options.enforced = false);
    for (from, to, holds) in [
        ("", "", true),
        (
            "Subject:  two\r\n\tlines \r\n",
            "SUBJECT: two lines\r\n",
            true,
        ),
        (
            "DKIM-Signature: v=1; a=rsa",
            "Received: x\r\nDKIM-Signature: v=1; a=rsa",
            true,
        ),
        ("From: x@", "From: eve@c.example\r\nFrom: x@", false),
        ("Subject: ", "Subject: more\r\nSubject: ", false),
        ("To: y", "Cc: z@b.example\r\nTo: y", false),
        ("Content-Type: text/plain", "Content-Type: text/html", false),
        ("there", "where", false),
    ] {
        let changed = message.replacen(from, to, 1);
        let found = whole::found(&verifier, changed.as_bytes(), "x@a.example").await;
        let field = std::str::from_utf8(&found.field).unwrap();
        let expected = if holds { "dkim=pass" } else { "dkim=fail" };
        assert_eq!(field.matches(expected).count(), 2, "{from}: {field}");
    }
}

#[test]
fn keys_are_of_the_announced_kind_and_size() {
    for algorithm in Algorithm::ALL {
        let bytes = SigningKey::generate(algorithm, &Random::system()).unwrap();
        let key = SigningKey::read(algorithm, &bytes).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        let kind = format!("v=DKIM1; k={}; p=", algorithm.key_type());
        assert!(key.record().starts_with(&kind));
        let length = key.record().len() - kind.len();
        assert_eq!(
            length,
            if algorithm == Algorithm::RsaSha256 {
                392
            } else {
                44
            }
        );
        assert!(SigningKey::read(algorithm, &bytes[1..]).is_none());
    }
}

#[test]
fn only_one_author_signs() {
    for (header, domain) in [
        ("From: x@A.example\r\n", Some("a.example")),
        ("From: x@a.example, y@a.example\r\n", Some("a.example")),
        ("From: x@a.example, y@b.example\r\n", None),
        ("To: x@a.example\r\n", None),
    ] {
        let draft = Draft::new(Bytes::copy_from_slice(header.as_bytes()));
        assert_eq!(draft.author_domain().as_deref(), domain, "{header}");
    }
}

#[test]
fn dkim_02_however_often_a_field_stands_there_it_is_signed_once_more() {
    for (count, subjects, senders) in [(0, 1, 0), (1, 2, 1), (20, 21, 20), (99, 100, 20)] {
        let header = Header::new(Bytes::from("Subject: x\r\nSender: y\r\n".repeat(count)));
        let names = signed_names(&header, &[]);
        let signed = |of: &str| names.iter().filter(|name| *name == of).count();
        assert_eq!((signed("subject"), signed("sender")), (subjects, senders));
    }
}

#[tokio::test]
async fn dkim_02_what_stands_there_too_often_is_signed_so_that_it_holds() {
    let dns = Fake::new();
    let signers = signers(&dns, "a.example");
    let header = "From: x@a.example\r\n".to_owned() + &"To: y@b.example\r\n".repeat(25);
    let header = header + &"Resent-To: z@b.example\r\n".repeat(25);
    let message = signed(&header, "Hi.\r\n", &signers);
    let verifier = whole::verifier(&dns, |options| options.enforced = false);
    for (more, holds) in [
        ("", 2),
        ("To: eve@b.example\r\n", 0),
        ("From: eve@a.example\r\n", 0),
    ] {
        let message = format!("{more}{message}");
        let found = whole::found(&verifier, message.as_bytes(), "x@a.example").await;
        let field = std::str::from_utf8(&found.field).unwrap();
        assert_eq!(field.matches("dkim=pass").count(), holds, "{more}: {field}");
    }
}
