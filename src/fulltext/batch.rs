//! Emails on their way into the index, in memory: a bounded number of them becomes one segment.

use super::{
    codec::Unreadable,
    limits::BATCH_PLACES_MAX,
    segment::{Ending, Writer},
};
use crate::{
    base::ids::{AccountId, BlobId, EmailId},
    store::embedded::disk::File,
};

/// What one segment will hold.
#[derive(Debug, Default)]
pub(super) struct Batch {
    sections: Vec<Section>,
    places: usize,
    emails: u64,
}

/// Emails of one account above `from`.
#[derive(Debug)]
struct Section {
    account: AccountId,
    from: u64,
    ending: Ending,
    /// Keys with emails: the key in the upper half. In no order, and some more than once.
    places: Vec<u64>,
}

impl Batch {
    /// Begins with the emails of `account` above `from`.
    pub(super) fn begin(&mut self, account: AccountId, from: u64) {
        self.sections.push(Section {
            account,
            from,
            ending: Ending {
                upto: from,
                ..Ending::default()
            },
            places: Vec::new(),
        });
    }

    /// Adds an email of the account begun last; `None` for keys: it is always a candidate.
    pub(super) fn add(&mut self, email: EmailId, blob: Option<BlobId>, keys: Option<Vec<u32>>) {
        let Some(section) = self.sections.last_mut() else {
            return;
        };
        // Whoever adds asks `is_full` before, and begins anew right below the email.
        let distance = u32::try_from(email.0.saturating_sub(section.from)).unwrap_or(u32::MAX);
        let ending = &mut section.ending;
        ending.upto = email.0;
        ending.emails += 1;
        if let Some(blob) = blob {
            ending.newest = Some((email.0, blob));
        }
        match keys {
            Some(keys) => {
                self.places += keys.len();
                let places = keys
                    .into_iter()
                    .map(|key| u64::from(key) << 32 | u64::from(distance));
                section.places.extend(places);
            }
            None => ending.always.push(distance),
        }
        self.emails += 1;
    }

    /// Whether no more than one email should be added before it is written.
    pub(super) fn is_full(&self, next: EmailId) -> bool {
        let from = self.sections.last().map_or(next.0, |section| section.from);
        self.places >= BATCH_PLACES_MAX || next.0.saturating_sub(from) > u64::from(u32::MAX)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.emails == 0
    }

    pub(super) fn emails(&self) -> u64 {
        self.emails
    }

    /// Writes it as the segment `number`.
    pub(super) fn write(mut self, number: u64, file: &dyn File) -> Result<(), Unreadable> {
        let mut writer = Writer::new(file);
        self.sections.retain(|section| section.ending.emails > 0);
        self.sections.sort_by_key(|section| section.account);
        for mut section in self.sections {
            section.places.sort_unstable();
            section.places.dedup();
            let mut emails = Vec::new();
            for places in section.places.chunk_by(|a, b| a >> 32 == b >> 32) {
                let Some(first) = places.first() else {
                    continue;
                };
                emails.clear();
                emails.extend(
                    places
                        .iter()
                        .map(|place| (place & u64::from(u32::MAX)) as u32),
                );
                writer.key((first >> 32) as u32, &emails)?;
            }
            writer.end_section(section.account, section.from, &section.ending)?;
        }
        writer.finish(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_that_is_too_far_from_the_last_begins_a_section_of_its_own() {
        let (account, far) = (AccountId(1), EmailId(u64::from(u32::MAX) + 9));
        let mut batch = Batch::default();
        batch.begin(account, 7);
        assert!(!batch.is_full(EmailId(8)) && batch.is_full(far));
        batch = Batch::default();
        batch.begin(account, far.0 - 1);
        assert!(!batch.is_full(far));
        batch.add(far, None, None);
        assert_eq!((batch.emails(), batch.sections[0].ending.upto), (1, far.0));
        assert_eq!(batch.sections[0].ending.always, [1]);
    }
}
