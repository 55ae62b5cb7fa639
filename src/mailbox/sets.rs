//! The distinct flag sets of a mailbox, each stored once and named by a small number.
//!
//! Pure. Ten thousand messages share a handful of sets, so a message costs four bytes for its flags
//! and a STORE computes each outcome once. Sets that no message has are forgotten from time to
//! time, and with them keywords; the table tolerates more keywords than LIM-24 allows, since
//! concurrent commands may each have seen room.

use std::collections::HashMap;

use super::{
    flags::{FlagChange, FlagClasses, FlagMode, FlagSet, Keyword, SystemFlags},
    limits::KEYWORDS_MAX,
};

/// All flag sets of a mailbox.
#[derive(Clone, Debug, Default)]
pub(super) struct SetTable {
    keywords: Vec<Option<Keyword>>,
    slots: Vec<Slot>,
    by_set: HashMap<PackedSet, u32>,
    free: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Slot {
    set: PackedSet,
    messages: u32,
}

/// A flag set with keywords as bits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct PackedSet {
    system: SystemFlags,
    keywords: Bits,
}

/// A set of small numbers; the last word is never zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Bits(Vec<u64>);

impl SetTable {
    /// The number of this set.
    pub(super) fn intern(&mut self, flags: &FlagSet) -> u32 {
        let set = self.pack(flags);
        self.intern_packed(set)
    }

    /// The number of the set that a change makes of the set `from`.
    pub(super) fn changed(&mut self, from: u32, change: &FlagChange) -> u32 {
        let operand = self.pack(&change.flags);
        let Some(slot) = self.slots.get(from as usize) else {
            return from;
        };
        let set = match change.mode {
            FlagMode::Replace => operand,
            FlagMode::Add => slot.set.union(&operand),
            FlagMode::Remove => slot.set.without(&operand),
            FlagMode::ReplaceAmong(classes) => slot.set.outside(classes).union(&operand),
        };
        self.intern_packed(set)
    }

    /// Whether a change would make another set of the set `from`.
    pub(super) fn would_change(&self, from: u32, change: &FlagChange) -> bool {
        let has = |keyword: &Keyword| self.keywords_of(from).any(|k| k == keyword);
        let system = self.system(from);
        let operand = &change.flags;
        match change.mode {
            FlagMode::Add => {
                !system.contains(operand.system) || !operand.keywords().iter().all(has)
            }
            FlagMode::Remove => {
                system.without(operand.system) != system || operand.keywords().iter().any(has)
            }
            FlagMode::Replace => self.flags(from) != *operand,
            FlagMode::ReplaceAmong(classes) => classes.of(&self.flags(from)) != *operand,
        }
    }

    /// The system flags of a set.
    pub(super) fn system(&self, set: u32) -> SystemFlags {
        self.slots
            .get(set as usize)
            .map_or(SystemFlags::NONE, |slot| slot.set.system)
    }

    /// The keywords of a set.
    pub(super) fn keywords_of(&self, set: u32) -> impl Iterator<Item = &Keyword> {
        self.slots
            .get(set as usize)
            .into_iter()
            .flat_map(|slot| slot.set.keywords.iter())
            .filter_map(|bit| self.keywords.get(bit)?.as_ref())
    }

    /// A set as a value.
    pub(super) fn flags(&self, set: u32) -> FlagSet {
        FlagSet::new(self.system(set), self.keywords_of(set).cloned().collect())
    }

    /// Keywords that some message has, sorted.
    pub(super) fn keywords_in_use(&self) -> Vec<Keyword> {
        let mut keywords: Vec<_> = self
            .bits_in_use()
            .iter()
            .filter_map(|bit| self.keywords.get(bit)?.clone())
            .collect();
        keywords.sort();
        keywords
    }

    /// Notes that `count` messages took the set.
    pub(super) fn hold(&mut self, set: u32, count: u32) {
        if let Some(slot) = self.slots.get_mut(set as usize) {
            slot.messages = slot.messages.saturating_add(count);
        }
    }

    /// Notes that `count` messages left the set.
    pub(super) fn release(&mut self, set: u32, count: u32) {
        if let Some(slot) = self.slots.get_mut(set as usize) {
            slot.messages = slot.messages.saturating_sub(count);
        }
    }

    /// How many set numbers there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Forgets sets and keywords that no message has, when there may be many. Numbers of sets in
    /// use stay.
    pub(super) fn tidy(&mut self) {
        let crowded = self.by_set.len() >= 64 && self.by_set.len() > 2 * self.live();
        if !crowded && !self.has_many_keywords() {
            return;
        }
        for (number, slot) in (0_u32..).zip(&mut self.slots) {
            // A free slot looks like the empty set; only the slot that is known by its set is one.
            if slot.messages == 0 && self.by_set.get(&slot.set) == Some(&number) {
                self.by_set.remove(&slot.set);
                slot.set = PackedSet::default();
                self.free.push(number);
            }
        }
        let used = self.bits_in_use();
        for (bit, keyword) in self.keywords.iter_mut().enumerate() {
            if !used.contains(bit) {
                *keyword = None;
            }
        }
    }

    fn has_many_keywords(&self) -> bool {
        let many = 2 * KEYWORDS_MAX;
        self.keywords.len() >= many && self.keywords.iter().flatten().count() >= many
    }

    fn live(&self) -> usize {
        self.slots.iter().filter(|slot| slot.messages > 0).count()
    }

    fn bits_in_use(&self) -> Bits {
        let used = self.slots.iter().filter(|slot| slot.messages > 0);
        let mut bits = Bits::default();
        for slot in used {
            bits.add_all(&slot.set.keywords);
        }
        bits
    }

    fn intern_packed(&mut self, set: PackedSet) -> u32 {
        if let Some(&number) = self.by_set.get(&set) {
            return number;
        }
        let slot = Slot {
            set: set.clone(),
            messages: 0,
        };
        let number = match self.free.pop() {
            Some(number) => {
                self.slots[number as usize] = slot;
                number
            }
            None => {
                self.slots.push(slot);
                // There are never more sets in use than messages, and UIDs are 32 bits.
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.by_set.insert(set, number);
        number
    }

    fn pack(&mut self, flags: &FlagSet) -> PackedSet {
        let mut keywords = Bits::default();
        for keyword in flags.keywords() {
            keywords.add(self.bit_of(keyword));
        }
        PackedSet {
            system: flags.system,
            keywords,
        }
    }

    fn bit_of(&mut self, keyword: &Keyword) -> usize {
        let known = |k: &Option<Keyword>| k.as_ref() == Some(keyword);
        if let Some(bit) = self.keywords.iter().position(known) {
            return bit;
        }
        let bit = match self.keywords.iter().position(Option::is_none) {
            Some(bit) => bit,
            None => {
                self.keywords.push(None);
                self.keywords.len() - 1
            }
        };
        self.keywords[bit] = Some(keyword.clone());
        bit
    }
}

impl PackedSet {
    fn union(&self, other: &Self) -> Self {
        let mut keywords = self.keywords.clone();
        keywords.add_all(&other.keywords);
        Self {
            system: self.system.union(other.system),
            keywords,
        }
    }

    /// What of it is not of these classes.
    fn outside(&self, classes: FlagClasses) -> Self {
        Self {
            system: self.system.without(classes.system),
            keywords: match classes.keywords {
                true => Bits::default(),
                false => self.keywords.clone(),
            },
        }
    }

    fn without(&self, other: &Self) -> Self {
        let mut keywords = self.keywords.clone();
        keywords.remove_all(&other.keywords);
        Self {
            system: self.system.without(other.system),
            keywords,
        }
    }
}

impl Bits {
    fn add(&mut self, bit: usize) {
        let word = bit / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (bit % 64);
    }

    fn add_all(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, theirs) in self.0.iter_mut().zip(&other.0) {
            *word |= theirs;
        }
    }

    fn remove_all(&mut self, other: &Self) {
        for (word, theirs) in self.0.iter_mut().zip(&other.0) {
            *word &= !theirs;
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn contains(&self, bit: usize) -> bool {
        self.0
            .get(bit / 64)
            .is_some_and(|word| word & (1 << (bit % 64)) != 0)
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(place, &word)| {
            (0..64)
                .filter(move |bit| word & (1 << bit) != 0)
                .map(move |bit| place * 64 + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyword(n: usize) -> Keyword {
        Keyword::parse(&format!("k{n}")).unwrap()
    }

    #[test]
    fn equal_sets_have_one_number() {
        let mut table = SetTable::default();
        let seen = FlagSet::new(SystemFlags::SEEN, vec![keyword(1)]);
        let number = table.intern(&seen);
        assert_eq!(table.intern(&seen), number);
        assert_eq!(table.flags(number), seen);
        let empty = table.intern(&FlagSet::default());
        let add = FlagChange {
            mode: FlagMode::Add,
            flags: seen.clone(),
        };
        assert!(table.would_change(empty, &add) && !table.would_change(number, &add));
        assert_eq!(table.changed(empty, &add), number);
        let remove = FlagChange {
            mode: FlagMode::Remove,
            flags: seen.clone(),
        };
        assert_eq!(table.changed(number, &remove), empty);
        let replace = FlagChange {
            mode: FlagMode::Replace,
            flags: seen,
        };
        assert_eq!(table.changed(empty, &replace), number);
    }

    #[test]
    fn unused_sets_and_keywords_are_forgotten_and_used_ones_keep_their_numbers() {
        let mut table = SetTable::default();
        let kept = FlagSet::new(SystemFlags::NONE, vec![keyword(7)]);
        let number = table.intern(&kept);
        table.hold(number, 1);
        for n in 0..20_000 {
            table.tidy();
            let set = table.intern(&FlagSet::new(SystemFlags::SEEN, vec![keyword(n)]));
            table.hold(set, 1);
            table.release(set, 1);
        }
        assert!(
            table.keywords.len() <= 2 * KEYWORDS_MAX,
            "{}",
            table.keywords.len()
        );
        assert!(table.slots.len() <= 1000, "{}", table.slots.len());
        assert_eq!(table.flags(number), kept);
        assert_eq!(table.keywords_in_use(), [keyword(7)]);
    }

    #[test]
    fn a_free_number_is_given_out_once() {
        let mut table = SetTable::default();
        let empty = table.intern(&FlagSet::default());
        table.hold(empty, 1);
        let sets = |range: std::ops::Range<usize>, table: &mut SetTable| -> Vec<u32> {
            let one = |n| FlagSet::new(SystemFlags::NONE, vec![keyword(n)]);
            range.map(|n| table.intern(&one(n))).collect()
        };
        let held = sets(0..90, &mut table);
        held.iter().for_each(|set| table.hold(*set, 1));
        sets(100..210, &mut table);
        table.tidy();
        // Numbers are free while the table is tidied again.
        held.iter().for_each(|set| table.release(*set, 1));
        table.tidy();
        assert_eq!(table.intern(&FlagSet::default()), empty);
        let mut given = sets(300..500, &mut table);
        given.push(empty);
        let count = given.len();
        given.sort_unstable();
        given.dedup();
        assert_eq!(given.len(), count);
    }

    #[test]
    fn more_keywords_than_one_word_of_bits_survive() {
        let mut table = SetTable::default();
        let all = FlagSet::new(SystemFlags::NONE, (0..300).map(keyword).collect());
        let number = table.intern(&all);
        table.hold(number, 2);
        assert_eq!(table.flags(number), all);
        assert_eq!(table.keywords_in_use().len(), 300);
    }
}
