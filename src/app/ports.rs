//! Binding the ports, all of them before the first connection is taken.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::{TcpListener, TcpSocket};

use super::{StartError, settings, socket_file::SocketFile};
use crate::{
    config::{Config, Place},
    net::listen::{Arrival, Listener},
};

/// One listening socket.
#[derive(Debug)]
pub struct Port {
    /// Its name in the configuration.
    pub name: &'static str,
    /// Where it is, as the configuration says it.
    pub place: Place,
    /// The socket.
    pub listener: Socket,
}

/// A socket of either kind.
#[derive(Debug)]
pub enum Socket {
    /// At an address.
    Tcp(TcpListener),
    /// In the file system.
    Unix(SocketFile),
}

impl Listener for Socket {
    async fn accept(&self) -> io::Result<Arrival> {
        match self {
            Self::Tcp(listener) => Listener::accept(listener).await,
            Self::Unix(socket) => Listener::accept(&socket.listener).await,
        }
    }
}

/// A port that cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("listen.{name} = \"{place}\": {}", reason(.cause, .place))]
pub struct PortError {
    name: &'static str,
    place: Place,
    cause: io::Error,
}

/// Binds every configured place.
///
/// # Errors
/// Names the key, the place, and what to do.
pub fn bind(config: &Config) -> Result<Vec<Port>, StartError> {
    let access = settings::lmtp_access(config)?;
    let mut ports = Vec::new();
    for (name, place) in config.listen.places() {
        let bound = match &place {
            Place::Tcp(address) => bind_one(*address).map(Socket::Tcp),
            Place::Unix(path) => SocketFile::bind(path, access).map(Socket::Unix),
        };
        match bound {
            Ok(listener) => ports.push(Port {
                name,
                place,
                listener,
            }),
            Err(cause) => return Err(PortError { name, place, cause }.into()),
        }
    }
    Ok(ports)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    match listen_on(address) {
        // A machine without IPv6 still serves IPv4 when everything was asked for.
        Err(error)
            if address.ip() == Ipv6Addr::UNSPECIFIED
                && error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) =>
        {
            listen_on((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        other => other,
    }
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A restarted server must not wait for the old one's closed connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn reason(cause: &io::Error, place: &Place) -> String {
    let port = match place {
        Place::Tcp(address) => address.port(),
        Place::Unix(_) => return reason_of_file(cause),
    };
    match cause.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {port} is in use: another server runs (`ss -ltnp 'sport = :{port}'` shows which)"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "port {port} needs the right to bind low ports: start from the shipped systemd unit, \
             or give the binary CAP_NET_BIND_SERVICE"
        ),
        io::ErrorKind::AddrNotAvailable => "this machine does not have this address".to_owned(),
        _ => cause.to_string(),
    }
}

fn reason_of_file(cause: &io::Error) -> String {
    let text = match cause.kind() {
        io::ErrorKind::AddrInUse => "another server listens there",
        io::ErrorKind::AlreadyExists => "a file is there that is no socket; remove it",
        io::ErrorKind::NotFound => "its directory is not there: make it, for the server's user",
        io::ErrorKind::PermissionDenied => {
            "the server's user may not make it there, or is not in its group"
        }
        _ => return cause.to_string(),
    };
    text.to_owned()
}

const BACKLOG: u32 = 1024;
