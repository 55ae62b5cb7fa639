//! Asking again about a recipient that was taken: where each can be answered for itself (RFC 2033
//! 4.2), what changed since then is told to that one alone.

use super::{
    router::{Origin, Refusal, RouteFault, Router},
    target::Target,
};
use crate::mail::envelope::ReversePath;

impl Router {
    /// Whether a message of `from`, with this sender, may still go to a recipient that was taken
    /// before.
    pub async fn recipient_again(
        &self,
        from: &Origin,
        sender: &ReversePath,
        taken: Target,
    ) -> Result<Result<Target, Refusal>, RouteFault> {
        let Target { path, options, .. } = taken;
        let target = self.recipient(from, sender, &path).await?;
        Ok(target.map(|target| target.with(options)))
    }
}
