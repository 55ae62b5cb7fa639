//! Servers that say one thing and do another.

use std::time::Duration;

use super::{Letter, codes, open, send, server};

#[tokio::test(start_paused = true)]
async fn nobody_gets_empty_content_from_a_server_that_forgets_that_it_refused_the_sender() {
    let later = &[
        ("MAIL", "451 later"),
        ("RCPT", "250 ok"),
        ("DATA", "354 go"),
    ];
    let never = &[("MAIL", "550 no"), ("RCPT", "250 ok"), ("DATA", "354 go")];
    for (answers, fate) in [(later, ('l', 451)), (never, ('n', 550))] {
        let mta = server("250-mta\r\n250 PIPELINING", answers);
        let mut conversation = open(&mta).await.unwrap();
        let sent = send(&mut conversation, &Letter::default()).await;
        assert_eq!(codes(&sent), [fate]);
        assert!(!sent.usable && !sent.content_begun);
        drop(conversation);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(mta.contents().is_empty());
    }
}
