//! A protocol of a few words for tests of the driver, its service, and a session with its client.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use buzon::{
    base::{
        clock::Clock,
        future::BoxFuture,
        ids::{AccountId, Proof},
        pieces::Pieces,
        secret::Secret,
    },
    net::{
        Farewell, Gone, Halt, Next, Peer, Protocol, Service, Step, Terms, Turn,
        authn::{Authn, Login, Verifier, VerifyFault},
        conn::{Conn, Transport},
        drive::{Summary, drive},
        gate::{self, Gate},
        shutdown,
        throttle::{self, Throttle},
        turn::Outgoing,
    },
    tls::certificate::Certificate,
    wire::{Frame, Input, Line, Output},
};
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::{Notify, watch},
};

/// The protocol.
pub(super) struct Words;

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
            Line::Whole(line) if line.starts_with(b"junk ") => {
                let octets = String::from_utf8_lossy(&line[5..]).parse().unwrap();
                Step::Discard(Frame::Octets(octets))
            }
            Line::Whole(line) => Step::Command(String::from_utf8_lossy(&line).into_owned()),
        }
    }

    fn encode(&self, reply: &String, out: &mut Output) {
        out.text(reply).crlf();
    }

    fn challenge(&self, base64: &str) -> String {
        base64.to_owned()
    }

    fn farewell(&self, why: Farewell) -> Option<String> {
        Some(format!("{why:?}"))
    }

    fn reset(&mut self) {}
}

/// Its service.
struct Speaker {
    login: Option<Login>,
    authn: Authn,
    parked: bool,
    forgives: bool,
    leaves_on_change: bool,
    looks_slowly: bool,
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
            "much" => {
                for _ in 0..20 {
                    turn.reply(&"x".repeat(1000)).await?;
                }
                Ok(Next::Continue)
            }
            "park" => {
                self.parked = true;
                Ok(Next::Park("parked".to_owned()))
            }
            "nap" => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(Next::Continue)
            }
            "body" => Ok(Next::Reply(taken(turn).await?)),
            "ask" => {
                let answer = turn.challenge(b"").await?;
                Ok(Next::Reply(format!("heard {answer:?}")))
            }
            "commit" => {
                tokio::time::sleep(Duration::from_secs(7)).await;
                Ok(Next::Reply("committed".to_owned()))
            }
            "work" => {
                turn.flush().await?;
                let work = tokio::time::sleep(Duration::from_secs(100));
                turn.unless_gone(work).await?;
                Ok(Next::Reply("worked".to_owned()))
            }
            "toil" => {
                turn.unless_gone(std::future::pending::<()>()).await?;
                Ok(Next::Continue)
            }
            "slowly" => {
                turn.reply(&"begun".to_owned()).await?;
                turn.flush().await?;
                turn.send_body(&mut Never, Outgoing::Octets).await?;
                Ok(Next::Continue)
            }
            "login" | "guess" => {
                let password = Secret::new(command.clone());
                match self.authn.password(turn, "me", &password).await? {
                    Ok(login) => self.login = Some(login),
                    Err(denial) => return Ok(denial.next(format!("{:?}", denial.why))),
                }
                Ok(Next::Reply("welcome".to_owned()))
            }
            "bye" => Ok(Next::Close("bye".to_owned())),
            "park until then" => {
                (self.parked, self.leaves_on_change) = (true, true);
                Ok(Next::Park("parked".to_owned()))
            }
            "look slowly" => {
                self.looks_slowly = true;
                Ok(Next::Continue)
            }
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

    fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    async fn changed(&mut self) {
        self.change.notified().await;
    }

    async fn catch_up(&mut self, turn: &mut Turn<'_, Words>) -> Result<Next<String>, Halt<Broken>> {
        if self.looks_slowly {
            let look = tokio::time::sleep(Duration::from_secs(1));
            turn.unless_gone(look).await?;
        }
        turn.reply(&"changed".to_owned()).await?;
        Ok(match self.leaves_on_change {
            true => Next::Close("gone".to_owned()),
            false => Next::Continue,
        })
    }

    fn secured(&mut self, _peer: &Peer) {}

    fn refusal_for(&self, _fault: &Broken) -> String {
        "sorry".to_owned()
    }
}

/// A session and its client.
pub(super) struct Session {
    pub(super) far: DuplexStream,
    pub(super) trigger: shutdown::Trigger,
    pub(super) running: Running,
}

/// A session whose other end is nobody's.
pub(super) struct Running {
    pub(super) change: Arc<Notify>,
    pub(super) ran: Arc<AtomicUsize>,
    pub(super) accounts: Arc<OneAccount>,
    pub(super) ended: tokio::task::JoinHandle<Summary>,
}

/// A session over a pipe of this size.
pub(super) fn start(buffer: usize) -> Session {
    let (near, far) = duplex(buffer);
    let (running, trigger) = start_over(Box::new(near));
    Session {
        far,
        trigger,
        running,
    }
}

/// A session over any transport.
pub(super) fn start_over(near: Box<dyn Transport>) -> (Running, shutdown::Trigger) {
    let address = "192.0.2.1:1".parse().unwrap();
    let conn = Conn::new(
        near,
        Peer {
            remote: address,
            local: address,
            tls: None,
            via: None,
        },
    );
    let (change, ran) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let accounts = Arc::new(OneAccount::default());
    let throttle = Throttle::new(throttle::Options::default());
    let gate = Gate::new(gate::Options {
        connections_max: 10,
        connections_per_address: 10,
        mailbox_connections_per_address: 10,
        sessions_per_account_and_address: 10,
        sessions_per_account: 10,
        connects_per_minute: 10,
    });
    let speaker = Speaker {
        login: None,
        authn: Authn::new(Arc::clone(&accounts) as _, throttle, gate),
        parked: false,
        forgives: false,
        leaves_on_change: false,
        looks_slowly: false,
        change: Arc::clone(&change),
        ran: Arc::clone(&ran),
    };
    let (trigger, stop) = shutdown::pair();
    let certificate = Certificate::load(&pem("cert"), &pem("key"), Clock::system()).unwrap();
    let tls = buzon::tls::server::config(Arc::new(certificate), "words").unwrap();
    let task = drive(conn, Words, speaker, Some(tls), stop);
    let ended = tokio::task::spawn(task);
    let running = Running {
        change,
        ran,
        accounts,
        ended,
    };
    (running, trigger)
}

/// A body whose next piece never comes.
struct Never;

impl Pieces for Never {
    fn next(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        Box::pin(std::future::pending())
    }
}

/// One account whose password is `login` and whose credentials are counted.
#[derive(Default)]
pub(super) struct OneAccount {
    credentials: AtomicU64,
    changes: watch::Sender<u64>,
}

impl OneAccount {
    /// Ends all its logins.
    pub(super) fn revoke(&self) {
        self.credentials.fetch_add(1, Ordering::Relaxed);
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn proof(&self) -> Proof {
        Proof {
            account: AccountId(1),
            credentials: self.credentials.load(Ordering::Relaxed),
        }
    }
}

impl Verifier for OneAccount {
    fn verify<'a>(
        &'a self,
        _name: &'a str,
        password: &'a Secret<String>,
    ) -> BoxFuture<'a, Result<Option<Proof>, VerifyFault>> {
        let proof = (password.expose() == "login").then(|| self.proof());
        Box::pin(async move { Ok(proof) })
    }

    fn account(&self, name: &str) -> Option<AccountId> {
        (name == "me").then_some(AccountId(1))
    }

    fn vouched(&self, name: &str) -> Option<Proof> {
        (name == "me").then(|| self.proof())
    }

    fn holds(&self, proof: Proof) -> bool {
        proof == self.proof()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// A certificate and its key, made once.
fn pem(which: &str) -> std::path::PathBuf {
    static DIR: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap().keep();
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
    /// Sends.
    pub(super) async fn say(&mut self, text: &str) {
        self.far.write_all(text.as_bytes()).await.unwrap();
    }

    /// Receives exactly this.
    pub(super) async fn hear(&mut self, expected: &str) {
        let mut heard = vec![0; expected.len()];
        self.far.read_exact(&mut heard).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&heard), expected);
    }

    /// Receives exactly this and then the end.
    pub(super) async fn end(mut self, expected: &str) -> Summary {
        let mut heard = String::new();
        self.far.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, expected);
        self.running.ended.await.unwrap()
    }
}

/// Takes a body in and tells its length.
async fn taken(turn: &mut Turn<'_, Words>) -> Result<String, Gone> {
    turn.flush().await?;
    let mut body = turn.body(Frame::dot());
    let mut bytes = 0;
    while let Some(piece) = body.next().await? {
        bytes += piece.len();
    }
    Ok(format!("took {bytes}"))
}
