//! Wall time, the only door to it.
//!
//! Monotonic time is `tokio::time::Instant`, which tests steer by pausing the runtime; deciding
//! code takes it as an argument. Wall time comes from [`Clock`], which is anchored either on the
//! system or, in tests, on tokio's timer, so that advancing the paused timer moves both.

use std::time::{Duration, UNIX_EPOCH};

/// A point of wall time: milliseconds since 1970-01-01 UTC, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// From whole seconds since 1970-01-01 UTC; times before that become zero.
    pub fn from_secs(secs: i64) -> Self {
        Self(u64::try_from(secs).unwrap_or(0).saturating_mul(1000))
    }

    /// Whole seconds since 1970-01-01 UTC.
    pub fn secs(self) -> i64 {
        i64::try_from(self.0 / 1000).unwrap_or(i64::MAX)
    }

    /// This time plus `by`, stopping at the largest representable time.
    pub fn plus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// How long after `earlier` this is; zero when it is not after it (the clock was set back).
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Source of wall time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Steered {
        origin: Timestamp,
        start: tokio::time::Instant,
    },
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that starts at `origin` and moves only as tokio's timer does.
    pub fn steered(origin: Timestamp) -> Self {
        Self(Source::Steered {
            origin,
            start: tokio::time::Instant::now(),
        })
    }

    /// The wall time now.
    pub fn wall(&self) -> Timestamp {
        match &self.0 {
            Source::System => {
                #[expect(clippy::disallowed_methods, reason = "the one door to wall time")]
                let now = std::time::SystemTime::now();
                let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
            }
            Source::Steered { origin, start } => origin.plus(start.elapsed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn steered_clock_follows_the_paused_timer() {
        let clock = Clock::steered(Timestamp::from_secs(1_000));
        assert_eq!(clock.wall().secs(), 1_000);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.wall().secs(), 1_090);
    }

    #[test]
    fn time_before_the_epoch_and_backward_steps_do_not_panic() {
        assert_eq!(Timestamp::from_secs(-5), Timestamp(0));
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
        assert_eq!(Timestamp(u64::MAX).plus(Duration::MAX), Timestamp(u64::MAX));
    }
}
