//! One client's end of a connection: lines out, lines in, under the paused clock.

use std::{sync::Arc, time::Duration};

use buzon::tls;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

/// A byte stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A client.
pub(crate) struct Client {
    stream: Option<Box<dyn Stream>>,
    received: Vec<u8>,
}

/// What came instead of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoLine {
    /// The server closed the connection.
    Closed,
    /// Nothing came, however long one waits.
    Silence,
    /// A line that does not end in CRLF.
    BareLineEnd(String),
}

impl Client {
    /// Over a stream.
    pub(crate) fn new(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Some(Box::new(stream)),
            received: Vec::new(),
        }
    }

    /// A client that has been told `text` and then left alone.
    pub(crate) fn told(text: Vec<u8>) -> Self {
        Self {
            stream: None,
            received: text,
        }
    }

    /// Sends bytes; those that a closed server does not want are lost.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        if let Some(stream) = &mut self.stream {
            let _ = stream.write_all(bytes).await;
            let _ = stream.flush().await;
        }
        settle().await;
    }

    /// Sends a line.
    pub(crate) async fn line(&mut self, text: &str) {
        self.send(format!("{text}\r\n").as_bytes()).await;
    }

    /// The next line, without its end.
    pub(crate) async fn next(&mut self) -> Result<String, NoLine> {
        loop {
            if let Some(end) = self.received.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                let text = String::from_utf8_lossy(&line);
                return match text.strip_suffix("\r\n") {
                    Some(text) => Ok(text.to_owned()),
                    None => Err(NoLine::BareLineEnd(text.into_owned())),
                };
            }
            match self.read(PATIENCE).await {
                Some(0) => return Err(NoLine::Closed),
                Some(_) => {}
                None => return Err(NoLine::Silence),
            }
        }
    }

    /// Whether nothing was said that was not read yet.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        self.received.is_empty() && self.read(Duration::from_millis(1)).await.is_none()
    }

    /// Whether the server has closed, with nothing unread.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.received.is_empty() && self.read(PATIENCE).await == Some(0)
    }

    /// What one read gives.
    pub(crate) async fn read_once(&mut self) -> Vec<u8> {
        self.read(PATIENCE).await;
        std::mem::take(&mut self.received)
    }

    /// Leaves without a word.
    pub(crate) async fn hang_up(&mut self) {
        self.stream = None;
        settle().await;
    }

    /// Begins TLS as a client that believes every certificate.
    pub(crate) async fn begin_tls(&mut self) -> Result<(), String> {
        let config = tls::client::opportunistic().map_err(|error| error.to_string())?;
        let stream = self.stream.take().ok_or("there is no connection")?;
        let name = ServerName::try_from("mx.example.org").map_err(|error| error.to_string())?;
        let secured = TlsConnector::from(Arc::clone(&config))
            .connect(name, stream)
            .await
            .map_err(|error| error.to_string())?;
        self.stream = Some(Box::new(secured));
        Ok(())
    }

    /// Reads once; 0 at the end, `None` when nothing came.
    async fn read(&mut self, patience: Duration) -> Option<usize> {
        let Some(stream) = &mut self.stream else {
            return Some(0);
        };
        let mut space = vec![0; 16 * 1024];
        let count = timeout(patience, stream.read(&mut space)).await.ok()?;
        let count = count.unwrap_or(0);
        self.received.extend_from_slice(&space[..count]);
        Some(count)
    }
}

/// Lets everything run that can run now. The clock is paused: it moves only when all else waits.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Longer than any delay of the server, shorter than its timeouts. The clock is paused: this costs
/// nothing.
const PATIENCE: Duration = Duration::from_secs(40);
