//! The wish that everything ends, told to everyone at once.

use tokio::sync::watch;

/// Asks for the end; kept by the composition root.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Hears of it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A trigger and its first listener.
pub fn pair() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Asks everyone to end.
    pub fn pull(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Resolves once the end is asked for (or nobody is left who could ask). Safe to drop while
    /// waiting.
    pub async fn requested(&mut self) {
        let _ = self.0.wait_for(|asked| *asked).await;
    }

    /// Whether the end is asked for.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}
