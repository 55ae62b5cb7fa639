//! What was asked for a message while its story was told: the answers of name servers, as events
//! of the same story.
//!
//! Who works for a message says so once ([`of`]); who asks says what came of it ([`answered`]) and
//! need not know for whom. A story has so many of these at most. They are below the log's usual
//! level: the files of stories keep them.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::base::{ids::MessageId, text::Quoted};

tokio::task_local! {
    static STORY: Told;
}

/// The story that the task is part of, and how many answers it still has room for.
struct Told {
    id: MessageId,
    left: AtomicU32,
}

/// Does `work` for this message.
pub async fn of<T>(id: MessageId, work: impl Future<Output = T>) -> T {
    let left = AtomicU32::new(ANSWERS_MAX);
    STORY.scope(Told { id, left }, Box::pin(work)).await
}

/// A question about `name` was answered, for so many seconds; without a number it was known before.
/// Told, if it was asked for a message.
pub fn answered(name: &str, kind: &str, outcome: &str, ttl_secs: Option<u32>) {
    let _ = STORY.try_with(|story| {
        let less = |left: u32| left.checked_sub(1);
        let order = Ordering::Relaxed;
        if story.left.fetch_update(order, order, less).is_ok() {
            tracing::debug!(
                target: "mail",
                id = %story.id,
                name = %Quoted::str(name),
                kind,
                outcome = %Quoted::str(outcome),
                ttl_secs,
                known = ttl_secs.is_none().then_some(true),
                "asked"
            );
        }
    });
}

/// Answers that one piece of work for a message tells of: more than SPF, DKIM and DMARC ask for
/// together.
const ANSWERS_MAX: u32 = 60;
