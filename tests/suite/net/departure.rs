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

use super::words::{start, start_over};

/// A peer that is gone for good after these bytes, and how that shows.
struct Leaving(&'static [u8], io::ErrorKind);

impl AsyncRead for Leaving {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            return Poll::Ready(Err(self.1.into()));
        }
        buffer.put_slice(std::mem::take(&mut self.0));
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_works_for_a_client_that_left() {
    for command in ["work\r\n", "slowly\r\n", "guess\r\n"] {
        for how in [io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof] {
            let begun = Instant::now();
            let leaving = Leaving(command.as_bytes(), how);
            let transport = tokio::io::join(leaving, tokio::io::sink());
            let (running, _trigger) = start_over(Box::new(transport));
            let summary = running.ended.await.unwrap();
            assert!(matches!(
                summary.end,
                End::Gone(Gone::Closed | Gone::Broken(_))
            ));
            assert_eq!(begun.elapsed(), Duration::ZERO, "{command:?} {how:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lim_25_a_client_that_says_nothing_any_more_is_worked_for_two_minutes_at_most() {
    let mut session = start(1024);
    session.hear("hello\r\n").await;
    session.say("toil\r\n").await;
    let begun = Instant::now();
    session.far.shutdown().await.unwrap();
    let summary = session.end("").await;
    assert!(matches!(summary.end, End::Gone(Gone::Closed)));
    assert_eq!(begun.elapsed().as_secs(), 120);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_only_listens_any_more_hears_the_answer_to_its_last_command() {
    for (last, answer) in [("work\r\n", "worked\r\n"), ("guess\r\n", "Wrong\r\n")] {
        let mut session = start(1024);
        session.hear("hello\r\n").await;
        session.say(last).await;
        session.far.shutdown().await.unwrap();
        session.end(answer).await;
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

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_tls_without_good_bye_is_one_that_left() {
    let nowhere = ([192, 0, 2, 1], 25).into();
    let peer = Peer {
        remote: nowhere,
        local: nowhere,
        tls: None,
        via: None,
    };
    let torn = Leaving(b"", io::ErrorKind::UnexpectedEof);
    let torn = tokio::io::join(torn, tokio::io::sink());
    let mut conn = Conn::new(Box::new(torn), peer);
    let due = Instant::now() + Duration::from_secs(1);
    let read = conn.read(due, Patience::Idle).await;
    assert!(matches!(read, Err(Gone::Closed)), "{read:?}");
}
