//! The same messages in this server and in a Dovecot: what both say of them must be equal, or the
//! difference must have a row with its reason in `differences.toml`.
//!
//! Both answer in the same run; nothing recorded is trusted. Values are compared as what they mean
//! (`value`, `structure`), not as bytes. A row that explains nothing fails the test as well.

pub(super) mod ask;
pub(super) mod corpus;
mod differences;
mod dovecot;
mod fetches;
mod searches;
mod sorts;
mod structure;
mod value;

use std::collections::BTreeMap;

use self::{
    ask::{Ours, Server},
    corpus::Message,
    differences::Differences,
    dovecot::Dovecot,
};

/// What one server says: by message and by question.
type Facts = BTreeMap<(String, String), String>;

#[test]
fn this_server_and_dovecot_say_the_same_of_the_same_messages() {
    let Some(mut theirs) = Dovecot::start() else {
        return;
    };
    let mut ours = Ours::start();
    let corpus = corpus::all();
    assert!(corpus.len() >= 150, "{}", corpus.len());
    for server in [&mut ours as &mut dyn Server, &mut theirs] {
        fill(server, &corpus);
    }
    let mut facts = (Facts::new(), Facts::new());
    // First, while the messages are recent.
    searches::compare(&mut ours, &mut theirs, &corpus, &mut facts);
    fetches::compare(&mut ours, &mut theirs, &corpus, &mut facts);
    let differences = Differences::read();
    let sorted = sorts::compare(&mut ours, &mut theirs, &corpus, &facts, &differences);
    differences.judge(&facts.0, &facts.1, sorted);
}

/// Puts the corpus into a mailbox and opens it.
pub(super) fn fill(server: &mut dyn Server, corpus: &[Message]) {
    server.ask(b"CREATE Corpus").ok();
    for message in corpus {
        let (flags, date) = (&message.flags, &message.date);
        let count = message.text.len();
        let command = format!("APPEND Corpus ({flags}) \"{date}\" {{{count}+}}\r\n");
        server
            .append(&[command.as_bytes(), &message.text].concat())
            .ok();
    }
    server.ask(b"SELECT Corpus").ok();
}

/// Both servers, each with what it says.
fn ends<'a>(
    ours: &'a mut Ours,
    theirs: &'a mut Dovecot,
    facts: &'a mut (Facts, Facts),
) -> [(&'a mut dyn Server, &'a mut Facts); 2] {
    [(ours, &mut facts.0), (theirs, &mut facts.1)]
}
