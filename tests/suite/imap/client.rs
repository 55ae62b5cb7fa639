//! A client that understands literals: what it needs to look at whole answers byte by byte.

use std::{collections::BTreeMap, time::Duration};

use buzon::{base::ids::AccountId, mailbox::ChangeError};
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};

use crate::support::server::{TestServer, address_of};

pub(super) struct ImapClient {
    stream: DuplexStream,
    received: Vec<u8>,
    asked: u32,
    told_idle: Vec<Vec<u8>>,
}

/// What came until a command was completed.
#[derive(Debug)]
pub(super) struct Answer {
    /// Without `* ` and line ends, with literals.
    pub(super) untagged: Vec<Vec<u8>>,
    /// Without the tag.
    pub(super) completion: String,
}

/// One FETCH response: the number, and values by the names of their items. Of strings the content.
pub(super) type Fetched = (u32, BTreeMap<String, Vec<u8>>);

impl ImapClient {
    pub(super) async fn log_in(server: &TestServer, name: &str) -> Self {
        let stream = server.plain(server.imap("imap"));
        let mut client = Self {
            stream,
            received: Vec::new(),
            asked: 0,
            told_idle: Vec::new(),
        };
        assert!(client.response().await.starts_with(b"* OK"));
        let login = format!("LOGIN {} secret-{name}", address_of(name));
        client.ask(&login).await.ok();
        client
    }

    /// Sends a command and reads all that it is answered.
    pub(super) async fn ask(&mut self, command: &str) -> Answer {
        self.ask_bytes(command.as_bytes()).await
    }

    pub(super) async fn ask_bytes(&mut self, command: &[u8]) -> Answer {
        self.asked += 1;
        let tag = format!("t{} ", self.asked);
        let line = [tag.as_bytes(), command, b"\r\n"].concat();
        self.stream.write_all(&line).await.unwrap();
        self.answer(Vec::new()).await
    }

    async fn answer(&mut self, mut untagged: Vec<Vec<u8>>) -> Answer {
        let tag = format!("t{} ", self.asked);
        loop {
            let response = self.response().await;
            if let Some(completion) = response.strip_prefix(tag.as_bytes()) {
                let completion = String::from_utf8_lossy(completion).into_owned();
                return Answer {
                    untagged,
                    completion,
                };
            }
            let data = response.strip_prefix(b"* ");
            untagged.push(
                data.unwrap_or_else(|| panic!("{}", response.escape_ascii()))
                    .to_vec(),
            );
        }
    }

    /// Begins IDLE; what is told until the server idles is part of the answer to [`Self::done`].
    pub(super) async fn idle(&mut self) {
        self.asked += 1;
        let line = format!("t{} IDLE\r\n", self.asked);
        self.stream.write_all(line.as_bytes()).await.unwrap();
        loop {
            let response = self.response().await;
            match response.strip_prefix(b"* ") {
                Some(data) => self.told_idle.push(data.to_vec()),
                None => return assert!(response.starts_with(b"+ ")),
            }
        }
    }

    /// Ends IDLE, and reads all that was told meanwhile.
    pub(super) async fn done(&mut self) -> Answer {
        self.stream.write_all(b"DONE\r\n").await.unwrap();
        let told = std::mem::take(&mut self.told_idle);
        self.answer(told).await
    }

    /// All that is told while nothing is asked, until nothing more is.
    pub(super) async fn hear(&mut self) -> Vec<Vec<u8>> {
        self.hear_until(SILENCE).await
    }

    /// All that is told while nothing is asked, until nothing was for so long.
    pub(super) async fn hear_until(&mut self, silence: Duration) -> Vec<Vec<u8>> {
        let mut told = Vec::new();
        while let Ok(response) = timeout(silence, self.response()).await {
            told.push(response.strip_prefix(b"* ").unwrap_or(&response).to_vec());
        }
        told
    }

    /// One whole response, without its line end.
    async fn response(&mut self) -> Vec<u8> {
        let mut at = 0;
        loop {
            let end = self.line_end(at).await;
            let line = &self.received[at..end];
            let literal = line.strip_suffix(b"}").and_then(|line| {
                let open = line.iter().rposition(|b| *b == b'{')?;
                std::str::from_utf8(&line[open + 1..])
                    .ok()?
                    .parse::<usize>()
                    .ok()
            });
            match literal {
                Some(length) => at = end + 2 + length,
                None => {
                    let mut response: Vec<u8> = self.received.drain(..end + 2).collect();
                    response.truncate(end);
                    return response;
                }
            }
        }
    }

    async fn line_end(&mut self, from: usize) -> usize {
        loop {
            let there = self.received.get(from..).unwrap_or_default();
            if let Some(end) = there.windows(2).position(|pair| pair == b"\r\n") {
                return from + end;
            }
            let count = self.stream.read_buf(&mut self.received).await.unwrap();
            assert!(count > 0, "closed: {}", self.received.escape_ascii());
        }
    }
}

/// After this long nothing more comes.
const SILENCE: Duration = Duration::from_secs(20);

impl Answer {
    /// Asserts success.
    pub(super) fn ok(self) -> Self {
        assert!(self.completion.starts_with("OK"), "{}", self.completion);
        self
    }

    pub(super) fn fetched(&self) -> Vec<Fetched> {
        self.untagged
            .iter()
            .filter_map(|response| fetched(response))
            .collect()
    }
}

/// Reads `n FETCH (...)`; `None` for other responses.
pub(super) fn fetched(response: &[u8]) -> Option<Fetched> {
    let text = String::from_utf8_lossy(response);
    let (number, rest) = text.split_once(' ')?;
    let number = number.parse().ok()?;
    rest.strip_prefix("FETCH (")?;
    let open = response.iter().position(|b| *b == b'(')?;
    let mut reader = Reader {
        bytes: response,
        at: open + 1,
    };
    let mut items = BTreeMap::new();
    loop {
        let name = reader.name();
        let value = reader.value();
        assert!(items.insert(name, value).is_none(), "an item came twice");
        match reader.bytes[reader.at] {
            b' ' => reader.at += 1,
            _ => break,
        }
    }
    assert_eq!(&reader.bytes[reader.at..], b")");
    Some((number, items))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, end: usize) -> Vec<u8> {
        let taken = self.bytes[self.at..end].to_vec();
        self.at = end;
        taken
    }

    fn find(&self, byte: u8) -> usize {
        self.at
            + self.bytes[self.at..]
                .iter()
                .position(|b| *b == byte)
                .unwrap()
    }

    fn name(&mut self) -> String {
        let space = self.find(b' ');
        let end = match self.bytes[self.at..space].contains(&b'[') {
            true => {
                let close = self.find(b']');
                close + self.bytes[close..].iter().position(|b| *b == b' ').unwrap()
            }
            false => space,
        };
        let name = String::from_utf8(self.take(end)).unwrap();
        self.at += 1;
        name
    }

    fn value(&mut self) -> Vec<u8> {
        match self.bytes[self.at] {
            b'{' => {
                let close = self.find(b'}');
                let length: usize = std::str::from_utf8(&self.bytes[self.at + 1..close])
                    .unwrap()
                    .parse()
                    .unwrap();
                self.at = close + 3;
                self.take(self.at + length)
            }
            b'"' => {
                self.at += 1;
                let end = self.find(b'"');
                let value = self.take(end);
                self.at += 1;
                value
            }
            b'(' => {
                let end = self.list_end();
                self.take(end)
            }
            _ => {
                let ends = |b: &u8| matches!(b, b' ' | b')');
                let end = self.at + self.bytes[self.at..].iter().position(ends).unwrap();
                self.take(end)
            }
        }
    }

    /// Behind the parenthesis that closes the one here; strings and literals are passed over.
    fn list_end(&self) -> usize {
        let (mut at, mut depth) = (self.at, 0_u32);
        loop {
            match self.bytes[at] {
                b'(' => depth += 1,
                b')' => depth -= 1,
                b'"' => {
                    at += 1;
                    while self.bytes[at] != b'"' {
                        at += 1 + usize::from(self.bytes[at] == b'\\');
                    }
                }
                b'{' => {
                    let rest = Reader {
                        bytes: self.bytes,
                        at,
                    };
                    let close = rest.find(b'}');
                    let length: usize = std::str::from_utf8(&self.bytes[at + 1..close])
                        .unwrap()
                        .parse()
                        .unwrap();
                    at = close + 2 + length;
                }
                _ => {}
            }
            at += 1;
            if depth == 0 {
                return at;
            }
        }
    }
}

/// Puts a message into a mailbox of an account, as a delivery does.
pub(super) async fn deliver(server: &TestServer, account: AccountId, message: &[u8]) {
    try_to_deliver(server, account, message).await.unwrap();
}

pub(super) async fn try_to_deliver(
    server: &TestServer,
    account: AccountId,
    message: &[u8],
) -> Result<(), ChangeError> {
    let mut intake = server.mailboxes.intake();
    intake.feed(Bytes::copy_from_slice(message)).await.unwrap();
    let arrived = intake.finish().await.unwrap();
    let inbox = buzon::mailbox::INBOX;
    let options = buzon::mailbox::AppendOptions {
        flags: buzon::mailbox::FlagSet::default(),
        internal_date: server.clock.wall(),
        quota_bytes: None,
    };
    let mailboxes = &server.mailboxes;
    let appended = mailboxes.append(account, inbox, arrived, options).await;
    appended.map(drop)
}

/// A server with one account, whose password may be sent in the clear.
pub(super) async fn server_with_alice() -> (TestServer, AccountId) {
    let mut server = TestServer::start().await;
    server.config.auth.insecure_without_tls = true;
    let alice = server.add_account("alice").await;
    (server, alice)
}
