//! What is remembered of the addresses of hosts: which could not be reached lately, and which
//! family of addresses does not lead anywhere from here.
//!
//! Pure, and a hint alone: what failed is tried last among hosts of its preference, never left out.
//! Bounded; the oldest memory goes first.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use tokio::time::Instant;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Recall {
    v4: Family,
    v6: Family,
}

/// Of one family.
#[derive(Debug, Default)]
struct Family {
    /// Addresses, and until when their failure counts.
    failed: HashMap<SocketAddr, Instant>,
    /// Until when it counts that some address was reached.
    worked: Option<Instant>,
}

impl Recall {
    /// A connection came about.
    pub(super) fn worked(&mut self, to: SocketAddr, now: Instant) {
        let family = self.family_mut(to);
        family.failed.remove(&to);
        family.worked = Some(now + WORKED_FOR);
    }

    /// None did.
    pub(super) fn failed(&mut self, to: SocketAddr, now: Instant) {
        let family = self.family_mut(to);
        if family.failed.len() >= FAILED_MAX && !family.failed.contains_key(&to) {
            family.failed.retain(|_, until| *until > now);
            if family.failed.len() >= FAILED_MAX {
                let oldest = family.failed.iter().min_by_key(|(_, until)| **until);
                let oldest = oldest.map(|(to, _)| *to);
                oldest.and_then(|oldest| family.failed.remove(&oldest));
            }
        }
        family.failed.insert(to, now + FAILED_FOR);
    }

    /// Whether this address could not be reached lately.
    pub(super) fn has_failed(&self, to: SocketAddr, now: Instant) -> bool {
        self.family(to)
            .failed
            .get(&to)
            .is_some_and(|until| *until > now)
    }

    /// How much speaks against this address: nothing, its family, or itself.
    pub(super) fn doubt(&self, to: SocketAddr, now: Instant) -> u8 {
        match self.has_failed(to, now) {
            true => 2,
            false => u8::from(self.family(to).is_dead(now)),
        }
    }

    fn family(&self, of: SocketAddr) -> &Family {
        match of {
            SocketAddr::V4(_) => &self.v4,
            SocketAddr::V6(_) => &self.v6,
        }
    }

    fn family_mut(&mut self, of: SocketAddr) -> &mut Family {
        match of {
            SocketAddr::V4(_) => &mut self.v4,
            SocketAddr::V6(_) => &mut self.v6,
        }
    }
}

impl Family {
    /// Several addresses failed and none was reached: it is not they.
    fn is_dead(&self, now: Instant) -> bool {
        if self.failed.len() < DEAD_FROM || self.worked.is_some_and(|until| until > now) {
            return false;
        }
        let failed = self.failed.values().filter(|until| **until > now);
        failed.take(DEAD_FROM).count() == DEAD_FROM
    }
}

/// How long a failure counts: beyond the first waits of the schedule.
const FAILED_FOR: Duration = Duration::from_secs(15 * 60);
/// How long a family counts as working after a connection.
const WORKED_FOR: Duration = Duration::from_secs(30 * 60);
/// Failed addresses that make a family dead.
const DEAD_FROM: usize = 3;
/// Addresses of a family that are remembered.
const FAILED_MAX: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    fn four(n: u16) -> SocketAddr {
        let [high, low] = n.to_be_bytes();
        ([198, 51, high, low], 25).into()
    }

    fn six(n: u16) -> SocketAddr {
        (std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n), 25).into()
    }

    #[tokio::test]
    async fn what_failed_is_doubted_for_a_while() {
        let (mut recall, now) = (Recall::default(), Instant::now());
        recall.failed(four(1), now);
        assert_eq!(recall.doubt(four(1), now), 2);
        assert_eq!(recall.doubt(four(2), now), 0);
        assert_eq!(recall.doubt(four(1), now + FAILED_FOR), 0);
        recall.worked(four(1), now);
        assert_eq!(recall.doubt(four(1), now), 0);
    }

    #[tokio::test]
    async fn a_family_of_which_nothing_works_is_doubted_as_a_whole() {
        let (mut recall, now) = (Recall::default(), Instant::now());
        for n in 1..=3 {
            assert_eq!(recall.doubt(six(9), now), 0, "{n}");
            recall.failed(six(n), now);
        }
        assert_eq!(recall.doubt(six(9), now), 1);
        assert_eq!(recall.doubt(six(1), now), 2);
        assert_eq!(recall.doubt(four(9), now), 0);
        assert_eq!(recall.doubt(six(9), now + FAILED_FOR), 0);
        recall.worked(six(7), now);
        assert_eq!(recall.doubt(six(9), now), 0);
        assert_eq!(recall.doubt(six(1), now), 2);
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let (mut recall, now) = (Recall::default(), Instant::now());
        let later = |n: u16| now + Duration::from_millis(n.into());
        for n in 0..=2_048 {
            recall.failed(four(n), later(n));
        }
        assert_eq!(recall.v4.failed.len(), FAILED_MAX);
        assert_eq!(recall.doubt(four(0), now), 1, "the oldest is forgotten");
        assert_eq!(recall.doubt(four(1), now), 2);
        recall.failed(four(3_000), now + FAILED_FOR + Duration::from_secs(60));
        assert_eq!(recall.v4.failed.len(), 1);
    }
}
