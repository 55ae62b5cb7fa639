//! The log of a mailbox: one record per change, as compact as the command that made it.
//!
//! Pure. Byte 0 is the version, byte 1 the kind. Numbers that the commit assigns (UIDNEXT behind
//! the messages, a new email) stand in fixed-width holes; where UIDs are used up, the commit fails.
//! docs/STORE.md has the layout; decoding never panics (DUR-10).

use super::{
    codec::{Reader, Undecodable, put_flags, put_number, put_ranges, put_size, put_step},
    flags::{FlagChange, FlagClasses, FlagMode, FlagSet},
    limits::VALUE_BYTES_MAX,
    uids::UidRanges,
};
use crate::{
    base::clock::Timestamp,
    store::{Template, Width},
};

/// One change of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// Messages came, with consecutive UIDs.
    Appended(Appended),
    /// STORE.
    Flags(FlagChange, UidRanges),
    /// Messages went.
    Expunged(UidRanges),
}

/// Messages that came in one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Appended {
    pub(super) first_uid: u32,
    pub(super) arrivals: Arrivals,
}

/// Messages without their UIDs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrivals {
    /// When they came into the mailbox: seconds since 1970 (RFC 8514 3).
    pub(super) saved: u32,
    /// Distinct flag sets.
    pub(super) sets: Vec<FlagSet>,
    pub(super) messages: Vec<Arrival>,
}

/// One message without its UID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) email: u64,
    /// Which of the sets.
    pub(super) set: u32,
    /// Milliseconds since 1970.
    pub(super) internal_date: u64,
    pub(super) size: u32,
    /// How many octets of CRLF its last line lacks: 0 to 2.
    pub(super) crlf_missing: u8,
}

const VERSION: u8 = 3;
const APPENDED: u8 = 1;
const APPENDED_NEW: u8 = 2;
const FLAGS: u8 = 3;
const EXPUNGED: u8 = 4;
const APPENDED_COPIES: u8 = 5;
/// Bytes that one arrival can need, its set aside: three long numbers and two short ones.
const ARRIVAL_BYTES_MAX: usize = 30;
/// Ranges in one record: two short numbers each.
pub(super) const RANGES_MAX: usize = VALUE_BYTES_MAX / 10;

/// A record whose messages have emails already; `plus` is how many UIDs of the take come before.
pub(super) fn appended(arrivals: &Arrivals, uid_take: usize, plus: u32) -> Template {
    let mut template = Template::from(vec![VERSION, APPENDED]);
    let count = u32::try_from(arrivals.messages.len()).unwrap_or(u32::MAX);
    template.hole(uid_take, plus.saturating_add(count), Width::U32);
    let out = &mut template.bytes;
    let mut before = 0;
    put_number(out, arrivals.messages.len() as u64);
    for message in &arrivals.messages {
        put_step(out, before, message.email);
        before = message.email;
    }
    put_arrivals(out, arrivals);
    template
}

/// A record of one message whose email is numbered in the same batch.
pub(super) fn appended_new(arrivals: &Arrivals, uid_take: usize, email_take: usize) -> Template {
    let mut template = Template::from(vec![VERSION, APPENDED_NEW]);
    template.hole(uid_take, 1, Width::U32);
    template.hole(email_take, 0, Width::U64);
    put_arrivals(&mut template.bytes, arrivals);
    template
}

/// A record whose messages have emails that are numbered in the same batch, one behind the other;
/// `plus` is how many numbers of both takes come before.
pub(super) fn appended_copies(
    arrivals: &Arrivals,
    uid_take: usize,
    email_take: usize,
    plus: u32,
) -> Template {
    let mut template = Template::from(vec![VERSION, APPENDED_COPIES]);
    let count = u32::try_from(arrivals.messages.len()).unwrap_or(u32::MAX);
    template.hole(uid_take, plus.saturating_add(count), Width::U32);
    template.hole(email_take, plus, Width::U64);
    put_number(&mut template.bytes, u64::from(count));
    put_arrivals(&mut template.bytes, arrivals);
    template
}

/// A STORE; `uids` has at most [`RANGES_MAX`] ranges.
pub(super) fn flags(change: &FlagChange, uids: &UidRanges) -> Vec<u8> {
    let mode = match change.mode {
        FlagMode::Add => 0,
        FlagMode::Remove => 1,
        FlagMode::Replace => 2,
        FlagMode::ReplaceAmong(_) => 3,
    };
    let mut out = vec![VERSION, FLAGS, mode];
    if let FlagMode::ReplaceAmong(classes) = change.mode {
        out.push(classes.bits());
    }
    put_flags(&mut out, &change.flags);
    put_ranges(&mut out, uids);
    out
}

/// An EXPUNGE; `uids` has at most [`RANGES_MAX`] ranges.
pub(super) fn expunged(uids: &UidRanges) -> Vec<u8> {
    let mut out = vec![VERSION, EXPUNGED];
    put_ranges(&mut out, uids);
    out
}

/// The time of arrivals as it is stored: whole seconds, up to the year 2106.
pub(super) fn saved_at(time: Timestamp) -> u32 {
    u32::try_from(time.secs()).unwrap_or(u32::MAX)
}

fn put_arrivals(out: &mut Vec<u8>, arrivals: &Arrivals) {
    put_number(out, u64::from(arrivals.saved));
    put_number(out, arrivals.sets.len() as u64);
    for set in &arrivals.sets {
        put_flags(out, set);
    }
    let mut date = 0;
    for message in &arrivals.messages {
        put_number(out, u64::from(message.set));
        put_step(out, date, message.internal_date);
        put_size(out, message.size, message.crlf_missing);
        date = message.internal_date;
    }
}

impl Record {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != VERSION {
            return Err(Undecodable);
        }
        let record = match reader.byte()? {
            APPENDED => {
                let uid_next = reader.u32()?;
                let count = reader.count(4)?;
                let mut emails = Vec::with_capacity(count);
                let mut before = 0;
                for _ in 0..count {
                    before = reader.step(before)?;
                    emails.push(before);
                }
                Self::Appended(read_appended(&mut reader, uid_next, &emails)?)
            }
            APPENDED_NEW => {
                let (uid_next, email) = (reader.u32()?, reader.u64()?);
                Self::Appended(read_appended(&mut reader, uid_next, &[email])?)
            }
            APPENDED_COPIES => {
                let (uid_next, first) = (reader.u32()?, reader.u64()?);
                let count = reader.count(3)?;
                let behind = first.checked_add(count as u64).ok_or(Undecodable)?;
                let emails: Vec<u64> = (first..behind).collect();
                Self::Appended(read_appended(&mut reader, uid_next, &emails)?)
            }
            FLAGS => {
                let mode = match reader.byte()? {
                    0 => FlagMode::Add,
                    1 => FlagMode::Remove,
                    2 => FlagMode::Replace,
                    3 => {
                        let classes = FlagClasses::from_bits(reader.byte()?);
                        FlagMode::ReplaceAmong(classes.ok_or(Undecodable)?)
                    }
                    _ => return Err(Undecodable),
                };
                let flags = reader.flags()?;
                Self::Flags(FlagChange { mode, flags }, reader.ranges()?)
            }
            EXPUNGED => Self::Expunged(reader.ranges()?),
            _ => return Err(Undecodable),
        };
        reader.end()?;
        Ok(record)
    }
}

fn read_appended(
    reader: &mut Reader<'_>,
    uid_next: u32,
    emails: &[u64],
) -> Result<Appended, Undecodable> {
    let saved = reader.small()?;
    let sets = (0..reader.count(2)?)
        .map(|_| reader.flags())
        .collect::<Result<Vec<_>, _>>()?;
    let mut date = 0;
    let mut messages = Vec::with_capacity(emails.len());
    for &email in emails {
        let set = reader.small()?;
        date = reader.step(date)?;
        let (size, crlf_missing) = reader.size()?;
        if set as usize >= sets.len() {
            return Err(Undecodable);
        }
        messages.push(Arrival {
            email,
            set,
            internal_date: date,
            size,
            crlf_missing,
        });
    }
    let count = u32::try_from(messages.len()).map_err(|_| Undecodable)?;
    let first_uid = uid_next.checked_sub(count).filter(|first| *first > 0);
    let first_uid = first_uid.ok_or(Undecodable)?;
    Ok(Appended {
        first_uid,
        arrivals: Arrivals {
            saved,
            sets,
            messages,
        },
    })
}

/// Collects arrivals into records that each fit into a stored value.
#[derive(Debug, Default)]
pub(super) struct ArrivalsBuilder {
    done: Vec<Arrivals>,
    open: Arrivals,
    bytes: usize,
}

impl ArrivalsBuilder {
    /// For messages that come at `saved`.
    pub(super) fn new(saved: u32) -> Self {
        let mut builder = Self::default();
        builder.open.saved = saved;
        builder
    }

    /// Adds a message; its set is named by any number that stands for `flags` in all calls, and
    /// `flags` is asked for only when the record does not have it yet.
    pub(super) fn add(
        &mut self,
        message: Arrival,
        known: &mut SetNumbers,
        flags: impl FnOnce() -> FlagSet,
    ) {
        if self.bytes + ARRIVAL_BYTES_MAX > VALUE_BYTES_MAX {
            self.cut(known);
        }
        let mut set = known.0.get(message.set as usize).copied().flatten();
        if set.is_none() {
            let flags = flags();
            let mut encoded = Vec::new();
            put_flags(&mut encoded, &flags);
            if self.bytes + ARRIVAL_BYTES_MAX + encoded.len() > VALUE_BYTES_MAX {
                self.cut(known);
            }
            self.bytes += encoded.len();
            set = u32::try_from(self.open.sets.len()).ok();
            self.open.sets.push(flags);
            known.learn(message.set, set);
        }
        self.bytes += ARRIVAL_BYTES_MAX;
        self.open.messages.push(Arrival {
            set: set.unwrap_or(0),
            ..message
        });
    }

    /// The records' contents, in order.
    pub(super) fn finish(mut self) -> Vec<Arrivals> {
        if !self.open.messages.is_empty() {
            self.done.push(self.open);
        }
        self.done
    }

    fn cut(&mut self, known: &mut SetNumbers) {
        known.0.clear();
        self.bytes = 0;
        if !self.open.messages.is_empty() {
            let saved = self.open.saved;
            self.done.push(std::mem::take(&mut self.open));
            self.open.saved = saved;
        }
    }
}

/// Which set numbers of a caller stand for which sets of the record being built.
#[derive(Debug, Default)]
pub(super) struct SetNumbers(Vec<Option<u32>>);

impl SetNumbers {
    fn learn(&mut self, theirs: u32, ours: Option<u32>) {
        let place = theirs as usize;
        if self.0.len() <= place {
            self.0.resize(place + 1, None);
        }
        self.0[place] = ours;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mailbox::flags::{Keyword, SystemFlags};

    /// Fills the holes of a template as a commit does.
    pub(in crate::mailbox) fn filled(template: Template, counters: &[u64]) -> Vec<u8> {
        let mut bytes = template.bytes;
        for hole in template.holes {
            let number = counters[hole.take] + u64::from(hole.plus);
            match hole.width {
                Width::U32 => bytes[hole.at..hole.at + 4]
                    .copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes()),
                Width::U64 => {
                    bytes[hole.at..hole.at + 8].copy_from_slice(&number.to_be_bytes());
                }
            }
        }
        bytes
    }

    pub(in crate::mailbox) fn flag_sets() -> impl Strategy<Value = FlagSet> {
        let keywords = prop::collection::vec("[a-d$]{1,3}", 0..4);
        (0_u8..32, keywords).prop_map(|(system, keywords)| {
            FlagSet::new(
                SystemFlags::from_bits(system).unwrap(),
                keywords
                    .iter()
                    .map(|k| Keyword::parse(k).unwrap())
                    .collect(),
            )
        })
    }

    pub(in crate::mailbox) fn uid_ranges() -> impl Strategy<Value = UidRanges> {
        prop::collection::btree_set(1_u32..200, 0..40).prop_map(|uids| uids.into_iter().collect())
    }

    pub(in crate::mailbox) fn flag_changes() -> impl Strategy<Value = FlagChange> {
        let modes = prop_oneof![
            Just(FlagMode::Add),
            Just(FlagMode::Remove),
            Just(FlagMode::Replace),
            (0_u8..32, any::<bool>()).prop_map(|(system, keywords)| {
                let bits = system | u8::from(keywords) << 7;
                FlagMode::ReplaceAmong(FlagClasses::from_bits(bits).unwrap())
            }),
        ];
        (modes, flag_sets()).prop_map(|(mode, flags)| match mode {
            FlagMode::ReplaceAmong(classes) => FlagChange {
                mode,
                flags: classes.of(&flags),
            },
            mode => FlagChange { mode, flags },
        })
    }

    fn arrivals() -> impl Strategy<Value = Arrivals> {
        let size = (any::<u32>(), 0_u8..3);
        let message = (any::<u64>(), any::<u32>(), any::<u64>(), size);
        (
            any::<u32>(),
            prop::collection::vec(flag_sets(), 1..4),
            prop::collection::vec(message, 1..20),
        )
            .prop_map(|(saved, sets, messages)| Arrivals {
                saved,
                messages: messages
                    .into_iter()
                    .map(
                        |(email, set, internal_date, (size, crlf_missing))| Arrival {
                            email,
                            set: set % u32::try_from(sets.len()).unwrap(),
                            internal_date,
                            size,
                            crlf_missing,
                        },
                    )
                    .collect(),
                sets,
            })
    }

    proptest! {
        #[test]
        fn appended_survives(arrivals in arrivals(), first in 1_u64..1_000_000, plus in 0_u32..9) {
            let bytes = filled(appended(&arrivals, 1, plus), &[7, first]);
            let first_uid = u32::try_from(first).unwrap() + plus;
            let expected = Record::Appended(Appended { first_uid, arrivals });
            prop_assert_eq!(Record::decode(&bytes), Ok(expected));
        }

        #[test]
        fn appended_new_survives(
            arrivals in arrivals(), uid in 1_u64..1_000_000, email in any::<u64>(),
        ) {
            let mut arrivals = arrivals;
            arrivals.messages.truncate(1);
            let bytes = filled(appended_new(&arrivals, 0, 1), &[uid, email]);
            arrivals.messages[0].email = email;
            let first_uid = u32::try_from(uid).unwrap();
            let expected = Record::Appended(Appended { first_uid, arrivals });
            prop_assert_eq!(Record::decode(&bytes), Ok(expected));
        }

        #[test]
        fn flags_and_expunged_survive(change in flag_changes(), uids in uid_ranges()) {
            let expected = Record::Flags(change.clone(), uids.clone());
            prop_assert_eq!(Record::decode(&flags(&change, &uids)), Ok(expected));
            prop_assert_eq!(Record::decode(&expunged(&uids)), Ok(Record::Expunged(uids)));
        }

        #[test]
        fn dur_10_any_bytes_are_decoded_without_panic(
            kind in 0_u8..6, bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let _ = Record::decode(&bytes);
            let mut framed = vec![VERSION, kind];
            framed.extend(bytes);
            let _ = Record::decode(&framed);
        }

        #[test]
        fn dur_10_a_cut_record_is_not_a_record(
            arrivals in arrivals(), cut in any::<prop::sample::Index>(),
        ) {
            let bytes = filled(appended(&arrivals, 0, 0), &[1]);
            let cut = cut.index(bytes.len());
            prop_assert_eq!(Record::decode(&bytes[..cut]), Err(Undecodable));
        }
    }

    #[test]
    fn many_arrivals_are_cut_into_values_that_fit() {
        let sets: Vec<FlagSet> = (0..5)
            .map(|n| {
                let keyword = |k| Keyword::parse(&format!("{n}-{k}-{}", "x".repeat(100))).unwrap();
                FlagSet::new(SystemFlags::SEEN, (0..100).map(keyword).collect())
            })
            .collect();
        let mut builder = ArrivalsBuilder::new(1_700_000_000);
        let mut known = SetNumbers::default();
        for n in 0..10_000_u32 {
            let message = Arrival {
                email: u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15),
                set: n % 5,
                internal_date: u64::MAX - u64::from(n % 2),
                size: n,
                crlf_missing: 0,
            };
            builder.add(message, &mut known, || sets[(n % 5) as usize].clone());
        }
        let records = builder.finish();
        let mut next = 0;
        for arrivals in &records {
            assert_eq!(arrivals.saved, 1_700_000_000);
            assert!(appended(arrivals, 0, 0).bytes.len() <= VALUE_BYTES_MAX);
            for message in &arrivals.messages {
                assert_eq!(message.size, next);
                assert_eq!(
                    arrivals.sets[message.set as usize],
                    sets[(next % 5) as usize]
                );
                next += 1;
            }
        }
        assert_eq!(next, 10_000);
    }

    #[test]
    fn dur_08_uidnext_of_an_appended_record_must_exist() {
        let arrivals = Arrivals {
            saved: 4,
            sets: vec![FlagSet::default()],
            messages: vec![Arrival {
                email: 1,
                set: 0,
                internal_date: 2,
                size: 3,
                crlf_missing: 0,
            }],
        };
        let decoded = |uid| Record::decode(&filled(appended(&arrivals, 0, 0), &[uid]));
        assert!(decoded(u64::from(u32::MAX) - 1).is_ok());
        assert!(decoded(1).is_ok());
        assert_eq!(decoded(0), Err(Undecodable));
    }
}
