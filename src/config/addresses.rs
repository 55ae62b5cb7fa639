//! Addresses as people write them: of listeners with a port, of name servers without one too,
//! sockets in the file system, and networks of clients.
//!
//! Names are no addresses: what a listener binds must not depend on who answers a question. Errors
//! stand at the one entry of a list that is wrong.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::base::network::{Network, NetworkError};

/// For lists of listeners: every entry has a port.
pub(super) fn listeners<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SocketAddr>, D::Error> {
    let list = Vec::<Listener>::deserialize(from)?;
    Ok(list.into_iter().map(|entry| entry.0).collect())
}

/// For lists of name servers: an entry without a port has that of the DNS.
pub(super) fn name_servers<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<SocketAddr>, D::Error> {
    let list = Vec::<NameServer>::deserialize(from)?;
    Ok(list.into_iter().map(|entry| entry.0).collect())
}

/// Where a port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address with a port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(WrittenPlace)
    }
}

/// Reads one place.
struct WrittenPlace;

impl de::Visitor<'_> for WrittenPlace {
    type Value = Place;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ADDRESS:PORT or the path of a socket, for example \"/run/buzon/lmtp\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Place, E> {
        if text.starts_with('/') && !text.contains('\0') {
            return Ok(Place::Unix(text.into()));
        }
        let address = text.parse().map(Place::Tcp);
        address.map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

/// For lists of clients: every entry is an address or a network.
pub(super) fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Network>, D::Error> {
    let list = Vec::<Clients>::deserialize(from)?;
    Ok(list.into_iter().map(|entry| entry.0).collect())
}

/// Lists of networks as [`networks`] reads them.
pub(super) fn write_networks<S: Serializer>(list: &[Network], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(list.iter().map(ToString::to_string))
}

struct Listener(SocketAddr);

struct Clients(Network);

impl<'de> Deserialize<'de> for Clients {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(WrittenNetwork).map(Self)
    }
}

/// Reads one network.
struct WrittenNetwork;

impl de::Visitor<'_> for WrittenNetwork {
    type Value = Network;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an IP address or network, for example \"192.0.2.7\" or \"10.1.0.0/16\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Network, E> {
        let network: Result<Network, _> = text.parse();
        let wrong = |why| match why {
            NetworkError::Malformed => E::invalid_value(de::Unexpected::Str(text), &self),
            NetworkError::BitsBeyond => E::custom(format!("\"{text}\": {why}")),
        };
        let network = network.map_err(wrong)?;
        match network.is_everybody() {
            // Whoever is named here is believed; that is nobody's wish for the whole world.
            true => Err(E::custom(format!("\"{text}\" names everybody"))),
            false => Ok(network),
        }
    }
}

struct NameServer(SocketAddr);

impl<'de> Deserialize<'de> for Listener {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Written { port: None }).map(Self)
    }
}

impl<'de> Deserialize<'de> for NameServer {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let written = Written {
            port: Some(DNS_PORT),
        };
        from.deserialize_str(written).map(Self)
    }
}

/// Reads one address.
struct Written {
    /// The port of an address that has none; `None` when it must have one.
    port: Option<u16>,
}

impl de::Visitor<'_> for Written {
    type Value = SocketAddr;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.port {
            None => "ADDRESS:PORT, for example \"127.0.0.1:25\" or \"[::1]:25\"",
            Some(_) => "an IP address, for example \"192.0.2.53\" or \"[2001:db8::53]:5353\"",
        })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SocketAddr, E> {
        let alone = || Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, self.port?));
        let address = text.parse().ok().or_else(alone);
        address.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

const DNS_PORT: u16 = 53;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Lists {
        #[serde(default, deserialize_with = "listeners")]
        listen: Vec<SocketAddr>,
        #[serde(default, deserialize_with = "name_servers")]
        servers: Vec<SocketAddr>,
        #[serde(default, deserialize_with = "networks")]
        from: Vec<Network>,
    }

    #[test]
    fn clients_are_addresses_and_networks_but_never_everybody() {
        let lists: Lists = toml::from_str("from = [\"10.0.0.0/8\", \"::1\"]").unwrap();
        let shown: Vec<_> = lists.from.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.0/8", "::1"]);
        for (text, part) in [
            (
                "from = [\n\"lb.example\"]",
                "an IP address or network, for example",
            ),
            ("from = [\n\"10.0.0.1/8\"]", "beyond the length"),
            ("from = [\n\"0.0.0.0/0\"]", "names everybody"),
            ("from = [\n\"::/0\"]", "names everybody"),
            ("from = [\n7]", "an IP address or network"),
        ] {
            let error = toml::from_str::<Lists>(text).err().unwrap().to_string();
            assert!(error.contains("line 2") && error.contains(part), "{error}");
        }
    }

    #[test]
    fn listeners_have_a_port_and_name_servers_may_have_one() {
        let text = "listen = [\"[::]:25\", \"127.0.0.1:26\"]\n\
            servers = [\"127.0.0.1\", \"::1\", \"192.0.2.1:54\", \"[::1]:54\"]";
        let lists: Lists = toml::from_str(text).unwrap();
        let shown = |list: &[SocketAddr]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&lists.listen), ["[::]:25", "127.0.0.1:26"]);
        let servers = ["127.0.0.1:53", "[::1]:53", "192.0.2.1:54", "[::1]:54"];
        assert_eq!(shown(&lists.servers), servers);
        for (text, part) in [
            ("listen = [\n\"localhost:25\"]", "ADDRESS:PORT, for example"),
            ("listen = [\n\"127.0.0.1\"]", "ADDRESS:PORT, for example"),
            ("listen = [\n25]", "ADDRESS:PORT, for example"),
            ("servers = [\n\"localhost\"]", "an IP address, for example"),
            ("servers = [\n\"1.1.1.1:70000\"]", "an IP address"),
        ] {
            let error = toml::from_str::<Lists>(text).err().unwrap().to_string();
            assert!(error.contains("line 2") && error.contains(part), "{error}");
        }
    }
}
