//! No verb works without its right: every verb with the rights it needs, with all others but one of
//! them, and with none (RFC 4314 4).

use buzon::{
    base::ids::AccountId,
    imap::proto::verbs::VERBS,
    mailbox::{
        AclChange, AclMode, FlagChange, FlagMode, INBOX, Identifier, Name, Rights, SystemFlags,
        Target,
    },
};

use super::client::{Answer, ImapClient, deliver, server_with_alice};
use crate::support::{player::run, server::TestServer};

/// A verb, whether the mailbox `{m}` is selected first, what is said, and the rights it needs to
/// `{m}`.
type Row = (&'static str, bool, &'static str, &'static str);

const ROWS: &[Row] = &[
    ("SELECT", false, "SELECT {m}", "r"),
    ("EXAMINE", false, "EXAMINE {m}", "r"),
    ("STATUS", false, "STATUS {m} (MESSAGES)", "r"),
    ("CREATE", false, "CREATE {m}/new", "k"),
    ("DELETE", false, "DELETE {m}/leaf", "x"),
    ("RENAME", false, "RENAME {m}/leaf {m}/other", "kx"),
    ("APPEND", false, "APPEND {m} {5+}\r\nHello", "i"),
    ("GETACL", false, "GETACL {m}", "a"),
    ("SETACL", false, "SETACL {m} anyone r", "a"),
    ("DELETEACL", false, "DELETEACL {m} anyone", "a"),
    ("LISTRIGHTS", false, "LISTRIGHTS {m} anyone", "a"),
    ("SEARCH", true, "SEARCH ALL", "r"),
    ("UID SEARCH", true, "UID SEARCH TEXT x", "r"),
    ("ESEARCH", true, "ESEARCH IN (selected) ALL", "r"),
    ("SORT", true, "SORT (DATE) UTF-8 ALL", "r"),
    ("UID SORT", true, "UID SORT (SUBJECT) UTF-8 ALL", "r"),
    ("THREAD", true, "THREAD REFERENCES UTF-8 ALL", "r"),
    (
        "UID THREAD",
        true,
        "UID THREAD ORDEREDSUBJECT UTF-8 ALL",
        "r",
    ),
    ("FETCH", true, "FETCH 1 (FLAGS BODY[])", "r"),
    ("FETCH", true, "FETCH 1 (BINARY[1] BINARY.SIZE[1])", "r"),
    ("UID FETCH", true, "UID FETCH 1 ENVELOPE", "r"),
    ("STORE", true, "STORE 1 +FLAGS (\\Seen)", "rs"),
    ("STORE", true, "STORE 1 FLAGS.SILENT (\\Deleted)", "rt"),
    ("UID STORE", true, "UID STORE 1 -FLAGS (\\Flagged)", "rw"),
    ("STORE", true, "STORE 1 +FLAGS (key)", "rw"),
    (
        "STORE",
        true,
        "STORE 1 (UNCHANGEDSINCE 999999) +FLAGS (\\Flagged)",
        "rw",
    ),
    ("EXPUNGE", true, "EXPUNGE", "re"),
    ("UID EXPUNGE", true, "UID EXPUNGE 1", "re"),
    ("COPY", true, "COPY 1 INBOX", "r"),
    ("UID COPY", true, "UID COPY 1 INBOX", "r"),
    ("MOVE", true, "MOVE 1 INBOX", "rte"),
    ("UID MOVE", true, "UID MOVE 1 INBOX", "rte"),
    (
        "SETMETADATA",
        false,
        "SETMETADATA {m} (/shared/comment \"x\")",
        "w",
    ),
    // RFC 8508 4.1
    ("REPLACE", true, "REPLACE 1 INBOX {5+}\r\nHello", "rte"),
    (
        "UID REPLACE",
        true,
        "UID REPLACE 1 INBOX {5+}\r\nHello",
        "rte",
    ),
    // From a mailbox of one's own.
    ("REPLACE", false, "REPLACE 1 {m} {5+}\r\nHello", "i"),
    (
        "UID REPLACE",
        false,
        "UID REPLACE {u} {m} {5+}\r\nHello",
        "i",
    ),
    ("COPY", false, "COPY 1 {m}", "i"),
    ("UID COPY", false, "UID COPY 1 {m}", "i"),
    ("MOVE", false, "MOVE 1 {m}", "i"),
    ("UID MOVE", false, "UID MOVE 1 {m}", "i"),
];

/// Verbs that touch no mailbox of another, or need no right: what they tell is bound by others
/// (LIST by `l`), or is only the client's own (subscriptions, leaving).
const FREE: &[&str] = &[
    "CAPABILITY",
    "NOOP",
    "LOGOUT",
    "ID",
    "STARTTLS",
    "AUTHENTICATE",
    "LOGIN",
    "ENABLE",
    "IDLE",
    "COMPRESS",
    "UNAUTHENTICATE",
    "DONE",
    "NOTIFY",
    "NAMESPACE",
    "GETMETADATA",
    "GETQUOTA",
    "GETQUOTAROOT",
    "SETQUOTA",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "LIST",
    "LSUB",
    "MYRIGHTS",
    "CHECK",
    "CLOSE",
    "UNSELECT",
    "CANCELUPDATE",
];

#[test]
fn no_verb_works_without_its_right() {
    run(async {
        let mut world = World::new().await;
        for row in ROWS {
            let &(_, selected, _, needed) = row;
            let needed = Rights::parse(needed).unwrap();
            let answer = world.ask(row, needed.union(Rights::LOOKUP)).await;
            assert!(answer.completion.starts_with("OK"), "{row:?} {answer:?}");
            for (one, letter) in Rights::LETTERS {
                if !needed.contains(one) {
                    continue;
                }
                let answer = world.ask(row, Rights::ALL.without(one)).await;
                let why = "NO [NOPERM]";
                assert!(
                    answer.completion.starts_with(why),
                    "{row:?} -{letter} {answer:?}"
                );
            }
            let answer = world
                .ask(row, Rights::LOOKUP.union(Rights::READ).without(needed))
                .await;
            let refused = ["NO [NOPERM]", "NO [READ-ONLY]"];
            let is_refused = refused.iter().any(|why| answer.completion.starts_with(why));
            assert!(
                is_refused || selected && needed == Rights::READ,
                "{row:?} {answer:?}"
            );
            // Who may not see it hears of nothing.
            if !selected && row.0 != "CREATE" {
                let answer = world.ask(row, Rights::NONE).await;
                let why = "NO [NONEXISTENT]";
                assert!(answer.completion.starts_with(why), "{row:?} {answer:?}");
            }
        }
    });
}

#[test]
fn esearch_passes_over_named_mailboxes_that_may_not_be_read() {
    run(async {
        let mut world = World::new().await;
        let row = ("ESEARCH", false, "ESEARCH IN (mailboxes {m}) ALL", "r");
        for (rights, told) in [("lr", 1), ("r", 1), ("lswipkxtea", 0), ("", 0)] {
            let answer = world.ask(&row, Rights::parse(rights).unwrap()).await;
            assert!(answer.completion.starts_with("OK"), "{rights} {answer:?}");
            assert_eq!(answer.untagged.len(), told, "{rights} {answer:?}");
        }
    });
}

#[test]
fn notify_tells_of_what_may_be_read_and_names_what_may_be_seen() {
    run(async {
        let mut world = World::new().await;
        let asked = "NOTIFY SET STATUS (mailboxes {m} (MessageNew MessageExpunge))";
        for (rights, told) in [
            ("lr", "STATUS \"Other Users/alice@example.org/"),
            ("l", "LIST (\\NoAccess "),
            ("lswipkxtea", "LIST (\\NoAccess "),
            ("r", ""),
            ("rswipkxtea", ""),
            ("", ""),
        ] {
            let row = ("NOTIFY", false, asked, "lr");
            let answer = world.ask(&row, Rights::parse(rights).unwrap()).await;
            assert!(answer.completion.starts_with("OK"), "{rights} {answer:?}");
            let lines = usize::from(!told.is_empty());
            let is_so = |line: &Vec<u8>| line.starts_with(told.as_bytes());
            let said = answer.untagged.iter().filter(|line| is_so(line)).count();
            assert_eq!(
                (said, answer.untagged.len()),
                (lines, lines),
                "{rights} {answer:?}"
            );
        }
    });
}

#[test]
fn every_verb_is_in_the_table_or_needs_no_right() {
    for verb in VERBS {
        let is_row = ROWS.iter().any(|(name, ..)| *name == verb.name);
        let is_free = FREE.contains(&verb.name);
        assert!(is_row != is_free, "which rights does {} need?", verb.name);
    }
}

/// Bob's session, and mailboxes of alice's that he is given rights to, a new one for each command.
struct World {
    server: TestServer,
    alice: AccountId,
    bob: AccountId,
    count: u32,
}

impl World {
    async fn new() -> Self {
        let (mut server, alice) = server_with_alice().await;
        let bob = server.add_account("bob").await;
        Self {
            server,
            alice,
            bob,
            count: 0,
        }
    }

    /// What bob is answered when he has these rights.
    async fn ask(&mut self, row: &Row, rights: Rights) -> Answer {
        let &(_, selected, command, _) = row;
        self.count += 1;
        let name = format!("m{}", self.count);
        let newest = self.make(&name, rights).await;
        let command = command.replace("{u}", &newest.to_string());
        let shown = format!("\"Other Users/alice@example.org/{name}");
        let command = command.replace("{m}/leaf", &format!("{shown}/leaf\""));
        let command = command.replace("{m}/other", &format!("{shown}/other\""));
        let command = command.replace("{m}/new", &format!("{shown}/new\""));
        let command = command.replace("{m}", &format!("{shown}\""));
        let mut client = ImapClient::log_in(&self.server, "bob").await;
        let mailbox = match selected {
            true => format!("{shown}\""),
            false => "INBOX".to_owned(),
        };
        let opened = client.ask(&format!("SELECT {mailbox}")).await;
        match opened.completion.starts_with("OK") {
            true => client.ask(&command).await,
            false => opened,
        }
    }

    /// A mailbox with a message and a mailbox below it, and a message in bob's INBOX, whose UID is
    /// given.
    async fn make(&self, name: &str, rights: Rights) -> u32 {
        let mailboxes = &self.server.mailboxes;
        let made = Name::parse(name).unwrap();
        let made = mailboxes.create(self.alice, &made, None).await.unwrap();
        let change = AclChange {
            who: Identifier::Account(self.bob),
            negative: false,
            mode: AclMode::Replace,
            rights,
        };
        mailboxes
            .change_acl(self.alice, made.id, &change)
            .await
            .unwrap();
        let leaf = Name::parse(&format!("{name}/leaf")).unwrap();
        mailboxes.create(self.alice, &leaf, None).await.unwrap();
        for account in [self.alice, self.bob] {
            deliver(&self.server, account, b"Subject: x\r\n\r\nx\r\n").await;
        }
        let inbox = mailboxes.open(self.alice, INBOX).await.unwrap();
        let target = Target::own(self.alice, made.id, None);
        let uids = inbox.read(|index| index.uid_at(index.len() - 1)).unwrap();
        inbox.move_away(&[uids], &target).await.unwrap();
        let flags = FlagChange {
            mode: FlagMode::Add,
            flags: SystemFlags::DELETED.into(),
        };
        let opened = mailboxes.open(self.alice, made.id).await.unwrap();
        let uid = opened.read(|index| index.uid_at(0)).unwrap();
        opened.store_flags(&[uid], &flags).await.unwrap();
        let inbox = mailboxes.open(self.bob, INBOX).await.unwrap();
        let newest = inbox.read(|index| index.uid_at(index.len() - 1));
        newest.unwrap().number()
    }
}
