//! The wish that everything ends, told to everyone at once.

use tokio::{sync::watch, time::Instant};

/// Asks for the end; kept by the composition root.
#[derive(Debug)]
pub struct Trigger(watch::Sender<Option<Instant>>);

/// Hears of it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Option<Instant>>);

/// A trigger and its first listener.
pub fn pair() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(None);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Asks everyone to end.
    pub fn pull(&self) {
        let first = |asked: &mut Option<Instant>| *asked = asked.or_else(|| Some(Instant::now()));
        self.0.send_modify(first);
    }
}

impl Shutdown {
    /// Resolves once the end is asked for (or nobody is left who could ask). Safe to drop while
    /// waiting.
    pub async fn requested(&mut self) {
        let _ = self.0.wait_for(Option::is_some).await;
    }

    /// Since when the end is asked for.
    pub fn since(&self) -> Option<Instant> {
        *self.0.borrow()
    }
}
