//! The driver with a protocol of three words: pipelining, strikes, deadlines, parking, TLS upgrade.
#![expect(clippy::disallowed_methods, reason = "a test waits for its own tasks")]

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use buzon::{
    net::{
        Farewell, Halt, Next, Peer, Protocol, Service, Step, Terms, Turn,
        conn::{Conn, Gone, Transport},
        drive::{End, Summary, drive},
        shutdown,
    },
    wire::{Input, Line, Output},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    sync::Notify,
};

struct Words;

impl Protocol for Words {
    type Command = String;
    type Reply = String;
    type Stage = ();

    fn next(&mut self, input: &mut Input, (): ()) -> Step<String, String> {
        match input.line(20) {
            Line::NeedMore => Step::NeedMore,
            Line::TooLong => Step::Refuse("long".to_owned()),
            Line::Endless => Step::Fatal("endless".to_owned()),
            Line::Whole(line) if line.starts_with(b"?") => Step::Refuse("what".to_owned()),
            Line::Whole(line) => Step::Command(String::from_utf8_lossy(&line).into_owned()),
        }
    }

    fn encode(&self, reply: &String, out: &mut Output) {
        out.text(reply).crlf();
    }

    fn challenge(&self, base64: &str) -> String {
        base64.to_owned()
    }

    fn farewell(&self, why: Farewell) -> String {
        format!("{why:?}")
    }

    fn reset(&mut self) {}
}

struct Speaker {
    parked: bool,
    forgives: bool,
    change: Arc<Notify>,
    ran: Arc<AtomicUsize>,
}

#[derive(Debug, thiserror::Error)]
#[error("broken")]
struct Broken;

impl Service<Words> for Speaker {
    type Fault = Broken;

    fn stage(&self) {}

    fn terms(&self) -> Terms {
        let (idle, total) = (Duration::from_secs(60), Some(Duration::from_secs(180)));
        Terms {
            idle,
            total,
            strikes_slow: 3,
            strikes_max: 5,
            strikes_forgiven: self.forgives,
        }
    }

    async fn greet(&mut self, _peer: &Peer) -> String {
        "hello".to_owned()
    }

    async fn run(
        &mut self,
        command: String,
        turn: &mut Turn<'_, Words>,
    ) -> Result<Next<String>, Halt<Broken>> {
        self.ran.fetch_add(1, Ordering::Relaxed);
        match command.as_str() {
            "tls" => Ok(Next::Upgrade("go".to_owned())),
            "break" => Err(Halt::Fault(Broken)),
            "flood" => loop {
                turn.reply(&"x".repeat(1000)).await?;
            },
            "park" => {
                self.parked = true;
                Ok(Next::Park("parked".to_owned()))
            }
            "nap" => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(Next::Continue)
            }
            "bye" => Ok(Next::Close("bye".to_owned())),
            "forgive" => {
                self.forgives = true;
                Ok(Next::Continue)
            }
            "no" => Ok(Next::Refuse("no".to_owned())),
            other => {
                self.parked = false;
                Ok(Next::Reply(format!("ok {other}")))
            }
        }
    }

    fn is_parked(&self) -> bool {
        self.parked
    }

    async fn changed(&mut self) {
        self.change.notified().await;
    }

    async fn catch_up(&mut self, turn: &mut Turn<'_, Words>) -> Result<(), Halt<Broken>> {
        turn.reply(&"changed".to_owned()).await?;
        Ok(())
    }

    fn secured(&mut self, _peer: &Peer) {}

    fn refusal_for(&self, _fault: &Broken) -> String {
        "sorry".to_owned()
    }
}

struct Session {
    far: DuplexStream,
    change: Arc<Notify>,
    ran: Arc<AtomicUsize>,
    trigger: shutdown::Trigger,
    ended: tokio::task::JoinHandle<Summary>,
}

/// A session whose other end is nobody's.
struct Running {
    change: Arc<Notify>,
    ran: Arc<AtomicUsize>,
    ended: tokio::task::JoinHandle<Summary>,
}

fn start(buffer: usize) -> Session {
    let (near, far) = duplex(buffer);
    let (running, trigger) = start_over(Box::new(near));
    let Running { change, ran, ended } = running;
    Session {
        far,
        change,
        ran,
        trigger,
        ended,
    }
}

fn start_over(near: Box<dyn Transport>) -> (Running, shutdown::Trigger) {
    let address = "192.0.2.1:1".parse().unwrap();
    let conn = Conn::new(
        near,
        Peer {
            remote: address,
            local: address,
            tls: None,
        },
    );
    let (change, ran) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let speaker = Speaker {
        parked: false,
        forgives: false,
        change: Arc::clone(&change),
        ran: Arc::clone(&ran),
    };
    let (trigger, stop) = shutdown::pair();
    let certificate =
        buzon::tls::certificate::Certificate::load(&pem("cert"), &pem("key")).unwrap();
    let tls = buzon::tls::server::config(Arc::new(certificate), "words").unwrap();
    let task = drive(conn, Words, speaker, Some(tls), stop);
    let ended = tokio::task::spawn(task);
    (Running { change, ran, ended }, trigger)
}

/// A certificate and its key, made once.
fn pem(which: &str) -> std::path::PathBuf {
    static DIR: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("buzon-net-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
        let key = dir.join("key.pem");
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&key, mode).unwrap();
        dir
    });
    dir.join(format!("{which}.pem"))
}

impl Session {
    async fn say(&mut self, text: &str) {
        self.far.write_all(text.as_bytes()).await.unwrap();
    }

    async fn hear(&mut self, expected: &str) {
        let mut heard = vec![0; expected.len()];
        self.far.read_exact(&mut heard).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&heard), expected);
    }

    async fn end(mut self, expected: &str) -> Summary {
        let mut heard = String::new();
        self.far.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, expected);
        self.ended.await.unwrap()
    }
}

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
    session.change.notify_one();
    session.hear("changed\r\n").await;
    session.say("?\r\nDO").await;
    session.hear("what\r\n").await;
    session.change.notify_one();
    session.hear("changed\r\n").await;
    session.say("NE\r\nbye\r\n").await;
    session.end("ok DONE\r\nbye\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn plaintext_behind_the_tls_command_ends_the_connection() {
    let mut session = start(4096);
    session.say("tls\r\ninjected\r\n").await;
    let ran = Arc::clone(&session.ran);
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
    let summary = session.ended.await.unwrap();
    assert!(matches!(summary.end, End::Gone(Gone::NotReading)));
    assert_eq!(begun.elapsed().as_secs(), 300);
    drop(session.far);
}

#[tokio::test(start_paused = true)]
async fn lim_36_what_a_client_does_not_read_is_bounded_in_memory() {
    let mut session = start(1024);
    session.say("flood\r\n").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    // The verb is stopped at the first full output buffer: it has not run on into memory.
    let mut heard = vec![0; 200_000];
    session.far.read_exact(&mut heard).await.unwrap();
    assert_eq!(session.ran.load(Ordering::Relaxed), 1);
    drop(session.far);
    assert!(matches!(session.ended.await.unwrap().end, End::Gone(_)));
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
