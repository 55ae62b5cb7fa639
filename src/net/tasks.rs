//! Every task of the process: named, counted, waited for. Nothing is detached.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Notify, watch};

/// The register of running tasks. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tasks(Arc<Register>);

#[derive(Debug, Default)]
struct Register {
    running: Mutex<BTreeMap<&'static str, usize>>,
    ended: Notify,
    /// The first essential task that ended.
    lost: watch::Sender<Option<&'static str>>,
}

/// Tells of the end of an essential task, however it comes.
struct Essential {
    register: Arc<Register>,
    name: &'static str,
}

/// Counts one task for as long as it lives.
struct Entry {
    register: Arc<Register>,
    name: &'static str,
}

impl Tasks {
    /// Starts `task` under `name`. A panic in it ends that task alone and is logged as an error.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let entry = Entry::new(&self.0, name);
        #[expect(clippy::disallowed_methods, reason = "the one door to new tasks")]
        tokio::spawn(async move {
            let _entry = entry;
            task.await;
        });
    }

    /// Starts `task` under `name`, without which the server is none: its end is told by
    /// [`Tasks::essential_ended`].
    pub fn spawn_essential(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let essential = Essential {
            register: Arc::clone(&self.0),
            name,
        };
        self.spawn(name, async move {
            let _essential = essential;
            task.await;
        });
    }

    /// Waits until an essential task has ended, by itself or by a panic; its name. Before the
    /// shutdown none should. Safe to drop while waiting.
    pub async fn essential_ended(&self) -> &'static str {
        let mut lost = self.0.lost.subscribe();
        match lost.wait_for(Option::is_some).await.map(|name| *name) {
            Ok(Some(name)) => name,
            // The sender lives as long as we do.
            _ => std::future::pending().await,
        }
    }

    /// Waits until no task is left.
    pub async fn all_ended(&self) {
        loop {
            let ended = self.0.ended.notified();
            if self.running().is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// How many tasks of this name run.
    pub fn count(&self, name: &str) -> usize {
        let running = self.0.running.lock();
        let running = running.unwrap_or_else(PoisonError::into_inner);
        running.get(name).copied().unwrap_or(0)
    }

    /// Names and numbers of running tasks: what a hanging shutdown waits for.
    pub fn running(&self) -> BTreeMap<&'static str, usize> {
        self.0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Entry {
    fn new(register: &Arc<Register>, name: &'static str) -> Self {
        *register
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(name)
            .or_insert(0) += 1;
        Self {
            register: Arc::clone(register),
            name,
        }
    }
}

impl Drop for Essential {
    fn drop(&mut self) {
        let first = |lost: &mut Option<_>| *lost = lost.or(Some(self.name));
        self.register.lost.send_modify(first);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.name, "a task hit a bug and ended");
        }
        let mut running = self
            .register
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                running.remove(self.name);
            }
        }
        drop(running);
        self.register.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_register_empties_when_tasks_end_even_by_panic() {
        let tasks = Tasks::default();
        tasks.spawn("fine", async {});
        tasks.spawn("broken", async { panic!("on purpose") });
        tasks.all_ended().await;
        assert!(tasks.running().is_empty());
    }

    #[tokio::test]
    async fn the_end_of_an_essential_task_is_told_even_by_panic() {
        for broken in [true, false] {
            let tasks = Tasks::default();
            tasks.spawn("broken", async { panic!("on purpose") });
            tasks.spawn_essential("relay", async move {
                assert!(!broken, "on purpose");
            });
            tasks.spawn_essential("listener", std::future::pending());
            assert_eq!(tasks.essential_ended().await, "relay");
            assert_eq!(tasks.essential_ended().await, "relay", "whenever asked");
        }
    }
}
