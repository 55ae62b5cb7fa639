//! `buzon queue`: what waits to go to other servers.

mod act;
mod history;
mod list;
mod shown;
mod stats;
mod watch;

use std::time::Duration;

use super::{
    Failure,
    args::{Common, Filters as Given, Queue, Watched},
    manage::ask,
};
use crate::{
    admin::{Filters, QueueAction, QueueRequest, Request},
    config::units::Span,
};

pub(super) fn run(common: &Common, command: Queue) -> Result<(), Failure> {
    let (action, which) = match command {
        Queue::List {
            filters,
            limit,
            from,
        } => return list::list(common, &filters, limit, from),
        Queue::Show { id } => return list::show(common, id),
        Queue::Pause { what } => return stats::pause(common, what, true),
        Queue::Resume { what } => return stats::pause(common, what, false),
        Queue::Stats { limit } => return stats::stats(common, limit),
        Queue::Watch { watched } => return watch::watch(common, &watched),
        Queue::Retry(which) => (QueueAction::Retry, which),
        Queue::Hold(which) => (QueueAction::Hold, which),
        Queue::Release(which) => (QueueAction::Release, which),
        Queue::Bounce { which, yes } => {
            act::confirm(&which, yes, "bounces")?;
            (QueueAction::Bounce, which)
        }
        Queue::Drop { which, yes } => {
            act::confirm(&which, yes, "removes")?;
            (QueueAction::Drop, which)
        }
        Queue::Reroute { which, to } => (QueueAction::Reroute { to }, which),
    };
    act::act(common, &action, which)
}

/// Asks for something of the queue.
fn of_queue(common: &Common, request: QueueRequest) -> Result<serde_json::Value, Failure> {
    ask(common, Request::Queue { request })
}

fn filters(given: &Given) -> Result<Filters, Failure> {
    let span = |text: &String| text.parse::<Span>().map(|span| span.0);
    let older = given.older_than.as_ref().map(span).transpose()?;
    Ok(Filters {
        older_than_secs: older.as_ref().map(Duration::as_secs),
        state: given.state.clone(),
        ..watched(&given.watched)
    })
}

fn watched(given: &Watched) -> Filters {
    Filters {
        domain: given.domain.clone(),
        recipient: given.recipient.clone(),
        sender: given.sender.clone(),
        error: given.error.clone(),
        ..Filters::default()
    }
}
