//! SEARCH with the index of texts finds what it finds without; and what the index survives.

use std::{future::poll_fn, sync::Arc, task::Poll};

use buzon::{
    base::{
        ids::{AccountId, EmailId},
        random::Random,
    },
    fulltext::{Fulltext, Phase, Query, Wanted},
    mail::body_text::{fold, fold_line},
    store::Room,
};

use super::client::{ImapClient, deliver, server_with_alice};
use crate::{
    store::disk::{SimDisk, Survives, Trouble},
    support::{
        player::run,
        server::{TestServer, index},
    },
};

const WORDS: [&str; 16] = [
    "hello",
    "World",
    "caf\u{e9}",
    "\u{130}stanbul",
    "\u{39f}\u{394}\u{39f}\u{3a3}",
    "a",
    "of",
    "Gr\u{fc}\u{df}e",
    "\u{65e5}\u{672c}\u{8a9e}",
    "x@y.example",
    "\"quoted\"",
    "back\\slash",
    "the",
    "Re:",
    "invoice-2026",
    "\u{1f600}",
];

struct Chance(Random);

impl Chance {
    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.0.below(bound as u64)).unwrap()
    }

    /// Words with one or more blanks or line ends between them.
    fn text(&self, words: usize, blanks: &[&str]) -> String {
        let mut text = String::new();
        for _ in 0..words {
            text += WORDS[self.below(WORDS.len())];
            text += blanks[self.below(blanks.len())];
        }
        text
    }

    fn message(&self) -> (String, String) {
        let subject = self.text(3, &[" ", "  "]);
        let subject = subject.trim();
        let encoded = match subject.is_ascii() {
            true => subject.replacen(' ', "\r\n ", self.below(2)),
            false => format!("=?utf-8?b?{}?=", base64(subject)),
        };
        let from = [
            "Alice <a@example.org>",
            "\"Bob, B.\" <bob@example.net>",
            "c@example.com",
        ];
        let from = from[self.below(from.len())];
        let header = format!(
            "From: {from}\r\nTo: d@example.org,\r\n\te@example.org\r\nSubject: {encoded}\r\n\
             X-Extra: one  two\r\n\tthree\r\n"
        );
        let body = self.text(12, &[" ", "  ", "\r\n", "\t"]);
        let plain = |text: &str| {
            format!(
                "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\
                 \r\n{}\r\n",
                base64(text)
            )
        };
        let message = match self.below(4) {
            0 => header + &plain(&body),
            1 => format!(
                "{header}Content-Type: text/plain; charset=utf-8\r\n\
                 Content-Transfer-Encoding: 8bit\r\n\r\n{body}\r\n"
            ),
            2 => format!(
                "{header}Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n{}\
                 --b\r\nContent-Type: image/png; name=\"the picture.png\"\r\n\r\nhello\r\n\
                 --b--\r\n",
                plain(&body)
            ),
            _ => format!(
                "{header}Content-Type: message/rfc822\r\n\r\nSubject: inner {encoded}\r\n{}",
                plain(&body)
            ),
        };
        (message, format!("{from} {subject} one two three {body}"))
    }

    /// A piece of a text, or a word, as a search for it.
    fn key(&self, texts: &[String], depth: usize) -> String {
        if depth > 0 && self.below(3) == 0 {
            let (a, b) = (self.key(texts, depth - 1), self.key(texts, depth - 1));
            return match self.below(3) {
                0 => format!("OR {a} {b}"),
                1 => format!("NOT {a}"),
                _ => format!("({a} {b})"),
            };
        }
        let text: Vec<char> = texts[self.below(texts.len())].chars().collect();
        let length = 1 + self.below(9);
        let start = self.below(text.len() - length);
        let mut piece: String = text[start..start + length].iter().collect();
        if self.below(3) == 0 {
            piece = piece.to_uppercase();
        }
        let place = [
            "TEXT",
            "BODY",
            "SUBJECT",
            "FROM",
            "TO",
            "HEADER X-Extra",
            "HEADER Subject",
        ];
        let mut fuzzy = "";
        if self.below(3) == 0 {
            // Misspelled, perhaps.
            fuzzy = "FUZZY ";
            let mut letters: Vec<char> = piece.chars().collect();
            let at = self.below(letters.len());
            match self.below(4) {
                0 => drop(letters.remove(at)),
                1 => letters.swap(at, 0),
                2 => letters.insert(at, 'e'),
                _ => {}
            }
            piece = letters.into_iter().collect();
        }
        // A literal, because of line ends.
        format!(
            "{fuzzy}{} {{{}+}}\r\n{piece}",
            place[self.below(place.len())],
            piece.len()
        )
    }
}

fn base64(text: &str) -> String {
    buzon::wire::base64::encode(text.as_bytes())
}

async fn found(client: &mut ImapClient, keys: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for key in keys {
        let ask = format!("UID SEARCH CHARSET UTF-8 {key}");
        let answer = client.ask_bytes(ask.as_bytes()).await.ok();
        found.push(String::from_utf8(answer.untagged[0].clone()).unwrap());
    }
    found
}

#[test]
fn a_fuzzy_search_finds_what_the_same_search_finds_without() {
    run(async {
        let chance = Chance(Random::seeded(9));
        let (server, alice) = server_with_alice().await;
        let mut texts = Vec::new();
        for _ in 0..24 {
            let (message, text) = chance.message();
            deliver(&server, alice, message.as_bytes()).await;
            texts.push(text);
        }
        server.index().await;
        let keys: Vec<_> = (0..80).map(|_| chance.key(&texts, 0)).collect();
        let fuzzy: Vec<_> = keys.iter().map(|key| format!("FUZZY {key}")).collect();
        let mut client = ImapClient::log_in(&server, "alice").await;
        client.ask("SELECT INBOX").await.ok();
        let found_without = found(&mut client, &keys).await;
        let found_with = found(&mut client, &fuzzy).await;
        for ((key, less), more) in keys.iter().zip(found_without).zip(found_with) {
            let more: Vec<&str> = more.split(' ').collect();
            assert!(less.split(' ').all(|one| more.contains(&one)), "{key}");
        }
    });
}

#[test]
fn results_are_the_same_without_the_index_with_half_of_it_and_with_all() {
    for seed in 0..4 {
        run(async {
            let chance = Chance(Random::seeded(seed));
            let (server, alice) = server_with_alice().await;
            let mut texts = Vec::new();
            for n in 0..24 {
                let (message, text) = chance.message();
                deliver(&server, alice, message.as_bytes()).await;
                texts.push(text);
                if n == 11 {
                    server.index().await;
                }
            }
            let keys: Vec<_> = (0..150).map(|_| chance.key(&texts, 2)).collect();
            let mut client = ImapClient::log_in(&server, "alice").await;
            client.ask("SELECT INBOX").await.ok();
            let half = found(&mut client, &keys).await;
            server.index().await;
            let all = found(&mut client, &keys).await;
            server.fulltext.rebuild().await.unwrap();
            assert!(
                server
                    .fulltext
                    .narrow(alice, subject("hello"), ())
                    .await
                    .is_none()
            );
            let none = found(&mut client, &keys).await;
            for ((key, none), (half, all)) in keys.iter().zip(none).zip(half.into_iter().zip(all)) {
                assert_eq!((&half, &all), (&none, &none), "seed {seed}: {key}");
            }
        });
    }
}

#[test]
fn lim_25_what_narrows_a_search_lets_go_of_its_permit_when_it_ends() {
    run(async {
        let (server, alice) = server_with_alice().await;
        deliver_numbered(&server, alice, 1).await;
        server.index().await;
        let held = Arc::new(());
        let narrowing = server
            .fulltext
            .narrow(alice, subject("number"), Arc::clone(&held));
        let mut narrowing = Box::pin(narrowing);
        poll_fn(|cx| Poll::Ready(narrowing.as_mut().poll(cx).is_ready())).await;
        drop(narrowing);
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    });
}

fn subject(needle: &str) -> Query {
    let line = fold_line(needle);
    Query::field("subject", Wanted::Text(&line, &line))
}

fn body(needle: &str) -> Query {
    Query::body(Wanted::Text(&fold(needle), &fold_line(needle)))
}

fn text(needle: &str) -> Query {
    Query::text(Wanted::Text(&fold(needle), &fold_line(needle)))
}

/// Which of the first `count` emails may be found; none when the index does not say.
async fn possible(
    index: &Fulltext,
    account: AccountId,
    query: Query,
    count: u64,
) -> Option<Vec<u64>> {
    let set = index.narrow(account, query, ()).await?;
    Some((1..=count).filter(|n| set.contains(EmailId(*n))).collect())
}

async fn deliver_numbered(server: &TestServer, account: AccountId, n: u64) {
    let message = format!("Subject: number {n:04}\r\n\r\nThe body says seven{n:04}seven.\r\n");
    deliver(server, account, message.as_bytes()).await;
}

#[test]
fn candidates_are_few_and_of_one_account() {
    run(async {
        let (mut server, alice) = server_with_alice().await;
        let bob = server.add_account("bob").await;
        for n in 1..=30 {
            deliver_numbered(&server, alice, n).await;
        }
        deliver_numbered(&server, bob, 7).await;
        server.index().await;
        let index = &server.fulltext;
        for (account, query, expected) in [
            (alice, subject("NUMBER 0007"), vec![7]),
            (alice, body("seven0019seven"), vec![19]),
            // What is said in the body is not in the header, and the other way round.
            (alice, body("number 0007"), vec![]),
            (alice, subject("seven0019seven"), vec![]),
            (alice, text("number 0007"), vec![7]),
            (alice, text("seven0019"), vec![19]),
            (
                alice,
                Query::all([subject("number"), body("seven0001")]),
                vec![1],
            ),
            (
                alice,
                Query::one_of([body("seven0002"), body("seven0003")]),
                vec![2, 3],
            ),
            (bob, subject("number 0007"), vec![1]),
            (bob, subject("number 0008"), vec![]),
        ] {
            let count = if account == alice { 30 } else { 1 };
            let found = possible(index, account, query.clone(), count).await;
            assert_eq!(found, Some(expected), "{query:?}");
        }
        assert_eq!(possible(index, alice, subject("nu"), 30).await, None);
        deliver_numbered(&server, bob, 8).await;
        let found = possible(index, bob, subject("number 0001"), 30)
            .await
            .unwrap();
        assert_eq!(found[0], 2, "what is not indexed yet is a candidate");
        let status = index.status().await.unwrap();
        assert_eq!((status.accounts, status.emails, status.left), (2, 31, 1));
    });
}

/// What the index must say of emails 1 to `count`, all of one account.
async fn check(index: &Fulltext, account: AccountId, count: u64, why: &str) {
    for n in 1..=count {
        let needle = format!("seven{n:04}seven");
        let found = possible(index, account, body(&needle), count).await;
        assert_eq!(found, Some(vec![n]), "{why}");
    }
}

#[test]
fn dur_03_trouble_with_its_disk_at_any_moment_costs_the_index_no_mail() {
    run(async {
        let (server, alice) = server_with_alice().await;
        let reference = SimDisk::new();
        let mut states = vec![(reference.copy(), 0)];
        // One more than makes a merge.
        for n in 1..=7 {
            deliver_numbered(&server, alice, n).await;
            index(&server.fulltext_on(&reference)).await;
            states.push((reference.copy(), reference.operations()));
        }
        for (n, pair) in (1..).zip(states.windows(2)) {
            let operations = pair[1].1 - pair[0].1;
            for at in 1..=operations + 1 {
                for trouble in [
                    Trouble::PowerLoss,
                    Trouble::Fails,
                    Trouble::Short,
                    Trouble::Full,
                ] {
                    let why = format!("message {n}, operation {at}, {trouble:?}");
                    let disk = pair[0].0.copy();
                    disk.trouble(at, trouble);
                    let fulltext = server.fulltext_on(&disk);
                    // It may never come to an end on a dead disk.
                    let some_time = tokio::time::sleep(std::time::Duration::from_secs(200));
                    fulltext.follow(some_time).await;
                    if trouble != Trouble::PowerLoss {
                        check(&fulltext, alice, 7, &why).await;
                    }
                    let disk = disk.after_power_loss(Survives::Some(at));
                    let fulltext = server.fulltext_on(&disk);
                    index(&fulltext).await;
                    check(&fulltext, alice, 7, &why).await;
                }
            }
        }
    });
}

#[test]
fn a_damaged_index_is_made_again_and_hides_nothing_meanwhile() {
    run(async {
        let (server, alice) = server_with_alice().await;
        for n in 1..=9 {
            deliver_numbered(&server, alice, n).await;
            if n.is_multiple_of(3) {
                server.index().await;
            }
        }
        let whole = server.search_disk.copy();
        let random = Random::seeded(5);
        for path in whole.names() {
            let length = whole.bytes(&path).len();
            let ends = [0, 1, length - 1, length - 5, length - 20, length - 30];
            let mut places = Vec::from(ends.map(|place| place.min(length - 1)));
            places.extend((0..20).map(|_| usize::try_from(random.below(length as u64)).unwrap()));
            for place in places {
                for cut in [false, true] {
                    let disk = whole.copy();
                    disk.edit(&path, |bytes| match cut {
                        true => bytes.truncate(place),
                        false => bytes[place] ^= 0x10,
                    });
                    let why = format!("{} {place} {cut}", path.display());
                    let fulltext = server.fulltext_on(&disk);
                    index(&fulltext).await;
                    for n in 1..=9 {
                        let query = body(&format!("seven{n:04}seven"));
                        let found = possible(&fulltext, alice, query, 9).await;
                        assert!(found.is_none_or(|found| found == [n]), "{why}");
                    }
                    index(&fulltext).await;
                    check(&fulltext, alice, 9, &why).await;
                }
            }
            let disk = whole.copy();
            disk.delete(&path);
            let fulltext = server.fulltext_on(&disk);
            index(&fulltext).await;
            check(&fulltext, alice, 9, &path.display().to_string()).await;
        }
    });
}

#[test]
fn an_index_of_another_past_is_made_again() {
    run(async {
        let (server, alice) = server_with_alice().await;
        let (mut other, other_alice) = server_with_alice().await;
        assert_eq!(alice, other_alice);
        // Both draw the same numbers by chance; this one draws more.
        let bob = other.add_account("bob").await;
        deliver_numbered(&other, bob, 1).await;
        for n in 1..=3 {
            deliver_numbered(&server, alice, n).await;
            deliver_numbered(&other, alice, 4 - n).await;
        }
        server.index().await;
        let fulltext = other.fulltext_on(&server.search_disk.copy());
        index(&fulltext).await;
        assert_eq!(
            possible(&fulltext, alice, body("seven0001"), 3).await,
            Some(vec![3])
        );
        // A store that was put back to an earlier day has fewer emails.
        let (earlier, _) = server_with_alice().await;
        let fulltext = earlier.fulltext_on(&server.search_disk.copy());
        index(&fulltext).await;
        assert_eq!(fulltext.status().await.unwrap().emails, 0);
    });
}

#[test]
fn what_is_deleted_goes_when_segments_are_merged() {
    run(async {
        let (mut server, alice) = server_with_alice().await;
        let bob = server.add_account("bob").await;
        for n in 1..=4 {
            deliver_numbered(&server, alice, n).await;
            deliver_numbered(&server, bob, n).await;
        }
        server.index().await;
        let mut client = ImapClient::log_in(&server, "alice").await;
        client.ask("SELECT INBOX").await.ok();
        client.ask("STORE 2:3 +FLAGS (\\Deleted)").await.ok();
        client.ask("EXPUNGE").await.ok();
        server.directory.remove_account(bob).await.unwrap();
        tokio::time::advance(std::time::Duration::from_secs(3600)).await;
        let upkeep = tokio::time::sleep(std::time::Duration::from_secs(120));
        server.mailboxes.maintain(upkeep).await;
        assert_eq!(server.fulltext.status().await.unwrap().emails, 8);
        for n in 5..=9 {
            deliver_numbered(&server, alice, n).await;
            server.index().await;
        }
        let status = server.fulltext.status().await.unwrap();
        assert_eq!((status.segments, status.emails, status.accounts), (1, 7, 1));
        let found = possible(&server.fulltext, alice, body("seven"), 9).await;
        assert_eq!(found, Some(vec![1, 4, 5, 6, 7, 8, 9]));
        check(&server.fulltext, alice, 1, "after the merge").await;
    });
}

#[test]
fn lim_36_an_email_with_too_much_text_is_always_a_candidate() {
    run(async {
        let (server, alice) = server_with_alice().await;
        let mut text =
            "Subject: much\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n".to_owned();
        let mut letter = 0_u32;
        for n in 0..300_000_u32 {
            letter = letter.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.extend(char::from_u32(0x4e00 + (letter >> 8) % 20_000));
            if n % 300 == 0 {
                text += "\r\n";
            }
        }
        deliver(&server, alice, text.as_bytes()).await;
        deliver_numbered(&server, alice, 2).await;
        server.index().await;
        let found = possible(&server.fulltext, alice, body("nowhere at all"), 2).await;
        assert_eq!(found, Some(vec![1]));
    });
}

#[test]
fn dur_04_nothing_is_indexed_while_the_disk_is_nearly_full() {
    run(async {
        let (server, alice) = server_with_alice().await;
        deliver_numbered(&server, alice, 1).await;
        server.engine.set_room(Some(Room::Low));
        let minutes = tokio::time::sleep(std::time::Duration::from_secs(300));
        let paused = async {
            minutes.await;
            let status = server.fulltext.status().await.unwrap();
            assert_eq!((status.emails, status.left), (0, 1));
            assert!(matches!(status.phase, Phase::Paused(_)));
            server.engine.set_room(None);
            index_beside(&server.fulltext).await;
        };
        server.fulltext.follow(paused).await;
        check(&server.fulltext, alice, 1, "with room again").await;
    });
}

/// Waits until the index, which is fed by another, has everything.
async fn index_beside(fulltext: &Fulltext) {
    while fulltext.status().await.unwrap().left > 0 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

#[test]
fn a_rebuild_while_it_is_fed_begins_anew_and_ends_whole() {
    run(async {
        let (server, alice) = server_with_alice().await;
        for n in 1..=5 {
            deliver_numbered(&server, alice, n).await;
        }
        server.index().await;
        let rebuilt = async {
            tokio::time::sleep(std::time::Duration::from_secs(60)).await;
            server.fulltext.rebuild().await.unwrap();
            assert!(
                possible(&server.fulltext, alice, body("seven"), 5)
                    .await
                    .is_none()
            );
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            deliver_numbered(&server, alice, 6).await;
            index_beside(&server.fulltext).await;
        };
        server.fulltext.follow(rebuilt).await;
        check(&server.fulltext, alice, 6, "rebuilt").await;
    });
}

#[test]
fn keys_of_many_blocks_and_segments_are_all_found() {
    run(async {
        let (server, alice) = server_with_alice().await;
        let chance = Chance(Random::seeded(3));
        let letter = || char::from(b'a' + u8::try_from(chance.below(26)).unwrap());
        let mut texts: Vec<String> = Vec::new();
        for n in 0..16 {
            // Most groups are in one half of them, so that lists of all kinds come up.
            let text: String = match n % 2 {
                0 => (0..20_000).map(|_| letter()).collect(),
                _ => WORDS[n % WORDS.len()].repeat(3),
            };
            let lines: Vec<_> = text
                .as_bytes()
                .chunks(60)
                .map(String::from_utf8_lossy)
                .collect();
            let text = lines.join("\r\n");
            let head = "Content-Type: text/plain; charset=utf-8\r\n\r\n";
            deliver(&server, alice, format!("{head}{text}").as_bytes()).await;
            texts.push(fold(&text));
            if n % 2 == 1 {
                server.index().await;
            }
        }
        let groups = |text: &str| -> Vec<String> {
            let text: Vec<char> = text.chars().collect();
            text.windows(3)
                .map(|group| group.iter().collect())
                .collect()
        };
        for _ in 0..300 {
            let text: Vec<char> = texts[2 * chance.below(8)].chars().collect();
            let start = chance.below(text.len() - 5);
            let needle: String = text[start..start + 3 + chance.below(3)].iter().collect();
            if needle.contains(['\r', '\n']) {
                continue;
            }
            let has_all = |text: &&String| groups(&needle).iter().all(|group| text.contains(group));
            let expected = (1..).zip(&texts).filter(|(_, text)| has_all(text));
            let expected: Vec<u64> = expected.map(|(n, _)| n).collect();
            let found = possible(&server.fulltext, alice, body(&needle), 16).await;
            assert_eq!(found, Some(expected), "{needle:?}");
        }
    });
}
