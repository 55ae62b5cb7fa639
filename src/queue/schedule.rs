//! When to try again, when to tell the sender of a delay, when to give up.
//!
//! Pure: history, time and randomness in, a decision out. RFC 5321 4.5.4.1; Q-02. Every time it
//! answers lies at most [`Schedule::longest`] after now, so a clock that jumps can neither freeze
//! an item nor, on its own, expire it (DUR-07): giving up needs age and attempts.

use std::time::Duration;

use crate::base::clock::Timestamp;

/// The retry schedule. The default tries after 5, 10, 20 and 30 minutes, then every half hour until
/// the message is six hours old, then ever more rarely up to four hours, for five days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Waits after the first attempts, in order. The last one repeats until a twelfth of the
    /// message's age is more.
    pub first: Vec<Duration>,
    /// The longest wait.
    pub longest: Duration,
    /// Failures are final from this age on.
    pub give_up_after: Duration,
    /// Age at which an authenticated sender is told of the delay; `None` for never.
    pub delay_notice_after: Option<Duration>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            first: [5, 10, 20, 30].map(|m| MINUTE * m).to_vec(),
            longest: MINUTE * 240,
            give_up_after: MINUTE * 60 * 24 * 5,
            delay_notice_after: Some(MINUTE * 240),
        }
    }
}

/// What the schedule must know of a recipient.
#[derive(Clone, Copy, Debug)]
pub struct History {
    /// When the message was accepted.
    pub received: Timestamp,
    /// Attempts made, with the one that just failed.
    pub attempts: u32,
}

/// What to do after a temporary failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again then.
    RetryAt(Timestamp),
    /// Report the failure to the sender.
    GiveUp,
}

impl Schedule {
    /// The decision after a temporary failure at `now`. `random` spreads the retries of messages
    /// that failed together: it shortens the wait by up to a tenth.
    pub fn after(&self, history: History, now: Timestamp, random: u64) -> Next {
        if self.is_over(history, now, 1) {
            return Next::GiveUp;
        }
        Next::RetryAt(self.again_at(history, now, random))
    }

    /// The decision after a server asked whoever is new to come back: its patience is minutes, and
    /// ours should not outgrow it. One that asks again and again is asked as rarely as any other.
    pub fn after_greylisting(&self, history: History, now: Timestamp, random: u64) -> Next {
        let attempts = match history.attempts {
            ..=SOON_ATTEMPTS => history.attempts.min(1),
            attempts => attempts,
        };
        match self.after(history, now, random) {
            Next::GiveUp => Next::GiveUp,
            Next::RetryAt(_) => Next::RetryAt(self.again_at(
                History {
                    attempts,
                    ..history
                },
                now,
                random,
            )),
        }
    }

    /// The decision when the report of a failure has no place. It has the time of the message, and
    /// as much again; the attempts are those of the report.
    pub fn after_report(&self, history: History, now: Timestamp, random: u64) -> Next {
        if self.is_over(history, now, 2) {
            return Next::GiveUp;
        }
        Next::RetryAt(self.again_at(history, now, random))
    }

    /// Whether this many times of the patience for a message are over, by age and by attempts.
    fn is_over(&self, history: History, now: Timestamp, times: u32) -> bool {
        now.since(history.received) >= self.give_up_after.saturating_mul(times)
            && history.attempts >= self.attempts_min().saturating_mul(times)
    }

    /// When to try again.
    fn again_at(&self, history: History, now: Timestamp, random: u64) -> Timestamp {
        let wait = self.wait(history.attempts, now.since(history.received));
        let tenth = u64::try_from(wait.as_millis() / 10).unwrap_or(u64::MAX);
        let shorter = Duration::from_millis(random % tenth.max(1));
        now.plus(wait.saturating_sub(shorter))
    }

    /// Whether the sender of a message received then is to be told of its delay now.
    pub fn delay_is_due(&self, received: Timestamp, now: Timestamp) -> bool {
        self.delay_notice_after
            .is_some_and(|after| now.since(received) >= after)
    }

    /// When a message received then is given up, if its attempts go on failing.
    pub fn gives_up_at(&self, received: Timestamp) -> Timestamp {
        received.plus(self.give_up_after)
    }

    /// The wait after attempt number `attempts` of a message of this age, before the spread.
    fn wait(&self, attempts: u32, age: Duration) -> Duration {
        let early = usize::try_from(attempts.saturating_sub(1))
            .ok()
            .and_then(|index| self.first.get(index).copied());
        let wait = match early {
            Some(wait) => wait,
            None => (age / 12).max(self.first.last().copied().unwrap_or(self.longest)),
        };
        wait.clamp(WAIT_MIN, self.longest.max(WAIT_MIN))
    }

    /// DUR-07: a clock that jumps ahead makes every message old at once. No message is given up
    /// before half of the attempts that its time would have held, or eight.
    fn attempts_min(&self) -> u32 {
        let (mut age, mut attempts) = (Duration::ZERO, 1);
        while attempts < 16 {
            age += self.wait(attempts, age);
            if age >= self.give_up_after {
                break;
            }
            attempts += 1;
        }
        attempts / 2
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// Attempts after which one that was greylisted is made again soon.
const SOON_ATTEMPTS: u32 = 4;
/// No schedule makes the relay spin.
const WAIT_MIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Minutes between attempts of a message that never gets through.
    fn waits(schedule: &Schedule) -> Vec<u64> {
        let received = Timestamp(1_000_000);
        let (mut now, mut waits) = (received, Vec::new());
        for attempts in 1.. {
            match schedule.after(History { received, attempts }, now, 0) {
                Next::RetryAt(at) => {
                    waits.push(at.since(now).as_secs() / 60);
                    now = at;
                }
                Next::GiveUp => return waits,
            }
        }
        unreachable!()
    }

    #[test]
    fn q_02_the_default_schedule() {
        let waits = waits(&Schedule::default());
        assert_eq!(waits[..4], [5, 10, 20, 30]);
        // 65 minutes have gone by; ten waits of half an hour lead past six hours.
        assert_eq!(waits[4..14], [30; 10]);
        assert!(waits[15] > 30 && waits.is_sorted());
        assert_eq!(*waits.last().unwrap(), 240);
        let total: u64 = waits.iter().sum();
        assert!((5 * 24 * 60..5 * 24 * 60 + 240).contains(&total));
    }

    #[test]
    fn q_03_greylisting_is_answered_soon_and_not_for_ever() {
        let schedule = Schedule::default();
        let minutes = |attempts| {
            let (received, now) = (Timestamp(0), Timestamp(3_600_000));
            match schedule.after_greylisting(History { received, attempts }, now, 0) {
                Next::RetryAt(at) => at.since(now).as_secs() / 60,
                Next::GiveUp => 0,
            }
        };
        assert_eq!([1, 2, 3, 4, 5, 6].map(minutes), [5, 5, 5, 5, 30, 30]);
        let old = History {
            received: Timestamp(0),
            attempts: 1000,
        };
        let now = Timestamp(5 * 86_400_000);
        assert_eq!(schedule.after_greylisting(old, now, 0), Next::GiveUp);
    }

    #[test]
    fn q_02_a_delay_is_told_after_four_hours() {
        let schedule = Schedule::default();
        let received = Timestamp(0);
        assert!(!schedule.delay_is_due(received, Timestamp(4 * 3_600_000 - 1)));
        assert!(schedule.delay_is_due(received, Timestamp(4 * 3_600_000)));
        let never = Schedule {
            delay_notice_after: None,
            ..schedule
        };
        assert!(!never.delay_is_due(received, Timestamp(u64::MAX)));
    }

    #[test]
    fn dur_07_a_clock_that_jumps_ahead_expires_nothing_at_once() {
        let schedule = Schedule::default();
        let history = |attempts| History {
            received: Timestamp(0),
            attempts,
        };
        let years = Timestamp(1 << 40);
        assert!(matches!(
            schedule.after(history(1), years, 0),
            Next::RetryAt(_)
        ));
        assert_eq!(schedule.after(history(8), years, 0), Next::GiveUp);
    }

    #[test]
    fn q_02_a_report_has_twice_the_time_of_its_message_and_attempts_of_its_own() {
        let schedule = Schedule::default();
        let received = Timestamp(0);
        let after = |days: u64, attempts| {
            let now = received.plus(MINUTE * 60 * 24 * u32::try_from(days).unwrap());
            schedule.after_report(History { received, attempts }, now, 0)
        };
        assert!(matches!(after(9, 1000), Next::RetryAt(_)));
        assert_eq!(after(10, 16), Next::GiveUp);
        // DUR-07: nor is it ended at once by a clock that jumps, or after a long hold.
        assert!(matches!(after(1000, 15), Next::RetryAt(_)));
    }

    #[test]
    fn a_short_schedule_gives_up_on_time() {
        let schedule = Schedule {
            give_up_after: MINUTE * 30,
            ..Schedule::default()
        };
        assert_eq!(waits(&schedule), [5, 10, 20]);
    }

    proptest! {
        #[test]
        fn dur_07_the_next_time_is_never_far(
            (received, now) in (any::<u64>(), 0..u64::MAX / 2),
            (attempts, random) in any::<(u32, u64)>(),
        ) {
            let schedule = Schedule::default();
            let history = History { received: Timestamp(received), attempts };
            if let Next::RetryAt(at) = schedule.after(history, Timestamp(now), random) {
                let wait = at.since(Timestamp(now));
                prop_assert!(wait > Duration::ZERO && wait <= schedule.longest);
            }
        }
    }
}
