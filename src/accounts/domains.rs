//! Domains that stand for others: every address of the one is an address of the other.
//!
//! One step only: the other stands for none. An address that the first has itself comes before; a
//! catch-all is only the other's. Resolving is in `resolve`.

use super::{
    change::DirectoryError,
    directory::Directory,
    record::DomainRecord,
    snapshot::{Edit, Snapshot},
};
use crate::mail::address::Domain;

impl Snapshot {
    /// Whether a domain stands for this one.
    pub(super) fn is_stood_for(&self, name: &Domain) -> bool {
        self.domains()
            .any(|domain| domain.stands_for() == Some(name))
    }
}

impl Directory {
    /// Lets a domain stand for another, or for itself again. It becomes a local domain if it was
    /// none.
    pub async fn set_stands_for(
        &self,
        name: &Domain,
        other: Option<&Domain>,
    ) -> Result<(), DirectoryError> {
        if name.literal().is_some() {
            return Err(DirectoryError::NotAName);
        }
        let fresh = DomainRecord {
            created: self.0.clock.wall(),
            ..DomainRecord::default()
        };
        self.change(|snapshot, _| {
            let known = snapshot.domain(name).map(|domain| domain.record.clone());
            let mut record = match (known, other) {
                (Some(record), _) => record,
                (None, Some(_)) => fresh.clone(),
                (None, None) => return Err(DirectoryError::UnknownDomain),
            };
            if let Some(other) = other {
                may_stand_for(snapshot, (name, &record), other)?;
            }
            record.stands_for = other.cloned();
            Ok((vec![Edit::PutDomain(name.clone(), record)], ()))
        })
        .await
    }
}

fn may_stand_for(
    snapshot: &Snapshot,
    (name, record): (&Domain, &DomainRecord),
    other: &Domain,
) -> Result<(), DirectoryError> {
    let kept = snapshot.domain(other);
    if name == other || kept.is_none_or(|kept| kept.stands_for().is_some()) {
        return Err(DirectoryError::StandsForNone(other.clone()));
    }
    if snapshot.is_stood_for(name) {
        let why = "another domain stands for this one already";
        return Err(DirectoryError::StandsForItself(why));
    }
    if record.catch_all.is_some() {
        let why = "the domain has a catch-all: `buzon domain catch-all DOMAIN --none` first";
        return Err(DirectoryError::StandsForItself(why));
    }
    Ok(())
}
