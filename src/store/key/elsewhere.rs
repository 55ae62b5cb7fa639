//! Keys of what is known of other domains, whose names are lower-case A-labels.

use super::{Fields, Key, space};

/// `STS_POLICY domain`: the MTA-STS policy of another domain.
pub fn sts_policy(domain: &str) -> Key {
    Fields::of(space::STS_POLICY).bytes(domain.as_bytes()).key()
}

/// All MTA-STS policies.
pub fn sts_policies() -> Key {
    Fields::of(space::STS_POLICY).key()
}

/// `TLS_TALLY day domain`: what came of TLS with another domain on a day, counted from 1970.
pub fn tls_tally(day: u32, domain: &str) -> Key {
    Fields::of(space::TLS_TALLY)
        .u32(day)
        .bytes(domain.as_bytes())
        .key()
}

/// All of those, earlier days first.
pub fn tls_tallies() -> Key {
    Fields::of(space::TLS_TALLY).key()
}

impl Key {
    /// The day and the domain of a tally's key.
    pub fn day_and_domain(&self) -> Option<(u32, String)> {
        let (day, domain) = self.as_bytes().get(1..)?.split_first_chunk()?;
        let domain = std::str::from_utf8(domain).ok()?;
        Some((u32::from_be_bytes(*day), domain.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_says_what_it_is_of() {
        let of = tls_tally(20_000, "d.example").day_and_domain();
        assert_eq!(of, Some((20_000, "d.example".to_owned())));
        assert!(tls_tally(1, "z.example") < tls_tally(256, "a.example"));
        assert_eq!(tls_tallies().day_and_domain(), None);
    }
}
