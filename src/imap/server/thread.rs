//! THREAD and UID THREAD: a search whose result is told as threads.
//!
//! RFC 5256 3. What messages refer to was stored when they came, so no message is read. Linking
//! them happens while they are read, under the budget of the search (LIM-25, LIM-36); the threads
//! are then put in order on a thread of their own, one per account.

use super::{
    effort::{Budget, Exhausted},
    fault::Stop,
    heads::Heads,
    search::Inquiry,
    search_key::Candidate,
    select::Uids,
    updates::CHUNK_MESSAGES,
};
use crate::{
    imap::{
        order::{Forest, Linked, References, Token, ordered_subject},
        proto::{dialog::Imap, sort::ThreadAlgorithm},
    },
    net::{Gone, Turn},
};

/// The threads of the messages found, which stand in mailbox order; messages are called as the
/// answer does.
pub(super) async fn threads(
    inquiry: Inquiry<'_>,
    how: (ThreadAlgorithm, Uids),
    found: &[Candidate],
    budget: &mut Budget,
) -> Result<Result<Forest, Exhausted>, Stop> {
    let (algorithm, uids) = how;
    let Ok(permit) = inquiry.permit(budget).await else {
        return Ok(Err(Exhausted));
    };
    let heads = Heads {
        inquiry,
        with_facts: true,
    };
    let (mut references, mut subjects) = (References::default(), Vec::new());
    let mut subject_bytes = 0;
    let read = heads.each(found, budget, |glance| {
        let number = glance.candidate.number(uids);
        match algorithm {
            ThreadAlgorithm::OrderedSubject => {
                let subject = glance.subject().text;
                subject_bytes += subject.len() + size_of::<(u32, String, i64)>();
                subjects.push((number, subject, glance.sent()));
                subject_bytes
            }
            ThreadAlgorithm::References => {
                references.add(Linked {
                    number,
                    id: glance.message_id().as_deref(),
                    references: &glance.references(),
                    subject: glance.subject(),
                    sent: glance.sent(),
                });
                references.bytes()
            }
        }
    });
    if let Err(Exhausted) = read.await? {
        return Ok(Err(Exhausted));
    }
    let order = tokio::task::spawn_blocking(move || {
        // Who no longer waits for it leaves it to end; nothing else of the account begins before.
        let _permit = permit;
        match algorithm {
            ThreadAlgorithm::OrderedSubject => ordered_subject(&subjects),
            ThreadAlgorithm::References => references.threads(),
        }
    });
    // A bug: the panic hook told of it.
    Ok(order.await.map_err(|_| Exhausted))
}

/// RFC 5256 4, written in chunks.
pub(super) async fn tell(forest: &Forest, turn: &mut Turn<'_, Imap>) -> Result<(), Gone> {
    turn.output().bytes(b"* THREAD");
    let mut separator: &[u8] = b" ";
    for (token, count) in forest.tokens().zip(1_usize..) {
        let out = turn.output().bytes(std::mem::take(&mut separator));
        match token {
            Token::Open => out.bytes(b"("),
            Token::Close => out.bytes(b")"),
            Token::Space => out.bytes(b" "),
            Token::Message(number) => out.number(u64::from(number)),
        };
        if count.is_multiple_of(CHUNK_MESSAGES) {
            turn.make_room().await?;
        }
    }
    turn.output().crlf();
    turn.make_room().await
}
