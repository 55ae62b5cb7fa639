//! One session's picture of a mailbox: which message has which number, and what the client was
//! not told yet.
//!
//! Pure. Numbers are positions among the UIDs that were shown, so a message that is gone keeps
//! its number until its EXPUNGE is said (RFC 3501 5.5, 7.4.1; RFC 2180 4.1.2), and new messages
//! are shown at the end. UIDs ascend strictly; nothing here moves a number except
//! [`View::expunge`]. It is not the mailbox: flags, sizes and what is there by now are read from
//! the mailbox's index.

use std::ops::Range;

use crate::base::ids::ModSeq;

/// The messages a session was shown.
#[derive(Clone, Debug)]
pub struct View {
    /// Shown, and not said to be expunged; ascending.
    uids: Vec<u32>,
    /// Of the shown: gone, and not said yet; ascending.
    gone: Vec<u32>,
    /// UIDs that are recent to this session; ascending, not touching.
    recent: Vec<Range<u32>>,
    /// Up to where the mailbox's changes are known.
    modseq: ModSeq,
    /// What that was before the first of the `gone`.
    before_gone: ModSeq,
}

impl View {
    /// What SELECT shows. Messages from `recent_from` on are recent to this session.
    pub fn new(uids: &[u32], modseq: ModSeq, recent_from: u32) -> Self {
        let mut view = Self {
            uids: uids.to_vec(),
            gone: Vec::new(),
            recent: Vec::new(),
            modseq,
            before_gone: modseq,
        };
        view.note_recent(uids, recent_from);
        view
    }

    /// Notes what changed since [`View::modseq`]: what is gone keeps its number, what is new is
    /// shown from now on, recent from `recent_from` on.
    pub fn learn(&mut self, modseq: ModSeq, expunged: &[u32], appended: &[u32], recent_from: u32) {
        if self.gone.is_empty() {
            self.before_gone = self.modseq;
        }
        self.modseq = self.modseq.max(modseq);
        if !expunged.is_empty() {
            self.gone.extend(expunged);
            self.gone.sort_unstable();
            self.gone.dedup();
        }
        // UIDs only rise (RFC 3501 2.3.1.1), so what is not above the last was shown already.
        let last = self.uids.last().copied().unwrap_or(0);
        let new = appended.partition_point(|uid| *uid <= last);
        let appended = appended.get(new..).unwrap_or_default();
        self.uids.extend_from_slice(appended);
        self.note_recent(appended, recent_from);
    }

    fn note_recent(&mut self, shown: &[u32], recent_from: u32) {
        let first = shown.partition_point(|uid| *uid < recent_from);
        let (Some(first), Some(last)) = (shown.get(first), shown.last()) else {
            return;
        };
        let end = last.saturating_add(1);
        match self.recent.last_mut() {
            Some(before) if before.end == *first => before.end = end,
            _ => self.recent.push(*first..end),
        }
    }

    /// Nothing is recent any more: the client has left RFC 3501 behind (RFC 9051 E).
    pub fn forget_recent(&mut self) {
        self.recent.clear();
    }

    /// The numbers to say in EXPUNGE responses, in this order; the messages leave the view, and
    /// those behind them move up. Not while a command uses numbers (RFC 3501 7.4.1).
    pub fn expunge(&mut self) -> Vec<u32> {
        let gone = std::mem::take(&mut self.gone);
        let mut numbers = Vec::with_capacity(gone.len());
        let Some(first) = gone.first() else {
            return numbers;
        };
        // Nothing before the first of them moves.
        let kept = self.uids.partition_point(|uid| uid < first);
        let mut number = u32::try_from(kept).unwrap_or(u32::MAX);
        let mut gone = gone.iter().peekable();
        let behind = self.uids.split_off(kept);
        self.uids.extend(behind.into_iter().filter(|uid| {
            while gone.next_if(|missing| *missing < uid).is_some() {}
            let leaves = gone.next_if_eq(&uid).is_some();
            if leaves {
                // Each response counts as if those before it had been obeyed.
                numbers.push(number.saturating_add(1));
            } else {
                number = number.saturating_add(1);
            }
            !leaves
        }));
        numbers
    }

    /// As [`View::expunge`], for a client that is told UIDs (RFC 7162 3.2.10): ascending ranges.
    pub fn vanish(&mut self) -> Vec<(u32, u32)> {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for &uid in &self.gone {
            match ranges.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(uid) => *last = uid,
                _ => ranges.push((uid, uid)),
            }
        }
        self.expunge();
        ranges
    }

    /// Whether messages are gone and that was not said.
    pub fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// The UIDs of messages that are gone and still have their numbers, ascending.
    pub fn gone(&self) -> &[u32] {
        &self.gone
    }

    /// The UIDs of the messages shown, ascending: a message's number is its position plus one.
    pub fn uids(&self) -> &[u32] {
        &self.uids
    }

    /// How many messages are shown.
    pub fn count(&self) -> u32 {
        u32::try_from(self.uids.len()).unwrap_or(u32::MAX)
    }

    /// How many of them are recent to this session.
    pub fn recent(&self) -> u32 {
        let place = |uid: u32| self.uids.partition_point(|shown| *shown < uid);
        let counts = self
            .recent
            .iter()
            .map(|range| place(range.end) - place(range.start));
        u32::try_from(counts.sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// Whether this message is recent to this session.
    pub fn is_recent(&self, uid: u32) -> bool {
        let at = self.recent.partition_point(|range| range.end <= uid);
        self.recent.get(at).is_some_and(|range| range.start <= uid)
    }

    /// The position of the message with this UID, when it is shown.
    pub fn position(&self, uid: u32) -> Option<usize> {
        self.uids.binary_search(&uid).ok()
    }

    /// From where a client that remembers this misses nothing (RFC 7162 3.2): below what was not
    /// said yet.
    pub fn resumable(&self) -> ModSeq {
        match self.has_gone() {
            true => self.before_gone,
            false => self.modseq,
        }
    }

    /// Up to where the mailbox's changes are known.
    pub fn modseq(&self) -> ModSeq {
        self.modseq
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_that_is_gone_keeps_its_number_until_that_is_said() {
        let mut view = View::new(&[2, 4, 6, 8], ModSeq(1), 9);
        view.learn(ModSeq(2), &[4], &[], 9);
        assert_eq!((view.count(), view.position(8)), (4, Some(3)));
        view.learn(ModSeq(3), &[2, 4], &[9], 9);
        assert_eq!((view.count(), view.recent()), (5, 1));
        assert_eq!(view.expunge(), [1, 1]);
        assert_eq!(view.uids(), [6, 8, 9]);
        assert_eq!(view.expunge(), [0_u32; 0]);
        assert_eq!(view.modseq(), ModSeq(3));
    }

    #[test]
    fn expunges_are_counted_one_after_the_other() {
        // RFC 3501 6.4.3: messages 3, 4, 7 and 11 of 11.
        let uids: Vec<u32> = (1..=11).collect();
        let mut view = View::new(&uids, ModSeq(1), 12);
        view.learn(ModSeq(2), &[3, 4, 7, 11], &[], 12);
        assert_eq!(view.expunge(), [3, 3, 5, 8]);
    }

    #[test]
    fn rfc_7162_3_2_who_comes_back_misses_no_expunge() {
        let mut view = View::new(&[1, 2, 3, 7, 8], ModSeq(5), 9);
        assert_eq!(view.resumable(), ModSeq(5));
        view.learn(ModSeq(6), &[], &[9], 9);
        assert_eq!(view.resumable(), ModSeq(6));
        view.learn(ModSeq(8), &[2, 3], &[], 9);
        view.learn(ModSeq(9), &[8], &[], 9);
        assert_eq!((view.resumable(), view.modseq()), (ModSeq(6), ModSeq(9)));
        assert_eq!(view.vanish(), [(2, 3), (8, 8)]);
        assert_eq!((view.resumable(), view.uids()), (ModSeq(9), &[1, 7, 9][..]));
        assert!(view.vanish().is_empty());
    }

    #[test]
    fn recent_messages_are_those_this_session_claimed() {
        let mut view = View::new(&[1, 5, 7], ModSeq(1), 6);
        assert_eq!(view.recent(), 1);
        view.learn(ModSeq(2), &[], &[8, 9], 9);
        assert!(view.is_recent(7) && !view.is_recent(8) && view.is_recent(9));
        view.learn(ModSeq(3), &[7], &[10], 10);
        assert_eq!(view.recent(), 3);
        view.expunge();
        assert_eq!(view.recent(), 2);
        view.forget_recent();
        assert!(view.recent() == 0 && !view.is_recent(10));
        assert_eq!(View::new(&[], ModSeq(1), 1).recent(), 0);
        assert_eq!(View::new(&[u32::MAX], ModSeq(1), u32::MAX).count(), 1);
    }

    #[test]
    fn what_was_shown_is_not_shown_again() {
        let mut view = View::new(&[1, 2], ModSeq(5), 3);
        view.learn(ModSeq(4), &[], &[2, 3], 3);
        assert_eq!((view.uids(), view.modseq()), (&[1, 2, 3][..], ModSeq(5)));
    }

    /// What happens in the mailbox or in the session.
    #[derive(Clone, Debug)]
    enum Event {
        Append(u32),
        Expunge(usize),
        /// The session learns of it.
        Refresh,
        /// The session says what it may when numbers are untouched.
        Tell,
        /// Another session claims what is recent.
        ClaimedElsewhere,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            3 => (1_u32..4).prop_map(Event::Append),
            3 => (0_usize..20).prop_map(Event::Expunge),
            2 => Just(Event::Refresh),
            2 => Just(Event::Tell),
            1 => Just(Event::ClaimedElsewhere),
        ]
    }

    /// A client that believes what it is told, and a mailbox that knows.
    struct Model {
        mailbox: BTreeSet<u32>,
        uid_next: u32,
        recent_from: u32,
        client: Vec<u32>,
        recent: BTreeMap<u32, bool>,
        view: View,
    }

    impl Model {
        fn new(start: u32) -> Self {
            let uids: Vec<u32> = (1..=start).collect();
            Self {
                mailbox: uids.iter().copied().collect(),
                uid_next: start + 1,
                recent_from: start + 1,
                client: uids.clone(),
                recent: uids.iter().map(|uid| (*uid, false)).collect(),
                view: View::new(&uids, ModSeq(1), start + 1),
            }
        }

        fn refresh(&mut self) {
            let told = self.view.uids().to_vec();
            let last = told.last().copied().unwrap_or(0);
            let gone: Vec<u32> = told
                .into_iter()
                .filter(|uid| !self.mailbox.contains(uid))
                .collect();
            let new: Vec<u32> = self.mailbox.range(last + 1..).copied().collect();
            self.recent
                .extend(new.iter().map(|uid| (*uid, *uid >= self.recent_from)));
            self.client.extend(&new);
            self.view.learn(ModSeq(1), &gone, &new, self.recent_from);
            if !new.is_empty() {
                self.recent_from = self.uid_next;
            }
        }

        fn run(&mut self, event: &Event) {
            match event {
                Event::Append(count) => {
                    self.mailbox.extend(self.uid_next..self.uid_next + count);
                    self.uid_next += count;
                }
                Event::Expunge(at) => {
                    if let Some(uid) = self.mailbox.iter().nth(*at).copied() {
                        self.mailbox.remove(&uid);
                    }
                }
                Event::Refresh => self.refresh(),
                Event::Tell => {
                    self.refresh();
                    for number in self.view.expunge() {
                        self.client.remove(usize::try_from(number).unwrap() - 1);
                    }
                    let there: Vec<u32> = self.mailbox.iter().copied().collect();
                    assert_eq!(self.client, there, "views converge");
                }
                Event::ClaimedElsewhere => self.recent_from = self.uid_next,
            }
        }
    }

    proptest! {
        #[test]
        fn the_client_and_the_view_agree_at_every_moment(
            start in 0_u32..8, events in proptest::collection::vec(event(), 0..40),
        ) {
            let mut model = Model::new(start);
            for event in events {
                model.run(&event);
                let view = &model.view;
                prop_assert_eq!(view.uids(), &model.client[..]);
                prop_assert_eq!(usize::try_from(view.count()).unwrap(), model.client.len());
                let recent = model.client.iter().filter(|uid| model.recent[uid]).count();
                prop_assert_eq!(usize::try_from(view.recent()).unwrap(), recent);
                for (position, uid) in model.client.iter().enumerate() {
                    prop_assert_eq!(view.position(*uid), Some(position));
                    prop_assert_eq!(view.is_recent(*uid), model.recent[uid]);
                }
            }
        }
    }
}
