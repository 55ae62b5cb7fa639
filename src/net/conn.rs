//! One connection: a transport, what was read and not taken, what was said and not sent.
//!
//! Every wait here has a deadline. While it waits, an idle connection holds no buffer: reads land
//! in a buffer on the thread's stack and only what really arrived is kept (LIM-36).

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};
use tokio_rustls::{TlsAcceptor, rustls};

use super::{
    authn::FailedLogins,
    deflate::Deflate,
    protocol::Farewell,
    recall::{Patience, Recall},
};
use crate::{
    base::limits::{CLIENT_NOT_READING, OUTPUT_BYTES_MAX, READ_AHEAD_BYTES_MAX, TLS_HANDSHAKE},
    wire::{Input, Output},
};

/// A byte stream: TCP, TLS over it, or a pipe in tests.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Their address. The unspecified one stands for all that nobody knows: limits count those
    /// together.
    pub remote: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
    /// Whether TLS protects the connection, and how.
    pub tls: Option<Cipher>,
    /// Who speaks for them, and is connected with us in their place.
    pub via: Option<IpAddr>,
}

impl Peer {
    /// Where they are; none when who speaks for them does not know it.
    pub fn address(&self) -> Option<IpAddr> {
        let ip = self.remote.ip();
        (!ip.is_unspecified()).then_some(ip)
    }
}

/// What TLS settled on, for trace fields and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cipher {
    /// For example `TLSv1_3`.
    pub version: String,
    /// For example `TLS13_AES_256_GCM_SHA384`.
    pub suite: String,
}

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum Gone {
    /// The peer closed.
    #[error("the peer closed the connection")]
    Closed,
    /// The transport failed.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// We end it, and the peer can be told so.
    #[error("the server ended the connection")]
    Recalled(Farewell),
    /// We end it where nothing can be told: in the middle of something else.
    #[error("the server ended the connection without a word")]
    Cut(Farewell),
    /// A deadline for reading passed.
    #[error("the peer was silent or too slow")]
    TooSlow,
    /// The peer does not read what we send (LIM-10).
    #[error("the peer does not read")]
    NotReading,
    /// A body we began to send could not be read to its end; the framing is lost.
    #[error("a body could not be read to its end")]
    Source(#[source] io::Error),
    /// A line that does not end.
    #[error("a line did not end")]
    EndlessLine,
    /// The TLS handshake failed.
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
}

impl Gone {
    /// As it is in the middle of saying something.
    pub fn amid(self) -> Self {
        match self {
            Self::Recalled(why) => Self::Cut(why),
            gone => gone,
        }
    }
}

/// One connection.
pub struct Conn {
    transport: Box<dyn Transport>,
    /// Who is at the other end.
    pub peer: Peer,
    /// Read and not taken.
    pub input: Input,
    /// Said and not sent.
    pub output: Output,
    /// Said and being sent.
    sending: Bytes,
    /// Bytes read and written so far, as the protocol sees them.
    pub traffic: Traffic,
    /// What ends it from our side.
    pub recall: Recall,
    /// Since when the peer says nothing any more, if it was seen to have closed its side.
    silent_since: Option<Instant>,
    /// LIM-17: wrong logins so far.
    pub failed_logins: FailedLogins,
}

/// Bytes moved over a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// From the peer.
    pub read_bytes: u64,
    /// To the peer.
    pub written_bytes: u64,
}

impl Conn {
    /// Over any transport.
    pub fn new(transport: Box<dyn Transport>, peer: Peer) -> Self {
        Self {
            transport,
            peer,
            input: Input::new(),
            output: Output::new(),
            sending: Bytes::new(),
            traffic: Traffic::default(),
            recall: Recall::default(),
            silent_since: None,
            failed_logins: FailedLogins::default(),
        }
    }

    /// Reads what there is into the input, waiting at most until `deadline`.
    ///
    /// # Errors
    /// `Closed` at the end of the stream, `TooSlow` at the deadline, `Recalled`. Safe to drop while
    /// waiting.
    pub async fn read(&mut self, deadline: Instant, patience: Patience) -> Result<(), Gone> {
        let (transport, input) = (&mut self.transport, &mut self.input);
        let read = poll_fn(|context| poll_read(transport, input, READ_BYTES, context));
        // Biased: who never pauses must not keep the server from stopping.
        let count = tokio::select! {
            biased;
            why = self.recall.comes(patience) => return Err(Gone::Recalled(why)),
            read = timeout_at(deadline, read) => match read {
                Err(_) => return Err(Gone::TooSlow),
                Ok(Err(error)) if is_torn(&error) => return Err(Gone::Closed),
                Ok(Err(error)) => return Err(Gone::Broken(error)),
                Ok(Ok(0)) => return Err(Gone::Closed),
                Ok(Ok(count)) => count,
            },
        };
        self.traffic.read_bytes += count as u64;
        Ok(())
    }

    /// Does `work` as long as the peer is there to hear of it. One that has closed its own side may
    /// still listen, and is worked for as long as [`LAST_ANSWER`]. What the peer sends meanwhile is
    /// kept; no more than [`READ_AHEAD_BYTES_MAX`] is read (LIM-22).
    ///
    /// # Errors
    /// When the connection ends; `work` is dropped where it stands then, so it must change nothing.
    pub async fn beside<T>(
        &mut self,
        work: impl Future<Output = T>,
        patience: Patience,
    ) -> Result<T, Gone> {
        let (transport, input) = (&mut self.transport, &mut self.input);
        let read_bytes = &mut self.traffic.read_bytes;
        let silent_since = &mut self.silent_since;
        let departure = async {
            match poll_fn(|context| poll_departure(transport, input, read_bytes, context)).await {
                Departure::Gone(gone) => gone,
                Departure::Silent => {
                    let since = silent_since.get_or_insert_with(Instant::now);
                    sleep_until(*since + LAST_ANSWER).await;
                    Gone::Closed
                }
            }
        };
        tokio::select! {
            biased;
            done = work => Ok(done),
            why = self.recall.comes(patience) => Err(Gone::Recalled(why)),
            gone = departure => Err(gone),
        }
    }

    /// Lets `time` pass.
    ///
    /// # Errors
    /// When the connection ends meanwhile. Safe to drop while waiting.
    pub async fn pause(&mut self, time: Duration) -> Result<(), Gone> {
        self.beside(sleep(time), Patience::Listening).await
    }

    /// Sends everything that was said.
    ///
    /// # Errors
    /// `NotReading` when the peer takes too little in five minutes (LIM-10). What was not sent when
    /// the connection is recalled can still be.
    pub async fn flush(&mut self) -> Result<(), Gone> {
        self.send().await?;
        self.output.clear(4096);
        let due = Instant::now() + CLIENT_NOT_READING;
        tokio::select! {
            biased;
            why = self.recall.comes(Patience::Working) => Err(Gone::Recalled(why)),
            flushed = taken(due, self.transport.flush()) => flushed,
        }
    }

    /// Sends everything said so far when it is much.
    ///
    /// # Errors
    /// As [`Conn::flush`], but a recall cuts off whatever was being said.
    pub async fn make_room(&mut self) -> Result<(), Gone> {
        if self.output.len() < OUTPUT_BYTES_MAX {
            return Ok(());
        }
        self.send().await.map_err(Gone::amid)
    }

    /// The peer must take [`OUTPUT_BYTES_MAX`], or all there is, within [`CLIENT_NOT_READING`], and
    /// again: who takes a byte now and then holds a session no longer than who takes none (LIM-10).
    async fn send(&mut self) -> Result<(), Gone> {
        let (mut due, mut taken_bytes) = (Instant::now() + CLIENT_NOT_READING, 0);
        loop {
            if self.sending.is_empty() {
                self.sending = self.output.take();
            }
            if self.sending.is_empty() {
                // The memory goes with it.
                self.sending = Bytes::new();
                return Ok(());
            }
            let count = tokio::select! {
                biased;
                why = self.recall.comes(Patience::Working) => return Err(Gone::Recalled(why)),
                written = taken(due, self.transport.write(&self.sending)) => written?,
            };
            if count == 0 {
                return Err(Gone::Closed);
            }
            taken_bytes += count;
            if taken_bytes >= OUTPUT_BYTES_MAX {
                (due, taken_bytes) = (Instant::now() + CLIENT_NOT_READING, 0);
            }
            self.traffic.written_bytes += count as u64;
            self.sending.advance(count);
        }
    }

    /// Turns the connection into its TLS side. What was read before must have been taken (checked
    /// by the driver); nothing of the plaintext survives.
    ///
    /// # Errors
    /// `Handshake` when it fails or takes longer than [`TLS_HANDSHAKE`] (LIM-05).
    pub async fn upgrade(self, config: std::sync::Arc<rustls::ServerConfig>) -> Result<Self, Gone> {
        let mut recall = self.recall;
        let handshake = TlsAcceptor::from(config).accept(self.transport);
        let stream = tokio::select! {
            why = recall.comes(Patience::Listening) => return Err(Gone::Cut(why)),
            stream = timeout(TLS_HANDSHAKE, handshake) => match stream {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return Err(Gone::Handshake(error)),
                Err(_) => return Err(Gone::Handshake(io::ErrorKind::TimedOut.into())),
            },
        };
        let cipher = cipher_of(stream.get_ref().1);
        let peer = Peer {
            tls: Some(cipher),
            ..self.peer
        };
        Ok(Self {
            traffic: self.traffic,
            recall,
            failed_logins: self.failed_logins,
            ..Self::new(Box::new(stream), peer)
        })
    }

    /// Deflates from now on what is sent, and inflates what comes (RFC 4978 3). All that was said
    /// must have been sent; what was read and not taken was deflated by a peer in a hurry.
    pub fn compress(&mut self) {
        let raw = self.input.take(self.input.len()).to_vec();
        let transport: Box<dyn Transport> = Box::new(tokio::io::empty());
        let transport = std::mem::replace(&mut self.transport, transport);
        self.transport = Box::new(Deflate::new(transport, raw));
    }

    /// The bytes alone, for what is no line protocol. Nothing may have been read or said before.
    pub fn into_transport(self) -> Box<dyn Transport> {
        debug_assert!(self.input.is_empty(), "what was read is lost");
        self.transport
    }

    /// Ends the connection politely (TLS close_notify, FIN), as far as the peer lets us.
    pub async fn close(&mut self) {
        let _ = timeout(Duration::from_secs(2), self.transport.shutdown()).await;
    }
}

/// How a peer left while something was done for it.
enum Departure {
    /// It hears nothing any more.
    Gone(Gone),
    /// It says nothing any more.
    Silent,
}

fn poll_departure(
    transport: &mut Box<dyn Transport>,
    input: &mut Input,
    read_bytes: &mut u64,
    context: &mut Context<'_>,
) -> Poll<Departure> {
    loop {
        let room = READ_AHEAD_BYTES_MAX.saturating_sub(input.len());
        if room == 0 {
            return Poll::Pending;
        }
        match ready!(poll_read(transport, input, room, context)) {
            Ok(0) => return Poll::Ready(Departure::Silent),
            Ok(count) => *read_bytes += count as u64,
            Err(error) if is_torn(&error) => return Poll::Ready(Departure::Gone(Gone::Closed)),
            Err(error) => return Poll::Ready(Departure::Gone(Gone::Broken(error))),
        }
    }
}

/// Whether TLS ended without its own good bye. Many close so; what they began and did not end is
/// dropped anyway. But nobody who still listens does.
fn is_torn(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

/// One read of at most `max` bytes into a buffer that lives on the stack only while it is polled.
fn poll_read(
    transport: &mut Box<dyn Transport>,
    input: &mut Input,
    max: usize,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut space = [const { MaybeUninit::<u8>::uninit() }; READ_BYTES];
    let space = space.get_mut(..max).unwrap_or_default();
    let mut buffer = ReadBuf::uninit(space);
    match Pin::new(transport).poll_read(context, &mut buffer) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Ready(Ok(())) => {
            input.push(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        }
    }
}

async fn taken<T>(due: Instant, write: impl Future<Output = io::Result<T>>) -> Result<T, Gone> {
    match timeout_at(due, write).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Gone::Broken(error)),
        Err(_) => Err(Gone::NotReading),
    }
}

fn cipher_of(connection: &rustls::ServerConnection) -> Cipher {
    let version = connection
        .protocol_version()
        .map(|version| format!("{version:?}"));
    let suite = connection
        .negotiated_cipher_suite()
        .map(|suite| format!("{:?}", suite.suite()));
    Cipher {
        version: version.unwrap_or_default(),
        suite: suite.unwrap_or_default(),
    }
}

/// LIM-25: how long is worked for a peer that says nothing any more, all its commands together. A
/// search may take a quarter of it.
const LAST_ANSWER: Duration = Duration::from_secs(120);
/// Most bytes of one read.
const READ_BYTES: usize = READ_AHEAD_BYTES_MAX;
