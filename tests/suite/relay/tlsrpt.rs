//! TLS reports: what deliveries leave in them, a day later.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use buzon::{
    base::future::BoxFuture,
    mail::{
        address::{Address, Domain},
        envelope::{MailOptions, RcptOptions},
    },
    relay::{
        FetchError,
        tlsrpt::{Ledger, Parts, Post},
    },
    smtp::client::conversation::Security,
};
use miniz_oxide::inflate::decompress_to_vec;
use serde_json::{Value, json};

use super::{
    policy::{FIRST, Identity, Servers, found, identity},
    sts,
    world::{World, minutes},
};

/// Who is given reports over HTTPS.
pub(crate) struct Collector {
    pub(crate) takes: bool,
}

impl Post for Collector {
    fn post<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Vec<u8>,
    ) -> BoxFuture<'a, Result<(), FetchError>> {
        Box::pin(async { self.takes.then_some(()).ok_or(FetchError::TimedOut) })
    }
}

/// A world that reports to there.example, whose policy is this.
fn world(servers: &Servers, policy: &str, trusted: &[&Identity]) -> World {
    let mut world = sts::world(servers, policy, trusted);
    world.dns.add_text(
        "_smtp._tls.there.example",
        b"v=TLSRPTv1; rua=mailto:rua@there.example",
    );
    world.ledger = Some(ledger(&world));
    world
}

/// As after a start: it knows what is stored.
fn ledger(world: &World) -> Ledger {
    Ledger::new(Parts {
        engine: Arc::clone(&world.engine),
        resolver: Arc::new(world.dns.clone()),
        postman: Arc::new(world.postman.clone()),
        post: Arc::new(Collector { takes: false }),
        clock: world.clock.clone(),
        random: world.random.clone(),
        organization: "mail.here.example".to_owned(),
        contact: Address::parse("tls@here.example").unwrap(),
    })
}

/// Sends a message, and gives what the report of the day says of policies: their type and domain,
/// successes, failures, and the kinds of those.
async fn reported(mut world: World) -> Vec<Value> {
    world.submit(&["a@there.example"]).await;
    world.start();
    world.pass(minutes(4)).await;
    // What was written down outlasts a crash.
    world.crash().await;
    world.ledger = Some(ledger(&world));
    world.start();
    world.pass(minutes(31 * 60)).await;
    let reports = world.postman.reports();
    let report = reports.iter().find(|text| text.contains("tlsrpt+gzip"));
    let Some(report) = report else {
        return Vec::new();
    };
    let (_, encoded) = report.split_once(".json.gz\"\r\n\r\n").unwrap();
    let (encoded, _) = encoded.split_once("\r\n--").unwrap();
    let packed = STANDARD.decode(encoded.replace("\r\n", "")).unwrap();
    let content = decompress_to_vec(&packed[10..packed.len() - 8]).unwrap();
    let report: Value = serde_json::from_slice(&content).unwrap();
    let of = |policy: &Value| {
        let details = policy["failure-details"].as_array();
        let kinds = details.into_iter().flatten();
        let kinds: Vec<_> = kinds.map(|detail| detail["result-type"].clone()).collect();
        json!([
            policy["policy"]["policy-type"],
            policy["policy"]["policy-domain"],
            policy["summary"]["total-successful-session-count"],
            policy["summary"]["total-failure-session-count"].as_u64() > Some(0),
            kinds
        ])
    };
    report["policies"]
        .as_array()
        .unwrap()
        .iter()
        .map(of)
        .collect()
}

const NAMES_FIRST: &str = "mx: mx1.there.example\n";

#[tokio::test(start_paused = true)]
#[expect(clippy::too_many_lines, reason = "one flat table")]
async fn a_report_says_what_came_of_each_policy() {
    let (right, stranger) = (identity("mx1.there.example"), identity("evil.example"));
    let (there, mx1) = ("there.example", "mx1.there.example");
    let none = "mode: none\n".to_owned();
    let mode = |mode: &str| format!("mode: {mode}\n{NAMES_FIRST}");
    let not_named = "mode: testing\nmx: x.example\n".to_owned();
    for (what, policy, offered, expected) in [
        (
            "good",
            mode("enforce"),
            Some(&right),
            json!(["sts", there, 1, false, []]),
        ),
        (
            "testing",
            mode("testing"),
            Some(&stranger),
            json!(["sts", there, 0, true, ["certificate-not-trusted"]]),
        ),
        (
            "enforced",
            mode("enforce"),
            None,
            json!([
                "sts",
                there,
                0,
                true,
                ["starttls-not-supported", "validation-failure"]
            ]),
        ),
        (
            "not named",
            not_named,
            Some(&right),
            json!(["sts", there, 0, true, ["validation-failure"]]),
        ),
        (
            "plain",
            none.clone(),
            None,
            json!([
                "no-policy-found",
                there,
                0,
                true,
                ["starttls-not-supported"]
            ]),
        ),
        (
            "any certificate",
            none.clone(),
            Some(&stranger),
            json!(["no-policy-found", there, 1, false, []]),
        ),
        (
            "no policy",
            "<html>".to_owned(),
            Some(&stranger),
            json!(["no-policy-found", there, 0, true, ["sts-policy-invalid"]]),
        ),
    ] {
        let servers = Servers::default();
        servers.add(FIRST, offered);
        let world = world(&servers, &policy, &[&right]);
        assert_eq!(reported(world).await, [expected], "{what}");
    }
    for (record, expected) in [
        (&right.record, json!(["tlsa", mx1, 1, false, []])),
        (
            &stranger.record,
            json!(["tlsa", mx1, 0, true, ["certificate-not-trusted"]]),
        ),
    ] {
        let servers = Servers::default();
        servers.add(FIRST, Some(&right));
        let world = world(&servers, &none, &[]);
        world.dns.set_mx(there, &[(10, mx1)]);
        let about = "_25._tcp.mx1.there.example";
        for name in [there, mx1, about] {
            world.dns.set_secure(name);
        }
        world.dns.set_associations(about, found(record));
        assert_eq!(reported(world).await, [expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn rfc_8460_3_a_report_goes_whatever_it_is_about_and_is_not_told_of() {
    let stranger = identity("evil.example");
    let servers = Servers::default();
    servers.add(FIRST, Some(&stranger));
    let enforced = format!("mode: enforce\n{NAMES_FIRST}");
    let mut world = world(&servers, &enforced, &[]);
    world
        .dns
        .set_mx("there.example", &[(10, "mx1.there.example")]);
    // What is of no report waits, before and behind it, however warm the connection is.
    world.submit(&["a@there.example"]).await;
    let options = MailOptions {
        despite_tls: true,
        ..MailOptions::default()
    };
    let to = [("rua@there.example", RcptOptions::default())];
    world.submit_asking(options, &to).await;
    world.submit(&["b@there.example"]).await;
    world.start();
    world.pass(minutes(4)).await;
    assert_eq!(servers.taken(), [(FIRST.to_owned(), true)]);
    assert_eq!(world.listed().await.len(), 2);
    // Without TLS at all, too.
    servers.add(FIRST, None);
    let options = MailOptions {
        despite_tls: true,
        ..MailOptions::default()
    };
    world.submit_asking(options, &to).await;
    world.pass(minutes(4)).await;
    assert_eq!(servers.taken().last(), Some(&(FIRST.to_owned(), false)));
    assert_eq!(world.listed().await.len(), 2);
    world.crash().await;
    let told = reported(world).await;
    let [policy] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(policy[0], "sts");
    assert_eq!(policy[2], 0, "those that came through are not told of");
}

#[tokio::test(start_paused = true)]
async fn what_the_operator_decided_is_not_told() {
    let servers = Servers::default();
    servers.add(FIRST, None);
    let mut world = world(&servers, "mode: none\n", &[]);
    let domain = Domain::parse("there.example").unwrap();
    let any = Some(Security::Opportunistic);
    world.options.tls.insert(&domain, any);
    assert!(reported(world).await.is_empty());
}
