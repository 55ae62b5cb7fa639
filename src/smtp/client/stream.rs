//! The connection under a conversation: commands out, replies in, each with its deadline.
//!
//! Works on any stream of bytes, so tests use in-memory pipes. What was read and not yet understood
//! is bounded by the reply parser and by one read.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    conversation::Cause,
    reply::{Parser, Reply},
};
use crate::net::Transport;

/// A connection that speaks in replies.
pub(super) struct Wire {
    stream: Box<dyn Transport>,
    parser: Parser,
    /// Read and not yet parsed.
    input: Vec<u8>,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Transport>) -> Self {
        Self {
            stream,
            parser: Parser::default(),
            input: Vec::new(),
        }
    }

    /// The next reply, whole, within this time.
    pub(super) async fn reply(&mut self, within: Duration) -> Result<Reply, Cause> {
        match timeout(within, self.read_reply()).await {
            Ok(result) => result,
            Err(_) => Err(Cause::TimedOut(within)),
        }
    }

    async fn read_reply(&mut self) -> Result<Reply, Cause> {
        loop {
            if !self.input.is_empty() {
                let (taken, reply) = self.parser.feed(&self.input)?;
                self.input.drain(..taken);
                if let Some(reply) = reply {
                    return Ok(reply);
                }
            }
            self.input.reserve(READ_BYTES);
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) => return Err(Cause::Closed),
                Ok(_) => {}
                // A reply that is not whole is none, with or without TLS's own good bye.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(Cause::Closed);
                }
                Err(error) => return Err(Cause::Io(error)),
            }
        }
    }

    /// Writes all of `bytes`, within this time.
    pub(super) async fn send(&mut self, bytes: &[u8], within: Duration) -> Result<(), Cause> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(within, write).await {
            Ok(result) => result.map_err(Cause::Io),
            Err(_) => Err(Cause::TimedOut(within)),
        }
    }

    /// Whether the peer has sent nothing that was not asked for, as far as is known without
    /// reading.
    pub(super) fn is_clean(&self) -> bool {
        self.input.is_empty() && !self.parser.is_within()
    }

    /// The stream alone.
    pub(super) fn into_stream(self) -> Box<dyn Transport> {
        self.stream
    }

    /// Ends the writing side, for TLS with its closing alert.
    pub(super) async fn shut_down(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }
}

/// Bytes asked for in one read.
const READ_BYTES: usize = 4096;
