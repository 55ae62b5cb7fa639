//! Servers of the world that go wrong: each connection may have one trouble at one of its stages,
//! drawn from a seed; what was taken and refused is written into the ledger.

use std::{
    collections::HashMap,
    future::pending,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use buzon::{
    base::{clock::Clock, future::BoxFuture, random::Random},
    relay::Connector,
    smtp::client::Transport,
};
use tokio::{
    io::{
        AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
        DuplexStream,
    },
    task::JoinSet,
    time::sleep,
};

use super::{
    guard::Face,
    ledger::{Ledger, Link, Offers},
    mood::{Mood, Stage, Trouble, any_trouble, one_of},
};

/// The world's servers.
#[derive(Clone)]
pub(super) struct Remotes(Arc<World>);

struct World {
    seed: u64,
    clock: Clock,
    ledger: Ledger,
    moods: Mutex<HashMap<IpAddr, (Mood, u64)>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Remotes {
    pub(super) fn new(seed: u64, clock: Clock, ledger: Ledger) -> Self {
        Self(Arc::new(World {
            seed,
            clock,
            ledger,
            moods: Mutex::default(),
            tasks: Mutex::default(),
        }))
    }

    pub(super) fn set(&self, address: IpAddr, mood: Mood) {
        self.0.moods.lock().unwrap().insert(address, (mood, 0));
    }

    /// The next connection to this address, with a chance of its own: what other connections do
    /// does not change it.
    fn next(&self, to: SocketAddr) -> Option<Remote> {
        let mut moods = self.0.moods.lock().unwrap();
        let (mood, count) = moods.get_mut(&to.ip())?;
        *count += 1;
        let IpAddr::V4(ip) = to.ip() else { return None };
        let number = u64::from(u32::from(ip)) << 20 | *count;
        let chance = Random::seeded(self.0.seed.wrapping_mul(0x9e37_79b9) ^ number);
        let (mut plan, mut face) = (None, Face::Right);
        if self.0.clock.wall() < mood.mends {
            if chance.below(100) < mood.trouble {
                plan = Some(mood.always.unwrap_or_else(|| any_trouble(&chance)));
            }
            if chance.below(100) < mood.masks {
                face = one_of(&chance, &[Face::Stranger, Face::Stripped]);
            }
        }
        Some(Remote {
            world: self.clone(),
            at: to.ip(),
            chance,
            plan,
            mood: mood.clone(),
            face,
            tls: false,
            greeted: false,
            requires: false,
            recipients_before: 0,
            sender: String::new(),
            taken: Vec::new(),
            content: Vec::new(),
        })
    }
}

impl Connector for Remotes {
    fn connect(
        &self,
        to: SocketAddr,
        _: Option<IpAddr>,
    ) -> BoxFuture<'_, io::Result<Box<dyn Transport>>> {
        let remote = self.next(to);
        Box::pin(async move {
            let Some(mut remote) = remote else {
                return Err(io::ErrorKind::HostUnreachable.into());
            };
            match remote.trouble(Stage::Connect) {
                None => {}
                Some(Trouble::Hang | Trouble::Crawl | Trouble::Slow) => pending().await,
                Some(Trouble::Drop) => return Err(io::ErrorKind::ConnectionReset.into()),
                Some(_) => return Err(io::ErrorKind::ConnectionRefused.into()),
            }
            let (ours, theirs) = tokio::io::duplex(remote.mood.pipe);
            let mut tasks = self.0.tasks.lock().unwrap();
            while tasks.try_join_next().is_some() {}
            tasks.spawn(async move { remote.serve(theirs).await });
            Ok(Box::new(ours) as Box<dyn Transport>)
        })
    }
}

/// One connection.
struct Remote {
    world: Remotes,
    at: IpAddr,
    chance: Random,
    plan: Option<(Stage, Trouble)>,
    mood: Mood,
    face: Face,
    tls: bool,
    /// EHLO was answered, so what is offered is known.
    greeted: bool,
    /// MAIL said REQUIRETLS.
    requires: bool,
    /// RCPT commands that go well before the trouble.
    recipients_before: u64,
    sender: String,
    taken: Vec<String>,
    content: Vec<u8>,
}

/// How a reply went out.
struct Said {
    /// The code that the client has read, if it read all we wrote.
    code: u16,
    /// Whether the connection goes on.
    on: bool,
}

enum Ended {
    Over,
    StartTls,
}

impl Remote {
    async fn serve(&mut self, stream: DuplexStream) {
        self.recipients_before = self.chance.below(3);
        let mut plain = BufReader::new(stream);
        if !self
            .say(&mut plain, Stage::Greeting, "220 mx ESMTP\r\n")
            .await
            .on
        {
            return;
        }
        if let Ended::Over = self.talk(&mut plain).await {
            return;
        }
        match self.trouble(Stage::Handshake) {
            None => {}
            Some(Trouble::Hang | Trouble::Slow | Trouble::Crawl) => pending().await,
            Some(Trouble::Junk | Trouble::Endless) => {
                let _ = plain.write_all(b"\x16\x03\x01 this is no handshake").await;
                return;
            }
            Some(_) => return,
        }
        let accepted = self.face.acceptor().accept(plain.into_inner()).await;
        if let Ok(stream) = accepted {
            (self.tls, self.greeted) = (true, false);
            self.talk(&mut BufReader::new(stream)).await;
        }
    }

    /// The trouble at this stage, once.
    fn trouble(&mut self, stage: Stage) -> Option<Trouble> {
        let (at, trouble) = self.plan?;
        if at != stage {
            return None;
        }
        if stage == Stage::Rcpt && self.recipients_before > 0 {
            self.recipients_before -= 1;
            return None;
        }
        if self.mood.always.is_none() {
            self.plan = None;
        }
        Some(trouble)
    }

    async fn talk<S: Stream>(&mut self, stream: &mut BufReader<S>) -> Ended {
        loop {
            let mut line = Vec::new();
            if stream.read_until(b'\n', &mut line).await.unwrap_or(0) == 0 {
                return Ended::Over;
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let said = match line.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" => {
                    let hello = self.hello();
                    let said = self.say(stream, Stage::Hello, &hello).await;
                    self.greeted = said.code == 250;
                    said
                }
                "HELO" => self.say(stream, Stage::Hello, "250 mx\r\n").await,
                "STARTTLS" => {
                    let said = self.say(stream, Stage::StartTls, "220 go\r\n").await;
                    if said.on && said.code == 220 {
                        return Ended::StartTls;
                    }
                    said
                }
                "MAIL" => self.mail(stream, &line).await,
                "RCPT" => self.recipient(stream, &line).await,
                "DATA" => self.data(stream).await,
                "BDAT" => self.chunk(stream, &line).await,
                "RSET" => {
                    self.begin("");
                    self.say(stream, Stage::Reset, "250 ok\r\n").await
                }
                _ => {
                    self.say(stream, Stage::Quit, "221 bye\r\n").await;
                    return Ended::Over;
                }
            };
            if !said.on {
                return Ended::Over;
            }
        }
    }

    fn hello(&self) -> String {
        let offers = self.mood.offers.iter().filter(|offer| self.has(offer));
        let lines: String = offers.map(|offer| format!("250-{offer}\r\n")).collect();
        format!("250-mx\r\n{lines}250 HELP\r\n")
    }

    /// Whether an offer is made here and now.
    fn has(&self, offer: &str) -> bool {
        match offer {
            "STARTTLS" => !self.tls && self.face != Face::Stripped,
            "REQUIRETLS" => self.tls,
            _ => true,
        }
    }

    /// Whether the client knows that this is offered.
    fn offers(&self, keyword: &str) -> bool {
        let named = |offer: &&&str| offer.split(' ').next() == Some(keyword);
        let mut offers = self.mood.offers.iter().filter(named);
        self.greeted && offers.any(|offer| self.has(offer))
    }

    /// What a command says is of what is offered.
    fn weigh(&self, line: &str) {
        let (_, parameters) = line.rsplit_once('>').unwrap_or_default();
        for parameter in parameters.split_whitespace() {
            let name = parameter.split('=').next().unwrap_or_default();
            let needed = match (name, parameter) {
                (_, "BODY=BINARYMIME") => &["BINARYMIME", "CHUNKING"][..],
                (_, "BODY=8BITMIME") => &["8BITMIME"],
                ("RET" | "ENVID" | "NOTIFY" | "ORCPT", _) => &["DSN"],
                ("BY", _) => &["DELIVERBY"],
                (name, _) => &[name],
            };
            let offered = needed.iter().all(|keyword| self.offers(keyword));
            let ledger = &self.world.0.ledger;
            ledger.expect(offered, || format!("{} does not offer it: {line}", self.at));
        }
    }

    fn begin(&mut self, sender: &str) {
        self.sender = sender.to_owned();
        self.taken.clear();
        self.content.clear();
    }

    async fn mail<S: Stream>(&mut self, stream: &mut S, line: &str) -> Said {
        self.begin(in_brackets(line));
        self.weigh(line);
        self.requires = line.ends_with(" REQUIRETLS") || line.contains(" REQUIRETLS ");
        let said = self.say(stream, Stage::Mail, "250 ok\r\n").await;
        if said.code / 100 == 5 {
            self.world.0.ledger.refused_mail(&self.sender, self.at);
        }
        said
    }

    async fn recipient<S: Stream>(&mut self, stream: &mut S, line: &str) -> Said {
        let to = in_brackets(line).to_owned();
        self.weigh(line);
        self.world.0.ledger.asked(&to);
        let said = self.say(stream, Stage::Rcpt, "250 ok\r\n").await;
        match said.code / 100 {
            2 => self.taken.push(to),
            5 => self.world.0.ledger.refused(&[to]),
            _ => {}
        }
        said
    }

    async fn data<S: Stream>(&mut self, stream: &mut BufReader<S>) -> Said {
        if self.taken.is_empty() {
            return self.write(stream, "554 no recipients\r\n", 554).await;
        }
        let said = self.say(stream, Stage::Data, "354 go\r\n").await;
        if said.code / 100 == 5 {
            self.world.0.ledger.refused(&self.taken);
        }
        if !said.on || said.code != 354 {
            return said;
        }
        let trouble = self.trouble(Stage::Content);
        let mut lines = match trouble {
            Some(_) => 1 + self.chance.below(4),
            None => u64::MAX,
        };
        loop {
            let mut line = Vec::new();
            if stream.read_until(b'\n', &mut line).await.unwrap_or(0) == 0 {
                return GONE;
            }
            if line == b".\r\n" {
                return self.dot(stream).await;
            }
            let line = line.strip_prefix(b".").unwrap_or(&line);
            self.content.extend_from_slice(line);
            lines -= 1;
            if lines == 0 {
                return self.amid(stream, trouble).await;
            }
        }
    }

    /// What goes wrong before the content has ended: nobody can have taken it.
    async fn amid<S: Stream>(&self, stream: &mut S, trouble: Option<Trouble>) -> Said {
        match trouble {
            Some(Trouble::Never) => {
                self.world.0.ledger.refused(&self.taken);
                self.write(stream, "552 too much\r\n", 552).await;
            }
            Some(Trouble::Later) => _ = self.write(stream, "452 no room\r\n", 452).await,
            Some(Trouble::Closing) => _ = self.write(stream, "421 bye\r\n", 421).await,
            Some(Trouble::Hang | Trouble::Slow | Trouble::Crawl) => pending().await,
            _ => {}
        }
        GONE
    }

    async fn chunk<S: Stream>(&mut self, stream: &mut S, line: &str) -> Said {
        let mut words = line.split(' ').skip(1);
        let length = words.next().unwrap().parse().unwrap();
        let mut octets = vec![0; length];
        if stream.read_exact(&mut octets).await.is_err() {
            return GONE;
        }
        self.content.append(&mut octets);
        if self.taken.is_empty() {
            return self.write(stream, "554 no recipients\r\n", 554).await;
        }
        if let Some(trouble) = self.trouble(Stage::Content) {
            return self.amid(stream, Some(trouble)).await;
        }
        match words.next() {
            Some("LAST") => self.dot(stream).await,
            _ => self.write(stream, "250 ok\r\n", 250).await,
        }
    }

    /// Behind the content. Whoever says 250 has taken it; who says nothing may have.
    async fn dot<S: Stream>(&mut self, stream: &mut S) -> Said {
        let trouble = self.plan.filter(|(stage, _)| *stage == Stage::Dot);
        let takes = match trouble.map(|(_, trouble)| trouble) {
            Some(Trouble::Later | Trouble::Never | Trouble::Closing | Trouble::Wrong) => false,
            Some(Trouble::Hang | Trouble::Drop | Trouble::Junk | Trouble::Endless) => {
                self.chance.below(2) == 0
            }
            _ => true,
        };
        let ledger = &self.world.0.ledger;
        let who = (self.sender.as_str(), &self.taken[..]);
        let link = Link {
            at: self.at,
            is_proven: self.tls && self.face == Face::Right,
            requires: self.requires,
        };
        let number = takes.then(|| ledger.taken(who, &self.content, link));
        let said = self.say(stream, Stage::Dot, "250 2.0.0 taken\r\n").await;
        let ledger = &self.world.0.ledger;
        match (said.code, number) {
            (250, Some(number)) => {
                let offers = Offers {
                    dsn: self.offers("DSN"),
                    deliver_by: self.offers("DELIVERBY"),
                };
                ledger.acknowledged(number, offers);
            }
            (500.., _) => ledger.refused(&self.taken),
            _ => {}
        }
        self.begin("");
        said
    }

    /// Says `good`, or what the trouble of this stage is.
    async fn say<S: Stream>(&mut self, stream: &mut S, stage: Stage, good: &str) -> Said {
        let code = good[..3].parse().unwrap();
        match self.trouble(stage) {
            None => self.write(stream, good, code).await,
            Some(Trouble::Later) => self.write(stream, "451 4.3.0 not now\r\n", 451).await,
            Some(Trouble::Never) => self.write(stream, "550 5.7.1 never\r\n", 550).await,
            Some(Trouble::Wrong) => {
                let wrong = if code == 354 {
                    "250 what\r\n"
                } else {
                    "354 what\r\n"
                };
                let said = self.write(stream, wrong, 300).await;
                Said { code: 300, ..said }
            }
            // Before the content a reply to it cannot be told from one behind it.
            Some(Trouble::Twice) if stage != Stage::Data => {
                let both = format!("{good}250 and more\r\n");
                self.write(stream, &both, code).await
            }
            Some(Trouble::Split | Trouble::Twice) => {
                self.bytewise(stream, good, Duration::ZERO).await
            }
            Some(Trouble::Slow) => self.bytewise(stream, good, Duration::from_secs(1)).await,
            Some(Trouble::Crawl) => self.bytewise(stream, good, Duration::from_secs(20)).await,
            Some(Trouble::Hang) => pending().await,
            Some(Trouble::ThenDrop) => {
                let said = self.write(stream, good, code).await;
                Said { on: false, ..said }
            }
            Some(trouble) => {
                let bytes = match trouble {
                    Trouble::Half => &good.as_bytes()[..good.len() / 2],
                    Trouble::Closing => b"421 4.3.2 going down\r\n",
                    Trouble::Junk => b"\xff\0HTTP/1.1 400 Bad Request\r\n\r\n",
                    Trouble::Endless => &[b'2'; 10_000],
                    _ => b"",
                };
                let _ = stream.write_all(bytes).await;
                let _ = stream.flush().await;
                GONE
            }
        }
    }

    async fn write<S: Stream>(&self, stream: &mut S, text: &str, code: u16) -> Said {
        let written = stream.write_all(text.as_bytes()).await;
        match written.is_ok() && stream.flush().await.is_ok() {
            true => Said { code, on: true },
            false => GONE,
        }
    }

    async fn bytewise<S: Stream>(&self, stream: &mut S, text: &str, each: Duration) -> Said {
        for byte in text.split_inclusive(|_| true) {
            if !self.write(stream, byte, 0).await.on {
                return GONE;
            }
            match each.is_zero() {
                true => tokio::task::yield_now().await,
                false => sleep(each).await,
            }
        }
        Said {
            code: text[..3].parse().unwrap(),
            on: true,
        }
    }
}

fn in_brackets(line: &str) -> &str {
    let inside = line
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or("", |(inside, _)| inside)
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

const GONE: Said = Said { code: 0, on: false };
