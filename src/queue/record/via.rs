//! Where an operator sends a recipient's mail, instead of where it would go.
//!
//! Pure. Kept as its text in the recipient's record and in its row of the index of due times, so
//! that a scan sorts by it without reading anything else.

use std::{fmt, net::IpAddr, str::FromStr};

use crate::mail::address::Domain;

/// Where mail goes on an operator's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// To this host.
    Host(NamedHost),
    /// To the smarthost, whatever route the domain has.
    Smarthost,
    /// To the hosts that the DNS names, whatever route there is.
    Mx,
}

/// A host that an operator named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedHost {
    /// Its name or address.
    pub name: String,
    /// Its port, unless it is the one of the world's mail servers.
    pub port: Option<u16>,
}

/// The text names no place for mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not HOST, HOST:PORT, smarthost or mx")]
pub struct NotAPlace;

impl FromStr for Via {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        match text {
            "smarthost" => Ok(Self::Smarthost),
            "mx" => Ok(Self::Mx),
            text => text.parse().map(Self::Host),
        }
    }
}

impl FromStr for NamedHost {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        // A bare IPv6 address is full of colons.
        let whole = text.parse::<IpAddr>().is_ok();
        let bracketed = text.starts_with('[') && text.ends_with(']');
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !whole && !bracketed => {
                let port: u16 = port.parse().map_err(|_| NotAPlace)?;
                (
                    name,
                    Some(port).filter(|port| *port > 0).ok_or(NotAPlace)?.into(),
                )
            }
            _ => (text, None),
        };
        let inner = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        let name = inner.unwrap_or(name);
        let is_address = name.parse::<IpAddr>().is_ok();
        let is_name = || Domain::parse(name).is_ok_and(|name| name.literal().is_none());
        if !is_address && (inner.is_some() || !is_name()) {
            return Err(NotAPlace);
        }
        Ok(Self {
            name: name.to_ascii_lowercase(),
            port,
        })
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => host.fmt(f),
            Self::Smarthost => f.write_str("smarthost"),
            Self::Mx => f.write_str("mx"),
        }
    }
}

impl fmt::Display for NamedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.name.contains(':')) {
            (None, _) => f.write_str(&self.name),
            (Some(port), true) => write!(f, "[{}]:{port}", self.name),
            (Some(port), false) => write!(f, "{}:{port}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_for_mail_are_read_and_written() {
        for (text, written) in [
            ("smarthost", "smarthost"),
            ("mx", "mx"),
            ("MX.example.org", "mx.example.org"),
            ("mx:25", "mx:25"),
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:2525", "192.0.2.1:2525"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:26", "[2001:db8::1]:26"),
        ] {
            let via: Via = text.parse().unwrap();
            assert_eq!(via.to_string(), written);
            assert_eq!(written.parse(), Ok(via), "{written}");
        }
        for text in [
            "",
            ":25",
            "a:",
            "a:0",
            "a:70000",
            "[a]",
            "a b",
            "[::1",
            "a@b",
            "[192.0.2.1]x:1",
        ] {
            assert_eq!(text.parse::<Via>(), Err(NotAPlace), "{text}");
        }
    }
}
