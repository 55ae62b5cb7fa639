//! What becomes of a session that is recalled in the middle of something: the server stops, or the
//! login no longer holds.

use std::time::Duration;

use buzon::net::{Farewell, Gone, drive::End};
use tokio::{
    io::AsyncReadExt,
    time::{Instant, sleep},
};

use super::words::{Session, start};

/// A session that was told `commands`, has said `answers` and is as far as it can get.
async fn busy(commands: &str, answers: &str) -> Session {
    let mut session = start(1024);
    session.hear("hello\r\n").await;
    session.say(commands).await;
    session.hear(answers).await;
    settle().await;
    session
}

/// Lets everything run that can run now.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_command_that_waits_for_its_client_ends_with_the_server() {
    for (commands, answers, last) in [
        ("body\r\nhalf of", "", ""),
        ("ask\r\n", "\r\n", ""),
        // The delay of a wrong password and the one of a strike.
        ("guess\r\n", "", ""),
        ("?\r\n?\r\n?\r\n", "", "what\r\nwhat\r\n"),
    ] {
        let session = busy(commands, answers).await;
        let begun = Instant::now();
        session.trigger.pull();
        let summary = session.end(&format!("{last}Shutdown\r\n")).await;
        assert!(matches!(summary.end, End::Farewell(Farewell::Shutdown)));
        assert_eq!(begun.elapsed(), Duration::ZERO, "{commands:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn dur_01_a_command_that_waits_for_the_store_is_answered_before_the_end() {
    let session = busy("commit\r\nnever\r\n", "").await;
    session.trigger.pull();
    session.end("committed\r\nShutdown\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_does_not_hold_a_server_that_stops() {
    let session = busy("tls\r\n", "go\r\n").await;
    let begun = Instant::now();
    session.trigger.pull();
    let summary = session.end("").await;
    assert!(matches!(summary.end, End::Gone(Gone::Cut(_))));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_is_cut_off_without_a_word() {
    // A farewell in the middle of a literal would be read as a part of it.
    let mut session = busy("flood\r\n", "").await;
    let begun = Instant::now();
    session.trigger.pull();
    let summary = session.running.ended.await.unwrap();
    assert!(matches!(summary.end, End::Gone(Gone::Cut(_))));
    assert_eq!(begun.elapsed().as_secs(), 5);
    let mut taken = String::new();
    session.far.read_to_string(&mut taken).await.unwrap();
    assert!(!taken.contains("Shutdown"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_taken_late_is_whole() {
    // More than the pipe takes and less than is sent on the way.
    let mut session = busy("much\r\n", "").await;
    session.trigger.pull();
    sleep(Duration::from_secs(4)).await;
    let mut taken = String::new();
    session.far.read_to_string(&mut taken).await.unwrap();
    assert_eq!(taken.len(), "Shutdown\r\n".len() + 20 * 1002);
    assert!(taken.ends_with("xx\r\nShutdown\r\n"));
}

#[tokio::test(start_paused = true)]
async fn auth_06_a_command_has_half_a_minute_when_its_login_no_longer_holds() {
    for (rest, last) in [("\r\n.\r\nnever\r\n", "took 4\r\n"), ("", "")] {
        let mut session = busy("login\r\nbody\r\nab", "welcome\r\n").await;
        session.running.accounts.revoke();
        let begun = Instant::now();
        sleep(Duration::from_secs(29)).await;
        session.say(rest).await;
        let summary = session.end(&format!("{last}Revoked\r\n")).await;
        assert!(matches!(summary.end, End::Farewell(Farewell::Revoked)));
        let secs = if last.is_empty() { 30 } else { 29 };
        assert_eq!(begun.elapsed().as_secs(), secs);
    }
}

#[tokio::test(start_paused = true)]
async fn auth_06_commands_sent_together_do_not_outlive_their_login() {
    let session = busy("login\r\ncommit\r\ncommit\r\n", "").await;
    session.running.accounts.revoke();
    session.end("welcome\r\ncommitted\r\nRevoked\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn auth_06_who_is_not_logged_in_stays() {
    let mut session = busy("a\r\n", "ok a\r\n").await;
    session.running.accounts.revoke();
    session.say("login\r\n").await;
    session.hear("welcome\r\n").await;
    settle().await;
    session.say("park\r\n").await;
    session.hear("parked\r\n").await;
    session.running.accounts.revoke();
    session.end("Revoked\r\n").await;
}
