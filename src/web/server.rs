//! One request over each connection, and its answer, in bounded time and memory.
//!
//! A connection is not kept: who fetches a policy comes once a day, and one that waits for nothing
//! needs neither an idle time nor a way to be woken when the server stops.

use std::{convert::Infallible, sync::Arc, sync::OnceLock, time::Duration};

use bytes::Bytes;
use hyper::{Request, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    pin, select,
    time::{sleep, timeout},
};
use tokio_rustls::rustls::ServerConfig;

use super::site::Wanted;
use crate::{
    accounts::Directory,
    base::text::Causes,
    net::{
        Farewell,
        conn::Conn,
        gate::{Permit, Purpose},
        listen::Consumer,
        shutdown::Shutdown,
    },
};

/// What is served at one port.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port's name: `http` or `https`.
    pub name: &'static str,
    /// The policy of every local domain.
    pub policy: String,
}

/// Serves the connections of one port.
pub struct Server {
    name: &'static str,
    policy: Bytes,
    directory: Directory,
}

impl Server {
    /// For the domains of this directory.
    pub fn new(options: Options, directory: Directory) -> Self {
        Self {
            name: options.name,
            policy: options.policy.into(),
            directory,
        }
    }

    fn wanted(&self, request: &Request<Incoming>) -> Wanted {
        let snapshot = self.directory.snapshot();
        Wanted::by(request, |domain| snapshot.is_local(domain))
    }
}

impl Consumer for Server {
    fn name(&self) -> &'static str {
        self.name
    }

    fn purpose(&self) -> Purpose {
        Purpose::Web
    }

    /// RFC 9110 15.6.4.
    fn last_words(&self, _why: Farewell) -> Bytes {
        Bytes::from_static(
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 60\r\nContent-Length: 0\r\n\
              Connection: close\r\n\r\n",
        )
    }

    async fn serve(
        &self,
        conn: Conn,
        _permit: Permit,
        _upgrade: Option<Arc<ServerConfig>>,
        mut shutdown: Shutdown,
    ) {
        let peer = conn.peer.clone();
        let answered = OnceLock::new();
        let service = service_fn(|request: Request<Incoming>| {
            let wanted = self.wanted(&request);
            let response = wanted.answer(&self.policy);
            let _ = answered.set((response.status(), wanted));
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = http1::Builder::new()
            .max_buf_size(HEADER_BYTES_MAX)
            .max_headers(FIELDS_MAX)
            .keep_alive(false)
            .half_close(true)
            .serve_connection(TokioIo::new(conn.into_transport()), service);
        pin!(connection);
        let stopped = async {
            shutdown.requested().await;
            sleep(AFTER_SHUTDOWN).await;
        };
        let end = select! {
            ended = timeout(CONNECTION_MAX, connection) => match ended {
                Ok(Ok(())) => "closed".to_owned(),
                Ok(Err(error)) => Causes(&error).to_string(),
                Err(_) => "the peer was silent or too slow".to_owned(),
            },
            () = stopped => Farewell::Shutdown.to_string(),
        };
        let (status, wanted) = answered.into_inner().unzip();
        let domain = match &wanted {
            Some(Wanted::Policy(domain) | Wanted::Forbidden(domain)) => Some(domain),
            _ => None,
        };
        tracing::info!(
            port = self.name,
            peer.ip = %peer.remote.ip(),
            peer.port = peer.remote.port(),
            via = peer.via.map(tracing::field::display),
            tls = peer.tls.as_ref().map(|cipher| cipher.version.as_str()),
            status = status.map(|status: StatusCode| status.as_u16()),
            policy = domain.map(tracing::field::display),
            end,
            "connection ended"
        );
    }
}

/// LIM-09: one request and its answer, read to its end.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
/// LIM-34: the head of a request,
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// LIM-34: and its fields. Content is none of what is taken here.
const FIELDS_MAX: usize = 100;
/// How long who has begun may go on when the server stops.
const AFTER_SHUTDOWN: Duration = Duration::from_secs(2);
