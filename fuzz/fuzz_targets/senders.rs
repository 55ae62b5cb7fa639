//! Any message from any client, while the DNS says anything: checking who it is from does not
//! panic, says one well-formed field, and does not depend on how the body was cut.
//!
//! The input is cut at every 0x1e: header, body, then the texts that the DNS answers in turn, each
//! question the next one. One that begins with `?` is not known, one with `!` is that there is
//! none.
#![no_main]

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use buzon::{
    base::{clock::Timestamp, future::BoxFuture, random::Random},
    dns::{Answer, Family, Located, Mx, Proven, Resolver, Service, Tlsa},
    mail::{
        address::{Address, Domain},
        envelope::ReversePath,
    },
    verify::{Client, Options, Verifier},
};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A DNS that says one text after the other, whatever it is asked.
struct Says {
    texts: Vec<Vec<u8>>,
    at: Mutex<usize>,
}

impl Says {
    fn next(&self) -> Answer<Vec<u8>> {
        let mut at = self.at.lock().unwrap();
        let Some(text) = self.texts.get(*at) else {
            return Answer::NoSuchName;
        };
        *at = (*at + 1) % self.texts.len();
        match text.split_first() {
            Some((b'?', _)) => Answer::Temporary("?".to_owned()),
            Some((b'!', _)) => Answer::NoRecords,
            _ => Answer::Found(text.clone()),
        }
    }

    fn name(&self) -> Answer<String> {
        let name = |text: Vec<u8>| {
            let fit = text
                .into_iter()
                .filter(|b| b.is_ascii_alphanumeric() || b".-_".contains(b));
            fit.take(250).map(char::from).collect()
        };
        self.next().map(name)
    }
}

fn at_once<T: Send>(answer: Answer<T>) -> BoxFuture<'static, Answer<T>>
where
    T: 'static,
{
    Box::pin(std::future::ready(answer))
}

impl Resolver for Says {
    fn mx<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Answer<Vec<Mx>>> {
        let record = |exchange| {
            vec![Mx {
                preference: 1,
                exchange,
            }]
        };
        at_once(self.name().map(record))
    }

    // What the relay asks.
    fn proven_mx<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Proven<Vec<Mx>>> {
        unreachable!()
    }

    fn located<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Located> {
        unreachable!()
    }

    fn associations<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Proven<Vec<Tlsa>>> {
        unreachable!()
    }

    fn addresses<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Answer<Vec<IpAddr>>> {
        at_once(self.next().map(|text| match text.len() % 2 {
            0 => vec![CLIENT],
            _ => vec![Ipv4Addr::LOCALHOST.into()],
        }))
    }

    fn family<'a>(&'a self, host: &'a str, _: Family) -> BoxFuture<'a, Answer<Vec<IpAddr>>> {
        self.addresses(host)
    }

    fn texts<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Answer<Vec<Vec<u8>>>> {
        at_once(
            self.next()
                .map(|text| text.split(|b| *b == 0x1f).map(<[u8]>::to_vec).collect()),
        )
    }

    fn services<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Answer<Vec<Service>>> {
        at_once(Answer::NoSuchName)
    }

    fn names(&self, _: IpAddr) -> BoxFuture<'_, Answer<Vec<String>>> {
        at_once(self.name().map(|name| vec![name]))
    }
}

fn judged(header: &[u8], pieces: &[&[u8]], texts: &[Vec<u8>]) -> (String, String) {
    let options = Options {
        host: Domain::parse("mx.example").unwrap(),
        enforced: true,
        trusted_sealers: vec!["example".to_owned()],
        time_max: Duration::from_secs(20),
    };
    let says = Says {
        texts: texts.to_vec(),
        at: Mutex::new(0),
    };
    let verifier = Verifier::new(options, Arc::new(says), Random::seeded(1));
    let mut examination = verifier.examine(Bytes::copy_from_slice(header), true);
    for piece in pieces {
        examination.feed(piece);
    }
    let sender = Address::parse("x@a.example").unwrap();
    let client = Client {
        ip: Some(CLIENT),
        helo: "client.example",
        sender: &ReversePath::Address(sender),
    };
    let judging = verifier.judge(examination, client, Timestamp::from_secs(1_600_000_000));
    let findings = RUNTIME.block_on(judging);
    let field = String::from_utf8(findings.field.to_vec()).unwrap();
    (
        field,
        format!("{:?} {}", findings.verdict, findings.summary),
    )
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap()
});

fuzz_target!(|data: &[u8]| {
    let mut parts = data.split(|byte| *byte == 0x1e);
    let (header, body) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let texts: Vec<_> = parts.map(<[u8]>::to_vec).take(32).collect();
    let whole = judged(header, &[body], &texts);
    let field = &whole.0;
    assert!(field.starts_with("Authentication-Results: mx.example") && field.ends_with("\r\n"));
    // RFC 5322 2.1.1, 2.2: nothing that others said ends the field or a line too early.
    for line in field.trim_end_matches("\r\n").split("\r\n") {
        assert!(
            line.len() <= 998 && !line.contains(['\r', '\n', '\0']),
            "{line:?}"
        );
    }
    assert!(
        field.matches("\r\n").count()
            == 1 + field.matches("\r\n\t").count() + field.matches("\r\n ").count()
    );
    let (front, back) = body.split_at(body.len() / 2);
    assert_eq!(judged(header, &[front, back], &texts), whole);
});
