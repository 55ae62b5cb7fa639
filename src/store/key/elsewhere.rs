//! Keys of what is known of other domains: names as lower-case A-labels.

use super::{Fields, Key, space};

/// `STS_POLICY domain`: the MTA-STS policy of another domain.
pub fn sts_policy(domain: &str) -> Key {
    Fields::of(space::STS_POLICY).bytes(domain.as_bytes()).key()
}

/// All MTA-STS policies.
pub fn sts_policies() -> Key {
    Fields::of(space::STS_POLICY).key()
}
