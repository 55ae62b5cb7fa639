//! What is asked beside the mail: VRFY and EXPN (RFC 5321 3.5), ETRN (RFC 1985), HELP.
//!
//! Whether an address exists is told at RCPT to whoever brings mail for it, and here only to our
//! own users (RFC 5321 7.3). All of these count as talk without effect (LIM-16).

use super::{Expn, Session, SmtpFault, limits::TEXT_LINE_BYTES_MAX, refusal::Refused};
use crate::{
    mail::{
        address::Address,
        envelope::{ForwardPath, ReversePath},
    },
    net::{Peer, Service},
    route::Refusal,
    smtp::proto::{
        command::{Etrn, Inquiry},
        help::{self, Subject},
        reply::{Detail, Reply, Text},
    },
};

impl Session {
    pub(super) async fn vrfy(&self, asked: Inquiry) -> Result<Reply, SmtpFault> {
        if self.account().is_none() {
            return Ok(Reply::new(
                252,
                Detail(5, 0),
                "not told here; RCPT tells whether mail is taken",
            ));
        }
        let Some(path) = asked.path else {
            let text = "this is no address, and nobody is known by another name";
            return Ok(Reply::new(550, Detail(1, 1), text));
        };
        let router = &self.shared.services.router;
        let known = router
            .recipient(&self.origin(), &ReversePath::Null, &path)
            .await?;
        Ok(match known {
            Ok(target) if target.is_elsewhere() => Reply::new(
                252,
                Detail(1, 5),
                "not known here, but mail for it is taken",
            ),
            // RFC 5321 3.5.1: with the address, in brackets.
            Ok(_) | Err(Refusal::OverQuota | Refusal::NoRoom) => {
                let shown = path.to_string();
                match asked.smtputf8 || shown.is_ascii() {
                    true => Reply::new(250, Detail(1, 5), Text::in_utf8(&shown)),
                    false => Reply::new(252, Detail(6, 8), BEYOND_ASCII),
                }
            }
            Err(refusal) => (&Refused::Route(refusal)).into(),
        })
    }

    /// Whom an alias or a group stands for, one step: who wants to know more asks again.
    pub(super) fn expn(&self, asked: &Inquiry) -> Reply {
        let refused = |detail, text| Reply::new(550, detail, text);
        let Some(ForwardPath::Address(address)) = &asked.path else {
            return refused(Detail(1, 1), "this is no address of a list");
        };
        let snapshot = self.shared.services.directory.snapshot();
        let told = match self.shared.options.expn {
            Expn::Off => false,
            Expn::Users => self.account().is_some_and(|id| snapshot.is_in(id, address)),
            Expn::Anyone => true,
        };
        let Some(listed) = snapshot.listed(address).filter(|_| told) else {
            // The same for what is not there: members know that they are.
            let text = "this is no list here, or not told to you";
            return refused(Detail(7, 1), text);
        };
        if !asked.smtputf8 && !listed.iter().all(Address::is_ascii) {
            return refused(Detail(6, 8), BEYOND_ASCII);
        }
        // RFC 5321 3.5.1: each with its brackets, on a line of its own.
        let shown = |address| Text::in_utf8(&format!("<{address}>"));
        let mut lines = listed.iter().map(shown);
        let first = lines.next().unwrap_or_else(|| Text::in_utf8(""));
        lines.fold(Reply::new(250, Detail(1, 5), first), Reply::line)
    }

    pub(super) async fn etrn(&self, etrn: Etrn) -> Result<Reply, SmtpFault> {
        let router = &self.shared.services.router;
        let count = router.hasten(&etrn.node, etrn.below).await?;
        let node = etrn.node;
        // RFC 1985 5.1.
        Ok(match count {
            0 => Reply::new(251, Detail(0, 0), format!("nothing waits for {node}")),
            n => Reply::new(
                253,
                Detail(0, 0),
                format!("{n} waiting for {node}, tried now"),
            ),
        })
    }

    pub(super) fn help(&self, subject: Subject, peer: &Peer) -> Reply {
        let options = &self.shared.options;
        let tls = peer.tls.as_ref();
        let session = help::Session {
            host: &self.shared.presented,
            messages_left: options
                .transactions_max
                .saturating_sub(self.counts.transactions),
            text_line_bytes_max: TEXT_LINE_BYTES_MAX,
            idle_secs: options.idle.as_secs(),
            tls: tls.map(|cipher| (cipher.version.as_str(), cipher.suite.as_str())),
        };
        help::help(subject, self.stage(), &session)
    }
}

/// RFC 6531 3.7.4.2: what is said instead of an address beyond ASCII that was not asked for so.
const BEYOND_ASCII: &str =
    "the reply has characters beyond ASCII: SMTPUTF8 behind the address asks for it";
