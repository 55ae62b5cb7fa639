//! Several sessions of one account do as they like; each client believes what it is told, and must
//! end up with the truth. RFC 3501 7.4.1: no number moves while a command uses numbers.

use buzon::{
    base::{ids::AccountId, random::Random},
    mailbox::INBOX,
    store::fault::CommitFault,
};

use super::client::{Answer, ImapClient, deliver, fetched, server_with_alice, try_to_deliver};
use crate::support::{player::run, server::TestServer};

/// A client and what it believes.
struct Believer {
    client: ImapClient,
    /// By message number; the UID when it was told.
    messages: Vec<Option<u32>>,
    flags: Vec<String>,
}

impl Believer {
    async fn select(server: &TestServer) -> Self {
        let client = ImapClient::log_in(server, "alice").await;
        let mut believer = Self {
            client,
            messages: Vec::new(),
            flags: Vec::new(),
        };
        believer.ask("SELECT INBOX").await;
        believer.learn_uids().await;
        believer
    }

    async fn ask(&mut self, command: &str) -> Answer {
        let answer = self.client.ask(command).await;
        let uses_numbers = ["FETCH", "STORE", "SEARCH"]
            .iter()
            .any(|verb| command.starts_with(verb));
        if command.starts_with("SELECT") {
            self.messages.clear();
            self.flags.clear();
        }
        for response in &answer.untagged {
            let text = String::from_utf8_lossy(response).into_owned();
            let mut words = text.split(' ');
            let (first, second) = (words.next().unwrap(), words.next().unwrap_or_default());
            let number = || first.parse::<usize>().unwrap();
            match second {
                "EXPUNGE" => {
                    assert!(!uses_numbers, "{command}: {text}");
                    self.messages.remove(number() - 1);
                    self.flags.remove(number() - 1);
                }
                "EXISTS" => {
                    assert!(number() >= self.messages.len(), "{command}: {text}");
                    self.messages.resize(number(), None);
                    self.flags.resize(number(), String::new());
                }
                "FETCH" => self.believe(response),
                _ => {}
            }
        }
        answer
    }

    fn believe(&mut self, response: &[u8]) {
        let (number, items) = fetched(response).unwrap();
        let at = usize::try_from(number).unwrap() - 1;
        let text = |name: &str| {
            items
                .get(name)
                .map(|value| String::from_utf8(value.clone()).unwrap())
        };
        if let Some(uid) = text("UID") {
            let uid = uid.parse().unwrap();
            assert!(
                self.messages[at].is_none_or(|known| known == uid),
                "number {number} moved"
            );
            self.messages[at] = Some(uid);
        }
        if let Some(flags) = text("FLAGS") {
            self.flags[at] = flags.replace(" \\Recent", "").replace("\\Recent", "");
        }
    }

    async fn learn_uids(&mut self) {
        if !self.messages.is_empty() {
            self.ask("UID FETCH 1:* (FLAGS)").await.ok();
        }
    }

    /// After NOOP the client knows everything.
    async fn converge(&mut self, server: &TestServer, alice: AccountId) {
        self.ask("NOOP").await.ok();
        let mailbox = server.mailboxes.open(alice, INBOX).await.unwrap();
        let (uids, flags) = mailbox.read(|index| {
            let flags = (0..index.len()).map(|position| {
                let entry = index.entry(position).unwrap();
                let names: Vec<_> = entry.system.names().collect();
                format!("({})", names.join(" "))
            });
            (index.uids().to_vec(), flags.collect::<Vec<_>>())
        });
        assert_eq!(self.messages.len(), uids.len());
        for (at, uid) in uids.iter().enumerate() {
            if let Some(told) = self.messages[at] {
                assert_eq!(told, *uid);
                assert_eq!(self.flags[at], flags[at], "flags of {uid}");
            }
        }
        self.learn_uids().await;
        let told: Vec<_> = self.messages.iter().map(|uid| uid.unwrap()).collect();
        assert_eq!(told, uids);
        assert_eq!(self.flags, flags);
    }

    /// One random command about one random message, or about none.
    async fn act(&mut self, random: &Random) {
        let count = self.messages.len();
        let number = 1 + random.below(count.max(1) as u64);
        let flag = ["\\Seen", "\\Deleted", "\\Flagged"][usize::try_from(random.below(3)).unwrap()];
        let command = match random.below(12) {
            _ if count == 0 => "CHECK".to_owned(),
            0 => "EXPUNGE".to_owned(),
            1 | 2 => format!("STORE {number}:* +FLAGS ({flag})"),
            3 => format!("STORE {number} FLAGS ({flag})"),
            4 => format!("UID STORE {number} -FLAGS ({flag})"),
            5 => format!("FETCH 1:{number} (UID FLAGS)"),
            6 => format!("FETCH {number} (BODY[TEXT])"),
            7 => "SEARCH UNDELETED".to_owned(),
            8 => format!("COPY {number} INBOX"),
            9 => format!("MOVE {number} Archive"),
            10 => format!("UID EXPUNGE {number}:*"),
            _ => "UID SEARCH ALL".to_owned(),
        };
        self.ask(&command).await;
    }
}

#[test]
fn sessions_converge_whatever_the_others_do() {
    for seed in 0..6 {
        run(async {
            let random = Random::seeded(seed);
            let (server, alice) = server_with_alice().await;
            for _ in 0..4 {
                deliver(&server, alice, b"Subject: x\r\n\r\ny\r\n").await;
            }
            let mut clients = Vec::new();
            for _ in 0..3 {
                clients.push(Believer::select(&server).await);
            }
            for _ in 0..150 {
                let who = usize::try_from(random.below(3)).unwrap();
                match random.below(10) {
                    0 => {
                        // It may meet a failure that no client has met.
                        let _ = try_to_deliver(&server, alice, b"Subject: new\r\n\r\nz\r\n").await;
                    }
                    1 => clients[who].converge(&server, alice).await,
                    2 => clients[who] = Believer::select(&server).await,
                    3 => {
                        let [a, b, c] = &mut clients[..] else {
                            panic!("three clients")
                        };
                        tokio::join!(a.act(&random), b.act(&random), c.act(&random));
                    }
                    4 => {
                        // DUR-01: what is refused because the store failed has not happened.
                        server
                            .engine
                            .fail_commit(1 + random.below(3), CommitFault::Full);
                        clients[who].act(&random).await;
                    }
                    _ => clients[who].act(&random).await,
                }
            }
            for client in &mut clients {
                client.converge(&server, alice).await;
            }
        });
    }
}
