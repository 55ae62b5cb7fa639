//! A client that leaves while a command works for it, and what it sends meanwhile.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use buzon::{
    base::limits::READ_AHEAD_BYTES_MAX,
    net::{Farewell, Gone, Peer, conn::Conn, drive::End, recall::Patience},
};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    time::{Instant, sleep, timeout},
};

use super::words::start;

#[tokio::test(start_paused = true)]
async fn nobody_works_for_a_client_that_left() {
    for command in ["work\r\n", "slowly\r\n", "guess\r\n"] {
        let mut session = start(1024);
        session.hear("hello\r\n").await;
        session.say(command).await;
        sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        drop(session.far);
        let summary = session.running.ended.await.unwrap();
        assert!(matches!(summary.end, End::Gone(Gone::Closed)));
        assert_eq!(begun.elapsed(), Duration::ZERO, "{command:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn commands_sent_while_another_one_works_are_not_lost() {
    let mut session = start(1024);
    session.hear("hello\r\n").await;
    session.say("work\r\n").await;
    for part in ["a\r", "\nb", "\r\nbye\r\n"] {
        sleep(Duration::from_secs(1)).await;
        session.say(part).await;
    }
    session.end("worked\r\nok a\r\nok b\r\nbye\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_only_listens_any_more_is_answered() {
    let mut session = start(1024);
    session.say("work\r\na\r\n").await;
    session.far.shutdown().await.unwrap();
    session.end("hello\r\nworked\r\nok a\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn lim_22_what_is_sent_ahead_waits_at_its_sender() {
    let pipe = 1024;
    let mut session = start(pipe);
    session.hear("hello\r\n").await;
    session.say("work\r\n").await;
    let commands = "a\r\n".repeat(READ_AHEAD_BYTES_MAX);
    let (mut sent, mut rest) = (0, commands.as_bytes());
    let patience = Duration::from_secs(1);
    while let Ok(count) = timeout(patience, session.far.write(rest)).await {
        sent += count.unwrap();
        rest = &commands.as_bytes()[sent..];
    }
    assert!(
        (READ_AHEAD_BYTES_MAX..=READ_AHEAD_BYTES_MAX + pipe).contains(&sent),
        "{sent}"
    );
    session.hear("worked\r\nok a\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_lets_work_go_on_for_five_seconds() {
    let mut session = start(1024);
    session.hear("hello\r\n").await;
    session.say("work\r\n").await;
    sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    session.trigger.pull();
    let summary = session.end("Shutdown\r\n").await;
    assert!(matches!(summary.end, End::Farewell(Farewell::Shutdown)));
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_go_on_is_cut_off_without_a_word() {
    let mut session = start(1024);
    session.hear("hello\r\n").await;
    session.say("slowly\r\n").await;
    session.hear("begun\r\n").await;
    session.trigger.pull();
    let summary = session.end("").await;
    assert!(matches!(summary.end, End::Gone(Gone::Cut(_))));
}

/// A TLS stream whose peer closed the connection and not TLS before.
struct Torn;

impl AsyncRead for Torn {
    fn poll_read(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        _buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_tls_without_good_bye_is_one_that_left() {
    let nowhere = ([192, 0, 2, 1], 25).into();
    let peer = Peer {
        remote: nowhere,
        local: nowhere,
        tls: None,
    };
    let torn = tokio::io::join(Torn, tokio::io::sink());
    let mut conn = Conn::new(Box::new(torn), peer);
    let due = Instant::now() + Duration::from_secs(1);
    let read = conn.read(due, Patience::Idle).await;
    assert!(matches!(read, Err(Gone::Closed)), "{read:?}");
}
