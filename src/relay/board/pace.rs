//! How fast we go to one destination: how many attempts at the same time, how many recipients in a
//! time, and not at all for a while after it said that we are too much.
//!
//! Pure. The window begins at five, grows while attempts succeed and shrinks when the destination
//! refuses. A refusal that asks for less (421, a rate limit; Q-03) also makes us rest: from
//! 30 seconds on, twice as long each time, up to a quarter of an hour, until something is taken
//! again. Several temporary refusals in a row shrink the window, too. A rate that the operator set
//! is kept exactly: in no span of its length more recipients are begun, but for the rest of one
//! message.

use std::time::Duration;

use tokio::time::Instant;

/// What an operator allows for a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Attempts at the same time, at most.
    pub connections: usize,
    /// Recipients in a time.
    pub rate: Option<Rate>,
}

/// So many in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; zero counts as one.
    pub count: u32,
    /// In what time.
    pub per: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: WINDOW_MAX,
            rate: None,
        }
    }
}

/// The pace of one destination.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    limits: Limits,
    window: usize,
    /// Deliveries since the window last changed.
    successes: usize,
    /// Temporary refusals since something was taken.
    deferrals: usize,
    /// Nothing new before.
    rests_until: Option<Instant>,
    /// How long the next rest will be.
    next_rest: Duration,
    /// When the rate lets the next recipient go.
    even_at: Option<Instant>,
    /// Nothing that needs a new connection before.
    busy_until: Option<Instant>,
    /// When it last talked to us.
    talked_at: Option<Instant>,
}

impl Pace {
    /// Of a destination that is new to us.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            window: WINDOW_FIRST,
            successes: 0,
            deferrals: 0,
            rests_until: None,
            next_rest: REST_FIRST,
            even_at: None,
            busy_until: None,
            talked_at: None,
        }
    }

    /// How many attempts may run.
    pub(super) fn window(&self) -> usize {
        self.window.min(self.limits.connections).max(1)
    }

    /// When something may begin; nothing when it may now.
    pub(super) fn waits_until(&self, now: Instant) -> Option<Instant> {
        let until = self.rests_until.max(self.even_at);
        until.filter(|until| *until > now)
    }

    /// The same for who has no connection yet.
    pub(super) fn starts_at(&self, now: Instant) -> Option<Instant> {
        let busy = self.busy_until.filter(|until| *until > now);
        self.waits_until(now).max(busy)
    }

    /// Its host has as many connections of ours as it may, for other mail.
    pub(super) fn busy(&mut self, now: Instant) {
        self.busy_until = Some(now + BUSY_FOR);
    }

    /// So many recipients begin.
    pub(super) fn begin(&mut self, recipients: usize, now: Instant) {
        if let Some(rate) = self.limits.rate {
            let recipients = u32::try_from(recipients).unwrap_or(u32::MAX);
            let time = rate.each().saturating_mul(recipients);
            let from = self.even_at.map_or(now, |at| at.max(now));
            self.even_at = from.checked_add(time.min(EVEN_MAX)).or(self.even_at);
        }
    }

    /// The destination took a message: it is content with us.
    pub(super) fn succeeded(&mut self) {
        self.successes += 1;
        self.deferrals = 0;
        self.next_rest = REST_FIRST;
        if self.successes >= self.window && self.window < self.limits.connections {
            self.window += 1;
            self.successes = 0;
        }
    }

    /// It cannot be reached, or wants fewer of us.
    pub(super) fn shrink(&mut self) {
        // What lies above the operator's limit is nothing to shrink from.
        self.window = (self.window() / 2).max(1);
        self.successes = 0;
        self.deferrals = 0;
    }

    /// It wants less of us: fewer, and none for a while. Several attempts that hear it at the same
    /// time hear it once. Answers how long the rest is, if one begins.
    pub(super) fn rest(&mut self, now: Instant) -> Option<Duration> {
        if self.rests_until.is_some_and(|until| until > now) {
            return None;
        }
        self.shrink();
        let rest = self.next_rest;
        self.rests_until = Some(now + rest);
        self.next_rest = (rest * 2).min(REST_MAX);
        Some(rest)
    }

    /// It put a message off for a reason that may be us.
    pub(super) fn deferred(&mut self) {
        self.deferrals += 1;
        if self.deferrals >= DEFERRALS_MAX {
            self.shrink();
        }
    }

    /// It talks to us.
    pub(super) fn talked(&mut self, now: Instant) {
        self.talked_at = Some(now);
    }

    /// Whether it talked to us lately.
    pub(super) fn is_known(&self, now: Instant) -> bool {
        self.talked_at
            .is_some_and(|at| now.saturating_duration_since(at) < KEPT_FOR)
    }

    /// Until when this is to be remembered when nothing is going on.
    pub(super) fn kept_until(&self, now: Instant) -> Option<Instant> {
        let even = self.even_at.max(self.busy_until).filter(|at| *at > now);
        let is_small = self.window < WINDOW_FIRST || self.next_rest > REST_FIRST;
        let kept = (is_small || self.is_known(now)).then(|| now + KEPT_FOR);
        even.max(kept)
    }

    /// Whether forgetting it would be impolite.
    pub(super) fn is_restrained(&self) -> bool {
        self.window < WINDOW_FIRST || self.next_rest > REST_FIRST || self.even_at.is_some()
    }
}

impl Rate {
    /// From one to the next.
    fn each(self) -> Duration {
        self.per / self.count.max(1)
    }
}

/// attempts at the same time for a destination that is new to us.
pub(super) const WINDOW_FIRST: usize = 5;
/// and at most, unless the operator wants otherwise.
const WINDOW_MAX: usize = 20;
/// the first rest of a destination that wants less of us, and the longest.
pub(super) const REST_FIRST: Duration = Duration::from_secs(30);
pub(super) const REST_MAX: Duration = Duration::from_secs(15 * 60);
/// so many temporary refusals in a row count as one that asks for less.
pub(super) const DEFERRALS_MAX: usize = 3;
/// how long a destination that wanted less of us gets less: beyond the first waits of the
/// schedule.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(30 * 60);
/// How long nothing is begun for a destination whose host other mail has for itself.
const BUSY_FOR: Duration = Duration::from_secs(3);
/// One message holds up those behind it for so long at most, however slow the rate.
const EVEN_MAX: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(connections: usize, rate: Option<(u32, u64)>) -> Pace {
        let rate = rate.map(|(count, secs)| Rate {
            count,
            per: Duration::from_secs(secs),
        });
        Pace::new(Limits { connections, rate })
    }

    #[tokio::test(start_paused = true)]
    async fn q_03_rests_grow_and_are_forgotten_after_success() {
        let mut pace = pace(20, None);
        let mut now = Instant::now();
        let mut rests = Vec::new();
        for _ in 0..7 {
            rests.extend(pace.rest(now).map(|rest| rest.as_secs()));
            assert_eq!(pace.rest(now), None, "it is heard once");
            let until = pace.waits_until(now).unwrap();
            assert_eq!(pace.waits_until(until), None);
            now = until;
        }
        assert_eq!(rests, [30, 60, 120, 240, 480, 900, 900]);
        assert_eq!(pace.window(), 1);
        assert!(pace.is_restrained() && pace.kept_until(now).is_some());
        pace.succeeded();
        assert_eq!(pace.rest(now), Some(REST_FIRST));
    }

    #[test]
    fn q_03_deferrals_in_a_row_shrink_the_window() {
        let mut pace = pace(20, None);
        for _ in 1..DEFERRALS_MAX {
            pace.deferred();
        }
        assert_eq!(pace.window(), WINDOW_FIRST);
        pace.succeeded();
        for _ in 1..DEFERRALS_MAX {
            pace.deferred();
        }
        assert_eq!(pace.window(), WINDOW_FIRST, "they were not in a row");
        pace.deferred();
        assert_eq!(pace.window(), 2);
    }

    #[test]
    fn q_06_the_window_obeys_the_operator() {
        for (connections, first, most) in [(20, 5, 20), (2, 2, 2), (0, 1, 1), (100, 5, 100)] {
            let mut pace = pace(connections, None);
            assert_eq!(pace.window(), first);
            for _ in 0..10_000 {
                pace.succeeded();
            }
            assert_eq!(pace.window(), most);
            pace.shrink();
            assert_eq!(pace.window(), (most / 2).max(1));
        }
    }

    /// When so many recipients begin, each as soon as it may, in milliseconds.
    fn begins(pace: &mut Pace, groups: &[usize]) -> Vec<u128> {
        let start = Instant::now();
        let mut now = start;
        let mut begins = Vec::new();
        for group in groups {
            now = pace.waits_until(now).unwrap_or(now);
            pace.begin(*group, now);
            begins.push((now - start).as_millis());
        }
        begins
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_in_every_span_of_its_length() {
        for (count, secs) in [
            (1, 60),
            (2, 60),
            (4, 60),
            (5, 60),
            (10, 1),
            (100, 60),
            (999, 3600),
        ] {
            let mut pace = pace(20, Some((count, secs)));
            let begins = begins(&mut pace, &vec![1; 3 * count as usize]);
            for (at, first) in begins.iter().enumerate() {
                let span = first + u128::from(secs) * 1000;
                let within = begins.iter().skip(at).take_while(|other| **other < span);
                // Rounding to whole nanoseconds may let one in early.
                assert!(within.count() <= count as usize + 1, "{count} in {secs} s");
            }
            let last = begins.last().unwrap();
            assert!(*last <= 3 * u128::from(secs) * 1000, "{count} in {secs} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_to_many_goes_whole_and_holds_up_the_next() {
        let mut pace = pace(20, Some((100, 60)));
        let begins = begins(&mut pace, &[100, 1, 1]);
        assert_eq!(begins[0], 0);
        assert_eq!(begins[1], 60_000);
        assert!(pace.kept_until(Instant::now()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn no_rate_shuts_a_destination_for_good() {
        let mut pace = pace(20, Some((1, u64::MAX / 4)));
        let now = Instant::now();
        pace.begin(usize::MAX, now);
        assert!(pace.waits_until(now + EVEN_MAX).is_none());
    }
}
