//! MAIL (RFC 5321 4.1.1.2, RFC 1870 6.1, RFC 6409 6.1).
//!
//! On submission the sender must be the user's own address, or none: reports such as read receipts
//! are sent with the null path (RFC 8098 3), and their From field is checked like everyone's
//! (AUTH-07).

use super::{
    refusal::{Refused, log_refusal},
    session::{Session, State, Transaction},
};
use crate::{
    mail::envelope::Envelope,
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
        if let Err(refused) = self.admits(&mail) {
            log_refusal(
                &refused,
                "MAIL",
                &mail.sender,
                None,
                self.client_name(),
                peer,
            );
            let reply = Reply::from(&refused);
            // LIM-16: what is refused for now is no mistake of the client.
            return if reply.is_permanent() {
                Next::Refuse(reply)
            } else {
                self.idle_talk(reply)
            };
        }
        let (State::Greeted(greeted) | State::Spoiled(greeted)) = &self.state else {
            return Next::Refuse(Reply::new(503, Detail(5, 1), "a message is under way"));
        };
        let transaction = Transaction {
            envelope: Envelope {
                sender: mail.sender,
                recipients: Vec::new(),
                body: mail.body,
                smtputf8: mail.smtputf8,
                options: mail.options,
            },
            targets: Vec::new(),
        };
        self.state = State::Transaction(greeted.clone(), transaction);
        self.counts.transactions += 1;
        Next::Reply(Reply::new(250, Detail(1, 0), "sender noted"))
    }

    fn admits(&self, mail: &Mail) -> Result<(), Refused> {
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
        // DUR-04: said before the message is sent.
        if services.router.room() == Room::Low {
            return Err(Refused::NoRoom);
        }
        match mail.sender.address() {
            Some(address) if !self.may_send_as([Some(address)]) => Err(Refused::NotYourSender),
            _ => Ok(()),
        }
    }
}
