//! Taking connections from a listening socket, also when the process or the system has no file
//! descriptors left (DUR-05).
//!
//! One spare descriptor is kept. When there is no other it makes room for one connection, whose
//! client is told to come back and let go. Then, and after every other failure, accepting rests, at
//! first for moments and later for a second at a time: it never ends and never spins. Clients that
//! come meanwhile wait in the system's queue.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, UnixListener},
    time::{sleep, timeout},
};

use super::conn::{Peer, Transport};

/// Where connections come from.
pub trait Listener: Send + 'static {
    /// The next connection. Safe to drop while waiting.
    fn accept(&self) -> impl Future<Output = io::Result<Arrival>> + Send;
}

/// A connection that was accepted.
pub struct Arrival {
    /// Its bytes.
    pub transport: Box<dyn Transport>,
    /// Who it is with.
    pub peer: Peer,
}

impl Listener for TcpListener {
    async fn accept(&self) -> io::Result<Arrival> {
        let (stream, remote) = Self::accept(self).await?;
        // Fails when the peer is gone already, which is nothing to rest for.
        let local = stream.local_addr();
        let local = local.map_err(|_| io::Error::from(io::ErrorKind::ConnectionAborted))?;
        let _ = stream.set_nodelay(true);
        Ok(Arrival::of(Box::new(stream), remote, local))
    }
}

impl Listener for UnixListener {
    async fn accept(&self) -> io::Result<Arrival> {
        let (stream, _) = Self::accept(self).await?;
        // Whoever may open the socket is on this machine.
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Ok(Arrival::of(Box::new(stream), here, here))
    }
}

impl Arrival {
    fn of(transport: Box<dyn Transport>, remote: SocketAddr, local: SocketAddr) -> Self {
        let (tls, via) = (None, None);
        let peer = Peer {
            remote,
            local,
            tls,
            via,
        };
        Self { transport, peer }
    }
}

/// A listening socket and what is needed to answer when there is no room.
pub(super) struct Entrance<L> {
    listener: L,
    /// The port's name in logs.
    port: &'static str,
    /// What a client is told that cannot be let in; nothing where it could not understand it.
    no_room: Bytes,
    spare: Option<File>,
    rest: Duration,
}

impl<L: Listener> Entrance<L> {
    /// Takes connections from `listener`.
    pub(super) fn new(listener: L, port: &'static str, no_room: Bytes) -> Self {
        Self {
            listener,
            port,
            no_room,
            spare: spare(),
            rest: REST_MIN,
        }
    }

    /// The next connection.
    pub(super) async fn next(&mut self) -> Arrival {
        loop {
            match self.listener.accept().await {
                Ok(arrival) => {
                    self.rest = REST_MIN;
                    return arrival;
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    tracing::warn!(port = self.port, %error, "cannot accept, trying again soon");
                    if is_out_of_files(&error) {
                        self.turn_one_away().await;
                    }
                    sleep(self.rest).await;
                    self.rest = (self.rest * 2).min(REST_MAX);
                }
            }
        }
    }

    /// Takes one connection in the place of the spare descriptor, and lets it go.
    async fn turn_one_away(&mut self) {
        if self.spare.take().is_some() {
            let arrived = tokio::select! {
                biased;
                arrived = self.listener.accept() => arrived.ok(),
                // Somebody else was faster, or nobody waits any more.
                () = std::future::ready(()) => None,
            };
            if let Some(Arrival { mut transport, .. }) = arrived {
                let answer = async {
                    transport.write_all(&self.no_room).await?;
                    transport.shutdown().await
                };
                let _ = timeout(ANSWER, answer).await;
            }
        }
        self.spare = spare();
    }
}

/// A descriptor that can be given up; `None` while there is none.
fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Errors of one connection that is gone already, not of the listener.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// EMFILE or ENFILE.
fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// DUR-05: first rest after a failed accept.
const REST_MIN: Duration = Duration::from_millis(10);
/// DUR-05: longest rest after failed accepts.
const REST_MAX: Duration = Duration::from_secs(1);
/// How long a client that is turned away may take to be told so; nobody else comes in meanwhile.
const ANSWER: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{Arc, Mutex},
    };

    use rustix::io::Errno;
    use tokio::{io::AsyncReadExt, net::TcpStream, time::Instant};

    use super::*;

    /// A listener that fails so often with this first; without a socket nobody comes after it.
    #[derive(Clone)]
    struct Failing {
        errors: Arc<Mutex<VecDeque<Errno>>>,
        asked: Arc<Mutex<Vec<Instant>>>,
        socket: Option<Arc<TcpListener>>,
    }

    impl Failing {
        fn with(errors: &[Errno], socket: Option<TcpListener>) -> Self {
            Self {
                errors: Arc::new(Mutex::new(errors.iter().copied().collect())),
                asked: Arc::default(),
                socket: socket.map(Arc::new),
            }
        }
    }

    impl Listener for Failing {
        async fn accept(&self) -> io::Result<Arrival> {
            self.asked.lock().unwrap().push(Instant::now());
            let error = self.errors.lock().unwrap().pop_front();
            match (error, &self.socket) {
                (Some(error), _) => Err(error.into()),
                (None, Some(socket)) => Listener::accept(&**socket).await,
                (None, None) => std::future::pending().await,
            }
        }
    }

    fn entrance(listener: Failing) -> Entrance<Failing> {
        Entrance::new(listener, "test", Bytes::from_static(b"421 come back\r\n"))
    }

    #[tokio::test]
    async fn dur_05_without_files_one_is_told_to_come_back_and_the_next_is_let_in() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        for error in [Errno::MFILE, Errno::NFILE] {
            let clone = TcpListener::from_std(duplicate(&socket)).unwrap();
            let mut entrance = entrance(Failing::with(&[error], Some(clone)));
            let mut first = TcpStream::connect(address).await.unwrap();
            // The kernel queues what is connected: there is somebody to be told.
            let mut second = TcpStream::connect(address).await.unwrap();
            let mut let_in = entrance.next().await;
            let mut told = String::new();
            first.read_to_string(&mut told).await.unwrap();
            assert_eq!(told, "421 come back\r\n");
            assert!(entrance.spare.is_some(), "for the next time");
            let_in.transport.write_all(b"220").await.unwrap();
            assert_eq!(second.read_u8().await.unwrap(), b'2');
        }
    }

    fn duplicate(socket: &TcpListener) -> std::net::TcpListener {
        let descriptor = std::os::fd::AsFd::as_fd(socket).try_clone_to_owned();
        descriptor.unwrap().into()
    }

    #[tokio::test(start_paused = true)]
    async fn dur_05_accepting_rests_for_a_second_at_most_and_never_spins() {
        let rests = [10, 20, 40, 80, 160, 320, 640, 1000, 1000];
        for (error, asked_each_time, rests) in [
            // Once more in the place of the spare descriptor.
            (Errno::MFILE, 2, &rests[..]),
            (Errno::NOBUFS, 1, &rests[..]),
            // Not a failure of the listener.
            (Errno::CONNABORTED, 10, &[]),
        ] {
            let failures = vec![error; asked_each_time * (rests.len() + 1)];
            let listener = Failing::with(&failures, None);
            let mut entrance = entrance(listener.clone());
            let mut due = Instant::now();
            let waited = timeout(Duration::from_secs(60), entrance.next()).await;
            assert!(waited.is_err() && listener.errors.lock().unwrap().is_empty());
            let asked = listener.asked.lock().unwrap();
            let mut asked = asked.chunks(asked_each_time);
            assert_eq!(asked.next().unwrap(), vec![due; asked_each_time]);
            for rest in rests {
                due += Duration::from_millis(*rest);
                assert_eq!(asked.next().unwrap(), vec![due; asked_each_time]);
            }
        }
    }
}
