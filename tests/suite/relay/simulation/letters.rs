//! What people write in the simulation: to whom, what, and what they want done with it.

use buzon::{
    base::ids::{AccountId, BlobId, MessageId},
    mail::{
        address::Address,
        dsn::Notify,
        envelope::{BodyKind, MailOptions, RcptOptions, ReversePath},
        urgency::{By, ByMode, Deadline, Hold, Priority},
    },
    queue::{NewMessage, record::Here},
    store::{Batch, Content, Engine as _},
};

use super::{
    Life,
    guard::Guard,
    ledger::{Mail, To},
    mood::one_of,
};

impl Life {
    /// Somebody writes to some people.
    pub(super) async fn post(&mut self) {
        self.letters += 1;
        let n = self.letters;
        let (sender, origin) = match self.chance.below(10) {
            0..6 => (format!("alice+m{n}@example.org"), Some(self.alice)),
            6..8 => (format!("m{n}@far.example"), None),
            8 => (format!("m\u{f6}{n}@far.example"), None),
            _ => (format!("null-{n}"), None),
        };
        let is_null = sender.starts_with("null-");
        let options = self.options();
        let mut to = self.addressees();
        if options.release.is_some() && self.chance.below(2) == 0 {
            to.push(To {
                address: format!("bob+m{n}@example.org"),
                notify: self.wish(),
                servers: Vec::new(),
                may_fail: false,
                guard: Guard::None,
            });
        }
        let smtputf8 = !sender.is_ascii() || to.iter().any(|to| !to.address.is_ascii());
        let returns = |by: Deadline| by.mode == ByMode::Return;
        let returns = options.deliver_by.is_some_and(returns);
        for to in to.iter_mut().filter(|to| !to.is_here()) {
            // A server that does not do it, or says so only with EHLO and refuses that.
            to.may_fail |= smtputf8 || returns || options.require_tls && !is_null;
        }
        let (content, body) = self.content();
        let message = self.message(&sender, origin, (&options, smtputf8), &to);
        let mail = Mail {
            content: content.clone(),
            posted: self.ground.clock.wall(),
            is_told: !is_null,
            release: options.release.map(|release| release.at),
            by: options.deliver_by,
            require_tls: options.require_tls,
        };
        self.ledger.posted(&sender, mail, to);
        let message = NewMessage {
            size: content.len() as u64,
            body,
            ..message
        };
        let mut batch = Batch::new();
        batch.body(message.blob, Content::Bytes(content.into()));
        self.node.services.queue.enqueue(&mut batch, &message);
        self.ground.memory.commit(batch).await.unwrap();
        self.node.services.queue.wake();
    }

    fn message(
        &self,
        sender: &str,
        origin: Option<AccountId>,
        (options, smtputf8): (&MailOptions, bool),
        to: &[To],
    ) -> NewMessage {
        let one = |to: &To| {
            let options = RcptOptions {
                notify: to.notify,
                original: None,
            };
            (Address::parse(&to.address).unwrap(), options)
        };
        let (here, elsewhere): (Vec<_>, Vec<_>) = to.iter().partition(|to| to.is_here());
        let accounts = here.into_iter().map(|to| {
            let (address, options) = one(to);
            let account = self.bob;
            (Here { account, tag: None }, address, options)
        });
        let (now, random) = (self.ground.clock.wall(), &self.ground.random);
        NewMessage {
            id: MessageId::fresh(now, random),
            sender: match sender.starts_with("null-") {
                true => ReversePath::Null,
                false => ReversePath::Address(Address::parse(sender).unwrap()),
            },
            rewritten: None,
            head: String::new(),
            recipients: elsewhere.into_iter().map(one).collect(),
            accounts: accounts.collect(),
            blob: BlobId::fresh(now, random),
            skipped: 0,
            size: 0,
            smtputf8,
            body: BodyKind::SevenBit,
            options: options.clone(),
            received: now,
            origin,
        }
    }

    /// Up to twenty people in up to four places.
    fn addressees(&self) -> Vec<To> {
        let n = self.letters;
        let mut to = Vec::new();
        for _ in 0..=self.chance.below(3) {
            let place = self.places.any(&self.chance);
            let initial = one_of(
                &self.chance,
                &["r", "r", "r", "r", "r", "r", "r", "r", "\u{f6}"],
            );
            for _ in 0..=self.chance.below(4) {
                let number = to.len();
                to.push(To {
                    address: format!("{initial}{number}.m{n}@{}", place.domain),
                    notify: self.wish(),
                    servers: place.servers.clone(),
                    may_fail: place.may_fail,
                    guard: place.guard,
                });
            }
        }
        to
    }

    /// What is wanted of all servers on the way.
    fn options(&self) -> MailOptions {
        let (chance, now) = (&self.chance, self.ground.clock.wall());
        let hold = one_of(chance, &[None, None, None, Some(3600), Some(20 * 3600)]);
        let release = hold.map(|secs| Hold::For(secs).from(now));
        let by = one_of(
            chance,
            &["", "", "", "", "7200;R", "90000;RT", "600;N", "80000;NT"],
        );
        let deliver_by = By::parse(by).map(|by| by.from(now));
        MailOptions {
            release,
            // RFC 2852 and 4865 together: nobody knows what that is to mean.
            deliver_by: deliver_by.filter(|_| release.is_none()),
            require_tls: chance.below(12) == 0,
            priority: Priority::new(one_of(chance, &[-9, 0, 0, 9])),
            ..MailOptions::default()
        }
    }

    fn wish(&self) -> Option<Notify> {
        let words = ["FAILURE", "SUCCESS", "SUCCESS,FAILURE,DELAY", "NEVER"];
        let word = words.get(usize::try_from(self.chance.below(8)).unwrap())?;
        Notify::parse(word)
    }

    /// Lines with dots, eight-bit text, what is no lines at all, and now and then more than a pipe
    /// or a chunk holds.
    fn content(&self) -> (Vec<u8>, BodyKind) {
        let n = self.letters;
        let line = one_of(
            &self.chance,
            &[
                "text\r\n",
                ".\r\n",
                "..dots\r\n",
                "caf\u{e9}\r\n",
                "\0\n.\r\rx",
            ],
        );
        let lines = one_of(&self.chance, &[1, 3, 40, 12_000, 45_000]);
        let lines = if lines > 40 && !n.is_multiple_of(9) {
            5
        } else {
            lines
        };
        let (kind, fields) = match line {
            binary if binary.contains('\0') => (
                BodyKind::Binary,
                "MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n\
                 Content-Transfer-Encoding: binary\r\n",
            ),
            ascii if ascii.is_ascii() => (BodyKind::SevenBit, ""),
            _ => (BodyKind::EightBit, ""),
        };
        let text = format!("Subject: {n}\r\n{fields}\r\n{}", line.repeat(lines));
        (text.into_bytes(), kind)
    }
}
