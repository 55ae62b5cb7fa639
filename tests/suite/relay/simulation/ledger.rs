//! What was posted, what the world's servers took and refused, what our operator did, and whether
//! it all came to an end that is true (`judge`).

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use buzon::{
    base::clock::{Clock, Timestamp},
    mail::{
        dsn::Notify,
        urgency::{ByMode, Deadline},
    },
};

use super::{guard::Guard, places::DETOUR};

/// Shared by the driver and the servers.
#[derive(Clone)]
pub(super) struct Ledger(Arc<Mutex<Book>>, Clock);

#[derive(Default)]
pub(super) struct Book {
    pub(super) mails: BTreeMap<String, Mail>,
    /// By address.
    pub(super) recipients: BTreeMap<String, Recipient>,
    pub(super) takings: Vec<Taking>,
    /// When the server was killed, or made to stop.
    pub(super) ends: Vec<Timestamp>,
    /// Of senders elsewhere: report after report.
    pub(super) reports: Vec<Vec<u8>>,
    /// TLS reports, by what names them.
    tls_reports: BTreeMap<String, Vec<u8>>,
    /// When the MTA-STS policies of a domain were fetched, and until when each holds.
    policies: BTreeMap<String, Vec<(Timestamp, Timestamp)>>,
    /// Since when nothing may begin: for a domain, or for all without a name.
    pauses: BTreeMap<String, Timestamp>,
    /// What ought not to have happened.
    pub(super) wrongs: Vec<String>,
}

/// By sender.
pub(super) struct Mail {
    pub(super) content: Vec<u8>,
    pub(super) posted: Timestamp,
    pub(super) is_told: bool,
    pub(super) release: Option<Timestamp>,
    pub(super) by: Option<Deadline>,
    pub(super) require_tls: bool,
}

pub(super) struct Recipient {
    pub(super) sender: String,
    pub(super) to: To,
    pub(super) takings: Vec<usize>,
    /// What our operator certainly did.
    pub(super) ordered: Option<(Order, Timestamp)>,
    /// He may have forgotten it, or not.
    pub(super) may_be_dropped: bool,
    /// He may have let it go before its time.
    may_go: bool,
}

/// After this a recipient is asked for no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Hold,
    Drop,
    Bounce,
}

/// A message that a server took for some recipients.
pub(super) struct Taking {
    pub(super) at: Timestamp,
    /// The server said so, and what it offers.
    pub(super) acknowledged: Option<Offers>,
}

/// What a server does for senders.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offers {
    pub(super) dsn: bool,
    pub(super) deliver_by: bool,
}

/// How a message came to a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) at: IpAddr,
    /// In TLS, to who has the right key.
    pub(super) is_proven: bool,
    /// With REQUIRETLS.
    pub(super) requires: bool,
}

/// Who is posted to.
#[derive(Clone)]
pub(super) struct To {
    pub(super) address: String,
    pub(super) notify: Option<Notify>,
    /// The servers of his domain; none for somebody here.
    pub(super) servers: Vec<IpAddr>,
    /// He, or his domain, was refused for good, or may be.
    pub(super) may_fail: bool,
    pub(super) guard: Guard,
}

impl To {
    pub(super) fn is_here(&self) -> bool {
        self.servers.is_empty()
    }

    fn domain(&self) -> &str {
        self.address.rsplit('@').next().unwrap()
    }
}

impl Ledger {
    pub(super) fn new(clock: Clock) -> Self {
        Self(Arc::default(), clock)
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }

    pub(super) fn posted(&self, sender: &str, mail: Mail, to: Vec<To>) {
        let mut book = self.book();
        book.mails.insert(sender.to_owned(), mail);
        for to in to {
            let recipient = Recipient {
                sender: sender.to_owned(),
                takings: Vec::new(),
                ordered: None,
                may_be_dropped: false,
                may_go: false,
                to,
            };
            let address = recipient.to.address.clone();
            book.recipients.insert(address, recipient);
        }
    }

    /// Something that has to be so.
    pub(super) fn expect(&self, is_so: bool, wrong: impl FnOnce() -> String) {
        if !is_so {
            self.book().wrongs.push(wrong());
        }
    }

    /// A server said 5yz to MAIL.
    pub(super) fn refused_mail(&self, sender: &str, at: IpAddr) {
        let mut book = self.book();
        let all = book.recipients.values_mut();
        let there = |to: &To| to.servers.contains(&at) || at == DETOUR;
        for recipient in all.filter(|one| one.sender == sender && there(&one.to)) {
            recipient.to.may_fail = true;
        }
    }

    /// A server said 5yz of these.
    pub(super) fn refused(&self, who: &[String]) {
        let mut book = self.book();
        for who in who {
            if let Some(recipient) = book.recipients.get_mut(who) {
                recipient.to.may_fail = true;
            }
        }
    }

    /// A server is asked whether it takes mail for somebody.
    pub(super) fn asked(&self, who: &str) {
        let now = self.1.wall();
        let mut book = self.book();
        let Some(recipient) = book.recipients.get(who) else {
            return;
        };
        let mut wrongs = Vec::new();
        if let Some((order, at)) = recipient.ordered
            && now.since(at) > SWIFT
        {
            wrongs.push(format!("{who} is asked for after {order:?} at {at:?}"));
        }
        let early = book.mails[&recipient.sender].release.filter(|at| now < *at);
        if early.is_some() && !recipient.may_go {
            wrongs.push(format!("{who} is asked for before {early:?}"));
        }
        for name in ["", recipient.to.domain()] {
            if book
                .pauses
                .get(name)
                .is_some_and(|at| now.since(*at) > SLOW)
            {
                wrongs.push(format!("{who} is asked for in a pause"));
            }
        }
        book.wrongs.append(&mut wrongs);
    }

    /// A server has all of a message and may say so.
    pub(super) fn taken(&self, (sender, to): (&str, &[String]), content: &[u8], by: Link) -> usize {
        let now = self.1.wall();
        let mut book = self.book();
        let number = book.takings.len();
        book.takings.push(Taking {
            at: now,
            acknowledged: None,
        });
        if to.iter().any(|to| to.ends_with("@far.example")) {
            book.report(to, content);
            return number;
        }
        for to in to {
            let Some(recipient) = book.recipients.get_mut(to) else {
                book.wrongs.push(format!("nobody wrote to {to}"));
                continue;
            };
            recipient.takings.push(number);
            let wrote = recipient.sender.clone();
            let is_sender = wrote == sender || wrote.starts_with("null-") && sender.is_empty();
            let mail = &book.mails[&wrote];
            let is_same =
                mail.content == content || in_binary(content).as_ref() == Some(&mail.content);
            let was_late = mail.by.is_some_and(|by| {
                by.mode == ByMode::Return && by.at < now && now.since(by.at) > SLOW
            });
            let is_trusted = book.is_trusted(to, by, now);
            for (is_so, wrong) in [
                (is_sender, "from another sender"),
                (is_same, "other content"),
                (!was_late, "got it after it was wanted back"),
                (is_trusted, "given to somebody who is not proven"),
            ] {
                if !is_so {
                    book.wrongs.push(format!("{to}: {wrong} ({by:?})"));
                }
            }
        }
        number
    }

    /// The server said 250.
    pub(super) fn acknowledged(&self, number: usize, offers: Offers) {
        let mut book = self.book();
        // What counts is when the client could know.
        book.takings[number].at = self.1.wall();
        book.takings[number].acknowledged = Some(offers);
    }

    /// The server ends here, in order or not: what was under way has an end that nobody knows.
    pub(super) fn ended(&self) {
        let now = self.1.wall();
        self.book().ends.push(now);
    }

    /// A policy that is enforced was given away.
    pub(super) fn fetched(&self, domain: &str, from: Timestamp, until: Timestamp) {
        let mut book = self.book();
        let known = book.policies.entry(domain.to_owned()).or_default();
        known.push((from, until));
    }

    /// Nothing begins for a domain, or at all.
    pub(super) fn paused(&self, domain: &str) {
        let now = self.1.wall();
        self.book().pauses.entry(domain.to_owned()).or_insert(now);
    }

    /// Things may begin again: for a domain, or for all.
    pub(super) fn resumed(&self, domain: &str) {
        self.book()
            .pauses
            .retain(|name, _| !domain.is_empty() && name != domain);
    }

    pub(super) fn knows(&self, address: &str) -> bool {
        self.book().recipients.contains_key(address)
    }

    /// Our operator certainly did this to somebody.
    pub(super) fn ordered(&self, who: &str, order: Order) {
        let now = self.1.wall();
        let mut book = self.book();
        let recipient = book.recipients.get_mut(who).unwrap();
        recipient.ordered = Some((order, now));
        recipient.to.may_fail |= order == Order::Bounce;
    }

    /// Our operator may do this to somebody, or be about to.
    pub(super) fn may_be(&self, who: &str, order: Order) {
        let mut book = self.book();
        let recipient = book.recipients.get_mut(who).unwrap();
        recipient.may_be_dropped |= order == Order::Drop;
        recipient.to.may_fail |= order == Order::Bounce;
    }

    /// Our operator is about to let somebody's mail go, or everybody's.
    pub(super) fn released(&self, who: Option<&str>) {
        let mut book = self.book();
        let all = book.recipients.iter_mut();
        for (_, recipient) in all.filter(|(address, _)| who.is_none_or(|who| who == *address)) {
            recipient.may_go = true;
            recipient
                .ordered
                .take_if(|(order, _)| *order == Order::Hold);
        }
    }

    pub(super) fn last_posted(&self) -> Timestamp {
        let book = self.book();
        book.mails.values().map(|mail| mail.posted).max().unwrap()
    }
}

impl Book {
    /// Mail for far.example, where senders are, and who reads TLS reports.
    fn report(&mut self, to: &[String], content: &[u8]) {
        if to.len() != 1 {
            self.wrongs.push(format!("a report for {to:?}"));
        }
        if !to.iter().any(|to| to == "tlsrpt@far.example") {
            // The same in the end of an attempt that nobody could know.
            if !self.reports.iter().any(|report| report == content) {
                self.reports.push(content.to_vec());
            }
            return;
        }
        let text = String::from_utf8_lossy(content);
        let id = text
            .lines()
            .find_map(|line| line.strip_prefix("Message-ID: "));
        let id = id.unwrap_or_default().to_owned();
        let known = self.tls_reports.entry(id.clone());
        if known.or_insert_with(|| content.to_vec()) != content {
            self.wrongs.push(format!("two TLS reports are {id}"));
        }
    }

    /// Whether a message for somebody may come there so.
    fn is_trusted(&self, to: &str, by: Link, now: Timestamp) -> bool {
        let recipient = &self.recipients[to];
        let guard = recipient.to.guard;
        let policies = self.policies.get(recipient.to.domain());
        let fetched = |early: Duration| {
            let holds =
                |(from, until): &(Timestamp, Timestamp)| from.plus(early) <= now && now < *until;
            policies.is_some_and(|policies| policies.iter().any(holds))
        };
        let (must, may) = match guard {
            Guard::None | Guard::StsTesting => (false, false),
            Guard::Dane => (true, true),
            // Who the host is, nobody proves.
            Guard::Operator => (true, false),
            // What began before the policy was there, ends.
            Guard::Sts => (fetched(SLOW), policies.is_some()),
        };
        let mail = &self.mails[&recipient.sender];
        if mail.require_tls && mail.is_told {
            // RFC 8689 4.2.1.
            return by.is_proven && by.requires && may && by.at != DETOUR;
        }
        !must || by.is_proven || by.at == DETOUR
    }
}

/// What was a binary body before it was written in base64.
fn in_binary(content: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(content).ok()?;
    let (header, body) = text.split_once("\r\n\r\n")?;
    let header = header.strip_suffix("Content-Transfer-Encoding: base64")?;
    let body = STANDARD.decode(body.replace("\r\n", "")).ok()?;
    let header = format!("{header}Content-Transfer-Encoding: binary\r\n\r\n");
    Some([header.into_bytes(), body].concat())
}

/// What was not in hand when an operator acted is in nobody's hand after this.
const SWIFT: Duration = Duration::from_secs(60);
/// So long may a message in hand take: many transactions, each reply of which is waited for.
const SLOW: Duration = Duration::from_secs(4 * 3600);
