//! A recipient that was taken: as it was given, what it reaches, and what follows from both.
//!
//! Pure. RFC 3461 5.2.7 says what becomes of the wishes of its sender.

use crate::{
    accounts::Targets,
    mail::envelope::{ForwardPath, RcptOptions},
};

/// A recipient that was taken, and what it reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it was given.
    pub(super) path: ForwardPath,
    pub(super) reached: Targets,
    /// What the sender said of it.
    pub(super) options: RcptOptions,
    /// It is a sender that we rewrote, and what it reaches is who he was.
    pub(super) returned: bool,
}

impl Target {
    /// Whether all of its copies stay here.
    pub fn is_local(&self) -> bool {
        self.reached.forwards.is_empty()
    }

    /// Whether it is an address that nobody here knows.
    pub fn is_elsewhere(&self) -> bool {
        let Targets {
            accounts, forwards, ..
        } = &self.reached;
        match (&self.path, forwards.as_slice()) {
            (ForwardPath::Address(path), [only]) => accounts.is_empty() && path == only,
            _ => false,
        }
    }

    /// The same, with what the sender said of it.
    pub fn with(self, options: RcptOptions) -> Self {
        Self { options, ..self }
    }

    /// The address here for which it goes elsewhere. A report that comes back is on its way to
    /// whom it was meant for; it is not passed on for anybody.
    pub(super) fn via(&self) -> Option<&ForwardPath> {
        (!self.is_elsewhere() && !self.returned).then_some(&self.path)
    }

    /// Whether it goes on to other servers for an address here.
    pub(super) fn is_passed_on(&self) -> bool {
        !self.is_local() && self.via().is_some()
    }

    /// Whether only reports are taken for it.
    pub fn takes_reports_only(&self) -> bool {
        self.returned
    }

    /// Whether its success is to be told, should it end here (RFC 3461 5.2.3).
    pub fn wants_success(&self) -> bool {
        self.options.wants_success()
    }

    /// Whether it stands for several (RFC 3461 5.2.7.3).
    pub(super) fn is_expanded(&self) -> bool {
        let Targets {
            accounts, forwards, ..
        } = &self.reached;
        accounts.len().saturating_add(forwards.len()) > 1
    }

    /// What is said of those elsewhere that it stands for.
    pub(super) fn passed_on(&self) -> RcptOptions {
        match self.is_expanded() {
            true => self.options.expanded(),
            // RFC 3461 5.2.7.2.
            false => self.options.clone(),
        }
    }
}
