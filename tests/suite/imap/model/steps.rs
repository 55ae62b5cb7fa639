//! What happens: one random step after the other, and what the model makes of it.

use std::collections::{BTreeMap, BTreeSet};

use buzon::{
    base::{
        ids::{AccountId, Uid},
        random::Random,
    },
    mailbox::{FlagChange, FlagMode, FlagSet, Index, Keyword, Name, SystemFlags},
    store::{Engine as _, Order, PageLimit, fault::CommitFault, key},
};

use super::{
    super::client::{server_with_alice, try_to_deliver},
    believer::{Believer, Says, Speaks, ranges},
    commands::Effect,
    truth::{Message, Model, NAMES, Seen, look},
};
use crate::support::server::TestServer;

pub(super) struct World {
    pub(super) server: TestServer,
    pub(super) alice: AccountId,
    pub(super) random: Random,
    pub(super) clients: Vec<Believer>,
    pub(super) model: Model,
    pub(super) seen: BTreeMap<&'static str, Seen>,
    /// What each email says, by its number.
    pub(super) texts: BTreeMap<u64, String>,
    /// The text of the message that was made last.
    pub(super) newest: String,
    /// What messages say whose emails have no number yet.
    pub(super) pending: BTreeMap<(&'static str, u32), String>,
    pub(super) count: usize,
    /// How often history may be made longer than it is kept.
    storms: usize,
}

/// More than the marks that history is kept for.
const STORM_MARKS: usize = 19;
/// So many records of a log make the next mark due.
const STORM_RECORDS: usize = 258;

impl World {
    pub(super) async fn new(seed: u64) -> Self {
        let (server, alice) = server_with_alice().await;
        let mut world = Self {
            server,
            alice,
            random: Random::seeded(seed),
            clients: Vec::new(),
            model: Model::new(),
            seen: BTreeMap::new(),
            texts: BTreeMap::new(),
            newest: String::new(),
            pending: BTreeMap::new(),
            count: 0,
            storms: usize::from(seed % 8 == 3),
        };
        for (name, speaks) in [
            ('A', Speaks::Plain),
            ('B', Speaks::Condstore),
            ('C', Speaks::Qresync),
            ('D', Speaks::Qresync),
        ] {
            let believer = Believer::new(&world.server, name, speaks).await;
            world.clients.push(believer);
        }
        world.adopt().await;
        world
    }

    pub(super) fn below(&self, bound: usize) -> usize {
        usize::try_from(self.random.below(bound as u64)).unwrap()
    }

    pub(super) async fn step(&mut self) {
        let who = self.below(self.clients.len());
        // Few histories can wait for so many changes.
        if self.storms > 0 && self.below(40) == 0 {
            self.storms -= 1;
            self.storm().await;
        }
        match self.below(24) {
            0..3 => self.deliver().await,
            3..5 => self.select(who).await,
            5..7 => self.converge(who).await,
            7 => self.at_once().await,
            8 => {
                // DUR-01: what is refused because the store failed has not happened.
                let nth = 1 + self.random.below(2);
                self.server.engine.fail_commit(nth, CommitFault::Full);
                self.act(who).await;
            }
            9 => self.crash(who).await,
            10 => self.rename_or_delete(who).await,
            11 => self.idle(who).await,
            12 => self.tend().await,
            13 => self.search(who).await,
            14 => self.changed_since(who).await,
            _ => self.act(who).await,
        }
        for client in &mut self.clients {
            client.learn_uids().await;
        }
        self.check().await;
    }

    /// Every client comes to the truth, and every message says what it should.
    pub(super) async fn end(&mut self) {
        for who in 0..self.clients.len() {
            self.converge(who).await;
        }
        for name in NAMES {
            let client = &mut self.clients[0];
            client.select(name, true, Says::Nothing).await;
            if client.selected.is_none() || client.messages.is_empty() {
                continue;
            }
            let answer = client.ask("UID FETCH 1:* (BODY.PEEK[])").await.ok();
            for (_, items) in answer.fetched() {
                let uid: u32 = String::from_utf8_lossy(&items["UID"]).parse().unwrap();
                let email = self.seen[name].mailbox.messages[&uid].email;
                // What came at the same time as others is not known by its text.
                let Some(text) = self.texts.get(&email) else {
                    continue;
                };
                let body = String::from_utf8_lossy(&items["BODY[]"]);
                assert!(body.contains(text.as_str()), "{body} is not {text}");
            }
        }
    }

    pub(super) fn new_text(&mut self) -> String {
        self.count += 1;
        self.newest = format!("text {} of this history", self.count);
        format!("Subject: x\r\n\r\n{}\r\n", self.newest)
    }

    /// As SMTP delivers. It may meet a failure that no client has met.
    async fn deliver(&mut self) {
        let text = self.new_text();
        let delivered = try_to_deliver(&self.server, self.alice, text.as_bytes()).await;
        if delivered.is_ok() {
            self.add("INBOX", BTreeSet::new());
        }
    }

    pub(super) fn add(&mut self, name: &'static str, flags: BTreeSet<String>) {
        let mailbox = self.model.get_mut(name).unwrap();
        let message = Message { flags, email: 0 };
        mailbox.messages.insert(mailbox.uid_next, message);
        let place = (name, mailbox.uid_next);
        self.pending.insert(place, self.newest.clone());
        mailbox.uid_next += 1;
    }

    async fn select(&mut self, who: usize) {
        let (name, read_only) = (NAMES[self.below(3)], self.below(5) == 0);
        let says = [Says::Nothing, Says::Uids, Says::Numbers][self.below(3)];
        let client = &mut self.clients[who];
        client.select(name, read_only, says).await;
        let there = self.model.get(name);
        assert_eq!(there.is_some(), self.clients[who].selected.is_some());
        self.knows_all(who);
    }

    /// The client remembers exactly what is there.
    fn knows_all(&self, who: usize) {
        let client = &self.clients[who];
        let Some(name) = client.selected else { return };
        let there = &self.model[name].messages;
        let flags: BTreeMap<_, _> = there
            .iter()
            .map(|(uid, m)| (*uid, m.flags.clone()))
            .collect();
        assert_eq!(client.memory.flags, flags, "{} in {name}", client.name);
        assert_eq!(client.uids(), there.keys().copied().collect::<Vec<_>>());
    }

    /// After NOOP the client knows everything.
    async fn converge(&mut self, who: usize) {
        let client = &mut self.clients[who];
        if client.selected.is_none() {
            return;
        }
        client.ask("NOOP").await.ok();
        client.learn_uids().await;
        self.knows_all(who);
    }

    /// One command of one client, and its effect.
    async fn act(&mut self, who: usize) {
        let command = self.command(who);
        let answer = self.clients[who].ask(&command.text).await;
        let name = self.clients[who].selected;
        self.obey(who, name, &command, &answer.completion);
    }

    /// Several commands at the same time: only the rules are checked, and that clients converge.
    async fn at_once(&mut self) {
        let commands: Vec<_> = (0..self.clients.len())
            .map(|who| self.command(who))
            .collect();
        let [a, b, c, d] = &mut self.clients[..] else {
            panic!("four clients")
        };
        tokio::join!(
            a.ask(&commands[0].text),
            b.ask(&commands[1].text),
            c.ask(&commands[2].text),
            d.ask(&commands[3].text),
        );
        self.adopt().await;
        for who in 0..self.clients.len() {
            self.clients[who].learn_uids().await;
            // A silent change may be another than the client thinks: let it look.
            if self.clients[who].selected.is_some() && !self.clients[who].messages.is_empty() {
                let all = "UID FETCH 1:* (FLAGS)";
                self.clients[who].ask(all).await.ok();
            }
        }
        self.adopt().await;
    }

    /// A commit is the last one: it happened, or not; nothing else is different after the restart.
    async fn crash(&mut self, who: usize) {
        let how = [CommitFault::CrashBefore, CommitFault::CrashAfter][self.below(2)];
        self.server.engine.fail_commit(1, how);
        let (command, name) = (self.command(who), self.clients[who].selected);
        let answer = self.clients[who].ask(&command.text).await;
        self.restart().await;
        let said = &answer.completion;
        if said.starts_with("OK") || !self.is_true(&self.model).await {
            match &command.effect {
                // The client heard a number, or not; the model would have to guess.
                Effect::Append(..) | Effect::Store { since: Some(_), .. } => {}
                Effect::Nothing | Effect::Store { .. } | Effect::Expunge(_) | Effect::Copy(..) => {
                    self.obey(who, name, &command, "OK");
                    assert!(
                        self.is_true(&self.model).await,
                        "half done: {}",
                        command.text
                    );
                }
            }
            self.adopt().await;
        }
    }

    async fn restart(&mut self) {
        println!("== restart");
        self.server.restart().await;
        for client in &mut self.clients {
            client.reconnect(&self.server).await;
        }
    }

    /// Whether the server has what `model` says.
    async fn is_true(&self, model: &Model) -> bool {
        for name in NAMES {
            let there = look(&self.server, self.alice, name).await;
            let there = there.map(|seen| seen.mailbox);
            let same = match (&there, model.get(name)) {
                (Some(there), Some(said)) => {
                    let numbers = |m: &super::truth::Mailbox| m.messages.keys().copied().collect();
                    let (a, b): (Vec<u32>, Vec<u32>) = (numbers(there), numbers(said));
                    let flags = |m: &super::truth::Mailbox| {
                        let flags = m.messages.values().map(|message| message.flags.clone());
                        flags.collect::<Vec<_>>()
                    };
                    a == b && flags(there) == flags(said)
                }
                (None, None) => true,
                _ => false,
            };
            if !same {
                return false;
            }
        }
        true
    }

    /// CREATE, RENAME and DELETE of the mailbox that comes and goes; nobody is in it then.
    async fn rename_or_delete(&mut self, who: usize) {
        for client in &mut self.clients {
            if client.selected == Some("fleeting") {
                client.ask("UNSELECT").await.ok();
                client.leave();
            }
        }
        let client = &mut self.clients[who];
        if self.model.contains_key("fleeting") {
            if self.random.below(2) == 0 {
                for (from, to) in [("fleeting", "other"), ("other", "fleeting")] {
                    let rename = format!("RENAME {from} {to}");
                    // Faults may wait for the next commits.
                    while !client.ask(&rename).await.completion.starts_with("OK") {}
                }
            } else if client
                .ask("DELETE fleeting")
                .await
                .completion
                .starts_with("OK")
            {
                self.model.remove("fleeting");
                self.seen.remove("fleeting");
            }
        } else {
            client.ask("CREATE fleeting").await;
            self.adopt().await;
        }
    }

    /// A client idles while another one acts.
    async fn idle(&mut self, who: usize) {
        let other = (who + 1) % self.clients.len();
        if self.clients[who].selected.is_none() {
            return;
        }
        println!("{} IDLE", self.clients[who].name);
        self.clients[who].client.idle().await;
        self.act(other).await;
        self.deliver().await;
        crate::support::client::settle().await;
        let answer = self.clients[who].client.done().await.ok();
        self.clients[who].believe_all("IDLE", &answer);
        self.clients[who].learn_uids().await;
        self.knows_all(who);
    }

    /// The upkeep packs the mailboxes and trims their logs.
    async fn tend(&self) {
        let stop = tokio::time::sleep(std::time::Duration::from_secs(6));
        self.server.mailboxes.maintain(stop).await;
    }

    /// So many changes, and upkeep between them, that the log of a mailbox does not reach back to
    /// before: who was away is told of the gaps between UIDs.
    async fn storm(&self) {
        let name = NAMES[self.below(2)];
        let Some(uid) = self
            .model
            .get(name)
            .and_then(|it| it.messages.keys().next())
        else {
            return;
        };
        println!("a storm in {name}");
        let wanted = Name::parse(name).unwrap();
        let mailboxes = &self.server.mailboxes;
        let entry = mailboxes.find(self.alice, &wanted).await.unwrap().unwrap();
        let opened = mailboxes.open(self.alice, entry.id).await.unwrap();
        let uid = Uid::new(*uid).unwrap();
        let before = opened.read(Index::modseq);
        for _ in 0..STORM_MARKS {
            for _ in 0..STORM_RECORDS / 2 {
                for mode in [FlagMode::Add, FlagMode::Remove] {
                    let keyword = Keyword::parse("$Storm").unwrap();
                    let flags = FlagSet::new(SystemFlags::NONE, vec![keyword]);
                    let change = FlagChange { mode, flags };
                    opened.store_flags(&[uid], &change).await.unwrap();
                }
            }
            self.tend().await;
        }
        let records = u64::try_from(STORM_MARKS * STORM_RECORDS).unwrap();
        assert_eq!(opened.read(Index::modseq).0, before.0 + records);
        // The store says so: history that was trimmed is told by the gaps.
        let logs = key::logs(self.alice, entry.id).prefix_range();
        let page = PageLimit::entries(1);
        let page = self
            .server
            .engine
            .page(logs, page, Order::Ascending)
            .await
            .unwrap();
        let (first, _) = page.entries.first().unwrap();
        assert!(first.last_u64().unwrap() > before.0, "nothing was trimmed");
    }

    /// A search finds what the client sees and is there.
    async fn search(&mut self, who: usize) {
        let Some(name) = self.clients[who].selected else {
            return;
        };
        let known = self.clients[who].uids();
        let flag = self.flag();
        let key = match flag.strip_prefix('\\') {
            Some(system) => system.to_uppercase(),
            None => format!("KEYWORD {flag}"),
        };
        let answer = self.clients[who]
            .ask(&format!("UID SEARCH {key}"))
            .await
            .ok();
        let line = answer
            .untagged
            .iter()
            .find(|line| line.starts_with(b"SEARCH"));
        let found = String::from_utf8_lossy(line.unwrap()).into_owned();
        let found = found.split(' ').skip(1).map(|uid| uid.parse().unwrap());
        let there = &self.model[name].messages;
        let wanted = known.iter().copied().filter(|uid| {
            let message = there.get(uid);
            message.is_some_and(|message| message.flags.contains(flag))
        });
        assert_eq!(found.collect::<Vec<u32>>(), wanted.collect::<Vec<_>>());
    }

    /// FETCH (CHANGEDSINCE) tells exactly what changed since, and what is gone since.
    async fn changed_since(&mut self, who: usize) {
        let client = &mut self.clients[who];
        let Some(name) = client.selected.filter(|_| client.speaks == Speaks::Qresync) else {
            return;
        };
        let before = &self.seen[name];
        let since = 1 + self.random.below(before.highest);
        let text = format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {since} VANISHED)");
        let answer = client.ask(&text).await.ok();
        let told: BTreeMap<u32, u64> = client.modseqs.clone();
        let mut vanished = BTreeSet::new();
        for line in &answer.untagged {
            let line = String::from_utf8_lossy(line).into_owned();
            if let Some(set) = line.strip_prefix("VANISHED (EARLIER) ") {
                vanished.extend(ranges(set).into_iter().flat_map(|(a, b)| a..=b));
            }
        }
        let fetched: BTreeSet<u32> = answer
            .fetched()
            .iter()
            .map(|(_, items)| String::from_utf8_lossy(&items["UID"]).parse().unwrap())
            .collect();
        for (uid, modseq) in &before.modseqs {
            assert!(!vanished.contains(uid), "{uid} is there");
            if *modseq > since && client.messages.contains(&Some(*uid)) {
                assert!(fetched.contains(uid), "{uid} changed at {modseq}");
                assert_eq!(told[uid], *modseq);
            }
        }
        for (uid, at_least) in &before.gone {
            let is_told = *at_least <= since || vanished.contains(uid);
            assert!(is_told, "{uid} is gone since {at_least}");
        }
        assert!(vanished.iter().all(|uid| *uid < before.mailbox.uid_next));
        client.learn_uids().await;
    }

    /// Every mailbox is as the model says, and its numbers keep their rules.
    async fn check(&mut self) {
        for name in NAMES {
            let seen = look(&self.server, self.alice, name).await;
            let there = self.model.get_mut(name);
            assert_eq!(seen.is_some(), there.is_some(), "{name}");
            let (Some(seen), Some(said)) = (seen, there) else {
                continue;
            };
            for (uid, message) in &mut said.messages {
                // What was added is an email that nobody knew.
                if let Some(text) = self.pending.remove(&(name, *uid)) {
                    message.email = seen.mailbox.messages[uid].email;
                    assert!(self.texts.insert(message.email, text).is_none());
                }
            }
            assert_eq!(seen.mailbox, *said, "{name}");
            self.seen
                .entry(name)
                .or_insert_with(|| seen.clone())
                .follow(seen);
        }
    }

    /// Takes over what the server has, whatever it is.
    async fn adopt(&mut self) {
        for name in NAMES {
            match look(&self.server, self.alice, name).await {
                Some(seen) => {
                    self.model.insert(name, seen.mailbox.clone());
                    self.seen
                        .entry(name)
                        .or_insert_with(|| seen.clone())
                        .follow(seen);
                }
                None => {
                    self.model.remove(name);
                    self.seen.remove(name);
                }
            }
        }
    }
}
