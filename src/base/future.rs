//! The one boxed future type used by traits that must stay dyn-compatible, and waiting for several
//! of them at once. No tasks: dropping the wait drops everything that is waited for.

use std::{
    future::{Future, poll_fn},
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
}
