//! Telling a client that a long command is under way (RFC 9585).
//!
//! A search counts the messages it has decided; who waits tells it every ten seconds. The work
//! ends with its connection.

use std::{
    pin::pin,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::timeout;

use crate::{
    imap::proto::{
        command::Tag,
        dialog::Imap,
        response::{Code, Response},
    },
    net::{Gone, Turn},
};

/// How far a command has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    done: AtomicU32,
    goal: AtomicU32,
}

impl Progress {
    /// So many more messages are to be looked at.
    pub(super) fn expect(&self, more: usize) {
        self.goal.fetch_add(number(more), Relaxed);
    }

    /// So many more were looked at.
    pub(super) fn advance(&self, more: usize) {
        self.done.fetch_add(number(more), Relaxed);
    }

    /// What is done and what there is to do, as far as that is known.
    fn state(&self) -> Option<(u32, u32)> {
        let goal = self.goal.load(Relaxed);
        // The goal is reached only when the command is.
        let last = goal.checked_sub(1)?;
        Some((self.done.load(Relaxed).min(last), goal))
    }

    /// Does `work` for the command with this tag, as long as the client is there.
    pub(super) async fn tell_during<T>(
        &self,
        work: impl Future<Output = T>,
        tag: &Tag,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<T, Gone> {
        let mut work = pin!(work);
        loop {
            let a_while = timeout(PROGRESS_EVERY, &mut work);
            if let Ok(done) = turn.unless_gone(a_while).await? {
                return Ok(done);
            }
            let code = Code::InProgress {
                tag: tag.clone(),
                state: self.state(),
            };
            turn.invite(&Response::note(code, "still working")).await?;
        }
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// RFC 9585 4: how often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
