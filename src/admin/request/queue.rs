//! What can be asked of waiting mail.

use serde::{Deserialize, Serialize};

/// One operation on waiting mail.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case")]
pub enum QueueRequest {
    /// A page of it.
    List {
        /// Only what matches.
        filters: Filters,
        /// The message to begin with; the oldest without.
        from: Option<String>,
        /// Messages at most.
        limit: usize,
    },
    /// One message.
    Show {
        /// Its id.
        id: String,
    },
    /// Do something to it, as far as that goes in the time of one request.
    Change {
        /// What.
        action: QueueAction,
        /// To which of it.
        selected: Selected,
    },
    /// Begin no attempts for a domain, or for none at all.
    Pause {
        /// The domain; everything without.
        domain: Option<String>,
    },
    /// End a pause, or all of them.
    Resume {
        /// The domain; everything without.
        domain: Option<String>,
    },
    /// How much waits for whom, and what went where since the start.
    Stats {
        /// Destinations at most.
        limit: usize,
    },
    /// What happened lately.
    Watch {
        /// The number of the first event; those to come, without.
        from: Option<u64>,
        /// Only what matches; a state or an age says nothing of an event.
        filters: Filters,
    },
}

/// Which recipients. What is not given matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filters {
    /// Of this domain.
    pub domain: Option<String>,
    /// With this address.
    pub recipient: Option<String>,
    /// Of messages from this sender; `<>` for reports.
    pub sender: Option<String>,
    /// Of messages that are older.
    pub older_than_secs: Option<u64>,
    /// In this state.
    pub state: Option<String>,
    /// With these words or codes in the last reply.
    pub error: Option<String>,
}

/// What something is done to: one message, all that match, or all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Selected {
    /// The id of a message.
    pub id: Option<String>,
    /// Which recipients.
    pub filters: Filters,
    /// All of them, if no filter is given.
    pub all: bool,
    /// Where an earlier request ended.
    pub from: Option<String>,
}

/// What can be done with waiting mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueAction {
    /// Try now.
    Retry,
    /// Stop trying.
    Hold,
    /// Try again after a hold.
    Release,
    /// Give up and report.
    Bounce,
    /// Remove silently.
    Drop,
    /// Send it another way.
    Reroute {
        /// `HOST[:PORT]`, `smarthost`, `mx`, or `default`.
        to: String,
    },
}

impl QueueRequest {
    /// Its name, for the log.
    pub(in crate::admin) fn name(&self) -> &'static str {
        match self {
            Self::List { .. } => "queue list",
            Self::Show { .. } => "queue show",
            Self::Pause { .. } => "queue pause",
            Self::Resume { .. } => "queue resume",
            Self::Stats { .. } => "queue stats",
            Self::Watch { .. } => "queue watch",
            Self::Change { action, .. } => match action {
                QueueAction::Retry => "queue retry",
                QueueAction::Hold => "queue hold",
                QueueAction::Release => "queue release",
                QueueAction::Bounce => "queue bounce",
                QueueAction::Drop => "queue drop",
                QueueAction::Reroute { .. } => "queue reroute",
            },
        }
    }
}
