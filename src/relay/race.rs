//! Calls to the addresses of a destination, begun one after the other until one is answered.
//!
//! After RFC 8305 5: the next address is called when the one before has not answered for two
//! seconds, but never more than two at once, and never a host of worse preference while a better
//! one may still answer (RFC 5321 5.1).

use std::{collections::VecDeque, future::poll_fn, task::Poll, time::Duration};

use tokio::time::sleep;

use super::hosts::Target;
use crate::base::future::BoxFuture;

/// A call to some address.
type Running<'a, T, E> = (Target, BoxFuture<'a, Result<T, E>>);

/// The calls.
pub(super) struct Race<'a, T, E> {
    left: VecDeque<Target>,
    running: Vec<Running<'a, T, E>>,
    begin: Box<dyn Fn(Target) -> BoxFuture<'a, Result<T, E>> + Send + Sync + 'a>,
}

impl<'a, T, E> Race<'a, T, E> {
    /// Calls to `targets`, in this order, each of which `begin` begins.
    pub(super) fn new(
        targets: Vec<Target>,
        begin: impl Fn(Target) -> BoxFuture<'a, Result<T, E>> + Send + Sync + 'a,
    ) -> Self {
        Self {
            left: targets.into(),
            running: Vec::new(),
            begin: Box::new(begin),
        }
    }

    /// The next call that is answered, or failed; nothing when all were made. Who was slower than
    /// an answer is hung up on, and called again should this be asked again.
    pub(super) async fn next(&mut self) -> Option<(Target, Result<T, E>)> {
        if self.running.is_empty() {
            self.begin_next()?;
        }
        loop {
            tokio::select! {
                biased;
                (target, result) = first(&mut self.running) => {
                    if result.is_ok() {
                        for (slower, _) in self.running.drain(..).rev() {
                            self.left.push_front(slower);
                        }
                    }
                    return Some((target, result));
                }
                () = sleep(PATIENCE), if self.may_begin() => {
                    self.begin_next();
                }
            }
        }
    }

    /// Calls no host of worse preference than this one any more.
    pub(super) fn stay_at(&mut self, preference: u16) {
        self.left.retain(|target| target.preference <= preference);
    }

    fn begin_next(&mut self) -> Option<()> {
        let target = self.left.pop_front()?;
        let call = (self.begin)(target.clone());
        self.running.push((target, call));
        Some(())
    }

    fn may_begin(&self) -> bool {
        let (next, running) = (self.left.front(), self.running.first());
        let equal = next
            .zip(running)
            .is_some_and(|(next, (running, _))| next.preference == running.preference);
        equal && self.running.len() < AT_ONCE_MAX
    }
}

/// The first of these to be over; it is taken out.
async fn first<T, E>(running: &mut Vec<Running<'_, T, E>>) -> (Target, Result<T, E>) {
    let (at, result) = poll_fn(|context| {
        for (at, (_, call)) in running.iter_mut().enumerate() {
            if let Poll::Ready(result) = call.as_mut().poll(context) {
                return Poll::Ready((at, result));
            }
        }
        Poll::Pending
    })
    .await;
    (running.remove(at).0, result)
}

/// How long an address has for itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Addresses that are called at the same time.
const AT_ONCE_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tokio::time::Instant;

    use super::*;

    /// Targets as (preference, seconds until an answer, whether it is one).
    async fn race(of: &[(u16, u64, bool)], wins: usize) -> (Vec<(usize, bool, u64)>, usize) {
        let targets = of.iter().enumerate().map(|(n, (preference, ..))| Target {
            host: n.to_string(),
            address: [192, 0, 2, 1].into(),
            port: 25,
            preference: *preference,
        });
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        struct Guard(Arc<AtomicUsize>);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let begun = Instant::now();
        let begin = |target: Target| -> BoxFuture<'_, Result<(), ()>> {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            Box::pin(async move {
                let running = now.fetch_add(1, Ordering::Relaxed) + 1;
                most.fetch_max(running, Ordering::Relaxed);
                let _guard = Guard(now);
                let (_, secs, good) = of[target.host.parse::<usize>().unwrap()];
                sleep(Duration::from_secs(secs)).await;
                good.then_some(()).ok_or(())
            })
        };
        let mut race = Race::new(targets.collect(), begin);
        let (mut over, mut won) = (Vec::new(), 0);
        while won < wins {
            let Some((target, result)) = race.next().await else {
                break;
            };
            won += usize::from(result.is_ok());
            let n = target.host.parse().unwrap();
            over.push((n, result.is_ok(), begun.elapsed().as_secs()));
        }
        drop(race);
        (over, most.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_is_overtaken_and_a_better_host_never() {
        for (of, expected, most) in [
            (&[(10, 1, true), (10, 0, true)][..], &[(0, true, 1)][..], 1),
            (&[(10, 30, false), (10, 1, true)], &[(1, true, 3)], 2),
            (
                &[(10, 0, false), (10, 0, true)],
                &[(0, false, 0), (1, true, 0)],
                1,
            ),
            (
                &[(10, 30, false), (20, 0, true)],
                &[(0, false, 30), (1, true, 30)],
                1,
            ),
            // Never three.
            (
                &[(10, 9, false), (10, 9, false), (10, 1, true)],
                &[(0, false, 9), (1, false, 11), (2, true, 12)],
                2,
            ),
        ] {
            assert_eq!(race(of, 1).await, (expected.to_vec(), most), "{of:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn worse_hosts_can_be_left_out() {
        let targets = [(10, "a"), (10, "b"), (20, "c")].map(|(preference, host)| Target {
            host: host.to_owned(),
            address: [192, 0, 2, 1].into(),
            port: 25,
            preference,
        });
        let fails = |_| -> BoxFuture<'_, Result<(), ()>> { Box::pin(async { Err(()) }) };
        let mut race = Race::new(targets.to_vec(), fails);
        let mut called = Vec::new();
        while let Some((target, _)) = race.next().await {
            race.stay_at(target.preference);
            called.push(target.host);
        }
        assert_eq!(called, ["a", "b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_overtaken_is_called_again_when_the_winner_does_not_do() {
        let of = [(10, 5, true), (10, 1, true)];
        let (over, _) = race(&of, 2).await;
        assert_eq!(over, [(1, true, 3), (0, true, 8)]);
        assert!(race(&[], 1).await.0.is_empty());
    }
}
