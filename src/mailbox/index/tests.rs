//! The index compared with a naive model: a list of messages that every change walks through.

use proptest::prelude::*;

use super::*;
use crate::mailbox::{
    flags::FlagMode,
    limits::KEYWORDS_MAX,
    record::{
        Arrival,
        tests::{flag_changes, flag_sets, uid_ranges},
    },
};

/// One message of the model.
#[derive(Clone, Debug, PartialEq)]
struct Plain {
    uid: u32,
    flags: FlagSet,
    modseq: u64,
    size: u32,
    date: u64,
    /// When it came: by the model's clock, UIDNEXT before it.
    saved: u32,
    email: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(FlagSet, u32, u64)>),
    Flags(FlagChange, UidRanges),
    Expunge(UidRanges),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let message = (flag_sets(), 0_u32..5000, 0_u64..1_000_000);
    let step = prop_oneof![
        prop::collection::vec(message, 1..30).prop_map(Step::Append),
        (flag_changes(), uid_ranges()).prop_map(|(change, uids)| Step::Flags(change, uids)),
        uid_ranges().prop_map(Step::Expunge),
    ];
    prop::collection::vec(step, 0..25)
}

fn holds(uids: &UidRanges, uid: u32) -> bool {
    uids.ranges()
        .iter()
        .any(|&(first, last)| (first..=last).contains(&uid))
}

fn changed(flags: &FlagSet, change: &FlagChange) -> FlagSet {
    let operand = &change.flags;
    let keywords = |keep: &dyn Fn(&Keyword) -> bool| -> Vec<Keyword> {
        flags
            .keywords()
            .iter()
            .filter(|k| keep(k))
            .cloned()
            .collect()
    };
    match change.mode {
        FlagMode::Replace => operand.clone(),
        FlagMode::ReplaceAmong(classes) => FlagSet::new(
            flags.system.without(classes.system).union(operand.system),
            [
                keywords(&|_| !classes.keywords),
                operand.keywords().to_vec(),
            ]
            .concat(),
        ),
        FlagMode::Add => FlagSet::new(
            flags.system.union(operand.system),
            [keywords(&|_| true), operand.keywords().to_vec()].concat(),
        ),
        FlagMode::Remove => FlagSet::new(
            flags.system.without(operand.system),
            keywords(&|k| !operand.keywords().contains(k)),
        ),
    }
}

fn record_of(step: &Step, uid_next: u32) -> Record {
    match step {
        Step::Append(messages) => Record::Appended(Appended {
            first_uid: uid_next,
            arrivals: Arrivals {
                saved: uid_next,
                sets: messages.iter().map(|m| m.0.clone()).collect(),
                messages: (0..)
                    .zip(messages)
                    .map(|(n, m)| Arrival {
                        email: u64::from(uid_next + n) * 3,
                        set: n,
                        internal_date: m.2,
                        size: m.1,
                        crlf_missing: (m.1 % 3) as u8,
                    })
                    .collect(),
            },
        }),
        Step::Flags(change, uids) => Record::Flags(change.clone(), uids.clone()),
        Step::Expunge(uids) => Record::Expunged(uids.clone()),
    }
}

fn model_step(model: &mut Vec<Plain>, uid_next: &mut u32, modseq: u64, step: &Step) {
    match step {
        Step::Append(messages) => {
            let saved = *uid_next;
            for (flags, size, date) in messages {
                model.push(Plain {
                    uid: *uid_next,
                    flags: flags.clone(),
                    modseq,
                    size: *size,
                    date: *date,
                    saved,
                    email: u64::from(*uid_next) * 3,
                });
                *uid_next += 1;
            }
        }
        Step::Flags(change, uids) => {
            for message in model.iter_mut().filter(|m| holds(uids, m.uid)) {
                let after = changed(&message.flags, change);
                if after != message.flags {
                    message.flags = after;
                    message.modseq = modseq;
                }
            }
        }
        Step::Expunge(uids) => model.retain(|m| !holds(uids, m.uid)),
    }
}

fn contents(index: &Index) -> Vec<Plain> {
    (0..index.len())
        .map(|position| {
            let entry = index.entry(position).unwrap();
            assert_eq!(u64::from(entry.crlf_missing), entry.size % 3);
            Plain {
                uid: entry.uid.number(),
                flags: entry.flags(),
                modseq: entry.modseq.0,
                size: u32::try_from(entry.size).unwrap(),
                date: entry.internal_date.0,
                saved: u32::try_from(entry.saved.secs()).unwrap(),
                email: entry.email.0,
            }
        })
        .collect()
}

proptest! {
    #[test]
    fn the_index_is_what_a_naive_model_is(
        steps in steps(), told_after in any::<prop::sample::Index>(),
    ) {
        let mut index = Index::new(ModSeq(1));
        let (mut model, mut uid_next) = (Vec::new(), 1);
        let told_after = told_after.index(steps.len() + 1);
        let mut told = (ModSeq(1), Vec::new(), Vec::new());
        for (n, step) in steps.iter().enumerate() {
            if n == told_after {
                told = (index.modseq(), index.uids().to_vec(), model.clone());
            }
            let modseq = 2 + 2 * n as u64;
            index.apply(ModSeq(modseq), &record_of(step, uid_next));
            model_step(&mut model, &mut uid_next, modseq, step);
            prop_assert_eq!(&contents(&index), &model);
            let unseen = |m: &Plain| !m.flags.system.contains(SystemFlags::SEEN);
            prop_assert_eq!(index.first_unseen(), model.iter().position(unseen));
            prop_assert_eq!(index.unseen(), model.iter().filter(|m| unseen(m)).count());
            prop_assert_eq!(index.bytes(), model.iter().map(|m| u64::from(m.size)).sum::<u64>());
            prop_assert_eq!(index.uid_next(), uid_next);
            prop_assert_eq!(index.modseq(), ModSeq(modseq));
        }
        if told_after < steps.len() {
            let changes = index.changes(told.0, &told.1);
            let now = |uid: u32| model.iter().find(|m| m.uid == uid);
            let gone: Vec<u32> = told.1.iter().copied().filter(|u| now(*u).is_none()).collect();
            prop_assert_eq!(changes.expunged, gone);
            let came: Vec<u32> =
                model.iter().map(|m| m.uid).filter(|u| !told.1.contains(u)).collect();
            prop_assert_eq!(changes.appended, came);
            let flagged: Vec<u32> = told.2.iter()
                .filter(|before| now(before.uid).is_some_and(|m| m.modseq != before.modseq))
                .map(|before| before.uid)
                .collect();
            prop_assert_eq!(changes.flagged, flagged);
            prop_assert_eq!(changes.modseq, index.modseq());
        }
    }

    #[test]
    fn touched_names_exactly_what_a_change_changes(
        messages in prop::collection::vec(flag_sets(), 1..20), change in flag_changes(),
    ) {
        let mut index = Index::new(ModSeq(1));
        let step = Step::Append(messages.iter().map(|f| (f.clone(), 1, 1)).collect());
        index.apply(ModSeq(2), &record_of(&step, 1));
        let positions: Vec<usize> = (0..messages.len()).collect();
        let touched = index.ranges(&index.touched(&positions, &change));
        for (uid, flags) in (1..).zip(&messages) {
            prop_assert_eq!(holds(&touched, uid), changed(flags, &change) != *flags);
        }
    }
}

#[test]
fn ranges_run_over_uids_that_are_gone() {
    let mut index = Index::new(ModSeq(1));
    let step = Step::Append(vec![(FlagSet::default(), 1, 1); 9]);
    index.apply(ModSeq(2), &record_of(&step, 1));
    index.apply(
        ModSeq(3),
        &Record::Expunged([3, 4, 7].into_iter().collect()),
    );
    assert_eq!(index.ranges(&[0, 1, 2, 4]).ranges(), [(1, 5), (8, 8)]);
    assert_eq!(index.ranges(&[1, 2, 3, 4, 5]).ranges(), [(2, 9)]);
}

#[test]
fn a_record_is_applied_once() {
    let mut index = Index::new(ModSeq(1));
    let record = record_of(&Step::Append(vec![(FlagSet::default(), 10, 1)]), 1);
    index.apply(ModSeq(5), &record);
    index.apply(ModSeq(5), &record);
    assert_eq!((index.len(), index.bytes()), (1, 10));
    assert!(!index.is_damaged());
}

#[test]
fn dur_08_a_record_that_would_reuse_a_uid_is_not_believed() {
    let mut index = Index::new(ModSeq(1));
    let record = record_of(&Step::Append(vec![(FlagSet::default(), 10, 1)]), 1);
    index.apply(ModSeq(5), &record);
    index.apply(ModSeq(6), &record);
    assert_eq!(index.len(), 1);
    assert!(index.is_damaged());
}

#[test]
fn lim_24_keywords_in_use_leave_room_or_not() {
    let keyword = |n: usize| Keyword::parse(&format!("k{n}")).unwrap();
    let all: Vec<_> = (0..KEYWORDS_MAX).map(keyword).collect();
    let mut index = Index::new(ModSeq(1));
    let flags = FlagSet::new(SystemFlags::NONE, all);
    index.apply(ModSeq(2), &record_of(&Step::Append(vec![(flags, 1, 1)]), 1));
    assert!(index.has_room_for(&[keyword(3)]));
    assert!(!index.has_room_for(&[keyword(KEYWORDS_MAX)]));
    index.apply(ModSeq(3), &Record::Expunged([1].into_iter().collect()));
    assert!(index.has_room_for(&[keyword(KEYWORDS_MAX)]));
}

#[test]
fn messages_are_found_in_any_order_asked() {
    let mut index = Index::new(ModSeq(1));
    let step = Step::Append(vec![(FlagSet::default(), 1, 1); 9]);
    index.apply(ModSeq(2), &record_of(&step, 1));
    index.apply(ModSeq(3), &Record::Expunged([4, 5].into_iter().collect()));
    let uid = |n| Uid::new(n).unwrap();
    assert_eq!(
        index.present(&[uid(9), uid(1), uid(4), uid(9), uid(6)]),
        [0, 3, 6]
    );
    assert_eq!(index.positions(3, 6), 2..4);
    assert_eq!(index.positions(4, 5), 3..3);
    assert_eq!(index.positions(10, u32::MAX), 7..7);
}
