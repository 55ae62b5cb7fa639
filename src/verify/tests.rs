//! Whole messages: what is found out, and what is done with them.

use std::net::IpAddr;

use super::*;
use crate::{dns::Fake, mail::envelope::parse_reverse_path};

/// A message of the corpus.
pub(super) fn signed(name: &str) -> Vec<u8> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/signed");
    std::fs::read(format!("{dir}/{name}.eml")).unwrap()
}

/// A DNS with the keys of the corpus.
pub(super) fn keys() -> Fake {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/signed/keys.txt");
    let dns = Fake::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let (name, record) = line.split_once(' ').unwrap();
        dns.add_text(name, record.as_bytes());
    }
    dns
}

pub(super) fn verifier(dns: &Fake, change: impl FnOnce(&mut Options)) -> Verifier {
    let mut options = Options {
        host: Domain::parse("mx.example").unwrap(),
        enforced: true,
        trusted_sealers: Vec::new(),
        time_max: Duration::from_secs(20),
    };
    change(&mut options);
    Verifier::new(options, Arc::new(dns.clone()), Random::seeded(1))
}

/// What is found out about a message that comes whole.
pub(super) async fn found(verifier: &Verifier, message: &[u8], sender: &str) -> Findings {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n");
    let (header, body) = message.split_at(end.unwrap() + 2);
    let mut examination = verifier.examine(Bytes::copy_from_slice(header), true);
    for piece in body[2..].chunks(7) {
        examination.feed(piece);
    }
    let sender = format!("<{sender}>");
    let (sender, _) = parse_reverse_path(&sender).unwrap();
    let client = Client {
        ip: Some(CLIENT),
        helo: "out.author.example",
        sender: &sender,
    };
    // Between the signatures of RFC 8463 and the end of those that expire.
    verifier
        .judge(examination, client, Timestamp::from_secs(1_600_000_000))
        .await
}

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn field(found: &Findings) -> &str {
    std::str::from_utf8(&found.field).unwrap()
}

fn temporary<T>() -> Answer<T> {
    Answer::Temporary("for a test".to_owned())
}

#[tokio::test]
async fn a_message_that_its_domain_vouches_for_is_accepted() {
    let dns = keys();
    dns.add_name(CLIENT, "out.author.example");
    dns.add_address("out.author.example", CLIENT);
    dns.add_text("author.example", b"v=spf1 ip4:192.0.2.0/24 -all");
    dns.add_text("out.author.example", b"v=spf1 a -all");
    dns.add_text("_dmarc.author.example", b"v=DMARC1; p=reject");
    let message = signed("relaxed-relaxed");
    let found = found(&verifier(&dns, |_| {}), &message, "ann@author.example").await;
    assert_eq!(found.verdict, Verdict::Accept);
    assert_eq!(found.reverse_name.as_deref(), Some("out.author.example"));
    assert_eq!(found.summary, "spf=pass dkim=pass dmarc=pass arc=none");
    let mark = field(&found).split("header.b=").nth(1).unwrap();
    assert_eq!(
        field(&found),
        format!(
            "Authentication-Results: mx.example;\r\n\
             \tiprev=pass policy.iprev=192.0.2.1;\r\n\
             \tspf=pass smtp.helo=out.author.example;\r\n\
             \tspf=pass smtp.mailfrom=author.example;\r\n\
             \tdkim=pass header.d=author.example header.s=s1 header.a=rsa-sha256 \
             header.b={};\r\n\
             \tdmarc=pass header.from=author.example policy.dmarc=reject\r\n",
            mark.split(';').next().unwrap()
        )
    );
}

#[tokio::test]
async fn dmarc_policies_are_applied_to_what_nobody_vouches_for() {
    for (record, verdict) in [
        ("v=DMARC1; p=reject", Verdict::Refuse),
        ("v=DMARC1; p=quarantine", Verdict::Quarantine),
        ("v=DMARC1; p=none", Verdict::Accept),
        ("v=DMARC1; p=reject; t=y", Verdict::Quarantine),
        ("v=DMARC1; p=reject; pct=0", Verdict::Quarantine),
        ("v=DMARC1; p=quarantine; pct=0", Verdict::Accept),
        ("v=DMARC2; p=reject", Verdict::Accept),
    ] {
        let dns = Fake::new();
        dns.add_text("_dmarc.author.example", record.as_bytes());
        let message = b"From: ann@author.example\r\n\r\n";
        let told = verifier(&dns, |_| {});
        let found_out = found(&told, message, "ann@author.example").await;
        assert_eq!(found_out.verdict, verdict, "{record}");
        let tagged = verifier(&dns, |options| options.enforced = false);
        let tagged = found(&tagged, message, "ann@author.example").await;
        assert_eq!(tagged.verdict, Verdict::Accept);
        assert_eq!(tagged.field, found_out.field);
    }
}

#[tokio::test]
async fn dns_02_what_is_unknown_delays_only_where_it_would_decide() {
    let message = signed("relaxed-relaxed");
    let reject = Answer::Found(vec![b"v=DMARC1; p=reject".to_vec()]);
    let none = Answer::Found(vec![b"v=DMARC1; p=none".to_vec()]);
    let good_key = keys().texts("s1._domainkey.author.example").await;
    let no_key = Answer::NoSuchName;
    for (policy, key, spf, verdict, dmarc) in [
        (&reject, &good_key, &temporary(), Verdict::Accept, "pass"),
        (&reject, &temporary(), &no_key, Verdict::Defer, "temperror"),
        (&reject, &no_key, &temporary(), Verdict::Defer, "temperror"),
        (&none, &temporary(), &no_key, Verdict::Accept, "temperror"),
        (
            &temporary(),
            &good_key,
            &no_key,
            Verdict::Accept,
            "temperror",
        ),
        (&temporary(), &no_key, &no_key, Verdict::Defer, "temperror"),
        (&no_key, &temporary(), &temporary(), Verdict::Accept, "none"),
        (&reject, &no_key, &no_key, Verdict::Refuse, "fail"),
    ] {
        let dns = Fake::new();
        dns.set_texts_answer("_dmarc.author.example", policy.clone());
        dns.set_texts_answer("s1._domainkey.author.example", key.clone());
        dns.set_texts_answer("author.example", spf.clone());
        let found = found(&verifier(&dns, |_| {}), &message, "ann@author.example").await;
        assert_eq!(found.verdict, verdict, "{}", field(&found));
        let shown = format!("dmarc={dmarc}");
        assert!(field(&found).contains(&shown), "{}", field(&found));
    }
}

#[tokio::test]
async fn dmarc_01_from_must_name_one_domain() {
    let dns = Fake::new();
    dns.add_text("_dmarc.b.example", b"v=DMARC1; p=reject");
    for (header, verdict) in [
        ("To: a@b.example\r\n", Verdict::Accept),
        ("From: a@c.example\r\n", Verdict::Accept),
        ("From: a@c.example, a@b.example\r\n", Verdict::Refuse),
        (
            "From: a@c.example\r\nFrom: a@b.example\r\n",
            Verdict::Unclear,
        ),
        ("From: somebody\r\n", Verdict::Unclear),
    ] {
        let message = format!("{header}\r\n");
        let found = found(&verifier(&dns, |_| {}), message.as_bytes(), "x@d.example").await;
        assert_eq!(found.verdict, verdict, "{header}");
    }
}

#[tokio::test]
async fn arc_01_only_named_sealers_are_believed() {
    let dns = keys();
    dns.add_text("_dmarc.author.example", b"v=DMARC1; p=reject");
    for (message, trusted, verdict) in [
        ("arc-one", &[][..], Verdict::Refuse),
        ("arc-one", &["list.example"][..], Verdict::Accept),
        ("arc-one", &["second.example"], Verdict::Refuse),
        ("arc-two", &["second.example"], Verdict::Refuse),
        ("arc-two", &["list.example"], Verdict::Refuse),
        (
            "arc-two",
            &["list.example", "second.example"],
            Verdict::Accept,
        ),
    ] {
        let judge = verifier(&dns, |options| {
            options.trusted_sealers = trusted.iter().map(|name| (*name).to_owned()).collect();
        });
        let message = signed(message);
        let found_out = found(&judge, &message, "list@list.example").await;
        assert_eq!(found_out.verdict, verdict, "{}", field(&found_out));
        assert!(field(&found_out).contains("arc=pass"));
        assert!(field(&found_out).contains("dmarc=fail"));
        // A chain that does not hold vouches for nobody.
        let changed = String::from_utf8(message)
            .unwrap()
            .replace("Hello", "Hullo");
        let found_out = found(&judge, changed.as_bytes(), "list@list.example").await;
        assert_eq!(found_out.verdict, Verdict::Refuse);
        assert!(field(&found_out).contains("arc=fail"));
    }
    dns.set_texts_answer("s1._domainkey.list.example", temporary());
    let judge = verifier(&dns, |options| {
        options.trusted_sealers = vec!["list.example".to_owned()];
    });
    let found_out = found(&judge, &signed("arc-one"), "list@list.example").await;
    assert_eq!(found_out.verdict, Verdict::Defer, "{}", field(&found_out));
}

#[tokio::test(start_paused = true)]
async fn slow_name_servers_hold_a_message_for_a_bounded_time() {
    let dns = keys();
    dns.add_text("_dmarc.author.example", b"v=DMARC1; p=reject");
    dns.set_delay(Duration::from_secs(29));
    let began = Instant::now();
    let message = signed("arc-two");
    let found = found(&verifier(&dns, |_| {}), &message, "ann@author.example").await;
    assert_eq!(found.verdict, Verdict::Defer);
    assert!(began.elapsed() <= Duration::from_secs(20));
}

/// Pieces of headers and of records, good and bad, to be thrown together.
const PIECES: &[&str] = &[
    "DKIM-Signature: ",
    "ARC-Seal: ",
    "ARC-Message-Signature: ",
    "ARC-Authentication-Results: ",
    "From: ",
    "Authentication-Results: ",
    "v=1; ",
    "i=1; ",
    "i=2; ",
    "cv=none; ",
    "cv=pass; ",
    "a=rsa-sha256; ",
    "a=ed25519-sha256; ",
    "d=a.example; ",
    "s=s; ",
    "h=from; ",
    "h=:; ",
    "bh=AAAA; ",
    "b=AAAA; ",
    "b=; ",
    "c=relaxed; ",
    "c=/; ",
    "l=3; ",
    "l=99999999999999999999; ",
    "x=1; ",
    "t=2; ",
    "\r\n",
    "\r\n ",
    ";",
    "=",
    ":",
    "<a@a.example>",
    ",",
    "a@[1.2.3.4]",
    "\u{e9}",
    "\0",
    "\"",
    "(",
    ")",
    "dmarc=pass",
    "v=spf1",
    " ",
    "include:",
    "a.example",
    "%{l}",
    "%{d99r.}",
    "/",
    "//",
    "mx",
    "ptr",
    "exists:",
    "redirect=",
    "-all",
    "ip4:",
    "1.2.3.4",
    "v=DKIM1; ",
    "p=",
    "MIGf",
    "k=ed25519; ",
    "v=DMARC1; ",
    "p=reject; ",
    "sp=none; ",
    "psd=y; ",
    "pct=1; ",
];

fn pieces(most: usize) -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let piece = proptest::sample::select(PIECES);
    proptest::collection::vec(piece, 0..most).prop_map(|pieces| pieces.concat())
}

proptest::proptest! {
    #[test]
    fn nothing_of_a_peer_breaks_the_judgement_or_its_field(
        header in pieces(60), spf in pieces(12), key in pieces(8), dmarc in pieces(8),
    ) {
        let dns = Fake::new();
        dns.add_text("a.example", format!("v=spf1 {spf}").as_bytes());
        dns.add_text("s._domainkey.a.example", key.as_bytes());
        dns.add_text("_dmarc.a.example", format!("v=DMARC1; {dmarc}").as_bytes());
        let message = format!("{header}\r\n\r\nbody");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let found = runtime.unwrap().block_on(found(
            &verifier(&dns, |options| options.trusted_sealers = vec!["a.example".to_owned()]),
            message.as_bytes(),
            "x@a.example",
        ));
        let field = field(&found);
        proptest::prop_assert!(field.is_ascii() && field.ends_with("\r\n"));
        proptest::prop_assert!(field.starts_with("Authentication-Results: mx.example;"));
        let lines = field.split("\r\n").skip(1).filter(|line| !line.is_empty());
        for line in lines {
            proptest::prop_assert!(line.starts_with('\t') && line.len() < 998);
            proptest::prop_assert!(!line.contains(['\r', '\n']));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_decides_nothing_takes_no_time_from_what_does() {
    let dns = Fake::new();
    dns.set_delay(Duration::from_secs(6));
    let began = Instant::now();
    let questions = Questions::new(&dns, began + Duration::from_secs(20));
    assert_eq!(iprev(questions, Some(CLIENT)).await, Iprev::TempError);
    assert!(began.elapsed() < Duration::from_secs(6));

    // The organization of who vouches is asked for beside all else: three rounds, not four.
    dns.add_text("_dmarc.b.example", b"v=DMARC1; p=reject");
    dns.add_text("mail.b.example", b"v=spf1 include:c.example -all");
    dns.add_text("c.example", b"v=spf1 redirect=d.example");
    dns.add_text("d.example", b"v=spf1 ip4:192.0.2.1 -all");
    let began = Instant::now();
    let message = b"From: ann@www.b.example\r\n\r\n";
    let found = found(&verifier(&dns, |_| {}), message, "ann@mail.b.example").await;
    assert!(field(&found).contains("dmarc=pass"), "{}", field(&found));
    assert!(began.elapsed() <= Duration::from_secs(18));
}

#[tokio::test]
async fn rfc_6376_8_15_a_field_that_was_added_takes_the_credit() {
    let dns = keys();
    dns.add_text("_dmarc.author.example", b"v=DMARC1; p=reject");
    let message = String::from_utf8(signed("relaxed-relaxed")).unwrap();
    for (name, verdict) in [("Subject", Verdict::Refuse), ("X-Other", Verdict::Accept)] {
        let added = format!("{name}: more\r\n{message}");
        let found = found(&verifier(&dns, |_| {}), added.as_bytes(), "x@y.example").await;
        assert_eq!(found.verdict, verdict, "{}", field(&found));
        let told = field(&found).contains("dkim=policy reason=\"a field was added\"");
        assert_eq!(told, verdict == Verdict::Refuse, "{}", field(&found));
    }
}
