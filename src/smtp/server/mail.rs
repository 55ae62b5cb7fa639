//! MAIL (RFC 5321 4.1.1.2, RFC 1870 6.1, RFC 6409 6.1).
//!
//! On submission the sender must be the user's own address, or none: reports such as read receipts
//! are sent with the null path (RFC 8098 3), and their From field is checked like everyone's
//! (AUTH-07). What is said of times counts from here: it becomes moments (RFC 2852, RFC 4865). Who
//! did not log in raises no priority (RFC 6710).

use super::{
    Role,
    refusal::{About, Refused, log_refusal},
    session::{Session, State, Transaction},
};
use crate::{
    base::{clock::Timestamp, ids::MessageId},
    mail::{
        envelope::{Envelope, MailOptions},
        urgency::Priority,
    },
    net::{Next, Peer, Service},
    smtp::proto::{
        command::Mail,
        dialog::Tls,
        reply::{Detail, Reply},
    },
    store::Room,
};

impl Session {
    pub(super) fn mail(&mut self, mail: Mail, peer: &Peer) -> Next<Reply> {
        if self.counts.transactions >= self.shared.options.transactions_max {
            // LIM-15.
            return Next::Close(Reply::new(
                421,
                Detail(7, 0),
                "enough messages for one connection",
            ));
        }
        let services = &self.shared.services;
        let now = services.clock.wall();
        let id = MessageId::fresh(now, &services.random);
        let options = match self.admits(&mail, now) {
            Ok(options) => options,
            Err(refused) => {
                let about = About {
                    id,
                    verb: "MAIL",
                    sender: &mail.sender,
                    recipient: None,
                };
                log_refusal(&refused, about, self.client_name(), peer);
                let reply = self.refusal(&refused, id);
                // LIM-16: what is refused for now is no mistake of the client.
                return if reply.is_permanent() {
                    Next::Refuse(reply)
                } else {
                    self.idle_talk(reply)
                };
            }
        };
        let (State::Greeted(greeted) | State::Spoiled(greeted, _)) = &self.state else {
            return Next::Refuse(Reply::new(503, Detail(5, 1), "a message is under way"));
        };
        // RFC 6710 4: what was changed is said.
        let reply = match options
            .priority
            .filter(|given| Some(*given) != mail.options.priority)
        {
            Some(given) => {
                let text = format!("{given} is the new priority assigned to the message");
                Reply::new(250, Detail(3, 6), text)
            }
            None => Reply::new(250, Detail(1, 0), "sender noted"),
        };
        let transaction = Transaction {
            id,
            envelope: Envelope {
                sender: mail.sender,
                recipients: Vec::new(),
                body: mail.body,
                smtputf8: mail.smtputf8,
                options,
            },
            targets: Vec::new(),
        };
        self.state = State::Transaction(greeted.clone(), transaction);
        self.counts.transactions += 1;
        Next::Reply(reply)
    }

    /// What goes on with the message, unless it is refused.
    fn admits(&self, mail: &Mail, now: Timestamp) -> Result<MailOptions, Refused> {
        let (options, services) = (&self.shared.options, &self.shared.services);
        if mail.options.require_tls && self.stage().tls != Tls::Active {
            return Err(Refused::NeedsTls);
        }
        if mail
            .size
            .is_some_and(|size| size > options.message_bytes_max)
        {
            return Err(Refused::TooLarge);
        }
        let wanted = self.times(mail, now)?;
        // DUR-04: said before the message is sent.
        if services.router.room() == Room::Low {
            return Err(Refused::NoRoom);
        }
        match mail.sender.address() {
            Some(address) if !self.may_send_as([Some(address)]) => Err(Refused::NotYourSender),
            _ => Ok(wanted),
        }
    }

    /// The times of the message as moments, and its priority.
    fn times(&self, mail: &Mail, now: Timestamp) -> Result<MailOptions, Refused> {
        let options = &self.shared.options;
        let deliver_by = mail.by.map(|by| by.from(now));
        let release = mail.hold.map(|hold| hold.from(now));
        if let Some(release) = release {
            if options.role != Role::Submission || options.hold_secs_max().is_none() {
                return Err(Refused::HoldNotServed);
            }
            if release.at <= now {
                return Err(Refused::HoldOver);
            }
            if release.at > now.plus(options.hold_max) {
                return Err(Refused::HoldTooLong);
            }
            // It would go back before it goes anywhere.
            if deliver_by.is_some_and(|by| by.returns(release.at)) {
                return Err(Refused::HoldTooLong);
            }
        }
        let most = match options.role {
            Role::Relay | Role::Delivery => Priority::default(),
            Role::Submission => options.priority_max,
        };
        Ok(MailOptions {
            deliver_by,
            release,
            priority: mail.options.priority.map(|given| given.min(most)),
            ..mail.options.clone()
        })
    }
}
