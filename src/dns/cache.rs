//! Answers that are remembered, within a bound of bytes.
//!
//! DNS-01: as long as the records say, but a day at most, "there is none" an hour at most, and what
//! could not be found out not at all. Only what is used of an answer is kept: whole messages are
//! whatever size their sender likes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hickory_resolver::proto::rr::{Name, RData, RecordType};
use moka::{Expiry, sync};

use super::Answer;

/// Remembers answers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Cache(sync::Cache<Key, Known>);

type Key = (Name, RecordType);

/// What is told of an answer beside its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Worth {
    /// DNSSEC proves it.
    pub(super) secure: bool,
    /// The name at the end of the aliases, where there are any.
    pub(super) leads_to: Option<Name>,
}

/// An answer that holds for a time.
#[derive(Clone)]
struct Known {
    answer: Answer<Arc<[RData]>>,
    worth: Worth,
    holds: Duration,
}

impl Cache {
    pub(super) fn new() -> Self {
        let cache = sync::Cache::builder()
            .max_capacity(BYTES_MAX)
            .weigher(weight)
            .expire_after(Holds);
        Self(cache.build())
    }

    /// The answer, if it is still known.
    pub(super) fn find(
        &self,
        name: &Name,
        kind: RecordType,
    ) -> Option<(Answer<Vec<RData>>, Worth)> {
        let known = self.0.get(&(name.to_lowercase(), kind))?;
        Some((known.answer.map(|records| records.to_vec()), known.worth))
    }

    /// Remembers an answer for so many seconds, within the bounds.
    pub(super) fn insert(
        &self,
        (name, kind): (&Name, RecordType),
        (answer, worth): (&Answer<Vec<RData>>, &Worth),
        secs: u32,
    ) {
        let max = match answer {
            Answer::Found(_) => FOUND_MAX,
            Answer::NoRecords | Answer::NoSuchName => NONE_MAX,
            Answer::Temporary(_) => return,
        };
        let known = Known {
            answer: answer.clone().map(Arc::from),
            worth: worth.clone(),
            holds: Duration::from_secs(secs.into()).min(max),
        };
        if !known.holds.is_zero() {
            self.0.insert((name.to_lowercase(), kind), known);
        }
    }
}

/// About as many bytes as it takes.
fn weight((name, _): &Key, known: &Known) -> u32 {
    let data = |data: &RData| {
        let held = match data {
            RData::TXT(txt) => txt.txt_data.iter().map(|text| text.len() + 16).sum(),
            RData::TLSA(tlsa) => tlsa.cert_data.len(),
            _ => NAME_BYTES,
        };
        held + size_of::<RData>()
    };
    let records: usize = match &known.answer {
        Answer::Found(records) => records.iter().map(data).sum(),
        _ => 0,
    };
    let alias = known.worth.leads_to.as_ref().map_or(0, Name::len);
    let bytes = name.len() + alias + records + ENTRY_BYTES;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

struct Holds;

impl Expiry<Key, Known> for Holds {
    fn expire_after_create(&self, _: &Key, known: &Known, _: Instant) -> Option<Duration> {
        Some(known.holds)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        known: &Known,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(known.holds)
    }
}

/// DNS-01: bytes of all answers.
const BYTES_MAX: u64 = 32 * 1024 * 1024;
/// What each is counted for beside its records: there are no more than 50,000 of them.
const ENTRY_BYTES: usize = 672;
/// What a record is counted for that may hold a name.
const NAME_BYTES: usize = 64;
/// DNS-01: longest time that records are kept.
const FOUND_MAX: Duration = Duration::from_secs(24 * 3600);
/// DNS-01: longest time that "there is none" is kept.
const NONE_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::TXT;

    use super::*;

    fn texts(bytes: usize) -> Answer<Vec<RData>> {
        Answer::Found(vec![RData::TXT(TXT::new(vec!["x".repeat(bytes)]))])
    }

    fn name(number: usize) -> Name {
        Name::from_ascii(format!("n{number}.example.")).unwrap()
    }

    #[test]
    fn dns_01_the_cache_is_bounded_in_bytes_and_entries() {
        for (bytes, count) in [(60_000, 2_000), (1, 60_000)] {
            let cache = Cache::new();
            for number in 0..count {
                let key = name(number);
                cache.insert(
                    (&key, RecordType::TXT),
                    (&texts(bytes), &Worth::default()),
                    60,
                );
            }
            cache.0.run_pending_tasks();
            assert!(cache.0.weighted_size() <= BYTES_MAX);
            assert!(cache.0.entry_count() <= 50_000);
            assert!(cache.0.entry_count() > 500);
        }
    }

    #[test]
    fn dns_01_answers_are_known_for_their_time() {
        let cache = Cache::new();
        let temporary = Answer::Temporary("x".to_owned());
        for (number, answer, secs, holds) in [
            (1, texts(1), 60, Some(60)),
            (2, texts(1), 1_000_000, Some(24 * 3600)),
            (3, Answer::NoSuchName, 1_000_000, Some(3600)),
            (4, Answer::NoRecords, 5, Some(5)),
            (5, texts(1), 0, None),
            (6, temporary, 60, None),
        ] {
            let key = (name(number), RecordType::TXT);
            let worth = Worth {
                secure: true,
                leads_to: None,
            };
            cache.insert((&key.0, key.1), (&answer, &worth), secs);
            let known = cache.0.get(&key).map(|known| known.holds.as_secs());
            assert_eq!(known, holds);
            let found = cache.find(&name(number), RecordType::TXT);
            assert_eq!(found, holds.map(|_| (answer, worth)));
            assert_eq!(cache.find(&name(number), RecordType::A), None);
        }
    }
}
