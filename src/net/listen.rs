//! Listening: accept, ask the gate, make TLS when the port begins with it, drive the connection.
//!
//! What happens when there are no descriptors left stands in `entrance`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_rustls::rustls::ServerConfig;

use super::{
    conn::{Conn, Peer},
    drive::{End, Summary, drive},
    entrance::Entrance,
    gate::{Gate, Permit},
    protocol::{Farewell, Protocol, Service},
    recall::Recall,
    shutdown::Shutdown,
    tasks::Tasks,
};
use crate::wire::Output;

/// When TLS begins.
#[derive(Clone, Debug)]
pub enum Security {
    /// With the first byte.
    Implicit(Arc<ServerConfig>),
    /// When the client asks for it.
    Upgrade(Arc<ServerConfig>),
    /// Never.
    Plain,
}

/// What all listeners share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Limits.
    pub gate: Gate,
    /// Where connections are counted.
    pub tasks: Tasks,
    /// When to stop.
    pub shutdown: Shutdown,
}

/// One port's way of making sessions.
pub trait Opening: Send + Sync + 'static {
    /// The protocol spoken.
    type Protocol: Protocol;
    /// What serves it.
    type Service: Service<Self::Protocol> + 'static;

    /// The port's name in logs: `smtp`, `submissions`, `imap`, ...
    fn name(&self) -> &'static str;

    /// A new session; it owns the connection's permit and gives it back at its end.
    fn open(&self, peer: &Peer, permit: Permit) -> (Self::Protocol, Self::Service);

    /// The protocol alone, for a connection that is turned away.
    fn protocol(&self) -> Self::Protocol;
}

/// Accepts connections until the shutdown. Then the socket closes; sessions end by themselves.
pub async fn listen<O: Opening>(
    listener: TcpListener,
    opening: Arc<O>,
    security: Security,
    shared: Shared,
) {
    let no_room = match security {
        // Inside TLS nobody hears us before a handshake that we cannot afford now.
        Security::Implicit(_) => Bytes::new(),
        Security::Upgrade(_) | Security::Plain => last_words(&opening.protocol()),
    };
    let mut entrance = Entrance::new(listener, opening.name(), no_room);
    let mut shutdown = shared.shutdown.clone();
    loop {
        let stream = tokio::select! {
            stream = entrance.next() => stream,
            () = shutdown.requested() => return,
        };
        admit(stream, &opening, &security, &shared);
    }
}

/// What a client is told when there is no room for it.
fn last_words<P: Protocol>(protocol: &P) -> Bytes {
    let mut out = Output::new();
    if let Some(words) = protocol.farewell(Farewell::Crowded) {
        protocol.encode(&words, &mut out);
    }
    out.take()
}

/// Starts the connection's task, or turns the peer away.
fn admit<O: Opening>(stream: TcpStream, opening: &Arc<O>, security: &Security, shared: &Shared) {
    let (Ok(remote), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else {
        return;
    };
    let _ = stream.set_nodelay(true);
    let peer = Peer {
        remote,
        local,
        tls: None,
    };
    let conn = Conn::new(Box::new(stream), peer);
    let task = (
        Arc::clone(opening),
        security.clone(),
        shared.shutdown.clone(),
    );
    match shared.gate.admit(remote.ip(), Instant::now()) {
        Ok(permit) => {
            shared.tasks.spawn(opening.name(), async move {
                let (opening, security, shutdown) = task;
                serve(conn, &*opening, security, permit, shutdown).await;
            });
        }
        Err(why) => {
            tracing::info!(port = opening.name(), peer.ip = %remote.ip(), %why, "turned away");
            // A flood of these must not take the files that the store and the relay need (LIM-01).
            if shared.tasks.count(TURNED_AWAY) >= TURNED_AWAY_MAX {
                return;
            }
            shared.tasks.spawn(TURNED_AWAY, async move {
                let (opening, security, _) = task;
                // Inside TLS nobody hears us before a handshake that we cannot afford now.
                if !matches!(security, Security::Implicit(_)) {
                    let mut conn = conn;
                    let protocol = opening.protocol();
                    if let Some(words) = protocol.farewell(why) {
                        protocol.encode(&words, &mut conn.output);
                    }
                    let _ = tokio::time::timeout(Duration::from_secs(1), conn.flush()).await;
                    conn.close().await;
                }
            });
        }
    }
}

async fn serve<O: Opening>(
    conn: Conn,
    opening: &O,
    security: Security,
    permit: Permit,
    shutdown: Shutdown,
) {
    let name = opening.name();
    let (conn, upgrade) = match security {
        Security::Plain => (conn, None),
        Security::Upgrade(config) => (conn, Some(config)),
        Security::Implicit(config) => {
            let remote = conn.peer.remote;
            let mut conn = conn;
            conn.recall = Recall::by(shutdown.clone());
            match conn.upgrade(config).await {
                Ok(conn) => (conn, None),
                Err(gone) => {
                    let (ip, error) = (remote.ip(), Shown(&gone));
                    tracing::info!(port = name, peer.ip = %ip, %error, "no TLS");
                    return;
                }
            }
        }
    };
    let (protocol, service) = opening.open(&conn.peer, permit);
    let summary = drive(conn, protocol, service, upgrade, shutdown).await;
    log(name, &summary);
}

/// The one summary line of a connection.
fn log(name: &'static str, summary: &Summary) {
    let end = match &summary.end {
        End::Closed => "closed".to_owned(),
        End::Farewell(why) => why.to_string(),
        End::Gone(gone) => Shown(gone).to_string(),
    };
    tracing::info!(
        port = name,
        peer.ip = %summary.peer.remote.ip(),
        peer.port = summary.peer.remote.port(),
        tls = summary.peer.tls.as_ref().map(|cipher| cipher.version.as_str()),
        commands = summary.commands,
        strikes = summary.strikes,
        read_bytes = summary.traffic.read_bytes,
        written_bytes = summary.traffic.written_bytes,
        end,
        "connection ended"
    );
}

/// A gone connection with its cause.
struct Shown<'a>(&'a super::conn::Gone);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        match std::error::Error::source(self.0) {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

/// The name of the tasks that say a last word to whom the gate did not admit.
const TURNED_AWAY: &str = "turned-away";
/// LIM-01: how many of them there are; more peers are turned away without a word.
const TURNED_AWAY_MAX: usize = 64;
