//! Fetching a policy: `https://mta-sts.DOMAIN/.well-known/mta-sts.txt`, RFC 8461 3.3.
//!
//! One GET over TLS with a certificate for that name from a known authority: no redirects, no
//! cookies, nothing but 200, 64 KiB and a minute at most. Hosts in private networks are asked as
//! little as mail hosts there are: the name is a stranger's.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, StatusCode,
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::{pin, select, time::timeout};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

use super::super::{hosts::is_special, open::Connector};
use crate::{
    base::future::BoxFuture,
    dns::{Answer, Resolver},
    smtp::client::Transport,
};

/// Fetches the text of a domain's policy. Tests have one that knows it.
pub trait Fetch: Send + Sync + 'static {
    /// The text, whatever it is.
    fn fetch<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Vec<u8>, FetchError>>;
}

/// A policy was not had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Its host has no address that can be asked.
    #[error("its host has no usable address: {0}")]
    NoAddress(String),
    /// The connection, or TLS on it.
    #[error("the connection failed: {0}")]
    Connection(#[from] io::Error),
    /// What the server said is not HTTP, or it stopped saying it.
    #[error("HTTP failed: {0}")]
    Http(#[from] hyper::Error),
    /// Another status than 200; redirects are not followed.
    #[error("the server answered {0}")]
    Status(u16),
    /// Not plain text.
    #[error("the answer is no text/plain")]
    Kind,
    /// Larger than a policy is, or broken off.
    #[error("the answer could not be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// A minute was not enough.
    #[error("the server took too long")]
    TimedOut,
    /// It was fetched, and is none.
    #[error("the answer is no policy")]
    Malformed,
}

/// Fetches over HTTPS.
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

impl Fetch for Https {
    fn fetch<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Vec<u8>, FetchError>> {
        Box::pin(async move {
            let host = format!("mta-sts.{domain}");
            match timeout(FETCH_MAX, self.whole(&host)).await {
                Ok(fetched) => fetched,
                Err(_) => Err(FetchError::TimedOut),
            }
        })
    }
}

impl Https {
    async fn whole(&self, host: &str) -> Result<Vec<u8>, FetchError> {
        let stream = self.connected(host).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEADER_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await?;
        let request = Request::get("/.well-known/mta-sts.txt")
            .header(HOST, host)
            .header(CONNECTION, "close")
            .header(USER_AGENT, "buzon")
            .body(Empty::<Bytes>::new())
            .map_err(|error| FetchError::Body(error.into()))?;
        let exchange = async move {
            let response = sender.send_request(request).await?;
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status().as_u16()));
            }
            let kind = response.headers().get(CONTENT_TYPE);
            let kind = kind.map_or(&b""[..], |kind| kind.as_bytes());
            let kind = kind.split(|b| *b == b';').next().unwrap_or_default();
            if !kind.trim_ascii().eq_ignore_ascii_case(b"text/plain") {
                return Err(FetchError::Kind);
            }
            let body = Limited::new(response.into_body(), POLICY_BYTES_MAX);
            let body = body.collect().await.map_err(FetchError::Body)?;
            Ok(body.to_bytes().to_vec())
        };
        pin!(exchange, connection);
        // The connection does the work of the exchange; when it ends, the exchange knows why.
        select! {
            fetched = &mut exchange => fetched,
            _ = &mut connection => exchange.await,
        }
    }

    /// A connection with the host, which has proved its name.
    async fn connected(
        &self,
        host: &str,
    ) -> Result<tokio_rustls::client::TlsStream<Box<dyn Transport>>, FetchError> {
        let found = match self.resolver.addresses(host).await {
            Answer::Found(found) => found,
            Answer::NoRecords | Answer::NoSuchName => {
                return Err(FetchError::NoAddress("it has none".to_owned()));
            }
            Answer::Temporary(why) => return Err(FetchError::NoAddress(why)),
        };
        let allowed =
            |ip: &std::net::IpAddr| self.insecure_allow_private_targets || !is_special(*ip);
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

/// RFC 8461 3.3: no other port can be named.
const HTTPS_PORT: u16 = 443;
/// RFC 8461 3.3: a minute for all of it,
const FETCH_MAX: Duration = Duration::from_secs(60);
/// and 64 KiB for a policy.
const POLICY_BYTES_MAX: usize = 64 * 1024;
/// What stands before it.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Addresses of one host that are tried,
const ADDRESSES_MAX: usize = 3;
/// each for so long.
const CONNECT_MAX: Duration = Duration::from_secs(15);
