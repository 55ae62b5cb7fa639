//! From a destination to a conversation: the calls until somebody answers.
//!
//! At most five addresses and two hosts that answered per attempt; a slow address is
//! overtaken by the next one of its preference, and what failed lately goes last among its equals.
//! A host that fails at TLS, where TLS is opportunistic, is called once more without it; one that
//! fails what a policy demands is not spoken to (TLS-07). A host that does not want to talk says
//! nothing about the mail, so the next one is tried, and in the end the mail waits.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::{
    net::TcpSocket,
    sync::OnceCell,
    time::{Instant, timeout},
};

use super::{
    Destination, Shared, Sources,
    hosts::Target,
    plan::{Call, Elsewhere},
    pool::Session,
    protect::{Ends, Protection, Unfit},
    race::{PATIENCE, Race},
    seats::Seat,
    tlsrpt::tally::{self, Outcome},
    verdict::{Finding, shown, shown_error, unconnected, unopened},
};
use crate::{
    base::future::BoxFuture,
    queue::record::Diagnosis,
    smtp::client::{Conversation, Failure, Transport, conversation::Opening},
};

/// Makes connections. Tests have one that makes pipes.
pub trait Connector: Send + Sync + 'static {
    /// A connection to `to`, from an address of ours or from any.
    fn connect(
        &self,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> BoxFuture<'_, io::Result<Box<dyn Transport>>>;

    /// Where a connection to `to` comes from when we do not say it, if that is known.
    fn source(&self, _to: SocketAddr) -> Option<IpAddr> {
        None
    }
}

/// Makes TCP connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Connector for Tcp {
    fn connect(
        &self,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> BoxFuture<'_, io::Result<Box<dyn Transport>>> {
        Box::pin(async move {
            let socket = match to {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            if let Some(from) = from {
                socket
                    .bind((from, 0).into())
                    .map_err(|error| unbound(from, &error))?;
            }
            let stream = socket.connect(to).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Transport>)
        })
    }

    /// Nothing is sent: the system only chooses.
    fn source(&self, to: SocketAddr) -> Option<IpAddr> {
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect(to).ok()?;
        socket.local_addr().ok().map(|local| local.ip())
    }
}

/// A source address that is not ours: a setting to mend, not the other side's doing.
fn unbound(from: IpAddr, error: &io::Error) -> io::Error {
    let text = format!("connections cannot come from {from} (source): {error}");
    tracing::warn!(%from, %error, "the source address for connections out cannot be used");
    io::Error::new(io::ErrorKind::AddrNotAvailable, text)
}

/// The hosts of a call, by name and port.
type Hosts = HashMap<(String, u16), Host>;

/// What is found out once for all addresses of a host.
#[derive(Default)]
struct Host {
    /// How it is to be protected.
    protection: OnceCell<Result<Protection, Box<Unfit>>>,
    /// The seat of this call, while there is a connection.
    seat: Mutex<Weak<Seat>>,
}

impl Host {
    /// The seat of this call: one, however many addresses it tries.
    fn seated(&self, take: impl FnOnce() -> Option<Seat>) -> Option<Arc<Seat>> {
        let mut seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = seat.upgrade() {
            return Some(taken);
        }
        let taken = Arc::new(take()?);
        *seat = Arc::downgrade(&taken);
        Some(taken)
    }
}

/// A connection, the protection of the conversation that it is for, and its seat.
type Reached = (Protection, Box<dyn Transport>, Arc<Seat>);

/// No conversation.
pub(super) enum Closed {
    /// Other mail has all connections to the host that there may be.
    Full,
    /// This became of the mail.
    Because(Finding),
}

impl Shared {
    /// A conversation with some host of `to` and whether it is a new one, or what its absence means
    /// for the mail; `lax` for mail that policies do not hold.
    pub(super) async fn open(
        &self,
        to: &Destination,
        elsewhere: Option<&Elsewhere>,
        lax: bool,
    ) -> Result<(Box<Session>, bool), Closed> {
        let call = self.plan(to, lax).await;
        let mut call = call.map_err(|why| Closed::Because(Finding::unroutable(&why)))?;
        if let Some(elsewhere) = elsewhere {
            call.targets
                .retain(|target| elsewhere.is_at(target.address));
        }
        let call = &call;
        let hosts = call.targets.iter();
        let hosts = hosts.map(|target| ((target.host.clone(), target.port), Host::default()));
        let hosts: &Hosts = &hosts.collect();
        let begin =
            move |target: Target| -> BoxFuture<'_, _> { Box::pin(self.reach(call, hosts, target)) };
        if let Some(session) = self.waiting(call, hosts).await {
            return Ok((session, false));
        }
        let mut race = Race::new(call.targets.clone(), begin);
        let (mut answered, mut last, mut full) = (0, None, false);
        while let Some((target, reached)) = race.next().await {
            let opened = match reached {
                Ok(reached) => self.call(call, &target, reached).await,
                Err(why) => Err(why),
            };
            match opened {
                Ok(session) => return Ok((session, true)),
                Err(NotOpened::Full) => {
                    full = true;
                    race.stay_at(target.preference);
                }
                Err(NotOpened::Because { why, answer }) => {
                    tracing::debug!(host = %shown(&target), why = why.text(), "host did not do");
                    answered += usize::from(answer);
                    last = Some(why);
                }
            }
            if answered >= SESSIONS_MAX {
                break;
            }
        }
        if full {
            return Err(Closed::Full);
        }
        let none = || unconnected("no host", "there is no address");
        Err(Closed::Because(Finding::Later(last.unwrap_or_else(none))))
    }

    /// A conversation that waits for more mail to a host that may be called first: no better one is
    /// there, or none that could be reached lately.
    async fn waiting(&self, call: &Call<'_>, hosts: &Hosts) -> Option<Box<Session>> {
        let now = Instant::now();
        for target in &call.targets {
            let mut better = call.targets.iter();
            let failed = |to: &Target| self.recall().has_failed(to.socket(), now);
            // RFC 5321 5.1.
            if !better.all(|other| other.preference >= target.preference || failed(other)) {
                return None;
            }
            if !self.pool().has(target.socket(), now) {
                continue;
            }
            let Some(host) = hosts.get(&(target.host.clone(), target.port)) else {
                continue;
            };
            if let Ok(protection) = self.protected(call, host, target).await {
                let place = call.place(target, &protection);
                let session = self.pool().take(&place, now);
                if session.is_some() {
                    return session;
                }
            }
        }
        None
    }

    /// A connection to one address, once it is known how its host is to be protected.
    async fn reach(
        &self,
        call: &Call<'_>,
        hosts: &Hosts,
        target: Target,
    ) -> Result<Reached, NotOpened> {
        let silent = |why| NotOpened::Because { why, answer: false };
        let (name, port) = (target.host.as_str(), target.port);
        let host = hosts.get(&(name.to_owned(), port));
        let host = host.ok_or_else(|| silent(unconnected(name, "it is not known")))?;
        let protection = self.protected(call, host, &target).await;
        let protection = protection.map_err(|unfit| silent(unfit.why))?;
        let seat = host.seated(|| self.seats.take(name, port, call.connections));
        let seat = seat.ok_or(NotOpened::Full)?;
        match self.connect(&target, call.sources).await {
            Ok(stream) => Ok((protection, stream, seat)),
            Err(error) => Err(silent(unconnected(&shown(&target), &shown_error(&error)))),
        }
    }

    /// How the host of `target` is to be protected; found out once for all its addresses.
    async fn protected(
        &self,
        call: &Call<'_>,
        host: &Host,
        target: &Target,
    ) -> Result<Protection, Box<Unfit>> {
        let place = (target.host.as_str(), target.port);
        let found_out = || async {
            let protection = self.protection(&call.known, place).await;
            if let Err(unfit) = &protection {
                self.count(call.to, (unfit.told.as_ref(), (place.0, None)), None);
            }
            protection
        };
        host.protection.get_or_init(found_out).await.clone()
    }

    /// One call, and another one with less TLS where that may help.
    async fn call(
        &self,
        call: &Call<'_>,
        target: &Target,
        (mut protection, mut stream, seat): Reached,
    ) -> Result<Box<Session>, NotOpened> {
        let host = shown(target);
        let place = call.place(target, &protection);
        // What TLS failed with the first time is what is told of the session.
        let mut failed = None;
        let told = protection.told.take();
        let count = |failure| {
            let ends = Ends {
                from: call.sources.of(target.address),
                to: target.socket(),
            };
            let place = (target.host.as_str(), Some(ends));
            self.count(call.to, (told.as_ref(), place), failure);
        };
        loop {
            match self.converse(call, &protection, stream).await {
                Ok(mut conversation) => {
                    if call.is_hearsay(protection.by) {
                        conversation.distrust();
                    }
                    let plain = || {
                        (
                            Outcome::StarttlsNotSupported,
                            "the session is plain".to_owned(),
                        )
                    };
                    count(failed.or_else(|| (!conversation.is_encrypted()).then(plain)));
                    return Ok(Box::new(Session {
                        conversation,
                        host,
                        by: protection.by,
                        place,
                        messages: 0,
                        _seat: seat,
                    }));
                }
                Err(failure) => match protection.weakened(&failure) {
                    Some(weaker) => {
                        tracing::debug!(%host, error = %failure.cause, "again with less TLS");
                        failed = failed.or_else(|| tally::outcome(&failure));
                        protection = weaker;
                    }
                    None => {
                        if let Some(outcome) = failed.or_else(|| tally::outcome(&failure)) {
                            count(Some(outcome));
                        }
                        return Err(NotOpened::Because {
                            why: unopened(&host, &failure, protection.by),
                            answer: true,
                        });
                    }
                },
            }
            let again = self.connect(target, call.sources).await;
            stream = again.map_err(|error| NotOpened::Because {
                why: unconnected(&host, &shown_error(&error)),
                answer: false,
            })?;
        }
    }

    /// A connection; what came of it is remembered.
    async fn connect(&self, target: &Target, sources: Sources) -> io::Result<Box<dyn Transport>> {
        let (to, from) = (target.socket(), sources.of(target.address));
        let slow = Slow(self, to, Instant::now());
        let connecting = self.parts.connector.connect(to, from);
        let made = match timeout(self.options.connect_timeout, connecting).await {
            Ok(result) => result,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        drop(slow);
        match &made {
            Ok(_) => self.recall().worked(to, Instant::now()),
            // Not the other side's doing.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
            Err(_) => self.recall().failed(to, Instant::now()),
        }
        made
    }

    async fn converse(
        &self,
        call: &Call<'_>,
        protection: &Protection,
        stream: Box<dyn Transport>,
    ) -> Result<Conversation, Failure> {
        let opening = Opening {
            name: &self.options.name,
            host: &protection.name,
            proof: protection.proof.as_ref(),
            security: protection.security,
            tls: &self.parts.tls,
            login: call.login,
            random: &self.parts.random,
        };
        Conversation::open(stream, &opening, self.options.timeouts).await
    }
}

/// A connection that is being made. One that took so long that others were called instead is
/// remembered, though nobody waited for its end.
struct Slow<'a>(&'a Shared, SocketAddr, Instant);

impl Drop for Slow<'_> {
    fn drop(&mut self) {
        let Self(shared, to, begun) = self;
        if begun.elapsed() >= PATIENCE {
            shared.recall().failed(*to, Instant::now());
        }
    }
}

/// A host was not spoken to.
enum NotOpened {
    /// it is, by all who may.
    Full,
    /// It did not do.
    Because {
        why: Diagnosis,
        /// Whether it answered at all.
        answer: bool,
    },
}

/// hosts that answered and did not do, before an attempt ends.
const SESSIONS_MAX: usize = 2;
