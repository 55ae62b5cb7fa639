//! What a sender who asked for it is told when his message is accepted: that it was delivered to a
//! mailbox here, or that an address stands for several (RFC 3461 5.2.3, 5.2.7.3).
//!
//! The report is part of the accepting commit: told is what is true, once. A report that has no
//! place now is not worth refusing the message for; that is said in the log.

use super::{
    postman::{FirstLine, PostError, Posted, Report},
    report::{Built, Entry, Event, Facts, build},
    router::{Acceptance, Router},
    target::Target,
};
use crate::{
    base::text::{Causes, Quoted},
    mail::envelope::BodyKind,
    store::Batch,
};

impl Router {
    /// Adds the report of success to an empty batch, if somebody asked for it; the answer is used
    /// after the commit.
    pub(super) async fn tell_success(
        &self,
        batch: &mut Batch,
        acceptance: &Acceptance,
    ) -> Option<(FirstLine, Posted)> {
        let report = self.success(acceptance)?;
        let line = report.first_line();
        let reason = match self.add_report(batch, report).await {
            Ok(posted) => return Some((line, posted)),
            Err(PostError::Undeliverable(why)) => why.to_string(),
            Err(PostError::Fault(error)) => Causes(&*error).to_string(),
        };
        *batch = Batch::new();
        tracing::warn!(
            target: "mail",
            id = %acceptance.id,
            from = %Quoted::str(&acceptance.envelope.sender.to_string()),
            reason = %Quoted::str(&reason),
            "untold"
        );
        None
    }

    fn success(&self, acceptance: &Acceptance) -> Option<Report> {
        let (envelope, about) = (&acceptance.envelope, acceptance.id);
        let held = acceptance.held_until(self.now()).is_some();
        let addresses = envelope.recipients.iter();
        let entries: Vec<_> = addresses
            .zip(&acceptance.targets)
            .filter_map(|(address, target)| {
                Some(Entry {
                    address,
                    original: target.options.original.as_ref(),
                    event: success_of(target, held)?,
                    why: None,
                    attempted: None,
                    late: false,
                })
            })
            .collect();
        // Whose author's policy fails has a sender that may be forged: he gets nothing for it.
        if entries.is_empty() || acceptance.junk {
            return None;
        }
        // RFC 5321 4.5.5: nothing is ever said to the null path.
        let to = envelope.sender.address()?;
        let (id, now) = (self.queue().fresh_id(), self.now());
        let Built {
            bytes,
            smtputf8,
            eight_bit,
        } = build(&Facts {
            id,
            original: about,
            options: &envelope.options,
            reporter: self.reporter(),
            to,
            received: now,
            now,
            recipients: &entries,
            beginning: &acceptance.header,
            // RFC 3461 4.3: of successes only the header goes back.
            whole: false,
        });
        Some(Report {
            id,
            about,
            to: to.clone(),
            bytes: bytes.into(),
            smtputf8,
            require_tls: envelope.options.require_tls,
            despite_tls: false,
            body: if eight_bit {
                BodyKind::EightBit
            } else {
                BodyKind::SevenBit
            },
        })
    }
}

/// What is told of this target now; what goes on to one address is told by whoever delivers it
/// (RFC 3461 5.2.7.2).
fn success_of(target: &Target, held: bool) -> Option<Event> {
    if !target.wants_success() {
        return None;
    }
    // RFC 4865: what waits for its time is not there yet; nobody hears later of what waits at a
    // group.
    match (target.is_expanded(), target.ends_here()) {
        (true, _) => Some(Event::Expanded),
        (false, true) if !held => Some(Event::Delivered),
        (false, true) if !target.lists().is_empty() => Some(Event::Expanded),
        (false, _) => None,
    }
}
