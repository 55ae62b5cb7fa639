//! Commands about messages, and what they do to the model when the server says they are done.

use std::collections::BTreeSet;

use super::{
    believer::{Speaks, ranges},
    steps::World,
    truth::NAMES,
};

/// A command about messages, and what it means.
pub(super) struct Command {
    pub(super) text: String,
    pub(super) effect: Effect,
}

/// What a command does to the mailboxes when it is obeyed.
pub(super) enum Effect {
    Nothing,
    Append(&'static str, BTreeSet<String>),
    /// These messages, but those that changed since.
    Store {
        uids: Vec<u32>,
        mode: char,
        flags: BTreeSet<String>,
        since: Option<u64>,
    },
    Expunge(Option<Vec<u32>>),
    Copy(Vec<u32>, &'static str, bool),
}

impl World {
    pub(super) fn flag(&self) -> &'static str {
        ["\\Seen", "\\Deleted", "\\Flagged", "Work"][self.below(4)]
    }

    /// Some of the messages that a client sees: a set of numbers, of UIDs, and the UIDs.
    fn some(&self, who: usize) -> Option<(String, String, Vec<u32>)> {
        let uids = self.clients[who].uids();
        let first = self.below(uids.len().checked_sub(1)? + 1);
        let last = (first + self.below(4)).min(uids.len() - 1);
        let some = uids[first..=last].to_vec();
        let numbers = format!("{}:{}", first + 1, last + 1);
        let set = format!("{}:{}", uids[first], uids[last]);
        Some((numbers, set, some))
    }

    pub(super) fn command(&mut self, who: usize) -> Command {
        let nothing = |text: String| Command {
            text,
            effect: Effect::Nothing,
        };
        let target = NAMES[self.below(3)];
        if self.below(6) == 0 {
            let flag = self.flag();
            let text = self.new_text();
            let text = format!("APPEND {target} ({flag}) {{{}+}}\r\n{text}", text.len());
            let effect = Effect::Append(target, BTreeSet::from([flag.to_owned()]));
            return Command { text, effect };
        }
        let client = &self.clients[who];
        if client.selected.is_none() {
            return nothing("STATUS INBOX (MESSAGES HIGHESTMODSEQ)".to_owned());
        }
        let Some((numbers, set, some)) = self.some(who) else {
            return nothing("CHECK".to_owned());
        };
        if client.read_only {
            return match self.below(3) {
                0 => nothing(format!("FETCH {numbers} (BODY[])")),
                1 => nothing(format!("UID FETCH {set} (FLAGS)")),
                _ => nothing(format!("FETCH {numbers} (UID FLAGS)")),
            };
        }
        let by_uid = self.below(2) == 0;
        let named = match by_uid {
            true => ("UID ", &set),
            false => ("", &numbers),
        };
        let (uid, which) = named;
        let (text, effect) = match self.below(12) {
            0 => ("EXPUNGE".to_owned(), Effect::Expunge(None)),
            1 => (format!("UID EXPUNGE {set}"), Effect::Expunge(Some(some))),
            2 | 3 => {
                let effect = Effect::Copy(some, target, false);
                (format!("{uid}COPY {which} {target}"), effect)
            }
            4 => {
                let effect = Effect::Copy(some, target, true);
                (format!("{uid}MOVE {which} {target}"), effect)
            }
            5 => {
                let seen = BTreeSet::from(["\\Seen".to_owned()]);
                let effect = Effect::Store {
                    uids: some,
                    mode: '+',
                    flags: seen,
                    since: None,
                };
                (format!("{uid}FETCH {which} (BODY[TEXT])"), effect)
            }
            6 => (format!("FETCH {numbers} (UID FLAGS)"), Effect::Nothing),
            _ => self.store(who, &format!("{uid}STORE {which}"), some),
        };
        Command { text, effect }
    }

    fn store(&self, who: usize, start: &str, uids: Vec<u32>) -> (String, Effect) {
        let (mode, flag) = (['+', '-', '='][self.below(3)], self.flag());
        let client = &self.clients[who];
        let conditional = client.speaks > Speaks::Plain && self.below(2) == 0;
        let since = conditional.then(|| match self.below(3) {
            0 => client.memory.highest,
            1 => self.random.below(client.memory.highest + 1),
            _ => self.seen[client.selected.unwrap()].highest,
        });
        let condition = since.map_or(String::new(), |n| format!(" (UNCHANGEDSINCE {n})"));
        let sign = if mode == '=' {
            String::new()
        } else {
            mode.to_string()
        };
        let silent = if self.below(2) == 0 { ".SILENT" } else { "" };
        let effect = Effect::Store {
            uids,
            mode,
            flags: BTreeSet::from([flag.to_owned()]),
            since,
        };
        let text = format!("{start}{condition} {sign}FLAGS{silent} ({flag})");
        (text, effect)
    }

    /// Does to the model what the server says it did.
    pub(super) fn obey(
        &mut self,
        who: usize,
        name: Option<&'static str>,
        command: &Command,
        completion: &str,
    ) {
        let by_uid = command.text.starts_with("UID ");
        let is_done = completion.starts_with("OK");
        match &command.effect {
            Effect::Nothing => {}
            Effect::Append(target, flags) => {
                if is_done {
                    let mailbox = &self.model[target];
                    let (validity, uid) = (mailbox.uid_validity, mailbox.uid_next);
                    let code = format!("[APPENDUID {validity} {uid}]");
                    assert!(completion.contains(&code), "{completion}");
                    self.add(target, flags.clone());
                    self.silently(who, target, &[(uid, flags.clone())]);
                }
            }
            Effect::Store {
                uids,
                mode,
                flags,
                since,
            } => {
                let name = name.unwrap();
                let partly =
                    completion.contains("[EXPUNGEISSUED]") || completion.contains("[MODIFIED");
                if !is_done && !partly {
                    return;
                }
                let modseqs = &self.seen[name].modseqs;
                let there = uids.iter().filter(|uid| modseqs.contains_key(uid));
                let (fit, refused): (Vec<u32>, Vec<u32>) =
                    there.partition(|uid| since.is_none_or(|since| modseqs[uid] <= since));
                self.check_modified(who, completion, by_uid, &refused);
                let mut news = Vec::new();
                for uid in fit {
                    let mailbox = self.model.get_mut(name).unwrap();
                    let message = mailbox.messages.get_mut(&uid).unwrap();
                    match mode {
                        '+' => message.flags.extend(flags.iter().cloned()),
                        '-' => message.flags.retain(|flag| !flags.contains(flag)),
                        _ => message.flags.clone_from(flags),
                    }
                    news.push((uid, message.flags.clone()));
                }
                self.silently(who, name, &news);
            }
            Effect::Expunge(which) => {
                if is_done {
                    let mailbox = self.model.get_mut(name.unwrap()).unwrap();
                    mailbox.messages.retain(|uid, message| {
                        let named = which.as_ref().is_none_or(|uids| uids.contains(uid));
                        !(named && message.flags.contains("\\Deleted"))
                    });
                }
            }
            Effect::Copy(uids, target, moves) => {
                if is_done {
                    self.transfer(name.unwrap(), uids, target, *moves);
                }
            }
        }
    }

    /// What a client knows of its own doing without being told.
    fn silently(&mut self, who: usize, name: &str, news: &[(u32, BTreeSet<String>)]) {
        let client = &mut self.clients[who];
        if client.selected != Some(name) {
            return;
        }
        for (uid, flags) in news {
            if let Some(known) = client.memory.flags.get_mut(uid) {
                known.clone_from(flags);
            }
        }
    }

    fn check_modified(&self, who: usize, completion: &str, by_uid: bool, refused: &[u32]) {
        let said = completion.split_once("[MODIFIED ");
        let said = said.map_or(Vec::new(), |(_, rest)| {
            let set = rest.split_once(']').unwrap().0;
            let numbers = ranges(set).into_iter();
            numbers.flat_map(|(first, last)| first..=last).collect()
        });
        let uids: Vec<u32> = match by_uid {
            true => said,
            false => {
                let messages = &self.clients[who].messages;
                let at = |number: u32| messages[usize::try_from(number).unwrap() - 1].unwrap();
                said.into_iter().map(at).collect()
            }
        };
        assert_eq!(uids, refused, "{completion}");
    }

    /// COPY and MOVE: all that is there, in order.
    fn transfer(&mut self, from: &'static str, uids: &[u32], to: &'static str, moves: bool) {
        let source = self.model.get_mut(from).unwrap();
        let mut taken = Vec::new();
        for uid in uids {
            let message = source.messages.get(uid).cloned();
            taken.extend(message);
            if moves {
                source.messages.remove(uid);
            }
        }
        let target = self.model.get_mut(to).unwrap();
        for message in taken {
            target.messages.insert(target.uid_next, message);
            target.uid_next += 1;
        }
    }
}
