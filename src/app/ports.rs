//! Binding the ports, all of them before the first connection is taken.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::{TcpListener, TcpSocket};

use crate::config::raw::Listen;

/// One listening socket.
#[derive(Debug)]
pub struct Port {
    /// Its name in the configuration.
    pub name: &'static str,
    /// Its address in the configuration.
    pub address: SocketAddr,
    /// The socket.
    pub listener: TcpListener,
}

/// A port that cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("listen.{name} = \"{address}\": {}", reason(.cause, .address))]
pub struct PortError {
    name: &'static str,
    address: SocketAddr,
    cause: io::Error,
}

/// Binds every configured address.
///
/// # Errors
/// Names the key, the address, and what to do.
pub fn bind(listen: &Listen) -> Result<Vec<Port>, PortError> {
    let mut ports = Vec::new();
    for (name, addresses) in listen.ports() {
        for address in addresses {
            let listener = bind_one(*address).map_err(|cause| PortError {
                name,
                address: *address,
                cause,
            })?;
            let address = *address;
            ports.push(Port {
                name,
                address,
                listener,
            });
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

fn reason(cause: &io::Error, address: &SocketAddr) -> String {
    match cause.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {} is in use: another server runs (`ss -ltnp 'sport = :{}'` shows which)",
            address.port(),
            address.port()
        ),
        io::ErrorKind::PermissionDenied => format!(
            "port {} needs the right to bind low ports: start from the shipped systemd unit, or \
             give the binary CAP_NET_BIND_SERVICE",
            address.port()
        ),
        io::ErrorKind::AddrNotAvailable => "this machine does not have this address".to_owned(),
        _ => cause.to_string(),
    }
}

const BACKLOG: u32 = 1024;
