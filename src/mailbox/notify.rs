//! Notify

/// Watches one account.
#[derive(Debug)]
pub struct Watch {}

impl Watch {
    /// Returns when the account changed since the last time (or since the watch was made).
    pub async fn changed(&mut self) {
        unimplemented!()
    }
}
