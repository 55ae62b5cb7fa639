//! A network of IP addresses: `192.0.2.0/24`, or one address alone.
//!
//! An IPv4 address that was mapped into IPv6 is the IPv4 address.

use std::{fmt, net::IpAddr, str::FromStr};

/// All addresses with the same beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that names no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It is of another form.
    #[error("this is no IP address or network")]
    Malformed,
    /// `192.0.2.1/24`: the address and its length contradict each other.
    #[error("the address has bits beyond the length of its network")]
    BitsBeyond,
}

impl Network {
    /// Whether it has this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (ours, theirs) = (self.address, address.to_canonical());
        ours.is_ipv4() == theirs.is_ipv4() && masked(theirs, self.prefix) == bits(ours)
    }

    /// Whether it has every address of its family.
    pub fn is_everybody(&self) -> bool {
        self.prefix == 0
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Malformed)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match length {
            None => longest,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(|_| NetworkError::Malformed)?
            }
            Some(_) => return Err(NetworkError::Malformed),
        };
        if prefix > longest {
            return Err(NetworkError::Malformed);
        }
        // `::ffff:192.0.2.0/120` is meant as IPv4, with a length that means something else.
        if length.is_some() && address.to_canonical() != address {
            return Err(NetworkError::Malformed);
        }
        let address = address.to_canonical();
        let prefix = if length.is_none() && address.is_ipv4() {
            32
        } else {
            prefix
        };
        if masked(address, prefix) != bits(address) {
            return Err(NetworkError::BitsBeyond);
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = if self.address.is_ipv4() { 32 } else { 128 };
        match self.prefix {
            prefix if prefix == longest => write!(f, "{}", self.address),
            prefix => write!(f, "{}/{prefix}", self.address),
        }
    }
}

/// The address's bits, the first one uppermost.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn masked(address: IpAddr, prefix: u8) -> u128 {
    let mask = u128::MAX
        .checked_shl(128_u32.saturating_sub(prefix.into()))
        .unwrap_or(0);
    bits(address) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        for (network, address, has) in [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.0/24", "::ffff:192.0.2.7", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("::ffff:192.0.2.7", "192.0.2.7", true),
            ("0.0.0.0/0", "198.51.100.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "192.0.2.1", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("::1", "::1", true),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(
                parsed.contains(address.parse().unwrap()),
                has,
                "{network} {address}"
            );
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_nonsense_is_none() {
        for text in [
            "192.0.2.0/24",
            "192.0.2.1",
            "::/0",
            "2001:db8::/32",
            "10.0.0.0/8",
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        for (text, error) in [
            ("192.0.2.1/24", NetworkError::BitsBeyond),
            ("2001:db8::1/32", NetworkError::BitsBeyond),
            ("192.0.2.0/33", NetworkError::Malformed),
            ("192.0.2.0/+8", NetworkError::Malformed),
            ("192.0.2.0/", NetworkError::Malformed),
            ("192.0.2.0/999", NetworkError::Malformed),
            ("::ffff:192.0.2.0/120", NetworkError::Malformed),
            ("localhost", NetworkError::Malformed),
            ("", NetworkError::Malformed),
        ] {
            assert_eq!(text.parse::<Network>(), Err(error), "{text}");
        }
    }
}
