//! Records survive being written and read; damaged ones are errors.

use proptest::prelude::*;

use super::*;
use crate::mail::{
    dsn::{EnvelopeId, Notify, OriginalRecipient, Ret},
    urgency::{ByMode, Deadline, Release},
};

fn options() -> impl Strategy<Value = RcptOptions> {
    let notify = proptest::option::of(any::<(bool, bool, bool)>());
    let original = proptest::option::of(prop_oneof![
        Just("rfc822;a+2Bb@c.example"),
        Just("utf-8;\u{e4}@b.example")
    ]);
    (notify, original).prop_map(|(notify, original)| RcptOptions {
        notify: notify.map(|(success, failure, delay)| Notify {
            success,
            failure,
            delay,
        }),
        original: original.map(|text| OriginalRecipient::parse(text).unwrap()),
    })
}

fn via() -> impl Strategy<Value = Option<Via>> {
    let texts = [
        "smarthost",
        "mx",
        "a.example",
        "192.0.2.1:26",
        "[2001:db8::1]:26",
    ];
    let via = proptest::sample::select(texts.to_vec());
    proptest::option::of(via.prop_map(|text| text.parse().unwrap()))
}

fn recipient() -> impl Strategy<Value = RecipientRecord> {
    let state = (0..4_u8, any::<u64>()).prop_map(|(tag, at)| match tag {
        0 => State::Waiting(Timestamp(at)),
        1 => State::Leased(Timestamp(at)),
        2 => State::Scheduled(Timestamp(at)),
        _ => State::Held,
    });
    let diagnosis = (
        proptest::option::of("[a-z.]{0,40}"),
        any::<u16>(),
        (any::<u8>(), any::<u16>(), any::<u16>()),
        "\\PC{0,700}",
        0..22_u8,
    )
        .prop_map(|(host, code, s, text, class)| {
            let class = Class::of_byte(class).unwrap();
            Diagnosis::new(host.as_deref(), code, Status(s.0, s.1, s.2), &text).of(class)
        });
    (
        (state, 0..3_u8, any::<u32>(), any::<u8>(), any::<u64>()),
        proptest::option::of(any::<(u64, u64)>()),
        proptest::option::of(diagnosis),
        any::<(bool, bool, Option<(u64, Option<String>)>)>(),
        (options(), via()),
    )
        .prop_map(|(numbers, attempted, last, told, (options, via))| {
            let (delay_told, late_told, here) = told;
            let (state, order, attempts, unfinished, fence) = numbers;
            RecipientRecord {
                address: Address::parse("\"a b\"@example.org").unwrap(),
                options,
                here: here.map(|(account, tag)| Here {
                    account: AccountId(account),
                    tag: tag.map(Into::into),
                }),
                state,
                order: match order {
                    0 => Order::Deliver,
                    1 => Order::Bounce,
                    _ => Order::Report,
                },
                attempts,
                unfinished,
                fence,
                attempted: attempted.map(|(a, b)| (Timestamp(a), Timestamp(b))),
                last,
                delay_told,
                late_told,
                via,
            }
        })
}

proptest! {
    #[test]
    fn recipient_records_survive_their_bytes(record in recipient()) {
        prop_assert_eq!(RecipientRecord::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn dur_09_any_changed_byte_is_noticed(
        record in recipient(), at in any::<prop::sample::Index>(), flip in 1..=u8::MAX,
    ) {
        let mut bytes = record.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert_eq!(RecipientRecord::decode(&bytes), Err(Undecodable));
    }

    #[test]
    fn dur_10_no_bytes_panic(bytes in any::<Vec<u8>>()) {
        let mut sealed = bytes.clone();
        sealed.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        let _ = RecipientRecord::decode(&sealed);
        let _ = MessageRecord::decode(&sealed);
        let _ = Due::decode(&bytes, &bytes);
    }
}

#[test]
fn message_records_survive_their_bytes() {
    for (sender, rewritten, origin, options) in [
        (ReversePath::Null, None, None, MailOptions::default()),
        (
            ReversePath::Address(Address::parse("a@b.example").unwrap()),
            Some(Address::parse("SRS0=x=y=b.example=a@c.example").unwrap()),
            Some(AccountId(7)),
            MailOptions {
                ret: Some(Ret::Headers),
                envelope_id: EnvelopeId::parse("a+20b"),
                require_tls: true,
                despite_tls: true,
                deliver_by: Some(Deadline {
                    at: Timestamp(u64::MAX),
                    mode: ByMode::Return,
                    trace: true,
                }),
                release: Some(Release {
                    at: Timestamp(8),
                    interval: Some(3600),
                }),
                priority: Priority::new(-9),
            },
        ),
    ] {
        let record = MessageRecord {
            sender,
            rewritten,
            head: "Delivered-To: x@c.example\r\n".to_owned(),
            blob: BlobId::from_bytes([3; 16]),
            skipped: 27,
            size: 1 << 40,
            received: Timestamp(9),
            origin,
            smtputf8: true,
            body: BodyKind::Binary,
            options,
            recipients: 3,
        };
        assert_eq!(MessageRecord::decode(&record.encode()), Ok(record));
    }
}

#[test]
fn q_08_due_times_know_whose_mail_they_are() {
    let (at, id) = (Timestamp(5), MessageId::from_bytes([7; 16]));
    let key = crate::store::key::queue_due(at, id, 3);
    let to = Address::parse("a@there.example").unwrap();
    let fresh = RecipientRecord::fresh(to.clone(), RcptOptions::default(), State::Held);
    let tagged = Here {
        account: AccountId(3),
        tag: Some("work".into()),
    };
    for (here, priority) in [(None, -9), (Some(tagged), 9)] {
        let turn = Turn {
            source: Source::of(Some(AccountId(u64::MAX)), &ReversePath::Null),
            priority: Priority::new(priority).unwrap(),
        };
        let record = RecipientRecord {
            here,
            ..fresh.clone()
        };
        assert_eq!(
            RecipientRecord::decode(&record.encode()),
            Ok(record.clone())
        );
        let due = Due::decode(key.as_bytes(), &Due::value(&record, turn)).unwrap();
        assert_eq!((&due.domain, due.turn), (&to.domain, turn));
        assert_eq!(due.here, record.here.is_some());
        assert_eq!((due.over, due.via), (false, None));
    }
    let over = RecipientRecord {
        order: Order::Bounce,
        via: Some(Via::Smarthost),
        ..fresh
    };
    let due = Due::decode(key.as_bytes(), &Due::value(&over, Turn::default())).unwrap();
    assert_eq!((due.over, due.via), (true, Some(Via::Smarthost)));
    for value in [&b"there.example"[..], b"there.example\x00short", b""] {
        assert!(Due::decode(key.as_bytes(), value).is_err());
    }
    let stranger = |n: u32| {
        let address = format!("{n}@far.example").parse().unwrap();
        Source::of(None, &ReversePath::Address(address))
    };
    assert!((0..100).all(|n| stranger(n).0 < STRANGERS));
    assert!(Source::of(Some(AccountId(0)), &ReversePath::Null).0 >= STRANGERS);
}

#[test]
fn a_diagnosis_is_one_bounded_line() {
    let long = "\r\nX: y\0".to_owned() + &"\u{e9}".repeat(600);
    let diagnosis = Diagnosis::new(Some("a\r\nb"), 550, Status(5, 1, 1), &long);
    assert!(diagnosis.text().starts_with("  X: y \u{e9}"));
    assert!(diagnosis.text().len() <= DIAGNOSIS_BYTES_MAX);
    assert_eq!(diagnosis.host.as_deref(), Some("a  b"));
}
