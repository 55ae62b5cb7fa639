//! The resolver against a name server on the loopback: what real answers become.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use buzon::{
    base::ids::MessageId,
    dns::{Answer, Mx, Options, Resolver, System},
    observe::story::asked,
};
use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{
            A, AAAA, CNAME, MX, TLSA, TXT,
            tlsa::{CertUsage, Matching, Selector},
        },
    },
};
use tokio::{net::UdpSocket, task::JoinSet};

use crate::support::logs::logged;

/// Answers a question for `name`.
fn answers(name: &Name, kind: RecordType) -> (ResponseCode, Vec<RData>) {
    let name_of = |text: &str| Name::from_ascii(text).unwrap();
    let mx = |preference, host: &str| RData::MX(MX::new(preference, name_of(host)));
    let text = name.to_ascii().to_ascii_lowercase();
    let records = match (text.as_str(), kind) {
        ("mail.example.", RecordType::MX) => {
            vec![mx(20, "B.mail.example."), mx(10, "a.mail.example.")]
        }
        ("null.example.", RecordType::MX) => vec![mx(0, ".")],
        ("odd.example.", RecordType::MX) => {
            let odd = [&b"a b\r\n"[..], b"example"];
            vec![RData::MX(MX::new(1, Name::from_labels(odd).unwrap()))]
        }
        ("alias.example.", RecordType::A) => {
            vec![RData::CNAME(CNAME(name_of("a.mail.example.")))]
        }
        ("a.mail.example.", RecordType::A) => vec![RData::A(A(Ipv4Addr::new(192, 0, 2, 1)))],
        ("alias.secure.example.", RecordType::A) => {
            vec![RData::CNAME(CNAME(name_of("a.secure.example.")))]
        }
        // Out of the zone that is signed.
        ("away.secure.example.", RecordType::A) => {
            vec![RData::CNAME(CNAME(name_of("a.mail.example.")))]
        }
        ("away.secure.example.", RecordType::CNAME) => {
            vec![RData::CNAME(CNAME(name_of("a.mail.example.")))]
        }
        ("a.secure.example.", RecordType::A) => vec![RData::A(A(Ipv4Addr::new(192, 0, 2, 1)))],
        ("a.secure.example.", RecordType::MX) => vec![mx(10, "a.secure.example.")],
        ("_25._tcp.a.secure.example.", RecordType::TLSA) => {
            let data = vec![7; 32];
            let (usage, selector) = (CertUsage::from(3), Selector::from(1));
            vec![RData::TLSA(TLSA::new(
                usage,
                selector,
                Matching::from(1),
                data,
            ))]
        }
        ("together.example.", RecordType::A) => vec![RData::A(A(Ipv4Addr::new(192, 0, 2, 3)))],
        ("a.mail.example." | "six.example.", RecordType::AAAA) => {
            vec![RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))]
        }
        ("many.example.", RecordType::A) => (0..100)
            .map(|n| RData::A(A(Ipv4Addr::new(192, 0, 2, n))))
            .collect(),
        (_, RecordType::TXT) if name.iter().next() == Some(SENDER.as_bytes()) => {
            vec![RData::TXT(TXT::new(vec!["v=spf1 -all".to_owned()]))]
        }
        ("texts.example.", RecordType::TXT) => (0..70)
            .map(|n| {
                if n == 68 {
                    "v=spf1 -all".to_owned()
                } else {
                    n.to_string()
                }
            })
            .map(|text| RData::TXT(TXT::new(vec![text])))
            .collect(),
        ("broken.example.", _) | ("six.example.", RecordType::A) => {
            return (ResponseCode::ServFail, Vec::new());
        }
        ("gone.example.", _) => return (ResponseCode::NXDomain, Vec::new()),
        _ => Vec::new(),
    };
    (ResponseCode::NoError, records)
}

/// What SPF macros make of a sender.
const SENDER: &str = "prvs=ab/1+c@d";

/// A name server, and a resolver that asks only it.
async fn resolver(tasks: &mut JoinSet<()>) -> System {
    resolver_that(tasks, false).await
}

/// The same; `trust_ad` says whether its word about DNSSEC counts.
async fn resolver_that(tasks: &mut JoinSet<()>, trust_ad: bool) -> System {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = socket.local_addr().unwrap();
    tasks.spawn(async move {
        let mut bytes = [0; 4096];
        let mut held = Vec::new();
        while let Ok((length, peer)) = socket.recv_from(&mut bytes).await {
            let asked = Message::from_vec(&bytes[..length]).unwrap();
            let question = asked.queries[0].clone();
            let (code, records) = answers(question.name(), question.query_type());
            let mut reply = Message::response(asked.metadata.id, asked.metadata.op_code);
            reply.metadata.response_code = code;
            reply.metadata.recursion_available = true;
            reply.add_query(question.clone());
            let mut name = question.name().clone();
            let mut secure = asked.metadata.authentic_data || !trust_ad;
            for data in records {
                let alias = match &data {
                    RData::CNAME(alias) => Some(alias.0.clone()),
                    _ => None,
                };
                reply.add_answer(Record::from_rdata(name.clone(), 60, data));
                if let Some(alias) = alias {
                    name = alias;
                    for data in answers(&name, question.query_type()).1 {
                        reply.add_answer(Record::from_rdata(name.clone(), 60, data));
                    }
                }
            }
            secure &= name.to_ascii().ends_with("secure.example.")
                || question.query_type() == RecordType::CNAME;
            // A server that checks says so only to who asks (RFC 6840 5.8); one that lies, always.
            reply.metadata.authentic_data = secure;
            held.push((reply.to_vec().unwrap(), peer));
            // This name is answered when both of its families were asked for.
            if question.name().to_ascii() == "together.example." && held.len() < 2 {
                continue;
            }
            for (reply, peer) in held.drain(..) {
                let _ = socket.send_to(&reply, peer).await;
            }
        }
    });
    let servers = vec![address];
    let options = Options { servers, trust_ad };
    System::new(&options).unwrap()
}

#[test]
fn answers_are_part_of_the_story_of_the_message_that_asked() {
    let id = MessageId::from_bytes([7; 16]);
    let text = logged(|| {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            let resolver = resolver(&mut tasks).await;
            let asking = async {
                for name in ["mail.example", "mail.example", "gone.example"] {
                    resolver.mx(name).await;
                }
                for n in 0..100 {
                    resolver.texts(&format!("{n}.gone.example")).await;
                }
            };
            asked::of(id, asking).await;
            // Nobody's.
            resolver.mx("null.example").await;
        });
    });
    let lines: Vec<_> = text.lines().filter(|l| l.contains("asked")).collect();
    assert_eq!(lines.len(), 60, "{text}");
    for (line, parts) in lines.iter().zip([
        "name=mail.example kind=\"MX\" outcome=2 found ttl_secs=60",
        "name=mail.example kind=\"MX\" outcome=2 found known=true",
        "name=gone.example kind=\"MX\" outcome=no such name ttl_secs=0",
    ]) {
        assert!(
            line.contains(&format!("id={id} {parts}")),
            "{parts}: {line}"
        );
    }
    assert!(!text.contains("null.example"));
}

#[tokio::test]
async fn dns_02_answers_become_what_they_are() {
    let mut tasks = JoinSet::new();
    let resolver = resolver(&mut tasks).await;
    let Answer::Found(mut found) = resolver.mx("mail.example").await else {
        panic!("there are MX records");
    };
    found.sort();
    let mx = |preference, exchange: &str| Mx {
        preference,
        exchange: exchange.to_owned(),
    };
    assert_eq!(found, [mx(10, "a.mail.example"), mx(20, "b.mail.example")]);
    assert_eq!(
        resolver.mx("null.example").await,
        Answer::Found(vec![mx(0, "")])
    );
    assert_eq!(resolver.mx("gone.example").await, Answer::NoSuchName);
    assert_eq!(resolver.mx("a.mail.example").await, Answer::NoRecords);
    for name in ["broken.example", "odd.example"] {
        let answer = resolver.mx(name).await;
        assert!(matches!(answer, Answer::Temporary(_)), "{name}: {answer:?}");
    }

    let both = Answer::Found(vec!["::1".parse().unwrap(), "192.0.2.1".parse().unwrap()]);
    assert_eq!(resolver.addresses("a.mail.example").await, both);
    let four = Answer::Found(vec!["192.0.2.1".parse().unwrap()]);
    assert_eq!(resolver.addresses("alias.example").await, four);
    let six = Answer::Found(vec!["::1".parse().unwrap()]);
    assert_eq!(resolver.addresses("six.example").await, six);
    assert_eq!(resolver.addresses("gone.example").await, Answer::NoSuchName);
    assert_eq!(resolver.addresses("null.example").await, Answer::NoRecords);
}

/// How a name server goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Silent,
    /// It answers somebody else's question,
    Id,
    /// or another one.
    Question,
    Junk,
    /// It says that there is more, and has none.
    Truncated,
    /// An alias, which is one, too, and so on.
    Endless,
    /// Two aliases that lead to each other.
    Loop,
    Refused,
    FormErr,
}

/// What it says to a question; nothing, when it is silent.
fn wrong_reply(wrong: Wrong, asked: &Message) -> Option<Vec<u8>> {
    let mut reply = Message::response(asked.metadata.id, asked.metadata.op_code);
    let question = asked.queries[0].clone();
    let name = question.name().clone();
    reply.add_query(question);
    let alias = |from: &Name, to: &Name| {
        Record::from_rdata(from.clone(), 60, RData::CNAME(CNAME(to.clone())))
    };
    let good = Record::from_rdata(name.clone(), 60, RData::A(A(Ipv4Addr::new(192, 0, 2, 1))));
    match wrong {
        Wrong::Silent => return None,
        Wrong::Junk => return Some(vec![0xff; 300]),
        Wrong::Id => {
            reply.metadata.id = asked.metadata.id.wrapping_add(1);
            reply.add_answer(good);
        }
        Wrong::Question => {
            let other = Name::from_ascii("other.example.").unwrap();
            reply.queries[0].set_name(other);
            reply.add_answer(good);
        }
        Wrong::Truncated => reply.metadata.truncation = true,
        Wrong::Endless => {
            let next = Name::from_ascii("a.").unwrap().append_domain(&name);
            match next {
                Ok(next) => reply.add_answer(alias(&name, &next)),
                Err(_) => return None,
            };
        }
        Wrong::Loop => {
            let other = Name::from_ascii("other.example.").unwrap();
            reply.add_answer(alias(&name, &other));
            reply.add_answer(alias(&other, &name));
        }
        Wrong::Refused => reply.metadata.response_code = ResponseCode::Refused,
        Wrong::FormErr => reply.metadata.response_code = ResponseCode::FormErr,
    }
    Some(reply.to_vec().unwrap())
}

#[tokio::test(start_paused = true)]
async fn dns_01_a_name_server_that_goes_wrong_costs_a_bounded_time_and_says_nothing() {
    use Wrong as W;
    for wrong in [
        W::Silent,
        W::Id,
        W::Question,
        W::Junk,
        W::Truncated,
        W::Endless,
        W::Loop,
        W::Refused,
        W::FormErr,
    ] {
        for trust_ad in [false, true] {
            let mut tasks = JoinSet::new();
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let servers = vec![socket.local_addr().unwrap()];
            tasks.spawn(async move {
                let mut bytes = [0; 4096];
                while let Ok((length, peer)) = socket.recv_from(&mut bytes).await {
                    let asked = Message::from_vec(&bytes[..length]).unwrap();
                    if let Some(reply) = wrong_reply(wrong, &asked) {
                        let _ = socket.send_to(&reply, peer).await;
                    }
                }
            });
            let resolver = System::new(&Options { servers, trust_ad }).unwrap();
            let begun = tokio::time::Instant::now();
            let answer = resolver
                .family("there.example", buzon::dns::Family::Four)
                .await;
            let took = begun.elapsed().as_secs();
            assert!(took <= 31, "{wrong:?} {trust_ad}: {took} s");
            // DNS-02: never taken for what is known.
            let unknown = matches!(answer, Answer::Temporary(_));
            assert!(unknown, "{wrong:?} {trust_ad}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn dns_01_both_families_are_asked_for_at_once() {
    let mut tasks = JoinSet::new();
    let resolver = resolver(&mut tasks).await;
    let four = Answer::Found(vec!["192.0.2.3".parse().unwrap()]);
    let asked = resolver.addresses("together.example");
    // Less than the time after which a question is asked again.
    let answer = tokio::time::timeout(std::time::Duration::from_secs(4), asked).await;
    assert_eq!(answer, Ok(four));
}

#[tokio::test]
async fn rfc_7208_7_4_names_of_senders_are_asked_for_as_they_are() {
    let mut tasks = JoinSet::new();
    let resolver = resolver(&mut tasks).await;
    let text = b"v=spf1 -all".to_vec();
    for name in [format!("{SENDER}.example"), format!("{SENDER}.example.")] {
        let answer = resolver.texts(&name).await;
        assert_eq!(answer, Answer::Found(vec![text.clone()]), "{name}");
    }
    for name in ["a..example", "", "\u{e9}.example"] {
        assert_eq!(resolver.texts(name).await, Answer::NoSuchName, "{name}");
    }
}

#[tokio::test]
async fn dns_01_of_many_texts_those_with_a_version_are_seen() {
    let mut tasks = JoinSet::new();
    let resolver = resolver(&mut tasks).await;
    let Answer::Found(texts) = resolver.texts("texts.example").await else {
        panic!("there are texts");
    };
    assert_eq!(texts.len(), 64);
    assert_eq!(texts[0], b"v=spf1 -all");
}

#[tokio::test]
async fn dns_01_what_was_answered_is_remembered() {
    let mut tasks = JoinSet::new();
    let resolver = resolver(&mut tasks).await;
    let first = resolver.mx("mail.example").await;
    assert!(matches!(first, Answer::Found(_)));
    tasks.shutdown().await;
    assert_eq!(resolver.mx("Mail.example").await, first);
}

#[tokio::test]
async fn dns_03_a_server_that_is_trusted_says_what_is_proven() {
    let mut tasks = JoinSet::new();
    let trusted = resolver_that(&mut tasks, true).await;
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    for (host, proven) in [
        ("a.secure.example", names(&["a.secure.example"])),
        (
            "alias.secure.example",
            names(&["a.secure.example", "alias.secure.example"]),
        ),
        ("away.secure.example", names(&["away.secure.example"])),
        ("a.mail.example", names(&[])),
        ("alias.example", names(&[])),
        ("gone.example", names(&[])),
    ] {
        let located = trusted.located(host).await;
        assert_eq!(located.proven_names, proven, "{host}");
        let found = matches!(located.addresses, Answer::Found(_));
        assert_eq!(found, host != "gone.example", "{host}");
        // The same from memory.
        assert_eq!(trusted.located(host).await, located);
    }
    assert!(trusted.proven_mx("a.secure.example").await.secure);
    assert!(!trusted.proven_mx("mail.example").await.secure);
    let tlsa = trusted.associations("_25._tcp.a.secure.example").await;
    assert!(tlsa.secure);
    let Answer::Found(records) = tlsa.answer else {
        panic!("there is a record");
    };
    assert_eq!((records[0].usage, records[0].data.len()), (3, 32));
    let broken = trusted.associations("broken.example").await;
    assert!(matches!(broken.answer, Answer::Temporary(_)));

    let any = resolver_that(&mut tasks, false).await;
    assert!(!any.proven_mx("a.secure.example").await.secure);
    let located = any.located("a.secure.example").await;
    assert_eq!(located.proven_names, names(&[]));
    assert!(!any.associations("_25._tcp.a.secure.example").await.secure);
}
