//! A mail server of the world, as a test wants it: a connector whose connections end at a script.
//!
//! The script sees each event of each connection and says what is answered; where it says nothing,
//! the server is a good one. Everything happens in memory; what was said is kept.

use std::{
    future::pending,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use buzon::{base::future::BoxFuture, relay::Connector, smtp::client::Transport};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream},
    task::JoinSet,
};

/// Something that a client did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Connect,
    Command(String),
    Content(Vec<u8>),
    Gone,
}

/// What the server does about it.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// These lines, as they are.
    Say(String),
    /// These lines, then the end of the connection.
    SayAndClose(String),
    /// The connection ends.
    Close,
    /// The connection stays, and nothing is said.
    Silence,
    /// No connection is made (only for `Connect`).
    Refuse,
    /// Nobody ever answers the connection (only for `Connect`).
    Ignore,
    /// What a good server does.
    Usual,
}

pub(crate) fn say(text: &str) -> Act {
    Act::Say(format!("{text}\r\n"))
}

/// One event of a connection to this address.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) to: SocketAddr,
    pub(crate) event: Event,
}

impl Seen {
    pub(crate) fn command(&self) -> &str {
        match &self.event {
            Event::Command(line) => line,
            _ => "",
        }
    }
}

type Script = Box<dyn FnMut(&Seen) -> Act + Send>;

/// The world's mail servers.
#[derive(Clone)]
pub(crate) struct Mta(Arc<Mutex<State>>);

struct State {
    script: Script,
    seen: Vec<Seen>,
    sources: Vec<Option<IpAddr>>,
    tasks: JoinSet<()>,
}

impl Mta {
    pub(crate) fn new(script: impl FnMut(&Seen) -> Act + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(State {
            script: Box::new(script),
            seen: Vec::new(),
            sources: Vec::new(),
            tasks: JoinSet::new(),
        })))
    }

    /// A server that takes everything.
    pub(crate) fn good() -> Self {
        Self::new(|_| Act::Usual)
    }

    pub(crate) fn change(&self, script: impl FnMut(&Seen) -> Act + Send + 'static) {
        self.0.lock().unwrap().script = Box::new(script);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.0.lock().unwrap().seen.clone()
    }

    /// Where connections came from, as far as that was said.
    pub(crate) fn sources(&self) -> Vec<Option<IpAddr>> {
        self.0.lock().unwrap().sources.clone()
    }

    /// Where connections went, in order.
    pub(crate) fn called(&self) -> Vec<SocketAddr> {
        let connect = |seen: &Seen| (seen.event == Event::Connect).then_some(seen.to);
        self.seen().iter().filter_map(connect).collect()
    }

    /// The commands of all connections, in order.
    pub(crate) fn commands(&self) -> Vec<String> {
        let seen = self.seen();
        let commands = seen.iter().map(Seen::command).filter(|c| !c.is_empty());
        commands.map(str::to_owned).collect()
    }

    /// The messages that came to their final dot.
    pub(crate) fn contents(&self) -> Vec<Vec<u8>> {
        let content = |seen: Seen| match seen.event {
            Event::Content(content) => Some(content),
            _ => None,
        };
        self.seen().into_iter().filter_map(content).collect()
    }

    /// How often a connection was asked for.
    pub(crate) fn connects(&self) -> usize {
        let seen = self.seen();
        let connect = |seen: &&Seen| seen.event == Event::Connect;
        seen.iter().filter(connect).count()
    }

    /// What is done about an event when this many recipients were taken before it.
    fn act(&self, seen: Seen, taken: usize) -> Act {
        let mut state = self.0.lock().unwrap();
        state.seen.push(seen.clone());
        match (state.script)(&seen) {
            Act::Usual if taken == 0 && seen.command() == "DATA" => say("554 5.5.1 no recipients"),
            Act::Usual => usual(&seen.event),
            act => act,
        }
    }

    /// Serves one connection; for tests of the conversation alone, too.
    pub(crate) fn serve(&self, to: SocketAddr) -> io::Result<DuplexStream> {
        let greeting = self.act(
            Seen {
                to,
                event: Event::Connect,
            },
            0,
        );
        match greeting {
            Act::Refuse => return Err(io::ErrorKind::ConnectionRefused.into()),
            Act::Ignore => return Err(io::ErrorKind::WouldBlock.into()),
            _ => {}
        }
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let session = self.clone().session(to, greeting, theirs);
        self.0.lock().unwrap().tasks.spawn(session);
        Ok(ours)
    }

    async fn session(self, to: SocketAddr, greeting: Act, stream: DuplexStream) {
        let seen = |event| Seen { to, event };
        let mut stream = BufReader::new(stream);
        let mut go = perform(&mut stream, &greeting).await;
        let (mut taken, mut chunks) = (0, Vec::new());
        while go {
            let mut line = Vec::new();
            let read = stream.read_until(b'\n', &mut line).await;
            if read.unwrap_or(0) == 0 {
                self.act(seen(Event::Gone), 0);
                return;
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let verb = line.split(' ').next().unwrap_or_default().to_owned();
            let chunk = line.strip_prefix("BDAT ").map(str::to_owned);
            let mut act = self.act(seen(Event::Command(line)), taken);
            if let Some(chunk) = chunk {
                let (count, last) = chunk.split_once(' ').unwrap_or((&chunk, ""));
                let mut octets = vec![0; count.parse().unwrap()];
                if stream.read_exact(&mut octets).await.is_err() {
                    self.act(seen(Event::Gone), 0);
                    return;
                }
                chunks.append(&mut octets);
                if last == "LAST" && matches!(&act, Act::Say(text) if text.starts_with('2')) {
                    let content = std::mem::take(&mut chunks);
                    act = self.act(seen(Event::Content(content)), 0);
                }
            }
            match (verb.as_str(), &act) {
                ("MAIL", _) => (taken, chunks) = (0, Vec::new()),
                ("RCPT", Act::Say(text)) if text.starts_with('2') => taken += 1,
                _ => {}
            }
            let content = matches!(&act, Act::Say(text) if text.starts_with("354"));
            go = perform(&mut stream, &act).await;
            if content && go {
                let Some(content) = read_content(&mut stream).await else {
                    self.act(seen(Event::Gone), 0);
                    return;
                };
                let act = self.act(seen(Event::Content(content)), 0);
                go = perform(&mut stream, &act).await;
            }
        }
    }
}

impl Connector for Mta {
    fn connect(
        &self,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> BoxFuture<'_, io::Result<Box<dyn Transport>>> {
        self.0.lock().unwrap().sources.push(from);
        let served = self.serve(to);
        Box::pin(async move {
            match served {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => pending().await,
                served => served.map(|ours| Box::new(ours) as Box<dyn Transport>),
            }
        })
    }
}

/// Does what was decided; answers whether the connection goes on.
async fn perform(stream: &mut BufReader<DuplexStream>, act: &Act) -> bool {
    match act {
        Act::Say(text) => stream.write_all(text.as_bytes()).await.is_ok(),
        Act::SayAndClose(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            false
        }
        Act::Close | Act::Refuse | Act::Ignore | Act::Usual => false,
        Act::Silence => {
            let mut sink = Vec::new();
            let _ = stream.read_to_end(&mut sink).await;
            false
        }
    }
}

/// Content up to its final dot, with the transparency undone. `None` when the client goes before
/// that.
async fn read_content(stream: &mut BufReader<DuplexStream>) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        assert!(line.ends_with(b"\r\n"), "only CRLF ends a line");
        if line == b".\r\n" {
            return Some(content);
        }
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}

/// What a good server does.
fn usual(event: &Event) -> Act {
    let command = match event {
        Event::Connect => return say("220 mta.example ESMTP"),
        Event::Content(_) => return say("250 2.0.0 taken"),
        Event::Gone => return Act::Close,
        Event::Command(command) => command.to_ascii_uppercase(),
    };
    match command.split([' ', ':']).next().unwrap_or_default() {
        "EHLO" => say("250-mta.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 1000000"),
        "DATA" => say("354 go ahead"),
        "QUIT" => Act::SayAndClose("221 2.0.0 bye\r\n".to_owned()),
        _ => say("250 2.0.0 ok"),
    }
}
