//! A client that believes what it is told, and remembers it when it is away.

use std::collections::{BTreeMap, BTreeSet};

use super::super::client::{Answer, ImapClient, fetched};
use crate::support::server::TestServer;

/// How much of RFC 7162 a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Speaks {
    Plain,
    Condstore,
    Qresync,
}

/// What a client says of what it knows when it comes back (RFC 7162 3.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// Only since when.
    Nothing,
    /// Which UIDs.
    Uids,
    /// Which UIDs, and which number some of them had.
    Numbers,
}

/// What a client remembers of a mailbox.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) uid_validity: u32,
    /// As RFC 7162 6 has clients compute it.
    pub(super) highest: u64,
    pub(super) flags: BTreeMap<u32, BTreeSet<String>>,
    /// It knew that there were more messages, and left before it asked for them.
    pub(super) incomplete: bool,
}

/// A client and what it believes.
pub(super) struct Believer {
    pub(super) name: char,
    pub(super) speaks: Speaks,
    pub(super) client: ImapClient,
    pub(super) selected: Option<&'static str>,
    pub(super) read_only: bool,
    /// By message number; the UID when it was told.
    pub(super) messages: Vec<Option<u32>>,
    pub(super) memory: Memory,
    /// What it remembers of the mailboxes it was in, when it was told so.
    pub(super) memories: BTreeMap<&'static str, Memory>,
    pub(super) modseqs: BTreeMap<u32, u64>,
    /// Of the command under way: highest MODSEQ, and HIGHESTMODSEQ if it was said.
    heard: (u64, Option<u64>),
}

impl Memory {
    /// Known UIDs, and the numbers of every second and third of them.
    fn details(&self, says: Says) -> String {
        let known: Vec<u32> = self.flags.keys().copied().collect();
        let set = |numbers: &mut dyn Iterator<Item = String>| {
            let numbers: Vec<String> = numbers.collect();
            numbers.join(",")
        };
        if says == Says::Nothing || known.is_empty() {
            return String::new();
        }
        let uids = set(&mut known.iter().map(u32::to_string));
        // Whoever does not know all messages does not know their numbers.
        if says == Says::Uids || self.incomplete {
            return format!(" {uids}");
        }
        let some = || {
            (1_usize..)
                .zip(&known)
                .filter(|(n, _)| n % 2 == 0 || n % 3 == 1)
        };
        let numbers = set(&mut some().map(|(number, _)| number.to_string()));
        let theirs = set(&mut some().map(|(_, uid)| uid.to_string()));
        format!(" {uids} ({numbers} {theirs})")
    }
}

impl Believer {
    pub(super) async fn new(server: &TestServer, name: char, speaks: Speaks) -> Self {
        let client = ImapClient::log_in(server, "alice").await;
        let mut believer = Self {
            name,
            speaks,
            client,
            selected: None,
            read_only: false,
            messages: Vec::new(),
            memory: Memory::default(),
            memories: BTreeMap::new(),
            modseqs: BTreeMap::new(),
            heard: (0, None),
        };
        believer.greet().await;
        believer
    }

    async fn greet(&mut self) {
        match self.speaks {
            Speaks::Plain => {}
            Speaks::Condstore => drop(self.ask("ENABLE CONDSTORE").await),
            Speaks::Qresync => drop(self.ask("ENABLE QRESYNC").await),
        }
    }

    /// Comes back after the connection was lost; nothing is forgotten.
    pub(super) async fn reconnect(&mut self, server: &TestServer) {
        self.leave();
        self.client = ImapClient::log_in(server, "alice").await;
        self.greet().await;
    }

    /// Is in no mailbox any more.
    pub(super) fn leave(&mut self) {
        if let Some(name) = self.selected.take() {
            let mut memory = std::mem::take(&mut self.memory);
            memory.incomplete = self.messages.contains(&None);
            self.memories.insert(name, memory);
        }
        self.messages.clear();
        self.modseqs.clear();
    }

    /// SELECT or EXAMINE: as one who was there before, when it can.
    pub(super) async fn select(&mut self, name: &'static str, read_only: bool, says: Says) {
        self.leave();
        let verb = if read_only { "EXAMINE" } else { "SELECT" };
        let mut known = self.memories.get(name).cloned().unwrap_or_default();
        let resyncs = self.speaks == Speaks::Qresync && known.highest > 0;
        let mut command = format!("{verb} {name}");
        if resyncs {
            let Memory {
                uid_validity,
                highest,
                ..
            } = known;
            let details = known.details(says);
            // New messages are found as they are by one who was never here.
            known.incomplete |= !details.is_empty();
            command.push_str(&format!(" (QRESYNC ({uid_validity} {highest}{details}))"));
        } else if self.speaks == Speaks::Condstore {
            command.push_str(" (CONDSTORE)");
        }
        self.selected = Some(name);
        self.read_only = read_only;
        self.memory = if resyncs { known } else { Memory::default() };
        let before = self.memory.uid_validity;
        let answer = self.ask(&command).await;
        if answer.completion.starts_with("NO [NONEXISTENT]") {
            self.selected = None;
            self.memory = Memory::default();
            self.memories.remove(name);
            return;
        }
        answer.ok();
        if before != 0 && before != self.memory.uid_validity {
            // Another mailbox of the same name: nothing that was known is true.
            self.memory.flags.clear();
        } else if resyncs {
            self.place_what_is_known();
        }
        self.modseqs.clear();
        self.learn_uids().await;
    }

    /// After a resynchronisation all that is there is known, and which number it has; what was
    /// never asked for is found as new messages are (RFC 7162 6, step d 2).
    fn place_what_is_known(&mut self) {
        let told: BTreeSet<u32> = self.messages.iter().flatten().copied().collect();
        let known: Vec<u32> = self.memory.flags.keys().copied().collect();
        if !self.memory.incomplete {
            assert_eq!(known.len(), self.messages.len(), "{known:?}");
        }
        let mut rest = known.into_iter().filter(|uid| !told.contains(uid));
        for message in self.messages.iter_mut().filter(|message| message.is_none()) {
            *message = rest.next();
        }
        assert_eq!(rest.next(), None);
        self.memory.incomplete = false;
        assert!(self.messages.iter().flatten().is_sorted());
    }

    /// Asks, and believes the answer.
    pub(super) async fn ask(&mut self, command: &str) -> Answer {
        println!("{} {command}", self.name);
        let answer = self.client.ask(command).await;
        self.believe_all(command, &answer);
        answer
    }

    pub(super) fn believe_all(&mut self, command: &str, answer: &Answer) {
        let uses_numbers = ["FETCH", "STORE", "SEARCH"]
            .iter()
            .any(|verb| command.starts_with(verb));
        for response in &answer.untagged {
            let text = String::from_utf8_lossy(response).into_owned();
            println!("  {} * {text}", self.name);
            self.hear_code(&text);
            let mut words = text.split(' ');
            let (first, second) = (words.next().unwrap(), words.next().unwrap_or_default());
            let number = || first.parse::<usize>().unwrap();
            match (first, second) {
                ("VANISHED", "(EARLIER)") => self.vanished_earlier(words.next().unwrap()),
                ("VANISHED", set) => {
                    assert!(!uses_numbers, "{command}: {text}");
                    assert_eq!(self.speaks, Speaks::Qresync);
                    self.vanished(set);
                }
                (_, "EXPUNGE") => {
                    assert!(!uses_numbers, "{command}: {text}");
                    assert!(self.speaks < Speaks::Qresync);
                    let gone = self.messages.remove(number() - 1);
                    gone.map(|uid| self.memory.flags.remove(&uid));
                }
                (_, "EXISTS") => {
                    assert!(number() >= self.messages.len(), "{command}: {text}");
                    self.messages.resize(number(), None);
                }
                (_, "FETCH") => self.believe(response),
                _ => {}
            }
        }
        println!("  {} {}", self.name, answer.completion);
        self.hear_code(&answer.completion);
        let (modseq, highest) = std::mem::take(&mut self.heard);
        // RFC 7162 6
        self.memory.highest = highest.unwrap_or_else(|| self.memory.highest.max(modseq));
    }

    fn hear_code(&mut self, text: &str) {
        let code = |name: &str| {
            let (_, rest) = text.split_once(&format!("OK [{name} "))?;
            rest.split_once(']')?.0.parse::<u64>().ok()
        };
        if let Some(modseq) = code("HIGHESTMODSEQ") {
            self.heard.1 = Some(modseq);
        }
        if let Some(validity) = code("UIDVALIDITY") {
            self.memory.uid_validity = u32::try_from(validity).unwrap();
        }
    }

    fn vanished_earlier(&mut self, set: &str) {
        for (first, last) in ranges(set) {
            for uid in first..=last {
                assert!(
                    !self.messages.contains(&Some(uid)),
                    "{uid} is still counted"
                );
                self.memory.flags.remove(&uid);
            }
        }
    }

    fn vanished(&mut self, set: &str) {
        for (first, last) in ranges(set) {
            for uid in first..=last {
                let known = self.messages.iter().position(|told| *told == Some(uid));
                // A message whose UID it has not asked for yet is one of the newest.
                let unknown = || self.messages.iter().position(Option::is_none);
                self.messages.remove(known.or_else(unknown).unwrap());
                self.memory.flags.remove(&uid);
            }
        }
    }

    fn believe(&mut self, response: &[u8]) {
        let (number, items) = fetched(response).unwrap();
        let at = usize::try_from(number).unwrap() - 1;
        let text = |name: &str| {
            let value = items.get(name)?.clone();
            Some(String::from_utf8(value).unwrap())
        };
        let modseq = text("MODSEQ").map(|text| {
            let number = text.trim_matches(['(', ')']);
            number.parse::<u64>().unwrap()
        });
        if let Some(uid) = text("UID") {
            let uid = uid.parse().unwrap();
            let known = self.messages[at].is_none_or(|known| known == uid);
            assert!(known, "number {number} moved");
            self.messages[at] = Some(uid);
        }
        self.heard.0 = self.heard.0.max(modseq.unwrap_or(0));
        let Some(uid) = self.messages[at] else { return };
        if let Some(modseq) = modseq {
            let before = self.modseqs.insert(uid, modseq);
            assert!(before.is_none_or(|before| before <= modseq), "MODSEQ fell");
        }
        if let Some(flags) = text("FLAGS") {
            let flags = flags.trim_matches(['(', ')']);
            let flags = flags.split_whitespace().filter(|flag| *flag != "\\Recent");
            let flags = flags.map(str::to_owned).collect();
            self.memory.flags.insert(uid, flags);
        }
    }

    /// Asks for the UIDs and flags of what is new.
    pub(super) async fn learn_uids(&mut self) {
        while self.selected.is_some() && self.messages.contains(&None) {
            let known = self.messages.iter().flatten().max().copied().unwrap_or(0);
            let unknown = self.messages.iter().position(Option::is_none);
            // After a resynchronisation old ones are known without their numbers.
            let first = match unknown {
                Some(0) => 1,
                Some(at) => self.messages[at - 1].map_or(1, |uid| uid + 1),
                None => known + 1,
            };
            self.ask(&format!("UID FETCH {first}:* (FLAGS)")).await.ok();
        }
    }

    pub(super) fn uids(&self) -> Vec<u32> {
        self.messages.iter().map(|uid| uid.unwrap()).collect()
    }
}

/// `1:3,5`
pub(super) fn ranges(set: &str) -> Vec<(u32, u32)> {
    let number = |text: &str| text.parse().unwrap();
    let range = |item: &str| match item.split_once(':') {
        Some((first, last)) => (number(first), number(last)),
        None => (number(item), number(item)),
    };
    set.split(',').map(range).collect()
}
