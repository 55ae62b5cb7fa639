//! HTTPS to hosts that strangers named: one request, one answer, no redirects and no cookies.
//!
//! The host proves its name to a known authority, and is asked as little as a mail host when it is
//! in a private network. Time, addresses, header and content are bounded. What is asked for
//! is others' to say: MTA-STS fetches policies, TLSRPT posts reports.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode,
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::{pin, select, time::timeout};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, pki_types::ServerName},
};

use super::{hosts::is_special, open::Connector};
use crate::{
    dns::{Answer, Resolver},
    smtp::client::Transport,
};

/// Nothing was had from a host.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It has no address that can be asked.
    #[error("its host has no usable address: {0}")]
    NoAddress(String),
    /// The connection, or TLS on it.
    #[error("the connection failed: {0}")]
    Connection(#[from] io::Error),
    /// What the server said is not HTTP, or it stopped saying it.
    #[error("HTTP failed: {0}")]
    Http(#[from] hyper::Error),
    /// Another status than one of success; redirects are not followed.
    #[error("the server answered {0}")]
    Status(u16),
    /// Not plain text.
    #[error("the answer is no text/plain")]
    Kind,
    /// Larger than it may be, or broken off.
    #[error("the answer could not be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// A minute was not enough.
    #[error("the server took too long")]
    TimedOut,
    /// It was fetched, and is no policy.
    #[error("the answer is no policy")]
    Malformed,
}

/// Makes requests.
pub struct Https {
    /// Knows the addresses.
    pub resolver: Arc<dyn Resolver>,
    /// Makes the connections.
    pub connector: Arc<dyn Connector>,
    /// Whom to believe.
    pub tls: Arc<ClientConfig>,
    /// Asks hosts in loopback, private and link-local networks too.
    pub insecure_allow_private_targets: bool,
}

impl Https {
    /// What `host` gives at `path`, if it is plain text.
    pub(super) async fn text(&self, host: &str, path: &str) -> Result<Vec<u8>, FetchError> {
        let request = Request::get(path).body(Full::default());
        let (status, kind, content) = self.exchange(host, request).await?;
        if status != StatusCode::OK {
            return Err(FetchError::Status(status.as_u16()));
        }
        let kind = kind.split(|b| *b == b';').next().unwrap_or_default();
        if !kind.trim_ascii().eq_ignore_ascii_case(b"text/plain") {
            return Err(FetchError::Kind);
        }
        Ok(content)
    }

    /// Gives `content` to `host` at `path`.
    pub(super) async fn post(
        &self,
        host: &str,
        path: &str,
        (kind, content): (&str, Vec<u8>),
    ) -> Result<(), FetchError> {
        let request = Request::post(path).header(CONTENT_TYPE, kind);
        let request = request.body(Full::from(content));
        let (status, ..) = self.exchange(host, request).await?;
        match status.is_success() {
            true => Ok(()),
            false => Err(FetchError::Status(status.as_u16())),
        }
    }

    /// One request in its time: status, type and content of the answer.
    async fn exchange(
        &self,
        host: &str,
        request: hyper::http::Result<Request<Full<Bytes>>>,
    ) -> Result<(StatusCode, Vec<u8>, Vec<u8>), FetchError> {
        let request = request.map_err(|error| FetchError::Body(error.into()))?;
        match timeout(EXCHANGE_MAX, self.whole(host, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::TimedOut),
        }
    }

    async fn whole(
        &self,
        host: &str,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Vec<u8>, Vec<u8>), FetchError> {
        let wrong = |error: hyper::header::InvalidHeaderValue| FetchError::Body(error.into());
        for (name, value) in [(HOST, host), (CONNECTION, "close"), (USER_AGENT, "buzon")] {
            let value = value.parse().map_err(wrong)?;
            request.headers_mut().insert(name, value);
        }
        let stream = self.connected(host).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEADER_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await?;
        let exchange = async move {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let kind = response.headers().get(CONTENT_TYPE);
            let kind = kind.map_or_else(Vec::new, |kind| kind.as_bytes().to_vec());
            // What comes with a failure is not read.
            if !status.is_success() {
                return Ok((status, kind, Vec::new()));
            }
            let body = Limited::new(response.into_body(), CONTENT_BYTES_MAX);
            let body = body.collect().await.map_err(FetchError::Body)?;
            Ok((status, kind, body.to_bytes().to_vec()))
        };
        pin!(exchange, connection);
        // The connection does the work of the exchange; when it ends, the exchange knows why.
        select! {
            answer = &mut exchange => answer,
            _ = &mut connection => exchange.await,
        }
    }

    /// A connection with the host, which has proved its name.
    async fn connected(&self, host: &str) -> Result<TlsStream<Box<dyn Transport>>, FetchError> {
        let found = match self.resolver.addresses(host).await {
            Answer::Found(found) => found,
            Answer::NoRecords | Answer::NoSuchName => {
                return Err(FetchError::NoAddress("it has none".to_owned()));
            }
            Answer::Temporary(why) => return Err(FetchError::NoAddress(why)),
        };
        let allowed = |ip: &IpAddr| self.insecure_allow_private_targets || !is_special(*ip);
        let mut last = FetchError::NoAddress("it is in a private network".to_owned());
        for address in found.into_iter().filter(allowed).take(ADDRESSES_MAX) {
            let connecting = self
                .connector
                .connect(SocketAddr::new(address, HTTPS_PORT), None);
            let stream = match timeout(CONNECT_MAX, connecting).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    last = error.into();
                    continue;
                }
                Err(_) => {
                    last = FetchError::TimedOut;
                    continue;
                }
            };
            let name = ServerName::try_from(host.to_owned())
                .map_err(|error| FetchError::NoAddress(error.to_string()))?;
            let connector = TlsConnector::from(Arc::clone(&self.tls));
            return Ok(connector.connect(name, stream).await?);
        }
        Err(last)
    }
}

/// RFC 8461 3.3: no other port can be named; for reports none is followed.
const HTTPS_PORT: u16 = 443;
/// RFC 8461 3.3: a minute for all of it,
const EXCHANGE_MAX: Duration = Duration::from_secs(60);
/// and 64 KiB for a policy.
const CONTENT_BYTES_MAX: usize = 64 * 1024;
/// What stands before it.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Addresses of one host that are tried,
const ADDRESSES_MAX: usize = 3;
/// each for so long.
const CONNECT_MAX: Duration = Duration::from_secs(15);
