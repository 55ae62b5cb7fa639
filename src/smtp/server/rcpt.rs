//! RCPT (RFC 5321 4.1.1.3). Whatever can be refused is refused here, so that nothing has to be
//! bounced later (RLY-02).

use super::{
    SmtpFault,
    limits::{IDLE_RECIPIENTS_MAX, REFUSED_RECIPIENTS_MAX, STRIKES_SLOW},
    refusal::{About, Refused, log_refusal},
    session::{Done, Session, State},
};
use crate::{
    accounts::limits::LISTS_MAX,
    mail::{
        address::{Address, Domain, LocalPart},
        envelope::ForwardPath,
    },
    net::{Halt, Next, Turn, protocol::STRIKE_DELAY},
    route::{Refusal, Target},
    smtp::proto::{
        command::Rcpt,
        dialog::{Dialect, Dialog},
        reply::{Detail, Reply},
    },
    store::Room,
};

impl Session {
    pub(super) async fn rcpt(&mut self, rcpt: Rcpt, turn: &mut Turn<'_, Dialog>) -> Done {
        let taken = match self.weigh(&rcpt).await.map_err(Halt::Fault)? {
            Ok(target) => target,
            Err(refused) => return self.refuse_recipient(&refused, &rcpt.recipient, turn).await,
        };
        let reply = Reply::new(250, Detail(1, 5), "recipient noted");
        let Some(target) = taken else {
            return Ok(self.idle_recipient(reply));
        };
        if let State::Transaction(_, transaction) = &mut self.state {
            let address = address_of(rcpt.recipient, &self.shared.options.host);
            transaction.envelope.recipients.push(address);
            transaction.targets.push(target.with(rcpt.options));
        }
        Ok(Next::Reply(reply))
    }

    /// Answers RCPT that added nobody and is no mistake, as often as LIM-16 allows.
    fn idle_recipient(&mut self, reply: Reply) -> Next<Reply> {
        self.counts.idle_recipients += 1;
        if self.counts.idle_recipients > IDLE_RECIPIENTS_MAX {
            return Next::Close(Reply::new(
                421,
                Detail(7, 0),
                "too many recipients that cannot be taken now",
            ));
        }
        Next::Reply(reply)
    }

    /// Where the recipient's copy goes; `None` when the recipient was named before.
    async fn weigh(&self, rcpt: &Rcpt) -> Result<Result<Option<Target>, Refused>, SmtpFault> {
        let State::Transaction(_, transaction) = &self.state else {
            return Ok(Err(Refused::NoTransaction));
        };
        let (options, envelope) = (&self.shared.options, &transaction.envelope);
        if !rcpt.ascii && !envelope.smtputf8 {
            return Ok(Err(Refused::NeedsSmtputf8));
        }
        // RFC 2033 4.2: in LMTP each has a reply of its own.
        let once = self.dialect() == Dialect::Smtp;
        if once && is_named(&rcpt.recipient, &envelope.recipients) {
            return Ok(Ok(None));
        }
        if envelope.recipients.len() >= options.recipients_max {
            return Ok(Err(Refused::TooManyRecipients));
        }
        let router = &self.shared.services.router;
        if router.room() == Room::Low {
            return Ok(Err(Refused::NoRoom));
        }
        let (origin, sender) = (self.origin(), &envelope.sender);
        let verdict = router.recipient(&origin, sender, &rcpt.recipient).await?;
        Ok(match verdict {
            Ok(target) if target.takes_reports_only() && !envelope.sender.is_null() => {
                Err(Refused::Route(Refusal::ReportsOnly))
            }
            Ok(target) if lists_with(&target, &transaction.targets) > LISTS_MAX => {
                Err(Refused::Route(Refusal::TooManyLists))
            }
            Ok(target) => Ok(Some(target)),
            Err(refusal) => Err(Refused::Route(refusal)),
        })
    }

    async fn refuse_recipient(
        &mut self,
        refused: &Refused,
        recipient: &ForwardPath,
        turn: &mut Turn<'_, Dialog>,
    ) -> Done {
        let mut reply = Reply::from(refused);
        if let State::Transaction(_, transaction) = &self.state {
            let about = About {
                id: transaction.id,
                verb: "RCPT",
                sender: &transaction.envelope.sender,
                recipient: Some(recipient),
            };
            log_refusal(refused, about, self.client_name(), turn.peer());
            reply = reply.named(transaction.id);
        }
        // An MTA does not guess: it asks for those whose mail it has.
        if !reply.is_permanent() || self.dialect() == Dialect::Lmtp {
            return Ok(self.idle_recipient(reply));
        }
        self.counts.refused_recipients += 1;
        if self.counts.refused_recipients >= REFUSED_RECIPIENTS_MAX {
            return Ok(Next::Close(Reply::new(
                421,
                Detail(7, 0),
                "too many wrong recipients",
            )));
        }
        if self.counts.refused_recipients >= STRIKES_SLOW {
            // LIM-16: harvesting addresses is slow work here.
            turn.flush().await?;
            turn.pause(STRIKE_DELAY).await?;
        }
        Ok(Next::Reply(reply))
    }
}

/// How many groups send the message on, with these of one more recipient.
fn lists_with(target: &Target, targets: &[Target]) -> usize {
    let lists = target.lists().len();
    match lists {
        // What adds none is never too much.
        0 => 0,
        lists => targets
            .iter()
            .fold(lists, |sum, one| sum.saturating_add(one.lists().len())),
    }
}

fn is_named(recipient: &ForwardPath, named: &[Address]) -> bool {
    match recipient {
        ForwardPath::Address(address) => named.contains(address),
        ForwardPath::Postmaster => false,
    }
}

/// `<Postmaster>` alone is the postmaster of this host (RFC 5321 4.5.1).
fn address_of(recipient: ForwardPath, host: &Domain) -> Address {
    match recipient {
        ForwardPath::Address(address) => address,
        ForwardPath::Postmaster => Address {
            local: LocalPart::from_unquoted("postmaster").expect("a plain word is a local part"),
            domain: host.clone(),
        },
    }
}
