//! Our own addresses for connections out: which one for whom.
//!
//! Pure. An operator who names one names it for a reason (a reputation, an SPF record), so a family
//! without one is not used where the other has one: mail that goes from anywhere is what the
//! setting is to prevent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// At most one address of each family; with neither, the system chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sources {
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
}

/// What cannot be a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Two of one family.
    #[error("{0} is the second of its family: one IPv4 and one IPv6 address at most")]
    Second(IpAddr),
    /// No address of a host.
    #[error("{0} is not an address that a connection can come from")]
    Unfit(IpAddr),
}

impl Sources {
    /// From a list.
    ///
    /// # Errors
    /// When an address is unfit, or there are too many.
    pub fn new(list: &[IpAddr]) -> Result<Self, SourceError> {
        let mut sources = Self::default();
        for ip in list {
            if ip.is_unspecified() || ip.is_multicast() || *ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
                return Err(SourceError::Unfit(*ip));
            }
            let taken = match ip.to_canonical() {
                IpAddr::V4(ip) => sources.v4.replace(ip).is_some(),
                IpAddr::V6(ip) => sources.v6.replace(ip).is_some(),
            };
            if taken {
                return Err(SourceError::Second(*ip));
            }
        }
        Ok(sources)
    }

    /// All of them.
    pub fn all(self) -> impl Iterator<Item = IpAddr> {
        let (v4, v6) = (self.v4.map(IpAddr::from), self.v6.map(IpAddr::from));
        v4.into_iter().chain(v6)
    }

    /// Whether `to` may be called.
    pub(super) fn reach(self, to: IpAddr) -> bool {
        self == Self::default() || self.of(to).is_some()
    }

    /// Where a connection to `to` comes from; nothing when the system chooses.
    pub(super) fn of(self, to: IpAddr) -> Option<IpAddr> {
        match to {
            IpAddr::V4(_) => self.v4.map(IpAddr::from),
            IpAddr::V6(_) => self.v6.map(IpAddr::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn sources(texts: &[&str]) -> Result<Sources, SourceError> {
        let list: Vec<_> = texts.iter().map(|text| ip(text)).collect();
        Sources::new(&list)
    }

    #[test]
    fn a_family_without_a_source_is_not_used_beside_one_that_has_one() {
        let (four, six) = (ip("198.51.100.1"), ip("2001:db8::1"));
        for (list, of_four, of_six) in [
            (&[][..], Some(None), Some(None)),
            (&["192.0.2.1"], Some(Some(ip("192.0.2.1"))), None),
            (&["::ffff:192.0.2.1"], Some(Some(ip("192.0.2.1"))), None),
            (&["2001:db8::9"], None, Some(Some(ip("2001:db8::9")))),
            (
                &["2001:db8::9", "192.0.2.1"],
                Some(Some(ip("192.0.2.1"))),
                Some(Some(ip("2001:db8::9"))),
            ),
        ] {
            let sources = sources(list).unwrap();
            for (to, expected) in [(four, of_four), (six, of_six)] {
                let from = sources.reach(to).then(|| sources.of(to));
                assert_eq!(from, expected, "{list:?} {to}");
            }
        }
    }

    #[test]
    fn what_no_connection_comes_from_is_no_source() {
        for (list, error) in [
            (&["0.0.0.0"][..], SourceError::Unfit(ip("0.0.0.0"))),
            (&["ff02::1"], SourceError::Unfit(ip("ff02::1"))),
            (
                &["255.255.255.255"],
                SourceError::Unfit(ip("255.255.255.255")),
            ),
            (
                &["192.0.2.1", "192.0.2.2"],
                SourceError::Second(ip("192.0.2.2")),
            ),
        ] {
            assert_eq!(sources(list), Err(error));
        }
    }
}
