//! A recipient that was taken: what it reaches, and what that means for reports.
//!
//! Decided on the parsed address alone (RLY-01): what a local part looks like has no meaning here,
//! and only the domain says whether mail stays, goes on or is refused.

use super::router::{Origin, Refusal, Router};
use crate::{
    accounts::{List, MailKind, Resolution, Snapshot, Targets, Writer},
    base::text::Quoted,
    mail::envelope::{ForwardPath, RcptOptions, ReversePath},
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

impl Router {
    /// Whether `from` may send to `to`, and what that reaches when it is suspicious or is not.
    /// Decided on the parsed address alone.
    pub(super) fn target(
        &self,
        snapshot: &Snapshot,
        (from, sender): (Origin, &ReversePath),
        (to, suspicious): (&ForwardPath, bool),
    ) -> Result<Target, Refusal> {
        let returned = self.returned(snapshot, to).transpose()?;
        let meant = returned.as_ref().unwrap_or(to);
        let kind = MailKind {
            report: *sender == ReversePath::Null,
            suspicious,
        };
        let reached = match (&returned, snapshot.resolve_kind(meant, kind), from) {
            (_, Resolution::Targets(reached), _) => reached,
            // RFC 5321 3.6.2, as the backup that the domain's MX records name.
            (None, Resolution::NotLocal, Origin::Peer) if self.backs_up(to) => elsewhere(to),
            (None, Resolution::NotLocal, Origin::Peer) => return Err(Refusal::RelayDenied),
            (_, Resolution::NotLocal, _) => elsewhere(meant),
            // Whether an account is out of use is nobody's business.
            (_, Resolution::Unknown | Resolution::Disabled, _) => {
                return Err(Refusal::UnknownRecipient);
            }
            (_, Resolution::Unusable(why), _) => {
                let to = to.to_string();
                let to = Quoted::str(&to);
                tracing::error!(%to, reason = %why, "a recipient cannot be resolved");
                return Err(Refusal::Misconfigured);
            }
        };
        if reached.is_empty() {
            return Err(Refusal::UnknownRecipient);
        }
        let account = match from {
            Origin::Account(account) => Some(account),
            Origin::Peer | Origin::Ourselves => None,
        };
        let writer = Writer { account, sender };
        let hears = |list: &List| snapshot.may_write(writer, &list.address);
        if !reached.lists.iter().all(hears) {
            return Err(Refusal::NotAWriter);
        }
        Ok(Target {
            path: to.clone(),
            reached,
            options: RcptOptions::default(),
            returned: returned.is_some(),
        })
    }

    /// Whether we are a backup for the domain of this address: for that one, and none below it.
    fn backs_up(&self, to: &ForwardPath) -> bool {
        match to {
            ForwardPath::Address(address) => self.0.backup.contains(&address.domain),
            ForwardPath::Postmaster => false,
        }
    }
}

impl Target {
    /// Whether all of its copies stay here.
    pub fn is_local(&self) -> bool {
        self.reached.is_local()
    }

    /// The groups that send it on.
    pub fn lists(&self) -> &[List] {
        &self.reached.lists
    }

    /// Whether it is an address that nobody here knows.
    pub fn is_elsewhere(&self) -> bool {
        match (&self.path, self.reached.forwards.as_slice()) {
            (ForwardPath::Address(path), [only]) => self.reached.count() == 1 && path == only,
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
        !self.ends_here() && self.via().is_some()
    }

    /// Whether only reports are taken for it.
    pub fn takes_reports_only(&self) -> bool {
        self.returned
    }

    /// Whether its success is to be told, should it end here (RFC 3461 5.2.3).
    pub fn wants_success(&self) -> bool {
        self.options.wants_success()
    }

    /// Whether it stands for several (RFC 3461 5.2.7.3). A group is one: what comes to it has come
    /// to its end (5.2.7.1).
    pub(super) fn is_expanded(&self) -> bool {
        let Targets {
            accounts,
            forwards,
            lists,
            ..
        } = &self.reached;
        let each = [accounts.len(), forwards.len(), lists.len()];
        each.into_iter().fold(0, usize::saturating_add) > 1
    }

    /// Whether the message itself goes no further for it.
    pub(super) fn ends_here(&self) -> bool {
        self.reached.forwards.is_empty()
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

/// An address that nobody here knows; `<Postmaster>` is always ours.
fn elsewhere(path: &ForwardPath) -> Targets {
    let forwards = match path {
        ForwardPath::Address(address) => vec![address.clone()],
        ForwardPath::Postmaster => Vec::new(),
    };
    Targets {
        forwards,
        ..Targets::default()
    }
}
