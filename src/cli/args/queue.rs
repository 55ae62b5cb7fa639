//! `buzon queue`: what can be typed.

use clap::{Args as ClapArgs, Subcommand};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Queue {
    /// List waiting mail, oldest first
    ///
    /// Of each message, the recipients that match are listed. A list has so many messages; the last
    /// line says how to go on.
    List {
        #[command(flatten)]
        filters: Filters,
        /// Messages at most
        #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
        limit: usize,
        /// Begin with this message, as an earlier list said
        #[arg(long, value_name = "ID")]
        from: Option<String>,
    },
    /// Everything about one message
    Show {
        /// Its id
        id: String,
    },
    /// Try again now
    Retry(Which),
    /// Stop trying until released
    Hold(Which),
    /// Try again after a hold, or before the time that the sender gave
    Release(Which),
    /// Give up and report to the sender
    Bounce {
        #[command(flatten)]
        which: Which,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Remove without a report
    Drop {
        #[command(flatten)]
        which: Which,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Send it another way than the DNS and the routes say, beginning now
    Reroute {
        #[command(flatten)]
        which: Which,
        /// HOST or HOST:PORT; smarthost: the configured one; mx: whatever the DNS says, without
        /// routes and smarthost; default: as if nothing had been said
        #[arg(long, value_name = "WAY")]
        to: String,
    },
    /// Begin no attempts for a domain, or for none at all, until `resume`; mail is still taken, and
    /// attempts in hand end
    Pause {
        /// A recipients' domain, or "all"
        what: String,
    },
    /// End a pause; `all` ends every one
    Resume {
        /// A recipients' domain, or "all"
        what: String,
    },
    /// How much waits for whom, and what went where since the server started
    Stats {
        /// Destinations at most, those with most waiting first
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// Show what happens in the queue as it happens, until interrupted
    Watch {
        #[command(flatten)]
        watched: Watched,
    },
}

/// Which events are shown, and a part of what mail is chosen by.
#[derive(Clone, Debug, ClapArgs)]
pub(in crate::cli) struct Watched {
    /// Only recipients of this domain
    #[arg(long)]
    pub(in crate::cli) domain: Option<String>,
    /// Only this recipient
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) recipient: Option<String>,
    /// Only mail from this sender; "<>" for reports, which have none
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) sender: Option<String>,
    /// Only with these words or codes in the last reply, as greylist, 450 or 4.7.1
    #[arg(long, value_name = "WORDS")]
    pub(in crate::cli) error: Option<String>,
}

/// Which mail something is done to.
#[derive(Clone, Debug, ClapArgs)]
pub(in crate::cli) struct Which {
    /// A message's id, or "all"; with filters, all that matches
    pub(in crate::cli) id: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) filters: Filters,
}

/// Which recipients, of which messages.
#[derive(Clone, Debug, ClapArgs)]
pub(in crate::cli) struct Filters {
    #[command(flatten)]
    pub(in crate::cli) watched: Watched,
    /// Only mail that came longer ago, as 30m, 4h or 2d
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) older_than: Option<String>,
    /// Only what is waiting, scheduled, bouncing, attempting, held or damaged
    #[arg(long)]
    pub(in crate::cli) state: Option<String>,
}
