//! Listening: accept, ask the gate, make TLS when the port begins with it, hand over.
//!
//! Knows no protocol, not even that there are line protocols: those are one [`Consumer`], in
//! `sessions`. What happens when there are no descriptors left stands in `entrance`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_rustls::rustls::ServerConfig;

use super::{
    conn::{Conn, Peer},
    entrance::Entrance,
    gate::{Gate, Permit, Purpose},
    protocol::Farewell,
    recall::Recall,
    shutdown::Shutdown,
    tasks::Tasks,
};
use crate::base::text::Causes;

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

/// What is done with the connections of one port.
pub trait Consumer: Send + Sync + 'static {
    /// The port's name in logs: `smtp`, `submissions`, `imap`, ...
    fn name(&self) -> &'static str;

    /// What its clients come for.
    fn purpose(&self) -> Purpose;

    /// What a client is told that is turned away, as it goes over the wire; empty for nothing.
    fn last_words(&self, why: Farewell) -> Bytes;

    /// Serves one connection to its end. The permit is given back with it; TLS can be begun with
    /// `upgrade`, where it has not begun already.
    fn serve(
        &self,
        conn: Conn,
        permit: Permit,
        upgrade: Option<Arc<ServerConfig>>,
        shutdown: Shutdown,
    ) -> impl Future<Output = ()> + Send;
}

/// Accepts connections until the shutdown. Then the socket closes; sessions end by themselves.
pub async fn listen<C: Consumer>(
    listener: TcpListener,
    consumer: Arc<C>,
    security: Security,
    shared: Shared,
) {
    let no_room = match security {
        // Inside TLS nobody hears us before a handshake that we cannot afford now.
        Security::Implicit(_) => Bytes::new(),
        Security::Upgrade(_) | Security::Plain => consumer.last_words(Farewell::Crowded),
    };
    let mut entrance = Entrance::new(listener, consumer.name(), no_room);
    let mut shutdown = shared.shutdown.clone();
    loop {
        let stream = tokio::select! {
            stream = entrance.next() => stream,
            () = shutdown.requested() => return,
        };
        admit(stream, &consumer, &security, &shared);
    }
}

/// Starts the connection's task, or turns the peer away.
fn admit<C: Consumer>(stream: TcpStream, consumer: &Arc<C>, security: &Security, shared: &Shared) {
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
    let (name, purpose) = (consumer.name(), consumer.purpose());
    match shared.gate.admit(remote.ip(), purpose, Instant::now()) {
        Ok(permit) => {
            let (consumer, security) = (Arc::clone(consumer), security.clone());
            let shutdown = shared.shutdown.clone();
            shared.tasks.spawn(name, async move {
                if let Some((conn, upgrade)) = secure(conn, security, name, &shutdown).await {
                    consumer.serve(conn, permit, upgrade, shutdown).await;
                }
            });
        }
        Err(why) => {
            tracing::info!(port = name, peer.ip = %remote.ip(), %why, "turned away");
            // A flood of these must not take the files that the store and the relay need (LIM-01).
            if shared.tasks.count(TURNED_AWAY) >= TURNED_AWAY_MAX {
                return;
            }
            // Inside TLS nobody hears us before a handshake that we cannot afford now.
            let words = match security {
                Security::Implicit(_) => Bytes::new(),
                Security::Upgrade(_) | Security::Plain => consumer.last_words(why),
            };
            shared.tasks.spawn(TURNED_AWAY, turn_away(conn, words));
        }
    }
}

async fn turn_away(mut conn: Conn, words: Bytes) {
    if !words.is_empty() {
        conn.output.bytes(&words);
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.flush()).await;
        conn.close().await;
    }
}

/// The connection as it is served, and what it may still be upgraded to; `None` when TLS failed.
async fn secure(
    mut conn: Conn,
    security: Security,
    name: &'static str,
    shutdown: &Shutdown,
) -> Option<(Conn, Option<Arc<ServerConfig>>)> {
    let config = match security {
        Security::Plain => return Some((conn, None)),
        Security::Upgrade(config) => return Some((conn, Some(config))),
        Security::Implicit(config) => config,
    };
    let remote = conn.peer.remote;
    conn.recall = Recall::by(shutdown.clone());
    match conn.upgrade(config).await {
        Ok(conn) => Some((conn, None)),
        Err(gone) => {
            let (ip, error) = (remote.ip(), Causes(&gone));
            tracing::info!(port = name, peer.ip = %ip, %error, "no TLS");
            None
        }
    }
}

/// The name of the tasks that say a last word to whom the gate did not admit.
const TURNED_AWAY: &str = "turned-away";
/// LIM-01: how many of them there are; more peers are turned away without a word.
const TURNED_AWAY_MAX: usize = 64;
