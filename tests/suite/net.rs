//! The driver with a protocol of a few words: pipelining, strikes, deadlines, parking, TLS upgrade.
#![expect(clippy::disallowed_methods, reason = "a test waits for its own tasks")]

mod departure;
mod recall;
mod words;

use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use buzon::{
    base::limits::CLIENT_NOT_READING,
    net::{
        Farewell, Peer,
        conn::{Conn, Gone},
        drive::{End, drive},
        sessions::Opening,
    },
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use self::words::{start, start_over};
use crate::support::{player::run, server::TestServer};

#[tokio::test(start_paused = true)]
async fn commands_sent_together_are_answered_together_and_in_order() {
    let mut session = start(4096);
    session.say("a\r\nb\nbreak\r\nc\r\nbye\r\nnever\r\n").await;
    let summary = session
        .end("hello\r\nok a\r\nok b\r\nsorry\r\nok c\r\nbye\r\n")
        .await;
    assert_eq!(summary.commands, 5);
    assert!(matches!(summary.end, End::Closed));
}

#[tokio::test(start_paused = true)]
async fn lim_16_refusals_are_slowed_down_and_end_the_connection() {
    let begun = tokio::time::Instant::now();
    let mut session = start(4096);
    session.say("?\n?\nok\n?\n?\n?\nok\n").await;
    let expected = "hello\r\nwhat\r\nwhat\r\nok ok\r\nwhat\r\nwhat\r\nwhat\r\nStrikes\r\n";
    session.end(expected).await;
    assert_eq!(
        begun.elapsed().as_secs(),
        3,
        "the third, fourth and fifth refusal wait a second"
    );
}

#[tokio::test(start_paused = true)]
async fn lim_19_commands_that_are_answered_take_strikes_back() {
    let mut session = start(4096);
    session.say("forgive\n?\nno\n").await;
    session.hear("hello\r\nwhat\r\nno\r\n").await;
    for _ in 0..50 {
        session.say("ok\n?\n").await;
        session.hear("ok ok\r\nwhat\r\n").await;
    }
    session.say("no\n?\n?\n").await;
    let summary = session.end("no\r\nwhat\r\nwhat\r\nStrikes\r\n").await;
    assert!(matches!(summary.end, End::Farewell(_)));
}

#[tokio::test(start_paused = true)]
async fn silence_and_the_limit_for_the_whole_end_with_a_farewell() {
    let mut session = start(4096);
    session.hear("hello\r\n").await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        session.say("a\r\n").await;
        session.hear("ok a\r\n").await;
    }
    let begun = tokio::time::Instant::now();
    session.end("Idle\r\n").await;
    assert_eq!(
        begun.elapsed().as_secs(),
        30,
        "180 s in all, although 60 s of silence are allowed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_parked_session_hears_of_changes_until_it_is_done() {
    let mut session = start(4096);
    session.say("park\r\n").await;
    session.hear("hello\r\nparked\r\n").await;
    session.running.change.notify_one();
    session.hear("changed\r\n").await;
    session.say("?\r\nDO").await;
    session.hear("what\r\n").await;
    session.running.change.notify_one();
    session.hear("changed\r\n").await;
    session.say("NE\r\nbye\r\n").await;
    session.end("ok DONE\r\nbye\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_said_while_changes_are_looked_for_is_answered_at_once() {
    let mut session = start(4096);
    session.say("look slowly\r\na\r\n").await;
    session.hear("hello\r\nok a\r\n").await;
    for said in ["b\r\n", "c\r\nd\r\n", "par"] {
        session.running.change.notify_one();
        tokio::time::sleep(Duration::from_millis(500)).await;
        session.say(said).await;
        let answers = said.lines().filter(|line| line.len() < 3);
        let answers: String = answers.map(|line| format!("ok {line}\r\n")).collect();
        session.hear(&format!("changed\r\n{answers}")).await;
    }
    session.say("t\r\nbye\r\n").await;
    session.end("ok part\r\nbye\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn lim_08_what_is_refused_with_a_body_is_dropped_with_it_but_not_for_ever() {
    let mut session = start(4096);
    session.say("junk 7\r\nbye\r\nno").await;
    session.say("?\r\na\r\njunk 100000\r\n").await;
    session.hear("hello\r\nwhat\r\nok a\r\n").await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(45)).await;
        session.say(&"x".repeat(50_000)).await;
    }
    session.say("bye\r\n").await;
    session.end("bye\r\n").await;
    let mut session = start(4096);
    session.say("junk 7\r\nbye").await;
    session.end("hello\r\nTooSlow\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn what_a_parked_session_hears_of_may_end_it_politely() {
    let mut session = start(4096);
    session.say("park until then\r\n").await;
    session.hear("hello\r\nparked\r\n").await;
    session.running.change.notify_one();
    let summary = session.end("changed\r\ngone\r\n").await;
    assert!(matches!(summary.end, End::Closed), "{:?}", summary.end);
}

#[tokio::test(start_paused = true)]
async fn plaintext_behind_the_tls_command_ends_the_connection() {
    let mut session = start(4096);
    session.say("tls\r\ninjected\r\n").await;
    let ran = Arc::clone(&session.running.ran);
    session.end("hello\r\nPlaintextBehindTls\r\n").await;
    assert_eq!(
        ran.load(Ordering::Relaxed),
        1,
        "the injected command never runs"
    );
}

#[tokio::test(start_paused = true)]
async fn lim_05_a_handshake_that_does_not_come_ends_after_30_seconds() {
    let begun = tokio::time::Instant::now();
    let mut session = start(4096);
    session.say("tls\r\n").await;
    let summary = session.end("hello\r\ngo\r\n").await;
    assert!(matches!(summary.end, End::Gone(Gone::Handshake(_))));
    assert_eq!(begun.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn lim_10_a_client_that_does_not_read_is_given_up_after_300_seconds() {
    let begun = tokio::time::Instant::now();
    let mut session = start(1024);
    session.say("flood\r\n").await;
    let summary = session.running.ended.await.unwrap();
    assert!(matches!(summary.end, End::Gone(Gone::NotReading)));
    assert_eq!(begun.elapsed().as_secs(), 300);
    drop(session.far);
}

#[tokio::test(start_paused = true)]
async fn lim_10_a_client_that_reads_too_slowly_is_given_up_and_a_slow_one_is_not() {
    // 64 KiB in five minutes are 218.5 bytes a second.
    for (bytes, secs, stays) in [(1, 240, false), (215, 1, false), (225, 1, true)] {
        let mut session = start(64);
        session.say("flood\r\n").await;
        let begun = tokio::time::Instant::now();
        let mut space = vec![0; bytes];
        while begun.elapsed() < 4 * CLIENT_NOT_READING && !session.running.ended.is_finished() {
            // Fails when the session has ended.
            let _ = session.far.read_exact(&mut space).await;
            tokio::time::sleep(Duration::from_secs(secs)).await;
        }
        assert_eq!(
            !session.running.ended.is_finished(),
            stays,
            "{bytes} in {secs}"
        );
        drop(session.far);
        let end = session.running.ended.await.unwrap().end;
        assert_eq!(
            matches!(end, End::Gone(Gone::NotReading)),
            !stays,
            "{end:?}"
        );
    }
}

/// Bytes of a connection's task, while it waits for its client.
fn waiting_bytes<O: Opening>(server: &TestServer, opening: &O) -> usize {
    let address = ([192, 0, 2, 10], 40_000).into();
    let peer = Peer {
        remote: address,
        local: address,
        tls: None,
        via: None,
    };
    let now = tokio::time::Instant::now();
    let ip = peer.remote.ip();
    let permit = server.gate.admit(ip, opening.purpose(), now).unwrap();
    let (protocol, service) = opening.open(&peer, permit);
    let conn = Conn::new(Box::new(tokio::io::empty()), peer);
    size_of_val(&drive(
        conn,
        protocol,
        service,
        None,
        server.shutdown.clone(),
    ))
}

#[test]
fn lim_36_what_a_waiting_session_holds_is_small() {
    run(async {
        let server = TestServer::start().await;
        for (port, bytes) in [
            ("smtp", waiting_bytes(&server, &server.smtp("smtp"))),
            ("imap", waiting_bytes(&server, &server.imap("imap"))),
            ("pop3", waiting_bytes(&server, &server.pop3("pop3"))),
        ] {
            // Of 8 KiB for an idle client; its buffers are empty while it waits.
            assert!(bytes <= 4096, "{port}: {bytes}");
        }
    });
}

#[tokio::test(start_paused = true)]
async fn lim_36_what_a_client_does_not_read_is_bounded_in_memory() {
    let mut session = start(1024);
    session.say("flood\r\n").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    // The verb is stopped at the first full output buffer: it has not run on into memory.
    let mut heard = vec![0; 200_000];
    session.far.read_exact(&mut heard).await.unwrap();
    assert_eq!(session.running.ran.load(Ordering::Relaxed), 1);
    drop(session.far);
    assert!(matches!(
        session.running.ended.await.unwrap().end,
        End::Gone(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_says_farewell_to_waiting_and_parked_sessions() {
    for begin in ["a\r\n", "park\r\n"] {
        let mut session = start(4096);
        session.say(begin).await;
        session.hear("hello\r\n").await;
        session
            .hear(if begin == "a\r\n" {
                "ok a\r\n"
            } else {
                "parked\r\n"
            })
            .await;
        session.trigger.pull();
        session.end("Shutdown\r\n").await;
    }
}

/// A peer who says `nap` for ever, reads everything, and never lets a read wait.
struct Tireless;

impl AsyncRead for Tireless {
    fn poll_read(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(b"nap\r\n");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tireless {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn lim_06_a_peer_that_never_pauses_outlives_neither_the_total_nor_a_shutdown() {
    for (stopped_after, expected, secs) in [
        (1000, Farewell::Idle, 180..185),
        (20, Farewell::Shutdown, 20..25),
    ] {
        let begun = tokio::time::Instant::now();
        let (session, trigger) = start_over(Box::new(Tireless));
        tokio::task::spawn(async move {
            tokio::time::sleep(Duration::from_secs(stopped_after)).await;
            trigger.pull();
        });
        let end = session.ended.await.unwrap().end;
        assert!(
            matches!(end, End::Farewell(why) if why == expected),
            "{end:?}"
        );
        assert!(secs.contains(&begun.elapsed().as_secs()), "{expected:?}");
    }
}
