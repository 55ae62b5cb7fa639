//! The table of commands: where each is admitted, what it does to message numbers, what it lets us announce.
//!
//! From these rows come admission and the CAPABILITY list; nothing else knows the stages of a command.

use std::fmt;

/// Where the dialogue stands (RFC 3501 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Not authenticated.
    Greeted {
        /// Whether the connection is, or can be, protected.
        tls: Tls,
        /// Whether a password may be sent without protection.
        insecure_login_allowed: bool,
    },
    /// Authenticated, no mailbox selected.
    Authenticated,
    /// A mailbox is selected.
    Selected {
        /// By EXAMINE: nothing in it may be changed.
        read_only: bool,
    },
    /// Between IDLE and DONE.
    Idling,
}

/// What TLS does for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// It protects it.
    Active,
    /// STARTTLS would begin it.
    Offered,
    /// There is none.
    Absent,
}

/// The stages that admit a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stages {
    /// All but idling.
    Any,
    /// Before login, and only where TLS is offered.
    BeforeTls,
    /// Before login, and only where a password may be sent.
    BeforeLogin,
    /// After login.
    AfterLogin,
    /// With a selected mailbox.
    Selected,
    /// With a selected mailbox that may be changed.
    Writable,
    /// Within IDLE.
    Idling,
}

/// What a command does with message sequence numbers, so when EXPUNGE may be told (RFC 3501 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Does not look at them: everything may be told when it is done.
    Untouched,
    /// Its arguments or answers are such numbers: none may change before it is done (FETCH, STORE, SEARCH).
    Used,
    /// Changes them itself, or ends them.
    Changed,
}

/// One command.
pub struct Verb {
    /// Its name in capitals; two words for the UID commands.
    pub name: &'static str,
    /// Where it is admitted.
    pub stages: Stages,
    /// What it does with message numbers.
    pub numbers: Numbers,
    /// What we may announce because of it.
    pub capability: Option<&'static str>,
}

impl fmt::Debug for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
