//! What we answer about the corpus, read by the other grammar.

use imap_codec::{ResponseCodec, decode::Decoder as _};

use super::super::differential::{
    ask::{Ours, Server as _},
    corpus, fill,
};

#[test]
fn all_that_is_said_of_the_corpus_is_read_by_another_grammar() {
    let mut server = Ours::start();
    let corpus = corpus::all();
    fill(&mut server, &corpus);
    let mut commands: Vec<String> = [
        "CAPABILITY",
        "LIST \"\" *",
        "LIST \"\" \"\"",
        "LSUB \"\" *",
        "STATUS Corpus (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)",
        "EXAMINE Corpus",
        "SELECT Corpus",
        "SEARCH ALL",
        "SEARCH 1",
        "SEARCH NOT ALL",
        "COPY 1:3 INBOX",
        "UID STORE 1:5 +FLAGS (\\Seen custom)",
        "NOOP",
    ]
    .map(str::to_owned)
    .into();
    for (number, message) in (1..).zip(&corpus) {
        // Their limit: parts in more than eight parts.
        let is_deep = [
            "hostile-nested",
            "hostile-same",
            "huge-depth",
            "huge-messages",
        ];
        if !is_deep.iter().any(|start| message.name.starts_with(start)) {
            commands.push(format!(
                "FETCH {number} (UID FLAGS ENVELOPE BODYSTRUCTURE BODY)"
            ));
        }
        if !message.name.starts_with("huge") {
            commands.push(format!(
                "FETCH {number} (RFC822.SIZE INTERNALDATE RFC822.HEADER BODY.PEEK[1] \
                 BODY.PEEK[TEXT]<3.9> BODY.PEEK[HEADER.FIELDS (Subject X-Odd)])"
            ));
        }
    }
    let mut complaints = Vec::new();
    for command in commands {
        let answer = server.ask(command.as_bytes());
        let completion = format!("t1 {}\r\n", answer.completion).into_bytes();
        let untagged = answer.untagged.iter();
        let untagged = untagged.map(|response| [b"* ", &response[..], b"\r\n"].concat());
        for response in untagged.chain([completion]) {
            let read = ResponseCodec::default()
                .decode(&response)
                .map(|(rest, _)| rest.len());
            if read != Ok(0) {
                let name = command
                    .split(' ')
                    .nth(1)
                    .and_then(|n| n.parse::<usize>().ok());
                let name = name.map_or("", |number| corpus[number - 1].name.as_str());
                complaints.push(format!("{name} {command}: {}", response.escape_ascii()));
            }
        }
    }
    let count = complaints.len();
    complaints.truncate(50);
    assert!(count == 0, "{count} complaints\n{}", complaints.join("\n"));
}
