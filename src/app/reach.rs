//! At which addresses the world reaches this server: an MX record that leads there leads back to us
//! (RFC 5321 5.1; Q-04).
//!
//! A listener names its address, or it takes all that the machine's interfaces have; those are read
//! from the kernel's tables below /proc, which the shipped unit leaves readable, once at the start.
//! Only listeners at the port that mail goes out to count: another server may share the machine.
//! Not here: an address that a router translates into ours, which nothing on this machine knows;
//! such a loop is ended by our name in the MX record, or by counting Received fields (LIM-31).

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The addresses that `listeners` take mail at, when it is sent to `port`.
pub(super) fn addresses(listeners: &[SocketAddr], port: u16) -> Vec<IpAddr> {
    let six = fs::read_to_string("/proc/self/net/if_inet6").unwrap_or_default();
    let four = fs::read_to_string("/proc/self/net/fib_trie").unwrap_or_default();
    let interfaces: Vec<_> = in_if_inet6(&six).chain(in_fib_trie(&four)).collect();
    reached(listeners, port, &interfaces)
}

fn reached(listeners: &[SocketAddr], port: u16, interfaces: &[IpAddr]) -> Vec<IpAddr> {
    let mut reached = Vec::new();
    for listener in listeners.iter().filter(|listener| listener.port() == port) {
        let ip = listener.ip().to_canonical();
        reached.push(ip);
        if ip.is_unspecified() {
            // `[::]` takes both families.
            let taken = |to: &&IpAddr| ip.is_ipv6() || to.is_ipv4();
            reached.extend(interfaces.iter().filter(taken));
        }
    }
    reached.sort();
    reached.dedup();
    reached
}

/// The IPv6 addresses of the interfaces: the first field of each line, 32 hexadecimal digits.
fn in_if_inet6(table: &str) -> impl Iterator<Item = IpAddr> {
    let address = |line: &str| {
        let digits = line.split_whitespace().next()?;
        let bits = u128::from_str_radix(digits, 16).ok()?;
        Some(Ipv6Addr::from_bits(bits).into())
    };
    table.lines().filter_map(address)
}

/// The IPv4 addresses of the interfaces: in the routing tables those that end here, each with the
/// kind of its routes on the lines behind it.
fn in_fib_trie(table: &str) -> impl Iterator<Item = IpAddr> {
    let mut last = None;
    table.lines().filter_map(move |line| {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
            return None;
        }
        last.filter(|_| line == "/32 host LOCAL").map(IpAddr::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIX: &str = "\
20010db8000000000000000000000002 04 40 00 82     eth0
00000000000000000000000000000001 01 80 10 80       lo
nonsense
";
    const FOUR: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.0
           /8 host LOCAL
        |-- 127.0.0.1
           /32 host LOCAL
     +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.0
           /24 link UNICAST
        |-- 192.0.2.7
           /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
Local:
        |-- 192.0.2.7
           /32 host LOCAL
";

    #[test]
    fn q_04_listeners_are_reached_at_their_own_or_at_all_addresses() {
        let interfaces: Vec<_> = in_if_inet6(SIX).chain(in_fib_trie(FOUR)).collect();
        for (listeners, expected) in [
            (
                &["[::]:25"][..],
                &["127.0.0.1", "192.0.2.7", "::", "::1", "2001:db8::2"][..],
            ),
            (&["0.0.0.0:25"], &["0.0.0.0", "127.0.0.1", "192.0.2.7"]),
            (&["192.0.2.9:25", "[::ffff:192.0.2.9]:25"], &["192.0.2.9"]),
            (&["0.0.0.0:2525", "192.0.2.9:25"], &["192.0.2.9"]),
            (&[], &[]),
        ] {
            let listeners: Vec<SocketAddr> = listeners.iter().map(|l| l.parse().unwrap()).collect();
            let found = reached(&listeners, 25, &interfaces);
            let found: Vec<_> = found.iter().map(IpAddr::to_string).collect();
            assert_eq!(found, expected, "{listeners:?}");
        }
    }

    #[test]
    fn q_04_this_machine_has_a_loopback() {
        let found = addresses(&["0.0.0.0:25".parse().unwrap()], 25);
        assert!(found.contains(&Ipv4Addr::LOCALHOST.into()), "{found:?}");
    }
}
