//! MESSAGELIMIT: commands are about so many messages at most, those with the highest UIDs.
//!
//! RFC 9738. There is no limit unless the operator sets one. What a command names is cut here, in
//! one place, and the completion tells how far it came: [`MessageLimit::cut`] for messages that are
//! named, [`MessageLimit::reach`] for a search, [`conclude`] for what is said. EXPUNGE, CLOSE,
//! STATUS, what a client that comes back is told and what is told unasked have no limit.

use std::num::NonZeroU32;

use super::{
    effort::{Budget, Exhausted},
    fault::Refusal,
    search_key::Search,
    session::{Account, Outcome},
};
use crate::{
    imap::proto::{
        dialog::Imap,
        response::{Code, Response, Status},
    },
    net::{Gone, Turn},
};

/// How many messages one command may be about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MessageLimit(Option<NonZeroU32>);

/// A command that named more messages than it may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    limit: NonZeroU32,
    /// The lowest UID of those it is about.
    pub(super) lowest: u32,
}

impl MessageLimit {
    /// As many as there are.
    pub(super) const NONE: Self = Self(None);

    /// What the operator has set.
    pub(super) fn of(account: Account<'_>) -> Self {
        Self(account.services.options.message_limit)
    }

    /// Leaves of ascending messages those with the highest UIDs, as many as there may be (RFC 9738
    /// 3.1).
    pub(super) fn cut<M>(self, messages: &mut Vec<M>, uid_of: impl Fn(&M) -> u32) -> Option<Cut> {
        let limit = self.exceeded_by(messages.len())?;
        messages.drain(..messages.len().saturating_sub(count(limit)));
        let lowest = uid_of(messages.first()?);
        Some(Cut { limit, lowest })
    }

    /// Whether a command may be about so many messages, when it is about all of them or none.
    pub(super) fn allows(self, messages: usize) -> Result<(), Refusal> {
        match self.exceeded_by(messages) {
            Some(limit) => Err(refusal(limit, None)),
            None => Ok(()),
        }
    }

    /// How far down a search may look through the messages with these UIDs: the position of the
    /// last one that it looks at. None when nothing is left out. What it looks at are the messages
    /// that its numbers, UIDs and `$` name, found or not (RFC 9738 3.1).
    pub(super) async fn reach(
        self,
        search: &Search,
        uids: &[u32],
        budget: &mut Budget,
    ) -> Result<Option<(usize, Cut)>, Exhausted> {
        let Some(limit) = self.exceeded_by(uids.len()) else {
            return Ok(None);
        };
        let (mut left, mut last) = (count(limit), None);
        for (end, length) in chunks_from_end(uids.len(), search.messages_at_once()) {
            budget.spend(0).await?;
            for position in (end - length..end).rev() {
                if !search.looks_at(position) {
                    continue;
                }
                let Some(fewer) = left.checked_sub(1) else {
                    let reached = |at: usize| Some((at, *uids.get(at)?));
                    let cut = |(at, lowest)| (at, Cut { limit, lowest });
                    return Ok(last.and_then(reached).map(cut));
                };
                (left, last) = (fewer, Some(position));
            }
        }
        Ok(None)
    }

    fn exceeded_by(self, messages: usize) -> Option<NonZeroU32> {
        self.0.filter(|limit| messages > count(*limit))
    }
}

impl Cut {
    /// The answer to a command that is about all messages or none: the highest can be asked for.
    pub(super) fn refusal(self) -> Refusal {
        refusal(self.limit, Some(self.lowest))
    }

    /// The same, where the highest alone would be another question.
    pub(super) fn refusal_of_all(self) -> Refusal {
        refusal(self.limit, None)
    }

    /// Tells of it before the completion, which must say something else.
    pub(super) async fn tell(self, turn: &mut Turn<'_, Imap>) -> Result<(), Gone> {
        let untagged = Response::Untagged {
            status: Status::No,
            code: Some(self.code()),
            text: "only the last messages".into(),
        };
        turn.reply(&untagged).await
    }

    fn code(self) -> Code {
        code(self.limit, Some(self.lowest))
    }
}

/// The completion of a command that was cut. Where it has a code of its own, MESSAGELIMIT is told
/// before it; with EXPUNGEISSUED the command is done as far as it came (RFC 9738 3.1).
pub(super) async fn conclude(
    cut: Option<Cut>,
    outcome: Outcome,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Gone> {
    let Some(cut) = cut else {
        return Ok(outcome);
    };
    let outcome = match outcome {
        Ok(None) => return Ok(Ok(Some(cut.code()))),
        Err(refusal) => match refusal.code {
            Some(Code::ExpungeIssued) => Ok(refusal.code),
            // It has not come as far down.
            Some(Code::Limit) => return Ok(Err(refusal)),
            _ => Err(refusal),
        },
        with_code => with_code,
    };
    cut.tell(turn).await?;
    Ok(outcome)
}

fn refusal(limit: NonZeroU32, lowest: Option<u32>) -> Refusal {
    let text = "too many messages for one command, try fewer";
    Refusal::no(code(limit, lowest), text)
}

fn code(limit: NonZeroU32, lowest: Option<u32>) -> Code {
    let limit = limit.get();
    Code::MessageLimit { limit, lowest }
}

fn count(limit: NonZeroU32) -> usize {
    usize::try_from(limit.get()).unwrap_or(usize::MAX)
}

/// The ends and lengths of runs that `count` positions are made of, the last first.
fn chunks_from_end(count: usize, length: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut end = count;
    std::iter::from_fn(move || {
        let run = (end, end.min(length));
        end -= run.1;
        (run.1 > 0).then_some(run)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::clock::Timestamp,
        imap::{
            proto::{
                search::{SearchFlag, SearchKey},
                sequence::SequenceSet,
            },
            server::search_key::Ground,
        },
    };

    fn limit(count: u32) -> MessageLimit {
        MessageLimit(NonZeroU32::new(count))
    }

    fn told(limit: u32, lowest: Option<u32>) -> Option<Code> {
        Some(Code::MessageLimit { limit, lowest })
    }

    #[test]
    fn the_messages_with_the_highest_uids_are_left() {
        for (bound, left, lowest) in [
            (0, &[2, 4, 6, 8][..], None),
            (1, &[8], Some(8)),
            (3, &[4, 6, 8], Some(4)),
            (4, &[2, 4, 6, 8], None),
            (5, &[2, 4, 6, 8], None),
        ] {
            let mut messages = vec![2, 4, 6, 8];
            let cut = limit(bound).cut(&mut messages, |uid| *uid);
            assert_eq!(messages, left, "{bound}");
            let refusal = cut.and_then(|cut| cut.refusal().code);
            assert_eq!(refusal, lowest.and_then(|uid| told(bound, Some(uid))));
        }
        assert_eq!(limit(3).cut(&mut Vec::new(), |uid: &u32| *uid), None);
        assert_eq!(limit(3).allows(3), Ok(()));
        assert_eq!(MessageLimit::NONE.allows(usize::MAX), Ok(()));
        let refused = limit(3).allows(4).unwrap_err();
        assert_eq!((refused.status, refused.code), (Status::No, told(3, None)));
    }

    #[tokio::test]
    async fn a_search_reaches_as_many_of_the_messages_that_its_sets_name() {
        let uids: Vec<u32> = (1..=2000).map(|n| n * 10).collect();
        let seen = || SearchKey::Flag(SearchFlag::Seen);
        let named = |text: &str| SearchKey::Uid(SequenceSet::parse(text.as_bytes()).unwrap());
        let not = |key| SearchKey::Not(Box::new(key));
        let or = |a, b| SearchKey::Or(Box::new(a), Box::new(b));
        let and = |a, b| SearchKey::And(vec![a, b]);
        for (key, reached) in [
            (SearchKey::All, Some(19_980)),
            (seen(), Some(19_980)),
            (not(seen()), Some(19_980)),
            (and(seen(), named("1:500")), Some(480)),
            (and(named("1:500"), named("495:*")), None),
            (and(not(named("100:*")), seen()), Some(70)),
            (or(named("10:30"), named("20:40")), Some(20)),
            (or(named("10:30"), seen()), Some(19_980)),
            (or(named("10"), named("15000,20000")), None),
            (not(or(seen(), named("500:*"))), Some(470)),
            (SearchKey::Saved, Some(20)),
            (SearchKey::Fuzzy(Box::new(named("1:95"))), Some(70)),
        ] {
            let ground = Ground {
                uids: &uids,
                saved: &SequenceSet::of_ranges(vec![(10, 20), (25, 49)]),
                now: Timestamp::from_secs(0),
            };
            let search = Search::new(&key, ground);
            let mut budget = Budget::new();
            let reach = limit(3).reach(&search, &uids, &mut budget).await.unwrap();
            assert_eq!(reach.map(|(_, cut)| cut.lowest), reached, "{key:?}");
            assert!(reach.is_none_or(|(at, cut)| uids[at] == cut.lowest));
            let none = MessageLimit::NONE.reach(&search, &uids, &mut budget);
            assert_eq!(none.await, Ok(None));
        }
    }
}
