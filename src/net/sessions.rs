//! The line protocols as consumers of connections: each gets a session, and the driver runs it.

use std::sync::Arc;

use bytes::Bytes;
use tokio_rustls::rustls::ServerConfig;

use super::{
    conn::{Conn, Peer},
    drive::{End, Summary, drive},
    gate::{Permit, Purpose},
    listen::Consumer,
    protocol::{Farewell, Protocol, Service},
    shutdown::Shutdown,
};
use crate::{base::text::Causes, wire::Output};

/// One port's way of making sessions.
pub trait Opening: Send + Sync + 'static {
    /// The protocol spoken.
    type Protocol: Protocol;
    /// What serves it.
    type Service: Service<Self::Protocol> + 'static;

    /// The port's name in logs: `smtp`, `submissions`, `imap`, ...
    fn name(&self) -> &'static str;

    /// What its clients come for.
    fn purpose(&self) -> Purpose;

    /// A new session; it owns the connection's permit and gives it back at its end.
    fn open(&self, peer: &Peer, permit: Permit) -> (Self::Protocol, Self::Service);

    /// The protocol alone, for a connection that is turned away.
    fn protocol(&self) -> Self::Protocol;
}

/// Serves connections with the sessions of an opening.
#[derive(Debug)]
pub struct Sessions<O>(pub O);

impl<O: Opening> Consumer for Sessions<O> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn purpose(&self) -> Purpose {
        self.0.purpose()
    }

    fn last_words(&self, why: Farewell) -> Bytes {
        let (protocol, mut out) = (self.0.protocol(), Output::new());
        if let Some(words) = protocol.farewell(why) {
            protocol.encode(&words, &mut out);
        }
        out.take()
    }

    async fn serve(
        &self,
        conn: Conn,
        permit: Permit,
        upgrade: Option<Arc<ServerConfig>>,
        shutdown: Shutdown,
    ) {
        let (protocol, service) = self.0.open(&conn.peer, permit);
        let summary = drive(conn, protocol, service, upgrade, shutdown).await;
        log(self.0.name(), &summary);
    }
}

/// The one summary line of a connection.
fn log(name: &'static str, summary: &Summary) {
    let end = match &summary.end {
        End::Closed => "closed".to_owned(),
        End::Farewell(why) => why.to_string(),
        End::Gone(gone) => Causes(gone).to_string(),
    };
    tracing::info!(
        port = name,
        peer.ip = %summary.peer.remote.ip(),
        peer.port = summary.peer.remote.port(),
        via = summary.peer.via.map(tracing::field::display),
        tls = summary.peer.tls.as_ref().map(|cipher| cipher.version.as_str()),
        commands = summary.commands,
        strikes = summary.strikes,
        read_bytes = summary.traffic.read_bytes,
        written_bytes = summary.traffic.written_bytes,
        end,
        "connection ended"
    );
}
