//! The header that a proxy puts before a connection: whom it speaks for (PROXY protocol, versions 1
//! and 2, www.haproxy.org/download/2.6/doc/proxy-protocol.txt).
//!
//! Pure; gives the same result however the input is split. Who may be believed is not decided
//! here. What a header tells beyond addresses (TLVs) is skipped, but for the version of TLS that
//! the proxy spoke with its client; it is told in logs and decides nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// The proxy speaks for itself, or cannot say for whom: the connection's own addresses count.
    Own,
    /// It speaks for a client.
    Client(Client),
}

/// A client that a proxy speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub remote: SocketAddr,
    /// The address that it connected to.
    pub local: SocketAddr,
    /// The version of the TLS between it and the proxy.
    pub tls: Option<String>,
}

/// Why the first bytes of a connection are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// They are something else.
    #[error("the connection does not begin with a PROXY header")]
    Absent,
    /// LIM-36: it is longer than allowed.
    #[error("the PROXY header is too long")]
    TooLong,
    /// A line of version 1 that is not of its form.
    #[error("the PROXY line is malformed")]
    Line,
    /// Neither LOCAL nor PROXY, or another version.
    #[error("the PROXY header has an unknown version or command")]
    Command,
    /// Addresses that do not belong to a stream, or of another kind.
    #[error("the PROXY header has an unknown family of addresses")]
    Family,
    /// It ends within an address or a TLV.
    #[error("the PROXY header is shorter than what it holds")]
    Short,
}

/// The header at the front of `bytes` and its length; `None` while it is not whole.
///
/// # Errors
/// When there is none, whatever else comes.
pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    if begins(bytes, SIGNATURE) {
        binary(bytes)
    } else if begins(bytes, LINE) {
        line(bytes)
    } else {
        Err(HeaderError::Absent)
    }
}

/// Whether `bytes` begins like a header of either version, enough of it to be nothing else: `PROXY`
/// alone may be the tag of a command.
pub fn is_header(bytes: &[u8]) -> bool {
    let kinds = [&b"TCP4 "[..], b"TCP6 ", b"UNKNOWN"];
    let line = bytes.strip_prefix(LINE);
    bytes.starts_with(SIGNATURE)
        || line.is_some_and(|rest| kinds.iter().any(|kind| rest.starts_with(kind)))
}

/// Whether `bytes` begins with `front`, as far as both go.
fn begins(bytes: &[u8], front: &[u8]) -> bool {
    bytes.iter().zip(front).all(|(byte, wanted)| byte == wanted)
}

/// Version 1: a line of text.
fn line(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let front = bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = front.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() < LINE_BYTES_MAX {
            true => Ok(None),
            false => Err(HeaderError::TooLong),
        };
    };
    let text = front
        .get(LINE.len()..end)
        .and_then(|line| line.strip_suffix(b"\r"));
    let text = text.and_then(|line| std::str::from_utf8(line).ok());
    let header = text.and_then(words).ok_or(HeaderError::Line)?;
    Ok(Some((header, end.saturating_add(1))))
}

/// `TCP4 192.0.2.1 198.51.100.1 56324 25`, `TCP6 ...`, or `UNKNOWN` and whatever follows it.
fn words(text: &str) -> Option<Header> {
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Some(Header::Own);
    }
    let mut words = text.split(' ');
    let mut next = || words.next();
    let (family, remote, local) = (next()?, next()?, next()?);
    let (remote_port, local_port) = (port(next()?)?, port(next()?)?);
    if next().is_some() {
        return None;
    }
    let address = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
        "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        _ => None,
    };
    Some(client(
        (address(remote)?, remote_port),
        (address(local)?, local_port),
    ))
}

/// 0 to 65535, without leading zeros.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    let leads = text.len() > 1 && text.starts_with('0');
    (plain && !leads).then(|| text.parse().ok())?
}

fn client(remote: (IpAddr, u16), local: (IpAddr, u16)) -> Header {
    let socket = |(ip, port): (IpAddr, u16)| SocketAddr::new(ip.to_canonical(), port);
    Header::Client(Client {
        remote: socket(remote),
        local: socket(local),
        tls: None,
    })
}

/// Version 2: a signature, what it is, and so many bytes of addresses and TLVs.
fn binary(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let Some((front, rest)) = bytes.split_first_chunk::<FRONT_BYTES>() else {
        return Ok(None);
    };
    let [.., command, family, high, low] = *front;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let total = FRONT_BYTES.saturating_add(length);
    if !matches!(command, LOCAL | PROXY) {
        return Err(HeaderError::Command);
    }
    if total > HEADER_BYTES_MAX {
        return Err(HeaderError::TooLong);
    }
    let Some(block) = rest.get(..length) else {
        return Ok(None);
    };
    let header = match command {
        // Health checks, among others; what is in the block is of no meaning.
        LOCAL => Header::Own,
        _ => addresses(family, block)?,
    };
    Ok(Some((header, total)))
}

fn addresses(family: u8, block: &[u8]) -> Result<Header, HeaderError> {
    let (header, tlvs) = match family {
        UNSPECIFIED => return Ok(Header::Own),
        // Its client is on its machine, and has no IP address.
        UNIX if block.len() >= UNIX_BYTES => return Ok(Header::Own),
        TCP4 => {
            let (ips, tlvs) = block.split_first_chunk::<12>().ok_or(HeaderError::Short)?;
            let [a, b, c, d, e, f, g, h, i, j, k, l] = *ips;
            let remote = (Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([i, j]));
            let local = (Ipv4Addr::new(e, f, g, h).into(), u16::from_be_bytes([k, l]));
            (client(remote, local), tlvs)
        }
        TCP6 => {
            let (remote, rest) = block.split_first_chunk::<16>().ok_or(HeaderError::Short)?;
            let (local, rest) = rest.split_first_chunk::<16>().ok_or(HeaderError::Short)?;
            let (ports, tlvs) = rest.split_first_chunk::<4>().ok_or(HeaderError::Short)?;
            let [a, b, c, d] = *ports;
            let remote = (Ipv6Addr::from(*remote).into(), u16::from_be_bytes([a, b]));
            let local = (Ipv6Addr::from(*local).into(), u16::from_be_bytes([c, d]));
            (client(remote, local), tlvs)
        }
        UNIX => return Err(HeaderError::Short),
        _ => return Err(HeaderError::Family),
    };
    let version = tls_version(tlvs)?;
    Ok(match header {
        Header::Client(client) => Header::Client(Client {
            tls: version,
            ..client
        }),
        Header::Own => Header::Own,
    })
}

/// What the SSL TLV, if there is one, says of the version. All others are skipped.
fn tls_version(mut tlvs: &[u8]) -> Result<Option<String>, HeaderError> {
    let mut version = None;
    while !tlvs.is_empty() {
        let (kind, value, rest) = tlv(tlvs)?;
        if kind == SSL {
            version = version_in(value)?;
        }
        tlvs = rest;
    }
    Ok(version)
}

/// One TLV: its kind, its value and what is behind it.
fn tlv(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), HeaderError> {
    let (front, rest) = bytes.split_first_chunk::<3>().ok_or(HeaderError::Short)?;
    let [kind, high, low] = *front;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let (value, rest) = rest.split_at_checked(length).ok_or(HeaderError::Short)?;
    Ok((kind, value, rest))
}

/// Flags, a verdict about the client's certificate, and TLVs of its own.
fn version_in(ssl: &[u8]) -> Result<Option<String>, HeaderError> {
    let (front, mut tlvs) = ssl.split_first_chunk::<5>().ok_or(HeaderError::Short)?;
    let [flags, ..] = *front;
    let mut version = None;
    while !tlvs.is_empty() {
        let (kind, value, rest) = tlv(tlvs)?;
        let shown = value.iter().take(VERSION_BYTES_MAX).map(|byte| match byte {
            byte if byte.is_ascii_graphic() => char::from(*byte),
            _ => '?',
        });
        if kind == SSL_VERSION {
            version = Some(shown.collect());
        }
        tlvs = rest;
    }
    Ok(version.filter(|_| flags & CLIENT_SSL != 0))
}

/// What a header begins with, in version 1 and in version 2. A server of another protocol takes
/// neither for something that makes sense.
const LINE: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 1: the longest line there can be, with its end.
const LINE_BYTES_MAX: usize = 107;
/// Version 2: the signature, command, family, and length.
const FRONT_BYTES: usize = 16;
/// LIM-36: bytes of a header. Those of HAProxy, certificates' names and all, are a few hundred.
pub const HEADER_BYTES_MAX: usize = 4_096;
/// Version and command.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// Families, with the stream beside them.
const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const UNIX: u8 = 0x31;
const UNIX_BYTES: usize = 216;
/// `PP2_TYPE_SSL`, `PP2_SUBTYPE_SSL_VERSION`, and the flag that TLS was there.
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const CLIENT_SSL: u8 = 0x01;
/// Of a version, in logs.
const VERSION_BYTES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(header: &Header) -> String {
        match header {
            Header::Own => "own".to_owned(),
            Header::Client(Client { remote, local, tls }) => {
                format!("{remote} {local} {}", tls.as_deref().unwrap_or("-"))
            }
        }
    }

    #[test]
    fn lines_of_version_1_name_both_ends() {
        for (line, expected) in [
            (
                "PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r\n",
                "192.0.2.1:56324 198.51.100.1:25 -",
            ),
            (
                "PROXY TCP4 192.0.2.1 198.51.100.1 0 65535\r\n",
                "192.0.2.1:0 198.51.100.1:65535 -",
            ),
            (
                "PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
                "[2001:db8::1]:1 [::1]:2 -",
            ),
            (
                "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n",
                "192.0.2.1:1 [::1]:2 -",
            ),
            ("PROXY UNKNOWN\r\n", "own"),
            ("PROXY UNKNOWN ffff::1 whatever this is\r\n", "own"),
        ] {
            let (header, length) = parse(line.as_bytes()).unwrap().unwrap();
            assert_eq!(
                (told(&header).as_str(), length),
                (expected, line.len()),
                "{line:?}"
            );
            let more = format!("{line}EHLO x\r\n");
            assert_eq!(parse(more.as_bytes()).unwrap().unwrap().1, line.len());
        }
    }

    #[test]
    fn lines_that_are_not_to_the_letter_are_none() {
        use HeaderError::{Absent, Line, TooLong};
        for (line, error) in [
            ("EHLO x\r\n", Absent),
            ("proxy TCP4 192.0.2.1 198.51.100.1 1 2\r\n", Absent),
            ("PROXY\r\n", Absent),
            (" PROXY UNKNOWN\r\n", Absent),
            ("PROXY \r\n", Line),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n", Line),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n", Line),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n", Line),
            ("PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n", Line),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 1 2 \r\n", Line),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n", Line),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 +1 2\r\n", Line),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 1 65536\r\n", Line),
            ("PROXY TCP4 192.0.2.01 198.51.100.1 1 2\r\n", Line),
            ("PROXY TCP4 2001:db8::1 ::1 1 2\r\n", Line),
            ("PROXY TCP6 192.0.2.1 ::1 1 2\r\n", Line),
            ("PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n", Line),
            ("PROXY UNKNOWN\n", Line),
            ("PROXY UNKNOWNS\r\n", Line),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 1 2\rX\n", Line),
            (&format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)), TooLong),
        ] {
            assert_eq!(parse(line.as_bytes()), Err(error), "{line:?}");
        }
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        assert_eq!(parse(longest.as_bytes()), Ok(Some((Header::Own, 107))));
    }

    /// A header of version 2.
    fn made(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, block].concat()
    }

    const FOUR: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 0, 25];

    fn six() -> Vec<u8> {
        let remote: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let ends = [remote.octets(), Ipv6Addr::LOCALHOST.octets()];
        [&ends.concat()[..], &[0, 1, 0, 2]].concat()
    }

    /// An SSL TLV that tells of TLS 1.3.
    fn ssl(flags: u8) -> Vec<u8> {
        let name = [&[0x22, 0, 2][..], b"me"].concat();
        let version = [&[SSL_VERSION, 0, 7][..], b"TLSv1.3"].concat();
        [&[SSL, 0, 20, flags, 0, 0, 0, 0][..], &name, &version].concat()
    }

    #[test]
    fn headers_of_version_2_name_both_ends_and_other_values_are_skipped() {
        let unknown = [4, 0, 3, b'x', b'y', b'z'];
        for (bytes, expected) in [
            (made(PROXY, TCP4, FOUR), "192.0.2.1:56324 198.51.100.1:25 -"),
            (made(PROXY, TCP6, &six()), "[2001:db8::1]:1 [::1]:2 -"),
            (
                made(PROXY, TCP4, &[FOUR, &unknown, &ssl(1), &unknown].concat()),
                "192.0.2.1:56324 198.51.100.1:25 TLSv1.3",
            ),
            (
                made(PROXY, TCP4, &[FOUR, &ssl(0)].concat()),
                "192.0.2.1:56324 198.51.100.1:25 -",
            ),
            (made(PROXY, UNSPECIFIED, b""), "own"),
            (made(PROXY, UNSPECIFIED, &[1, 2, 3]), "own"),
            (made(PROXY, UNIX, &[0; UNIX_BYTES]), "own"),
            (made(LOCAL, UNSPECIFIED, b""), "own"),
            // Whatever LOCAL brings is of no meaning.
            (made(LOCAL, TCP4, FOUR), "own"),
            (made(LOCAL, 0xff, &[1, 2, 3]), "own"),
        ] {
            let (header, length) = parse(&bytes).unwrap().unwrap();
            assert_eq!((told(&header).as_str(), length), (expected, bytes.len()));
        }
    }

    #[test]
    fn headers_of_version_2_that_contradict_themselves_are_none() {
        use HeaderError::{Absent, Command, Family, Short};
        let cut = [FOUR, &[4, 0, 9, b'x']].concat();
        let within_ssl = [FOUR, &[SSL, 0, 7, 1, 0, 0, 0, 0, SSL_VERSION, 0]].concat();
        for (bytes, error) in [
            (made(0x11, TCP4, FOUR), Command),
            (made(0x22, TCP4, FOUR), Command),
            (made(0x31, TCP4, FOUR), Command),
            (made(PROXY, 0x12, FOUR), Family),
            (made(PROXY, 0x22, &six()), Family),
            (made(PROXY, 0x41, FOUR), Family),
            (made(PROXY, TCP4, &FOUR[..11]), Short),
            (made(PROXY, TCP6, &six()[..35]), Short),
            (made(PROXY, UNIX, &[0; UNIX_BYTES - 1]), Short),
            (made(PROXY, TCP4, &cut), Short),
            (made(PROXY, TCP4, &within_ssl), Short),
            (b"\r\n\r\n\0\r\nQUIT\r\n\0\0\0".to_vec(), Absent),
        ] {
            assert_eq!(parse(&bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn lim_36_the_length_of_a_header_is_bounded_before_it_comes() {
        let most = HEADER_BYTES_MAX - FRONT_BYTES;
        assert!(parse(&made(LOCAL, 0, &vec![0; most])).unwrap().is_some());
        let more = made(LOCAL, 0, &vec![0; most + 1]);
        assert_eq!(parse(&more[..FRONT_BYTES]), Err(HeaderError::TooLong));
        let huge = [SIGNATURE, &[PROXY, TCP4, 0xff, 0xff]].concat();
        assert_eq!(parse(&huge), Err(HeaderError::TooLong));
    }

    fn headers() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<(u32, u32, u16, u16)>().prop_map(|(remote, local, from, to)| {
                let (remote, local) = (Ipv4Addr::from(remote), Ipv4Addr::from(local));
                format!("PROXY TCP4 {remote} {local} {from} {to}\r\n").into_bytes()
            }),
            any::<(u128, u128, u16, u16)>().prop_map(|(remote, local, from, to)| {
                let (remote, local) = (Ipv6Addr::from(remote), Ipv6Addr::from(local));
                format!("PROXY TCP6 {remote} {local} {from} {to}\r\n").into_bytes()
            }),
            (
                any::<u8>(),
                any::<u8>(),
                proptest::collection::vec(any::<u8>(), 0..300)
            )
                .prop_map(|(command, family, block)| made(command, family, &block)),
            (
                Just(PROXY),
                Just(TCP4),
                proptest::collection::vec(any::<u8>(), 12..80)
            )
                .prop_map(|(command, family, block)| made(command, family, &block)),
            "PROXY [ -~]{0,120}\r?\n".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..40),
        ]
    }

    proptest! {
        /// Every beginning of a header is no header yet, or fails as the whole does.
        #[test]
        fn splitting_input_changes_nothing(bytes in headers(), behind in any::<[u8; 4]>()) {
            let bytes = [&bytes[..], &behind].concat();
            let whole = parse(&bytes);
            for cut in 0..bytes.len() {
                match parse(&bytes[..cut]) {
                    Ok(None) => {}
                    decided => prop_assert_eq!(&decided, &whole, "cut at {}", cut),
                }
            }
        }

        #[test]
        fn what_is_told_is_what_was_written(remote in any::<u32>(), port in any::<u16>()) {
            let ip = Ipv4Addr::from(remote);
            let line = format!("PROXY TCP4 {ip} 192.0.2.1 {port} 25\r\n");
            let binary = [&ip.octets()[..], &[192, 0, 2, 1], &port.to_be_bytes(), &[0, 25]];
            let binary = made(PROXY, TCP4, &binary.concat());
            let told = |bytes: &[u8]| parse(bytes).unwrap().unwrap().0;
            let expected = client((ip.into(), port), (Ipv4Addr::new(192, 0, 2, 1).into(), 25));
            prop_assert_eq!(&told(line.as_bytes()), &expected);
            prop_assert_eq!(&told(&binary), &expected);
        }
    }
}
