//! Listening: accept, ask the gate, make TLS when the port begins with it, hand over.
//!
//! Knows no protocol, not even that there are line protocols: those are one [`Consumer`], in
//! `sessions`. What happens when there are no descriptors left stands in `entrance`.
//!
//! The order of what is asked, each before it costs anything that comes behind it: is there room
//! at all (LIM-01); whom does a proxy speak for; is the door for others; does the address have too
//! many (LIM-02, LIM-04). A table of banned addresses belongs between the last two, in
//! [`Door::admit`]; lists of the DNS and all that waits belong into the session, behind TLS.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;
use tokio_rustls::rustls::ServerConfig;

pub use super::entrance::{Arrival, Listener};
use super::{
    conn::{Conn, Peer},
    entrance::Entrance,
    gate::{Gate, Permit, Place, Purpose},
    protocol::Farewell,
    proxied::introduced,
    recall::Recall,
    shutdown::Shutdown,
    tasks::Tasks,
};
use crate::base::{network::Network, text::Causes};

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

/// What a listening socket is, beside its address.
#[derive(Clone, Debug)]
pub struct Door {
    /// When TLS begins.
    pub security: Security,
    /// Proxies: each of their connections begins with a header that names the client.
    pub proxies: Arc<[Network]>,
    /// Whom it is for; `None` for everybody.
    pub clients: Option<Arc<[Network]>>,
}

impl Door {
    /// For everybody, without proxies.
    pub fn new(security: Security) -> Self {
        Self {
            security,
            proxies: Arc::default(),
            clients: None,
        }
    }

    /// Whether this address may name its clients, and must.
    fn is_proxy(&self, peer: &Peer) -> bool {
        has(&self.proxies, peer)
    }

    /// Lets a client in that is known by its address.
    fn admit(&self, place: Place, peer: &Peer, purpose: Purpose) -> Result<Permit, Farewell> {
        if self
            .clients
            .as_ref()
            .is_some_and(|clients| !has(clients, peer))
        {
            return Err(Farewell::NotListed);
        }
        place.admit(peer.remote.ip(), purpose, Instant::now())
    }

    /// What whoever is turned away is told. Inside TLS nobody hears us before a handshake that we
    /// cannot afford now.
    fn last_words<C: Consumer>(&self, consumer: &C, why: Farewell) -> Bytes {
        match self.security {
            Security::Implicit(_) => Bytes::new(),
            Security::Upgrade(_) | Security::Plain => consumer.last_words(why),
        }
    }
}

fn has(networks: &[Network], peer: &Peer) -> bool {
    let address = peer.remote.ip();
    networks.iter().any(|network| network.contains(address))
}

/// Accepts connections until the shutdown. Then the socket closes; sessions end by themselves.
pub async fn listen<C: Consumer, L: Listener>(
    listener: L,
    consumer: Arc<C>,
    door: Door,
    shared: Shared,
) {
    let no_room = door.last_words(&*consumer, Farewell::Crowded);
    let mut entrance = Entrance::new(listener, consumer.name(), no_room);
    let mut shutdown = shared.shutdown.clone();
    loop {
        let arrival = tokio::select! {
            arrival = entrance.next() => arrival,
            () = shutdown.requested() => return,
        };
        admit(arrival, &consumer, &door, &shared);
    }
}

/// Starts the connection's task, or turns the peer away.
pub fn admit<C: Consumer>(arrival: Arrival, consumer: &Arc<C>, door: &Door, shared: &Shared) {
    let (name, inside) = (consumer.name(), (Arc::clone(consumer), door.clone()));
    let shutdown = shared.shutdown.clone();
    let admitted = match shared.gate.place() {
        Ok(place) if door.is_proxy(&arrival.peer) => {
            let serving = serve_proxied(arrival, place, inside, shutdown);
            return shared.tasks.spawn(name, serving);
        }
        Ok(place) => door.admit(place, &arrival.peer, consumer.purpose()),
        Err(why) => Err(why),
    };
    let conn = Conn::new(arrival.transport, arrival.peer);
    match admitted {
        Ok(permit) => shared
            .tasks
            .spawn(name, serve(conn, permit, inside, shutdown)),
        Err(why) => {
            log_turned_away(name, &conn.peer, why);
            // A flood of these must not take the files that the store and the relay need (LIM-01).
            if shared.tasks.count(TURNED_AWAY) < TURNED_AWAY_MAX {
                let words = door.last_words(&**consumer, why);
                shared.tasks.spawn(TURNED_AWAY, turn_away(conn, words));
            }
        }
    }
}

/// Hears for whom a proxy comes, and serves the client. When it does not say so, the connection
/// ends without a word: nobody knows who would read it.
async fn serve_proxied<C: Consumer>(
    arrival: Arrival,
    place: Place,
    inside: (Arc<C>, Door),
    mut shutdown: Shutdown,
) {
    let (consumer, door) = &inside;
    let (name, proxy) = (consumer.name(), arrival.peer.remote.ip());
    let introduced = tokio::select! {
        introduced = introduced(arrival.transport, arrival.peer) => introduced,
        () = shutdown.requested() => return,
    };
    let conn = match introduced {
        Ok((transport, peer)) => Conn::new(transport, peer),
        Err(error) => {
            tracing::info!(port = name, via = %proxy, error = %Causes(&error), "no client");
            return;
        }
    };
    match door.admit(place, &conn.peer, consumer.purpose()) {
        Ok(permit) => Box::pin(serve(conn, permit, inside, shutdown)).await,
        Err(why) => {
            log_turned_away(name, &conn.peer, why);
            let words = door.last_words(&**consumer, why);
            turn_away(conn, words).await;
        }
    }
}

/// Serves a client to the end.
async fn serve<C: Consumer>(
    conn: Conn,
    permit: Permit,
    (consumer, door): (Arc<C>, Door),
    shutdown: Shutdown,
) {
    if let Some((conn, upgrade)) = secure(conn, door.security, consumer.name(), &shutdown).await {
        consumer.serve(conn, permit, upgrade, shutdown).await;
    }
}

fn log_turned_away(name: &'static str, peer: &Peer, why: Farewell) {
    let via = peer.via.map(tracing::field::display);
    tracing::info!(port = name, peer.ip = %peer.remote.ip(), via, %why, "turned away");
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
