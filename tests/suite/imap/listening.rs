//! Clients that say NOTIFY and believe what they are told know in the end which mailboxes there
//! are, which are subscribed, and how many messages they have, whatever others did meanwhile: other
//! sessions, those who share their mailboxes, and the clients themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use buzon::{base::random::Random, mailbox::Name};

use super::client::{ImapClient, deliver, server_with_alice};
use crate::support::{player::run, server::TestServer};

#[test]
fn who_listens_knows_what_there_is_whatever_the_others_do() {
    for seed in 0..SEEDS {
        let mut story = format!("seed {seed}\n");
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run(async {
                let mut world = World::new(seed).await;
                for _ in 0..ROUNDS {
                    for _ in 0..world.below(8) {
                        world.step(&mut story).await;
                    }
                    world.check(&mut story).await;
                }
            });
        }));
        assert!(outcome.is_ok(), "{story}");
    }
}

#[test]
fn lim_36_who_cannot_be_told_everything_is_told_that_or_all_is_looked_at() {
    run(async {
        let (server, alice) = server_with_alice().await;
        for at in 0..40 {
            let name = Name::parse(&format!("many/{at}")).unwrap();
            server.mailboxes.create(alice, &name, None).await.unwrap();
        }
        let mut of_annotations = ImapClient::log_in(&server, "alice").await;
        let mut of_messages = ImapClient::log_in(&server, "alice").await;
        let asked = "NOTIFY SET (personal (MailboxMetadataChange))";
        of_annotations.ask(asked).await.ok();
        let asked = "NOTIFY SET STATUS (personal (MessageNew MessageExpunge))";
        let told = of_messages.ask(asked).await.ok().untagged;
        let is_status = |line: &&Vec<u8>| line.starts_with(b"STATUS ");
        assert_eq!(told.iter().filter(is_status).count(), 6 + 1 + 40);
        let mut other = ImapClient::log_in(&server, "alice").await;
        let comment = "SETMETADATA INBOX (/private/comment \"x\")";
        other.ask(comment).await.ok();
        // A look has just been made: what follows comes before the next one.
        deliver(&server, alice, b"Subject: x\r\n\r\n").await;
        for (mailbox, value) in [("INBOX", "\"x\""), ("INBOX", "NIL"), ("Sent", "\"x\"")] {
            let entries: Vec<_> = (0..600)
                .map(|at| format!("/private/e{at} {value}"))
                .collect();
            let set = format!("SETMETADATA {mailbox} ({})", entries.join(" "));
            other.ask(&set).await.ok();
        }
        let told = of_annotations.hear().await;
        let overflow = told
            .iter()
            .filter(|line| line.starts_with(b"OK [NOTIFICATIONOVERFLOW]"));
        assert_eq!(overflow.count(), 1);
        assert_eq!(told[0], b"METADATA INBOX /private/comment");
        let told = of_messages.hear().await;
        assert_eq!(told, [b"STATUS INBOX (UIDNEXT 2 MESSAGES 1)"]);
        // As after NOTIFY NONE.
        other.ask(comment).await.ok();
        assert!(of_annotations.hear().await.is_empty());
        of_annotations.ask("NOOP").await.ok();
    });
}

#[test]
fn lim_36_what_everybody_looks_at_pauses_looks_at_all_but_the_selected_mailbox() {
    run(async {
        let (server, alice) = server_with_alice().await;
        let mut client = ImapClient::log_in(&server, "alice").await;
        let mut other = ImapClient::log_in(&server, "alice").await;
        client.ask("SELECT INBOX").await.ok();
        let asked = "NOTIFY SET (selected (MessageNew MessageExpunge)) (personal (MailboxName))";
        client.ask(asked).await.ok();
        client.hear().await;
        let second = Duration::from_secs(1);
        let is_list = |line: &Vec<u8>| line.starts_with(b"LIST ");
        other.ask("CREATE a").await.ok();
        assert!(client.hear_until(second).await.iter().any(is_list));
        other.ask("SETACL a anyone l").await.ok();
        client.hear_until(second).await;
        other.ask("CREATE b").await.ok();
        for count in 1..=2 {
            deliver(&server, alice, b"Subject: x\r\n\r\n").await;
            let told = client.hear_until(second).await;
            let exists = format!("{count} EXISTS").into_bytes();
            assert!(told.contains(&exists), "{told:?}");
            assert!(!told.iter().any(is_list), "{told:?}");
        }
        assert!(client.hear().await.iter().any(is_list));
    });
}

#[test]
fn lim_36_looks_are_as_rare_as_what_they_read_is_long() {
    run(async {
        let (server, alice) = server_with_alice().await;
        for at in 0..1000 {
            let name = Name::parse(&format!("many{at}")).unwrap();
            server.mailboxes.create(alice, &name, None).await.unwrap();
        }
        let mut client = ImapClient::log_in(&server, "alice").await;
        let mut other = ImapClient::log_in(&server, "alice").await;
        client
            .ask("NOTIFY SET (subtree z (MailboxName))")
            .await
            .ok();
        client.hear().await;
        other.ask("CREATE z").await.ok();
        let short = Duration::from_millis(50);
        assert_eq!(client.hear_until(short).await.len(), 1);
        other.ask("CREATE z/a").await.ok();
        assert!(client.hear_until(2 * short).await.is_empty());
        assert!(!client.hear_until(3 * short).await.is_empty());
    });
}

const SEEDS: u64 = 20;
const ROUNDS: usize = 12;

const OWN: [&str; 7] = ["INBOX", "a", "b", "a/x", "a/y", "b/x", "c"];
const EVENTS: &str = "(MailboxName SubscriptionChange MessageNew MessageExpunge FlagChange)";

struct World {
    random: Random,
    server: TestServer,
    /// Two of alice's, and one of bob's, who shares mailboxes with her.
    others: [ImapClient; 3],
    listeners: [Listener; 2],
}

/// A client and what it believes.
struct Listener {
    client: ImapClient,
    picture: Picture,
    /// It has selected a mailbox.
    is_in: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Picture {
    /// Of what may be read, what STATUS said.
    mailboxes: BTreeMap<String, Option<Status>>,
    subscribed: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Status(BTreeMap<String, u64>);

impl Default for Status {
    /// Of a mailbox that was just made.
    fn default() -> Self {
        let items = [("MESSAGES", 0), ("UIDNEXT", 1), ("UNSEEN", 0)];
        Self(items.map(|(name, value)| (name.to_owned(), value)).into())
    }
}

impl Picture {
    fn hear(&mut self, line: &[u8]) {
        let line = String::from_utf8(line.to_vec()).unwrap();
        assert!(!line.contains("NOTIFICATIONOVERFLOW"), "{line}");
        if let Some(rest) = line.strip_prefix("LIST (") {
            let (attributes, rest) = rest.split_once(") \"/\" ").unwrap();
            let (name, rest) = name(rest);
            if let Some(old) = rest.strip_prefix(" (\"OLDNAME\" (") {
                self.rename(&self::name(old).0, &name);
            }
            self.list(&name, attributes);
        } else if let Some(rest) = line.strip_prefix("STATUS ") {
            let (name, items) = name(rest);
            let known = self.mailboxes.get_mut(&name);
            let known = known.unwrap_or_else(|| panic!("of nothing known: {line}"));
            let items = items.trim_matches([' ', '(', ')']).split(' ');
            let items: Vec<_> = items.collect();
            let known = known.get_or_insert_default();
            for pair in items.chunks(2) {
                if matches!(pair[0], "MESSAGES" | "UIDNEXT" | "UNSEEN") {
                    known.0.insert(pair[0].to_owned(), pair[1].parse().unwrap());
                }
            }
        }
    }

    /// What the client did itself is not told, but what came with it.
    fn obey(&mut self, command: &str) {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        let name = rest.trim_matches('"').to_owned();
        match (verb, rest.split_once(' ')) {
            ("CREATE", _) => _ = self.mailboxes.insert(name, Some(Status::default())),
            ("DELETE", _) => _ = self.mailboxes.remove(&name),
            ("RENAME", Some(("INBOX", to))) => {
                self.mailboxes
                    .insert(to.to_owned(), Some(Status::default()));
            }
            ("RENAME", Some((from, to))) => self.rename(from, to),
            ("SUBSCRIBE", _) => _ = self.subscribed.insert(name),
            ("UNSUBSCRIBE", _) => _ = self.subscribed.remove(&name),
            _ => {}
        }
    }

    fn rename(&mut self, old: &str, new: &str) {
        let all = std::mem::take(&mut self.mailboxes).into_iter();
        let renamed = all.map(|(name, status)| match name.strip_prefix(old) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                (format!("{new}{rest}"), status)
            }
            _ => (name, status),
        });
        self.mailboxes = renamed.collect();
    }

    fn list(&mut self, name: &str, attributes: &str) {
        let has = |wanted: &str| attributes.split(' ').any(|one| one == wanted);
        match has("\\Subscribed") {
            true => self.subscribed.insert(name.to_owned()),
            false => self.subscribed.remove(name),
        };
        if has("\\NonExistent") || has("\\Noselect") {
            self.mailboxes.remove(name);
            return;
        }
        let known = self.mailboxes.entry(name.to_owned());
        match has("\\NoAccess") {
            true => *known.or_default() = None,
            false => _ = known.or_default().get_or_insert_default(),
        }
    }
}

/// A name at the beginning of a text, and what follows.
fn name(text: &str) -> (String, &str) {
    if let Some(quoted) = text.strip_prefix('"') {
        let (name, rest) = quoted.split_once('"').unwrap();
        return (name.to_owned(), rest);
    }
    let end = text.find([' ', ')']).unwrap_or(text.len());
    (text[..end].to_owned(), &text[end..])
}

impl Listener {
    async fn new(server: &TestServer, selected: &str) -> Self {
        let mut client = ImapClient::log_in(server, "alice").await;
        let mut picture = Picture::default();
        let listed = client.ask("LIST \"\" * RETURN (SUBSCRIBED)").await.ok();
        let notify = format!(
            "NOTIFY SET STATUS{selected} (personal {EVENTS}) \
             (subtree (\"Other Users\" Shared) {EVENTS})"
        );
        let told = client.ask(&notify).await.ok();
        for line in listed.untagged.iter().chain(&told.untagged) {
            picture.hear(line);
        }
        Self {
            client,
            picture,
            is_in: false,
        }
    }

    /// It is about to leave INBOX. Who was told of it by EXISTS and FETCH knows what STATUS would
    /// say; the other one is told by STATUS.
    async fn leave(&mut self, which: usize) {
        self.is_in = false;
        if which == 1 {
            self.ask("STATUS INBOX (MESSAGES UIDNEXT UNSEEN)").await;
        }
    }

    async fn ask(&mut self, command: &str) -> String {
        let answer = self.client.ask(command).await;
        for line in &answer.untagged {
            self.picture.hear(line);
        }
        answer.completion
    }
}

impl World {
    async fn new(seed: u64) -> Self {
        let (mut server, _) = server_with_alice().await;
        server.add_account("bob").await;
        let others = [
            ImapClient::log_in(&server, "alice").await,
            ImapClient::log_in(&server, "alice").await,
            ImapClient::log_in(&server, "bob").await,
        ];
        let selected = " (selected (MessageNew MessageExpunge FlagChange))";
        let listeners = [
            Listener::new(&server, "").await,
            Listener::new(&server, selected).await,
        ];
        Self {
            random: Random::seeded(seed),
            server,
            others,
            listeners,
        }
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.random.below(bound as u64)).unwrap()
    }

    fn one_of<'t>(&self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }

    async fn step(&mut self, story: &mut String) {
        let who = self.below(6);
        if let Some(which) = who.checked_sub(self.others.len() + 1) {
            return self.listener_step(which, story).await;
        }
        let who = who.min(self.others.len() - 1);
        let bobs = who == 2;
        let commands = match self.below(if bobs { 14 } else { 10 }) {
            10.. => self.grant(),
            9 => {
                let mailbox = self.one_of(&OWN);
                let last = self.one_of(&[
                    "STORE 1 +FLAGS (\\Seen)",
                    "STORE 1 -FLAGS (\\Seen)",
                    "STORE 1 +FLAGS (\\Deleted)",
                    "MOVE 1 b",
                    "COPY 1:* a",
                    "CLOSE",
                ]);
                vec![
                    format!("SELECT {mailbox}"),
                    last.to_owned(),
                    "CLOSE".to_owned(),
                ]
            }
            _ => vec![self.of_names()],
        };
        for command in commands {
            let answer = self.others[who].ask(&command).await;
            writeln!(story, "{who}> {command}: {}", answer.completion).unwrap();
        }
    }

    fn of_names(&self) -> String {
        let (one, other) = (self.one_of(&OWN), self.one_of(&OWN));
        match self.below(8) {
            0 | 1 => format!("CREATE {one}"),
            2 => format!("DELETE {one}"),
            3 => format!("RENAME {one} {other}"),
            4 => format!("SUBSCRIBE {one}"),
            5 => format!("UNSUBSCRIBE {one}"),
            _ => format!("APPEND {one} {{5+}}\r\nHello"),
        }
    }

    fn grant(&self) -> Vec<String> {
        let (mailbox, who) = (
            self.one_of(&OWN),
            self.one_of(&["alice@example.org", "anyone"]),
        );
        let rights = self.one_of(&["lr", "lr", "l", "r", "\"\""]);
        vec![format!("SETACL {mailbox} {who} {rights}")]
    }

    async fn listener_step(&mut self, which: usize, story: &mut String) {
        let command = match self.below(5) {
            0 => "NOOP".to_owned(),
            1 => "SELECT INBOX".to_owned(),
            2 if self.listeners[which].is_in => "CLOSE".to_owned(),
            2 => "SUBSCRIBE \"Other Users/bob@example.org/a\"".to_owned(),
            _ => self.of_names(),
        };
        let listener = &mut self.listeners[which];
        if listener.is_in && matches!(&*command, "CLOSE" | "SELECT INBOX") {
            listener.leave(which).await;
        }
        let completion = listener.ask(&command).await;
        writeln!(story, "listener {which}> {command}: {completion}").unwrap();
        if completion.starts_with("OK") {
            listener.is_in |= command.starts_with("SELECT");
            listener.picture.obey(&command);
        }
    }

    async fn check(&mut self, story: &mut String) {
        let mut truth = Picture::default();
        let mut reader = ImapClient::log_in(&self.server, "alice").await;
        for command in [
            "LIST \"\" * RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT UNSEEN))",
            "LIST (SUBSCRIBED) \"\" *",
        ] {
            for line in reader.ask(command).await.ok().untagged {
                truth.hear(&line);
            }
        }
        // What may not be read has no STATUS.
        for (name, status) in &mut truth.mailboxes {
            let asked = format!("STATUS \"{name}\" (MESSAGES)");
            if !reader.ask(&asked).await.completion.starts_with("OK") {
                *status = None;
            }
        }
        reader.ask("LOGOUT").await;
        for (which, listener) in self.listeners.iter_mut().enumerate() {
            if listener.is_in {
                listener.leave(which).await;
                listener.ask("UNSELECT").await;
            }
            for line in listener.client.hear().await {
                writeln!(story, "listener {which}< {}", line.escape_ascii()).unwrap();
                listener.picture.hear(&line);
            }
            assert_eq!(listener.picture, truth, "listener {which}\n{story}");
        }
    }
}
