//! Connections that come through a proxy: the header before the first byte of the client.
//!
//! Only from proxies that the operator named is a header read, and they must send one: who would
//! take it from anybody lets every client choose its address. It is read before anything else, TLS
//! too. What came behind it is given back to whoever reads next, so the bytes may be cut anywhere.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::timeout,
};

use super::conn::{Peer, Transport};
use crate::wire::proxy::{Header, HeaderError, parse};

/// Why a proxy's connection is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoHeader {
    /// It begins with something else.
    #[error("no client was named")]
    Wrong(#[from] HeaderError),
    /// It ended.
    #[error("the proxy closed the connection")]
    Closed,
    /// It broke.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// LIM-05.
    #[error("the PROXY header did not come in time")]
    TooSlow,
}

/// Reads the header; gives what comes behind it, and whom the connection is with.
pub(super) async fn introduced(
    transport: Box<dyn Transport>,
    peer: Peer,
) -> Result<(Box<dyn Transport>, Peer), NoHeader> {
    let within = timeout(HEADER_WITHIN, header(transport));
    let (header, transport) = within.await.map_err(|_| NoHeader::TooSlow)??;
    let Header::Client(client) = header else {
        return Ok((transport, peer));
    };
    let proxied = Peer {
        remote: client.remote,
        local: client.local,
        via: Some(peer.remote.ip()),
        ..peer
    };
    if let Some(tls) = client.tls {
        let (ip, via) = (proxied.remote.ip(), peer.remote.ip());
        tracing::debug!(peer.ip = %ip, %via, tls, "the proxy ends TLS");
    }
    Ok((transport, proxied))
}

async fn header(
    mut transport: Box<dyn Transport>,
) -> Result<(Header, Box<dyn Transport>), NoHeader> {
    let mut read = Vec::new();
    loop {
        if let Some((header, length)) = parse(&read)? {
            let ahead = Bytes::from(read).split_off(length);
            return Ok((header, Box::new(Rewound { ahead, transport })));
        }
        // What is no header is known to be none before it is longer than one (LIM-36).
        let count = transport
            .read_buf(&mut read)
            .await
            .map_err(NoHeader::Broken)?;
        if count == 0 {
            return Err(NoHeader::Closed);
        }
    }
}

/// A transport of which a little too much was read.
struct Rewound {
    ahead: Bytes,
    transport: Box<dyn Transport>,
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.transport).poll_read(context, buffer);
        }
        let count = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(self.ahead.get(..count).unwrap_or_default());
        self.ahead.advance(count);
        if self.ahead.is_empty() {
            // The memory goes with it.
            self.ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(context)
    }
}

/// LIM-05: until a proxy's header is whole. It is the first thing sent, so only lost packets delay
/// it.
const HEADER_WITHIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncWriteExt, duplex},
        time::Instant,
    };

    use super::*;

    fn peer() -> Peer {
        Peer {
            remote: "198.51.100.9:5000".parse().unwrap(),
            local: "198.51.100.1:25".parse().unwrap(),
            tls: None,
            via: None,
        }
    }

    const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 203.0.113.1 7 25\r\n";

    #[tokio::test(start_paused = true)]
    async fn what_stands_behind_a_header_is_read_next_wherever_it_is_cut() {
        let sent = [LINE, b"EHLO x\r\n"].concat();
        for cut in 0..sent.len() {
            let (near, mut far) = duplex(1024);
            let (first, second) = sent.split_at(cut);
            let talk = async {
                far.write_all(first).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
                far.write_all(second).await.unwrap();
                far.shutdown().await.unwrap();
            };
            let (came, ()) = tokio::join!(introduced(Box::new(near), peer()), talk);
            let (mut transport, proxied) = came.unwrap();
            assert_eq!(proxied.remote.to_string(), "192.0.2.1:7");
            assert_eq!(proxied.local.to_string(), "203.0.113.1:25");
            assert_eq!(proxied.via, Some(peer().remote.ip()));
            let mut rest = String::new();
            transport.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest, "EHLO x\r\n", "cut at {cut}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lim_05_a_header_that_trickles_is_given_up_after_ten_seconds() {
        let begun = Instant::now();
        let (near, mut far) = duplex(1024);
        let talk = async {
            for byte in LINE.chunks(1) {
                // Fails once it was given up.
                let _ = far.write_all(byte).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let come = async {
            let came = introduced(Box::new(near), peer()).await;
            (came.err(), begun.elapsed().as_secs())
        };
        let (came, ()) = tokio::join!(come, talk);
        assert!(matches!(came, (Some(NoHeader::TooSlow), 10)), "{came:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn lim_36_what_is_no_header_is_given_up_before_much_of_it_was_read() {
        let huge = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff";
        for bytes in [&b"EHLO x\r\n"[..], huge, b"", b"PROXY TCP4 192.0.2.1"] {
            let (near, mut far) = duplex(1024);
            far.write_all(bytes).await.unwrap();
            far.shutdown().await.unwrap();
            let came = introduced(Box::new(near), peer()).await.err();
            let closed = matches!(came, Some(NoHeader::Closed));
            let wrong = matches!(came, Some(NoHeader::Wrong(_)));
            let cut = bytes.is_empty() || bytes.starts_with(b"PROXY");
            assert_eq!((closed, wrong), (cut, !cut), "{came:?}");
        }
    }
}
