//! What was posted, what the world's servers took and refused, and whether it all came to an end
//! that is true: each recipient was delivered to once, or is reported as failed once.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    ops::AddAssign,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use buzon::{
    base::clock::{Clock, Timestamp},
    mail::{date::parse_header_date, dsn::Notify},
};

/// Shared by the driver and the servers.
#[derive(Clone)]
pub(super) struct Ledger(Arc<Mutex<Book>>, Clock);

#[derive(Default)]
struct Book {
    mails: BTreeMap<String, Mail>,
    /// By address.
    recipients: BTreeMap<String, Recipient>,
    takings: Vec<Taking>,
    /// When the server was killed, or made to stop.
    ends: Vec<Timestamp>,
    /// Of senders elsewhere: report after report.
    reports: Vec<Vec<u8>>,
}

/// By sender.
struct Mail {
    content: Vec<u8>,
    posted: Timestamp,
    is_told: bool,
}

struct Recipient {
    sender: String,
    notify: Option<Notify>,
    /// The servers of his domain.
    servers: Vec<IpAddr>,
    /// He, or his domain, was refused for good, or may be.
    may_fail: bool,
    takings: Vec<usize>,
}

/// A message that a server took for some recipients.
struct Taking {
    at: Timestamp,
    /// The server said so, and whether it reports success.
    acknowledged: Option<bool>,
}

/// Who is posted to.
pub(super) struct To {
    pub(super) address: String,
    pub(super) notify: Option<Notify>,
    pub(super) servers: Vec<IpAddr>,
    pub(super) may_fail: bool,
}

/// How it all ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) delivered: usize,
    pub(super) bounced: usize,
    /// Copies beyond the first one, each of an attempt whose end nobody could know.
    pub(super) duplicates: usize,
    /// Both delivered, in the end of an attempt that nobody could know, and reported as failed.
    pub(super) both: usize,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.bounced += other.bounced;
        self.duplicates += other.duplicates;
        self.both += other.both;
    }
}

impl Ledger {
    pub(super) fn new(clock: Clock) -> Self {
        Self(Arc::default(), clock)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }

    pub(super) fn posted(&self, sender: &str, is_told: bool, content: &[u8], to: Vec<To>) {
        let mut book = self.book();
        let mail = Mail {
            content: content.to_vec(),
            posted: self.1.wall(),
            is_told,
        };
        book.mails.insert(sender.to_owned(), mail);
        for to in to {
            let recipient = Recipient {
                sender: sender.to_owned(),
                notify: to.notify,
                servers: to.servers,
                may_fail: to.may_fail,
                takings: Vec::new(),
            };
            book.recipients.insert(to.address, recipient);
        }
    }

    /// A server said 5yz to MAIL.
    pub(super) fn refused_mail(&self, sender: &str, at: IpAddr) {
        let mut book = self.book();
        let all = book.recipients.values_mut();
        for recipient in all.filter(|to| to.sender == sender && to.servers.contains(&at)) {
            recipient.may_fail = true;
        }
    }

    /// A server said 5yz of these.
    pub(super) fn refused(&self, who: &[String]) {
        let mut book = self.book();
        for who in who {
            if let Some(recipient) = book.recipients.get_mut(who) {
                recipient.may_fail = true;
            }
        }
    }

    /// A server has all of a message and may say so.
    pub(super) fn taken(&self, (sender, to): (&str, &[String]), content: &[u8]) -> usize {
        let mut book = self.book();
        let number = book.takings.len();
        book.takings.push(Taking {
            at: self.1.wall(),
            acknowledged: None,
        });
        if sender.is_empty() && to.iter().any(|to| to.ends_with("@far.example")) {
            assert_eq!(to.len(), 1, "a report has one recipient");
            if !book.reports.iter().any(|report| report == content) {
                book.reports.push(content.to_vec());
            }
            return number;
        }
        for to in to {
            let recipient = book.recipients.get_mut(to);
            let recipient = recipient.unwrap_or_else(|| panic!("nobody wrote to {to}"));
            recipient.takings.push(number);
            let wrote = recipient.sender.clone();
            assert!(wrote == sender || wrote.starts_with("null-") && sender.is_empty());
            assert!(
                book.mails[&wrote].content == content,
                "{to} got other content"
            );
        }
        number
    }

    /// The server said 250.
    pub(super) fn acknowledged(&self, number: usize, reports: bool) {
        let mut book = self.book();
        // What counts is when the client could know.
        book.takings[number].at = self.1.wall();
        book.takings[number].acknowledged = Some(reports);
    }

    /// The server ends here, in order or not: what was under way has an end that nobody knows.
    pub(super) fn ended(&self) {
        let now = self.1.wall();
        self.book().ends.push(now);
    }

    pub(super) fn last_posted(&self) -> Timestamp {
        let book = self.book();
        book.mails.values().map(|mail| mail.posted).max().unwrap()
    }

    /// Whether the story of each recipient is a true one; `inbox` are the reports of senders here.
    pub(super) fn judge(&self, inbox: &[Vec<u8>]) -> Count {
        let book = self.book();
        let reports = inbox.iter().chain(&book.reports);
        let entries: Vec<_> = reports.flat_map(|report| entries(report)).collect();
        for entry in &entries {
            let to = book.recipients.get(&entry.recipient);
            let to = to.unwrap_or_else(|| panic!("a report of a stranger: {entry:?}"));
            let told = entry.to == to.sender && book.mails[&to.sender].is_told;
            assert!(told, "told to another one than {}: {entry:?}", to.sender);
        }
        let mut count = Count::default();
        for (address, recipient) in &book.recipients {
            let about = entries.iter().filter(|entry| entry.recipient == *address);
            let about: Vec<_> = about.collect();
            book.judge_one(address, recipient, &about, &mut count);
        }
        count
    }
}

impl Book {
    fn judge_one(&self, address: &str, to: &Recipient, entries: &[&Entry], count: &mut Count) {
        let mail = &self.mails[&to.sender];
        let number = |action: &str| entries.iter().filter(|e| e.action == action).count();
        let (failed, relayed) = (number("failed"), number("relayed"));
        let wants_failure = mail.is_told && to.notify.is_none_or(|notify| notify.failure);
        let wants_success = mail.is_told && to.notify.is_some_and(|notify| notify.success);
        assert!(
            failed <= usize::from(wants_failure),
            "{address}: {entries:?}"
        );
        assert!(
            relayed <= usize::from(wants_success),
            "{address}: {entries:?}"
        );
        let takings: Vec<_> = to.takings.iter().map(|n| &self.takings[*n]).collect();
        // After the server's word nothing more goes there, unless ours ended before it was noted.
        let known = takings.iter().position(|taking| self.is_known(taking));
        if let Some(at) = known {
            assert_eq!(at + 1, takings.len(), "{address}: taken, and sent again");
            assert_eq!(failed, 0, "{address}: taken, and reported as failed");
            let reports = takings[at].acknowledged == Some(true);
            let is_told = wants_success && !reports;
            assert_eq!(relayed, usize::from(is_told), "{address}: {entries:?}");
        }
        if let Some(failure) = entries.iter().find(|entry| entry.action == "failed") {
            let late = failure.at.since(mail.posted) >= PATIENCE;
            assert!(
                late || to.may_fail,
                "{address}: nobody refused: {failure:?}"
            );
        }
        match (takings.len(), failed) {
            (0, 0) => {
                // Nobody was to be told; still it must not have vanished without a reason.
                assert!(!wants_failure, "{address}: lost");
                count.bounced += 1;
            }
            (0, _) => count.bounced += 1,
            (copies, failed) => {
                count.delivered += 1;
                count.duplicates += copies - 1;
                count.both += failed;
            }
        }
    }

    /// Whether the client has read the server's word for certain, and had time to note it.
    fn is_known(&self, taking: &Taking) -> bool {
        let near = |end: &&Timestamp| **end >= taking.at && end.since(taking.at) <= NOTED;
        taking.acknowledged.is_some() && !self.ends.iter().any(|end| near(&end))
    }
}

/// What a report says of one recipient.
#[derive(Debug)]
struct Entry {
    to: String,
    at: Timestamp,
    recipient: String,
    action: String,
}

fn entries(report: &[u8]) -> Vec<Entry> {
    let text = String::from_utf8_lossy(report);
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.map(|line| line.rsplit(' ').next().unwrap().to_owned());
        value.unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    let to = field(&text, "To:");
    let to = to.trim_matches(['<', '>']).to_owned();
    let at = text.lines().find_map(|line| line.strip_prefix("Date: "));
    let at = parse_header_date(at.unwrap().as_bytes()).unwrap().secs;
    let mut found = Vec::new();
    for part in text.split("Final-Recipient:").skip(1) {
        let recipient = part.lines().next().unwrap();
        found.push(Entry {
            to: to.clone(),
            at: Timestamp::from_secs(at),
            recipient: recipient.rsplit(' ').next().unwrap().to_owned(),
            action: field(part, "Action:"),
        });
    }
    assert!(!found.is_empty(), "a report of nobody: {text}");
    found
}

/// The patience of the schedule; a report tells its time in whole seconds.
const PATIENCE: Duration = Duration::from_secs(5 * 86_400 - 1);
/// Noting an outcome is tried for so long.
const NOTED: Duration = Duration::from_secs(20);
