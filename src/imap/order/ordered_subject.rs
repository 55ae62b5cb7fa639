//! THREAD=ORDEREDSUBJECT (RFC 5256 3): messages of one base subject are one thread.

use super::forest::Forest;

/// Threads of messages, given in mailbox order as number, base subject in the form in which texts
/// are compared, and sent date.
pub fn ordered_subject(messages: &[(u32, String, i64)]) -> Forest {
    let mut order: Vec<usize> = (0..messages.len()).collect();
    let key = |place: usize| {
        messages
            .get(place)
            .map(|(_, subject, sent)| (subject, sent))
    };
    order.sort_by(|a, b| key(*a).cmp(&key(*b)));
    let subject = |place: usize| messages.get(place).map(|(_, subject, _)| subject);
    let threads = order.chunk_by(|a, b| subject(*a) == subject(*b));
    let mut forest = Forest {
        messages: messages
            .iter()
            .map(|(number, _, _)| Some(*number))
            .collect(),
        children: vec![Vec::new(); messages.len()],
        roots: Vec::new(),
    };
    for thread in threads {
        if let Some((first, others)) = thread.split_first() {
            forest.roots.push(*first);
            if let Some(children) = forest.children.get_mut(*first) {
                children.extend_from_slice(others);
            }
        }
    }
    // Ties are broken by the place in the mailbox (RFC 5256 2.2).
    let sent = |place: usize| messages.get(place).map(|(_, _, sent)| *sent);
    forest
        .roots
        .sort_unstable_by_key(|root| (sent(*root), *root));
    forest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::order::forest::tests::text;

    #[test]
    fn messages_of_one_subject_are_one_thread_without_grandchildren() {
        let message = |number, subject: &str, sent| (number, subject.to_owned(), sent);
        let messages = [
            message(1, "b", 5),
            message(2, "a", 9),
            message(3, "b", 4),
            message(4, "", 4),
            message(5, "b", 5),
            message(6, "a", 9),
            message(7, "", 1),
        ];
        assert_eq!(text(&ordered_subject(&messages)), "(7 4)(3 (1)(5))(2 6)");
        assert_eq!(text(&ordered_subject(&[])), "");
    }
}
