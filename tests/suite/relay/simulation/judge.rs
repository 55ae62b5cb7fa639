//! Whether what the ledger has is a true story: each recipient was delivered to once, or is
//! reported as failed once, or was forgotten by our operator.

use std::{ops::AddAssign, time::Duration};

use buzon::{
    base::clock::Timestamp,
    mail::{date::parse_header_date, dsn::Notify, urgency::ByMode},
};

use super::ledger::{Book, Ledger, Mail, Order, Recipient, Taking};

/// How it all ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) delivered: usize,
    pub(super) bounced: usize,
    /// Forgotten by our operator.
    pub(super) dropped: usize,
    /// Copies beyond the first one, each of an attempt whose end nobody could know.
    pub(super) duplicates: usize,
    /// Both delivered, in the end of an attempt that nobody could know, and reported as failed.
    pub(super) both: usize,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.bounced += other.bounced;
        self.dropped += other.dropped;
        self.duplicates += other.duplicates;
        self.both += other.both;
    }
}

impl Ledger {
    /// Whether the story of each recipient is a true one; `inbox` are the reports of senders here,
    /// `here` is the mail of somebody here.
    pub(super) fn judge(&self, inbox: &[Vec<u8>], here: &[Vec<u8>]) -> Count {
        let book = self.book();
        assert!(book.wrongs.is_empty(), "{:#?}", book.wrongs);
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
            let case = Case {
                address,
                mail: &book.mails[&recipient.sender],
                recipient,
                entries: about.collect(),
            };
            match recipient.to.is_here() {
                true => case.judge_here(here, &mut count),
                false => book.judge(&case, &mut count),
            }
        }
        count
    }
}

/// One recipient's.
struct Case<'a> {
    address: &'a str,
    mail: &'a Mail,
    recipient: &'a Recipient,
    entries: Vec<&'a Entry>,
}

impl Case<'_> {
    fn number(&self, action: &str) -> usize {
        let all = self.entries.iter();
        all.filter(|entry| entry.action == action).count()
    }

    fn notify(&self) -> Option<Notify> {
        self.recipient.to.notify
    }

    fn wants_failure(&self) -> bool {
        self.mail.is_told && self.notify().is_none_or(|notify| notify.failure)
    }

    fn wants_success(&self) -> bool {
        self.mail.is_told && self.notify().is_some_and(|notify| notify.success)
    }

    /// RFC 2852 4: whether he hears of a server that passes his message on.
    fn is_traced(&self, by_server: bool) -> bool {
        let nothing = self.notify() == Some(Notify::NEVER);
        let asked = self
            .mail
            .by
            .is_some_and(|by| by.trace || by.mode == ByMode::Notify && !by_server);
        self.mail.is_told && !nothing && asked
    }

    /// Our operator's word for certain.
    fn is_ordered(&self, order: Order) -> bool {
        self.recipient
            .ordered
            .is_some_and(|(last, _)| last == order)
    }

    /// Failure is reported once, and not without a reason.
    fn judge_failure(&self) -> usize {
        let address = self.address;
        let failed = self.number("failed");
        assert!(
            failed <= usize::from(self.wants_failure()),
            "{address}: {:?}",
            self.entries
        );
        let dropped = self.is_ordered(Order::Drop);
        assert!(!(dropped && failed > 0), "{address}: dropped, and reported");
        let began = self.mail.release.unwrap_or(self.mail.posted);
        for failure in self.entries.iter().filter(|entry| entry.action == "failed") {
            let returned = self
                .mail
                .by
                .is_some_and(|by| by.mode == ByMode::Return && failure.at.plus(SECOND) >= by.at);
            let late = failure.at.since(began) >= PATIENCE || returned;
            assert!(
                late || self.recipient.to.may_fail,
                "{address}: nobody refused: {failure:?}"
            );
        }
        failed
    }

    /// Nobody got it: this must have a reason that somebody was told.
    fn judge_nobody(&self, failed: usize, count: &mut Count) {
        let dropped = self.is_ordered(Order::Drop) || self.recipient.may_be_dropped;
        match failed {
            0 if dropped => count.dropped += 1,
            0 => {
                assert!(!self.wants_failure(), "{}: lost", self.address);
                count.bounced += 1;
            }
            _ => count.bounced += 1,
        }
    }

    /// What is for a mailbox here comes there once.
    fn judge_here(&self, mailbox: &[Vec<u8>], count: &mut Count) {
        let address = self.address;
        let failed = self.judge_failure();
        let of_mail = |copy: &&Vec<u8>| copy.ends_with(&self.mail.content);
        let copies = mailbox.iter().filter(of_mail).count();
        match copies {
            0 => self.judge_nobody(failed, count),
            1 => {
                assert_eq!(failed, 0, "{address}: delivered, and reported as failed");
                let dropped = self.is_ordered(Order::Drop);
                assert!(!dropped, "{address}: dropped, and delivered");
                let told = usize::from(self.wants_success());
                assert_eq!(self.number("delivered"), told, "{address}");
                count.delivered += 1;
            }
            _ => panic!("{address}: {copies} copies"),
        }
    }
}

impl Book {
    fn judge(&self, case: &Case<'_>, count: &mut Count) {
        let address = case.address;
        let failed = case.judge_failure();
        let relayed = case.number("relayed");
        let may_be_told = case.wants_success() || case.is_traced(false);
        assert!(
            relayed <= usize::from(may_be_told),
            "{address}: {:?}",
            case.entries
        );
        let takings = case.recipient.takings.iter();
        let takings: Vec<_> = takings.map(|n| &self.takings[*n]).collect();
        // After the server's word nothing more goes there, unless ours ended before it was noted.
        let known = takings.iter().position(|taking| self.is_known(taking));
        if let Some(at) = known {
            assert_eq!(at + 1, takings.len(), "{address}: taken, and sent again");
            assert_eq!(failed, 0, "{address}: taken, and reported as failed");
            let offers = takings[at].acknowledged.unwrap();
            let told = case.wants_success() && !offers.dsn || case.is_traced(offers.deliver_by);
            // Of one whose report had no place at first, it may be forgotten.
            let forgotten = case.is_ordered(Order::Drop) || case.recipient.may_be_dropped;
            let is_right = relayed == usize::from(told) || forgotten && relayed == 0;
            assert!(is_right, "{address}: {told} {:?}", case.entries);
        }
        match takings.len() {
            0 => case.judge_nobody(failed, count),
            copies => {
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
        let recipient = recipient.rsplit(' ').next().unwrap();
        found.push(Entry {
            to: to.clone(),
            at: Timestamp::from_secs(at),
            // RFC 6533 3: as it is written where not all is UTF-8.
            recipient: recipient.replace("\\x{F6}", "\u{f6}"),
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
const SECOND: Duration = Duration::from_secs(1);
