//! The one boxed future type used by traits that must stay dyn-compatible, waiting for several of
//! them at once, and surviving a panic. No tasks: dropping the wait drops everything that is waited
//! for.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::Poll,
};

/// A heap-allocated, sendable future, as returned by dyn-compatible async traits.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What all of `futures` bring, in their order. They run at the same time, on this task; the caller
/// bounds their number.
pub async fn all<T>(futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut waits: Vec<_> = futures.into_iter().map(Wait::Running).collect();
    poll_fn(|context| {
        let mut running = false;
        for wait in &mut waits {
            let Wait::Running(future) = wait else {
                continue;
            };
            match future.as_mut().poll(context) {
                Poll::Ready(value) => *wait = Wait::Done(value),
                Poll::Pending => running = true,
            }
        }
        if running {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    let values = waits.into_iter().filter_map(|wait| match wait {
        Wait::Done(value) => Some(value),
        Wait::Running(_) => None,
    });
    values.collect()
}

/// What `future` brings, or that it panicked: for work whose bug must not end the task that does
/// other work after it. What it shares with others must bear being left in the middle.
///
/// # Errors
/// When it panicked. The panic itself was told by the panic hook.
pub fn caught<T>(future: impl Future<Output = T>) -> impl Future<Output = Result<T, Panicked>> {
    // On the heap: whoever awaits this does not grow by it.
    let mut future = Box::pin(future);
    poll_fn(move |context| {
        let poll = AssertUnwindSafe(|| future.as_mut().poll(context));
        match catch_unwind(poll) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
}

/// A future panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

enum Wait<'a, T> {
    Running(BoxFuture<'a, T>),
    Done(T),
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_wait_together_and_answer_in_order() {
        let begun = Instant::now();
        let after = |secs| -> BoxFuture<'_, u64> {
            Box::pin(async move {
                sleep(Duration::from_secs(secs)).await;
                secs
            })
        };
        assert_eq!(all(vec![after(3), after(1), after(2)]).await, [3, 1, 2]);
        assert_eq!(begun.elapsed().as_secs(), 3);
        assert!(all::<u64>(Vec::new()).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_caught_whenever_it_comes() {
        for (secs, bad) in [(0, true), (3, true), (3, false)] {
            let work = caught(async move {
                sleep(Duration::from_secs(secs)).await;
                assert!(!bad, "on purpose");
                secs
            });
            assert_eq!(work.await, if bad { Err(Panicked) } else { Ok(secs) });
        }
    }
}
