//! Content: in lines or in chunks, as the server takes it, and what is said beside it.

use super::*;

#[tokio::test(start_paused = true)]
async fn eight_bit_content_goes_in_chunks_to_who_takes_them() {
    for (offer, body, verb) in [
        (
            "250-mta\r\n250-8BITMIME\r\n250 CHUNKING",
            BodyKind::EightBit,
            "BDAT 26 LAST",
        ),
        (
            "250-mta\r\n250-8BITMIME\r\n250 CHUNKING",
            BodyKind::SevenBit,
            "DATA",
        ),
        ("250-mta\r\n250 8BITMIME", BodyKind::EightBit, "DATA"),
    ] {
        let mta = server(offer, &[]);
        let mut conversation = open(&mta).await.unwrap();
        let letter = Letter {
            content: b"Subject: x\r\n\r\n.\r\n.\r\nbody",
            body,
            ..Letter::default()
        };
        for _ in 0..2 {
            let sent = send(&mut conversation, &letter).await;
            assert_eq!(codes(&sent), [('d', 250)]);
            assert!(sent.usable);
        }
        assert!(
            mta.commands().contains(&verb.to_owned()),
            "{:?}",
            mta.commands()
        );
        let expected = b"Subject: x\r\n\r\n.\r\n.\r\nbody\r\n".to_vec();
        assert_eq!(mta.contents(), [expected.clone(), expected]);
        assert!(!mta.commands().contains(&"RSET".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn binary_content_goes_as_it_is_to_who_takes_it_and_to_nobody_else() {
    let content = b"Subject: x\r\n\r\n\0\n.\r\nend";
    for (offer, fate) in [
        ("250-mta\r\n250-BINARYMIME\r\n250 CHUNKING", ('d', 250)),
        ("250-mta\r\n250-8BITMIME\r\n250 CHUNKING", ('x', 0)),
        ("250-mta\r\n250 BINARYMIME", ('x', 0)),
    ] {
        let mta = server(offer, &[]);
        let mut conversation = open(&mta).await.unwrap();
        let letter = Letter {
            content,
            body: BodyKind::Binary,
            ..Letter::default()
        };
        let sent = send(&mut conversation, &letter).await;
        assert_eq!(codes(&sent), [fate]);
        let commands = mta.commands();
        let said = commands
            .iter()
            .any(|line| line.ends_with(" BODY=BINARYMIME"));
        assert_eq!(said, fate.0 == 'd', "{commands:?}");
        if said {
            assert_eq!(mta.contents(), [content.to_vec()]);
            assert!(
                commands.contains(&"BDAT 22 LAST".to_owned()),
                "{commands:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn times_and_priorities_are_said_to_who_knows_them() {
    for (offer, by, fate, said) in [
        ("250-mta\r\n250 DELIVERBY", "60;R", 'd', " BY=60;R"),
        ("250-mta\r\n250 DELIVERBY 60", "60;RT", 'd', " BY=60;RT"),
        ("250-mta\r\n250 DELIVERBY 61", "60;R", 's', ""),
        ("250-mta\r\n250 DELIVERBY 61", "-5;N", 'd', " BY=-5;N"),
        ("250 mta", "60;R", 'x', ""),
        ("250 mta", "60;N", 'd', ""),
        ("250-mta\r\n250 MT-PRIORITY", "60;N", 'd', " MT-PRIORITY=-3"),
    ] {
        let mta = server(offer, &[]);
        let mut conversation = open(&mta).await.unwrap();
        let letter = Letter {
            by: By::parse(by),
            options: MailOptions {
                priority: Priority::parse("-3"),
                ..MailOptions::default()
            },
            ..Letter::default()
        };
        let sent = send(&mut conversation, &letter).await;
        assert_eq!(codes(&sent)[0].0, fate, "{offer} {by}");
        assert_eq!(sent.hurries, offer.contains("DELIVERBY") && fate == 'd');
        let commands = mta.commands();
        let begun = commands.iter().find(|line| line.starts_with("MAIL"));
        assert_eq!(begun.is_some(), fate == 'd', "{commands:?}");
        assert!(begun.is_none_or(|line| line.ends_with(&format!(">{said}"))));
    }
}

#[tokio::test(start_paused = true)]
async fn rfc_9422_no_more_recipients_are_named_than_the_server_takes() {
    let to = vec!["a@x.example", "b@x.example", "c@y.example", "d@z.example"];
    for (offer, count) in [
        ("250-mta\r\n250 LIMITS RCPTMAX=1", 1),
        ("250-mta\r\n250 LIMITS RCPTMAX=3", 3),
        ("250-mta\r\n250 LIMITS RCPTDOMAINMAX=1", 2),
        ("250-mta\r\n250 LIMITS RCPTMAX=9 RCPTDOMAINMAX=2", 3),
        ("250 mta", 4),
    ] {
        let mta = server(offer, &[]);
        let mut conversation = open(&mta).await.unwrap();
        let letter = Letter {
            to: to.clone(),
            ..Letter::default()
        };
        let sent = send(&mut conversation, &letter).await;
        let mut expected = vec![('d', 250); count];
        expected.resize(to.len(), ('-', 0));
        assert_eq!(codes(&sent), expected, "{offer}");
        let commands = mta.commands();
        let named = commands.iter().filter(|line| line.starts_with("RCPT"));
        assert_eq!(named.count(), count);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_chunk_ends_the_message_and_not_the_conversation() {
    let offer = "250-mta\r\n250-PIPELINING\r\n250 CHUNKING";
    static LARGE: [u8; 600_000] = [b'x'; 600_000];
    for (answers, first, chunks) in [
        (&[("BDAT 26", "552 5.3.4 no")][..], ('n', 552), 1),
        (&[("BDAT 7", "451 4.3.0 no")][..], ('l', 451), 3),
        (&[("RCPT", "550 5.1.1 no")][..], ('n', 550), 0),
        (&[("MAIL", "451 4.3.0 no")][..], ('l', 451), 0),
    ] {
        let mta = server(offer, answers);
        let mut conversation = open(&mta).await.unwrap();
        let letter = Letter {
            content: &LARGE,
            body: BodyKind::EightBit,
            ..Letter::default()
        };
        let sent = send(&mut conversation, &letter).await;
        assert_eq!(codes(&sent), [first], "{answers:?} {:?}", mta.commands());
        assert!(sent.usable);
        let commands = mta.commands();
        let count = commands.iter().filter(|line| line.starts_with("BDAT"));
        assert_eq!(count.count(), chunks, "{commands:?}");
        // RFC 3030 2.
        mta.change(|_| Act::Usual);
        assert_eq!(
            codes(&send(&mut conversation, &Letter::default()).await),
            [('d', 250)]
        );
        assert!(mta.commands().contains(&"RSET".to_owned()));
    }
}
